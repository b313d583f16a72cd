//! What is durable of a job: all a new daemon needs to go on where a killed one stopped.

use opengpu_core::Address;
use opengpu_core::ids::{CidText, JobId};
use opengpu_core::job::{Progress, Terms, Usage};
use opengpu_core::metering::LimitKind;
use opengpu_core::money::Amount;
use opengpu_core::order::{JobResult, Outcome, Voucher};
use opengpu_core::tier::DAY_SECONDS;
use opengpu_core::wire::{ApprovedResult, ResultProposal, SignedBid, SignedOrder, SignedVoucher};
use serde::{Deserialize, Serialize};

use crate::image::PreparedImage;
use crate::meter::Meter;
use crate::ports::{EarlierAttempt, Leavings, Position};

/// A job, from the bid on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct JobRecord {
    /// Its id.
    pub job_id: JobId,
    /// What the payer wants; posted again to a gateway that lost it.
    pub order: SignedOrder,
    /// What this node offered.
    pub bid: SignedBid,
    /// What the chain said when the bid was made.
    pub facts: Facts,
    /// The attempt, once the chain said that the bid was matched.
    pub attempt: Option<Attempt>,
}

/// What the chain said when the bid was made that neither order nor terms carry: for the receipt, and for whose word counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Facts {
    /// The node's ERC-721 owner. It cannot change while the job is open.
    pub owner: Address,
    /// Symbol of the order's token.
    pub token_symbol: String,
    /// Digits after its point.
    pub token_decimals: u8,
    /// Key of the budget that pays for the job; it may stop it as its payer may.
    #[serde(default)]
    pub budget_key: Option<Address>,
}

/// The attempt this node runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Attempt {
    /// What the chain said, block by block, so that a reorganisation can be undone. Empty: the match itself was undone.
    pub history: Vec<Seen>,
    /// Terms as last seen, which stand while the match is being sent again.
    pub terms: Terms,
    /// Chain clock, milliseconds, since when the match is undone.
    pub unmatched_since: Option<u64>,
    /// Why the program has to stop.
    pub stop: Option<Stop>,
    /// The newest voucher proposed; the next one never goes below it.
    pub proposed: Option<Voucher>,
    /// The newest voucher both have signed: what the node can cash.
    pub newest: Option<SignedVoucher>,
    /// The voucher before it: as a voucher covers an interval ahead, only this one's time is over when the next is signed.
    #[serde(default)]
    pub earned: Option<SignedVoucher>,
    /// How many vouchers both have signed.
    pub vouchers: u32,
    /// Output and logs, once they are stored.
    pub leavings: Option<Leavings>,
    /// The job's attempts on other nodes, once they were read up on.
    pub earlier: Vec<EarlierAttempt>,
    /// How far the work is.
    pub stage: Stage,
}

/// The attempt on chain after some block.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Seen {
    /// The block.
    pub block: u64,
    /// Terms and progress after it.
    pub position: Position,
    /// The voucher a standing report declares. `Some(None)`: a report that declares none stands.
    pub report: Option<Report>,
    /// Whether the attempt is over: settled or interrupted.
    pub is_over: bool,
}

/// A report that waits for an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// The voucher it declares.
    pub declared: Option<Voucher>,
}

/// Why a program is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Stop {
    /// Payer, signer or budget key asked for it.
    Asked,
    /// Time or escrow is used up.
    Limit(LimitKind),
    /// It was not READY within the time promised.
    NotReady,
    /// It wrote more than the disk it asked for.
    DiskLimit,
    /// The signer was silent for too long, or until too near the attempt's last deadline.
    Unsigned,
}

/// How far the work on an attempt is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Stage {
    /// Image and input are on their way here.
    Preparing,
    /// The container is made or runs, and is not READY.
    Starting {
        /// What it runs.
        image: PreparedImage,
    },
    /// READY.
    Running {
        /// Bills since READY.
        meter: Meter,
    },
    /// The program is over; what it leaves is being stored.
    #[serde(alias = "collecting")] // as older daemons wrote it: such a job still gets its pay
    Storing {
        /// How it ended.
        end: End,
    },
    /// The signer is asked to approve the result.
    Proposing {
        /// How it ended.
        end: End,
        /// What the signer is asked.
        proposal: Box<ResultProposal>,
        /// Chain clock, milliseconds, since when.
        since: u64,
    },
    /// The signer approved: `settle` is sent until the chain has it for good.
    Settling {
        /// What is sent.
        approved: Box<ApprovedResult>,
    },
    /// The signer is silent or the outcome unknown: `submit` is sent until the chain has it for good.
    Submitting {
        /// What is sent; its totals are the voucher's.
        result: Box<JobResult>,
        /// The newest voucher when the result was built: a later one has other totals, which the contract refuses.
        voucher: Option<Box<SignedVoucher>>,
        /// The receipt it names, in JCS form.
        receipt: String,
    },
    /// Over for good. The record stays a while so that a repeated order is recognised.
    Closed {
        /// Unix milliseconds.
        at: u64,
    },
}

