//! What the node asks: a price list in USD, turned into the order's token by the token's listed rate.

use opengpu_core::U256;
use opengpu_core::job::UsdRate;
use opengpu_core::money::{Amount, Price};
use opengpu_core::spec::Resources;
use serde::{Deserialize, Serialize};

/// Ten to the power 24: 10^18 base units times the 10^6 rate units in a millionth of a USD.
const RATE_SCALE: U256 = U256::from_limbs([0x1bce_cced_a100_0000, 0xd3c2, 0, 0]);

/// Base units worth `usd_micros` millionths of a USD, rounded down, so that a price at the list price stays at it.
/// `None` when the rate is 0 or the amount does not fit.
#[must_use]
pub fn base_units_rounded_down(rate: UsdRate, usd_micros: u64) -> Option<Amount> {
    let units = (U256::from(usd_micros) * RATE_SCALE).checked_div(U256::from(rate.0))?;
    u128::try_from(units).ok().map(Amount)
}

/// What the node asks, in millionths of a USD.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PriceList {
    /// For one CPU core for an hour.
    pub core_hour_usd_micros: u64,
    /// For one GiB of memory for an hour.
    pub memory_gib_hour_usd_micros: u64,
    /// For one GiB out of the container.
    pub egress_gib_usd_micros: u64,
}

impl PriceList {
    /// The hourly price of a shape, in millionths of a USD, rounded up.
    #[must_use]
    pub fn hourly_usd_micros_rounded_up(&self, shape: &Resources) -> u64 {
        let cores = u128::from(shape.cpu_millis) * u128::from(self.core_hour_usd_micros);
        let memory = u128::from(shape.memory_bytes) * u128::from(self.memory_gib_hour_usd_micros);
        let micros = cores.div_ceil(1000) + memory.div_ceil(1 << 30);
        u64::try_from(micros).unwrap_or(u64::MAX)
    }

    /// The price of a shape in a token, never above the list price. `None` when the token's rate cannot express it.
    #[must_use]
    pub fn price(&self, shape: &Resources, rate: UsdRate, list_price_usd_micros: u64) -> Option<Price> {
        let hourly = self.hourly_usd_micros_rounded_up(shape).min(list_price_usd_micros);
        let compute_per_hour = base_units_rounded_down(rate, hourly)?;
        let egress_per_gib = base_units_rounded_down(rate, self.egress_gib_usd_micros)?;
        // A price that rounds down to nothing would be work for free.
        (compute_per_hour > Amount::ZERO || hourly == 0).then_some(Price {
            compute_per_hour,
            egress_per_gib,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usdc() -> UsdRate {
        UsdRate(10u128.pow(24))
    }

    fn shape(cpu_millis: u32, memory_bytes: u64) -> Resources {
        Resources {
            cpu_millis,
            memory_bytes,
            disk_bytes: 0,
            pids: 1,
        }
    }

    const LIST: PriceList = PriceList {
        core_hour_usd_micros: 40_000,
        memory_gib_hour_usd_micros: 5_000,
        egress_gib_usd_micros: 10_000,
    };

    #[test]
    fn a_dollar_is_a_million_units_of_usdc_and_a_hundred_open_at_a_cent() {
        assert_eq!(base_units_rounded_down(usdc(), 1_000_000), Some(Amount(1_000_000)));
        let open = UsdRate(10u128.pow(10));
        assert_eq!(
            base_units_rounded_down(open, 1_000_000),
            Some(Amount(100 * 10u128.pow(18)))
        );
        assert_eq!(base_units_rounded_down(UsdRate(0), 1), None);
    }

    #[test]
    fn shape_is_priced_by_cores_and_memory() {
        assert_eq!(LIST.hourly_usd_micros_rounded_up(&shape(2000, 4 << 30)), 100_000);
        assert_eq!(LIST.hourly_usd_micros_rounded_up(&shape(1, 1)), 41);
    }

    #[test]
    fn price_is_never_above_the_list_price() {
        let price = LIST.price(&shape(2000, 4 << 30), usdc(), 70_000).unwrap();
        assert_eq!(price.compute_per_hour, Amount(70_000));
        assert_eq!(price.egress_per_gib, Amount(10_000));
    }

    #[test]
    fn token_too_coarse_for_the_price_is_not_taken() {
        let a_unit_is_a_million_dollars = UsdRate(10u128.pow(36));
        assert_eq!(
            LIST.price(&shape(2000, 4 << 30), a_unit_is_a_million_dollars, u64::MAX),
            None
        );
    }
}
