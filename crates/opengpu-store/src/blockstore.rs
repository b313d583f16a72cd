//! Blocks on disk: one file a block, named by its SHA-256, so that a crash, a full disk or a flipped bit is always noticed.
//!
//! ```text
//! DIR/blocks/ab/ab12…ef   the bytes whose sha2-256 is ab12…ef
//! DIR/tmp/                blocks being written; whatever is left here after a crash is rubbish
//! DIR/pins/bafy…          an empty file a pinned root
//! ```
//!
//! A block is written beside, then renamed: it is there whole or not at all. Reading checks the hash. Codecs do not matter
//! here: a raw and a dag-pb CID of the same bytes share one file.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::address::{self, AddressError, Cid};
use crate::batch::Batch;

/// The largest block taken, in bytes: the limit of the IPFS network, twice our own chunks, and what one reader buffers.
pub const MAX_BLOCK_BYTES: u64 = 2 << 20;

/// What can go wrong with a block on disk.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The disk, or the owner's quota on it, is full. The user must free space; nothing already stored is harmed.
    #[error("disk full: no room for {bytes} bytes at {}", path.display())]
    DiskFull {
        /// Where the write was tried.
        path: PathBuf,
        /// How much did not fit, in bytes.
        bytes: u64,
    },
    /// Any other failure of the file system. May pass; the path says where to look.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or directory concerned.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The block is not in this store. Fetch it elsewhere.
    #[error("block {cid} is not in the store")]
    Missing {
        /// The name asked for.
        cid: Box<Cid>,
    },
    /// The file's bytes no longer match its name. It has been removed, so that the block can be fetched again.
    #[error("block {cid} was damaged on disk and has been removed")]
    Corrupt {
        /// The name asked for.
        cid: Box<Cid>,
    },
    /// The block is larger than [`MAX_BLOCK_BYTES`]. Never retry.
    #[error("block {cid} has {bytes} bytes, more than {MAX_BLOCK_BYTES}")]
    TooLarge {
        /// The refused name.
        cid: Box<Cid>,
        /// Its size, in bytes.
        bytes: u64,
    },
    /// The CID cannot name a stored block, or the bytes are not the CID's.
    #[error(transparent)]
    Address(#[from] AddressError),
}

impl StoreError {
    /// Classifies what the operating system said about a write of `bytes` bytes (0 for anything else) at `path`.
    pub(crate) fn io(path: &Path, bytes: u64, source: io::Error) -> Self {
        let path = path.to_path_buf();
        match source.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Self::DiskFull { path, bytes },
            _ => Self::Io { path, source },
        }
    }
}

/// A directory of blocks. Cheap to clone; any number of threads and processes may use one directory at once.
#[derive(Debug, Clone)]
pub struct BlockStore {
    dir: Arc<PathBuf>,
}

impl BlockStore {
    /// Opens the store in `dir`, making it when it is not there.
    ///
    /// # Errors
    /// [`StoreError::Io`] or [`StoreError::DiskFull`] when the directories cannot be made.
    pub fn open(dir: impl AsRef<Path>) -> Result<Self, StoreError> {
        let store = Self {
            dir: Arc::new(dir.as_ref().to_path_buf()),
        };
        let make = |path: PathBuf| fs::create_dir_all(&path).map_err(|source| StoreError::io(&path, 0, source));
        make(store.temporary_dir())?;
        make(store.pins_dir())?;
        make(store.blocks_dir())?;
        Ok(store)
    }

    /// The directory the store lives in.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Stores `bytes` under `cid` after checking them, durably: once this returns, a power cut does not lose the block.
    ///
    /// # Errors
    /// [`StoreError::Address`] when the bytes are not the CID's, [`StoreError::TooLarge`], [`StoreError::DiskFull`],
    /// [`StoreError::Io`].
    pub fn put(&self, cid: &Cid, bytes: &[u8]) -> Result<(), StoreError> {
        address::verify(cid, bytes)?;
        let mut batch = Batch::new(self);
        batch.write(cid, bytes)?;
        batch.commit()
    }