/// How a program ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct End {
    /// As both sides would sign it; `None`: unknown, which is nobody's fault.
    pub outcome: Option<Outcome>,
    /// The program's exit code; 128 + signal when killed by one.
    pub exit_code: i32,
    /// True usage since READY, not above the limits.
    pub usage: Usage,
    /// Seconds from match to READY; to the end when it never was.
    pub ready_after_seconds: u32,
    /// CPU milliseconds of the whole container.
    pub cpu_millis: u64,
    /// Most memory at once.
    pub memory_peak_bytes: u64,
    /// Unix milliseconds.
    pub at_millis: u64,
    /// Whether the output folder could not be stored and is left out.
    pub is_output_lost: bool,
}

impl JobRecord {
    /// A job that was only bid for.
    #[must_use]
    pub fn offered(job_id: JobId, order: SignedOrder, bid: SignedBid, facts: Facts) -> Self {
        Self {
            job_id,
            order,
            bid,
            facts,
            attempt: None,
        }
    }

    /// When the job closed for this node, unix milliseconds; `None` while something is left to do.
    #[must_use]
    pub fn closed_at(&self) -> Option<u64> {
        match self.attempt.as_ref()?.stage {
            Stage::Closed { at, .. } => Some(at),
            _ => None,
        }
    }

    /// Roots of what the job left in the store, as far as they are known.
    #[must_use]
    pub fn roots(&self) -> Vec<CidText> {
        let Some(attempt) = &self.attempt else {
            return Vec::new();
        };
        attempt
            .leavings
            .iter()
            .flat_map(|left| [&left.output, &left.logs, &left.usage])
            .cloned()
            .collect()
    }

    /// Milliseconds between voucher proposals.
    #[must_use]
    pub fn interval_millis(&self) -> u64 {
        u64::from(self.order.spec.voucher_interval_seconds) * 1000
    }
}

impl Attempt {
    /// An attempt that began in `block`.
    #[must_use]
    pub fn matched(block: u64, position: Position) -> Self {
        let terms = position.terms.clone();
        let seen = Seen {
            block,
            position,
            report: None,
            is_over: false,
        };
        Self {
            history: vec![seen],
            terms,
            unmatched_since: None,
            stop: None,
            proposed: None,
            newest: None,
            earned: None,
            vouchers: 0,
            leavings: None,
            earlier: Vec::new(),
            stage: Stage::Preparing,
        }
    }

    /// Where the chain has the attempt; `None` while its match is undone.
    #[must_use]
    pub fn seen(&self) -> Option<&Seen> {
        self.history.last()
    }

    /// The block in which the attempt ended, if it did.
    #[must_use]
    pub fn over_since(&self) -> Option<u64> {
        self.history.iter().find(|seen| seen.is_over).map(|seen| seen.block)
    }

    /// The progress as last seen.
    #[must_use]
    pub fn progress(&self) -> Progress {
        self.seen()
            .map_or_else(Progress::default, |seen| seen.position.progress.clone())
    }

    /// Cumulative values that were collected, oldest first.
    #[must_use]
    pub fn collected(&self) -> Vec<Amount> {
        let mut values: Vec<Amount> = self.history.iter().map(|seen| seen.position.progress.value).collect();
        values.dedup();
        values.retain(|value| *value > Amount::ZERO);
        values
    }

    /// Milliseconds covered by the newest co-signed voucher.
    #[must_use]
    pub fn covered_millis(&self) -> u64 {
        self.newest.as_ref().map_or(0, |newest| newest.voucher.billed_millis)
    }

    /// Chain second from which anyone may close the attempt with what is shown then, which may be nothing (protocol, section 4).
    #[must_use]
    pub fn last_deadline(&self) -> u64 {
        self.ready_deadline() + 2 * u64::from(self.terms.limits.max_seconds) + DAY_SECONDS
    }

    /// Chain second from which the node has broken its promise to be READY.
    #[must_use]
    pub fn ready_deadline(&self) -> u64 {
        self.terms.matched_at() + u64::from(self.terms.limits.ready_within_seconds)
    }
}
