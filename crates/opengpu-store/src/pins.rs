//! Which roots are kept: everything else is garbage once it is old.

use std::fs::{self, File};
use std::io;

use crate::address::Cid;
use crate::batch;
use crate::blockstore::{BlockStore, StoreError};

impl BlockStore {
    /// Protects `root` and all below it from [`crate::collect_garbage`]. Durable; pinning twice is pinning once.
    ///
    /// # Errors
    /// [`StoreError::Io`], [`StoreError::DiskFull`].
    pub fn pin(&self, root: &Cid) -> Result<(), StoreError> {
        let dir = self.pins_dir();
        let path = dir.join(root.to_string());
        let make = || File::create(&path)?.sync_all().and_then(|()| batch::sync(&dir));
        make().map_err(|source| StoreError::io(&path, 0, source))
    }

    /// Ends the protection of `root`. Fine when it was not pinned.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn unpin(&self, root: &Cid) -> Result<(), StoreError> {
        self.remove_file(&self.pins_dir().join(root.to_string()))
    }

    /// All pinned roots, in the order of their names.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn pins(&self) -> Result<Vec<Cid>, StoreError> {
        let dir = self.pins_dir();
        let list = || -> io::Result<Vec<Cid>> {
            let mut pins = Vec::new();
            for entry in fs::read_dir(&dir)? {
                let name = entry?.file_name();
                pins.extend(name.to_str().and_then(|name| name.parse::<Cid>().ok()));
            }
            pins.sort_by_cached_key(Cid::to_string);
            Ok(pins)
        };
        list().map_err(|source| StoreError::io(&dir, 0, source))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::raw_cid;

    #[test]
    fn pins_survive_and_end() {
        let dir = tempfile::tempdir().unwrap();
        let store = BlockStore::open(dir.path()).unwrap();
        let cid = raw_cid(b"hello");
        store.pin(&cid).unwrap();
        store.pin(&cid).unwrap();
        assert_eq!(BlockStore::open(store.dir()).unwrap().pins().unwrap(), [cid]);
        store.unpin(&cid).unwrap();
        store.unpin(&cid).unwrap();
        assert!(store.pins().unwrap().is_empty());
    }
}