    /// Stores bytes already known to be those of `cid`, not yet durably, and says where.
    pub(crate) fn write(&self, cid: &Cid, bytes: &[u8]) -> Result<PathBuf, StoreError> {
        let length = bytes.len() as u64;
        if length > MAX_BLOCK_BYTES {
            return Err(StoreError::TooLarge {
                cid: Box::new(*cid),
                bytes: length,
            });
        }
        let path = self.block_path(cid)?;
        if !self.touch(&path, length)? {
            let write = || -> io::Result<()> {
                let mut file = tempfile::NamedTempFile::new_in(self.temporary_dir())?;
                file.write_all(bytes)?;
                self.place(file, &path)
            };
            write().map_err(|source| StoreError::io(&path, length, source))?;
        }
        Ok(path)
    }

    /// Moves a written block to its place, making its directory when it is the first there.
    fn place(&self, file: tempfile::NamedTempFile, path: &Path) -> io::Result<()> {
        let failed = match file.persist(path) {
            Ok(_) => return Ok(()),
            Err(failed) if failed.error.kind() == ErrorKind::NotFound => failed,
            Err(failed) => return Err(failed.error),
        };
        fs::create_dir_all(path.parent().unwrap_or(path))?;
        failed.file.persist(path).map(drop).map_err(|again| again.error)
    }

    /// Marks a block that is stored already as just used, so that [`crate::collect_garbage`] spares it; false when it is not
    /// stored, or cut short by a crash.
    fn touch(&self, path: &Path, length: u64) -> Result<bool, StoreError> {
        match fs::metadata(path) {
            Ok(found) if found.len() == length => {}
            Ok(_) => return Ok(false),
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(StoreError::io(path, 0, error)),
        }
        let now = nix::sys::time::TimeSpec::UTIME_NOW;
        match nix::sys::stat::utimensat(
            nix::fcntl::AT_FDCWD,
            path,
            &now,
            &now,
            nix::sys::stat::UtimensatFlags::FollowSymlink,
        ) {
            Ok(()) => Ok(true),
            // Collected between the two calls: write it again.
            Err(nix::errno::Errno::ENOENT) => Ok(false),
            Err(errno) => Err(StoreError::io(path, 0, errno.into())),
        }
    }

    /// The bytes of `cid`, checked against it.
    ///
    /// # Errors
    /// [`StoreError::Missing`]; [`StoreError::Corrupt`] when the disk changed them; [`StoreError::Address`];
    /// [`StoreError::Io`].
    pub fn get(&self, cid: &Cid) -> Result<Vec<u8>, StoreError> {
        if let Some(bytes) = address::inline_bytes(cid) {
            return Ok(bytes.to_vec());
        }
        let path = self.block_path(cid)?;
        let bytes = match read_at_most(&path, MAX_BLOCK_BYTES) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Err(StoreError::Missing { cid: Box::new(*cid) });
            }
            Err(error) => return Err(StoreError::io(&path, 0, error)),
        };
        if address::verify(cid, &bytes).is_err() {
            tracing::warn!(%cid, path = %path.display(), "damaged block removed");
            self.remove_file(&path)?;
            return Err(StoreError::Corrupt { cid: Box::new(*cid) });
        }
        Ok(bytes)
    }

    /// The size of `cid` in bytes, or `None` when it is not stored. Does not read the bytes, so does not check them.
    ///
    /// # Errors
    /// [`StoreError::Address`], [`StoreError::Io`].
    pub fn size(&self, cid: &Cid) -> Result<Option<u64>, StoreError> {
        if let Some(bytes) = address::inline_bytes(cid) {
            return Ok(Some(bytes.len() as u64));
        }
        let path = self.block_path(cid)?;
        match fs::metadata(&path) {
            Ok(found) => Ok(Some(found.len())),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(StoreError::io(&path, 0, error)),
        }
    }

    /// Whether `cid` is stored.
    ///
    /// # Errors
    /// As [`Self::size`].
    pub fn has(&self, cid: &Cid) -> Result<bool, StoreError> {
        Ok(self.size(cid)?.is_some())
    }

    pub(crate) fn blocks_dir(&self) -> PathBuf {
        self.dir.join("blocks")
    }

    pub(crate) fn temporary_dir(&self) -> PathBuf {
        self.dir.join("tmp")
    }

    pub(crate) fn pins_dir(&self) -> PathBuf {
        self.dir.join("pins")
    }

    pub(crate) fn block_path(&self, cid: &Cid) -> Result<PathBuf, AddressError> {
        let name: String = address::digest_of(cid)?
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        Ok(self.blocks_dir().join(&name[..2]).join(&name))
    }

    pub(crate) fn remove_file(&self, path: &Path) -> Result<(), StoreError> {
        match fs::remove_file(path) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(StoreError::io(path, 0, error)),
            _ => Ok(()),
        }
    }
}

