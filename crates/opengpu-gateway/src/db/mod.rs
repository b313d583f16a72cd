//! The gateway's SQLite file. It may be deleted at any time, also under a running gateway: a new one is begun at once, the
//! chain is read again and messages come back from whoever posts them again.
//!
//! Each file has a *series*, the prefix of every cursor given out from it, so that a reader with a cursor of a lost file
//! starts over instead of skipping. Submodules add the queries, one file a concern.

pub(crate) mod activity;
pub(crate) mod events;
pub(crate) mod jobs;
pub(crate) mod orders;

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Sqlite, Transaction};
use tokio::sync::{Mutex, watch};

use crate::problem::ApiError;

/// How long a connection waits for another's write: longer than any write of ours takes.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);
/// Reading connections: more than there are cores on a small machine, so that one slow reader stops nobody.
const READERS: u32 = 4;

/// Why a query failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DbError {
    /// SQLite or the disk under it failed. May pass.
    #[error(transparent)]
    Sqlite(#[from] sqlx::Error),
    /// The file could not be brought to this version's tables.
    #[error("cannot prepare the tables: {0}")]
    Migrate(#[from] sqlx::migrate::MigrateError),
    /// The folder of the file cannot be used. The user must fix it.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder concerned.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A row does not hold what was written: the file was edited or damaged. Delete it.
    #[error("a row cannot be read: {0}")]
    Row(String),
    /// The file was replaced since what is to be written was read. Read the chain from the start.
    #[error("the database was begun anew meanwhile")]
    Reborn,
}

impl From<serde_json::Error> for DbError {
    fn from(error: serde_json::Error) -> Self {
        Self::Row(error.to_string())
    }
}

impl From<DbError> for ApiError {
    fn from(error: DbError) -> Self {
        Self::internal(error)
    }
}

/// The file, opened.
struct Opened {
    series: String,
    identity: (u64, u64),
    writer: SqlitePool,
    reader: SqlitePool,
}

/// Handle to the database; all methods may be called at once.
pub(crate) struct Db {
    path: PathBuf,
    opened: RwLock<Arc<Opened>>,
    opening: Mutex<()>,
    series: watch::Sender<String>,
}

impl Db {
    /// Opens the file, or begins it.
    pub(crate) async fn open(path: PathBuf) -> Result<Self, DbError> {
        let opened = Arc::new(open_or_begin(&path).await?);
        let (series, _) = watch::channel(opened.series.clone());
        Ok(Self {
            path,
            opened: RwLock::new(opened),
            opening: Mutex::new(()),
            series,
        })
    }

    /// Changes whenever the file is begun anew.
    pub(crate) fn series_changes(&self) -> watch::Receiver<String> {
        self.series.subscribe()
    }

    /// The series of the file as of the last query.
    pub(crate) fn series(&self) -> String {
        self.series.borrow().clone()
    }

    /// Begins the file anew if it is gone; called by every query, and from time to time while there are none.
    pub(crate) async fn heal(&self) -> Result<(), DbError> {
        self.current().await.map(|_| ())
    }

    async fn current(&self) -> Result<Arc<Opened>, DbError> {
        if let Some(opened) = self.if_still_there() {
            return Ok(opened);
        }
        let _one_at_a_time = self.opening.lock().await;
        if let Some(opened) = self.if_still_there() {
            return Ok(opened);
        }
        tracing::warn!(path = %self.path.display(), "the database file is gone; beginning a new one");
        let opened = Arc::new(open_or_begin(&self.path).await?);
        *self.opened.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&opened);
        self.series.send_replace(opened.series.clone());
        Ok(opened)
    }

    fn if_still_there(&self) -> Option<Arc<Opened>> {
        let opened = Arc::clone(&self.opened.read().unwrap_or_else(PoisonError::into_inner));
        (identity_of(&self.path).ok() == Some(opened.identity)).then_some(opened)
    }

    /// The pool to read from and the series its cursors belong to.
    async fn reader(&self) -> Result<(SqlitePool, String), DbError> {
        let opened = self.current().await?;
        Ok((opened.reader.clone(), opened.series.clone()))
    }

    /// A transaction that holds the write lock from its start, and the series it writes to.
    async fn writer(&self) -> Result<(Transaction<'static, Sqlite>, String), DbError> {
        let opened = self.current().await?;
        let transaction = opened.writer.begin_with("BEGIN IMMEDIATE").await?;
        Ok((transaction, opened.series.clone()))
    }
}

