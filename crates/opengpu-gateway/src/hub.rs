//! Wakes whoever waits for news: of the bulletin, or of one job. Carries no data; the woken read the database.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use opengpu_core::ids::JobId;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

/// Entries of jobs nobody waits for are dropped when the map has doubled since the last time, from this size on.
const FIRST_PRUNING: usize = 64;

/// Where to wait, and where to call.
pub(crate) struct Hub {
    orders: Arc<Notify>,
    jobs: Mutex<Jobs>,
    shutdown: CancellationToken,
}

struct Jobs {
    waiting: HashMap<JobId, Weak<Notify>>,
    prune_at: usize,
}

impl Hub {
    /// Every wait ends when `shutdown` does.
    pub(crate) fn new(shutdown: CancellationToken) -> Self {
        let jobs = Jobs {
            waiting: HashMap::new(),
            prune_at: FIRST_PRUNING,
        };
        Self {
            orders: Arc::new(Notify::new()),
            jobs: Mutex::new(jobs),
            shutdown,
        }
    }

    /// There is a new order.
    pub(crate) fn orders_changed(&self) {
        self.orders.notify_waiters();
    }

    /// There is something new of a job.
    pub(crate) fn job_changed(&self, job: JobId) {
        let jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(notify) = jobs.waiting.get(&job).and_then(Weak::upgrade) {
            notify.notify_waiters();
        }
    }

    /// The database was begun anew: everything may be different.
    pub(crate) fn everything_changed(&self) {
        self.orders_changed();
        let jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        for notify in jobs.waiting.values().filter_map(Weak::upgrade) {
            notify.notify_waiters();
        }
    }

    /// The bulletin, to wait at.
    pub(crate) fn orders(&self) -> Arc<Notify> {
        Arc::clone(&self.orders)
    }

    /// A job, to wait at.
    pub(crate) fn job(&self, job: JobId) -> Arc<Notify> {
        let mut jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(notify) = jobs.waiting.get(&job).and_then(Weak::upgrade) {
            return notify;
        }
        if jobs.waiting.len() >= jobs.prune_at {
            jobs.waiting.retain(|_, notify| notify.strong_count() > 0);
            jobs.prune_at = FIRST_PRUNING.max(jobs.waiting.len() * 2);
        }
        let notify = Arc::new(Notify::new());
        jobs.waiting.insert(job, Arc::downgrade(&notify));
        notify
    }

    /// Asks `look` until it answers something, after each call of `notify`, for at most `wait`; the last look counts also
    /// when it found nothing.
    ///
    /// # Errors
    /// What `look` answers.
    pub(crate) async fn until<T, E, F>(
        &self,
        notify: &Notify,
        wait: Duration,
        mut look: impl FnMut() -> F,
    ) -> Result<Option<T>, E>
    where
        F: Future<Output = Result<Option<T>, E>>,
    {
        let deadline = Instant::now() + wait;
        loop {
            // Made before the look: a call that comes while we look is not missed.
            let called = notify.notified();
            if let Some(found) = look().await? {
                return Ok(Some(found));
            }
            let is_over = tokio::select! {
                in_time = timeout_at(deadline, called) => in_time.is_err(),
                () = self.shutdown.cancelled() => true,
            };
            if is_over {
                return look().await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use opengpu_core::B256;
    use std::convert::Infallible;
    use std::sync::atomic::{AtomicU32, Ordering};

    #[tokio::test]
    async fn a_call_between_look_and_wait_is_not_missed() {
        let hub = Hub::new(CancellationToken::new());
        let job = JobId(B256::repeat_byte(1));
        let looks = AtomicU32::new(0);
        let found = hub
            .until(&hub.job(job), Duration::from_secs(60), || async {
                // The first look finds nothing, and the news comes before it returns.
                hub.job_changed(job);
                let look = looks.fetch_add(1, Ordering::Relaxed);
                Ok::<_, Infallible>((look == 1).then_some(look))
            })
            .await;
        assert_eq!(found, Ok(Some(1)));
    }

    #[tokio::test]
    async fn waiting_ends_with_the_gateway() {
        let stop = CancellationToken::new();
        let hub = Hub::new(stop.clone());
        stop.cancel();
        let nothing = hub
            .until(&hub.orders(), Duration::from_secs(60), || async {
                Ok::<Option<()>, Infallible>(None)
            })
            .await;
        assert_eq!(nothing, Ok(None));
    }

    #[test]
    fn jobs_nobody_waits_for_are_forgotten() {
        let hub = Hub::new(CancellationToken::new());
        for number in 0..1000u64 {
            drop(hub.job(JobId(B256::left_padding_from(&number.to_be_bytes()))));
        }
        let jobs = hub.jobs.lock().unwrap();
        assert!(jobs.waiting.len() <= FIRST_PRUNING, "{}", jobs.waiting.len());
    }
}
