//! The content-addressed store of OpenGPU, and the only crate that knows IPFS.
//!
//! Everything a job reads and writes is named by what it *is*: a CID, the SHA-256 of a tree of blocks. Whoever holds the
//! CID can check every byte, wherever the bytes came from. Read the modules in this order:
//!
//! 1. [`address`]: which CIDs are spoken here, and how bytes are checked against one.
//! 2. [`blockstore`]: [`BlockStore`], blocks on disk. Atomic, verified on read, safe to kill at any moment.
//! 3. [`import`]: files in. [`import_path`] turns a file or a directory into a DAG; [`cid_of_path`] only names it.
//! 4. [`read`] and [`mod@export`]: files out. [`export()`] is safe against a DAG made by an enemy.
//! 5. [`dag`] and [`gc`]: which blocks a root needs, which are missing, which nobody needs any more.
//! 6. [`car`]: a whole DAG as one stream of bytes, out ([`CarFrames`]) and in ([`import_car`]).
//! 7. [`gateway`]: the same over HTTP, as the public IPFS trustless gateway; [`client`]: the other end, [`fetch`] and [`upload`].
//!
//! Modules 1 to 5 block on the disk: call them from `tokio::task::spawn_blocking`. Modules 6 and 7 do that themselves
//! wherever they are `async`. Nothing here reads a clock; time-outs belong to the HTTP client that the caller passes in.
//!
//! DAGs follow the profile `unixfs-v1-2025` of IPIP-499 (1 MiB chunks, 1024 links a node, CIDv1, raw leaves, SHA-256,
//! directories above 256 KiB sharded as HAMT), so other IPFS software gives the same name to the same files.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

pub mod address;
mod batch;
pub mod blockstore;
pub mod car;
pub mod client;
pub mod dag;
mod directory;
pub mod export;
pub mod gateway;
pub mod gc;
pub mod import;
pub mod limits;
mod node;
mod pins;
pub mod read;

pub use address::{AddressError, Cid, raw_cid, raw_cid_of_digest};
pub use blockstore::{BlockStore, StoreError};
pub use car::{CarError, CarFrames, ImportedCar, import_car};
pub use client::{TransferError, fetch, upload};
pub use dag::{DagError, Scope};
pub use directory::DirectoryError;
pub use export::{ExportError, Exported, export};
pub use gateway::{receive_car, trustless_router};
pub use gc::{Collected, collect_garbage};
pub use import::{ImportError, Imported, cid_of_path, import_bytes, import_path};
pub use limits::{LimitError, Limits};
pub use node::NodeError;
pub use read::{DirectoryEntry, FileChunks, ReadError, read_directory, read_file, read_to_vec};
