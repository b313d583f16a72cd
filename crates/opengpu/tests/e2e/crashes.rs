//! Processes killed with -9 at bad moments: the job goes on, nothing is paid twice, nothing is left behind.

use std::fs;
use std::time::{Duration, SystemTime};

use crate::network::{Network, TINY, assert_adds_up, number, wait_for, words};

/// Kills the node daemon this many times; `OPENGPU_KILLS` for longer runs.
fn kills() -> u32 {
    std::env::var("OPENGPU_KILLS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(20)
}

#[test]
fn killing_the_node_daemon_anywhere_harms_no_job() {
    let Some(network) = Network::up() else { return };
    // Jobs of a few seconds, killed at moments spread over create, run, exit and settle.
    let mut seed = SystemTime::UNIX_EPOCH.elapsed().unwrap().subsec_nanos();
    eprintln!("seed {seed}");
    let mut killed = 0;
    while killed < kills() {
        let before = network.credits("USDC");
        let job = network.detached(&[], "echo begun >> /out/runs; sleep 3; echo ended >> /out/runs");
        for _ in 0..4 {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            std::thread::sleep(Duration::from_millis(u64::from(seed >> 16) % 1_500));
            network.kill("node");
            network.restart();
            killed += 1;
        }
        let bill = network.result(&job);
        assert_adds_up(&bill);
        assert_eq!(bill["exitCode"], 0, "{bill}");
        let runs = fs::read_to_string(std::path::Path::new(bill["output"].as_str().unwrap()).join("runs")).unwrap();
        assert_eq!(runs, "begun\nended\n", "the program must run once");
        let billed = bill["billedMillis"].as_u64().unwrap();
        assert!((3_000..4_500).contains(&billed), "3 s were billed as {billed} ms");
        assert_eq!(before - network.credits("USDC"), number(&bill["paid"]), "{bill}");
    }
    assert_no_container_left(&network);
}

#[test]
fn a_gateway_that_dies_and_forgets_everything_costs_no_job() {
    let Some(network) = Network::up() else { return };
    let job = network.detached(&[], "echo started; sleep 9; echo answer > /out/answer");
    network.wait_for_log(&job, "started");
    network.kill("gateway");
    let mut deleted = 0;
    for entry in fs::read_dir(network.data("gateway")).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() && path.to_string_lossy().contains("gateway.db") {
            fs::remove_file(&path).unwrap();
            deleted += 1;
        }
    }
    assert!(deleted > 0, "no database was found to delete");
    network.restart();
    let bill = network.result(&job);
    assert_adds_up(&bill);
    assert_eq!(bill["exitCode"], 0, "{bill}");
}

#[test]
fn a_match_and_a_settlement_lost_by_the_chain_are_sent_again() {
    let Some(network) = Network::up() else { return };
    let image = network.image();
    let before = network.credits("USDC");
    let script = "sleep 3; echo answer > /out/answer";
    let running = network.spawn(&network.run_arguments(&image, &[], script));
    running.wait_for("match ");
    network.kill("chain");
    network.restart();
    wait_for("the first settlement", || {
        let log = fs::read_to_string(network.data("node.log")).unwrap_or_default();
        log.contains("call=\"settle\"").then_some(())
    });
    network.kill("chain");
    network.restart();
    let output = running.finish();
    assert!(output.status.success(), "{}", words(&output));
    let bill: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_adds_up(&bill);
    assert_eq!(before - network.credits("USDC"), number(&bill["paid"]), "paid once");
}

#[test]
fn a_node_killed_with_a_batch_on_its_way_is_paid_once_for_each_job() {
    let Some(network) = Network::down() else { return };
    network.up_with(&["--settle-gather", "10s"]);
    let jobs: Vec<String> = (0..4).map(|_| network.detached(&TINY, "true")).collect();
    // The batch is sent and not included; the daemon that comes back finds its jobs unsettled and sends another.
    network.hold_back();
    network.wait_for_held_back(1);
    network.kill("node");
    network.restart();
    network.wait_for_held_back(2);
    network.include();
    let bills: Vec<_> = jobs.iter().map(|job| network.result(job)).collect();
    bills.iter().for_each(assert_adds_up);
    let paid: u128 = bills.iter().map(|bill| number(&bill["nodeShare"])).sum();
    wait_for("every job to be paid", || {
        (network.node_credits("USDC") >= paid).then_some(())
    });
    assert_eq!(network.node_credits("USDC"), paid, "none is paid twice");
    network.settled_once(&jobs);
    assert_no_container_left(&network);
}

fn assert_no_container_left(network: &Network) {
    let state = network.data("node");
    wait_for("the containers to be gone", || {
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let here = state.display().to_string();
        let shims = processes_mentioning(&here)
            .into_iter()
            .filter(|line| line.contains("__shim"))
            .count();
        (!mounts.contains(&here) && shims == 0).then_some(())
    });
}

fn processes_mentioning(text: &str) -> Vec<String> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    entries
        .filter_map(|entry| fs::read(entry.path().join("cmdline")).ok())
        .map(|bytes| String::from_utf8_lossy(&bytes).replace('\0', " "))
        .filter(|line| line.contains(text))
        .collect()
}
