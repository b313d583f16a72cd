//! A whole DAG as one stream: CARv1, <https://ipld.io/specs/transport/car/carv1/>.
//!
//! What goes out has one root and its blocks depth first, each once: the same root always gives the same bytes. What comes
//! in is believed nothing: each block is hashed, must be one the blocks before it link to, and nothing may be missing at the
//! end.

use std::collections::HashSet;
use std::io;

use bytes::Bytes;
use futures::stream::{self, Stream};
use iroh_car::{CarHeader, CarReader};
use tokio::io::AsyncRead;
use tokio::task::JoinError;

use crate::address::{self, AddressError, Cid};
use crate::batch::Batch;
use crate::blockstore::{BlockStore, StoreError};
use crate::dag::{self, BlockRef, DagError, Scope};
use crate::limits::{Allowance, LimitError, Limits};
use crate::node::{self, NodeError};

/// Blocks are read, and written, in turns of about this many bytes: large enough that handing a turn to a blocking thread
/// costs nothing beside its hashing, small enough to forget.
const TURN_BYTES: usize = 1 << 20;

/// Why a CAR could not be made or taken. What was stored until then stays as unpinned blocks.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CarError {
    /// A block could not be stored or read: missing, damaged, or the disk is full.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The stream broke off in the middle of a block, or is no CARv1. Fetch it again, elsewhere.
    #[error("malformed or cut short: {0}")]
    Malformed(#[from] iroh_car::Error),
    /// The CAR has none or several roots, or another one than was asked for.
    #[error("the root is not the one expected{}", expected.as_ref().map(|cid| format!(", {cid}")).unwrap_or_default())]
    WrongRoot {
        /// What was asked for, if anything.
        expected: Option<Box<Cid>>,
        /// What the CAR's header names.
        found: Vec<Cid>,
    },
    /// A block came that no block before it links to. The sender wastes our disk.
    #[error("block {cid} does not belong to what was asked for, or came before the block that links to it")]
    Unexpected {
        /// The block.
        cid: Box<Cid>,
    },
    /// The stream ended and a block was still missing. Fetch it again, elsewhere.
    #[error("incomplete: block {cid} did not come")]
    Incomplete {
        /// The first block missing.
        cid: Box<Cid>,
    },
    /// A block's links could not be read.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// A block is not what its CID says, or has a hash or codec that is not supported.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// More bytes or blocks than the caller allows.
    #[error(transparent)]
    Limit(#[from] LimitError),
    /// The runtime is shutting down, or the blocking thread panicked.
    #[error("stopped: {0}")]
    Stopped(#[from] JoinError),
}

impl From<DagError> for CarError {
    fn from(error: DagError) -> Self {
        match error {
            DagError::Store(error) => error.into(),
            DagError::Node(error) => error.into(),
            DagError::Address(error) => error.into(),
        }
    }
}

/// A DAG of the store as the frames of a CAR: the header, then one frame a block. Blocks on the disk while it is made and
/// read; async code turns it into a stream.
#[derive(Debug)]
pub struct CarFrames {
    store: BlockStore,
    header: Option<Vec<u8>>,
    blocks: std::vec::IntoIter<BlockRef>,
    bytes: u64,
}

impl CarFrames {
    /// Walks the DAG, so that one with a block missing is refused before the first byte goes out.
    ///
    /// # Errors
    /// [`CarError::Store`] with [`StoreError::Missing`] for an incomplete DAG; [`CarError::Node`] for a malformed one.
    pub fn new(store: &BlockStore, root: &Cid, scope: Scope) -> Result<Self, CarError> {
        let blocks = dag::blocks(store, root, scope)?;
        let header = CarHeader::new_v1(vec![*root]).encode()?;
        let mut framed = Vec::new();
        push_length(&mut framed, header.len());
        framed.extend_from_slice(&header);
        let bytes = framed.len() as u64 + blocks.iter().map(frame_bytes).sum::<u64>();
        Ok(Self {
            store: store.clone(),
            header: Some(framed),
            blocks: blocks.into_iter(),
            bytes,
        })
    }

    /// The whole CAR's length in bytes.
    pub fn total_bytes(&self) -> u64 {
        self.bytes
    }

    /// Appends the next frame; false at the end.
    fn push_next(&mut self, buffer: &mut Vec<u8>) -> Result<bool, CarError> {
        if let Some(header) = self.header.take() {
            buffer.extend_from_slice(&header);
            return Ok(true);
        }
        let Some(block) = self.blocks.next() else {
            return Ok(false);
        };
        let name = block.cid.to_bytes();
        let content = self.store.get(&block.cid)?;
        push_length(buffer, name.len() + content.len());
        buffer.extend_from_slice(&name);
        buffer.extend_from_slice(&content);
        Ok(true)
    }

    /// The frames for async code, several small ones at a time, read on blocking threads as the receiver takes them: a slow
    /// receiver holds no thread.
    pub fn into_stream(self) -> impl Stream<Item = Result<Bytes, CarError>> + Send + 'static {
        stream::try_unfold(self, |mut frames| async move {
            tokio::task::spawn_blocking(move || {
                let mut buffer = Vec::with_capacity(TURN_BYTES + TURN_BYTES / 2);
                while buffer.len() < TURN_BYTES && frames.push_next(&mut buffer)? {}
                Ok((!buffer.is_empty()).then_some((Bytes::from(buffer), frames)))
            })
            .await?
        })
    }
}

impl Iterator for CarFrames {
    type Item = Result<Bytes, CarError>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut buffer = Vec::new();
        match self.push_next(&mut buffer) {
            Ok(true) => Some(Ok(buffer.into())),
            Ok(false) => None,
            Err(error) => {
                self.blocks = Vec::new().into_iter();
                Some(Err(error))
            }
        }
    }
}

