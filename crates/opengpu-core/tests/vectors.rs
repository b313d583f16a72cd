//! Rust and Solidity compute the same: the files in `contracts/test/vectors` are written by the contracts' own tests, and
//! read here.

#![allow(clippy::unwrap_used)]

use std::path::Path;

use opengpu_core::ids::ChainId;
use opengpu_core::job::{Limits, Progress, Rates, Terms, UsdRate};
use opengpu_core::money::{
    Amount, MoneyError, Price, Shares, Split, cost_rounded_up, split_in_steps, split_rounded_down,
};
use opengpu_core::order::{Approve, Bid, Domain, Extend, JobResult, Order, Outcome, Signable, Voucher};
use opengpu_core::stake::{Stake, StakeError};
use opengpu_core::tier::{Gate, Standing, gate_of};
use opengpu_core::{Address, B256, U256};
use serde::de::DeserializeOwned;
use serde_json::Value;

struct Row {
    name: String,
    given: Value,
    out: Value,
}

fn rows(file: &str) -> Vec<Row> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../contracts/test/vectors")
        .join(file);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let rows: Vec<Value> = serde_json::from_str(&text).unwrap();
    assert!(!rows.is_empty(), "{file} holds no vectors");
    rows.into_iter()
        .map(|row| Row {
            name: row["name"].as_str().unwrap().to_owned(),
            given: row["in"].clone(),
            out: row["out"].clone(),
        })
        .collect()
}

fn text<'a>(fields: &'a Value, name: &str) -> &'a str {
    fields[name]
        .as_str()
        .unwrap_or_else(|| panic!("no text `{name}` in {fields}"))
}

fn number<T: std::str::FromStr<Err: std::fmt::Debug>>(fields: &Value, name: &str) -> T {
    text(fields, name).parse().unwrap()
}

/// Solidity writes every number as text; our messages have only amounts, ids and salts as text.
fn message<T: DeserializeOwned>(fields: &Value) -> T {
    const NUMBERS: [&str; 16] = [
        "maxSeconds",
        "readyWithinSeconds",
        "minTier",
        "verifyLevel",
        "maxAttempts",
        "expiresAt",
        "quotedSeconds",
        "attempt",
        "seq",
        "signedAt",
        "billedMillis",
        "egressBytes",
        "durableMillis",
        "durableEgressBytes",
        "readyAfterSeconds",
        "rating",
    ];
    let mut fields = fields.clone();
    for (name, value) in fields.as_object_mut().unwrap() {
        if NUMBERS.contains(&name.as_str()) || name == "addSeconds" {
            *value = value.as_str().unwrap().parse::<u64>().unwrap().into();
        } else if name == "exitCode" {
            *value = value.as_str().unwrap().parse::<i32>().unwrap().into();
        } else if name == "outcome" {
            let code = value.as_str().unwrap().parse().unwrap();
            *value = serde_json::to_value(Outcome::from_code(code).unwrap()).unwrap();
        }
    }
    serde_json::from_value(fields).unwrap()
}

fn hash_of(message: &impl Signable, domain: Domain) -> (B256, B256) {
    (message.struct_hash(), message.digest(domain))
}

#[test]
fn messages_hash_as_in_solidity() {
    let rows = rows("eip712.json");
    let domain_row = rows.iter().find(|row| row.name == "domain").unwrap();
    let domain = Domain {
        chain_id: ChainId(number(&domain_row.given, "chainId")),
        contract: number(&domain_row.given, "verifyingContract"),
    };
    assert_eq!(domain.separator(), number::<B256>(&domain_row.out, "separator"));
    let mut seen = std::collections::BTreeMap::<String, usize>::new();
    let mut last_result = None;
    for row in rows.iter().filter(|row| row.name != "domain") {
        let kind = row.name.split(' ').next().unwrap();
        let hashes = match kind {
            "order" => hash_of(&message::<Order>(&row.given), domain),
            "bid" => hash_of(&message::<Bid>(&row.given), domain),
            "voucher" => hash_of(&message::<Voucher>(&row.given), domain),
            "result" => {
                let result = message::<JobResult>(&row.given);
                let hashes = hash_of(&result, domain);
                last_result = Some(result);
                hashes
            }
            "approve" => {
                let approve = message::<Approve>(&row.given);
                let result = last_result.take().unwrap();
                assert_eq!(approve, result.approve(domain, approve.rating), "{}", row.name);
                hash_of(&approve, domain)
            }
            "extend" => hash_of(&message::<Extend>(&row.given), domain),
            other => panic!("vectors of unknown message `{other}`"),
        };
        let expected = (number(&row.out, "structHash"), number(&row.out, "digest"));
        assert_eq!(hashes, expected, "{}", row.name);
        *seen.entry(kind.to_owned()).or_default() += 1;
    }
    assert_eq!(seen.len(), 6, "every message has vectors: {seen:?}");
}

