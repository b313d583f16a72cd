//! The clock of the local chain is moved while everything runs.

use crate::network::{Network, assert_adds_up, assert_fails};

#[test]
fn weeks_pass_at_once_and_the_next_job_is_paid_as_ever() {
    let Some(network) = Network::up() else { return };
    let before = network.json(&["advance", "1s"])["chainTime"].as_u64().unwrap();
    let moved = network.json(&["advance", "14d"]);
    let fourteen_days = 14 * 86_400;
    assert!(
        moved["chainTime"].as_u64().unwrap() >= before + fourteen_days,
        "{moved}"
    );
    assert_eq!(network.json(&["status"])["isUp"], true);
    let bill = network.bill(&[], "echo later > /out/answer");
    assert_adds_up(&bill);
    // Again, after the daemons have followed once.
    network.json(&["advance", "1h"]);
    assert_adds_up(&network.bill(&[], "true"));
    assert_fails(&network.opengpu(&["advance", "soon"]), 2, "soon");
}

#[test]
fn the_local_networks_contracts_are_those_that_deploy_would_make() {
    let Some(network) = Network::up() else { return };
    let report = network.json(&["deploy"]);
    assert_eq!(report["steps"], serde_json::json!([]), "{report}");
    assert_eq!(report["contracts"].as_array().unwrap().len(), 8, "{report}");
}
