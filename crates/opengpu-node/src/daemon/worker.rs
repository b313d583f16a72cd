//! One job's task: feeds its reactor, saves its record, carries out its effects. In that order: what the world sees of a job is
//! never ahead of what a restart would know.

use std::sync::Arc;
use std::time::Duration;

use opengpu_core::ids::JobId;
use opengpu_core::wire::Step;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::link::{Link, Outgoing, offer};
use super::tasks::Workshop;
use super::{Message, Shared};
use crate::reactor::record::Stage;
use crate::reactor::{Effect, Event, Job, JobRecord};

/// How often a job looks at the time. Each task has its own pace; this only bounds how late it may be.
const TICK: Duration = Duration::from_millis(250);

/// What a job's task is told.
pub(super) enum ToWorker {
    /// Something happened.
    Event(Event),
    /// Answer once everything told before is saved; dropped when it cannot be.
    Barrier(oneshot::Sender<()>),
}

/// The task of one job.
pub(super) struct Worker {
    shared: Arc<Shared>,
    job: Job,
    /// The record as last saved.
    saved: JobRecord,
    /// Effects that wait for the record to be saved.
    withheld: Vec<Effect>,
    myself: mpsc::UnboundedSender<ToWorker>,
    daemon: mpsc::UnboundedSender<Message>,
    workshop: Option<Arc<Workshop>>,
    links: Vec<Link>,
    /// Ends the links with the task.
    talking: CancellationToken,
    /// Ends listening for an order that is given up.
    offered: CancellationToken,
    tasks: JoinSet<()>,
    /// Whether the daemon was told that the job holds nothing any more.
    is_freed: bool,
}

impl Worker {
    pub(super) fn new(
        shared: Arc<Shared>,
        record: JobRecord,
        myself: mpsc::UnboundedSender<ToWorker>,
        daemon: mpsc::UnboundedSender<Message>,
    ) -> Self {
        let talking = shared.shutdown.child_token();
        Self {
            offered: talking.child_token(),
            shared,
            saved: record.clone(),
            job: Job::new(record),
            withheld: Vec::new(),
            myself,
            daemon,
            workshop: None,
            links: Vec::new(),
            talking,
            tasks: JoinSet::new(),
            is_freed: false,
        }
    }

    fn id(&self) -> JobId {
        self.saved.job_id
    }

    /// Works until the job is over or the daemon shuts down.
    pub(super) async fn run(mut self, mut inbox: mpsc::UnboundedReceiver<ToWorker>) {
        let _ends_links = self.talking.clone().drop_guard();
        self.listen_to_offer();
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let shutdown = self.shared.shutdown.clone();
        loop {
            let told = tokio::select! {
                () = shutdown.cancelled() => return,
                Some(told) = inbox.recv() => told,
                _ = ticks.tick() => ToWorker::Event(Event::Tick),
                Some(_) = self.tasks.join_next() => continue,
            };
            let is_over = match told {
                ToWorker::Event(event) => self.on_event(event).await,
                ToWorker::Barrier(done) => {
                    if self.withheld.is_empty() && self.saved == self.job.record {
                        let _ = done.send(());
                    }
                    false
                }
            };
            if is_over {
                return;
            }
        }
    }

    async fn on_event(&mut self, event: Event) -> bool {
        let now = self.shared.clock.now();
        let effects = self.job.react(&self.shared.rules, event, &now);
        self.withheld.extend(effects);
        if self.job.record != self.saved && !self.save().await {
            return false;
        }
        self.prepare_to_talk();
        self.free_when_only_the_chain_is_waited_for();
        for effect in std::mem::take(&mut self.withheld) {
            if self.carry_out(effect).await {
                return true;
            }
        }
        false
    }

    /// A result that waits for its transaction needs no core: others may have what the job held, however long results gather.
    fn free_when_only_the_chain_is_waited_for(&mut self) {
        let stage = self.job.record.attempt.as_ref().map(|attempt| &attempt.stage);
        if !self.is_freed && matches!(stage, Some(Stage::Settling { .. })) {
            self.is_freed = true;
            drop(self.daemon.send(Message::Lapsed(self.id())));
        }
    }