#[test]
fn usage_costs_as_in_solidity() {
    for row in rows("cost.json") {
        let price = Price {
            compute_per_hour: number(&row.given, "computePerHour"),
            egress_per_gib: number(&row.given, "egressPerGiB"),
        };
        let expected: U256 = row.out.as_str().unwrap().parse().unwrap();
        let expected = u128::try_from(expected).map(Amount).map_err(|_| MoneyError::TooLarge);
        let (millis, bytes) = (number(&row.given, "billedMillis"), number(&row.given, "egressBytes"));
        assert_eq!(cost_rounded_up(price, millis, bytes), expected, "{}", row.given);
    }
}

fn shares(fields: &Value) -> Shares {
    Shares {
        stakers_bps: number(fields, "stakersBps"),
        treasury_bps: number(fields, "treasuryBps"),
        discount_bps: number(fields, "discountBps"),
        bonus_bps: number(fields, "bonusBps"),
    }
}

fn split(fields: &Value) -> Split {
    serde_json::from_value(fields.clone()).unwrap()
}

#[test]
fn values_split_as_in_solidity() {
    for row in rows("split.json") {
        let value = number(&row.given, "value");
        assert_eq!(
            split_rounded_down(value, shares(&row.given)),
            split(&row.out),
            "{}",
            row.given
        );
    }
}

#[test]
fn values_paid_in_steps_move_as_in_solidity() {
    for row in rows("split_increase.json") {
        let shares = shares(&row.given);
        let (old, new) = (number(&row.given, "oldValue"), number(&row.given, "newValue"));
        let (before, after) = (split_rounded_down(old, shares), split_in_steps(&[old], new, shares));
        let moved = |part: fn(&Split) -> Amount| part(&after).checked_sub(part(&before)).unwrap();
        let moved = Split {
            paid: moved(|split| split.paid),
            discount: moved(|split| split.discount),
            node: moved(|split| split.node),
            stakers: moved(|split| split.stakers),
            treasury: moved(|split| split.treasury),
        };
        assert_eq!(moved, split(&row.out), "{} {}", row.name, row.given);
    }
}

fn terms(fields: &Value) -> Terms {
    Terms {
        payer: number(fields, "payer"),
        signer: number(fields, "signer"),
        token: number(fields, "token"),
        operator: number(fields, "operator"),
        payee: number(fields, "payee"),
        budget: number(fields, "budget"),
        node: number(fields, "node"),
        spec_digest: number(fields, "specDigest"),
        escrow: number(fields, "escrow"),
        compute_per_hour: number(fields, "computePerHour"),
        egress_per_gib: number(fields, "egressPerGiB"),
        rates: Rates {
            usd_rate: UsdRate(number(fields, "usdRate")),
            open_rate: UsdRate(number(fields, "openRate")),
            shares: shares(fields),
        },
        limits: Limits {
            matched_at: number(fields, "matchedAt"),
            max_seconds: number(fields, "maxSeconds"),
            ready_within_seconds: number(fields, "readyWithinSeconds"),
            quoted_seconds: number(fields, "quotedSeconds"),
            verify_level: number(fields, "verifyLevel"),
            max_attempts: number(fields, "maxAttempts"),
            attempt: number(fields, "attempt"),
        },
    }
}

fn progress(fields: &Value) -> Progress {
    let owner = |name| number::<Address>(fields, name);
    Progress {
        value: number(fields, "value"),
        billed_millis: number(fields, "billedMillis"),
        declared: number(fields, "declared"),
        reported_at: number(fields, "reportedAt"),
        reportable_from: number(fields, "reportableFrom"),
        earlier_owners: [owner("earlierOwner1"), owner("earlierOwner2"), owner("earlierOwner3")],
    }
}

