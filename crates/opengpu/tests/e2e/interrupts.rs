//! Ctrl-C at any moment: one clear line, nothing lost, nothing left running.

use std::fs;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::network::{Network, assert_fails, is_gone, words};

#[test]
fn ctrl_c_while_following_leaves_the_job_running_and_says_how_to_go_on() {
    let Some(network) = Network::up() else { return };
    let image = network.image();
    let running = network.spawn(&network.run_arguments(&image, &[], "echo started; sleep 4; echo x > /out/x"));
    running.wait_for("READY");
    running.signal(Signal::SIGINT);
    let output = running.finish();
    assert!(words(&output).contains("isDetached"), "{}", words(&output));
    let job = network.json(&["ps", "--all"])[0]["jobId"].as_str().unwrap().to_owned();
    assert_eq!(network.result(&job)["exitCode"], 0);
}

#[test]
fn ctrl_c_while_a_transaction_waits_for_its_block_names_it() {
    let Some(network) = Network::up() else { return };
    network.hold_back();
    let locking = network.spawn(&["stake", "lock", "1", "--days", "14"]);
    network.wait_for_held_back(1);
    locking.signal(Signal::SIGINT);
    let output = locking.finish();
    assert_fails(&output, 130, "interrupted while transaction 0x");
    assert!(words(&output).contains("may still be included"), "{}", words(&output));
    network.include();
}

#[test]
fn ctrl_c_while_the_match_waits_says_so_and_leaves_the_second_time() {
    let Some(network) = Network::up() else { return };
    let image = network.image();
    network.hold_back();
    let running = network.spawn(&network.run_arguments(&image, &[], "true"));
    network.wait_for_held_back(1);
    running.signal(Signal::SIGINT);
    running.wait_for("waits for its block; the next Ctrl-C leaves it there");
    running.signal(Signal::SIGINT);
    let output = running.finish();
    assert_fails(&output, 130, "interrupted while transaction 0x");
    network.include();
    assert_eq!(
        network.json(&["ps", "--all"]).as_array().unwrap().len(),
        1,
        "the job is on record"
    );
}

#[test]
fn ctrl_c_during_up_leaves_nothing_running() {
    let Some(network) = Network::down() else { return };
    for wait in [0, 150, 400, 900] {
        let up = network.spawn(&["up", "--chain-port", "0", "--gateway-port", "0", "--node-port", "0"]);
        std::thread::sleep(Duration::from_millis(wait));
        up.signal(Signal::SIGINT);
        let output = up.finish();
        if output.status.success() {
            // It was quicker than the signal.
            assert!(network.opengpu(&["down"]).status.success());
        }
        let home = network.path("home").display().to_string();
        for entry in fs::read_dir("/proc").unwrap().flatten() {
            let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let line = String::from_utf8_lossy(&line).replace('\0', " ");
            assert!(!line.contains(&home), "left running after {wait} ms: {line}");
        }
    }
}

#[test]
fn ctrl_c_during_the_demo_leaves_nothing_running() {
    let Some(network) = Network::down() else { return };
    for wait in [200, 1_500, 5_000] {
        let demo = network.spawn(&["demo"]);
        std::thread::sleep(Duration::from_millis(wait));
        let pid = demo.pid();
        let children = descendants(pid.as_raw());
        demo.signal(Signal::SIGINT);
        let output = demo.finish();
        assert!(!output.status.success(), "{}", words(&output));
        for child in children {
            assert!(
                is_gone(nix::unistd::Pid::from_raw(child)),
                "{child} still runs: {}",
                words(&output)
            );
        }
    }
}

fn descendants(pid: i32) -> Vec<i32> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    let direct: Vec<i32> = children
        .split_whitespace()
        .filter_map(|text| text.parse().ok())
        .collect();
    direct
        .iter()
        .copied()
        .chain(direct.iter().flat_map(|&child| descendants(child)))
        .collect()
}
