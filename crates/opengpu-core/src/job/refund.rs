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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::{Limits, Rates};
    use alloy_primitives::{Address, U256};

    fn terms(escrow: u128) -> Terms {
        let mut rates = Rates::unpack(U256::ZERO);
        rates.shares.stakers_bps = 1200;
        rates.shares.treasury_bps = 500;
        rates.shares.discount_bps = 100;
        Terms {
            payer: Address::ZERO,
            signer: Address::ZERO,
            token: Address::ZERO,
            operator: Address::ZERO,
            payee: Address::ZERO,
            budget: Default::default(),
            node: Default::default(),
            spec_digest: crate::ids::Sha256Digest::of(b""),
            escrow: Amount(escrow),
            compute_per_hour: Amount(600_000),
            egress_per_gib: Amount::ZERO,
            rates,
            limits: Limits::default(),
        }
    }

    fn hours(hours: u64) -> Usage {
        Usage {
            billed_millis: hours * 3_600_000,
            egress_bytes: 0,
        }
    }

    #[test]
    fn bill_refunds_what_was_not_used_and_the_discount() {
        let bill = terms(1_000_000).bill(hours(1));
        assert_eq!(bill.value, Amount(600_000));
        assert_eq!(bill.split.discount, Amount(6_000));
        assert_eq!(bill.split.paid, Amount(594_000));
        assert_eq!(bill.unused, Amount(406_000));
    }

    #[test]
    fn bill_stops_at_the_escrow() {
        assert_eq!(terms(1_000_000).bill(hours(2)).value, Amount(1_000_000));
        let mut dear = terms(u128::MAX);
        dear.compute_per_hour = Amount(u128::MAX);
        assert_eq!(dear.bill(hours(3)).value, Amount(u128::MAX));
    }

    #[test]
    fn make_goods_are_those_of_the_table() {
        assert_eq!(
            RefundCase::NeverReady.make_good_rounded_down(&terms(1)),
            Amount(150_000)
        );
        let lost = RefundCase::LostMidRun;
        assert_eq!(lost.make_good_rounded_down(&terms(1_000_009)), Amount(100_000));
        assert_eq!(lost.make_good_rounded_down(&terms(9_000_000)), Amount(600_000));
        assert_eq!(
            RefundCase::Unproven.make_good_rounded_down(&terms(9_000_000)),
            Amount::ZERO
        );
    }

    #[test]
    fn each_ending_has_its_row() {
        use Ending::*;
        let row = |ending, has_voucher| {
            let case = RefundCase::of(ending, has_voucher).unwrap();
            (case.pays(), case.counts_as())
        };
        assert_eq!(RefundCase::of(None, true), Option::None);
        assert_eq!(row(Completed, true), (Pays::Result, Standing::Success));
        assert_eq!(row(Stopped, true), (Pays::Result, Standing::Success));
        assert_eq!(row(UserFault, true), (Pays::Result, Standing::LeftOut));
        assert_eq!(row(HardwareFault, true), (Pays::Result, Standing::Fail));
        assert_eq!(row(Unanswered, true), (Pays::DurableVoucher, Standing::Fail));
        assert_eq!(row(Unanswered, false), (Pays::Nothing, Standing::Fail));
        for neutral in [Submitted, Contested, Expired] {
            assert_eq!(row(neutral, true), (Pays::WholeVoucher, Standing::Neutral));
        }
    }
}
