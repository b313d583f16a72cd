//! Which blocks a root needs, in one fixed order, and which of them are not here.

use std::collections::HashSet;

use crate::address::{self, AddressError, CODEC_DAG_PB, CODEC_JSON, CODEC_RAW, Cid};
use crate::blockstore::{BlockStore, StoreError};
use crate::node::{self, Node, NodeError};

/// Why a DAG could not be walked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DagError {
    /// A block is missing or damaged, or the disk failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A block's links could not be read.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// A link leads to a codec that may hold links this crate cannot follow.
    #[error(transparent)]
    Address(#[from] AddressError),
}

/// How much below a root is meant, as `dag-scope` of the trustless gateway specification.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Scope {
    /// The root's block alone.
    Block,
    /// A file with all its chunks, or a directory's own listing without what it lists.
    Entity,
    /// Everything below the root.
    #[default]
    All,
}

/// A block of a DAG.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockRef {
    /// Its name.
    pub cid: Cid,
    /// Its size, in bytes.
    pub bytes: u64,
}

/// All blocks of `root` in `scope`: depth first, parents before children, links in order, each block once.
/// That order is a function of the root alone.
///
/// # Errors
/// [`StoreError::Missing`] names the first block that is not stored; [`DagError::Node`] for a malformed one.
pub fn blocks(store: &BlockStore, root: &Cid, scope: Scope) -> Result<Vec<BlockRef>, DagError> {
    let mut found = Vec::new();
    walk(store, root, scope, |cid, size| {
        let bytes = size.ok_or(StoreError::Missing { cid: Box::new(cid) })?;
        found.push(BlockRef { cid, bytes });
        Ok(())
    })?;
    Ok(found)
}

/// The blocks below `root` that are not stored, as far as is known: a missing node hides what it links to. Empty: all is here.
///
/// # Errors
/// [`DagError`], but never for a missing block.
pub fn missing(store: &BlockStore, root: &Cid) -> Result<Vec<Cid>, DagError> {
    let mut missing = Vec::new();
    walk(store, root, Scope::All, |cid, size| {
        if size.is_none() {
            missing.push(cid);
        }
        Ok(())
    })?;
    Ok(missing)
}

/// Visits each block once with its size, `None` for one that is not stored.
fn walk(
    store: &BlockStore,
    root: &Cid,
    scope: Scope,
    mut visit: impl FnMut(Cid, Option<u64>) -> Result<(), DagError>,
) -> Result<(), DagError> {
    let mut seen = HashSet::from([*root]);
    let mut stack = vec![*root];
    while let Some(cid) = stack.pop() {
        let size = store.size(&cid)?;
        // An identity CID carries its bytes: nobody has to store or send it.
        if address::inline_bytes(&cid).is_none() {
            visit(cid, size)?;
        }
        if size.is_none() || !has_links(&cid)? {
            continue;
        }
        let mut next = children(&cid, store.get(&cid)?, scope)?;
        next.reverse();
        stack.extend(next.into_iter().filter(|child| seen.insert(*child)));
    }
    Ok(())
}

/// Whether blocks of this codec link to others.
pub(crate) fn has_links(cid: &Cid) -> Result<bool, AddressError> {
    match cid.codec() {
        CODEC_DAG_PB => Ok(true),
        CODEC_RAW | CODEC_JSON => Ok(false),
        codec => Err(AddressError::UnsupportedCodec {
            cid: Box::new(*cid),
            codec,
        }),
    }
}

fn children(cid: &Cid, bytes: Vec<u8>, scope: Scope) -> Result<Vec<Cid>, NodeError> {
    match scope {
        Scope::Block => Ok(Vec::new()),
        Scope::All => node::links(cid, bytes),
        Scope::Entity => Ok(match node::decode(cid, bytes)? {
            Node::File { children, .. } => children.into_iter().map(|(child, _)| child).collect(),
            Node::Shard { shards, .. } => shards,
            Node::Directory(_) | Node::Symlink(_) => Vec::new(),
        }),
    }
}
