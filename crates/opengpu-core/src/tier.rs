//! Tiers of nodes: what each asks for, and which one a node's standing meets.
//!
//! The gates are those of protocol section 7 and of `Tiers.sol`; committed vectors in `contracts/test/vectors` hold both sides to the
//! same answers. Shares are compared by multiplying, so nothing is rounded.

use alloy_primitives::U256;
use serde::Serialize;

use crate::money::Amount;

/// The highest tier.
pub const HIGHEST_TIER: u8 = 4;
/// Seconds of a day: gates ask for days.
pub const DAY_SECONDS: u64 = 86_400;
const MICROS_PER_USD: u64 = 1_000_000;

/// What tiers are computed from.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Standing {
    /// Attempts closed since the node changed hands.
    pub closed: u32,
    /// Closed with success.
    pub successes: u32,
    /// Closed by the node's fault.
    pub fails: u32,
    /// Contested, or closed by one side alone.
    pub neutrals: u32,
    /// Co-signed and worth at least one USD.
    pub counted: u32,
    /// Value of the counted ones, millionths of a USD.
    pub earned_usd_micros: u64,
    /// Since registration or the last transfer.
    pub age_seconds: u64,
    /// Base units of OPEN.
    pub bond: Amount,
    /// Base units of OPEN that one unit of bond is; 0 while nothing says what OPEN is worth, and then no bond is enough.
    pub bond_unit: Amount,
}

/// What one tier asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Gate {
    /// Counted jobs, at least.
    pub counted: u32,
    /// USD earned with them, at least.
    pub earned_usd: u64,
    /// Days of age, at least.
    pub age_days: u64,
    /// Successes of successes and fails, percent, at least.
    pub completion_percent: u8,
    /// Neutrals of all closed, percent, at most.
    pub contested_percent: u8,
    /// Units of bond, at least.
    pub bond_units: u8,
}

/// Which parts of a gate a standing meets.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(clippy::struct_excessive_bools, reason = "a gate has six parts, each met or not")]
pub struct Met {
    /// Enough counted jobs.
    pub counted: bool,
    /// Enough earned.
    pub earned: bool,
    /// Old enough.
    pub age: bool,
    /// Completes enough.
    pub completion: bool,
    /// Contested seldom enough.
    pub contested: bool,
    /// Enough bond.
    pub bond: bool,
}

impl Met {
    /// Whether the whole gate is met.
    #[must_use]
    pub fn all(self) -> bool {
        self.counted && self.earned && self.age && self.completion && self.contested && self.bond
    }
}

/// The gate of T1 to T4; T0 asks for nothing.
#[must_use]
pub fn gate_of(tier: u8) -> Option<Gate> {
    let gate = |counted, earned_usd, age_days, completion_percent, contested_percent, bond_units| {
        Some(Gate {
            counted,
            earned_usd,
            age_days,
            completion_percent,
            contested_percent,
            bond_units,
        })
    };
    match tier {
        1 => gate(3, 10, 3, 90, 20, 1),
        2 => gate(10, 100, 30, 95, 20, 1),
        3 => gate(100, 2_000, 120, 98, 10, 2),
        4 => gate(300, 10_000, 300, 99, 10, 3),
        _ => None,
    }
}

impl Standing {
    /// What of a gate it meets.
    #[must_use]
    pub fn met(&self, gate: &Gate) -> Met {
        let decided = u64::from(self.successes) + u64::from(self.fails);
        Met {
            counted: self.counted >= gate.counted,
            earned: self.earned_usd_micros >= gate.earned_usd * MICROS_PER_USD,
            age: self.age_seconds >= gate.age_days * DAY_SECONDS,
            completion: u64::from(self.successes) * 100 >= decided * u64::from(gate.completion_percent),
            contested: u64::from(self.neutrals) * 100 <= u64::from(self.closed) * u64::from(gate.contested_percent),
            bond: self.bond_unit != Amount::ZERO
                && U256::from(self.bond.0) >= U256::from(self.bond_unit.0) * U256::from(gate.bond_units),
        }
    }

    /// The highest tier whose gate, and every lower one's, it meets.
    #[must_use]
    pub fn tier(&self) -> u8 {
        let is_met = |tier: &u8| gate_of(*tier).is_some_and(|gate| self.met(&gate).all());
        (1..=HIGHEST_TIER).take_while(is_met).last().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Exactly T1.
    fn standing() -> Standing {
        Standing {
            closed: 5,
            successes: 4,
            neutrals: 1,
            counted: 3,
            earned_usd_micros: 10_000_000,
            age_seconds: 3 * DAY_SECONDS,
            bond: Amount(7),
            bond_unit: Amount(7),
            ..Standing::default()
        }
    }

    #[test]
    fn each_part_of_the_first_gate_alone_keeps_a_node_at_t0() {
        assert_eq!(standing().tier(), 1);
        let spoilt: [fn(&mut Standing); 7] = [
            |s| s.counted -= 1,
            |s| s.earned_usd_micros -= 1,
            |s| s.age_seconds -= 1,
            |s| s.fails += 1,
            |s| s.closed -= 1,
            |s| s.bond = Amount(6),
            |s| s.bond_unit = Amount::ZERO,
        ];
        for (index, spoil) in spoilt.iter().enumerate() {
            let mut standing = standing();
            spoil(&mut standing);
            assert_eq!(standing.tier(), 0, "part {index}");
        }
    }

    #[test]
    fn a_node_without_a_job_lacks_only_what_it_can_gain() {
        let fresh = Standing {
            bond_unit: Amount(1),
            ..Standing::default()
        };
        let met = fresh.met(&gate_of(1).unwrap());
        assert!(met.completion && met.contested && !met.counted && !met.earned && !met.age && !met.bond);
        assert_eq!((gate_of(0), gate_of(5)), (None, None));
    }

    proptest! {
        #[test]
        fn a_success_more_never_lowers_the_tier(
            closed in 0u32..500, fails in 0u32..10, counted in 0u32..400, earned in 0u64..20_000_000_000, days in 0u64..400, bond in 0u128..5,
        ) {
            let standing = Standing {
                closed, successes: closed.saturating_sub(fails), fails, neutrals: 0, counted, earned_usd_micros: earned,
                age_seconds: days * DAY_SECONDS, bond: Amount(bond), bond_unit: Amount(1),
            };
            let better = Standing { closed: closed + 1, successes: standing.successes + 1, counted: counted + 1, ..standing };
            prop_assert!(better.tier() >= standing.tier());
        }
    }
}
