//! Jobs from the command line to the bill.

use std::fs;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::harness::{TestNetwork, amount, becomes_true, can_run, text};

const SHELL: &str = "/bin/busybox";

#[test]
fn a_folder_goes_in_another_comes_out_and_the_wallet_adds_up() {
    if !can_run() {
        return;
    }
    let network = TestNetwork::up();
    let before = network.usdc_credits();
    fs::create_dir(network.path("data")).unwrap();
    fs::write(network.path("data/words"), "one two three").unwrap();
    let script = "wc -w < $OPENGPU_INPUT/words | tee $OPENGPU_OUTPUT/count";
    let ended = network.run(
        &["--json", "--input", "data", "--output", "result", "--max-cost", "1"],
        &[SHELL, "sh", "-c", script],
    );
    assert!(ended.status.success(), "{}", text(&ended.stderr));
    let bill: Value = serde_json::from_slice(&ended.stdout).unwrap();
    assert_eq!(fs::read_to_string(network.path("result/out/count")).unwrap().trim(), "3");
    assert_eq!(fs::read_to_string(network.path("result/log.txt")).unwrap().trim(), "3");
    let [locked, paid, refunded] = ["locked", "paid", "refunded"].map(|name| amount(&bill[name]));
    let shares = ["nodeShare", "stakersShare", "treasuryShare"].map(|name| amount(&bill[name]));
    assert_eq!(locked, 1_000_000);
    assert_eq!(paid + refunded, locked);
    assert_eq!(shares.iter().sum::<u128>(), paid);
    assert_eq!(network.usdc_credits(), before - paid);
    let verified = network.opengpu(["receipt", "verify", "result/receipt.json"]);
    assert!(verified.status.success(), "{}", text(&verified.stderr));
    let on_chain = network.opengpu(["receipt", "verify", "--network", "local", "result/receipt.json"]);
    assert!(text(&on_chain.stdout).contains("vouched for by operator and signer and chain"), "{on_chain:?}");
    fs::write(network.path("result/out/count"), "4\n").unwrap();
    let forged = network.opengpu(["receipt", "verify", "result/receipt.json"]);
    assert_eq!(forged.status.code(), Some(1));
    assert!(text(&forged.stdout).contains("WRONG   output"), "{forged:?}");
}

#[test]
fn what_fails_says_whose_turn_it_is() {
    if !can_run() {
        return;
    }
    let network = TestNetwork::up();
    let failed = |options: &[&str], command: &[&str]| {
        let ended = network.run(options, command);
        (ended.status.code(), text(&ended.stderr))
    };
    let (code, words) = failed(&["--output", "a"], &[SHELL, "sh", "-c", "exit 3"]);
    assert_eq!(code, Some(3), "{words}");
    assert!(words.contains("error: the program ended with exit code 3\nhint: "), "{words}");
    let (code, words) = failed(&["--output", "b", "--max-cost", "900"], &[SHELL, "true"]);
    assert_eq!(code, Some(5), "{words}");
    assert!(words.contains("are missing\nhint: `opengpu wallet deposit "), "{words}");
    let (code, words) = failed(&["--output", "c", "--max-cost", "0.000001"], &[SHELL, "true"]);
    assert_eq!(code, Some(5), "{words}");
    assert!(words.contains("the cheapest offer needs 0.00"), "{words}");
    assert!(words.contains("hint: --max-cost 0.00"), "{words}");
}

#[test]
fn ctrl_c_detaches_where_nobody_can_be_asked_and_stop_settles() {
    if !can_run() {
        return;
    }
    let network = TestNetwork::up();
    let mut run = network.start("long", &["--output", "long"], &[SHELL, "sleep", "600"]);
    network.wait_for("long", "READY");
    kill(Pid::from_raw(i32::try_from(run.id()).unwrap()), Signal::SIGINT).unwrap();
    assert!(run.wait().unwrap().success());
    network.wait_for("long", "detached: job");
    let jobs = network.json(&["ps"]);
    assert_eq!(jobs[0]["state"], "matched");
    let job = jobs[0]["jobId"].as_str().unwrap().to_owned();
    let stopped = network.opengpu(["stop", &job]);
    assert!(stopped.status.success(), "{}", text(&stopped.stderr));
    let bill = network.json(&["job", "result", &job]);
    assert_eq!(bill["ending"], "stopped");
    assert_eq!(amount(&bill["paid"]) + amount(&bill["refunded"]), amount(&bill["locked"]));
    assert!(network.path("long/receipt.json").is_file());
}

#[test]
fn a_match_the_chain_forgot_is_sent_again() {
    if !can_run() {
        return;
    }
    let network = TestNetwork::up();
    // The chain is copied once a second, so a kill right after a match loses it now and then; a few tries are enough.
    for turn in 0..8 {
        let name = format!("turn{turn}");
        let mut run = network.start(&name, &["--output", &name], &[SHELL, "sleep", "2"]);
        network.wait_for(&name, "match ");
        network.kill("chain", Signal::SIGKILL);
        assert!(network.opengpu(["up"]).status.success());
        assert!(becomes_true(|| network.json(&["ps"]).as_array().unwrap().is_empty()), "a job did not settle");
        assert!(run.wait().unwrap().success(), "{}", fs::read_to_string(network.story(&name)).unwrap());
        if fs::read_to_string(network.story(&name)).unwrap().contains("the chain lost the match; sending it again") {
            return;
        }
    }
    panic!("the chain never lost a match");
}
