//! The economy from the command line alone: stakes and their part of the revenue, discounts, tiers, batches.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::network::{Network, TINY, assert_adds_up, assert_fails, number, words};

/// About a dollar a second for the shape of these stories, so that a job of some seconds is worth a counted one.
pub(crate) const DOLLAR_A_SECOND: &str = "3500";
/// About ten dollars a second.
const TEN_A_SECOND: &str = "35000";

/// A payer's tokens outside its wallet, base units.
fn tokens(network: &Network, token: &str) -> u128 {
    let wallet = network.json(&["wallet", "show"]);
    let rows = wallet["balances"].as_array().unwrap();
    number(&rows.iter().find(|row| row["token"] == token).unwrap()["tokens"])
}

fn claimed(claim: &Value, token: &str) -> u128 {
    let rows = claim["claimed"].as_array().unwrap();
    number(&rows.iter().find(|row| row["token"] == token).unwrap()["amount"])
}

/// 12 % of what a bill's job was worth, rounded down, as the contract books it.
fn stakers_part(bill: &Value) -> u128 {
    number(&bill["stakersShare"])
}

/// The value that costs a payer with a discount of so many hundredths of a percent this much.
fn value_behind(paid: u128, discount_bps: u128) -> u128 {
    (paid..)
        .find(|value| value - value * discount_bps / 10_000 == paid)
        .unwrap()
}

#[test]
fn a_stake_claims_its_part_of_the_revenue_after_the_weeks_have_rolled() {
    let Some(network) = Network::up() else { return };
    // Below the first tier, so that the jobs have no discount.
    network.json(&["stake", "lock", "1000", "--days", "365"]);
    let usdc = network.bill(&["--max-cost", "1"], "sleep 1");
    let open = network.bill(&["--token", "OPEN", "--max-cost", "400"], "sleep 1");
    assert_eq!(
        number(&network.json(&["stake", "show"])["weight"]),
        4_000 * 10_u128.pow(18)
    );
    let before = (tokens(&network, "USDC"), tokens(&network, "OPEN"));
    network.json(&["advance", "14d"]);
    let shown = network.json(&["stake", "show"]);
    assert!(shown["trailingApyBps"].as_u64().unwrap() > 0, "{shown}");
    let claim = network.json(&["stake", "claim"]);
    // Sole staker for the whole week: exactly 12 % of what was settled. Dividing by time and weight may leave one base unit.
    for (token, bill, held) in [("USDC", &usdc, before.0), ("OPEN", &open, before.1)] {
        let (paid, due) = (claimed(&claim, token), stakers_part(bill));
        assert!(paid <= due && due - paid <= 1, "{token}: {paid} of {due}");
        assert!(due > 0, "{bill}");
        assert_eq!(tokens(&network, token), held + paid, "{token}");
    }
    let again = network.json(&["stake", "claim"]);
    assert_eq!((claimed(&again, "USDC"), claimed(&again, "OPEN")), (0, 0));

    assert_fails(&network.opengpu(&["stake", "unlock"]), 1, "the lock ends");
    assert_fails(&network.opengpu(&["stake", "extend", "--days", "14"]), 1, "not later");
    assert_fails(
        &network.opengpu(&["stake", "lock", "0.5", "--days", "14"]),
        2,
        "below 1 OPEN",
    );
    assert_fails(&network.opengpu(&["stake", "lock", "1", "--days", "13"]), 2, "--days");
    more_moves_the_end_of_the_whole_stake(&network);
    network.json(&["advance", "366d"]);
    let held = tokens(&network, "OPEN");
    let part = network.opengpu(&["stake", "unlock", "600"]);
    assert!(
        words(&part).contains("the 401 OPEN left have no weight and earn nothing"),
        "{}",
        words(&part)
    );
    let shown = network.opengpu(&["stake", "show"]);
    assert!(words(&shown).contains("none: no stake has weight"), "{}", words(&shown));
    network.json(&["stake", "unlock"]);
    assert_eq!(tokens(&network, "OPEN"), held + 1_001 * 10_u128.pow(18));
    assert_fails(&network.opengpu(&["stake", "unlock"]), 1, "you have no stake");
}

