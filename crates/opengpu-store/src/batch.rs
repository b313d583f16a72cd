//! Many blocks made durable together: each waiting for the disk on its own would make a tree of small files crawl.

use std::collections::{BTreeSet, HashSet};
use std::fs::File;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use crate::address::Cid;
use crate::blockstore::{BlockStore, StoreError};

/// Above this many blocks the whole file system is flushed at once. Below, each block alone: flushing everything would also
/// wait for what every other program on the machine has written, which for a few blocks takes far longer.
const FLUSH_EACH_UP_TO: usize = 64;

/// Blocks written and not yet durable. Dropping it uncommitted leaves them as they are: readable, and safe from all but a
/// power cut.
#[derive(Debug)]
pub(crate) struct Batch {
    store: BlockStore,
    written: BTreeSet<PathBuf>,
}

impl Batch {
    pub(crate) fn new(store: &BlockStore) -> Self {
        Self {
            store: store.clone(),
            written: BTreeSet::new(),
        }
    }

    /// Stores bytes already known to be those of `cid`.
    pub(crate) fn write(&mut self, cid: &Cid, bytes: &[u8]) -> Result<(), StoreError> {
        let path = self.store.write(cid, bytes)?;
        // One more than will be looked at is enough to know that there are too many. Blocks found there already count: who
        // wrote them may not have committed yet.
        if self.written.len() <= FLUSH_EACH_UP_TO {
            self.written.insert(path);
        }
        Ok(())
    }

    /// Waits until all of it would survive a power cut.
    pub(crate) fn commit(self) -> Result<(), StoreError> {
        if self.written.len() > FLUSH_EACH_UP_TO {
            let dir = self.store.dir();
            return sync_file_system(dir).map_err(|source| StoreError::io(dir, 0, source));
        }
        // With the directory of directories, in case one is new.
        let blocks = self.store.blocks_dir();
        let mut directories = HashSet::from([blocks.as_path()]);
        for path in &self.written {
            directories.extend(path.parent());
            flush(path)?;
        }
        directories.into_iter().try_for_each(flush)
    }
}

fn flush(path: &Path) -> Result<(), StoreError> {
    match sync(path) {
        // Collected as garbage meanwhile: nobody wants it.
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        synced => synced.map_err(|source| StoreError::io(path, 0, source)),
    }
}

/// Makes one file, or the names in one directory, durable.
pub(crate) fn sync(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

fn sync_file_system(dir: &Path) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    nix::unistd::syncfs(File::open(dir)?)?;
    #[cfg(not(target_os = "linux"))]
    File::open(dir)?.sync_all().map(|()| nix::unistd::sync())?;
    Ok(())
}
