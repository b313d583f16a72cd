//! What nodes get for the jobs of a week besides their pay (protocol, section 2, `Incentives`).
//!
//! The arithmetic is that of `Incentives.sol`: a week's rate is shared by the value that was settled, and nobody gets more than what his
//! jobs left the treasury.

use alloy_primitives::U256;

use crate::job::Rates;
use crate::money::{Amount, split_rounded_down};

/// 10^18 base units times 10^6 millionths of a millionth in a millionth.
const RATE_TO_USD_MICROS: u128 = 1_000_000_000_000_000_000_000_000;

/// What one or more jobs of a payee count for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Share {
    /// Their value, millionths of a USD.
    pub usd_micros: u128,
    /// What they left the treasury, base units of OPEN at the rates of their matches: no more than this is paid.
    pub cap: Amount,
}

/// What a job of that value counts for, both parts rounded down. Without a rate of OPEN its cap is 0.
#[must_use]
pub fn share_of_job(value: Amount, rates: Rates) -> Share {
    let worth = |amount: Amount, by: u128| {
        let worth = (U256::from(amount.0) * U256::from(rates.usd_rate.0)).checked_div(U256::from(by));
        u128::try_from(worth.unwrap_or_default()).unwrap_or(u128::MAX)
    };
    let treasury = split_rounded_down(value, rates.shares).treasury;
    Share {
        usd_micros: worth(value, RATE_TO_USD_MICROS),
        cap: Amount(worth(treasury, rates.open_rate.0)),
    }
}

/// What a share gets of a week's rate, when `total_usd_micros` were settled in all.
#[must_use]
pub fn part_rounded_down(rate: Amount, share: Share, total_usd_micros: u128) -> Amount {
    let part = (U256::from(rate.0) * U256::from(share.usd_micros)).checked_div(U256::from(total_usd_micros));
    Amount(u128::try_from(part.unwrap_or_default()).unwrap_or(u128::MAX)).min(share.cap)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::UsdRate;
    use crate::money::Shares;

    /// A stablecoin with six digits; OPEN at a cent.
    fn rates() -> Rates {
        Rates {
            usd_rate: UsdRate(1_000_000_000_000_000_000_000_000),
            open_rate: UsdRate(10_000_000_000),
            shares: Shares {
                stakers_bps: 1200,
                treasury_bps: 500,
                discount_bps: 100,
                bonus_bps: 50,
            },
        }
    }

    #[test]
    fn a_job_counts_its_value_and_at_most_what_it_left_the_treasury() {
        let share = share_of_job(Amount(2_000_000), rates());
        assert_eq!(share.usd_micros, 2_000_000);
        // 3.5 % of two dollars are seven cents: seven OPEN.
        assert_eq!(share.cap, Amount(7_000_000_000_000_000_000));
        let without_open = Rates {
            open_rate: UsdRate(0),
            ..rates()
        };
        assert_eq!(share_of_job(Amount(2_000_000), without_open).cap, Amount::ZERO);
    }

    #[test]
    fn a_week_is_shared_by_value_and_capped() {
        let share = Share {
            usd_micros: 1,
            cap: Amount(40),
        };
        assert_eq!(part_rounded_down(Amount(100), share, 3), Amount(33));
        assert_eq!(part_rounded_down(Amount(100), share, 2), Amount(40));
        assert_eq!(part_rounded_down(Amount(100), Share::default(), 0), Amount::ZERO);
    }
}
