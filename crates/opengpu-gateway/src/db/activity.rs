//! When nodes were last heard, how far their progress got, and what jobs have uploaded.

use opengpu_core::ids::{CidText, JobId};
use opengpu_core::wire::{JobEventBody, Progress};

use super::events::{Entry, append};
use super::{Db, DbError};

/// Who uploads: the two sides have a quota each, so that neither can use up the other's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Side {
    /// Payer and signer: image and input.
    Payer,
    /// Operator: output, log, receipt.
    Node,
}

impl Side {
    const fn name(self) -> &'static str {
        match self {
            Self::Payer => "payer",
            Self::Node => "node",
        }
    }
}

impl Db {
    /// Notes that an attempt's node spoke.
    pub(crate) async fn note_heard(&self, job: JobId, attempt: u8, at_millis: u64) -> Result<(), DbError> {
        let (mut write, _) = self.writer().await?;
        sqlx::query(
            "INSERT INTO heard (job_id, attempt, at_millis, progress_seq) VALUES (?1, ?2, ?3, 0) \
             ON CONFLICT (job_id, attempt) DO UPDATE SET at_millis = max(at_millis, ?3)",
        )
        .bind(job.to_string())
        .bind(attempt)
        .bind(at_millis.cast_signed())
        .execute(&mut *write)
        .await?;
        write.commit().await?;
        Ok(())
    }

    /// When an attempt's node was last heard, unix milliseconds.
    pub(crate) async fn last_heard(&self, job: JobId, attempt: u8) -> Result<Option<u64>, DbError> {
        let (read, _) = self.reader().await?;
        let at: Option<i64> = sqlx::query_scalar("SELECT at_millis FROM heard WHERE job_id = ? AND attempt = ?")
            .bind(job.to_string())
            .bind(attempt)
            .fetch_optional(&read)
            .await?;
        Ok(at.map(i64::cast_unsigned))
    }

    /// Appends a node's progress if its number is newer than the newest; false when it is not.
    pub(crate) async fn append_progress(
        &self,
        job: JobId,
        at_millis: u64,
        progress: &Progress,
    ) -> Result<bool, DbError> {
        let (mut write, _) = self.writer().await?;
        let done = sqlx::query(
            "INSERT INTO heard (job_id, attempt, at_millis, progress_seq) VALUES (?1, ?2, ?3, ?4) \
             ON CONFLICT (job_id, attempt) DO UPDATE SET at_millis = max(at_millis, ?3), progress_seq = ?4 \
             WHERE progress_seq < ?4",
        )
        .bind(job.to_string())
        .bind(progress.attempt)
        .bind(at_millis.cast_signed())
        .bind(progress.seq)
        .execute(&mut *write)
        .await?;
        let is_new = done.rows_affected() > 0;
        if is_new {
            let entry = Entry {
                job,
                at_millis,
                body: &JobEventBody::Progress(progress.clone()),
                chain: None,
            };
            append(&mut write, &entry).await?;
        }
        write.commit().await?;
        Ok(is_new)
    }

    /// Bytes a side has uploaded for a job.
    pub(crate) async fn artifact_bytes(&self, job: JobId, side: Side) -> Result<u64, DbError> {
        let (read, _) = self.reader().await?;
        let sum: i64 =
            sqlx::query_scalar("SELECT coalesce(sum(bytes), 0) FROM artifacts WHERE job_id = ? AND side = ?")
                .bind(job.to_string())
                .bind(side.name())
                .fetch_one(&read)
                .await?;
        Ok(sum.unsigned_abs())
    }

    /// Notes an upload; false when the same root was there.
    pub(crate) async fn add_artifact(
        &self,
        job: JobId,
        side: Side,
        root: &CidText,
        bytes: u64,
    ) -> Result<bool, DbError> {
        let (mut write, _) = self.writer().await?;
        let done =
            sqlx::query("INSERT INTO artifacts (job_id, side, root, bytes) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING")
                .bind(job.to_string())
                .bind(side.name())
                .bind(root.to_string())
                .bind(bytes.cast_signed())
                .execute(&mut *write)
                .await?;
        write.commit().await?;
        Ok(done.rows_affected() > 0)
    }
}
