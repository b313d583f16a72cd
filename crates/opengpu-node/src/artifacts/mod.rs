//! A job's files on this machine: what it is given, and what it leaves behind.
//!
//! ```text
//! DIR/in/             its input, mounted read-only
//! DIR/out/            its output, mounted writable
//! DIR/image/          the image's OCI layout, when it came as an artifact
//! DIR/job.log         what it printed
//! DIR/usage.growing   the usage log while it grows, and DIR/usage.json when it is whole
//! ```
//!
//! Everything comes from and goes into the block store, where each byte has a name; a transfer that was cut off is simply
//! done again. Transfers hold a read lock of [`Depot::transfers`], so that making room never takes a block from under one.

mod deliver;
mod store;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use opengpu_store::{BlockStore, Cid, Limits, collect_garbage};
use tokio::sync::{RwLock, RwLockReadGuard};

use crate::reactor::{Blame, TaskFault};

pub(crate) use deliver::deliver;
pub(crate) use store::{StoreRequest, store_leavings};

/// The node's block store and who is using it.
#[derive(Debug, Clone)]
pub(crate) struct Depot {
    pub(crate) store: BlockStore,
    transfers: Arc<RwLock<()>>,
}

impl Depot {
    pub(crate) fn new(store: BlockStore) -> Self {
        Self {
            store,
            transfers: Arc::default(),
        }
    }

    /// Holds off [`Self::make_room`] while blocks come in that nothing needs yet.
    pub(crate) async fn transferring(&self) -> RwLockReadGuard<'_, ()> {
        self.transfers.read().await
    }

    /// Removes every block nothing needs, unless a transfer is under way, whose blocks nothing needs *yet*.
    pub(crate) async fn make_room(&self) {
        let Ok(_nobody_transfers) = self.transfers.try_write() else {
            return;
        };
        let store = self.store.clone();
        let collected = blocking(move || collect_garbage(&store, SystemTime::now()).map_err(machine)).await;
        match collected {
            Ok(collected) => tracing::info!(?collected, "unneeded blocks removed"),
            Err(fault) => tracing::warn!(reason = fault.reason, "unneeded blocks not removed"),
        }
    }
}

/// Where one attempt's files are.
#[derive(Debug, Clone)]
pub(crate) struct JobFolder {
    pub(crate) dir: PathBuf,
}

impl JobFolder {
    pub(crate) fn new(dir: PathBuf) -> Self {
        Self { dir }
    }

    pub(crate) fn input(&self) -> PathBuf {
        self.dir.join("in")
    }

    pub(crate) fn output(&self) -> PathBuf {
        self.dir.join("out")
    }

    pub(crate) fn image(&self) -> PathBuf {
        self.dir.join("image")
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.dir.join("job.log")
    }

    pub(crate) fn growing_usage(&self) -> PathBuf {
        self.dir.join("usage.growing")
    }

    pub(crate) fn usage(&self) -> PathBuf {
        self.dir.join("usage.json")
    }

    /// Makes the folder with an empty output.
    pub(crate) fn make(&self) -> io::Result<()> {
        fs::create_dir_all(self.output())
    }

    /// Removes the folder and all in it. Removing an absent one is no error.
    pub(crate) fn remove(&self) -> io::Result<()> {
        match fs::remove_dir_all(&self.dir) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Whether the output holds more than `limit` bytes. Links are not followed; what vanishes meanwhile counts nothing.
    pub(crate) fn is_output_above(&self, limit: u64) -> bool {
        let mut folders = vec![self.output()];
        let mut bytes = 0u64;
        while let Some(folder) = folders.pop() {
            let Ok(entries) = fs::read_dir(&folder) else { continue };
            for entry in entries.flatten() {
                let Ok(found) = entry.path().symlink_metadata() else {
                    continue;
                };
                if found.is_dir() {
                    folders.push(entry.path());
                }
                bytes = bytes.saturating_add(stored_bytes(&found));
                if bytes > limit {
                    return true;
                }
            }
        }
        false
    }
}

/// What a file takes of the disk: a sparse one less than its length, an empty one its own entry.
fn stored_bytes(found: &fs::Metadata) -> u64 {
    use std::os::unix::fs::MetadataExt as _;
    if found.is_file() { found.blocks() * 512 } else { 0 }
}

/// What `bytes` bytes of content may come to as blocks: inner nodes and directories add less than a sixteenth.
fn limits_for(bytes: u64) -> Limits {
    Limits {
        bytes: bytes.saturating_add(bytes / 16).saturating_add(16 << 20),
        ..Limits::default()
    }
}

/// Runs `work` where it may block.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, TaskFault> + Send + 'static,
) -> Result<T, TaskFault> {
    match tokio::task::spawn_blocking(work).await {
        Ok(outcome) => outcome,
        Err(error) => Err(TaskFault {
            blame: Blame::Passing,
            reason: error.to_string(),
        }),
    }
}

pub(crate) fn machine(error: impl std::fmt::Display) -> TaskFault {
    TaskFault {
        blame: Blame::Machine,
        reason: error.to_string(),
    }
}

pub(crate) fn users(error: impl std::fmt::Display) -> TaskFault {
    TaskFault {
        blame: Blame::User,
        reason: error.to_string(),
    }
}

pub(crate) fn passing(error: impl std::fmt::Display) -> TaskFault {
    TaskFault {
        blame: Blame::Passing,
        reason: error.to_string(),
    }
}

/// Reads a CID that came as text.
fn parse_cid(text: &str) -> Result<Cid, TaskFault> {
    text.parse()
        .map_err(|error| users(format!("`{text}` is no CID: {error}")))
}

/// Whether the path exists, as far as can be told.
fn exists(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}
