//! The main job: run, pay, get back what was not used, verify.

use std::fs;

use serde_json::Value;

use crate::network::{Network, assert_adds_up, assert_fails, number, words};

#[test]
fn a_folder_goes_in_and_its_answer_comes_out() {
    let Some(network) = Network::up() else { return };
    let input = network.path("data");
    fs::create_dir_all(input.join("deep")).unwrap();
    fs::write(input.join("deep/text"), "forty-two").unwrap();
    let before = network.credits("USDC");

    let script = "cat $OPENGPU_INPUT/deep/text > $OPENGPU_OUTPUT/copy; test $OPENGPU_INPUT = /in; echo done";
    let (data, results) = (
        input.display().to_string(),
        network.path("results").display().to_string(),
    );
    let bill = network.bill(&["--input", &data, "--output", &results], script);

    let out = std::path::PathBuf::from(bill["output"].as_str().unwrap());
    assert!(out.starts_with(&results), "{bill}");
    assert_eq!(fs::read_to_string(out.join("copy")).unwrap(), "forty-two");
    assert_adds_up(&bill);
    assert_eq!(number(&bill["locked"]), 1_000_000);
    assert_eq!(before - network.credits("USDC"), number(&bill["paid"]));
    assert!(number(&bill["refunded"]) > 0, "{bill}");
    let receipt = bill["receipt"]["path"].as_str().unwrap();
    let verified = network.opengpu(&["receipt", "verify", receipt]);
    assert!(verified.status.success(), "{}", words(&verified));
    // Also against the chain.
    let verified = network.opengpu(&["--network", "local", "receipt", "verify", receipt]);
    assert!(verified.status.success(), "{}", words(&verified));
}

#[test]
fn a_changed_receipt_or_output_does_not_verify() {
    let Some(network) = Network::up() else { return };
    let bill = network.bill(&[], "echo good > /out/answer");
    let path = bill["receipt"]["path"].as_str().unwrap();
    let mut file: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    file["receipt"]["usage"]["billedMillis"] = 1.into();
    let forged = network.path("forged.json");
    fs::write(&forged, serde_json::to_vec(&file).unwrap()).unwrap();
    let output = network.opengpu(&["receipt", "verify", &forged.display().to_string()]);
    assert_eq!(output.status.code(), Some(1), "{}", words(&output));
    assert!(
        words(&output).contains("/receipt/usage/billedMillis"),
        "{}",
        words(&output)
    );

    fs::write(
        std::path::Path::new(bill["output"].as_str().unwrap()).join("answer"),
        "evil",
    )
    .unwrap();
    let output = network.opengpu(&["receipt", "verify", path]);
    assert_eq!(output.status.code(), Some(1), "{}", words(&output));
}

#[test]
fn two_cores_burnt_and_a_sleep_are_billed_for_their_time() {
    let Some(network) = Network::up() else { return };
    // `times` is what the kernel charged the shell and its children: the counter that ours must agree with.
    let burn = "sh -c 'timeout 5 sh -c \"while :; do :; done\" & timeout 5 sh -c \"while :; do :; done\"; wait'; times > /out/times";
    let bill = network.bill(&["--cpus", "2"], burn);
    let (billed, cpu) = (
        bill["billedMillis"].as_u64().unwrap(),
        bill["cpuMillis"].as_u64().unwrap(),
    );
    assert!((5_000..7_000).contains(&billed), "{bill}");
    let charged = charged_millis(&bill);
    assert!(
        cpu.abs_diff(charged) <= charged / 20,
        "reported {cpu} ms of CPU, the kernel charged {charged} ms"
    );

    let bill = network.bill(&[], "sleep 5");
    let (billed, cpu) = (
        bill["billedMillis"].as_u64().unwrap(),
        bill["cpuMillis"].as_u64().unwrap(),
    );
    assert!((5_000..6_500).contains(&billed), "{bill}");
    assert!(cpu < 500, "{bill}");
}

