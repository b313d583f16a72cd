//! `up`, `down`, `status`: idempotent, and nothing left behind.

use std::net::TcpListener;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::harness::{TestNetwork, becomes_true, can_run, text};

#[test]
fn up_starts_only_what_is_missing_and_the_chain_keeps_its_state() {
    if !can_run() {
        return;
    }
    let network = TestNetwork::up();
    let credits = network.usdc_credits();
    let node = network.pid("node");
    for part in ["gateway", "chain"] {
        network.kill(part, Signal::SIGKILL);
    }
    assert_eq!(network.json(&["status"])["isUp"], false);
    let up = network.opengpu(["up"]);
    assert!(up.status.success(), "{}", text(&up.stderr));
    assert!(!text(&up.stderr).contains("deploying"), "{}", text(&up.stderr));
    assert_eq!(network.pid("node"), node);
    assert_eq!(network.json(&["status"])["isUp"], true);
    assert_eq!(network.usdc_credits(), credits);
    let down = network.json(&["down"]);
    assert_eq!(down["stopped"].as_array().unwrap().len(), 3);
    assert_eq!(network.processes(), [""; 0]);
    assert_eq!(network.json(&["down"])["stopped"].as_array().unwrap().len(), 0);
}

#[test]
fn an_interrupted_up_leaves_nothing_running() {
    if !can_run() {
        return;
    }
    let network = TestNetwork::down();
    for millis in [1, 20, 60, 120, 250, 400, 600, 900] {
        let mut up = network.command(TestNetwork::up_arguments()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(millis));
        let _ = kill(Pid::from_raw(i32::try_from(up.id()).unwrap()), Signal::SIGINT);
        if up.wait().unwrap().success() {
            network.opengpu(["down"]); // it was faster than the interrupt
        }
        assert!(becomes_true(|| network.processes().is_empty()), "after {millis} ms: {:?}", network.processes());
    }
    assert!(network.opengpu(TestNetwork::up_arguments()).status.success());
}

#[test]
fn what_up_cannot_have_is_one_line_and_a_hint() {
    if !can_run() {
        return;
    }
    let network = TestNetwork::down();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let up = network.opengpu(["up", "--chain-port", "0", "--node-port", "0", "--gateway-port", &port]);
    let words = text(&up.stderr);
    assert_eq!(up.status.code(), Some(1));
    assert!(words.contains(&format!("error: port {port} for the gateway is in use by another program\nhint: ")), "{words}");
    let up = network.command(TestNetwork::up_arguments()).env("OPENGPU_ANVIL", "/nowhere/anvil").output().unwrap();
    let words = text(&up.stderr);
    assert_eq!(up.status.code(), Some(1));
    assert!(words.contains("error: anvil is not installed"), "{words}");
    assert!(words.contains("\nhint: `npm ci`"), "{words}");
    assert_eq!(network.processes(), [""; 0]);
}

#[test]
fn a_stale_pid_file_does_not_matter() {
    if !can_run() {
        return;
    }
    let network = TestNetwork::down();
    let folder = network.path("networks/local/processes");
    std::fs::create_dir_all(&folder).unwrap();
    let stale = format!("{{\"pid\": {}, \"started\": \"1\"}}", std::process::id());
    for part in ["chain", "gateway", "node"] {
        std::fs::write(folder.join(format!("{part}.json")), &stale).unwrap();
    }
    assert_eq!(network.json(&["status"])["isUp"], false);
    let up = network.opengpu(TestNetwork::up_arguments());
    assert!(up.status.success(), "{}", text(&up.stderr));
}