fn more_moves_the_end_of_the_whole_stake(network: &Network) {
    let before = network.json(&["stake", "show"]);
    let locked = network.opengpu(&["--json", "stake", "lock", "1", "--days", "365"]);
    assert!(
        words(&locked).contains("this moves the end of your whole stake, 1000 OPEN so far"),
        "{}",
        words(&locked)
    );
    let locked: Value = serde_json::from_slice(&locked.stdout).unwrap();
    assert_eq!(locked["oldEnd"], before["end"], "{locked}");
    assert!(locked["end"].as_u64() > before["end"].as_u64(), "{locked}");
}

#[test]
fn a_stakers_job_has_its_discount_out_of_the_treasurys_part() {
    let Some(network) = Network::up() else { return };
    network.json(&["stake", "lock", "250000", "--days", "365"]);
    let bill = network.bill(&["--max-cost", "1"], "sleep 2");
    let paid = number(&bill["paid"]);
    let value = value_behind(paid, 100);
    assert_eq!(paid, value - value / 100, "tier 2 pays 1 % less: {bill}");
    assert!(value > paid, "{bill}");
    assert_eq!(number(&bill["discount"]), value - paid, "{bill}");
    let receipt = network.opengpu(&["receipt", "show", bill["receipt"]["path"].as_str().unwrap()]);
    assert!(
        words(&receipt).contains("saved by the payer's stake"),
        "{}",
        words(&receipt)
    );
    assert_eq!(number(&bill["stakersShare"]), value * 12 / 100, "{bill}");
    assert_eq!(number(&bill["treasuryShare"]), value * 5 / 100 - value / 100, "{bill}");
    assert_adds_up(&bill);
}

