//! Removing what no pinned root needs.

use std::collections::HashSet;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::blockstore::{BlockStore, StoreError};
use crate::dag::{self, DagError, Scope};

/// What [`collect_garbage`] removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Collected {
    /// Files removed: blocks, and what crashed writers left.
    pub files: u64,
    /// Their size, in bytes.
    pub bytes: u64,
}

/// Removes every block that no pinned root needs and that was last written before `written_before`.
///
/// An import or a transfer that has not been pinned yet is spared by that time: pass now minus the longest transfer. Writing
/// a block that is there already counts as writing it.
///
/// # Errors
/// [`DagError`] when a pinned DAG is incomplete or the disk fails; then nothing more is removed.
pub fn collect_garbage(store: &BlockStore, written_before: SystemTime) -> Result<Collected, DagError> {
    let mut needed: HashSet<PathBuf> = HashSet::new();
    for root in store.pins()? {
        for block in dag::blocks(store, &root, Scope::All)? {
            needed.insert(store.block_path(&block.cid)?);
        }
    }
    let mut collected = Collected::default();
    let shards = list(&store.blocks_dir())?;
    for directory in shards.iter().chain([&store.temporary_dir()]) {
        for path in list(directory)? {
            if !needed.contains(&path) {
                remove_if_old(store, &path, written_before, &mut collected)?;
            }
        }
    }
    Ok(collected)
}

fn remove_if_old(
    store: &BlockStore,
    path: &Path,
    written_before: SystemTime,
    collected: &mut Collected,
) -> Result<(), StoreError> {
    let found = match fs::metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(StoreError::io(path, 0, error)),
    };
    let modified = found.modified().map_err(|error| StoreError::io(path, 0, error))?;
    if modified < written_before {
        store.remove_file(path)?;
        collected.files += 1;
        collected.bytes += found.len();
    }
    Ok(())
}

fn list(directory: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let read = || -> io::Result<Vec<PathBuf>> { fs::read_dir(directory)?.map(|entry| Ok(entry?.path())).collect() };
    read().map_err(|error| StoreError::io(directory, 0, error))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{Limits, import_path, raw_cid};

    #[test]
    fn only_what_is_old_and_not_pinned_goes() {
        let dir = tempfile::tempdir().unwrap();
        let store = BlockStore::open(dir.path().join("store")).unwrap();
        let tree = dir.path().join("tree");
        fs::create_dir_all(tree.join("sub")).unwrap();
        fs::write(tree.join("sub/file"), b"kept").unwrap();
        let kept = import_path(&store, &tree, &Limits::default()).unwrap().cid;
        store.pin(&kept).unwrap();
        let dropped = raw_cid(b"dropped");
        store.put(&dropped, b"dropped").unwrap();
        fs::write(store.temporary_dir().join("left-by-a-crash"), b"xyz").unwrap();

        let written = fs::metadata(store.block_path(&dropped).unwrap())
            .unwrap()
            .modified()
            .unwrap();
        let before = written - Duration::from_secs(60);
        assert_eq!(collect_garbage(&store, before).unwrap(), Collected::default());
        assert!(store.has(&dropped).unwrap());

        let after = written + Duration::from_secs(60);
        let collected = collect_garbage(&store, after).unwrap();
        assert_eq!(collected, Collected { files: 2, bytes: 7 + 3 });
        assert!(!store.has(&dropped).unwrap());
        assert!(dag::missing(&store, &kept).unwrap().is_empty());

        store.unpin(&kept).unwrap();
        assert_eq!(collect_garbage(&store, after).unwrap().files, 3);
        assert!(!store.has(&kept).unwrap());
    }
}
