//! One container's folder on disk: all that survives a killed daemon or shim.
//!
//! | file | written by | says |
//! |---|---|---|
//! | `spec.json` | daemon, before the shim | what to run |
//! | `lock` | shim holds it (`fcntl(2)` record lock) while it lives | the shim is alive |
//! | `shim.json` | shim, first | its process |
//! | `started.json` | shim, before the program is told to run | the first process, when |
//! | `exit.json` | shim, last | the exit record |
//!
//! Every crash leaves a state that can be told from these: no `started.json` and no lock means that nothing ran;
//! `started.json` without lock and `exit.json` means lost. Files appear whole or not at all.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::runtime::{ContainerSpec, ExitRecord, Moment, RuntimeError};

use super::process::ProcessIdentity;

/// What the shim is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StoredSpec {
    /// The container.
    pub(crate) container: ContainerSpec,
    /// First host user and group id of its range of 65,536.
    pub(crate) first_id: u32,
}

/// The program was told to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Started {
    /// The container's first process, as the host sees it.
    pub(crate) process: ProcessIdentity,
    /// When.
    pub(crate) at: Moment,
}

/// A container's folder. It need not exist.
#[derive(Debug, Clone)]
pub(crate) struct StateFolder {
    path: PathBuf,
}

/// Held by a living shim.
#[derive(Debug)]
pub(crate) struct FolderLock {
    _file: File,
}

impl StateFolder {
    pub(crate) fn at(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn create(&self) -> Result<(), RuntimeError> {
        fs::create_dir_all(&self.path).map_err(io_error("create", &self.path))
    }

    pub(crate) fn write_spec(&self, spec: &StoredSpec) -> Result<(), RuntimeError> {
        self.write("spec.json", spec)
    }

    pub(crate) fn spec(&self) -> Result<Option<StoredSpec>, RuntimeError> {
        self.read("spec.json")
    }

    pub(crate) fn write_shim(&self, process: &ProcessIdentity) -> Result<(), RuntimeError> {
        self.write("shim.json", process)
    }

    pub(crate) fn shim(&self) -> Result<Option<ProcessIdentity>, RuntimeError> {
        self.read("shim.json")
    }

    pub(crate) fn write_started(&self, started: &Started) -> Result<(), RuntimeError> {
        self.write("started.json", started)
    }

    pub(crate) fn started(&self) -> Result<Option<Started>, RuntimeError> {
        self.read("started.json")
    }

    pub(crate) fn write_exit(&self, record: &ExitRecord) -> Result<(), RuntimeError> {
        self.write("exit.json", record)
    }

    pub(crate) fn exit(&self) -> Result<Option<ExitRecord>, RuntimeError> {
        self.read("exit.json")
    }

    /// Takes the lock for the life of this process; `None` when another process holds it.
    ///
    /// It is a lock of this process alone: children do not inherit it, so that a half-made container whose shim was
    /// killed is not taken for one that has a shim.
    pub(crate) fn try_lock(&self) -> Result<Option<FolderLock>, RuntimeError> {
        let file = self.open_lock()?;
        match fcntl(&file, FcntlArg::F_SETLK(&whole_file())) {
            Ok(_) => Ok(Some(FolderLock { _file: file })),
            Err(Errno::EAGAIN | Errno::EACCES) => Ok(None),
            Err(error) => Err(self.lock_error(error)),
        }
    }

    /// Whether another process holds the lock. Nothing is taken, not even for a moment.
    pub(crate) fn is_locked(&self) -> Result<bool, RuntimeError> {
        let mut lock = whole_file();
        fcntl(self.open_lock()?, FcntlArg::F_GETLK(&mut lock)).map_err(|error| self.lock_error(error))?;
        Ok(lock.l_type != libc::F_UNLCK as libc::c_short)
    }

    /// Waits until nobody holds the lock. Blocks the thread.
    pub(crate) fn wait_until_free(&self) -> Result<(), RuntimeError> {
        let file = self.open_lock()?;
        loop {
            match fcntl(&file, FcntlArg::F_SETLKW(&whole_file())) {
                Ok(_) => return Ok(()),
                Err(Errno::EINTR) => {}
                Err(error) => return Err(self.lock_error(error)),
            }
        }
    }

    /// Removes the folder and all in it.
    pub(crate) fn remove(&self) -> Result<(), RuntimeError> {
        match fs::remove_dir_all(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(io_error("remove", &self.path)(error)),
            _ => Ok(()),
        }
    }

    fn open_lock(&self) -> Result<File, RuntimeError> {
        let path = self.path.join("lock");
        OpenOptions::new()
            .create(true)
            .append(true)
            .open(&path)
            .map_err(io_error("open", &path))
    }

    fn lock_error(&self, error: Errno) -> RuntimeError {
        io_error("lock", &self.path.join("lock"))(error.into())
    }

    fn read<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, RuntimeError> {
        let path = self.path.join(name);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(io_error("read", &path)(error)),
        };
        let value = serde_json::from_slice(&bytes);
        value.map(Some).map_err(|error| RuntimeError::Damaged {
            path,
            reason: error.to_string(),
        })
    }

    /// Writes so that after a power cut the file is there whole, or not at all.
    fn write(&self, name: &str, value: &impl Serialize) -> Result<(), RuntimeError> {
        let path = self.path.join(name);
        let bytes = serde_json::to_vec(value).map_err(|error| RuntimeError::Damaged {
            path: path.clone(),
            reason: error.to_string(),
        })?;
        let temporary = self.path.join(format!("{name}.{}.new", std::process::id()));
        let write = || -> io::Result<()> {
            let mut file = File::create(&temporary)?;
            file.write_all(&bytes)?;
            file.sync_all()?;
            fs::rename(&temporary, &path)?;
            File::open(&self.path)?.sync_all()
        };
        write().map_err(io_error("write", &path))
    }
}

/// A write lock on the whole lock file, as `fcntl(2)` wants it described.
fn whole_file() -> libc::flock {
    libc::flock {
        l_type: libc::F_WRLCK as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    }
}

fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> RuntimeError {
    let path = path.to_owned();
    move |source| RuntimeError::Io { action, path, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_survives_being_written_and_is_absent_before() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = StateFolder::at(temporary.path());
        assert_eq!(folder.started().unwrap(), None);
        let started = Started {
            process: ProcessIdentity { pid: 7, start_ticks: 9 },
            at: Moment {
                unix_millis: 1,
                boot_millis: 2,
            },
        };
        folder.write_started(&started).unwrap();
        assert_eq!(folder.started().unwrap(), Some(started));
    }

    #[test]
    fn a_torn_record_is_reported_and_never_taken_for_another_state() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = StateFolder::at(temporary.path());
        fs::write(temporary.path().join("exit.json"), b"{\"outcome\":").unwrap();
        assert!(matches!(folder.exit(), Err(RuntimeError::Damaged { .. })));
    }
}
