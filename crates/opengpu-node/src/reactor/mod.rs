//! What a node does about a job: a pure function of the job, what happened and the time.
//!
//! [`Job::react`] takes one [`Event`] in and gives the [`Effect`]s that follow. It works by level, not by edge: first the
//! event changes the state, then [the plan](Job) asks of each stage what is wanted now and not yet under way. So a daemon
//! that was killed anywhere loads the [`JobRecord`], feeds it a [`Event::Tick`], and every task that was under way is asked
//! for again; each of them may be repeated. The caller saves the record before it carries out the effects.
//!
//! ```text
//! offered → preparing → starting → running → storing → proposing → settling ─────────┐
//!              └───────────┴──────────┴──── (no outcome, signer silent) → submitting ┴→ closed
//! ```
//!
//! | file | decides |
//! |---|---|
//! | [`record`] | what is durable |
//! | `chain_news` | what the chain says, and un-says after a reorganisation |
//! | `signatures` | what signer and payer say |
//! | `starting` | image, input, start, readiness check |
//! | `container` | what the container does, and what its end comes to |
//! | `running` | meter, vouchers, pauses, limits, stops |
//! | `earning` | being paid while the job runs |
//! | `finishing` | result, receipt, settle, submit |
//! | `reports` | answering the payer's side when it says the node failed |

mod chain_news;
mod container;
mod earning;
mod event;
mod finishing;
pub mod record;
mod reports;
mod running;
mod schedule;
mod signatures;
mod starting;

use opengpu_core::ids::NodeId;
use opengpu_core::metering::STOP_GRACE_MILLIS;
use opengpu_core::money::Amount;
use opengpu_core::order::Domain;
use opengpu_core::receipt::Gpu;
use opengpu_core::sign::SecretKey;
use opengpu_core::wire::Step;

use crate::clock::Now;

pub use event::{Blame, Done, Effect, Event, Gauge, Stored, TaskFault};
pub use record::JobRecord;
use record::{Stage, Stop};
use schedule::{Schedule, Task};

/// What is the same for all jobs of a node.
#[derive(Debug, Clone)]
pub struct Rules {
    /// The network.
    pub domain: Domain,
    /// The node.
    pub node: NodeId,
    /// The operator's key, which signs vouchers and results.
    pub key: SecretKey,
    /// The node's GPUs, as the registry knows them; empty: none.
    pub gpus: Vec<Gpu>,
    /// Blocks on top of one before it counts as final.
    pub confirmations: u64,
    /// How long the signer may be silent at the end before the node submits alone, milliseconds.
    pub approval_grace_millis: u64,
    /// How long a report may be answered, milliseconds; the node waits half of it for the signer before it contests.
    pub response_window_millis: u64,
    /// Pay is collected while a job runs as soon as more than this is owed for it, millionths of a USD; 0: never before its end.
    pub collect_above_usd_micros: u64,
}

/// How often the container is looked at, milliseconds: the delay with which an end is noticed, never billed.
const STATUS_EVERY_MILLIS: u64 = 500;
/// Samples and readiness checks come once a second (protocol, section 3).
const SECOND_MILLIS: u64 = 1_000;
/// Before a failed task is tried again, milliseconds.
const RETRY_MILLIS: u64 = 2_000;
/// A transaction that was sent and is not seen in the chain's news is sent again after this, milliseconds.
const RESEND_MILLIS: u64 = 6_000;
/// A bid that was not matched holds its capacity this much longer than it is firm: a match in the last block takes a
/// moment to be seen. Milliseconds.
const HOLD_AFTER_EXPIRY_MILLIS: u64 = 10_000;
/// And its order and bid are remembered this long, should the news come very late. Milliseconds.
const REMEMBER_AFTER_EXPIRY_MILLIS: u64 = 120_000;
/// A match that a reorganisation undid is sent again by the payer within this time, or the job is given up. Milliseconds.
const MATCH_LOSS_MILLIS: u64 = 120_000;

/// One job as the node works on it.
#[derive(Debug, Clone)]
pub struct Job {
    /// What is durable of it.
    pub record: JobRecord,
    live: Live,
}

/// What a new daemon starts without.
#[derive(Debug, Clone, Default)]
struct Live {
    schedule: Schedule,
    /// The chain's newest block.
    head: u64,
    /// Last reading.
    gauge: Option<Gauge>,
    /// Whether the container was seen or made running in this life.
    is_started: bool,
    /// Whether the container is frozen, as far as this life knows.
    is_frozen: bool,
    /// What the attempt is worth to the chain once the newest `collect` is in a block.
    collecting: Amount,
    /// When SIGTERM was sent.
    terminated_at: Option<u64>,
    /// Whether the payer was told that image and input are being fetched.
    is_preparing_told: bool,
    /// Whether the capacity of a bid that lapsed or is not wanted any more was freed.
    is_freed: bool,
    /// Whether payer or signer gave the order up before its match.
    is_given_up: bool,
    /// The last failure told to the payer, so that each is told once.
    last_told: Option<String>,
}

impl Job {
    /// Takes a job from the journal, or a new one.
    #[must_use]
    pub fn new(record: JobRecord) -> Self {
        Self {
            record,
            live: Live::default(),
        }
    }

