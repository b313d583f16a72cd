//! Cost, split, incentives and tiers: pure functions, some hundred random inputs in one call.

use alloy::primitives::{U256, Uint};
use opengpu_core::incentive::{ListedRates, share_of_job};
use opengpu_core::job::{Rates, UsdRate};
use opengpu_core::money::{
    Amount, MoneyError, Price, Shares, Split, cost_rounded_up, split_in_steps, split_rounded_down,
};
use opengpu_core::tier::{DAY_SECONDS, Standing, gate_of};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::EconomyHarness as abi;
use super::{Harness, harness_on, quiet};
use opengpu_chain::devnet::Devnet;

/// Inputs in one call.
const IN_A_CALL: usize = 250;
/// Calls of each kind: 2,000 inputs.
const CALLS: u32 = 8;

/// Gives random inputs to both sides until they differ.
fn compare<T: std::fmt::Debug + Clone>(input: impl Strategy<Value = T>, both: impl AsyncFn(&Harness, &[T])) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (_devnet, harness) = runtime.block_on(async {
        let devnet = Devnet::start(&quiet()).await.unwrap();
        let harness = harness_on(&devnet).await;
        (devnet, harness)
    });
    let config = Config {
        cases: CALLS,
        failure_persistence: None,
        ..Config::default()
    };
    let inputs = proptest::collection::vec(input, IN_A_CALL);
    TestRunner::new(config)
        .run(&inputs, |inputs| {
            runtime.block_on(both(&harness, &inputs));
            Ok(())
        })
        .unwrap();
}

/// A number of any length: small ones are as likely as large ones.
fn of_any_length(bits: u32) -> impl Strategy<Value = u128> {
    let mask = u128::MAX >> (128 - bits);
    prop_oneof![
        1 => Just(0),
        1 => Just(mask),
        8 => (any::<u128>(), 0..bits).prop_map(move |(drawn, shift)| (drawn & mask) >> shift),
    ]
}

fn short(bits: u32) -> impl Strategy<Value = u64> {
    of_any_length(bits).prop_map(|number| u64::try_from(number).unwrap())
}

fn saturated(value: U256) -> u128 {
    u128::try_from(value).unwrap_or(u128::MAX)
}

#[test]
fn any_usage_costs_as_in_the_contract() {
    let usage = (short(64), short(64), of_any_length(128), of_any_length(128));
    compare(usage, async |harness, usages| {
        let given = usages.iter().map(|(millis, bytes, per_hour, per_gib)| abi::Usage {
            billedMillis: *millis,
            egressBytes: *bytes,
            computePerHour: *per_hour,
            egressPerGiB: *per_gib,
        });
        let found = harness.costs(given.collect()).call().await.unwrap();
        for ((millis, bytes, per_hour, per_gib), value) in usages.iter().zip(found) {
            let price = Price {
                compute_per_hour: Amount(*per_hour),
                egress_per_gib: Amount(*per_gib),
            };
            let expected = u128::try_from(value).map(Amount).map_err(|_| MoneyError::TooLarge);
            assert_eq!(
                cost_rounded_up(price, *millis, *bytes),
                expected,
                "{price:?} {millis} {bytes}"
            );
        }
    });
}

/// Two cumulative values, the later one larger, and rates within the contract's caps.
fn payment() -> impl Strategy<Value = (u128, u128, Rates)> {
    let shares =
        (0u16..=1500, 0u16..=500, 0u16..=250, 0u16..=250).prop_map(|(stakers, treasury, discount, bonus)| Shares {
            stakers_bps: stakers,
            treasury_bps: treasury,
            discount_bps: discount,
            bonus_bps: bonus,
        });
    let rates = (of_any_length(96), of_any_length(96), shares).prop_map(|(usd, open, shares)| Rates {
        usd_rate: UsdRate(usd),
        open_rate: UsdRate(open),
        shares,
    });
    // Steps of a few base units are where rounding shows.
    let values = prop_oneof![
        (of_any_length(128), of_any_length(128)).prop_map(|(a, b)| (a.min(b), a.max(b))),
        (of_any_length(100), 0u128..200).prop_map(|(old, step)| (old, old + step)),
    ];
    (values, rates).prop_map(|((old, new), rates)| (old, new, rates))
}

fn payments(given: &[(u128, u128, Rates)]) -> Vec<abi::Payment> {
    let payments = given.iter().map(|(old, new, rates)| abi::Payment {
        oldValue: *old,
        newValue: *new,
        rates: rates.pack().unwrap(),
    });
    payments.collect()
}

fn parts(split: &Split) -> [u128; 4] {
    [split.node, split.stakers, split.treasury, split.discount].map(|part| part.0)
}

fn parts_of(split: &abi::Split) -> [u128; 4] {
    [split.node, split.stakers, split.treasury, split.discount].map(|part| u128::try_from(part).unwrap())
}

