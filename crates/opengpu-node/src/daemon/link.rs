//! What a job's task and one gateway tell each other: proposals out, signatures in, the log as it grows.
//!
//! A gateway may be down or forget everything at any time. What is unsent stays the newest of its kind and is tried again; a
//! gateway that does not know the job is told the order and the bid again, and everybody starts from the beginning with it.

mod inbox;
mod log;
pub(super) mod offer;
mod outbox;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use opengpu_core::ids::JobId;
use opengpu_core::wire::{ResultProposal, SignedBid, SignedOrder, Step, VoucherProposal};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::Shared;
use super::worker::ToWorker;
use crate::artifacts::Depot;
use crate::clock::Now;
use crate::ports::{Gateway, GatewayFault};
use crate::reactor::JobRecord;

/// Before a gateway that failed is tried again.
const PAUSE: Duration = Duration::from_secs(1);

/// Something for the gateway.
#[derive(Debug, Clone)]
pub(super) enum Outgoing {
    /// How far the job is.
    Progress {
        /// The step.
        step: Step,
        /// Unix second of the match, from which messages are numbered.
        matched_at: u64,
        /// When it was.
        now: Now,
    },
    /// Usage to co-sign.
    Voucher(Box<VoucherProposal>),
    /// A result to approve.
    Result(Box<ResultProposal>),
}

/// The job's line to one gateway. Its tasks end with the token they were started with.
pub(super) struct Link {
    outbox: mpsc::UnboundedSender<Outgoing>,
}

/// What the tasks of a link share.
struct Line {
    gateway: Arc<dyn Gateway>,
    job: JobId,
    attempt: u8,
    order: SignedOrder,
    bid: SignedBid,
    depot: Depot,
    /// Grows each time the gateway had forgotten the job.
    generation: AtomicU64,
    talking: CancellationToken,
}

impl Link {
    /// Starts talking.
    pub(super) fn start(
        gateway: Arc<dyn Gateway>,
        record: &JobRecord,
        shared: Arc<Shared>,
        log_file: PathBuf,
        worker: mpsc::UnboundedSender<ToWorker>,
        talking: CancellationToken,
    ) -> Self {
        let line = Arc::new(Line {
            gateway,
            job: record.job_id,
            attempt: record.attempt.as_ref().map_or(1, |attempt| attempt.terms.attempt()),
            order: record.order.clone(),
            bid: record.bid.clone(),
            depot: shared.depot.clone(),
            generation: AtomicU64::new(0),
            talking,
        });
        let (outbox, messages) = mpsc::unbounded_channel();
        tokio::spawn(outbox::run(line.clone(), messages));
        tokio::spawn(inbox::run(line.clone(), worker));
        tokio::spawn(log::run(line, log_file));
        Self { outbox }
    }

    pub(super) fn send(&self, outgoing: Outgoing) {
        // Only fails once the job is over.
        let _ = self.outbox.send(outgoing);
    }
}

impl Line {
    fn generation(&self) -> u64 {
        self.generation.load(Ordering::Relaxed)
    }

    /// What a failure asks for: a gateway that forgot the job is told again, any other is left alone for a moment.
    /// True when the job is over meanwhile.
    async fn recover(&self, fault: &GatewayFault, what: &str) -> bool {
        tracing::debug!(job = %self.job, gateway = self.gateway.name(), what, %fault, "not done yet");
        if *fault == GatewayFault::UnknownJob {
            self.introduce().await;
        }
        self.is_over_within(PAUSE).await
    }

    async fn introduce(&self) {
        let told = async {
            self.gateway.post_order(&self.order).await?;
            self.gateway.post_bid(&self.bid).await
        };
        match told.await {
            Ok(()) => {
                self.generation.fetch_add(1, Ordering::Relaxed);
                tracing::info!(job = %self.job, gateway = self.gateway.name(), "the gateway was told of the job again");
            }
            Err(fault) => tracing::warn!(job = %self.job, %fault, "the gateway does not take the job"),
        }
    }

    async fn is_over_within(&self, pause: Duration) -> bool {
        tokio::select! {
            () = self.talking.cancelled() => true,
            () = tokio::time::sleep(pause) => false,
        }
    }
}