/// Which file a path leads to: device and inode.
fn identity_of(path: &Path) -> std::io::Result<(u64, u64)> {
    use std::os::unix::fs::MetadataExt as _;
    let found = std::fs::metadata(path)?;
    Ok((found.dev(), found.ino()))
}

async fn open_or_begin(path: &Path) -> Result<Opened, DbError> {
    match open(path).await {
        Err(error) if is_damaged(&error) => {
            tracing::warn!(%error, path = %path.display(), "the database file is damaged; setting it aside");
            let aside = path.with_extension("damaged");
            std::fs::rename(path, &aside).map_err(|source| DbError::Io { path: aside, source })?;
            open(path).await
        }
        other => other,
    }
}

/// SQLite's result codes for a file that is no database (26) or a broken one (11).
fn is_damaged(error: &DbError) -> bool {
    let inner = match error {
        DbError::Sqlite(error) => error,
        DbError::Migrate(sqlx::migrate::MigrateError::Execute(error)) => error,
        _ => return false,
    };
    let code = inner.as_database_error().and_then(|error| error.code());
    matches!(code.as_deref(), Some("11" | "26"))
}

async fn open(path: &Path) -> Result<Opened, DbError> {
    if !path.exists() {
        remove_leftovers(path)?;
    }
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Normal)
        .busy_timeout(BUSY_TIMEOUT);
    let writer = SqlitePoolOptions::new()
        .max_connections(1)
        .idle_timeout(None)
        .max_lifetime(None)
        .connect_with(options.clone())
        .await?;
    sqlx::migrate!("./migrations").run(&writer).await?;
    sqlx::query("INSERT INTO meta (id, series) VALUES (1, lower(hex(randomblob(6)))) ON CONFLICT DO NOTHING")
        .execute(&writer)
        .await?;
    let series: String = sqlx::query_scalar("SELECT series FROM meta").fetch_one(&writer).await?;
    let identity = identity_of(path).map_err(|source| DbError::Io {
        path: path.to_path_buf(),
        source,
    })?;
    let reader = SqlitePoolOptions::new()
        .max_connections(READERS)
        .connect_lazy_with(options.create_if_missing(false).read_only(true));
    Ok(Opened {
        series,
        identity,
        writer,
        reader,
    })
}

/// A write-ahead log whose database is gone would be replayed into the new one.
fn remove_leftovers(path: &Path) -> Result<(), DbError> {
    for suffix in ["-wal", "-shm"] {
        let mut leftover = path.as_os_str().to_owned();
        leftover.push(suffix);
        let leftover = PathBuf::from(leftover);
        match std::fs::remove_file(&leftover) {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                return Err(DbError::Io { path: leftover, source });
            }
            _ => {}
        }
    }
    Ok(())
}

/// A cursor as text.
fn cursor_text(series: &str, id: i64) -> String {
    format!("{series}-{id}")
}

/// The position a cursor stands for in `series`; the start for none, or one of another series.
fn position(series: &str, cursor: Option<&str>) -> i64 {
    cursor
        .and_then(|text| text.strip_prefix(series)?.strip_prefix('-')?.parse().ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_of_a_lost_file_starts_over() {
        let cursor = cursor_text("aa", 17);
        assert_eq!(position("aa", Some(&cursor)), 17);
        assert_eq!(position("bb", Some(&cursor)), 0);
        assert_eq!(position("aa", None), 0);
        assert_eq!(position("aa", Some("aa-x")), 0);
    }

    #[tokio::test]
    async fn a_deleted_file_is_begun_anew_under_a_running_gateway() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("gateway.db");
        let db = Db::open(path.clone()).await.unwrap();
        let mut changes = db.series_changes();
        let first = changes.borrow_and_update().clone();
        std::fs::remove_file(&path).unwrap();
        let (_, second) = db.reader().await.unwrap();
        assert_ne!(first, second);
        assert!(changes.has_changed().unwrap());
        assert!(path.exists());
    }

    #[tokio::test]
    async fn a_damaged_file_is_set_aside() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("gateway.db");
        std::fs::write(&path, vec![7u8; 8192]).unwrap();
        let db = Db::open(path.clone()).await.unwrap();
        assert!(db.reader().await.is_ok());
        assert!(path.with_extension("damaged").exists());
    }
}
