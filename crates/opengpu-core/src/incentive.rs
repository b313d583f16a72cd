//! What nodes get for the jobs of a week besides their pay (protocol, section 2, `Incentives`).
//!
//! The arithmetic is that of `Incentives.sol`: a week's rate is shared by the value that was settled, and nobody gets more than what his
//! jobs left the treasury.

use crate::job::{Rates, UsdRate};
use crate::money::{Amount, converted_rounded_down, split_rounded_down};

/// What one or more jobs of a payee count for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Share {
    /// Their value, millionths of a USD.
    pub usd_micros: u128,
    /// What they left the treasury, base units of OPEN: no more than this is paid.
    pub cap: Amount,
}

/// Rates of the job's token and of OPEN as they are listed when it is reported; 0: not listed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ListedRates {
    /// Of the job's token.
    pub token: UsdRate,
    /// Of OPEN.
    pub open: UsdRate,
}

/// What a job of that value counts for, both parts rounded down. Its cap is at the rates of its match or at those listed, whichever give less
/// OPEN; what is not listed counts as at the match, and without a rate of OPEN then, the cap is 0.
#[must_use]
pub fn share_of_job(value: Amount, rates: Rates, listed: ListedRates) -> Share {
    let treasury = split_rounded_down(value, rates.shares).treasury;
    let at_match = converted_rounded_down(treasury, rates.usd_rate.0, rates.open_rate.0);
    let listed_or = |listed: UsdRate, at_match: UsdRate| if listed.0 == 0 { at_match.0 } else { listed.0 };
    let now = converted_rounded_down(
        treasury,
        listed_or(listed.token, rates.usd_rate),
        listed_or(listed.open, rates.open_rate),
    );
    Share {
        usd_micros: rates.usd_micros_rounded_down(value),
        cap: Amount(if at_match == 0 { 0 } else { at_match.min(now) }),
    }
}

/// What a share gets of a week's rate, when `total_usd_micros` were settled in all.
#[must_use]
pub fn part_rounded_down(rate: Amount, share: Share, total_usd_micros: u128) -> Amount {
    Amount(converted_rounded_down(rate, share.usd_micros, total_usd_micros)).min(share.cap)
}

#[cfg(test)]
mod tests {
    use super::*;
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

    /// OPEN that a job of two dollars can bring at most, when the listed rates are so many times those of its match.
    fn cap(token: u128, open: u128) -> u128 {
        let listed = ListedRates {
            token: UsdRate(token * rates().usd_rate.0),
            open: UsdRate(open * rates().open_rate.0),
        };
        share_of_job(Amount(2_000_000), rates(), listed).cap.0
    }

    const ONE_OPEN: u128 = 1_000_000_000_000_000_000;

    #[test]
    fn a_job_counts_its_value_and_at_most_what_it_left_the_treasury() {
        let unlisted = ListedRates {
            token: UsdRate(0),
            open: UsdRate(0),
        };
        assert_eq!(share_of_job(Amount(2_000_000), rates(), unlisted).usd_micros, 2_000_000);
        // 3.5 % of two dollars are seven cents: seven OPEN.
        assert_eq!(cap(1, 1), 7 * ONE_OPEN);
        let without_open = Rates {
            open_rate: UsdRate(0),
            ..rates()
        };
        for listed in [
            unlisted,
            ListedRates {
                open: UsdRate(1),
                ..unlisted
            },
        ] {
            assert_eq!(share_of_job(Amount(2_000_000), without_open, listed).cap, Amount::ZERO);
        }
    }

    #[test]
    fn a_cap_is_at_the_rates_that_give_less() {
        assert_eq!(cap(1, 7), ONE_OPEN);
        assert_eq!(cap(7, 1), 7 * ONE_OPEN);
        assert_eq!(cap(7, 14), 7 * ONE_OPEN / 2);
        assert_eq!(cap(0, 7), ONE_OPEN);
        assert_eq!(cap(1, 0), 7 * ONE_OPEN);
        assert_eq!(cap(0, 0), 7 * ONE_OPEN);
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
