//! A directory's blocks: one node, or a tree of shards when one node would be too large.

use rust_unixfs::dir::builder::{BufferingTreeBuilder, TreeBuildingFailed, TreeConstructionFailed, TreeOptions};

use crate::address::Cid;

/// Largest directory kept in one block, in bytes: IPIP-499, profile `unixfs-v1-2025`, which measures the whole block. The
/// npm reference importer counts the links of subdirectories as nothing here, so it shards a directory of more than about
/// four thousand *subdirectories* later than Kubo and we do.
const SHARD_ABOVE_BYTES: u64 = 256 << 10;

/// What a directory needs to know about one of its entries.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Link {
    pub(crate) cid: Cid,
    /// All blocks below, in bytes, repeated ones counted again: the `Tsize` of dag-pb.
    pub(crate) bytes: u64,
}

/// A directory ready to be stored.
pub(crate) struct Built {
    pub(crate) root: Link,
    /// Its own blocks, children before parents.
    pub(crate) blocks: Vec<(Cid, Vec<u8>)>,
}

/// Why a directory could not be built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DirectoryError {
    /// A name is used twice, or is no name: the file system gave impossible answers.
    #[error("{0}")]
    Name(TreeBuildingFailed),
    /// Eight levels of shards do not tell two names apart: somebody searched for such names. The user must rename one.
    #[error("{0}")]
    Blocks(TreeConstructionFailed),
    /// The UnixFS library made no block.
    #[error("no block was made")]
    Empty,
}

/// Builds the directory of `links`.
pub(crate) fn build(links: &[(String, Link)]) -> Result<Built, DirectoryError> {
    match render(links, false) {
        Err(DirectoryError::Blocks(TreeConstructionFailed::TooLargeBlock(_))) => render(links, true),
        built => built,
    }
}

fn render(links: &[(String, Link)], is_sharded: bool) -> Result<Built, DirectoryError> {
    let mut options = TreeOptions::default();
    options.wrap_with_directory();
    // The library would decide by the length of names and CIDs alone, which is another profile's rule.
    options.shard_threshold(is_sharded.then_some(0));
    options.block_size_limit((!is_sharded).then_some(SHARD_ABOVE_BYTES));
    let mut builder = BufferingTreeBuilder::new(options);
    for (name, link) in links {
        builder
            .put_link(name, link.cid, link.bytes)
            .map_err(DirectoryError::Name)?;
    }
    let mut blocks = Vec::new();
    let mut root = None;
    for node in builder.build() {
        let node = node.map_err(DirectoryError::Blocks)?;
        root = Some(Link {
            cid: node.cid,
            bytes: node.total_size,
        });
        blocks.push((node.cid, node.block.into_vec()));
    }
    let root = root.ok_or(DirectoryError::Empty)?;
    Ok(Built { root, blocks })
}