    /// What follows from `event` at `now`.
    pub fn react(&mut self, rules: &Rules, event: Event, now: &Now) -> Vec<Effect> {
        let mut effects = Vec::new();
        match event {
            Event::Tick => {}
            Event::Head { block } => self.live.head = block,
            Event::Chain { block, news } => self.on_chain_news(rules, block, news),
            Event::RolledBack { to } => self.on_rolled_back(to, now),
            Event::VoucherSigned(signed) => self.on_voucher_signed(rules, *signed),
            Event::ResultApproved(approved) => self.on_result_approved(rules, *approved),
            Event::Refused(refusal) => self.on_refused(&refusal),
            Event::StopRequested(stop) => self.on_stop_requested(rules, &stop),
            Event::Done(done) => self.on_done(rules, done, now, &mut effects),
        }
        self.plan(rules, now, &mut effects);
        effects
    }

    fn on_done(&mut self, rules: &Rules, done: Done, now: &Now, effects: &mut Vec<Effect>) {
        match done {
            Done::Prepared(outcome) => self.on_prepared(outcome, now, effects),
            Done::Started(outcome) => self.on_started(outcome, now, effects),
            Done::Status(outcome) => self.on_status(outcome, now, effects),
            Done::ReadyChecked(outcome) => self.on_ready_checked(outcome, now, effects),
            Done::DiskChecked(is_over) => self.on_disk_checked(is_over, now, effects),
            Done::Sampled(outcome) => self.on_sampled(outcome, now, effects),
            Done::Paused(outcome) => self.on_paused(outcome.is_ok(), now),
            Done::Resumed(outcome) => self.on_resumed(outcome.is_ok(), now, effects),
            Done::Killed(_) => self.live.schedule.finish(Task::Kill, now.boot() + RETRY_MILLIS),
            Done::Stored(outcome) => self.on_stored(rules, outcome, now, effects),
            Done::Collected(outcome) => self.on_sent(Task::Collect, outcome.is_ok(), now),
            Done::Settled(outcome) => self.on_sent(Task::Settle, outcome.is_ok(), now),
            Done::Submitted(outcome) => self.on_sent(Task::Submit, outcome.is_ok(), now),
            Done::Answered(outcome) => self.on_sent(Task::Answer, outcome.is_ok(), now),
            Done::Contested(outcome) => self.on_sent(Task::Contest, outcome.is_ok(), now),
        }
    }

    fn on_sent(&mut self, task: Task, is_included: bool, now: &Now) {
        let pause = if is_included { RESEND_MILLIS } else { RETRY_MILLIS };
        self.live.schedule.finish(task, now.boot() + pause);
    }

    fn plan(&mut self, rules: &Rules, now: &Now, effects: &mut Vec<Effect>) {
        let Some(attempt) = &self.record.attempt else {
            return self.plan_offer(now, effects);
        };
        if matches!(attempt.stage, Stage::Closed { .. }) {
            return;
        }
        if let Some(block) = attempt.over_since() {
            if self.live.head >= block + rules.confirmations {
                self.close(now, effects);
            }
            return;
        }
        if attempt
            .unmatched_since
            .is_some_and(|since| now.chain_millis() >= since + MATCH_LOSS_MILLIS)
        {
            return self.close(now, effects);
        }
        self.plan_report(rules, now, effects);
        self.plan_stage(rules, now, effects);
    }

    fn plan_stage(&mut self, rules: &Rules, now: &Now, effects: &mut Vec<Effect>) {
        let Some(attempt) = &self.record.attempt else { return };
        match &attempt.stage {
            Stage::Preparing => self.plan_preparing(now, effects),
            Stage::Starting { .. } => self.plan_starting(now, effects),
            Stage::Running { .. } => self.plan_running(rules, now, effects),
            Stage::Storing { .. } => self.plan_storing(now, effects),
            Stage::Proposing { .. } => self.plan_proposing(rules, now, effects),
            Stage::Settling { .. } => self.plan_settling(now, effects),
            Stage::Submitting { .. } => self.plan_submitting(now, effects),
            Stage::Closed { .. } => {}
        }
    }

    fn plan_offer(&mut self, now: &Now, effects: &mut Vec<Effect>) {
        let since_expiry = now.chain_millis().checked_sub(self.record.bid.bid.expires_at * 1000);
        let is_past = |pause| since_expiry.is_some_and(|since| since >= pause);
        if is_past(REMEMBER_AFTER_EXPIRY_MILLIS) {
            effects.push(Effect::Forget);
        } else if (self.live.is_given_up || is_past(HOLD_AFTER_EXPIRY_MILLIS)) && !self.live.is_freed {
            self.live.is_freed = true;
            effects.push(Effect::FreeCapacity);
        }
    }

    fn close(&mut self, now: &Now, effects: &mut Vec<Effect>) {
        self.set_stage(Stage::Closed {
            at: now.moment.unix_millis,
        });
        effects.push(Effect::Close);
    }

    fn set_stage(&mut self, stage: Stage) {
        if let Some(attempt) = &mut self.record.attempt {
            attempt.stage = stage;
        }
    }

    /// Tells the payer why something does not go on, once for each reason.
    fn tell_failure(&mut self, reason: &str, hint: &str, effects: &mut Vec<Effect>) {
        if self.live.last_told.as_deref() == Some(reason) {
            return;
        }
        self.live.last_told = Some(reason.to_owned());
        let (reason, hint) = (reason.to_owned(), hint.to_owned());
        effects.push(Effect::Report(Step::Failed { reason, hint }));
    }
}

#[cfg(test)]
mod tests;
