//! The logs that nodes push while a job runs: one file an attempt, append only. They are for watching; what a job is closed
//! with is the log's CID in the receipt.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use opengpu_core::ids::JobId;
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};

use crate::problem::{ApiError, Code};

/// Names one attempt's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LogName {
    pub(crate) job: JobId,
    pub(crate) attempt: u8,
}

/// What an append came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Appended {
    /// Length of the log now, bytes.
    pub(crate) length: u64,
    /// Whether all of it was there before.
    pub(crate) is_repeat: bool,
}

/// Why bytes were not appended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LogError {
    /// They start after the end of what is held. Send again from `length`.
    #[error("the log has {length} bytes; continue from there")]
    Gap {
        /// What is held, bytes.
        length: u64,
    },
    /// They would make the log longer than allowed.
    #[error("a job's log may have {limit} bytes here")]
    Full {
        /// The limit, bytes.
        limit: u64,
    },
    /// The disk failed, or is full.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl From<LogError> for ApiError {
    fn from(error: LogError) -> Self {
        let detail = error.to_string();
        match error {
            LogError::Gap { .. } => Self::new(Code::LogGap, detail),
            LogError::Full { .. } => Self::new(Code::QuotaExceeded, detail),
            LogError::Io(inner) if inner.kind() == io::ErrorKind::StorageFull => {
                Self::new(Code::DiskFull, "no room for the log")
            }
            LogError::Io(inner) => Self::internal(inner),
        }
    }
}

/// The folder of logs.
#[derive(Clone)]
pub(crate) struct Logs {
    dir: PathBuf,
    limit: u64,
    /// Appends come one after the other: each looks at the length first.
    appending: Arc<Mutex<()>>,
}

impl Logs {
    /// Uses `dir`, which is made if missing; no log grows past `limit` bytes.
    pub(crate) fn open(dir: PathBuf, limit: u64) -> io::Result<Self> {
        fs::create_dir_all(&dir)?;
        Ok(Self {
            dir,
            limit,
            appending: Arc::default(),
        })
    }

    fn path(&self, name: LogName) -> PathBuf {
        self.dir.join(format!("{}-{}.log", name.job, name.attempt))
    }

    /// Bytes held; 0 for a log nobody has sent.
    pub(crate) async fn length(&self, name: LogName) -> io::Result<u64> {
        match tokio::fs::metadata(self.path(name)).await {
            Ok(found) => Ok(found.len()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
            Err(error) => Err(error),
        }
    }

    /// Takes the part of `bytes`, which start at `offset` of the log, that is new.
    pub(crate) async fn append(&self, name: LogName, offset: u64, bytes: bytes::Bytes) -> Result<Appended, LogError> {
        let logs = self.clone();
        tokio::task::spawn_blocking(move || logs.append_blocking(name, offset, &bytes))
            .await
            .map_err(io::Error::other)?
    }

    fn append_blocking(&self, name: LogName, offset: u64, bytes: &[u8]) -> Result<Appended, LogError> {
        let _one_at_a_time = self.appending.lock().unwrap_or_else(PoisonError::into_inner);
        let mut file: File = OpenOptions::new().create(true).append(true).open(self.path(name))?;
        let length = file.seek(SeekFrom::End(0))?;
        let Some(held) = length.checked_sub(offset) else {
            return Err(LogError::Gap { length });
        };
        let fresh = usize::try_from(held)
            .ok()
            .and_then(|held| bytes.get(held..))
            .unwrap_or_default();
        let new_length = length + fresh.len() as u64;
        if new_length > self.limit {
            return Err(LogError::Full { limit: self.limit });
        }
        if let Err(error) = file.write_all(fresh) {
            // Half a write would be taken for the whole; the sender repeats from the old end.
            file.set_len(length)?;
            return Err(error.into());
        }
        Ok(Appended {
            length: new_length,
            is_repeat: fresh.is_empty(),
        })
    }

    /// The log from `offset` to its present end, and how many bytes that is; `None` when there is nothing.
    pub(crate) async fn reader(
        &self,
        name: LogName,
        offset: u64,
    ) -> io::Result<Option<tokio::io::Take<tokio::fs::File>>> {
        let length = self.length(name).await?;
        if offset >= length {
            return Ok(None);
        }
        let mut file = tokio::fs::File::open(self.path(name)).await?;
        file.seek(SeekFrom::Start(offset)).await?;
        Ok(Some(file.take(length - offset)))
    }

    /// At most `most` bytes of the log from `offset`; empty at the end.
    pub(crate) async fn read(&self, name: LogName, offset: u64, most: u64) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        if let Some(reader) = self.reader(name, offset).await? {
            reader.take(most).read_to_end(&mut bytes).await?;
        }
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use opengpu_core::B256;

    const NAME: LogName = LogName {
        job: JobId(B256::repeat_byte(3)),
        attempt: 1,
    };

    #[tokio::test]
    async fn overlapping_pieces_make_one_log() {
        let dir = tempfile::tempdir().unwrap();
        let logs = Logs::open(dir.path().join("logs"), 100).unwrap();
        let append = |offset, text: &'static str| logs.append(NAME, offset, Bytes::from(text));
        assert_eq!(append(0, "hello").await.unwrap().length, 5);
        assert!(append(0, "hel").await.unwrap().is_repeat);
        assert_eq!(append(3, "lo world").await.unwrap().length, 11);
        assert_eq!(logs.read(NAME, 0, 100).await.unwrap(), b"hello world");
        assert_eq!(logs.read(NAME, 6, 3).await.unwrap(), b"wor");
        assert!(logs.read(NAME, 11, 3).await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn a_hole_is_refused_with_where_to_go_on() {
        let dir = tempfile::tempdir().unwrap();
        let logs = Logs::open(dir.path().join("logs"), 100).unwrap();
        logs.append(NAME, 0, Bytes::from("abc")).await.unwrap();
        let refused = logs.append(NAME, 4, Bytes::from("x")).await.unwrap_err();
        assert!(matches!(refused, LogError::Gap { length: 3 }));
    }

    #[tokio::test]
    async fn a_log_stops_at_its_limit() {
        let dir = tempfile::tempdir().unwrap();
        let logs = Logs::open(dir.path().join("logs"), 4).unwrap();
        let refused = logs.append(NAME, 0, Bytes::from("abcde")).await.unwrap_err();
        assert!(matches!(refused, LogError::Full { limit: 4 }));
        assert_eq!(logs.length(NAME).await.unwrap(), 0);
    }
}
