//! Jobs as the chain has them, by version; and how far the chain has been read.

use opengpu_core::Address;
use opengpu_core::ids::JobId;
use opengpu_core::wire::JobEventBody;
use sqlx::{Sqlite, Transaction};

use super::events::{Entry, append};
use super::{Db, DbError};
use crate::ports::Head;
use crate::projector::{ChainJob, Fact, apply};

/// Versions older than this many blocks below the head are not kept: no chain we know reorganises deeper.
const REORGANISATION_DEPTH: u64 = 4096;

/// What was read of the chain in one go.
pub(crate) struct Piece<'a> {
    /// Series of the file the cursor came from.
    pub(crate) series: &'a str,
    /// Blocks above this one were given up by the chain.
    pub(crate) rolled_back_to: Option<u64>,
    /// What was said since.
    pub(crate) facts: &'a [Fact],
    /// Read up to here.
    pub(crate) head: Head,
    /// Unix milliseconds.
    pub(crate) at_millis: u64,
}

impl Db {
    /// The series of the file and how far the chain has been read into it.
    pub(crate) async fn chain_cursor(&self) -> Result<(String, Option<Head>), DbError> {
        let (read, _) = self.reader().await?;
        let (series, block, hash): (String, Option<i64>, Option<String>) =
            sqlx::query_as("SELECT series, cursor_block, cursor_hash FROM meta")
                .fetch_one(&read)
                .await?;
        let head = match (block, hash) {
            (Some(block), Some(hash)) => Some(Head {
                block: block.cast_unsigned(),
                hash: hash.parse().map_err(|_| DbError::Row(format!("block hash `{hash}`")))?,
            }),
            _ => None,
        };
        Ok((series, head))
    }

    /// Takes a piece of the chain in, all or nothing. Returns the jobs that changed.
    ///
    /// # Errors
    /// [`DbError::Reborn`] when the file is not the one the piece follows on.
    pub(crate) async fn take_in(&self, piece: &Piece<'_>) -> Result<Vec<JobId>, DbError> {
        let (mut write, series) = self.writer().await?;
        if series != piece.series {
            return Err(DbError::Reborn);
        }
        let mut changed = Vec::new();
        if let Some(block) = piece.rolled_back_to {
            changed.extend(roll_back(&mut write, block).await?);
        }
        for fact in piece.facts {
            take_in_fact(&mut write, fact, piece.at_millis).await?;
            changed.push(fact.job);
        }
        sqlx::query("UPDATE meta SET cursor_block = ?, cursor_hash = ?")
            .bind(piece.head.block.cast_signed())
            .bind(format!("{:#x}", piece.head.hash))
            .execute(&mut *write)
            .await?;
        write.commit().await?;
        changed.sort_unstable();
        changed.dedup();
        Ok(changed)
    }

    /// Forgets versions no reorganisation can bring back; of each job at least the newest stays.
    pub(crate) async fn sweep_versions(&self, head: u64) -> Result<(), DbError> {
        let Some(horizon) = head.checked_sub(REORGANISATION_DEPTH) else {
            return Ok(());
        };
        let (mut write, _) = self.writer().await?;
        sqlx::query(
            "DELETE FROM job_versions WHERE block < ?1 AND EXISTS (SELECT 1 FROM job_versions AS newer \
             WHERE newer.job_id = job_versions.job_id AND newer.block <= ?1 \
             AND (newer.block, newer.log_index) > (job_versions.block, job_versions.log_index))",
        )
        .bind(horizon.cast_signed())
        .execute(&mut *write)
        .await?;
        write.commit().await?;
        Ok(())
    }

    /// A job as the chain has it.
    pub(crate) async fn chain_job(&self, job: JobId) -> Result<Option<ChainJob>, DbError> {
        let (read, _) = self.reader().await?;
        let body: Option<String> = sqlx::query_scalar("SELECT body FROM jobs WHERE job_id = ?")
            .bind(job.to_string())
            .fetch_optional(&read)
            .await?;
        Ok(body.map(|body| serde_json::from_str(&body)).transpose()?)
    }

    /// A payer's jobs in the order they came on chain, from after `after` (block and log index).
    pub(crate) async fn jobs_of(
        &self,
        payer: Address,
        after: Option<(u64, u64)>,
        limit: u32,
    ) -> Result<Vec<ChainJob>, DbError> {
        let (read, _) = self.reader().await?;
        let (block, log_index) = after.map_or((-1, -1), |(block, index)| (block.cast_signed(), index.cast_signed()));
        let bodies: Vec<String> = sqlx::query_scalar(
            "SELECT body FROM jobs WHERE payer = ? AND (first_block, first_log_index) > (?, ?) \
             ORDER BY first_block, first_log_index LIMIT ?",
        )
        .bind(payer.to_string())
        .bind(block)
        .bind(log_index)
        .bind(limit)
        .fetch_all(&read)
        .await?;
        Ok(bodies
            .iter()
            .map(|body| serde_json::from_str(body))
            .collect::<Result<_, _>>()?)
    }

