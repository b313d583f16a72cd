//! Amounts in base units, what a usage costs, and how a payment is split.
//!
//! The formulas are those of protocol sections 3 and 5 and of `JobMarket.sol`; committed vectors in
//! `contracts/test/vectors` hold both sides to the same numbers.

use std::fmt;
use std::str::FromStr;

use alloy_primitives::{U256, U512};
use serde::{Deserialize, Serialize};

/// An amount of some token in its base units. JSON: a decimal string, because JSON numbers lose digits above 2^53.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Amount(pub u128);

/// Why an amount cannot be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MoneyError {
    /// The text is not a plain decimal number.
    #[error("an amount must be a decimal number such as 1.25, got `{0}`")]
    NotANumber(String),
    /// More digits after the point than the token has.
    #[error("`{text}` has more than {decimals} digits after the point")]
    TooPrecise {
        /// What was given.
        text: String,
        /// How many the token has.
        decimals: u8,
    },
    /// The number does not fit 128 bits of base units.
    #[error("amount is too large")]
    TooLarge,
}

impl Amount {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// Reads what a person writes (`1.25`) in a token with `decimals` digits.
    ///
    /// # Errors
    /// [`MoneyError`] when it is no number, too precise for the token or too large.
    pub fn parse_units(text: &str, decimals: u8) -> Result<Self, MoneyError> {
        let not_a_number = || MoneyError::NotANumber(text.to_owned());
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let all_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if (whole.is_empty() && fraction.is_empty()) || !all_digits(whole) || !all_digits(fraction) {
            return Err(not_a_number());
        }
        if fraction.len() > usize::from(decimals) {
            return Err(MoneyError::TooPrecise {
                text: text.to_owned(),
                decimals,
            });
        }
        let digits = format!("{whole}{fraction:0<width$}", width = usize::from(decimals));
        digits.parse().map(Self).map_err(|_| MoneyError::TooLarge)
    }

    /// Writes the amount as people read it, without trailing zeros: `1.25`.
    #[must_use]
    pub fn format_units(self, decimals: u8) -> String {
        let width = usize::from(decimals);
        let digits = format!("{:0>width$}", self.0, width = width + 1);
        let (whole, fraction) = digits.split_at(digits.len() - width);
        match fraction.trim_end_matches('0') {
            "" => whole.to_owned(),
            fraction => format!("{whole}.{fraction}"),
        }
    }

    /// `self + other`, or `None` past 128 bits.
    #[must_use]
    pub fn checked_add(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).map(Self)
    }

    /// `self - other`, or `None` below zero.
    #[must_use]
    pub fn checked_sub(self, other: Self) -> Option<Self> {
        self.0.checked_sub(other.0).map(Self)
    }

    /// `self - other`, or zero.
    #[must_use]
    pub fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl FromStr for Amount {
    type Err = MoneyError;

    fn from_str(text: &str) -> Result<Self, MoneyError> {
        Self::parse_units(text, 0)
    }
}

impl Serialize for Amount {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

/// The two prices of a bid: for an hour of the whole shape, and for 2^30 bytes of egress.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Price {
    /// Base units for an hour of the whole shape bid.
    pub compute_per_hour: Amount,
    /// Base units for a GiB (2^30 bytes) out of the container.
    #[serde(rename = "egressPerGiB")]
    pub egress_per_gib: Amount,
}

/// Milliseconds in an hour: usage is billed in milliseconds, priced by the hour.
pub(crate) const MILLIS_PER_HOUR: u64 = 3_600_000;
/// log2 of the bytes in a GiB.
pub(crate) const GIB_SHIFT: usize = 30;

/// What cumulative usage is worth, as one fraction, rounded up once (protocol, section 3):
/// `ceil((millis·computePerHour·2^30 + egressBytes·egressPerGiB·3_600_000) / (3_600_000·2^30))`.
///
/// # Errors
/// [`MoneyError::TooLarge`] when it does not fit 128 bits; the contract caps value at the escrow, which does.
pub fn cost_rounded_up(price: Price, billed_millis: u64, egress_bytes: u64) -> Result<Amount, MoneyError> {
    let wide = |value: u128| U512::from(value);
    let compute = (wide(u128::from(billed_millis)) * wide(price.compute_per_hour.0)) << GIB_SHIFT;
    let egress = wide(u128::from(egress_bytes)) * wide(price.egress_per_gib.0) * U512::from(MILLIS_PER_HOUR);
    let denominator = U512::from(MILLIS_PER_HOUR) << GIB_SHIFT;
    let value = (compute + egress).div_ceil(denominator);
    u128::try_from(value).map(Amount).map_err(|_| MoneyError::TooLarge)
}

