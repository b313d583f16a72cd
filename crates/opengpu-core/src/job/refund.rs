//! The refund table (protocol, section 4) and the bill of an attempt, as the contract computes them.

use serde::{Deserialize, Serialize};

use super::{Ending, Terms, Usage};
use crate::money::{Amount, Split, cost_rounded_up, split_rounded_down};
use crate::order::Outcome;

/// What some usage costs under some terms, and who gets it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Bill {
    /// Gross value, before the payer's discount; never above the escrow.
    pub value: Amount,
    /// Who gets what of it.
    pub split: Split,
    /// What stays of the attempt's escrow: refunded, or left for another attempt.
    pub unused: Amount,
}

impl Terms {
    /// The bill for cumulative usage of this attempt. Value stops at the escrow.
    #[must_use]
    pub fn bill(&self, usage: Usage) -> Bill {
        let value = cost_rounded_up(self.price(), usage.billed_millis, usage.egress_bytes)
            .unwrap_or(self.escrow)
            .min(self.escrow);
        let split = split_rounded_down(value, self.rates.shares);
        Bill {
            value,
            split,
            unused: self.escrow.saturating_sub(split.paid),
        }
    }
}

/// The rows of the refund table.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum RefundCase {
    /// A report stayed unanswered and no voucher exists: the job was never READY.
    NeverReady,
    /// A report stayed unanswered in the middle of the run.
    LostMidRun,
    /// Contested, signer silent, submitted by the node alone, or expired: nobody is accused.
    Unproven,
    /// Both sides signed how it ended.
    CoSigned(Outcome),
}

/// Which usage a case pays.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Pays {
    /// None.
    Nothing,
    /// The newest co-signed voucher's `durable…` pair.
    DurableVoucher,
    /// The newest co-signed voucher's whole usage.
    WholeVoucher,
    /// The result's totals.
    Result,
}

/// How a case counts for the node's standing.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Standing {
    /// The node did its part.
    Success,
    /// The node failed.
    Fail,
    /// Nobody knows.
    Neutral,
    /// Not the node's doing.
    LeftOut,
}

impl RefundCase {
    /// The row for an ending; `None` while the attempt runs.
    #[must_use]
    pub const fn of(ending: Ending, has_voucher: bool) -> Option<Self> {
        match ending {
            Ending::None => None,
            Ending::Completed => Some(Self::CoSigned(Outcome::Completed)),
            Ending::Stopped => Some(Self::CoSigned(Outcome::Stopped)),
            Ending::UserFault => Some(Self::CoSigned(Outcome::UserFault)),
            Ending::HardwareFault => Some(Self::CoSigned(Outcome::HardwareFault)),
            Ending::Submitted | Ending::Contested | Ending::Expired => Some(Self::Unproven),
            Ending::Unanswered if has_voucher => Some(Self::LostMidRun),
            Ending::Unanswered => Some(Self::NeverReady),
        }
    }

    /// Which usage the node is paid for.
    #[must_use]
    pub const fn pays(self) -> Pays {
        match self {
            Self::NeverReady => Pays::Nothing,
            Self::LostMidRun => Pays::DurableVoucher,
            Self::Unproven => Pays::WholeVoucher,
            Self::CoSigned(_) => Pays::Result,
        }
    }

    /// How it counts for the node.
    #[must_use]
    pub const fn counts_as(self) -> Standing {
        match self {
            Self::NeverReady | Self::LostMidRun | Self::CoSigned(Outcome::HardwareFault) => Standing::Fail,
            Self::Unproven => Standing::Neutral,
            Self::CoSigned(Outcome::Completed | Outcome::Stopped) => Standing::Success,
            Self::CoSigned(Outcome::UserFault) => Standing::LeftOut,
        }
    }

    /// What the node's bond owes the payer, in base units of the *job's* token; the contract converts it to OPEN at the
    /// rates fixed at match and limits it by the bond there is.
    #[must_use]
    pub fn make_good_rounded_down(self, terms: &Terms) -> Amount {
        match self {
            Self::NeverReady => Amount(terms.compute_per_hour.0 / 4),
            Self::LostMidRun => Amount(terms.escrow.0 / 10).min(terms.compute_per_hour),
            Self::Unproven | Self::CoSigned(_) => Amount::ZERO,
        }
    }
}