    /// The open jobs a key co-signs.
    pub(crate) async fn open_jobs_signed_by(&self, signer: Address) -> Result<Vec<ChainJob>, DbError> {
        let (read, _) = self.reader().await?;
        let bodies: Vec<String> = sqlx::query_scalar("SELECT body FROM jobs WHERE signer = ? AND is_open = 1")
            .bind(signer.to_string())
            .fetch_all(&read)
            .await?;
        Ok(bodies
            .iter()
            .map(|body| serde_json::from_str(body))
            .collect::<Result<_, _>>()?)
    }
}

async fn take_in_fact(write: &mut Transaction<'static, Sqlite>, fact: &Fact, at_millis: u64) -> Result<(), DbError> {
    let before: Option<String> = sqlx::query_scalar("SELECT body FROM jobs WHERE job_id = ?")
        .bind(fact.job.to_string())
        .fetch_optional(&mut **write)
        .await?;
    let before = before.map(|body| serde_json::from_str(&body)).transpose()?;
    let Some(after) = apply(before, fact) else {
        tracing::error!(job = %fact.job, event = fact.change.name(), "an event of a job that never began");
        return Ok(());
    };
    let body = serde_json::to_string(&after)?;
    sqlx::query("INSERT OR REPLACE INTO job_versions (job_id, block, log_index, body) VALUES (?, ?, ?, ?)")
        .bind(fact.job.to_string())
        .bind(fact.place.block.cast_signed())
        .bind(fact.place.log_index.cast_signed())
        .bind(&body)
        .execute(&mut **write)
        .await?;
    put_job(write, &after, body).await?;
    let entry = Entry {
        job: fact.job,
        at_millis,
        body: &JobEventBody::Chain {
            event: fact.change.name().to_owned(),
            transaction: fact.place.transaction,
            block: fact.place.block,
        },
        chain: Some((
            fact.place.block,
            format!("{}:{}", fact.place.block, fact.place.log_index),
        )),
    };
    append(write, &entry).await?;
    Ok(())
}

async fn put_job(write: &mut Transaction<'static, Sqlite>, job: &ChainJob, body: String) -> Result<(), DbError> {
    let signer = job.terms.as_ref().map_or(Address::ZERO, |terms| terms.signer);
    sqlx::query(
        "INSERT OR REPLACE INTO jobs (job_id, first_block, first_log_index, payer, signer, is_open, body) \
         VALUES (?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(job.job_id.to_string())
    .bind(job.first.block.cast_signed())
    .bind(job.first.log_index.cast_signed())
    .bind(job.payer.to_string())
    .bind(signer.to_string())
    .bind(job.state.is_open())
    .bind(body)
    .execute(&mut **write)
    .await?;
    Ok(())
}

async fn roll_back(write: &mut Transaction<'static, Sqlite>, block: u64) -> Result<Vec<JobId>, DbError> {
    let block = block.cast_signed();
    let texts: Vec<String> = sqlx::query_scalar("SELECT DISTINCT job_id FROM job_versions WHERE block > ?")
        .bind(block)
        .fetch_all(&mut **write)
        .await?;
    for statement in [
        "DELETE FROM job_versions WHERE block > ?",
        "DELETE FROM job_events WHERE block > ?",
    ] {
        sqlx::query(statement).bind(block).execute(&mut **write).await?;
    }
    let mut changed = Vec::with_capacity(texts.len());
    for text in texts {
        restore(write, &text).await?;
        changed.push(text.parse().map_err(|_| DbError::Row(format!("job id `{text}`")))?);
    }
    Ok(changed)
}

/// Makes the newest version that is left the job.
async fn restore(write: &mut Transaction<'static, Sqlite>, job: &str) -> Result<(), DbError> {
    sqlx::query("DELETE FROM jobs WHERE job_id = ?")
        .bind(job)
        .execute(&mut **write)
        .await?;
    let body: Option<String> = sqlx::query_scalar(
        "SELECT body FROM job_versions WHERE job_id = ? ORDER BY block DESC, log_index DESC LIMIT 1",
    )
    .bind(job)
    .fetch_optional(&mut **write)
    .await?;
    if let Some(body) = body {
        let version: ChainJob = serde_json::from_str(&body)?;
        put_job(write, &version, body).await?;
    }
    Ok(())
}
