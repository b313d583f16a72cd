//! What all requests and tasks share, and how a job is looked up.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use opengpu_core::Address;
use opengpu_core::ids::{BudgetId, JobId};
use opengpu_core::job::Terms;
use opengpu_core::order::Domain;
use opengpu_core::wire::{JobEventBody, Posted, SignedOrder};
use opengpu_store::BlockStore;
use tokio::sync::{Mutex as AsyncMutex, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::agent::Agent;
use crate::call::require_one_of;
use crate::clock::Clock;
use crate::config::GatewayConfig;
use crate::db::activity::Side;
use crate::db::{Db, DbError};
use crate::hub::Hub;
use crate::logs::Logs;
use crate::ports::Chain;
use crate::problem::{ApiError, Code};
use crate::projector::ChainJob;

/// A node sees its match on chain at about the time we do; so long we wait for our own index before we refuse it.
const INDEX_GRACE: Duration = Duration::from_secs(5);

/// How far the chain has been read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Sync {
    /// Series of the database into which everything up to the newest block has been read; another one is still behind.
    pub(crate) complete_series: Option<String>,
    /// Newest block read.
    pub(crate) block: u64,
    /// Whether the chain node answered last time.
    pub(crate) is_reachable: bool,
}

/// One gateway.
pub(crate) struct App {
    pub(crate) config: GatewayConfig,
    pub(crate) domain: Domain,
    pub(crate) clock: Clock,
    pub(crate) db: Db,
    pub(crate) hub: Hub,
    pub(crate) store: BlockStore,
    pub(crate) logs: Logs,
    pub(crate) chain: Arc<dyn Chain>,
    pub(crate) agent: Agent,
    pub(crate) sync: watch::Sender<Sync>,
    pub(crate) uploads: Uploads,
    /// Work that requests leave behind; awaited at the end.
    pub(crate) tasks: TaskTracker,
    pub(crate) shutdown: CancellationToken,
}

/// A job with an attempt: the chain's word and, apart, that attempt's terms.
pub(crate) struct MatchedJob {
    pub(crate) job: ChainJob,
    pub(crate) terms: Terms,
}

impl App {
    /// Whether the database, as it is now, has caught up with the chain once.
    pub(crate) fn is_index_complete(&self) -> bool {
        self.sync.borrow().complete_series.as_deref() == Some(self.db.series().as_str())
    }

    /// Appends to a job's stream and wakes its readers.
    pub(crate) async fn publish(&self, job: JobId, body: &JobEventBody) -> Result<Posted, DbError> {
        let is_new = self.db.append_event(job, self.clock.now_millis(), body).await?;
        if is_new {
            self.hub.job_changed(job);
        }
        Ok(Posted {
            job_id: job,
            is_repeat: !is_new,
        })
    }

    /// A job's order.
    pub(crate) async fn order(&self, job: JobId) -> Result<SignedOrder, ApiError> {
        let found = self.db.order(job).await?;
        found.ok_or_else(|| ApiError::unknown_job(job))
    }

    /// A job that is or was matched, waiting a little for the index to see it.
    pub(crate) async fn matched(&self, id: JobId) -> Result<MatchedJob, ApiError> {
        if let Some(found) = self.look_for_match(id).await? {
            return Ok(found);
        }
        let is_order_known = self.db.order(id).await?.is_some();
        if self.is_index_complete() && !is_order_known {
            return Err(ApiError::unknown_job(id));
        }
        let notify = self.hub.job(id);
        let found = self.hub.until(&notify, INDEX_GRACE, || self.look_for_match(id)).await?;
        found.ok_or_else(|| match (self.is_index_complete(), is_order_known) {
            (false, _) => ApiError::new(Code::Indexing, "the chain is still being read; try again shortly"),
            (true, true) => ApiError::new(Code::NotMatched, format!("job {id} is not matched on chain (yet)")),
            (true, false) => ApiError::unknown_job(id),
        })
    }

    async fn look_for_match(&self, id: JobId) -> Result<Option<MatchedJob>, DbError> {
        let found = self.db.chain_job(id).await?;
        Ok(found.and_then(|job| {
            let terms = job.terms.clone()?;
            Some(MatchedJob { job, terms })
        }))
    }

    /// Refuses a sender that does not speak for the payer's side of a job, matched or not.
    pub(crate) async fn require_payer_side(&self, id: JobId, sender: Address) -> Result<(), ApiError> {
        let side = if let Some(found) = self.look_for_match(id).await? {
            let Terms {
                payer, signer, budget, ..
            } = found.terms;
            self.payer_side(payer, signer, budget, sender).await?
        } else {
            self.require_known(id).await?;
            let order = self.order(id).await?.order;
            self.payer_side(order.payer, order.signer, order.budget, sender).await?
        };
        require_one_of(sender, &side).map(|_| ())
    }

    /// Who may speak for the payer's side: payer, signer and, when `sender` is neither and the job is paid from a budget of this
    /// payer, the budget's key. It has no say in the payer's other jobs.
    pub(crate) async fn payer_side(
        &self,
        payer: Address,
        signer: Address,
        budget: BudgetId,
        sender: Address,
    ) -> Result<Vec<(Address, &'static str)>, ApiError> {
        let mut side = vec![(payer, "payer"), (signer, "signer")];
        let is_told = sender == payer || sender == signer;
        if !is_told
            && !budget.0.is_zero()
            && let Some(key) = self.chain.budget_key(budget, payer).await?
        {
            side.push((key, "budget's key"));
        }
        Ok(side)
    }

    /// Refuses for now what cannot be judged before the chain has been read: whether a job is new, or has long been matched.
    pub(crate) fn require_index(&self) -> Result<(), ApiError> {
        if self.is_index_complete() {
            return Ok(());
        }
        Err(ApiError::new(
            Code::Indexing,
            "the chain is still being read; try again shortly",
        ))
    }

    /// Whether chain or bulletin know the job.
    pub(crate) async fn require_known(&self, id: JobId) -> Result<(), ApiError> {
        if self.db.chain_job(id).await?.is_some() || self.db.order(id).await?.is_some() {
            return Ok(());
        }
        self.require_index()?;
        Err(ApiError::unknown_job(id))
    }
}

/// Held while one side of one job uploads.
type UploadLock = AsyncMutex<()>;

/// Lets one upload of each side of each job run at a time, so that what is left of the quota is known.
#[derive(Default)]
pub(crate) struct Uploads(Mutex<HashMap<(JobId, Side), Weak<UploadLock>>>);

impl Uploads {
    /// The lock to hold while uploading.
    pub(crate) fn lock_of(&self, job: JobId, side: Side) -> Arc<UploadLock> {
        let mut locks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lock) = locks.get(&(job, side)).and_then(Weak::upgrade) {
            return lock;
        }
        locks.retain(|_, lock| lock.strong_count() > 0);
        let lock = Arc::new(UploadLock::new(()));
        locks.insert((job, side), Arc::downgrade(&lock));
        lock
    }
}
