//! The tasks of a job that touch containers, files and the chain. Each may be repeated after a crash.

use std::sync::Arc;
use std::time::{Duration, Instant};

use opengpu_core::ids::JobId;
use opengpu_core::spec::JobSpec;
use opengpu_store::raw_cid;
use tokio::sync::Mutex;

use super::Shared;
use crate::artifacts::{JobFolder, StoreRequest, blocking, deliver, machine, passing, store_leavings};
use crate::image::{ImageError, PreparedImage};
use crate::meter::{UsageLine, UsageLog};
use crate::ports::ChainFault;
use crate::reactor::{Blame, Done, Effect, Gauge, JobRecord, Stored, TaskFault};
use crate::runtime::{ContainerId, RuntimeError, Sample};

mod container;
mod log_hash;

pub(super) use container::container_ids;
use container::{container_id, container_spec};
use log_hash::LogHash;

/// A readiness check that takes longer counts as not ready.
const CHECK_TIMEOUT: Duration = Duration::from_secs(10);
/// How often the size of the output folder is looked at.
const DISK_CHECK_EVERY: Duration = Duration::from_secs(5);

/// A closed job's files and container are gone already, unless the daemon was killed in between.
pub(super) fn clear_closed(shared: &Shared, record: &JobRecord) {
    let Some(attempt) = &record.attempt else { return };
    let folder = Workshop::new(shared, record, attempt.terms.attempt()).folder;
    if let Err(error) = folder.remove() {
        tracing::warn!(job = %record.job_id, %error, "a closed job's files are still there");
    }
}

/// Lets the store forget what a job left behind.
pub(super) fn unpin(shared: &Shared, record: &JobRecord) {
    for root in record.roots() {
        let unpinned = root.0.parse().map(|cid| shared.depot.store.unpin(&cid));
        if !matches!(unpinned, Ok(Ok(()))) {
            tracing::warn!(%root, "not unpinned");
        }
    }
}

/// What one attempt works with.
pub(super) struct Workshop {
    runtime: Arc<dyn crate::runtime::Runtime>,
    chain: Arc<dyn crate::ports::Chain>,
    gateways: Vec<Arc<dyn crate::ports::Gateway>>,
    depot: crate::artifacts::Depot,
    job: JobId,
    spec: JobSpec,
    container: Option<ContainerId>,
    pub(super) folder: JobFolder,
    gauges: Mutex<Gauges>,
}

/// What is read along with the counters.
struct Gauges {
    usage_log: Option<UsageLog>,
    log: LogHash,
    disk_checked: Option<Instant>,
    is_disk_over: bool,
}

impl Workshop {
    pub(super) fn new(shared: &Shared, record: &JobRecord, attempt: u8) -> Self {
        let folder = JobFolder::new(shared.jobs_dir.join(format!("{}-{attempt}", record.job_id)));
        let log = LogHash::new(folder.log());
        Self {
            runtime: shared.runtime.clone(),
            chain: shared.chain.clone(),
            gateways: shared.gateways.clone(),
            depot: shared.depot.clone(),
            job: record.job_id,
            spec: record.order.spec.clone(),
            container: container_id(record.job_id, attempt),
            folder,
            gauges: Mutex::new(Gauges {
                usage_log: None,
                log,
                disk_checked: None,
                is_disk_over: false,
            }),
        }
    }

    /// Does what the effect asks for. `None` for effects that are no tasks.
    pub(super) async fn work(&self, effect: Effect) -> Option<Done> {
        let container = self.container.as_ref()?;
        let runtime = &self.runtime;
        Some(match effect {
            Effect::Prepare => Done::Prepared(self.prepare().await),
            Effect::Start(image) => Done::Started(self.start(container, image).await),
            Effect::ReadStatus => Done::Status(runtime.status(container).await.map_err(TaskFault::from)),
            Effect::CheckReady => Done::ReadyChecked(self.check_ready(container).await),
            Effect::CheckDisk => Done::DiskChecked(self.is_disk_over().await),
            Effect::Sample {
                billed_millis,
                at_millis,
            } => Done::Sampled(self.sample(container, billed_millis, at_millis).await),
            Effect::Pause => Done::Paused(runtime.pause(container).await.map_err(TaskFault::from)),
            Effect::Resume => Done::Resumed(runtime.resume(container).await.map_err(TaskFault::from)),
            Effect::Kill(signal) => Done::Killed(runtime.kill(container, signal).await.map_err(TaskFault::from)),
            Effect::Store {
                attempt,
                billed_millis,
                cpu_millis,
                egress_bytes,
                at_millis,
                without_output,
            } => {
                let last = UsageLine {
                    at_millis,
                    billed_millis,
                    cpu_millis,
                    egress_bytes,
                    memory_bytes: 0,
                };
                Done::Stored(self.store(attempt, last, without_output).await)
            }
            other => return self.transact(other).await,
        })
    }

