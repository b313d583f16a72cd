//! The daemon: wires chain, gateways, containers and clocks to the pure decisions of [`crate::bidder`] and [`crate::reactor`].
//!
//! One task keeps the ledger and knows every job ([`Daemon`]); each job has a task of its own that feeds its reactor and saves its
//! record (`worker`), and for each gateway three small ones that talk about it (`link`). Orders come in through one task per
//! gateway (`bulletin`), the chain's news through one more. They talk by channels; nothing is shared but the [`Shared`] handles.

mod bulletin;
mod feed;
mod link;
mod tasks;
mod worker;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use opengpu_core::Address;
use opengpu_core::ids::JobId;
use opengpu_core::wire::SignedOrder;
use tokio::sync::{Mutex, mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::artifacts::Depot;
use crate::bidder::{Bidder, Ledger, Listing, NoBid, Standing, needs};
use crate::clock::Clock;
use crate::journal::{Journal, JournalError};
use crate::ports::{Batch, Chain, ChainEvent, ChainFeed, ChainNews, Cursor, Gateway};
use crate::reactor::record::Facts;
use crate::reactor::{Event, JobRecord, Rules};
use crate::runtime::{ContainerId, Runtime};
use crate::server::Health;

pub(crate) use feed::load_cursor;
use worker::{ToWorker, Worker};

/// How often containers without a job are looked for.
const SWEEP_EVERY: Duration = Duration::from_secs(60);
/// Disk no job is offered: records, logs and samples of the jobs that run go there when a job has filled the rest.
const DISK_RESERVE_BYTES: u64 = 64 << 20;
/// How often the store is cleared of what nothing needs.
const TIDY_EVERY: Duration = Duration::from_secs(3600);
/// How long a shutdown waits for what is under way.
const PATIENCE: Duration = Duration::from_secs(5);
/// A closed job is forgotten, and what it left is unpinned, after this: a week for whoever did not fetch it yet.
const KEEP_CLOSED_MILLIS: u64 = 7 * 24 * 3600 * 1000;

/// What all tasks of a daemon use.
pub(crate) struct Shared {
    pub(crate) rules: Rules,
    pub(crate) bidder: Bidder,
    pub(crate) clock: Clock,
    pub(crate) journal: Journal,
    pub(crate) depot: Depot,
    pub(crate) runtime: Arc<dyn Runtime>,
    pub(crate) chain: Arc<dyn Chain>,
    pub(crate) gateways: Vec<Arc<dyn Gateway>>,
    pub(crate) jobs_dir: PathBuf,
    pub(crate) cursor_file: PathBuf,
    /// Held while the chain's position is written.
    pub(crate) cursor_lock: Arc<Mutex<()>>,
    pub(crate) shutdown: CancellationToken,
}

impl Shared {
    /// Room on the data folder's disk, less what journal, logs and the chain's news need. 0 when it cannot be told.
    fn free_disk_bytes(&self) -> u64 {
        let found = nix::sys::statvfs::statvfs(&self.jobs_dir);
        let free = found.map_or(0, |disk| disk.blocks_available() * disk.fragment_size());
        free.saturating_sub(DISK_RESERVE_BYTES)
    }
}

/// What the daemon's task is told.
pub(crate) enum Message {
    /// A gateway shows an order; what the chain says of it was looked up.
    Order(Box<SeenOrder>),
    /// News of the chain.
    News(Batch),
    /// A job holds nothing any more: its bid lapsed or is not wanted, or only its transaction is waited for.
    Lapsed(JobId),
    /// A job's task is done with it; whether its record is to be forgotten.
    Ended(JobId),
    /// Containers that exist.
    Containers(Vec<ContainerId>),
}

/// An order with what is needed to decide about it.
pub(crate) struct SeenOrder {
    pub(crate) order: SignedOrder,
    pub(crate) standing: Standing,
    pub(crate) listing: Listing,
    /// The key of the budget that pays, when one of this payer does.
    pub(crate) budget_key: Option<Address>,
    pub(crate) gateway: Arc<dyn Gateway>,
}

/// The daemon's own task.
pub(crate) struct Daemon {
    shared: Arc<Shared>,
    ledger: Ledger,
    workers: BTreeMap<JobId, mpsc::UnboundedSender<ToWorker>>,
    /// Jobs that are over: their orders are not bid for again.
    closed: BTreeSet<JobId>,
    /// Orders for which there was no room, until they expire.
    waiting: BTreeMap<JobId, (SignedOrder, Arc<dyn Gateway>)>,
    sender: mpsc::UnboundedSender<Message>,
    messages: mpsc::UnboundedReceiver<Message>,
    tasks: JoinSet<()>,
    health: watch::Sender<Health>,
    head: u64,
}

impl Daemon {
    /// Takes the journal up again. Nothing moves until [`Daemon::run`].
    pub(crate) fn new(
        shared: Arc<Shared>,
        ledger: Ledger,
        health: watch::Sender<Health>,
    ) -> Result<Self, JournalError> {
        let (sender, messages) = mpsc::unbounded_channel();
        let mut daemon = Self {
            shared,
            ledger,
            workers: BTreeMap::new(),
            closed: BTreeSet::new(),
            waiting: BTreeMap::new(),
            sender,
            messages,
            tasks: JoinSet::new(),
            health,
            head: 0,
        };
        daemon.load()?;
        Ok(daemon)
    }

    fn load(&mut self) -> Result<(), JournalError> {
        let loaded = self.shared.journal.load::<JobRecord>()?;
        for (path, reason) in loaded.damaged {
            tracing::error!(path = %path.display(), reason, "a job's record cannot be read; the job is left alone");
        }
        let now = self.shared.clock.now().moment.unix_millis;
        for (job, record) in loaded.records {
            match record.closed_at() {
                None => self.start_worker(record),
                Some(at) if at + KEEP_CLOSED_MILLIS > now => {
                    self.closed.insert(job);
                    tasks::clear_closed(&self.shared, &record);
                }
                Some(_) => {
                    tasks::unpin(&self.shared, &record);
                    self.shared.journal.remove(job)?;
                }
            }
        }
        Ok(())
    }

    /// Works until shut down. Containers go on without it, under their shims.
    pub(crate) async fn run(mut self, feed: Box<dyn ChainFeed>) {
        self.tasks
            .spawn(feed::follow(self.shared.clone(), feed, self.sender.clone()));
        for gateway in self.shared.gateways.clone() {
            self.tasks
                .spawn(bulletin::listen(self.shared.clone(), gateway, self.sender.clone()));
        }
        let mut sweep = tokio::time::interval(SWEEP_EVERY);
        let mut tidy = tokio::time::interval(TIDY_EVERY);
        let shutdown = self.shared.shutdown.clone();
        loop {
            tokio::select! {
                () = shutdown.cancelled() => break,
                Some(message) = self.messages.recv() => self.on_message(message),
                _ = sweep.tick() => self.sweep(),
                _ = tidy.tick() => self.tidy(),
                Some(_) = self.tasks.join_next() => {}
            }
            self.tell_health();
        }
        // Every long task watches the same token; a record that is being saved is waited for, a slow gateway is not.
        self.workers.clear();
        let all_ended = async { while self.tasks.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(PATIENCE, all_ended).await;
    }

    fn on_message(&mut self, message: Message) {
        match message {
            Message::Order(seen) => self.on_order(*seen),
            Message::News(batch) => self.on_news(batch),
            Message::Lapsed(job) => {
                self.ledger.free_job(job);
                self.look_at_waiting();
            }
            Message::Ended(job) => self.on_ended(job),
            Message::Containers(found) => self.on_containers(found),
        }
    }

    fn on_order(&mut self, seen: SeenOrder) {
        let job = self.shared.bidder.job_id(&seen.order);
        if self.closed.contains(&job) || self.workers.contains_key(&job) {
            return;
        }
        self.waiting.remove(&job);
        let now = self.shared.clock.now().chain_seconds();
        let mut free = self.ledger.free();
        free.disk_bytes = free.disk_bytes.min(self.shared.free_disk_bytes());
        let bid = match self
            .shared
            .bidder
            .consider(&seen.order, &seen.standing, &seen.listing, &free, now)
            .and_then(|bid| check_budget(&seen).map(|()| bid))
        {
            Ok(bid) => bid,
            Err(reason) => {
                tracing::info!(%job, %reason, "no bid");
                if matches!(reason, NoBid::NoRoom { .. }) {
                    self.waiting.insert(job, (seen.order, seen.gateway));
                }
                return;
            }
        };
        let facts = Facts {
            owner: seen.standing.owner,
            token_symbol: seen.listing.symbol,
            token_decimals: seen.listing.decimals,
            budget_key: seen.budget_key,
        };
        let record = JobRecord::offered(job, seen.order, bid.clone(), facts);
        // Saved before it is posted: a match may come while this daemon is being restarted.
        if let Err(error) = self.shared.journal.save(job, &record) {
            return tracing::error!(%job, %error, "no bid");
        }
        tracing::info!(%job, price = %bid.bid.compute_per_hour, "bid");
        self.start_worker(record);
        let gateway = seen.gateway;
        self.tasks.spawn(async move {
            if let Err(fault) = gateway.post_bid(&bid).await {
                tracing::warn!(%job, %fault, gateway = gateway.name(), "bid not posted");
            }
        });
    }

    fn start_worker(&mut self, record: JobRecord) {
        let job = record.job_id;
        self.ledger.hold(job, needs(&record.order));
        let (to_worker, inbox) = mpsc::unbounded_channel();
        let worker = Worker::new(self.shared.clone(), record, to_worker.clone(), self.sender.clone());
        self.workers.insert(job, to_worker);
        self.tasks.spawn(worker.run(inbox));
    }

    fn on_news(&mut self, batch: Batch) {
        self.shared.clock.learn_chain_time(batch.chain_seconds);
        let has_news = batch.rolled_back_to.is_some() || !batch.events.is_empty();
        if let Some(to) = batch.rolled_back_to {
            tracing::warn!(to, "the chain was rolled back");
            self.tell_all(&Event::RolledBack { to });
        }
        for ChainEvent { job, block, body } in batch.events {
            self.waiting.remove(&job);
            let is_ours = matches!(&body, ChainNews::Matched(at) if at.terms.node == self.shared.rules.node);
            match self.workers.get(&job) {
                Some(worker) => {
                    let _ = worker.send(ToWorker::Event(Event::Chain { block, news: body }));
                }
                None if is_ours && !self.closed.contains(&job) => {
                    tracing::error!(%job, "matched, but this node has no record of its bid");
                }
                None => {}
            }
        }
        self.head = batch.head.block;
        self.tell_all(&Event::Head {
            block: batch.head.block,
        });
        if has_news {
            self.save_cursor(batch.head);
        }
    }

    fn tell_all(&self, event: &Event) {
        for worker in self.workers.values() {
            let _ = worker.send(ToWorker::Event(event.clone()));
        }
    }

    /// Saves how far the chain was read, once every job has saved what it was told.
    fn save_cursor(&mut self, cursor: Cursor) {
        let mut saved = Vec::new();
        for worker in self.workers.values() {
            let (done, waiter) = tokio::sync::oneshot::channel();
            if worker.send(ToWorker::Barrier(done)).is_ok() {
                saved.push(waiter);
            }
        }
        self.tasks.spawn(feed::save_cursor(self.shared.clone(), cursor, saved));
    }

    fn on_ended(&mut self, job: JobId) {
        self.workers.remove(&job);
        self.ledger.free_job(job);
        self.closed.insert(job);
        self.look_at_waiting();
    }

    /// There may be room now for what was turned away.
    fn look_at_waiting(&mut self) {
        let now = self.shared.clock.now().chain_seconds();
        self.waiting.retain(|_, (order, _)| order.order.expires_at > now);
        for (order, gateway) in self.waiting.values().cloned() {
            self.tasks.spawn(bulletin::look_up(
                self.shared.clone(),
                order,
                gateway,
                self.sender.clone(),
            ));
        }
    }

    fn sweep(&mut self) {
        self.look_at_waiting();
        let (runtime, sender) = (self.shared.runtime.clone(), self.sender.clone());
        self.tasks.spawn(async move {
            match runtime.list().await {
                Ok(found) => drop(sender.send(Message::Containers(found))),
                Err(error) => tracing::warn!(%error, "containers cannot be listed"),
            }
        });
    }

    /// Removes blocks no job needs any more: inputs and images of jobs that are over.
    fn tidy(&mut self) {
        let depot = self.shared.depot.clone();
        self.tasks.spawn(async move { depot.make_room().await });
    }

    /// Removes containers that belong to no open job.
    fn on_containers(&mut self, found: Vec<ContainerId>) {
        let expected: BTreeSet<ContainerId> = self.workers.keys().flat_map(|job| tasks::container_ids(*job)).collect();
        for id in found.into_iter().filter(|id| !expected.contains(id)) {
            let runtime = self.shared.runtime.clone();
            self.tasks.spawn(async move {
                tracing::warn!(container = %id, "removing a container without a job");
                if let Err(error) = runtime.remove(&id).await {
                    tracing::warn!(container = %id, %error, "not removed; tried again later");
                }
            });
        }
    }

    fn tell_health(&self) {
        let (block, jobs) = (self.head, self.workers.len());
        self.health.send_if_modified(|health| {
            let is_new = (health.block, health.jobs) != (block, jobs);
            (health.block, health.jobs) = (block, jobs);
            is_new
        });
    }
}

/// A budget that is not the payer's can never pay.
fn check_budget(seen: &SeenOrder) -> Result<(), NoBid> {
    let budget = seen.order.order.budget;
    if budget.0.is_zero() || seen.budget_key.is_some() {
        return Ok(());
    }
    Err(NoBid::Budget(budget))
}

#[cfg(test)]
mod tests;
