//! `up`, `status`, `down`: the second run, stale files, ports in use.

use std::fs;
use std::net::TcpListener;

use crate::network::{Network, assert_fails, words};

#[test]
fn up_twice_is_one_network_and_down_stops_it() {
    let Some(network) = Network::up() else { return };
    let pids = ["chain", "gateway", "node"].map(|role| network.pid(role));
    network.restart();
    assert_eq!(["chain", "gateway", "node"].map(|role| network.pid(role)), pids);
    assert_eq!(network.json(&["status"])["isUp"], true);
    let output = network.opengpu(&["down"]);
    assert!(output.status.success(), "{}", words(&output));
    assert_eq!(network.json(&["status"])["isUp"], false);
    let output = network.opengpu(&["down"]);
    assert!(output.status.success(), "down twice is no error: {}", words(&output));
}

#[test]
fn what_was_on_chain_is_there_after_down_and_up() {
    let Some(network) = Network::up() else { return };
    let output = network.opengpu(&["wallet", "deposit", "12.5"]);
    assert!(output.status.success(), "{}", words(&output));
    let credits = network.credits("USDC");
    assert!(network.opengpu(&["down"]).status.success());
    network.restart();
    assert_eq!(network.credits("USDC"), credits);
}

#[test]
fn a_port_in_use_is_named() {
    let Some(network) = Network::down() else { return };
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let output = network.opengpu(&["up", "--chain-port", "0", "--gateway-port", &port, "--node-port", "0"]);
    assert_fails(&output, 1, &port);
    assert_eq!(network.json(&["status"])["isUp"], false);
}

#[test]
fn a_stale_pid_file_stops_nobody() {
    let Some(network) = Network::up() else { return };
    assert!(network.opengpu(&["down"]).status.success());
    // This test's own pid with another start time: somebody else's process.
    let stale = format!(r#"{{"pid":{},"started":"1"}}"#, std::process::id());
    fs::create_dir_all(network.data("processes")).unwrap();
    fs::write(network.data("processes/node.json"), &stale).unwrap();
    assert_eq!(network.json(&["status"])["isUp"], false);
    assert!(network.opengpu(&["down"]).status.success());
    network.restart();
    assert_eq!(network.json(&["status"])["isUp"], true);
}

#[test]
fn without_a_network_commands_say_how_to_start_one() {
    let Some(network) = Network::down() else { return };
    for arguments in [
        &["ps"][..],
        &["wallet", "show"],
        &["run", "--yes", "oci:x", "--", "true"],
    ] {
        let output = network.opengpu(arguments);
        assert!(
            words(&output).contains("opengpu up"),
            "{arguments:?}: {}",
            words(&output)
        );
    }
}

#[test]
fn a_missing_chain_node_is_one_line_and_a_hint() {
    let Some(network) = Network::down() else { return };
    let output = network
        .command(&["up"])
        .env("OPENGPU_ANVIL", "/no/such/anvil")
        .output()
        .unwrap();
    assert_fails(&output, 1, "anvil");
}