#[test]
fn any_value_splits_as_in_the_contract_at_once_and_in_steps() {
    compare(payment(), async |harness, given| {
        let found = harness.splits(payments(given)).call().await.unwrap();
        for ((old, new, rates), (whole, moved)) in given.iter().zip(found.whole.iter().zip(&found.moved)) {
            let (old, new, shares) = (Amount(*old), Amount(*new), rates.shares);
            assert_eq!(
                parts(&split_rounded_down(new, shares)),
                parts_of(whole),
                "{new:?} {shares:?}"
            );
            let (before, after) = (split_rounded_down(old, shares), split_in_steps(&[old], new, shares));
            let (before, after) = (parts(&before), parts(&after));
            let steps: Vec<u128> = after.iter().zip(before).map(|(after, before)| after - before).collect();
            assert_eq!(steps, parts_of(moved), "{old:?} {new:?} {shares:?}");
        }
    });
}

#[test]
fn any_job_counts_for_incentives_as_in_the_contract() {
    let listed = (of_any_length(96), of_any_length(96)).prop_map(|(token, open)| ListedRates {
        token: UsdRate(token),
        open: UsdRate(open),
    });
    compare((payment(), listed), async |harness, given| {
        let (of_jobs, listed): (Vec<_>, Vec<_>) = given.iter().copied().unzip();
        let rates = |of: fn(&ListedRates) -> UsdRate| listed.iter().map(|rates| Uint::from(of(rates).0)).collect();
        let found = harness.shares(
            payments(&of_jobs),
            rates(|rates| rates.token),
            rates(|rates| rates.open),
        );
        for (((_, value, rates), listed), expected) in given.iter().zip(&found.call().await.unwrap()) {
            let share = share_of_job(Amount(*value), *rates, *listed);
            // Beyond 128 bits the contract refuses the report.
            let expected = (saturated(expected.usdMicros), saturated(expected.cap));
            assert_eq!(
                (share.usd_micros, share.cap.0),
                expected,
                "{value} {rates:?} {listed:?}"
            );
        }
    });
}

/// A standing whose parts are each at a tier's gate, a step beside it, or anywhere.
fn standing() -> impl Strategy<Value = Standing> {
    fn near(at: impl Fn(u8) -> u64 + Copy + 'static, most: u64) -> impl Strategy<Value = u64> {
        prop_oneof![
            3 => (1u8..=4, 0u64..3).prop_map(move |(tier, step)| (at(tier) + step).saturating_sub(1)),
            1 => 0..=most,
        ]
    }
    let counted = near(|tier| u64::from(gate_of(tier).unwrap().counted), 1_000);
    let earned = near(|tier| gate_of(tier).unwrap().earned_usd * 1_000_000, 20_000_000_000);
    let age = near(|tier| gate_of(tier).unwrap().age_days * DAY_SECONDS, 500 * DAY_SECONDS);
    // Of 1,000 decided and of 1,000 closed attempts.
    let fails = near(
        |tier| 10 * (100 - u64::from(gate_of(tier).unwrap().completion_percent)),
        200,
    );
    let neutrals = near(|tier| 10 * u64::from(gate_of(tier).unwrap().contested_percent), 400);
    let bond = (1u128..=1 << 90, 0u128..5, 0u128..3);
    (counted, earned, age, fails, neutrals, bond, 0u32..3).prop_map(
        |(counted, earned, age, fails, neutrals, bond, more)| {
            let (unit, units, step) = bond;
            Standing {
                closed: 1_000 + more,
                successes: u32::try_from(1_000 - fails).unwrap(),
                fails: u32::try_from(fails).unwrap(),
                neutrals: u32::try_from(neutrals).unwrap(),
                counted: u32::try_from(counted).unwrap(),
                earned_usd_micros: earned,
                age_seconds: age,
                bond: Amount((unit * units + step).saturating_sub(1)),
                bond_unit: Amount(unit),
            }
        },
    )
}

#[test]
fn any_standing_has_the_tier_it_has_in_the_contract() {
    compare(standing(), async |harness, standings| {
        let given = standings.iter().map(|standing| abi::Standing {
            closed: U256::from(standing.closed),
            successes: U256::from(standing.successes),
            fails: U256::from(standing.fails),
            neutrals: U256::from(standing.neutrals),
            counted: U256::from(standing.counted),
            earnedUsdMicros: U256::from(standing.earned_usd_micros),
            ageSeconds: U256::from(standing.age_seconds),
            bond: U256::from(standing.bond.0),
            bondUnit: U256::from(standing.bond_unit.0),
        });
        let found = harness.tiers(given.collect()).call().await.unwrap();
        for (standing, tier) in standings.iter().zip(&found) {
            assert_eq!(standing.tier(), *tier, "{standing:?}");
        }
    });
}