    async fn transact(&self, effect: Effect) -> Option<Done> {
        let (chain, job) = (&self.chain, self.job);
        Some(match effect {
            Effect::Collect { at, voucher } => {
                Done::Collected(self.told("collect", chain.collect(&at, &voucher).await))
            }
            Effect::Settle { at, approved } => Done::Settled(self.told("settle", chain.settle(&at, &approved).await)),
            Effect::Submit {
                at,
                result,
                receipt,
                newest,
            } => {
                self.keep_receipt(&receipt).await;
                self.offer_receipt(&receipt).await;
                Done::Submitted(self.told("submit", chain.submit(&at, &result, newest.as_deref()).await))
            }
            Effect::Answer { at, declared, newer } => {
                let answered = chain.answer_fault(job, &at, declared.as_deref(), &newer).await;
                Done::Answered(self.told("answerFault", answered))
            }
            Effect::Contest { at, declared, newest } => {
                let contested = chain.contest(job, &at, declared.as_deref(), newest.as_deref()).await;
                Done::Contested(self.told("contest", contested))
            }
            _ => return None,
        })
    }

    fn told(&self, call: &str, outcome: Result<(), ChainFault>) -> Result<(), ChainFault> {
        match &outcome {
            Ok(()) => tracing::info!(job = %self.job, call, "sent"),
            Err(fault) => tracing::warn!(job = %self.job, call, %fault, "not sent; tried again while it is wanted"),
        }
        outcome
    }

    async fn prepare(&self) -> Result<PreparedImage, TaskFault> {
        let image = deliver(&self.depot, &self.gateways, &self.folder, &self.spec).await?;
        Ok(self.runtime.prepare_image(&image).await?)
    }

    async fn start(&self, id: &ContainerId, image: PreparedImage) -> Result<(), TaskFault> {
        let spec = container_spec(id.clone(), image, &self.spec, &self.folder);
        Ok(self.runtime.start(&spec).await?)
    }

    async fn check_ready(&self, id: &ContainerId) -> Result<i32, TaskFault> {
        match tokio::time::timeout(CHECK_TIMEOUT, self.runtime.exec(id, &self.spec.ready)).await {
            Ok(code) => Ok(code?),
            Err(_) => Err(TaskFault {
                blame: Blame::Passing,
                reason: "the readiness check takes too long".to_owned(),
            }),
        }
    }

    async fn is_disk_over(&self) -> bool {
        let mut gauges = self.gauges.lock().await;
        gauges.check_disk(&self.folder, self.spec.resources.disk_bytes).await;
        gauges.is_disk_over
    }

    /// Reads the counters. A usage line that cannot be written (disk full) stops neither the job nor its vouchers: the log
    /// has a gap then, which the vouchers' roots commit to.
    async fn sample(&self, id: &ContainerId, billed_millis: u64, at_millis: u64) -> Result<Gauge, TaskFault> {
        let sample = self.runtime.sample(id).await?;
        let mut gauges = self.gauges.lock().await;
        if let Err(fault) = gauges.note(&self.folder, &sample, billed_millis, at_millis) {
            tracing::warn!(job = %self.job, reason = fault.reason, "a usage sample is not kept");
        }
        gauges.check_disk(&self.folder, self.spec.resources.disk_bytes).await;
        Ok(Gauge {
            sample,
            usage_root: gauges
                .usage_log
                .as_ref()
                .map_or_else(log_hash::empty_array, UsageLog::root),
            log_root: gauges.log.root(),
            is_disk_over: gauges.is_disk_over,
        })
    }