/// What `node show` says the next tier lacks.
fn missing(network: &Network, next: u8) -> Vec<String> {
    let shown = network.json(&["node", "show"]);
    assert_eq!(shown["nextTier"]["tier"], next, "{shown}");
    let gates = shown["nextTier"]["gates"].as_array().unwrap();
    let lacking = gates.iter().filter(|gate| gate["isMet"] == false);
    lacking.map(|gate| gate["name"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_node_earns_its_tiers_and_a_bonus_with_them() {
    let Some(network) = Network::down() else { return };
    network.up_with(&["--core-hour", DOLLAR_A_SECOND]);
    assert_fails(&network.opengpu(&["node", "promote"]), 1, "has earned T0");
    assert_eq!(missing(&network, 1), ["counted", "earned", "age", "bond"]);
    network.json(&["node", "price", "40000"]);
    network.json(&["advance", "3d"]);
    network.json(&["node", "bond", "24000000000"]);
    let more_than_there_is = network.opengpu(&["node", "bond", "100000000001"]);
    assert_fails(&more_than_there_is, 5, "outside the wallet, not 100000000001 OPEN");
    let bond_as_payer = |arguments: &[&str]| {
        let mut command = network.command(&[&["--json", "node", "bond", "1"], arguments].concat());
        command
            .env("OPENGPU_KEY_FILE", network.data("keys/payer.json"))
            .env("OPENGPU_PASSWORD_FILE", network.data("keys/password"));
        command.output().unwrap()
    };
    assert_fails(&bond_as_payer(&[]), 2, "gets a bond back");
    assert!(bond_as_payer(&["--yes"]).status.success());
    for _ in 0..4 {
        assert_adds_up(&network.bill(&["--max-cost", "5", "--memory", "64MiB"], "sleep 3"));
    }
    assert_eq!(missing(&network, 1), [""; 0]);
    assert_eq!(network.json(&["node", "promote"])["tier"], 1);
    assert_eq!(missing(&network, 2), ["counted", "earned", "age"]);
    let shown = network.opengpu(&["node", "show"]);
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(shown.contains("for T2") && shown.contains("4 of 4 (100 %)"), "{shown}");
    assert_eq!(network.opengpu(&["down"]).status.code(), Some(0));
    network.up_with(&["--core-hour", TEN_A_SECOND]);
    network.json(&["advance", "27d"]);
    for _ in 0..6 {
        network.bill(&["--max-cost", "60", "--memory", "64MiB"], "sleep 1.6");
    }
    let promoted = network.json(&["node", "promote"]);
    assert_eq!(promoted["tier"], 2, "{promoted}");
    let bill = network.bill(&["--max-cost", "60", "--memory", "64MiB"], "sleep 0.3");
    let value = number(&bill["paid"]);
    assert_eq!(number(&bill["stakersShare"]), value * 12 / 100, "{bill}");
    let treasury = value * 5 / 100;
    assert_eq!(
        number(&bill["treasuryShare"]),
        treasury - value * 50 / 10_000,
        "T2 gives 0.5 %: {bill}"
    );
    assert_adds_up(&bill);
    // What the bond no longer carries at a higher price is not kept.
    let price = network.json(&["node", "price", "400000"]);
    assert_eq!(price["tier"], 0, "{price}");
    assert_eq!(network.json(&["node", "show"])["tier"], 0);
}

#[test]
fn a_bond_asked_back_says_what_became_of_the_request_before() {
    let Some(network) = Network::up() else { return };
    network.json(&["node", "bond", "10"]);
    let asked = network.json(&["node", "unbond", "4"]);
    assert_eq!(asked["oldUnbonding"], "0", "{asked}");
    assert_fails(&network.opengpu(&["node", "unbond", "4"]), 1, "asked back already");
    network.json(&["advance", "20d"]);
    let other = network.opengpu(&["node", "unbond", "5"]);
    assert!(
        words(&other).contains("this replaces the request for 4 OPEN"),
        "{}",
        words(&other)
    );
    network.json(&["advance", "28d"]);
    let shown = network.opengpu(&["node", "show"]);
    assert!(words(&shown).contains("5 OPEN, lapsed at "), "{}", words(&shown));
    let anew = network.opengpu(&["node", "unbond", "5"]);
    assert!(
        words(&anew).contains("the request for 5 OPEN lapsed at "),
        "{}",
        words(&anew)
    );
    network.json(&["advance", "21d"]);
    assert_eq!(
        number(&network.json(&["node", "unbond", "5"])["bond"]),
        5 * 10_u128.pow(18)
    );
}

/// As many results as one transaction settles.
const A_HUNDRED: usize = 100;

#[test]
fn a_hundred_results_that_wait_are_settled_in_one_transaction() {
    let Some(network) = Network::down() else { return };
    // Nothing but the hundredth result ends the gathering.
    network.up_with(&["--settle-gather", "1h"]);
    let jobs = in_parallel(vec![(); A_HUNDRED], |()| network.detached(&TINY, "true"));
    let bills = in_parallel(jobs.clone(), |job| network.result(&job));
    in_parallel(bills.iter().collect(), |bill| {
        assert_adds_up(bill);
        let receipt = bill["receipt"]["path"].as_str().unwrap();
        // Without the chain, then against it.
        for on in [[].as_slice(), &["--network", "local"]] {
            let verified = network.opengpu(&[on, &["receipt", "verify", receipt]].concat());
            assert!(verified.status.success(), "{}", words(&verified));
        }
    });

    let paid: u128 = bills.iter().map(|bill| number(&bill["nodeShare"])).sum();
    assert!(bills.iter().all(|bill| number(&bill["paid"]) > 0));
    assert_eq!(network.node_credits("USDC"), paid, "every job is paid, none twice");
    let settled = network.settled_once(&jobs);
    let transactions: BTreeSet<_> = settled.iter().map(|envelope| envelope.transaction).collect();
    assert_eq!(transactions.len(), 1, "{transactions:?}");
}

/// Does the work with a few hands, as a script that submits many jobs would.
fn in_parallel<T: Send, R: Send>(items: Vec<T>, work: impl Fn(T) -> R + Sync) -> Vec<R> {
    let items = std::sync::Mutex::new(items.into_iter());
    let next = || items.lock().unwrap().next();
    let hand = || std::iter::from_fn(next).map(&work).collect::<Vec<R>>();
    std::thread::scope(|scope| {
        let hands: Vec<_> = (0..4).map(|_| scope.spawn(hand)).collect();
        hands.into_iter().flat_map(|hand| hand.join().unwrap()).collect()
    })
}