fn push_length(buffer: &mut Vec<u8>, length: usize) {
    let mut encoded = unsigned_varint::encode::usize_buffer();
    buffer.extend_from_slice(unsigned_varint::encode::usize(length, &mut encoded));
}

fn frame_bytes(block: &BlockRef) -> u64 {
    let length = block.cid.encoded_len() as u64 + block.bytes;
    let mut encoded = unsigned_varint::encode::u64_buffer();
    unsigned_varint::encode::u64(length, &mut encoded).len() as u64 + length
}

/// What [`import_car`] took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImportedCar {
    /// The root, all of whose blocks are now stored.
    pub root: Cid,
    /// Blocks received with their names, in bytes.
    pub bytes: u64,
    /// Different blocks received.
    pub blocks: u64,
}

/// Stores the CAR that `reader` yields and checks that all below its root is there, in it or stored before. With `expected`
/// it must have that root. Durable when it returns; not pinned. Dropping the future stops it after at most one turn.
///
/// # Errors
/// [`CarError`].
pub async fn import_car<R>(
    store: &BlockStore,
    reader: R,
    expected: Option<&Cid>,
    limits: &Limits,
) -> Result<ImportedCar, CarError>
where
    R: AsyncRead + Unpin + Send,
{
    let mut reader = CarReader::new(reader).await?;
    let root = check_root(reader.header().roots(), expected)?;
    let mut receiver = Receiver::new(store, root, limits);
    let mut turn = Vec::new();
    let mut turn_bytes = 0;
    loop {
        let block = reader.next_block().await?;
        let is_end = block.is_none();
        turn_bytes += block.as_ref().map_or(0, |(cid, bytes)| cid.encoded_len() + bytes.len());
        turn.extend(block);
        if is_end || turn_bytes >= TURN_BYTES {
            let blocks = std::mem::take(&mut turn);
            turn_bytes = 0;
            receiver = tokio::task::spawn_blocking(move || receiver.accept_all(blocks)).await??;
        }
        if is_end {
            return tokio::task::spawn_blocking(move || receiver.finish()).await?;
        }
    }
}

fn check_root(found: &[Cid], expected: Option<&Cid>) -> Result<Cid, CarError> {
    match found {
        [root] if expected.is_none_or(|expected| expected == root) => Ok(*root),
        _ => Err(CarError::WrongRoot {
            expected: expected.copied().map(Box::new),
            found: found.to_vec(),
        }),
    }
}

/// What has come, and what may come next.
struct Receiver {
    store: BlockStore,
    batch: Batch,
    root: Cid,
    limits: Limits,
    allowance: Allowance,
    wanted: HashSet<Cid>,
    received: HashSet<Cid>,
}

impl Receiver {
    fn new(store: &BlockStore, root: Cid, limits: &Limits) -> Self {
        Self {
            store: store.clone(),
            batch: Batch::new(store),
            root,
            limits: *limits,
            allowance: Allowance::new(limits),
            wanted: HashSet::from([root]),
            received: HashSet::new(),
        }
    }

    fn accept_all(mut self, blocks: Vec<(Cid, Vec<u8>)>) -> Result<Self, CarError> {
        for (cid, bytes) in blocks {
            self.accept(cid, bytes)?;
        }
        Ok(self)
    }

    fn accept(&mut self, cid: Cid, bytes: Vec<u8>) -> Result<(), CarError> {
        // With the name: blocks without content must not come for ever.
        self.allowance.take_bytes((cid.encoded_len() + bytes.len()) as u64)?;
        // A gateway may send a block again each time it is linked to, and identity blocks nobody needs.
        if self.received.contains(&cid) || address::inline_bytes(&cid).is_some() {
            return Ok(());
        }
        if !self.wanted.remove(&cid) {
            return Err(CarError::Unexpected { cid: Box::new(cid) });
        }
        address::verify(&cid, &bytes)?;
        self.batch.write(&cid, &bytes)?;
        self.received.insert(cid);
        if dag::has_links(&cid)? {
            let links = node::links(&cid, bytes)?.into_iter();
            let new = links.filter(|link| !self.received.contains(link));
            self.wanted
                .extend(new.filter(|link| address::inline_bytes(link).is_none()));
        }
        let limit = self.limits.entries;
        if (self.wanted.len() + self.received.len()) as u64 > limit {
            return Err(LimitError::Entries { limit }.into());
        }
        Ok(())
    }

    fn finish(self) -> Result<ImportedCar, CarError> {
        for wanted in &self.wanted {
            if let Some(cid) = dag::missing(&self.store, wanted)?.first() {
                return Err(CarError::Incomplete { cid: Box::new(*cid) });
            }
        }
        self.batch.commit()?;
        Ok(ImportedCar {
            root: self.root,
            bytes: self.allowance.bytes_taken(),
            blocks: self.received.len() as u64,
        })
    }
}

/// For bodies and readers, which want an `io::Error`.
impl From<CarError> for io::Error {
    fn from(error: CarError) -> Self {
        Self::other(error)
    }
}
