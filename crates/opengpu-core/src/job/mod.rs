//! A job on chain: the terms fixed at match, what changed since, and who gets what when it ends.
//!
//! [`Terms`], [`Progress`], [`JobState`], [`Ending`] and [`Settlement`] are the Rust twins, field for field, of
//! `contracts/src/libraries/JobTerms.sol`; [`Terms::hash_with`] is the hash a job's one storage slot keeps of them.

mod refund;
mod terms;

use serde::{Deserialize, Serialize};

pub use refund::{Bill, Pays, RefundCase, Standing};
pub use terms::{JobHash, Limits, Progress, Rates, Settlement, Terms, TermsError, UsdRate};

use crate::order::Outcome;

/// What is billed: milliseconds since READY and bytes out of the container, both cumulative.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Usage {
    /// Milliseconds billed.
    pub billed_millis: u64,
    /// Bytes out of the container.
    pub egress_bytes: u64,
}

/// Where a job stands on chain (protocol, section 4).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum JobState {
    /// Never matched.
    #[default]
    None,
    /// An attempt runs.
    Matched,
    /// The payer's side says the node failed; the response window runs.
    Reported,
    /// The attempt is over, escrow is left for another one.
    Interrupted,
    /// V2: the node's result waits out its challenge window.
    Submitted,
    /// V2: a panel decides.
    Disputed,
    /// Closed, paid and refunded.
    Settled,
    /// Withdrawn before any match.
    Cancelled,
}

impl JobState {
    const ALL: [Self; 8] = [
        Self::None,
        Self::Matched,
        Self::Reported,
        Self::Interrupted,
        Self::Submitted,
        Self::Disputed,
        Self::Settled,
        Self::Cancelled,
    ];

    /// The number used on chain (0..7).
    #[must_use]
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The state a number on chain stands for.
    #[must_use]
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.get(usize::from(code)).copied()
    }

    /// Whether a co-signed result can close the job from here.
    #[must_use]
    pub const fn can_settle(self) -> bool {
        matches!(
            self,
            Self::Matched | Self::Reported | Self::Interrupted | Self::Submitted
        )
    }

    /// Whether the escrow is still locked.
    #[must_use]
    pub const fn is_open(self) -> bool {
        !matches!(self, Self::None | Self::Settled | Self::Cancelled)
    }

    /// Whether nothing can happen to the job any more.
    #[must_use]
    pub const fn is_closed(self) -> bool {
        matches!(self, Self::Settled | Self::Cancelled)
    }
}

/// How an attempt ended, as the chain tells it. The first four (after `None`) are a co-signed result's [`Outcome`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Ending {
    /// It has not ended.
    #[default]
    None,
    /// Co-signed: the program exited 0.
    Completed,
    /// Co-signed: the payer stopped it, or its limit did.
    Stopped,
    /// Co-signed: the user's program failed.
    UserFault,
    /// Co-signed: the machine failed.
    HardwareFault,
    /// By the node's own result.
    Submitted,
    /// The node answered a report with `contest`.
    Contested,
    /// Nobody answered a report in time.
    Unanswered,
    /// The attempt's last deadline passed.
    Expired,
}

impl Ending {
    const ALL: [Self; 9] = [
        Self::None,
        Self::Completed,
        Self::Stopped,
        Self::UserFault,
        Self::HardwareFault,
        Self::Submitted,
        Self::Contested,
        Self::Unanswered,
        Self::Expired,
    ];

    /// The number used on chain (0..8).
    #[must_use]
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The ending a number on chain stands for.
    #[must_use]
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.get(usize::from(code)).copied()
    }

    /// The outcome both sides signed, when that is how it ended.
    #[must_use]
    pub const fn outcome(self) -> Option<Outcome> {
        Outcome::from_code(self.code())
    }
}

impl From<Outcome> for Ending {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Completed => Self::Completed,
            Outcome::Stopped => Self::Stopped,
            Outcome::UserFault => Self::UserFault,
            Outcome::HardwareFault => Self::HardwareFault,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_read_back() {
        for code in 0..8 {
            assert_eq!(JobState::from_code(code).unwrap().code(), code);
        }
        for code in 0..9 {
            assert_eq!(Ending::from_code(code).unwrap().code(), code);
        }
        assert_eq!(JobState::from_code(8), None);
        assert_eq!(Ending::from_code(9), None);
    }

    #[test]
    fn co_signed_endings_are_the_outcomes() {
        for code in 1..=4 {
            let outcome = Outcome::from_code(code).unwrap();
            assert_eq!(Ending::from(outcome).outcome(), Some(outcome));
        }
        assert_eq!(Ending::Contested.outcome(), None);
    }
}