    /// Saves the record. When the disk is full the job stands still, nothing is lost, and each tick tries again.
    async fn save(&mut self) -> bool {
        let (journal, record, job) = (self.shared.journal.clone(), self.job.record.clone(), self.id());
        let saved = tokio::task::spawn_blocking(move || journal.save(job, &record).map(|()| record)).await;
        match saved {
            Ok(Ok(record)) => {
                self.saved = record;
                true
            }
            Ok(Err(error)) => {
                tracing::error!(%job, %error, "the job waits until its record can be saved");
                false
            }
            Err(error) => {
                tracing::error!(%job, %error, "the job waits until its record can be saved");
                false
            }
        }
    }

    /// Until it is matched a job has only what payer or signer may say of the order.
    fn listen_to_offer(&self) {
        if self.job.record.attempt.is_some() {
            return;
        }
        for gateway in &self.shared.gateways {
            let (gateway, worker) = (gateway.clone(), self.myself.clone());
            tokio::spawn(offer::listen(gateway, self.id(), worker, self.offered.clone()));
        }
    }

    /// Once matched a job has a folder, a container, and talks with every gateway.
    fn prepare_to_talk(&mut self) {
        let Some(attempt) = &self.job.record.attempt else {
            return;
        };
        if self.workshop.is_some() {
            return;
        }
        self.offered.cancel();
        let workshop = Arc::new(Workshop::new(&self.shared, &self.job.record, attempt.terms.attempt()));
        for gateway in &self.shared.gateways {
            let link = Link::start(
                gateway.clone(),
                &self.job.record,
                self.shared.clone(),
                workshop.folder.log(),
                self.myself.clone(),
                self.talking.clone(),
            );
            self.links.push(link);
        }
        self.workshop = Some(workshop);
    }

    /// Carries out one effect; true when the job's task is over.
    async fn carry_out(&mut self, effect: Effect) -> bool {
        match effect {
            Effect::Report(step) => {
                let matched_at = self
                    .job
                    .record
                    .attempt
                    .as_ref()
                    .map_or(0, |attempt| attempt.terms.matched_at());
                let now = self.shared.clock.now();
                match &step {
                    // Once a second for each job: for whoever asks for it.
                    Step::Usage { .. } => tracing::debug!(job = %self.id(), ?step, "progress"),
                    step => tracing::info!(job = %self.id(), ?step, "progress"),
                }
                self.tell(&Outgoing::Progress { step, matched_at, now });
            }
            Effect::ProposeVoucher(proposal) => self.tell(&Outgoing::Voucher(proposal)),
            Effect::ProposeResult(proposal) => {
                self.keep_receipt(&proposal.receipt).await;
                self.tell(&Outgoing::Result(proposal));
            }
            Effect::FreeCapacity => {
                self.offered.cancel();
                drop(self.daemon.send(Message::Lapsed(self.id())));
            }
            Effect::Forget => return self.forget().await,
            Effect::Close => {
                if let Some(workshop) = &self.workshop {
                    workshop.clear().await;
                }
                drop(self.daemon.send(Message::Ended(self.id())));
                return true;
            }
            task => self.begin(task),
        }
        false
    }

    fn tell(&self, outgoing: &Outgoing) {
        for link in &self.links {
            link.send(outgoing.clone());
        }
    }

    /// A task reports back to the reactor when it is done.
    fn begin(&mut self, task: Effect) {
        let Some(workshop) = self.workshop.clone() else { return };
        let myself = self.myself.clone();
        self.tasks.spawn(async move {
            if let Some(done) = workshop.work(task).await {
                let _ = myself.send(ToWorker::Event(Event::Done(done)));
            }
        });
    }

    async fn keep_receipt(&self, receipt: &str) {
        if let Some(workshop) = &self.workshop {
            workshop.keep_receipt(receipt).await;
        }
    }

    async fn forget(&mut self) -> bool {
        let (journal, job) = (self.shared.journal.clone(), self.id());
        let removed = tokio::task::spawn_blocking(move || journal.remove(job)).await;
        if let Ok(Err(error)) = removed {
            // Asked for again with the next tick.
            tracing::warn!(%job, %error, "a lapsed bid is not forgotten yet");
            return false;
        }
        drop(self.daemon.send(Message::Ended(job)));
        true
    }
}
