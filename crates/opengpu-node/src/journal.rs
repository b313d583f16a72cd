//! What must survive a `kill -9`: one file a job, replaced whole or not at all.
//!
//! ```text
//! DIR/0x<job id>.json    the job's record as last saved
//! DIR/<name>.tmp         a record being written; rubbish after a crash
//! ```
//!
//! Saving writes beside, syncs the file, renames it over the old one and syncs the folder: after [`Journal::save`] returns
//! the record is there after a power cut too, and before that the old one is. The caller saves *before* it acts, so what
//! the world has seen of a job is never ahead of its record.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use opengpu_core::ids::JobId;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Why the journal could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// No room for the record. What was saved before is unharmed; free space and the daemon goes on by itself.
    #[error("disk full: the journal cannot be written at {}", path.display())]
    DiskFull {
        /// The file that was being written.
        path: PathBuf,
    },
    /// The file system failed otherwise. May pass.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A value that has no JSON form. A bug in this program.
    #[error("a record cannot be written as JSON: {0}")]
    NotJson(#[from] serde_json::Error),
}

/// A folder of records.
#[derive(Debug, Clone)]
pub struct Journal {
    dir: PathBuf,
}

/// What a journal held.
#[derive(Debug)]
pub struct Loaded<T> {
    /// Records, with their jobs.
    pub records: Vec<(JobId, T)>,
    /// Files that are no records of this version, and why. They are left as they are for a person to look at.
    pub damaged: Vec<(PathBuf, String)>,
}

impl Journal {
    /// Opens the folder, making it where it is missing, and clears what a crash left half written.
    ///
    /// # Errors
    /// [`JournalError`] when it cannot be made or listed.
    pub fn open(dir: impl Into<PathBuf>) -> Result<Self, JournalError> {
        let dir = dir.into();
        fs::create_dir_all(&dir).map_err(io_error("create", &dir))?;
        for path in files_in(&dir)? {
            if path.extension().is_some_and(|extension| extension == "tmp") {
                fs::remove_file(&path).map_err(io_error("remove", &path))?;
            }
        }
        Ok(Self { dir })
    }

    /// Replaces the job's record, durably. Blocks on the disk.
    ///
    /// # Errors
    /// [`JournalError`]; the former record is then still the one on disk.
    pub fn save<T: Serialize>(&self, job: JobId, record: &T) -> Result<(), JournalError> {
        write_durably(&self.path_of(job), &serde_json::to_vec(record)?)
    }

    /// Forgets the job, durably. Forgetting an unknown one is no error.
    ///
    /// # Errors
    /// [`JournalError::Io`].
    pub fn remove(&self, job: JobId) -> Result<(), JournalError> {
        let path = self.path_of(job);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(io_error("remove", &path)(error)),
            _ => sync_dir(&self.dir),
        }
    }

    /// Reads every record.
    ///
    /// # Errors
    /// [`JournalError::Io`] when the folder or a file cannot be read; a file with other content is no error here but
    /// listed in [`Loaded::damaged`], because one bad record must not stop the other jobs.
    pub fn load<T: DeserializeOwned>(&self) -> Result<Loaded<T>, JournalError> {
        let mut loaded = Loaded {
            records: Vec::new(),
            damaged: Vec::new(),
        };
        for path in files_in(&self.dir)? {
            let Some(job) = job_of(&path) else { continue };
            let bytes = fs::read(&path).map_err(io_error("read", &path))?;
            match serde_json::from_slice(&bytes) {
                Ok(record) => loaded.records.push((job, record)),
                Err(error) => loaded.damaged.push((path, error.to_string())),
            }
        }
        loaded.records.sort_by_key(|(job, _)| *job);
        Ok(loaded)
    }

    fn path_of(&self, job: JobId) -> PathBuf {
        self.dir.join(format!("{job}.json"))
    }
}

/// Replaces the file at `path` by `bytes`: temporary file, sync, rename, sync of the folder. Blocks on the disk.
///
/// # Errors
/// [`JournalError`]; the former content is then still there.
pub fn write_durably(path: &Path, bytes: &[u8]) -> Result<(), JournalError> {
    let temporary = path.with_extension("tmp");
    let written = File::create(&temporary).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    if let Err(error) = written {
        // The half-written file only takes room away; failing to remove it changes nothing.
        let _ = fs::remove_file(&temporary);
        return Err(io_error("write", &temporary)(error));
    }
    fs::rename(&temporary, path).map_err(io_error("rename", path))?;
    sync_dir(path.parent().unwrap_or(Path::new(".")))
}

fn job_of(path: &Path) -> Option<JobId> {
    let name = path.file_name()?.to_str()?;
    name.strip_suffix(".json")?.parse().ok()
}

fn files_in(dir: &Path) -> Result<Vec<PathBuf>, JournalError> {
    let entries = fs::read_dir(dir).map_err(io_error("list", dir))?;
    let paths: Result<Vec<_>, _> = entries.map(|entry| entry.map(|entry| entry.path())).collect();
    paths.map_err(io_error("list", dir))
}

fn sync_dir(dir: &Path) -> Result<(), JournalError> {
    let sync = File::open(dir).and_then(|folder| folder.sync_all());
    sync.map_err(io_error("sync", dir))
}

fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> JournalError {
    let path = path.to_path_buf();
    move |source| match source.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => JournalError::DiskFull { path },
        _ => JournalError::Io { action, path, source },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use opengpu_core::B256;

    fn job(byte: u8) -> JobId {
        JobId(B256::repeat_byte(byte))
    }

    #[test]
    fn record_survives_a_new_journal_on_the_same_folder() {
        let dir = tempfile::tempdir().unwrap();
        let journal = Journal::open(dir.path()).unwrap();
        journal.save(job(1), &"first").unwrap();
        journal.save(job(1), &"second").unwrap();
        journal.save(job(2), &"other").unwrap();
        journal.remove(job(2)).unwrap();
        journal.remove(job(3)).unwrap();
        let again = Journal::open(dir.path()).unwrap();
        let loaded = again.load::<String>().unwrap();
        assert_eq!(loaded.records, vec![(job(1), "second".to_owned())]);
        assert!(loaded.damaged.is_empty());
    }

    #[test]
    fn half_written_record_is_rubbish_and_the_former_one_stands() {
        let dir = tempfile::tempdir().unwrap();
        let journal = Journal::open(dir.path()).unwrap();
        journal.save(job(1), &"whole").unwrap();
        let torn = journal.path_of(job(1)).with_extension("tmp");
        fs::write(&torn, b"\"hal").unwrap();
        let loaded = Journal::open(dir.path()).unwrap().load::<String>().unwrap();
        assert_eq!(loaded.records, vec![(job(1), "whole".to_owned())]);
        assert!(!torn.exists());
    }

    #[test]
    fn damaged_record_is_named_and_does_not_hide_the_others() {
        let dir = tempfile::tempdir().unwrap();
        let journal = Journal::open(dir.path()).unwrap();
        journal.save(job(1), &1u32).unwrap();
        fs::write(journal.path_of(job(2)), b"{").unwrap();
        let loaded = journal.load::<u32>().unwrap();
        assert_eq!(loaded.records, vec![(job(1), 1)]);
        assert_eq!(loaded.damaged.len(), 1);
    }
}
