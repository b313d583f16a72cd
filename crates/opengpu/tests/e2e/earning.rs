//! A job that is paid while it runs.

use opengpu_chain::events::ChainEvent;

use crate::network::{Network, assert_adds_up, number, words};

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

        let receipt = bill["receipt"]["path"].as_str().unwrap();
        let text = std::fs::read_to_string(receipt).unwrap();
        let named = values.iter().map(|value| format!("\"{value}\"")).collect::<Vec<_>>();
        assert!(
            text.split_whitespace()
                .collect::<String>()
                .contains(&format!("\"collected\":[{}]", named.join(","))),
            "{text}"
        );
        for on in [[].as_slice(), &["--network", "local"]] {
            let verified = network.opengpu(&[on, &["receipt", "verify", receipt]].concat());
            assert!(verified.status.success(), "{}", words(&verified));
        }
    }
    // It is kept over a restart.
    network.opengpu(&["down"]);
    network.restart();
    let before = collected(&network).len();
    network.bill(&["--max-cost", "5", "--memory", "64MiB"], "sleep 8");
    assert_eq!(collected(&network).len(), before + 1);
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
