//! The stream of each job.

use opengpu_core::B256;
use opengpu_core::ids::JobId;
use opengpu_core::order::Signable as _;
use opengpu_core::wire::{JobEvent, JobEventBody, Page, Step};
use sqlx::{Sqlite, Transaction};

use super::{Db, DbError, cursor_text, position};

/// Vouchers and proposals kept of one job; a job of 30 days makes half a million and only the newest is worth money.
const VOUCHERS_KEPT: i64 = 512;

/// An entry to append.
pub(crate) struct Entry<'a> {
    pub(crate) job: JobId,
    pub(crate) at_millis: u64,
    pub(crate) body: &'a JobEventBody,
    /// For what the chain said: its block and what makes the log unique.
    pub(crate) chain: Option<(u64, String)>,
}

/// What repeats of a message do.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Repeat {
    /// The first stays; the repeat changes nothing.
    Ignored,
    /// The last replaces it at the end of the stream.
    Moves,
}

/// Name of an entry's kind, and the text that is equal for repeats of the same message.
fn identify(entry: &Entry<'_>) -> (&'static str, String, Repeat) {
    use JobEventBody as Body;
    let once = |kind, hash: B256| (kind, format!("{kind}:{hash:#x}"), Repeat::Ignored);
    match entry.body {
        Body::Bid(bid) => once("bid", bid.bid.struct_hash()),
        Body::Chain { transaction, .. } => {
            let log = entry.chain.as_ref().map_or("", |(_, log)| log);
            ("chain", format!("chain:{transaction:#x}:{log}"), Repeat::Ignored)
        }
        // A line a second for days: only the newest of an attempt is of interest.
        Body::Progress(progress) if matches!(progress.step, Step::Usage { .. }) => {
            ("usage", format!("usage:{}", progress.attempt), Repeat::Moves)
        }
        Body::Progress(progress) => {
            let identity = format!("progress:{}:{}", progress.attempt, progress.seq);
            ("progress", identity, Repeat::Ignored)
        }
        Body::VoucherProposed(proposal) => once("voucher-proposed", proposal.voucher.struct_hash()),
        Body::VoucherSigned(signed) => once("voucher-signed", signed.voucher.struct_hash()),
        Body::ResultProposed(proposal) => once("result-proposed", proposal.result.struct_hash()),
        Body::ResultApproved(approved) => once("result-approved", approved.approve.struct_hash()),
        Body::Refused(refusal) => {
            let identity = format!("refused:{:#x}:{}", refusal.refused, refusal.reason);
            ("refused", identity, Repeat::Moves)
        }
        Body::StopRequested(_) => ("stop", "stop".to_owned(), Repeat::Ignored),
    }
}

/// Appends within a transaction; false when the entry was there and stays where it was.
pub(super) async fn append(write: &mut Transaction<'static, Sqlite>, entry: &Entry<'_>) -> Result<bool, DbError> {
    let (kind, identity, repeat) = identify(entry);
    let job = entry.job.to_string();
    if repeat == Repeat::Moves {
        sqlx::query("DELETE FROM job_events WHERE job_id = ? AND identity = ?")
            .bind(&job)
            .bind(&identity)
            .execute(&mut **write)
            .await?;
    }
    let done = sqlx::query(
        "INSERT INTO job_events (job_id, kind, identity, block, at_millis, body) VALUES (?, ?, ?, ?, ?, ?) \
         ON CONFLICT (job_id, identity) DO NOTHING",
    )
    .bind(&job)
    .bind(kind)
    .bind(identity)
    .bind(entry.chain.as_ref().map(|(block, _)| block.cast_signed()))
    .bind(entry.at_millis.cast_signed())
    .bind(serde_json::to_string(entry.body)?)
    .execute(&mut **write)
    .await?;
    if kind.starts_with("voucher") {
        forget_old(write, &job, kind).await?;
    }
    Ok(done.rows_affected() > 0)
}

async fn forget_old(write: &mut Transaction<'static, Sqlite>, job: &str, kind: &str) -> Result<(), DbError> {
    sqlx::query(
        "DELETE FROM job_events WHERE job_id = ?1 AND kind = ?2 AND id <= \
         (SELECT id FROM job_events WHERE job_id = ?1 AND kind = ?2 ORDER BY id DESC LIMIT 1 OFFSET ?3)",
    )
    .bind(job)
    .bind(kind)
    .bind(VOUCHERS_KEPT)
    .execute(&mut **write)
    .await?;
    Ok(())
}

impl Db {
    /// Appends one entry; false when it is a repeat.
    pub(crate) async fn append_event(&self, job: JobId, at_millis: u64, body: &JobEventBody) -> Result<bool, DbError> {
        let (mut write, _) = self.writer().await?;
        let entry = Entry {
            job,
            at_millis,
            body,
            chain: None,
        };
        let is_new = append(&mut write, &entry).await?;
        write.commit().await?;
        Ok(is_new)
    }

    /// A job's entries after `cursor`, oldest first.
    pub(crate) async fn events(&self, job: JobId, cursor: Option<&str>, limit: u32) -> Result<Page<JobEvent>, DbError> {
        let (read, series) = self.reader().await?;
        let after = position(&series, cursor);
        let rows: Vec<(i64, i64, String)> = sqlx::query_as(
            "SELECT id, at_millis, body FROM job_events WHERE job_id = ? AND id > ? ORDER BY id LIMIT ?",
        )
        .bind(job.to_string())
        .bind(after)
        .bind(limit)
        .fetch_all(&read)
        .await?;
        let last = rows.last().map_or(after, |(id, _, _)| *id);
        let items = rows.into_iter().map(|(id, at_millis, body)| {
            Ok(JobEvent {
                cursor: cursor_text(&series, id),
                at_millis: at_millis.cast_unsigned(),
                body: serde_json::from_str(&body)?,
            })
        });
        Ok(Page {
            items: items.collect::<Result<_, DbError>>()?,
            cursor: cursor_text(&series, last),
        })
    }

    /// The newest entries of a kind ([`identify`] names them), newest first.
    async fn newest_of(&self, job: JobId, kind: &'static str, limit: u32) -> Result<Vec<JobEventBody>, DbError> {
        let (read, _) = self.reader().await?;
        let bodies: Vec<String> =
            sqlx::query_scalar("SELECT body FROM job_events WHERE job_id = ? AND kind = ? ORDER BY id DESC LIMIT ?")
                .bind(job.to_string())
                .bind(kind)
                .bind(limit)
                .fetch_all(&read)
                .await?;
        let parsed = bodies.iter().map(|body| serde_json::from_str(body));
        Ok(parsed.collect::<Result<_, _>>()?)
    }

    /// The newest entry of a kind.
    pub(crate) async fn newest(&self, job: JobId, kind: &'static str) -> Result<Option<JobEventBody>, DbError> {
        Ok(self.newest_of(job, kind, 1).await?.pop())
    }

    /// How many entries of a kind a job has.
    pub(crate) async fn count_events(&self, job: JobId, kind: &'static str) -> Result<u64, DbError> {
        let (read, _) = self.reader().await?;
        let count: i64 = sqlx::query_scalar("SELECT count(*) FROM job_events WHERE job_id = ? AND kind = ?")
            .bind(job.to_string())
            .bind(kind)
            .fetch_one(&read)
            .await?;
        Ok(count.unsigned_abs())
    }
}