/// Adds up what `times` wrote: two lines of `0m1.234s 0m0.005s`.
fn charged_millis(bill: &Value) -> u64 {
    let file = std::path::Path::new(bill["output"].as_str().unwrap()).join("times");
    let text = fs::read_to_string(file).unwrap();
    let millis = |word: &str| {
        let (minutes, seconds) = word.strip_suffix('s').unwrap().split_once('m').unwrap();
        let (whole, fraction) = seconds.split_once('.').unwrap();
        let fraction: String = fraction.chars().chain("000".chars()).take(3).collect();
        minutes.parse::<u64>().unwrap() * 60_000
            + whole.parse::<u64>().unwrap() * 1_000
            + fraction.parse::<u64>().unwrap()
    };
    text.split_whitespace().map(millis).sum()
}

#[test]
fn paying_in_open_and_signing_oneself_work_too() {
    let Some(network) = Network::up() else { return };
    let bill = network.bill(
        &["--token", "OPEN", "--max-cost", "10", "--self-sign"],
        "sleep 1; echo hello",
    );
    assert_eq!(bill["token"], "OPEN");
    assert_adds_up(&bill);
    assert!(bill["vouchers"].as_u64().unwrap() >= 1, "{bill}");
}

#[test]
fn a_detached_job_goes_on_and_can_be_stopped() {
    let Some(network) = Network::up() else { return };
    let job = network.detached(&[], "echo started; sleep 600");
    network.wait_for_log(&job, "started");
    let listed = network.json(&["ps"]);
    assert!(listed.to_string().contains(&job), "{listed}");
    let stopped = network.opengpu(&["stop", &job]);
    assert!(stopped.status.success(), "{}", words(&stopped));
    let bill = network.result(&job);
    assert_adds_up(&bill);
    assert!(bill["billedMillis"].as_u64().unwrap() < 60_000, "{bill}");
}

#[test]
fn the_readiness_check_starts_the_meter() {
    let Some(network) = Network::up() else { return };
    let bill = network.bill(&["--ready", "test -e /tmp/ready"], "sleep 4; touch /tmp/ready; sleep 3");
    let billed = bill["billedMillis"].as_u64().unwrap();
    assert!(
        (1_500..4_500).contains(&billed),
        "billed {billed} of 7 s, of which 4 were not ready"
    );
}

#[test]
fn the_demo_renders_its_scene_and_leaves_nothing_running() {
    let Some(network) = Network::down() else { return };
    let demo = |scene: &str| {
        let folder = network.path(scene).display().to_string();
        let file = quick_scene(&network, scene);
        let value = network.json(&["demo", "--scene", &file, "--output", &folder]);
        assert_adds_up(&value);
        assert_eq!(value["receipt"]["verified"], true);
        assert!(
            value["gas"]["match"].as_u64().unwrap() > 0 && value["gas"]["settle"].as_u64().unwrap() > 0,
            "{value}"
        );
        for step in ["match", "ready", "firstLogLine", "settled"] {
            assert!(value["timings"][step].as_u64().unwrap() > 0, "{value}");
        }
        fs::read(value["output"].as_str().unwrap()).unwrap()
    };
    let (dusk, ring) = (demo("dusk"), demo("ring"));
    assert_eq!(&dusk[..8], b"\x89PNG\r\n\x1a\n");
    assert_ne!(dusk, ring, "another scene must give another picture");
}

#[test]
fn an_unknown_scene_is_named() {
    let Some(network) = Network::down() else { return };
    assert_fails(
        &network.opengpu(&["demo", "--scene", "moon"]),
        2,
        "there is no scene `moon`",
    );
}

/// The demo's scene, small: what it looks like does not matter here.
fn quick_scene(network: &Network, name: &str) -> String {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .unwrap();
    let mut scene: Value =
        serde_json::from_slice(&fs::read(root.join(format!("demo/scenes/{name}.json"))).unwrap()).unwrap();
    scene["image"]["seconds"] = 2.into();
    scene["image"]["samplesPerPixel"] = 4.into();
    let file = network.path(&format!("{name}.json"));
    fs::write(&file, scene.to_string()).unwrap();
    file.display().to_string()
}
