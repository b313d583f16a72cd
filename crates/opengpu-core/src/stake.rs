//! A stake of OPEN: what it weighs, and the payer's tier that the weight gives.
//!
//! The rules are those of protocol section 6 and of `Staking.sol`; committed vectors in `contracts/test/vectors` hold both sides to the
//! same numbers.

use alloy_primitives::U256;

use crate::money::Amount;
use crate::tier::DAY_SECONDS;

/// The shortest lock, days.
pub const LEAST_LOCK_DAYS: u16 = 14;
/// The longest lock, days: it weighs four times the amount.
pub const MOST_LOCK_DAYS: u16 = 365;
/// The least that can be staked at once, base units: one OPEN.
pub const LEAST_STAKE: Amount = Amount(ONE_OPEN);

/// Seconds of a week, counted from the unix epoch: revenue of one streams to stakers over the next.
pub const WEEK_SECONDS: u64 = 7 * DAY_SECONDS;

const ONE_OPEN: u128 = 1_000_000_000_000_000_000;
const SUPPLY: Amount = Amount(100_000_000_000 * ONE_OPEN);
/// The weights from which an account is a payer of tier 1 to 4.
const PAYER_TIERS: [Amount; 4] = [
    Amount(100_000 * ONE_OPEN),
    Amount(1_000_000 * ONE_OPEN),
    Amount(10_000_000 * ONE_OPEN),
    Amount(100_000_000 * ONE_OPEN),
];

/// An account's stake.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Stake {
    /// Base units of OPEN locked.
    pub amount: Amount,
    /// What was given for them; from the end on it counts for nothing, expired or not.
    pub weight: Amount,
    /// Unix second from which they can be taken back.
    pub end: u64,
}

/// Why a stake cannot be changed so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StakeError {
    /// Below one OPEN, or above the supply.
    #[error("a stake is at least 1 OPEN")]
    AmountOutOfRange,
    /// Not 14 to 365 days.
    #[error("a lock is {LEAST_LOCK_DAYS} to {MOST_LOCK_DAYS} days")]
    LockOutOfRange,
    /// There is nothing to extend or to expire.
    #[error("nothing is staked")]
    NothingStaked,
    /// An extension must end later.
    #[error("the new end is not later than the old one")]
    EndNotLater,
    /// A long lock must not become a short one of the same weight.
    #[error("the weight would fall from {} to {}", .from.0, .to.0)]
    WeightWouldFall {
        /// Weight before.
        from: Amount,
        /// Weight after.
        to: Amount,
    },
    /// The lock has not ended.
    #[error("locked until unix second {0}")]
    Locked(u64),
    /// More than is staked, or nothing, was asked back.
    #[error("cannot take that much back")]
    TooLow,
}

impl Stake {
    /// The weight that counts at a time.
    #[must_use]
    pub fn weight_at(&self, now: u64) -> Amount {
        if now < self.end { self.weight } else { Amount::ZERO }
    }

    /// The payer's tier at a time.
    #[must_use]
    pub fn payer_tier_at(&self, now: u64) -> u8 {
        payer_tier(self.weight_at(now))
    }

    /// After staking `amount` more for `days`. What is added weighs by its time until the later of both ends; what was there is weighed
    /// anew only where its end moves.
    ///
    /// # Errors
    /// [`StakeError`].
    pub fn with_more(&self, now: u64, amount: Amount, days: u16) -> Result<Self, StakeError> {
        if amount < LEAST_STAKE || amount > SUPPLY {
            return Err(StakeError::AmountOutOfRange);
        }
        let end = end_of(now, days)?;
        let before = if end > self.end {
            self.weighed_anew(now, end)?
        } else {
            self.weight_at(now)
        };
        let end = end.max(self.end);
        let added = weight_rounded_down(amount, end - now);
        Ok(Self {
            amount: Amount(self.amount.0 + amount.0),
            weight: Amount(before.0 + added.0),
            end,
        })
    }

    /// After moving the end to `days` from now.
    ///
    /// # Errors
    /// [`StakeError`].
    pub fn extended(&self, now: u64, days: u16) -> Result<Self, StakeError> {
        if self.amount < LEAST_STAKE {
            return Err(StakeError::NothingStaked);
        }
        let end = end_of(now, days)?;
        if end <= self.end {
            return Err(StakeError::EndNotLater);
        }
        let weight = self.weighed_anew(now, end)?;
        Ok(Self { weight, end, ..*self })
    }

    /// After taking `amount` back. Nothing weighs anything then.
    ///
    /// # Errors
    /// [`StakeError`].
    pub fn with_less(&self, now: u64, amount: Amount) -> Result<Self, StakeError> {
        if now < self.end {
            return Err(StakeError::Locked(self.end));
        }
        let left = self.amount.checked_sub(amount).ok_or(StakeError::TooLow)?;
        if amount == Amount::ZERO {
            return Err(StakeError::TooLow);
        }
        Ok(Self {
            amount: left,
            weight: Amount::ZERO,
            ..*self
        })
    }