/// Reads a file, one byte past `limit` at most: a file that grew by accident fails its hash instead of filling memory.
fn read_at_most(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let file = File::open(path)?;
    let length = file.metadata()?.len().min(limit);
    let mut bytes = Vec::with_capacity(length as usize + 1);
    file.take(limit + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::raw_cid;

    fn open() -> (tempfile::TempDir, BlockStore) {
        let dir = tempfile::tempdir().unwrap();
        let store = BlockStore::open(dir.path().join("store")).unwrap();
        (dir, store)
    }

    #[test]
    fn what_was_put_is_got_after_reopening() {
        let (_dir, store) = open();
        let cid = raw_cid(b"hello");
        assert!(!store.has(&cid).unwrap());
        store.put(&cid, b"hello").unwrap();
        store.put(&cid, b"hello").unwrap();
        let again = BlockStore::open(store.dir()).unwrap();
        assert_eq!(again.get(&cid).unwrap(), b"hello");
        assert_eq!(again.size(&cid).unwrap(), Some(5));
        assert_eq!(fs::read_dir(store.temporary_dir()).unwrap().count(), 0);
    }

    #[test]
    fn wrong_bytes_and_large_blocks_are_refused() {
        let (_dir, store) = open();
        let cid = raw_cid(b"hello");
        let refused = store.put(&cid, b"hullo");
        assert!(matches!(
            refused,
            Err(StoreError::Address(AddressError::Mismatch { .. }))
        ));
        assert!(!store.has(&cid).unwrap());
        let large = vec![0; MAX_BLOCK_BYTES as usize + 1];
        let refused = store.put(&raw_cid(&large), &large);
        assert!(matches!(refused, Err(StoreError::TooLarge { .. })));
    }

    #[test]
    fn a_damaged_block_is_reported_removed_and_can_be_put_again() {
        let (_dir, store) = open();
        let cid = raw_cid(b"hello");
        store.put(&cid, b"hello").unwrap();
        fs::write(store.block_path(&cid).unwrap(), b"hullo").unwrap();
        assert!(matches!(store.get(&cid), Err(StoreError::Corrupt { .. })));
        assert!(matches!(store.get(&cid), Err(StoreError::Missing { .. })));
        store.put(&cid, b"hello").unwrap();
        assert_eq!(store.get(&cid).unwrap(), b"hello");
    }

    #[test]
    fn a_block_cut_short_by_a_crash_is_replaced_by_the_next_put() {
        let (_dir, store) = open();
        let cid = raw_cid(b"hello");
        store.put(&cid, b"hello").unwrap();
        fs::write(store.block_path(&cid).unwrap(), b"").unwrap();
        store.put(&cid, b"hello").unwrap();
        assert_eq!(store.get(&cid).unwrap(), b"hello");
    }
}
