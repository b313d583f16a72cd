//! The bulletin's orders.

use opengpu_core::Address;
use opengpu_core::ids::{BudgetId, JobId};
use opengpu_core::wire::{Page, SignedOrder};

use super::{Db, DbError, cursor_text, position};

impl Db {
    /// Keeps an order; false when it was there.
    pub(crate) async fn add_order(&self, job: JobId, order: &SignedOrder) -> Result<bool, DbError> {
        let body = serde_json::to_string(order)?;
        let (mut write, _) = self.writer().await?;
        let done = sqlx::query(
            "INSERT INTO orders (job_id, payer, expires_at, body) VALUES (?, ?, ?, ?) ON CONFLICT (job_id) DO NOTHING",
        )
        .bind(job.to_string())
        .bind(order.order.payer.to_string())
        .bind(to_integer(order.order.expires_at))
        .bind(body)
        .execute(&mut *write)
        .await?;
        write.commit().await?;
        Ok(done.rows_affected() > 0)
    }

    /// An order by the job it becomes.
    pub(crate) async fn order(&self, job: JobId) -> Result<Option<SignedOrder>, DbError> {
        let (read, _) = self.reader().await?;
        let body: Option<String> = sqlx::query_scalar("SELECT body FROM orders WHERE job_id = ?")
            .bind(job.to_string())
            .fetch_optional(&read)
            .await?;
        body.map(|body| serde_json::from_str(&body).map_err(DbError::from))
            .transpose()
    }

    /// Orders after `cursor` that are neither expired at `now` (unix seconds) nor on chain, oldest first.
    pub(crate) async fn open_orders(
        &self,
        cursor: Option<&str>,
        now: u64,
        limit: u32,
    ) -> Result<Page<SignedOrder>, DbError> {
        let (read, series) = self.reader().await?;
        let after = position(&series, cursor);
        let rows: Vec<(i64, String)> = sqlx::query_as(
            "SELECT id, body FROM orders WHERE id > ? AND expires_at > ? \
             AND NOT EXISTS (SELECT 1 FROM jobs WHERE jobs.job_id = orders.job_id) ORDER BY id LIMIT ?",
        )
        .bind(after)
        .bind(to_integer(now))
        .bind(limit)
        .fetch_all(&read)
        .await?;
        let last = rows.last().map_or(after, |(id, _)| *id);
        let items = rows.iter().map(|(_, body)| serde_json::from_str(body));
        Ok(Page {
            items: items.collect::<Result<_, _>>()?,
            cursor: cursor_text(&series, last),
        })
    }

    /// How many orders are open: of everybody, and of `payer` from this budget (0: from none). Counted apart, so that a budget's
    /// key cannot use up what its payer and the payer's other keys may post.
    pub(crate) async fn count_open_orders(
        &self,
        payer: Address,
        budget: BudgetId,
        now: u64,
    ) -> Result<(u64, u64), DbError> {
        let (read, _) = self.reader().await?;
        let (all, own): (i64, i64) = sqlx::query_as(
            "SELECT count(*), coalesce(sum(payer = ? AND json_extract(body, '$.order.budget') = ?), 0) \
             FROM orders WHERE expires_at > ? \
             AND NOT EXISTS (SELECT 1 FROM jobs WHERE jobs.job_id = orders.job_id)",
        )
        .bind(payer.to_string())
        .bind(budget.to_string())
        .bind(to_integer(now))
        .fetch_one(&read)
        .await?;
        Ok((all.unsigned_abs(), own.unsigned_abs()))
    }

    /// Forgets orders that expired before `before` and never came on chain, with their streams.
    pub(crate) async fn sweep_orders(&self, before: u64) -> Result<u64, DbError> {
        const DEAD: &str = "DELETE FROM orders WHERE expires_at < ? \
             AND NOT EXISTS (SELECT 1 FROM jobs WHERE jobs.job_id = orders.job_id)";
        const ORPHANS: &str = "DELETE FROM job_events WHERE job_id NOT IN (SELECT job_id FROM orders) \
             AND job_id NOT IN (SELECT job_id FROM jobs)";
        let (mut write, _) = self.writer().await?;
        let done = sqlx::query(DEAD).bind(to_integer(before)).execute(&mut *write).await?;
        sqlx::query(ORPHANS).execute(&mut *write).await?;
        write.commit().await?;
        Ok(done.rows_affected())
    }
}

/// SQLite's integers are signed; a time past year 292 billion is as good as the last one.
fn to_integer(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