/// `amount · rate / by` rounded down, within 128 bits; 0 where `by` is 0.
pub(crate) fn converted_rounded_down(amount: Amount, rate: u128, by: u128) -> u128 {
    let worth = (U512::from(amount.0) * U512::from(rate)).checked_div(U512::from(by));
    u128::try_from(worth.unwrap_or_default()).unwrap_or(u128::MAX)
}

/// Basis points in one.
const BPS: u128 = 10_000;

/// The shares fixed in the terms at match, in basis points (hundredths of a percent).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Shares {
    /// Stakers' part of the gross value: 1200.
    pub stakers_bps: u16,
    /// Treasury's part of the gross value, out of which discount and bonus come: 500.
    pub treasury_bps: u16,
    /// Payer's discount by stake tier.
    pub discount_bps: u16,
    /// Node's bonus by node tier.
    pub bonus_bps: u16,
}

/// Who gets what of an attempt's cumulative value. `paid = node + stakers + treasury`, `value = paid + discount`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Split {
    /// What leaves the escrow: value less the payer's discount.
    pub paid: Amount,
    /// What the discount leaves with the payer.
    pub discount: Amount,
    /// The node's part, with its bonus and the dust of rounding.
    pub node: Amount,
    /// The stakers' part, rounded down.
    pub stakers: Amount,
    /// The treasury's part after discount and bonus.
    pub treasury: Amount,
}

/// Splits an attempt's cumulative `value` (protocol, section 5): stakers and treasury round down, dust goes to the node;
/// discount and bonus come out of the treasury's part, the bonus clamped last.
#[must_use]
pub fn split_rounded_down(value: Amount, shares: Shares) -> Split {
    let part = |bps: u16| -> u128 {
        let wide = U256::from(value.0) * U256::from(bps) / U256::from(BPS);
        u128::try_from(wide).unwrap_or(u128::MAX)
    };
    // On chain the shares are capped far below the whole; a forged receipt may say anything.
    let stakers = part(shares.stakers_bps).min(value.0);
    let treasury_gross = part(shares.treasury_bps).min(value.0 - stakers);
    let discount = part(shares.discount_bps).min(treasury_gross);
    let bonus = part(shares.bonus_bps).min(treasury_gross - discount);
    let treasury = treasury_gross - discount - bonus;
    let paid = value.0 - discount;
    Split {
        paid: Amount(paid),
        discount: Amount(discount),
        node: Amount(paid - stakers - treasury),
        stakers: Amount(stakers),
        treasury: Amount(treasury),
    }
}

