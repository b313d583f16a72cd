//! A side that falls silent: the other gets what it is owed without it.

use std::fs;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::network::{Network, assert_adds_up, number, wait_for};

#[test]
fn a_payer_that_signs_itself_and_vanishes_still_pays_what_it_signed() {
    let Some(network) = Network::up() else { return };
    let image = network.image();
    let running =
        network.spawn(&network.run_arguments(&image, &["--self-sign"], "echo started; sleep 2; echo x > /out/x"));
    running.wait_for("signed by both");
    running.signal(Signal::SIGKILL);
    let job = network.json(&["ps", "--all"])[0]["jobId"].as_str().unwrap().to_owned();
    let bill = network.result(&job);
    assert_adds_up(&bill);
    assert!(number(&bill["paid"]) > 0, "the node is paid its newest voucher: {bill}");
}

#[test]
fn an_agent_that_is_away_for_two_intervals_pauses_the_job_and_nothing_is_billed_meanwhile() {
    let Some(network) = Network::up() else { return };
    let job = network.detached(
        &[],
        "echo started; i=0; while [ $i -lt 25 ]; do sleep 1; i=$((i+1)); done; echo x > /out/x",
    );
    network.wait_for_log(&job, "started");
    network.kill("gateway");
    wait_for("the node to pause it", || {
        let log = fs::read_to_string(network.data("node.log")).unwrap_or_default();
        log.contains("step=Paused").then_some(())
    });
    std::thread::sleep(Duration::from_secs(5));
    network.restart();
    let bill = network.result(&job);
    assert_adds_up(&bill);
    assert_eq!(bill["exitCode"], 0, "{bill}");
    // Each `sleep 1` that the pause catches goes on asleep, so a pause can take up to a second off the work.
    let billed = bill["billedMillis"].as_u64().unwrap();
    assert!(
        (23_000..30_000).contains(&billed),
        "25 s of work were billed as {billed} ms"
    );
}

#[test]
fn a_node_that_stays_away_is_reported_and_the_payer_gets_its_money() {
    let Some(network) = Network::up() else { return };
    let before = network.credits("USDC");
    let job = network.detached(&[], "echo started; sleep 600");
    network.wait_for_log(&job, "started");
    network.kill("node");
    // Not up again: the agent reports, waits out the response window, resolves and closes.
    let bill = network.result(&job);
    assert_adds_up(&bill);
    assert_eq!(before - network.credits("USDC"), number(&bill["paid"]));
}
