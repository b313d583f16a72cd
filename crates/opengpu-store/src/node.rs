//! One block of a UnixFS DAG, decoded and distrusted: every number and name in it may have been made by an enemy.
//!
//! Reading is ours because the library that writes our DAGs panics on some malformed ones. Format: UnixFS and dag-pb
//! specifications at specs.ipfs.tech and ipld.io.

use bytes::Bytes;
use ipld_dagpb::{PbLink, PbNode};
use quick_protobuf::BytesReader;

use crate::address::{CODEC_DAG_PB, CODEC_RAW, Cid};

/// What is wrong with a block as a UnixFS node. Never retry: the DAG was made wrong, or made to harm.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NodeError {
    /// The block is not dag-pb, or its data are not a UnixFS message.
    #[error("{cid} is not a UnixFS node: {reason}")]
    Malformed {
        /// The block.
        cid: Box<Cid>,
        /// What did not fit.
        reason: String,
    },
    /// The block is neither raw nor dag-pb, or a UnixFS kind that is no file, directory or link.
    #[error("{cid} is not a file, directory or symbolic link")]
    UnsupportedKind {
        /// The block.
        cid: Box<Cid>,
    },
    /// The sizes a file's node states contradict each other or the bytes below it.
    #[error("the sizes stated in {cid} are wrong")]
    WrongSize {
        /// The block.
        cid: Box<Cid>,
    },
    /// More levels of nodes than any honest file or directory needs, below one that should be near the bottom.
    #[error("{cid} is too many levels below the root of its file or directory")]
    TooManyLevels {
        /// The block.
        cid: Box<Cid>,
    },
    /// A directory holds a name that cannot be a file's: empty, `.`, `..`, with `/` or NUL, or above 255 bytes.
    #[error("{cid} holds the forbidden name {name:?}")]
    ForbiddenName {
        /// The directory's block.
        cid: Box<Cid>,
        /// The refused name.
        name: String,
    },
    /// A directory holds the same name twice.
    #[error("{cid} holds the name {name:?} twice")]
    DuplicateName {
        /// The directory's root block.
        cid: Box<Cid>,
        /// The name.
        name: String,
    },
}

/// A decoded block.
#[derive(Debug)]
pub(crate) enum Node {
    /// A file, or a part of one: its own bytes, then its children with the bytes below each.
    File { data: Bytes, children: Vec<(Cid, u64)> },
    /// A directory in one block.
    Directory(Vec<Entry>),
    /// One shard of a large directory: its entries, and further shards.
    Shard { entries: Vec<Entry>, shards: Vec<Cid> },
    /// A symbolic link's target.
    Symlink(Bytes),
}

/// A checked name in a directory, and what it names.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) name: String,
    pub(crate) cid: Cid,
}

impl Node {
    /// The bytes of file content at and below this node.
    pub(crate) fn file_size(&self) -> u64 {
        match self {
            Self::File { data, children } => data.len() as u64 + children.iter().map(|(_, size)| size).sum::<u64>(),
            _ => 0,
        }
    }
}

/// Longest file name of the file systems we write to, in bytes.
const NAME_MAX: usize = 255;
/// Fan-out of the directory shards of the profile.
const SHARD_FANOUT: u64 = 256;
/// Characters of a link's name in a shard that number its bucket: two hexadecimal digits for 256 buckets.
const SHARD_PREFIX: usize = 2;

/// Decodes the block `bytes` of `cid`.
pub(crate) fn decode(cid: &Cid, bytes: Vec<u8>) -> Result<Node, NodeError> {
    match cid.codec() {
        CODEC_RAW => Ok(Node::File {
            data: bytes.into(),
            children: Vec::new(),
        }),
        CODEC_DAG_PB => decode_dag_pb(cid, bytes.into()),
        _ => Err(NodeError::UnsupportedKind { cid: Box::new(*cid) }),
    }
}

/// The links of the block `bytes` of `cid`, in order, whatever they mean.
pub(crate) fn links(cid: &Cid, bytes: Vec<u8>) -> Result<Vec<Cid>, NodeError> {
    let links = parse_pb(cid, bytes.into())?.links;
    Ok(links.into_iter().map(|link| link.cid).collect())
}

fn parse_pb(cid: &Cid, bytes: Bytes) -> Result<PbNode, NodeError> {
    PbNode::from_bytes(bytes).map_err(|error| malformed(cid, error))
}

