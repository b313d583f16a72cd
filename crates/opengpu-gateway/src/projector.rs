//! From what the chain said to what a job is. Pure: no clock, no database.
//!
//! [`apply`] makes a job's next version from its last one and one event. The database keeps the versions of each job by
//! block; when the chain is reorganised, versions above the fork are deleted, and the newest that is left is the job. So
//! a projection that went through reorganisations equals one read from the start.

use opengpu_core::ids::JobId;
use opengpu_core::job::{JobState, Progress, Settlement, Terms};
use opengpu_core::money::Amount;
use opengpu_core::order::Voucher;
use opengpu_core::{Address, B256};
use serde::{Deserialize, Serialize};

/// Where on the chain something was said.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Place {
    /// Block number.
    pub block: u64,
    /// Index of the log within the block.
    pub log_index: u64,
    /// Transaction that emitted it.
    pub transaction: B256,
    /// The block's time, unix seconds on the chain's clock.
    pub timestamp: u64,
}

/// One event of a job.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fact {
    /// The job.
    pub job: JobId,
    /// Where it was said.
    pub place: Place,
    /// What was said.
    pub change: Change,
}

/// What an event says about its job; the variants are the events of `IJobMarket.sol`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Change {
    /// Matched for the first time; progress is all zero.
    Matched {
        /// Fixed now.
        terms: Terms,
    },
    /// Matched again.
    Rematched {
        /// Of the new attempt.
        terms: Terms,
        /// Carries the earlier owners.
        progress: Progress,
    },
    /// Withdrawn before a match.
    OrderCancelled {
        /// Whose order it was.
        payer: Address,
    },
    /// More escrow and time.
    Extended {
        /// Replace the former ones.
        terms: Terms,
        /// Base units added to the escrow.
        added: Amount,
    },
    /// A voucher was cashed.
    Collected {
        /// Cumulative value paid of this attempt.
        value: Amount,
        /// Usage that value stands for.
        billed_millis: u64,
        /// What this call moved.
        moved: Moved,
    },
    /// The payer's side says the node failed.
    FaultReported {
        /// Its newest voucher; none for `seq` 0.
        declared: Option<Voucher>,
        /// After it.
        progress: Progress,
    },
    /// A newer voucher was shown.
    FaultAnswered {
        /// Whether that ended the report; else it replaces the declared one.
        is_over: bool,
        /// The newer one.
        voucher: Option<Voucher>,
        /// After it.
        progress: Progress,
    },
    /// V2: the node contested, the attempt goes on.
    FaultContested {
        /// After it.
        progress: Progress,
    },
    /// A report stayed unanswered; `Interrupted` or `Settled` follows and says what it came to.
    Faulted,
    /// The attempt ended, escrow is left.
    Interrupted {
        /// How it was paid.
        settlement: Settlement,
        /// After it.
        progress: Progress,
    },
    /// V2: a result waits for challenges.
    ResultSubmitted {
        /// After it.
        progress: Progress,
    },
    /// Closed with its last attempt.
    Settled {
        /// How it was paid.
        settlement: Settlement,
    },
    /// Closed without another attempt.
    Closed {
        /// Base units back to the payer.
        refunded: Amount,
    },
}

impl Change {
    /// The event's name in the contract.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Matched { .. } => "Matched",
            Self::Rematched { .. } => "Rematched",
            Self::OrderCancelled { .. } => "OrderCancelled",
            Self::Extended { .. } => "Extended",
            Self::Collected { .. } => "Collected",
            Self::FaultReported { .. } => "FaultReported",
            Self::FaultAnswered { .. } => "FaultAnswered",
            Self::FaultContested { .. } => "FaultContested",
            Self::Faulted => "Faulted",
            Self::Interrupted { .. } => "Interrupted",
            Self::ResultSubmitted { .. } => "ResultSubmitted",
            Self::Settled { .. } => "Settled",
            Self::Closed { .. } => "Closed",
        }
    }
}

/// Base units that left a job's escrow, and to whom.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Moved {
    /// To nodes.
    pub node: Amount,
    /// To stakers.
    pub stakers: Amount,
    /// To the treasury.
    pub treasury: Amount,
    /// Back to the payer.
    pub refunded: Amount,
}

impl Moved {
    fn add(&mut self, other: Self) {
        let sum = |a: Amount, b: Amount| Amount(a.0.saturating_add(b.0));
        self.node = sum(self.node, other.node);
        self.stakers = sum(self.stakers, other.stakers);
        self.treasury = sum(self.treasury, other.treasury);
        self.refunded = sum(self.refunded, other.refunded);
    }

    /// What was paid: all but the refund.
    #[must_use]
    pub fn paid(&self) -> Amount {
        Amount(
            self.node
                .0
                .saturating_add(self.stakers.0)
                .saturating_add(self.treasury.0),
        )
    }
}

impl From<&Settlement> for Moved {
    fn from(settlement: &Settlement) -> Self {
        Self {
            node: settlement.node_part,
            stakers: settlement.stakers_part,
            treasury: settlement.treasury_part,
            refunded: settlement.refunded,
        }
    }
}

