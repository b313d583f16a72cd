//! Incentives from the command line: off at first, then paid by value, at most what the jobs left the treasury.

use nix::sys::signal::Signal;
use opengpu_core::money::Amount;
use serde_json::{Value, json};

use crate::economy::DOLLAR_A_SECOND;
use crate::network::{Network, assert_adds_up, number};

const OPEN: u128 = 1_000_000_000_000_000_000;

/// Governance sets the rate for the weeks to come and gives the contract enough to pay it.
fn set_rate(network: &Network, rate: u128) {
    network.on_chain(0, async |chain| {
        let contracts = chain.network().contracts.clone();
        let incentives = contracts.incentives.unwrap();
        chain
            .transfer_token(contracts.open_token, incentives, Amount(rate))
            .await
            .unwrap();
        chain.set_incentive_rate(Amount(rate)).await.unwrap();
    });
}

/// OPEN the node's payee holds.
fn payee_open(network: &Network) -> u128 {
    network.on_chain(0, async |chain| {
        let node = chain
            .node(opengpu_core::ids::NodeId(opengpu_core::U256::from(1)))
            .await
            .unwrap();
        let open = chain.network().contracts.open_token;
        chain.token_balance(node.payee, open).await.unwrap().0
    })
}

/// A job worth some dollars.
fn work(network: &Network) -> Value {
    let bill = network.bill(&["--max-cost", "5", "--memory", "64MiB"], "sleep 2");
    assert_adds_up(&bill);
    bill
}

fn claim(network: &Network) -> Value {
    network.json(&["node", "incentives", "claim"])
}

/// Claims, and is killed with its first transaction on the way.
fn claim_and_die(network: &Network) {
    network.hold_back();
    let claiming = network.spawn(&["node", "incentives", "claim"]);
    network.wait_for_held_back(1);
    claiming.signal(Signal::SIGKILL);
    claiming.finish();
    network.include();
}

fn show(network: &Network) -> Value {
    network.json(&["node", "incentives", "show"])
}

#[test]
fn a_weeks_jobs_are_reported_and_paid_once_governance_has_set_a_rate() {
    let Some(network) = Network::down() else { return };
    network.up_with(&["--core-hour", DOLLAR_A_SECOND]);
    network.json(&["node", "price", "40000"]);
    work(&network);
    let off = show(&network);
    assert_eq!((&off["rate"], &off["unreported"]), (&json!("0"), &json!([])), "{off}");
    let text = network.opengpu(&["node", "incentives", "show"]);
    assert!(String::from_utf8_lossy(&text.stdout).contains("off: governance pays nothing"));
    assert_eq!(claim(&network)["reported"], json!([]));

    // A rate below what the job left the treasury: the only node gets all of it.
    set_rate(&network, 3 * OPEN);
    assert_eq!(number(&show(&network)["nextRate"]), 3 * OPEN);
    network.json(&["advance", "7d"]);
    let first = work(&network);
    let unreported = show(&network)["unreported"].clone();
    assert_eq!(
        unreported.as_array().unwrap().len(),
        1,
        "the free week's job counts for nothing: {unreported}"
    );
    assert_eq!(unreported[0]["jobId"], first["jobId"]);
    let text = network.opengpu(&["node", "incentives", "show"]);
    assert!(String::from_utf8_lossy(&text.stdout).contains("jobs to report: 1;"));
    let reported = claim(&network);
    assert_eq!(
        (&reported["reported"], &reported["paid"]),
        (&json!([first["jobId"]]), &json!([]))
    );
    let week = show(&network)["weeks"][0].clone();
    assert_eq!(
        (&week["isDue"], number(&week["amount"])),
        (&json!(false), 3 * OPEN),
        "{week}"
    );

    // A rate far above: never more than what the job left the treasury.
    set_rate(&network, 1_000_000 * OPEN);
    network.json(&["advance", "7d"]);
    let second = work(&network);
    let third = work(&network);
    claim_and_die(&network);
    let mut reported = vec![second["jobId"].clone(), third["jobId"].clone()];
    let unreported = show(&network)["unreported"].clone();
    assert_eq!(
        unreported.as_array().unwrap().len(),
        1,
        "the first was reported: {unreported}"
    );
    reported.retain(|job| *job == unreported[0]["jobId"]);
    assert_eq!(claim(&network)["reported"], json!(reported), "the other alone");

    network.json(&["advance", "14d"]);
    let before = payee_open(&network);
    claim_and_die(&network);
    assert_eq!(payee_open(&network), before + 3 * OPEN, "the first week was paid");
    let paid = claim(&network)["paid"].clone();
    let amounts: Vec<u128> = paid
        .as_array()
        .unwrap()
        .iter()
        .map(|part| number(&part["amount"]))
        .collect();
    // OPEN is worth a thousandth of a dollar: a base unit of USDC is 10^15 of OPEN.
    let left = number(&second["treasuryShare"]) + number(&third["treasuryShare"]);
    let most = left * 1_000_000_000_000_000;
    assert_eq!(amounts, [most], "{paid}");
    assert_eq!(payee_open(&network), before + 3 * OPEN + most);
    assert_eq!(claim(&network)["paid"], json!([]));
    assert_eq!(show(&network)["weeks"], json!([]));
}
