//! A job that is paid while it runs.

use opengpu_chain::events::ChainEvent;
use serde_json::Value;

use crate::network::{Network, assert_adds_up, number, wait_for, words};

/// About ten cents a second for the shape of this story: fifty for a voucher.
const TEN_CENTS_A_SECOND: &str = "350";

#[test]
fn a_job_that_earned_enough_is_paid_while_it_runs_and_its_receipt_names_each_payment() {
    let Some(network) = Network::down() else { return };
    network.up_with(&["--core-hour", TEN_CENTS_A_SECOND, "--collect-above", "0.2"]);
    // Once with the gateway's agent as signer, once with the payer's own program.
    for signer in [[].as_slice(), &["--self-sign"]] {
        let before = collected(&network).len();
        let options = [&["--max-cost", "5", "--memory", "64MiB"], signer].concat();
        let bill = network.bill(&options, "sleep 13");
        assert_adds_up(&bill);
        let values = collected(&network).split_off(before);
        assert!(values.len() >= 2, "{values:?} {bill}");
        assert!(values.is_sorted(), "{values:?}");
        // Only what has run, never the interval that a voucher is ahead.
        assert!(*values.last().unwrap() <= number(&bill["paid"]), "{values:?} {bill}");

        assert_receipt_names(&network, &bill, &values);
    }
    // It is kept over a restart.
    network.opengpu(&["down"]);
    network.restart();
    let before = collected(&network).len();
    network.bill(&["--max-cost", "5", "--memory", "64MiB"], "sleep 8");
    assert_eq!(collected(&network).len(), before + 1);
}

#[test]
fn a_node_killed_with_its_pay_on_the_way_is_paid_once_and_the_receipt_says_so() {
    let Some(network) = Network::down() else { return };
    network.up_with(&["--core-hour", TEN_CENTS_A_SECOND, "--collect-above", "0.2"]);
    let job = network.detached(
        &["--max-cost", "5", "--memory", "64MiB"],
        "echo started; i=0; while [ $i -lt 18 ]; do sleep 1; i=$((i+1)); done",
    );
    network.wait_for_log(&job, "started");
    // Sent and not included; the daemon that comes back finds nothing collected and tries again, which the chain refuses: the first counts.
    network.hold_back();
    network.wait_for_held_back(1);
    network.kill("node");
    network.restart();
    wait_for("the node to try again", || {
        let log = std::fs::read_to_string(network.data("node.log")).unwrap_or_default();
        log.contains("call=\"collect\" fault").then_some(())
    });
    network.include();
    let bill = network.result(&job);
    assert_adds_up(&bill);
    let values = collected(&network);
    assert!(!values.is_empty() && values.is_sorted_by(|a, b| a < b), "{values:?}");
    assert_eq!(network.node_credits("USDC"), number(&bill["nodeShare"]), "paid once");
    network.settled_once(&[job]);
    assert_receipt_names(&network, &bill, &values);
}

/// The receipt names these payments, and holds without the chain and against it.
fn assert_receipt_names(network: &Network, bill: &Value, values: &[u128]) {
    let receipt = bill["receipt"]["path"].as_str().unwrap();
    let file: Value = serde_json::from_slice(&std::fs::read(receipt).unwrap()).unwrap();
    let named = &file["receipt"]["attempts"][0]["collected"];
    let named: Vec<u128> = named.as_array().unwrap().iter().map(number).collect();
    assert_eq!(named, values);
    for on in [[].as_slice(), &["--network", "local"]] {
        let verified = network.opengpu(&[on, &["receipt", "verify", receipt]].concat());
        assert!(verified.status.success(), "{}", words(&verified));
    }
}

/// Values that `collect` brought attempts to, oldest first.
fn collected(network: &Network) -> Vec<u128> {
    let events = network.events(|event| matches!(event, ChainEvent::Collected { .. }));
    let values = events.iter().map(|envelope| match &envelope.event {
        ChainEvent::Collected { value, .. } => value.0,
        other => panic!("{other:?}"),
    });
    values.collect()
}