/// An attempt that is over.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EndedAttempt {
    /// What was fixed at its match.
    pub terms: Terms,
    /// Cumulative values of its `Collected` events, oldest first.
    pub collected: Vec<Amount>,
    /// How it was paid.
    pub settlement: Settlement,
}

/// A job as the chain has it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ChainJob {
    /// The job.
    pub job_id: JobId,
    /// Where it stands.
    pub state: JobState,
    /// Since when, unix seconds on the chain's clock.
    pub state_since: u64,
    /// Whose credits pay.
    pub payer: Address,
    /// Of the newest attempt; none when it was cancelled before a match.
    pub terms: Option<Terms>,
    /// Of the newest attempt.
    pub progress: Progress,
    /// The voucher a standing report declares; `resolveFault` wants it back.
    pub declared: Option<Voucher>,
    /// Base units locked for the job, extensions included.
    pub locked: Amount,
    /// Where they went, over all attempts.
    pub moved: Moved,
    /// Attempts that ended before the newest one began, oldest first.
    pub earlier: Vec<EndedAttempt>,
    /// Cumulative values of the newest attempt's `Collected` events, oldest first.
    pub collected: Vec<Amount>,
    /// How the newest attempt was paid, once it ended.
    pub settlement: Option<Settlement>,
    /// Where it was first named.
    pub first: Place,
    /// Where it was last named.
    pub last: Place,
}

impl ChainJob {
    /// The newest attempt's number, 0 before the first.
    #[must_use]
    pub fn attempt(&self) -> u8 {
        self.terms.as_ref().map_or(0, Terms::attempt)
    }

    fn begin(fact: &Fact) -> Option<Self> {
        let (state, payer, terms) = match &fact.change {
            Change::Matched { terms } => (JobState::Matched, terms.payer, Some(terms.clone())),
            Change::OrderCancelled { payer } => (JobState::Cancelled, *payer, None),
            _ => return None,
        };
        Some(Self {
            job_id: fact.job,
            state,
            state_since: fact.place.timestamp,
            payer,
            locked: terms.as_ref().map_or(Amount::ZERO, |terms| terms.escrow),
            terms,
            progress: Progress::default(),
            declared: None,
            moved: Moved::default(),
            earlier: Vec::new(),
            collected: Vec::new(),
            settlement: None,
            first: fact.place,
            last: fact.place,
        })
    }

    fn enter(&mut self, state: JobState, progress: Progress) {
        self.state = state;
        self.state_since = self.last.timestamp;
        self.progress = progress;
    }

    fn end_attempt(&mut self, state: JobState, settlement: &Settlement, progress: Progress) {
        self.moved.add(settlement.into());
        self.settlement = Some(settlement.clone());
        self.declared = None;
        self.enter(state, progress);
    }
}

/// The job after one more event; `None` for an event of a job that never began here, which no correct contract emits.
#[must_use]
pub fn apply(before: Option<ChainJob>, fact: &Fact) -> Option<ChainJob> {
    let Some(mut job) = before else {
        return ChainJob::begin(fact);
    };
    job.last = fact.place;
    match &fact.change {
        // Emitted once in a job's life; a second one would be of a job that began on a branch we have left.
        Change::Matched { .. } | Change::OrderCancelled { .. } => return ChainJob::begin(fact),
        Change::Rematched { terms, progress } => {
            let ended = job.terms.replace(terms.clone()).zip(job.settlement.take());
            let collected = std::mem::take(&mut job.collected);
            job.earlier.extend(ended.map(|(terms, settlement)| EndedAttempt {
                terms,
                collected,
                settlement,
            }));
            job.enter(JobState::Matched, progress.clone());
        }
        Change::Extended { terms, added } => {
            job.locked = Amount(job.locked.0.saturating_add(added.0));
            job.terms = Some(terms.clone());
        }
        Change::Collected {
            value,
            billed_millis,
            moved,
        } => {
            job.progress.value = *value;
            job.collected.push(*value);
            job.progress.billed_millis = *billed_millis;
            job.moved.add(*moved);
        }
        Change::FaultReported { declared, progress } => {
            job.declared = declared.clone();
            job.enter(JobState::Reported, progress.clone());
        }
        Change::FaultAnswered {
            is_over: true,
            progress,
            ..
        } => {
            job.declared = None;
            job.enter(JobState::Matched, progress.clone());
        }
        Change::FaultAnswered { voucher, progress, .. } => {
            job.declared = voucher.clone();
            job.progress = progress.clone();
        }
        Change::FaultContested { progress } => {
            job.declared = None;
            job.enter(JobState::Matched, progress.clone());
        }
        Change::Faulted => {}
        Change::ResultSubmitted { progress } => job.enter(JobState::Submitted, progress.clone()),
        Change::Interrupted { settlement, progress } => {
            job.end_attempt(JobState::Interrupted, settlement, progress.clone());
        }
        Change::Settled { settlement } => {
            let progress = job.progress.clone();
            job.end_attempt(JobState::Settled, settlement, progress);
        }
        Change::Closed { refunded } => {
            job.moved.refunded = Amount(job.moved.refunded.0.saturating_add(refunded.0));
            let progress = job.progress.clone();
            job.enter(JobState::Settled, progress);
        }
    }
    Some(job)
}

#[cfg(test)]
mod tests;
