//! Files and directories read back out of the store, block by block.

use bytes::Bytes;

use crate::address::Cid;
use crate::blockstore::{BlockStore, StoreError};
use crate::limits::{Allowance, LimitError, Limits};
use crate::node::{self, Node, NodeError};

/// Deepest tree of nodes below one file, or of shards in one directory. 1024 links a node make 4 levels 2^40 chunks; a shard
/// uses 8 bits of a 64-bit hash a level.
const MAX_LEVELS: u32 = 16;

/// Why content could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// A block is missing or damaged, or the disk failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A block is malformed.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// The content is larger than the caller allows.
    #[error(transparent)]
    Limit(#[from] LimitError),
    /// The CID names a directory or a symbolic link where a file was expected.
    #[error("{cid} is not a file")]
    NotAFile {
        /// The name asked for.
        cid: Box<Cid>,
    },
    /// The CID names a file or a symbolic link where a directory was expected.
    #[error("{cid} is not a directory")]
    NotADirectory {
        /// The name asked for.
        cid: Box<Cid>,
    },
}

/// A name in a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirectoryEntry {
    /// One path component, safe to create: not `.` or `..`, without `/` and NUL, at most 255 bytes.
    pub name: String,
    /// What the name stands for.
    pub cid: Cid,
}

/// The bytes of a file as an iterator of chunks, each checked, none kept. Ends after the first error.
#[derive(Debug)]
pub struct FileChunks {
    store: BlockStore,
    size: u64,
    first: Option<Node>,
    /// What is still to be read, last first: block, bytes its parent says it covers, level.
    pending: Vec<(Cid, u64, u32)>,
    root: Cid,
}

/// Opens the file `cid`.
///
/// # Errors
/// [`ReadError::NotAFile`]; [`ReadError::Store`]; [`ReadError::Node`].
pub fn read_file(store: &BlockStore, cid: &Cid) -> Result<FileChunks, ReadError> {
    let node = node::decode(cid, store.get(cid)?)?;
    FileChunks::start(store, cid, node)
}

/// The whole file `cid`, of at most `limit` bytes: for receipts and other small things.
///
/// # Errors
/// As [`read_file`], and [`ReadError::Limit`] before anything large is read.
pub fn read_to_vec(store: &BlockStore, cid: &Cid, limit: u64) -> Result<Vec<u8>, ReadError> {
    let chunks = read_file(store, cid)?;
    if chunks.size() > limit {
        return Err(LimitError::Bytes { limit }.into());
    }
    let mut bytes = Vec::with_capacity(chunks.size() as usize);
    for chunk in chunks {
        bytes.extend_from_slice(&chunk?);
    }
    Ok(bytes)
}

/// The names in the directory `cid`, sharded or not, sorted by their bytes.
///
/// # Errors
/// [`ReadError::NotADirectory`]; [`ReadError::Limit`] above `limits.entries` names; [`ReadError::Store`];
/// [`ReadError::Node`], also for a forbidden or a repeated name.
pub fn read_directory(store: &BlockStore, cid: &Cid, limits: &Limits) -> Result<Vec<DirectoryEntry>, ReadError> {
    let node = node::decode(cid, store.get(cid)?)?;
    directory_entries(store, cid, node, &mut Allowance::new(limits))
}

impl FileChunks {
    /// Starts at the decoded root of the file.
    pub(crate) fn start(store: &BlockStore, cid: &Cid, root: Node) -> Result<Self, ReadError> {
        if !matches!(root, Node::File { .. }) {
            return Err(ReadError::NotAFile { cid: Box::new(*cid) });
        }
        Ok(Self {
            store: store.clone(),
            size: root.file_size(),
            first: Some(root),
            pending: Vec::new(),
            root: *cid,
        })
    }

    /// The file's size in bytes, as its root states and reading will hold it to.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Takes a node's own bytes and queues its children.
    fn enter(&mut self, cid: &Cid, node: Node, level: u32) -> Result<Bytes, ReadError> {
        let Node::File { data, children } = node else {
            return Err(ReadError::NotAFile { cid: Box::new(*cid) });
        };
        if level == MAX_LEVELS && !children.is_empty() {
            return Err(too_many_levels(cid));
        }
        let below = children.into_iter().rev();
        self.pending.extend(below.map(|(child, size)| (child, size, level + 1)));
        Ok(data)
    }

    /// The next chunk, which may be empty; `None` at the end.
    fn step(&mut self) -> Result<Option<Bytes>, ReadError> {
        if let Some(root) = self.first.take() {
            let cid = self.root;
            return self.enter(&cid, root, 0).map(Some);
        }
        let Some((cid, size, level)) = self.pending.pop() else {
            return Ok(None);
        };
        let node = node::decode(&cid, self.store.get(&cid)?)?;
        if node.file_size() != size {
            return Err(NodeError::WrongSize { cid: Box::new(cid) }.into());
        }
        self.enter(&cid, node, level).map(Some)
    }
}

impl Iterator for FileChunks {
    type Item = Result<Bytes, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.step() {
                Ok(Some(data)) if data.is_empty() => {}
                Ok(data) => return data.map(Ok),
                Err(error) => {
                    self.pending.clear();
                    return Some(Err(error));
                }
            }
        }
    }
}

/// The entries of a decoded directory, following its shards; each counts against `allowance`.
pub(crate) fn directory_entries(
    store: &BlockStore,
    cid: &Cid,
    root: Node,
    allowance: &mut Allowance,
) -> Result<Vec<DirectoryEntry>, ReadError> {
    let mut found: Vec<node::Entry> = Vec::new();
    let mut pending: Vec<(Cid, u32)> = Vec::new();
    let mut next = Some((root, 0));
    while let Some((node, level)) = next {
        let (entries, shards) = match node {
            Node::Directory(entries) if level == 0 => (entries, Vec::new()),
            Node::Shard { entries, shards } => (entries, shards),
            _ => return Err(ReadError::NotADirectory { cid: Box::new(*cid) }),
        };
        if level == MAX_LEVELS && !shards.is_empty() {
            return Err(too_many_levels(cid));
        }
        // Shards count too: one that links to itself many times over must come to an end.
        allowance.take_entries((entries.len() + shards.len()) as u64)?;
        found.extend(entries);
        pending.extend(shards.into_iter().map(|shard| (shard, level + 1)));
        next = match pending.pop() {
            Some((shard, level)) => Some((node::decode(&shard, store.get(&shard)?)?, level)),
            None => None,
        };
    }
    sorted_and_unique(cid, found)
}

fn sorted_and_unique(cid: &Cid, mut found: Vec<node::Entry>) -> Result<Vec<DirectoryEntry>, ReadError> {
    found.sort_by(|a, b| a.name.cmp(&b.name));
    if let Some(pair) = found.windows(2).find(|pair| pair[0].name == pair[1].name) {
        let name = pair[0].name.clone();
        return Err(NodeError::DuplicateName {
            cid: Box::new(*cid),
            name,
        }
        .into());
    }
    let entry = |entry: node::Entry| DirectoryEntry {
        name: entry.name,
        cid: entry.cid,
    };
    Ok(found.into_iter().map(entry).collect())
}

fn too_many_levels(cid: &Cid) -> ReadError {
    NodeError::TooManyLevels { cid: Box::new(*cid) }.into()
}