    async fn store(&self, attempt: u8, last: UsageLine, without_output: bool) -> Result<Stored, TaskFault> {
        // The file is written by `store_leavings` from now on.
        self.gauges.lock().await.usage_log = None;
        let request = StoreRequest {
            last,
            output_limit: self.spec.resources.disk_bytes,
            without_output,
        };
        let leavings = store_leavings(&self.depot, &self.folder, request).await?;
        let earlier = match attempt {
            1 => Vec::new(),
            _ => self.chain.earlier_attempts(self.job).await.map_err(passing)?,
        };
        Ok(Stored { leavings, earlier })
    }

    /// Keeps the receipt in the store, under the name that follows from its digest on chain.
    pub(super) async fn keep_receipt(&self, receipt: &str) {
        let _transferring = self.depot.transferring().await;
        let (store, bytes) = (self.depot.store.clone(), receipt.as_bytes().to_vec());
        let kept = blocking(move || {
            let cid = raw_cid(&bytes);
            store.put(&cid, &bytes).and_then(|_| store.pin(&cid)).map_err(machine)
        });
        if let Err(fault) = kept.await {
            tracing::warn!(job = %self.job, reason = fault.reason, "the receipt is not in the store");
        }
    }

    /// Gives the receipt to the gateways, where the payer looks for it: no signer was there to take it. One that cannot
    /// be reached now goes without; this node's own store has it.
    async fn offer_receipt(&self, receipt: &str) {
        let cid = raw_cid(receipt.as_bytes());
        for gateway in &self.gateways {
            if let Err(fault) = gateway.upload(self.job, &self.depot.store, &cid).await {
                tracing::warn!(job = %self.job, %fault, "a gateway did not take the receipt");
            }
        }
    }

    /// Removes container and files. What cannot be removed now is found by the sweep or at the next start.
    pub(super) async fn clear(&self) {
        if let Some(container) = &self.container
            && let Err(error) = self.runtime.remove(container).await
        {
            tracing::warn!(%container, %error, "not removed; tried again later");
        }
        let folder = self.folder.clone();
        if let Err(fault) = blocking(move || folder.remove().map_err(machine)).await {
            tracing::warn!(job = %self.job, reason = fault.reason, "the job's files are still there");
        }
    }
}

impl Gauges {
    fn note(
        &mut self,
        folder: &JobFolder,
        sample: &Sample,
        billed_millis: u64,
        at_millis: u64,
    ) -> Result<(), TaskFault> {
        let log = match &mut self.usage_log {
            Some(log) => log,
            empty => empty.insert(UsageLog::open(&folder.growing_usage()).map_err(machine)?),
        };
        log.add(UsageLine {
            at_millis,
            billed_millis,
            cpu_millis: sample.cpu_nanos / 1_000_000,
            egress_bytes: sample.egress_bytes,
            memory_bytes: sample.memory_bytes,
        })
        .map_err(machine)?;
        self.log.read_on().map_err(machine)
    }

    async fn check_disk(&mut self, folder: &JobFolder, limit: u64) {
        if self
            .disk_checked
            .is_some_and(|checked| checked.elapsed() < DISK_CHECK_EVERY)
        {
            return;
        }
        self.disk_checked = Some(Instant::now());
        let folder = folder.clone();
        self.is_disk_over |= blocking(move || Ok(folder.is_output_above(limit)))
            .await
            .unwrap_or(false);
    }
}

impl From<RuntimeError> for TaskFault {
    fn from(error: RuntimeError) -> Self {
        let blame = match &error {
            RuntimeError::Lost { .. } => Blame::Unknown,
            RuntimeError::Io { .. } | RuntimeError::Damaged { .. } => Blame::Machine,
            RuntimeError::Image(ImageError::Io { .. }) => Blame::Machine,
            error if error.is_users_fault() => Blame::User,
            _ => Blame::Passing,
        };
        Self {
            blame,
            reason: error.to_string(),
        }
    }
}
