//! The digest of a log that grows: what a voucher's `logRoot` commits to.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::PathBuf;

use opengpu_core::B256;
use opengpu_core::ids::Sha256Digest;
use sha2::{Digest as _, Sha256};

/// Bytes hashed at most in one go, so that a job that prints a lot does not hold up its own meter.
const AT_ONCE: u64 = 4 << 20;

/// Hashes a file from where it left off.
pub(super) struct LogHash {
    path: PathBuf,
    read: u64,
    so_far: Sha256,
}

impl LogHash {
    pub(super) fn new(path: PathBuf) -> Self {
        Self {
            path,
            read: 0,
            so_far: Sha256::new(),
        }
    }

    /// Takes in what was added. A log that does not exist yet is empty.
    pub(super) fn read_on(&mut self) -> io::Result<()> {
        let mut file = match File::open(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            file => file?,
        };
        file.seek(SeekFrom::Start(self.read))?;
        let mut added = Vec::new();
        file.take(AT_ONCE).read_to_end(&mut added)?;
        self.read += added.len() as u64;
        self.so_far.update(&added);
        Ok(())
    }

    /// The digest of what was read.
    pub(super) fn root(&self) -> Sha256Digest {
        Sha256Digest(B256::from_slice(&self.so_far.clone().finalize()))
    }
}

/// The root of a usage log without samples.
pub(super) fn empty_array() -> Sha256Digest {
    Sha256Digest::of(b"[]")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digest_follows_the_growing_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("job.log");
        let mut hash = LogHash::new(path.clone());
        hash.read_on().unwrap();
        assert_eq!(hash.root(), Sha256Digest::of(b""));
        std::fs::write(&path, b"one\n").unwrap();
        hash.read_on().unwrap();
        std::fs::write(&path, b"one\ntwo\n").unwrap();
        hash.read_on().unwrap();
        assert_eq!(hash.root(), Sha256Digest::of(b"one\ntwo\n"));
    }
}