    /// After somebody said that its lock is over.
    ///
    /// # Errors
    /// [`StakeError`].
    pub fn expired(&self, now: u64) -> Result<Self, StakeError> {
        if self.weight == Amount::ZERO {
            return Err(StakeError::NothingStaked);
        }
        if now < self.end {
            return Err(StakeError::Locked(self.end));
        }
        Ok(Self {
            weight: Amount::ZERO,
            ..*self
        })
    }

    fn weighed_anew(&self, now: u64, end: u64) -> Result<Amount, StakeError> {
        let (from, to) = (self.weight_at(now), weight_rounded_down(self.amount, end - now));
        if to < from {
            return Err(StakeError::WeightWouldFall { from, to });
        }
        Ok(to)
    }
}

fn end_of(now: u64, days: u16) -> Result<u64, StakeError> {
    if !(LEAST_LOCK_DAYS..=MOST_LOCK_DAYS).contains(&days) {
        return Err(StakeError::LockOutOfRange);
    }
    Ok(now + u64::from(days) * DAY_SECONDS)
}

/// What an amount weighs for so many seconds until the end: `amount + amount·3·seconds / 365 days`, rounded down.
#[must_use]
pub fn weight_rounded_down(amount: Amount, lock_seconds: u64) -> Amount {
    let wide = U256::from(amount.0);
    let weight = wide + wide * U256::from(3 * lock_seconds) / U256::from(u64::from(MOST_LOCK_DAYS) * DAY_SECONDS);
    // The supply four times over has 99 bits.
    Amount(u128::try_from(weight).unwrap_or(u128::MAX))
}

/// The payer's tier, 0 to 4, that a weight gives.
#[must_use]
pub fn payer_tier(weight: Amount) -> u8 {
    PAYER_TIERS
        .iter()
        .fold(0, |tier, least| tier + u8::from(weight >= *least))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: u64 = 1_750_000_000;

    fn open(whole: u128) -> Amount {
        Amount(whole * ONE_OPEN)
    }

    #[test]
    fn a_year_weighs_four_times_and_a_month_a_quarter_more() {
        let stake = Stake::default().with_more(NOW, open(1_000), 365).unwrap();
        assert_eq!((stake.weight, stake.end), (open(4_000), NOW + 365 * DAY_SECONDS));
        assert_eq!(weight_rounded_down(open(365), 30 * DAY_SECONDS), open(365 + 90));
        assert_eq!(stake.weight_at(stake.end - 1), open(4_000));
        assert_eq!(stake.weight_at(stake.end), Amount::ZERO);
    }

    #[test]
    fn a_years_weight_is_not_kept_for_ever_by_short_extensions() {
        let stake = Stake::default().with_more(NOW, open(100), 365).unwrap();
        let late = stake.end - DAY_SECONDS;
        assert!(matches!(
            stake.extended(late, 14),
            Err(StakeError::WeightWouldFall { .. })
        ));
        assert!(matches!(
            stake.with_more(late, open(1), 14),
            Err(StakeError::WeightWouldFall { .. })
        ));
        let after = stake.with_more(stake.end, open(1), 14).unwrap();
        let weigh = |whole| weight_rounded_down(open(whole), 14 * DAY_SECONDS).0;
        assert_eq!(after.weight.0, weigh(100) + weigh(1));
    }

    #[test]
    fn nothing_comes_back_before_the_end_and_nothing_weighs_after() {
        let stake = Stake::default().with_more(NOW, open(5), 14).unwrap();
        assert_eq!(stake.with_less(NOW, open(1)), Err(StakeError::Locked(stake.end)));
        assert_eq!(stake.expired(stake.end - 1), Err(StakeError::Locked(stake.end)));
        let less = stake.with_less(stake.end, open(2)).unwrap();
        assert_eq!((less.amount, less.weight), (open(3), Amount::ZERO));
        assert_eq!(less.expired(stake.end), Err(StakeError::NothingStaked));
        assert_eq!(less.with_less(stake.end, open(4)), Err(StakeError::TooLow));
        assert_eq!(less.with_less(stake.end, Amount::ZERO), Err(StakeError::TooLow));
    }

    #[test]
    fn payer_tiers_begin_exactly_at_their_weights() {
        for (tier, least) in (1..).zip(PAYER_TIERS) {
            assert_eq!(payer_tier(least), tier);
            assert_eq!(payer_tier(Amount(least.0 - 1)), tier - 1);
        }
    }

    proptest! {
        #[test]
        fn weight_is_one_to_four_times_the_amount(amount in ONE_OPEN..=SUPPLY.0, days in 14u16..=365) {
            let weight = Stake::default().with_more(NOW, Amount(amount), days).unwrap().weight.0;
            prop_assert!(amount <= weight && weight <= 4 * amount);
        }
    }
}