/// What an attempt's parts come to when its value was paid in steps: first each of `collected` (cumulative values, rising),
/// then up to `value`. Each step pays the difference of two cumulative splits; where rounding would make a part fall by a
/// base unit, the step gives the stakers theirs first, the treasury second, and the node the rest, as `splitIncrease` in
/// `Pricing.sol` does. Without steps it is [`split_rounded_down`].
#[must_use]
pub fn split_in_steps(collected: &[Amount], value: Amount, shares: Shares) -> Split {
    let mut total = split_rounded_down(Amount::ZERO, shares);
    let mut before = total;
    for step in collected.iter().chain([&value]) {
        let after = split_rounded_down(*step, shares);
        let paid = after.paid.saturating_sub(before.paid);
        let stakers = after.stakers.saturating_sub(before.stakers).min(paid);
        let treasury = after
            .treasury
            .saturating_sub(before.treasury)
            .min(paid.saturating_sub(stakers));
        let node = paid.saturating_sub(stakers).saturating_sub(treasury);
        total = Split {
            paid: after.paid,
            discount: after.discount,
            node: Amount(total.node.0.saturating_add(node.0)),
            stakers: Amount(total.stakers.0.saturating_add(stakers.0)),
            treasury: Amount(total.treasury.0.saturating_add(treasury.0)),
        };
        before = after;
    }
    total
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn price(compute: u128, egress: u128) -> Price {
        Price {
            compute_per_hour: Amount(compute),
            egress_per_gib: Amount(egress),
        }
    }

    #[test]
    fn an_hour_costs_the_hourly_price() {
        assert_eq!(cost_rounded_up(price(600_000, 0), 3_600_000, 0), Ok(Amount(600_000)));
    }

    #[test]
    fn a_millisecond_rounds_up_to_one_base_unit() {
        assert_eq!(cost_rounded_up(price(1, 0), 1, 0), Ok(Amount(1)));
        assert_eq!(cost_rounded_up(price(1, 0), 0, 0), Ok(Amount(0)));
    }

    #[test]
    fn compute_and_egress_round_up_together_once() {
        // Half a unit of each is one unit, not two.
        assert_eq!(cost_rounded_up(price(1, 1), 1_800_000, 1 << 29), Ok(Amount(1)));
    }

    #[test]
    fn the_largest_inputs_do_not_wrap() {
        assert_eq!(
            cost_rounded_up(price(u128::MAX, u128::MAX), u64::MAX, u64::MAX),
            Err(MoneyError::TooLarge)
        );
    }

    #[test]
    fn amounts_read_and_write_as_people_do() {
        assert_eq!(Amount::parse_units("1.25", 6), Ok(Amount(1_250_000)));
        assert_eq!(Amount::parse_units(".5", 1), Ok(Amount(5)));
        assert_eq!(Amount(1_250_000).format_units(6), "1.25");
        assert_eq!(Amount(7).format_units(6), "0.000007");
        assert_eq!(Amount(7).format_units(0), "7");
        assert!(matches!(
            Amount::parse_units("1.2345678", 6),
            Err(MoneyError::TooPrecise { .. })
        ));
        for bad in ["", ".", "-1", "1e6", "1,5", " 1"] {
            assert!(Amount::parse_units(bad, 6).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn nothing_is_created_or_lost_in_a_split(
            value in any::<u128>(), stakers in 0u16..=1500, treasury in 0u16..=500, discount in 0u16..=250, bonus in 0u16..=250,
        ) {
            let shares = Shares { stakers_bps: stakers, treasury_bps: treasury, discount_bps: discount, bonus_bps: bonus };
            let split = split_rounded_down(Amount(value), shares);
            prop_assert_eq!(split.node.0 + split.stakers.0 + split.treasury.0, split.paid.0);
            prop_assert_eq!(split.paid.0 + split.discount.0, value);
        }

        #[test]
        fn paying_in_steps_moves_the_same_in_all(
            mut values in proptest::collection::vec(0u128..100_000, 1..6), discount in 0u16..=250, bonus in 0u16..=250,
        ) {
            let shares = Shares { stakers_bps: 1200, treasury_bps: 500, discount_bps: discount, bonus_bps: bonus };
            values.sort_unstable();
            let values: Vec<Amount> = values.into_iter().map(Amount).collect();
            let (last, collected) = values.split_last().unwrap();
            let (steps, whole) = (split_in_steps(collected, *last, shares), split_rounded_down(*last, shares));
            prop_assert_eq!((steps.paid, steps.discount), (whole.paid, whole.discount));
            prop_assert_eq!(steps.node.0 + steps.stakers.0 + steps.treasury.0, steps.paid.0);
            prop_assert!(whole.stakers.0 - steps.stakers.0 <= collected.len() as u128);
            prop_assert_eq!(split_in_steps(&[], *last, shares), whole);
        }

        #[test]
        fn cost_never_falls_with_usage(rate in 0u128..1 << 90, a in any::<u32>(), b in any::<u32>()) {
            let (low, high) = (a.min(b), a.max(b));
            let cost = |millis: u32| cost_rounded_up(price(rate, 0), millis.into(), 0).unwrap();
            prop_assert!(cost(low) <= cost(high));
        }

        #[test]
        fn text_of_an_amount_reads_back(value in any::<u128>(), decimals in 0u8..30) {
            prop_assert_eq!(Amount::parse_units(&Amount(value).format_units(decimals), decimals), Ok(Amount(value)));
        }
    }
}