fn malformed(cid: &Cid, reason: impl ToString) -> NodeError {
    NodeError::Malformed {
        cid: Box::new(*cid),
        reason: reason.to_string(),
    }
}

fn decode_dag_pb(cid: &Cid, bytes: Bytes) -> Result<Node, NodeError> {
    let node = parse_pb(cid, bytes)?;
    let data = node.data.ok_or_else(|| malformed(cid, "no data"))?;
    let message = Message::parse(&data).map_err(|error| malformed(cid, error))?;
    match message.kind {
        Kind::RAW | Kind::FILE => file(cid, message, node.links),
        Kind::DIRECTORY => Ok(Node::Directory(
            node.links
                .into_iter()
                .map(|link| entry(cid, link, 0))
                .collect::<Result<_, _>>()?,
        )),
        Kind::SHARD => shard(cid, &message, node.links),
        Kind::SYMLINK => Ok(Node::Symlink(message.data)),
        _ => Err(NodeError::UnsupportedKind { cid: Box::new(*cid) }),
    }
}

fn file(cid: &Cid, message: Message, links: Vec<PbLink>) -> Result<Node, NodeError> {
    let wrong_size = || NodeError::WrongSize { cid: Box::new(*cid) };
    // An empty child would let a small DAG keep a reader busy for ever.
    if links.len() != message.block_sizes.len() || message.block_sizes.contains(&0) {
        return Err(wrong_size());
    }
    let total = message
        .block_sizes
        .iter()
        .try_fold(message.data.len() as u64, |sum, size| sum.checked_add(*size))
        .ok_or_else(wrong_size)?;
    if message.file_size.is_some_and(|stated| stated != total) {
        return Err(wrong_size());
    }
    let children = links.into_iter().map(|link| link.cid).zip(message.block_sizes);
    Ok(Node::File {
        data: message.data,
        children: children.collect(),
    })
}

fn shard(cid: &Cid, message: &Message, links: Vec<PbLink>) -> Result<Node, NodeError> {
    if message.fanout != Some(SHARD_FANOUT) {
        return Err(malformed(cid, "shards must have a fan-out of 256"));
    }
    if links.is_empty() {
        return Err(malformed(cid, "empty shard"));
    }
    let (mut entries, mut shards) = (Vec::new(), Vec::new());
    for link in links {
        if link.name.as_ref().is_some_and(|name| name.len() == SHARD_PREFIX) {
            shards.push(link.cid);
        } else {
            entries.push(entry(cid, link, SHARD_PREFIX)?);
        }
    }
    Ok(Node::Shard { entries, shards })
}

fn entry(directory: &Cid, link: PbLink, prefix: usize) -> Result<Entry, NodeError> {
    let whole = link.name.unwrap_or_default();
    let forbidden = |name: &str| NodeError::ForbiddenName {
        cid: Box::new(*directory),
        name: name.to_owned(),
    };
    let name = whole.get(prefix..).ok_or_else(|| forbidden(&whole))?;
    let is_special = matches!(name, "" | "." | "..");
    if is_special || name.len() > NAME_MAX || name.contains(['/', '\0']) {
        return Err(forbidden(name));
    }
    Ok(Entry {
        name: name.to_owned(),
        cid: link.cid,
    })
}

/// UnixFS data types, as numbered in the specification.
struct Kind;

impl Kind {
    const RAW: u64 = 0;
    const DIRECTORY: u64 = 1;
    const FILE: u64 = 2;
    const SYMLINK: u64 = 4;
    const SHARD: u64 = 5;
}

/// The UnixFS protobuf message; mode and time are not kept.
#[derive(Default)]
struct Message {
    kind: u64,
    data: Bytes,
    file_size: Option<u64>,
    block_sizes: Vec<u64>,
    fanout: Option<u64>,
}

impl Message {
    fn parse(bytes: &Bytes) -> quick_protobuf::Result<Self> {
        let mut message = Self::default();
        let mut reader = BytesReader::from_bytes(bytes);
        while !reader.is_eof() {
            // A tag is the field's number times eight plus its wire type.
            match reader.next_tag(bytes)? {
                8 => message.kind = reader.read_uint64(bytes)?,
                18 => message.data = bytes.slice_ref(reader.read_bytes(bytes)?),
                24 => message.file_size = Some(reader.read_uint64(bytes)?),
                32 => message.block_sizes.push(reader.read_uint64(bytes)?),
                48 => message.fanout = Some(reader.read_uint64(bytes)?),
                tag => reader.read_unknown(bytes, tag)?,
            }
        }
        Ok(message)
    }
}