#[test]
fn terms_pack_and_hash_as_in_solidity() {
    for row in rows("terms.json") {
        let terms = terms(&row.given);
        let packed_rates: U256 = number(&row.out, "rates");
        let packed_limits: U256 = number(&row.out, "limits");
        assert_eq!(terms.rates.pack(), Ok(packed_rates), "{}", row.name);
        assert_eq!(terms.limits.pack(), packed_limits, "{}", row.name);
        assert_eq!(Rates::unpack(packed_rates), terms.rates, "{}", row.name);
        assert_eq!(Limits::unpack(packed_limits), Ok(terms.limits), "{}", row.name);
        let hash = terms.hash_with(&progress(&row.given)).unwrap();
        assert_eq!(
            format!("0x{}", hex::encode(hash.0)),
            text(&row.out, "hash"),
            "{}",
            row.name
        );
        let json = serde_json::to_string(&terms).unwrap();
        assert_eq!(serde_json::from_str::<Terms>(&json).unwrap(), terms, "{}", row.name);
    }
}

fn standing(fields: &Value) -> Standing {
    Standing {
        closed: number(fields, "closed"),
        successes: number(fields, "successes"),
        fails: number(fields, "fails"),
        neutrals: number(fields, "neutrals"),
        counted: number(fields, "counted"),
        earned_usd_micros: number(fields, "earnedUsdMicros"),
        age_seconds: number(fields, "ageSeconds"),
        bond: number(fields, "bond"),
        bond_unit: number(fields, "bondUnit"),
    }
}

#[test]
fn nodes_are_of_the_tiers_they_are_in_solidity() {
    let mut seen = [0; 5];
    for row in rows("tiers.json") {
        if row.name == "gate" {
            let gate = Gate {
                counted: number(&row.out, "counted"),
                earned_usd: number(&row.out, "earnedUsd"),
                age_days: number(&row.out, "ageDays"),
                completion_percent: number(&row.out, "completionPercent"),
                contested_percent: number(&row.out, "contestedPercent"),
                bond_units: number(&row.out, "bondUnits"),
            };
            assert_eq!(gate_of(number(&row.given, "tier")), Some(gate), "{}", row.given);
            continue;
        }
        let expected: u8 = row.out.as_str().unwrap().parse().unwrap();
        assert_eq!(standing(&row.given).tier(), expected, "{}", row.given);
        seen[usize::from(expected)] += 1;
    }
    assert!(seen.iter().all(|count| *count > 5), "vectors of every tier: {seen:?}");
}

fn stake(fields: &Value) -> Stake {
    Stake {
        amount: number(fields, "amount"),
        weight: number(fields, "weight"),
        end: number(fields, "end"),
    }
}

/// The contract's name of a refusal.
fn error_name(error: StakeError) -> &'static str {
    match error {
        StakeError::AmountOutOfRange | StakeError::LockOutOfRange => "OutOfRange",
        StakeError::NothingStaked => "NothingStaked",
        StakeError::EndNotLater => "EndNotLater",
        StakeError::WeightWouldFall { .. } => "WeightWouldFall",
        StakeError::Locked(_) => "Locked",
        StakeError::TooLow => "TooLow",
    }
}

#[test]
fn stakes_change_as_in_solidity() {
    let mut seen = std::collections::BTreeMap::<(u8, String), usize>::new();
    for row in rows("stakes.json") {
        let (before, now) = (stake(&row.given), number(&row.given, "now"));
        let (asked, days) = (number(&row.given, "asked"), number(&row.given, "lockDays"));
        let kind: u8 = number(&row.given, "kind");
        let after = match kind {
            0 | 1 => before.with_more(now, asked, days),
            2 | 3 => before.extended(now, days),
            4 => before.with_less(now, asked),
            5 => before.expired(now),
            other => panic!("a call of unknown kind {other}"),
        };
        let error = after.err().map_or("", error_name);
        assert_eq!(error, text(&row.out, "error"), "{}", row.given);
        let after = after.unwrap_or(before);
        assert_eq!(after, stake(&row.out), "{}", row.given);
        assert_eq!(
            after.payer_tier_at(now),
            number::<u8>(&row.out, "tier"),
            "{}",
            row.given
        );
        *seen.entry((kind, error.to_owned())).or_default() += 1;
    }
    assert!(
        (0..6).all(|kind| seen.contains_key(&(kind, String::new()))),
        "every call succeeds once: {seen:?}"
    );
}
