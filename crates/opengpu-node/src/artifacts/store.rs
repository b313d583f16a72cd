//! Storing what a job leaves behind: output, log and usage log.

use std::fs::{self, File, OpenOptions};
use std::io::Read as _;
use std::path::Path;

use opengpu_core::B256;
use opengpu_core::ids::{CidText, Sha256Digest};
use opengpu_store::{BlockStore, ImportError, Imported, Limits, import_path};
use sha2::{Digest as _, Sha256};

use super::{Depot, JobFolder, blocking, machine, users};
use crate::meter::{UsageLine, UsageLog};
use crate::ports::Leavings;
use crate::reactor::TaskFault;

/// What to store.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StoreRequest {
    /// The last line of the usage log: the final counters.
    pub(crate) last: UsageLine,
    /// The most the output may hold, in bytes.
    pub(crate) output_limit: u64,
    /// Whether to store an empty folder instead of the output.
    pub(crate) without_output: bool,
}

/// Stores the attempt's output and logs, and pins them. May be repeated: the same files have the same names.
pub(crate) async fn store_leavings(
    depot: &Depot,
    folder: &JobFolder,
    request: StoreRequest,
) -> Result<Leavings, TaskFault> {
    let stored = {
        let _transferring = depot.transferring().await;
        let (store, folder) = (depot.store.clone(), folder.clone());
        blocking(move || store_all(&store, &folder, request)).await
    };
    if stored.is_err() {
        depot.make_room().await;
    }
    stored
}

fn store_all(store: &BlockStore, folder: &JobFolder, request: StoreRequest) -> Result<Leavings, TaskFault> {
    folder.make().map_err(machine)?;
    let log_file = folder.log();
    OpenOptions::new()
        .create(true)
        .append(true)
        .open(&log_file)
        .map_err(machine)?;
    let output = store_output(store, folder, request)?;
    let logs = kept(
        store,
        import_path(store, &log_file, &Limits::default()).map_err(machine)?,
    )?;
    let mut usage_log = UsageLog::open(&folder.growing_usage()).map_err(machine)?;
    usage_log.add(request.last).map_err(machine)?;
    usage_log.finish(&folder.usage()).map_err(machine)?;
    let usage = kept(
        store,
        import_path(store, &folder.usage(), &Limits::default()).map_err(machine)?,
    )?;
    Ok(Leavings {
        output: text(&output),
        logs: text(&logs),
        log_bytes: logs.bytes,
        usage: text(&usage),
        log_root: digest_of(&log_file).map_err(machine)?,
        usage_root: usage_log.root(),
    })
}

fn store_output(store: &BlockStore, folder: &JobFolder, request: StoreRequest) -> Result<Imported, TaskFault> {
    let limits = Limits {
        bytes: request.output_limit,
        ..Limits::default()
    };
    if request.without_output {
        let empty = folder.dir.join("empty");
        fs::create_dir_all(&empty).map_err(machine)?;
        return kept(store, import_path(store, &empty, &limits).map_err(machine)?);
    }
    let imported = import_path(store, &folder.output(), &limits).map_err(|error| match &error {
        ImportError::Store(_) | ImportError::Read { .. } => machine(error),
        _ => users(format!("the output cannot be stored: {error}")),
    })?;
    kept(store, imported)
}

fn kept(store: &BlockStore, imported: Imported) -> Result<Imported, TaskFault> {
    store.pin(&imported.cid).map_err(machine)?;
    Ok(imported)
}

fn text(imported: &Imported) -> CidText {
    CidText(imported.cid.to_string())
}

fn digest_of(path: &Path) -> std::io::Result<Sha256Digest> {
    let mut file = File::open(path)?;
    let (mut hash, mut buffer) = (Sha256::new(), vec![0; 1 << 16]);
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(Sha256Digest(B256::from_slice(&hash.finalize()))),
            count => hash.update(&buffer[..count]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn last(billed_millis: u64) -> UsageLine {
        UsageLine {
            at_millis: 9_000,
            billed_millis,
            cpu_millis: 1,
            egress_bytes: 0,
            memory_bytes: 0,
        }
    }

    fn request() -> StoreRequest {
        StoreRequest {
            last: last(5_000),
            output_limit: 1 << 20,
            without_output: false,
        }
    }

    async fn depot_and_folder(dir: &Path) -> (Depot, JobFolder) {
        let folder = JobFolder::new(dir.join("job"));
        folder.make().unwrap();
        (Depot::new(BlockStore::open(dir.join("store")).unwrap()), folder)
    }

    #[tokio::test]
    async fn storing_again_after_a_crash_gives_the_same_names() {
        let dir = tempfile::tempdir().unwrap();
        let (depot, folder) = depot_and_folder(dir.path()).await;
        fs::write(folder.output().join("picture.png"), b"pixels").unwrap();
        fs::write(folder.log(), b"hello\n").unwrap();
        let first = store_leavings(&depot, &folder, request()).await.unwrap();
        let again = store_leavings(&depot, &folder, request()).await.unwrap();
        assert_eq!(first, again);
        assert_eq!(first.log_bytes, 6);
        assert_eq!(first.log_root, Sha256Digest::of(b"hello\n"));
        let usage = fs::read(folder.usage()).unwrap();
        assert_eq!(first.usage_root, Sha256Digest::of(&usage));
        assert_eq!(
            serde_json::from_slice::<Vec<UsageLine>>(&usage).unwrap(),
            vec![last(5_000)]
        );
    }

    #[tokio::test]
    async fn output_above_its_limit_is_the_users_fault_and_can_be_left_out() {
        let dir = tempfile::tempdir().unwrap();
        let (depot, folder) = depot_and_folder(dir.path()).await;
        fs::write(folder.output().join("large"), vec![7; 2 << 20]).unwrap();
        let fault = store_leavings(&depot, &folder, request()).await.unwrap_err();
        assert_eq!(fault.blame, crate::reactor::Blame::User);
        assert!(folder.is_output_above(1 << 20) && !folder.is_output_above(3 << 20));
        let without = StoreRequest {
            without_output: true,
            ..request()
        };
        assert!(store_leavings(&depot, &folder, without).await.is_ok());
    }

    #[tokio::test]
    async fn making_room_keeps_what_jobs_left_behind() {
        let dir = tempfile::tempdir().unwrap();
        let (depot, folder) = depot_and_folder(dir.path()).await;
        fs::write(folder.log(), b"kept").unwrap();
        let left = store_leavings(&depot, &folder, request()).await.unwrap();
        let garbage = opengpu_store::import_bytes(&depot.store, b"nobody needs this").unwrap();
        depot.make_room().await;
        assert!(!depot.store.has(&garbage.cid).unwrap());
        assert!(depot.store.has(&left.logs.0.parse().unwrap()).unwrap());
    }
}
