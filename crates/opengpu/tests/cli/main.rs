//! What the program says when it is used wrongly, and that scripts can tell why.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

mod deploy;

use std::process::{Command, Output};

use tempfile::TempDir;

/// Runs the program with a home folder of its own; the terminal's width does not matter.
fn opengpu(home: &TempDir, arguments: &[&str]) -> Output {
    command(home, arguments).output().unwrap()
}

fn command(home: &TempDir, arguments: &[&str]) -> Command {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("opengpu"));
    command
        .args(arguments)
        .env("OPENGPU_HOME", home.path())
        .env("COLUMNS", "100");
    for name in ["OPENGPU_NETWORK", "OPENGPU_KEY_FILE", "OPENGPU_PASSWORD_FILE"] {
        command.env_remove(name);
    }
    command
}

/// Exit code and stderr, with the home folder's name taken out.
fn said(arguments: &[&str]) -> String {
    said_in(&tempfile::tempdir().unwrap(), arguments)
}

fn said_in(home: &TempDir, arguments: &[&str]) -> String {
    let output = opengpu(home, arguments);
    assert!(output.stdout.is_empty(), "data on stdout: {output:?}");
    let words = String::from_utf8(output.stderr)
        .unwrap()
        .replace(home.path().to_str().unwrap(), "HOME");
    format!("{}\n{words}", output.status.code().unwrap())
}

#[test]
fn usage_errors_are_one_line_and_a_hint() {
    insta::assert_snapshot!("unknown_command", said(&["rum"]));
    insta::assert_snapshot!("image_missing", said(&["run"]));
    insta::assert_snapshot!("size_without_unit", said(&["run", "--memory", "512", "oci:x"]));
    insta::assert_snapshot!("unknown_option", said(&["run", "--outptu", "x", "oci:x"]));
    insta::assert_snapshot!(
        "detach_with_self_sign",
        said(&["run", "--detach", "--self-sign", "oci:x"])
    );
}

#[test]
fn without_a_network_the_hint_starts_one() {
    for arguments in [
        &["run", "oci:x"][..],
        &["ps"],
        &["wallet", "show"],
        &["stop", "ab"],
        &["logs", "ab"],
    ] {
        let words = said(arguments);
        assert_eq!(
            words, "1\nerror: there is no local network yet\nhint: `opengpu up` starts one\n",
            "{arguments:?}"
        );
    }
}

#[test]
fn a_wrong_config_is_named() {
    insta::assert_snapshot!("unknown_network", said(&["--network", "mars", "ps"]));
    let home = tempfile::tempdir().unwrap();
    std::fs::write(
        home.path().join("config.toml"),
        "[network.mars]\ngateway = \"http://x\"\n",
    )
    .unwrap();
    insta::assert_snapshot!("unknown_config_key", said_in(&home, &["--network", "mars", "ps"]));
    let mars = "[network.mars]\ngateways = []\ndeployment = \"mars.json\"\n";
    std::fs::write(home.path().join("config.toml"), mars).unwrap();
    insta::assert_snapshot!("deployment_missing", said_in(&home, &["--network", "mars", "ps"]));
}

#[test]
fn half_a_key_in_the_environment_is_refused() {
    let home = tempfile::tempdir().unwrap();
    let variables = ["OPENGPU_KEY_FILE", "OPENGPU_PASSWORD_FILE"];
    for (set, missing) in [(variables[0], variables[1]), (variables[1], variables[0])] {
        for arguments in [
            &["wallet", "show"][..],
            &["node", "drain"],
            &["deploy", "--rpc", "http://127.0.0.1:1"],
        ] {
            let output = command(&home, arguments).env(set, "/nowhere").output().unwrap();
            let words = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(2), "{arguments:?}: {words}");
            let expected = format!("error: {set} is set, {missing} is not\nhint: set both, or neither\n");
            assert_eq!(words, expected, "{arguments:?}");
        }
    }
}

#[test]
fn an_address_with_a_wrong_checksum_is_refused() {
    let wrong = "0x5aaeb6053F3E94C9b9A09f33669435E7Ef1BeAed";
    for arguments in [
        &["stake", "show", wrong][..],
        &["wallet", "budget", "open", "--cap", "1", "--key", wrong],
    ] {
        let words = said(arguments);
        let expected = format!("`{wrong}` is not an address, or its checksum is wrong");
        assert!(words.starts_with("2\n") && words.contains(&expected), "{words}");
    }
    let right = wrong.to_ascii_lowercase();
    assert!(said(&["stake", "show", &right]).contains("there is no local network yet"));
}

#[test]
fn receipts_that_are_none_are_refused() {
    insta::assert_snapshot!("receipt_missing", said(&["receipt", "verify", "/nowhere/receipt.json"]));
    insta::assert_snapshot!("receipt_unknown", said(&["receipt", "show", "abc"]));
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("receipt.json");
    std::fs::write(&path, "{}").unwrap();
    let output = opengpu(&home, &["receipt", "verify", path.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8(output.stdout).unwrap().starts_with("WRONG   schema"));
}

/// Runs a failing command with `--json`; what scripts get, which must be what people are told.
fn error_for_scripts(home: &TempDir, arguments: &[&str]) -> (i32, serde_json::Value) {
    let output = opengpu(home, arguments);
    let found: serde_json::Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {output:?}"));
    let part = |name: &str| found["error"][name].as_str().unwrap().to_owned();
    let told = format!("error: {}\nhint: {}\n", part("message"), part("hint"));
    assert_eq!(String::from_utf8(output.stderr).unwrap(), told, "{arguments:?}");
    (output.status.code().unwrap(), found)
}

#[test]
fn every_failure_is_one_json_object_where_json_is_asked_for() {
    let home = tempfile::tempdir().unwrap();
    for arguments in [
        &["run", "oci:x"][..],
        &["ps"],
        &["logs", "ab"],
        &["logs", "--follow", "ab"],
        &["stop", "ab"],
        &["job", "result", "ab"],
        &["wallet", "show"],
        &["wallet", "deposit", "1"],
        &["wallet", "budget", "ls"],
        &["stake", "show"],
        &["stake", "lock", "1", "--days", "14"],
        &["node", "show"],
        &["node", "incentives", "claim"],
        &["advance", "1d"],
    ] {
        let (code, found) = error_for_scripts(&home, &[arguments, &["--json"]].concat());
        assert_eq!(code, 1, "{arguments:?}");
        let expected = serde_json::json!({ "error": {
            "code": "error", "message": "there is no local network yet", "hint": "`opengpu up` starts one",
        } });
        assert_eq!(found, expected, "{arguments:?}");
    }
    for arguments in [
        &["--json", "rum"][..],
        &["--json"],
        &["run", "--json"],
        &["deploy", "--json"],
        &["receipt", "show", "ab", "--json"],
        &["receipt", "verify", "/nowhere", "--json"],
        &["down", "--delete", "extra", "--json"],
        &["--json", "--network", "mars", "ps"],
    ] {
        let (code, found) = error_for_scripts(&home, arguments);
        assert_eq!((code, &found["error"]["code"]), (2, &"usage".into()), "{arguments:?}");
    }
}

#[test]
fn a_failure_with_data_is_one_json_object_too() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("receipt.json");
    std::fs::write(&path, "{}").unwrap();
    let (code, found) = error_for_scripts(&home, &["receipt", "verify", "--json", path.to_str().unwrap()]);
    assert_eq!((code, &found["isValid"]), (1, &false.into()), "{found}");
}

#[test]
fn a_local_network_that_is_down_is_started_by_the_hint() {
    let home = tempfile::tempdir().unwrap();
    let address = "0x1111111111111111111111111111111111111111";
    let network = serde_json::json!({
        "name": "local", "rpcUrl": "http://127.0.0.1:1", "chainId": 31_337, "deployedAtBlock": 0,
        "contracts": { "cloudverse": address, "nodeRegistry": address, "openToken": address, "tokens": [] },
    });
    let ports = serde_json::json!({ "chain": 1, "gateway": 1, "node": 1 });
    let state = serde_json::json!({ "network": network, "node": "1", "ports": ports });
    std::fs::create_dir_all(home.path().join("networks/local")).unwrap();
    std::fs::write(home.path().join("networks/local/network.json"), state.to_string()).unwrap();
    let words = said_in(&home, &["advance", "1d"]);
    assert!(
        words.starts_with("1\nerror: the chain at 127.0.0.1:1 does not answer"),
        "{words}"
    );
    assert!(
        words.ends_with("hint: `opengpu up` starts the local network\n"),
        "{words}"
    );
}

#[test]
fn down_and_status_need_nothing() {
    let home = tempfile::tempdir().unwrap();
    let down = opengpu(&home, &["down", "--json"]);
    let down: serde_json::Value = serde_json::from_slice(&down.stdout).unwrap();
    assert_eq!(down["stopped"], serde_json::json!([]));
    let status = opengpu(&home, &["status", "--json"]);
    let status: serde_json::Value = serde_json::from_slice(&status.stdout).unwrap();
    assert_eq!(status["isUp"], false);
}

#[test]
fn the_same_program_packs_into_the_same_image() {
    let home = tempfile::tempdir().unwrap();
    let program = assert_cmd::cargo::cargo_bin!("opengpu").to_str().unwrap().to_owned();
    let pack = |folder: &str| {
        let out = home.path().join(folder);
        let output = opengpu(
            &home,
            &["__pack-image", "--binary", &program, "--out", out.to_str().unwrap()],
        );
        assert!(out.join("index.json").is_file(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let digest = pack("a");
    assert!(digest.starts_with("sha256:"), "{digest}");
    assert_eq!(digest, pack("b"));
}

#[test]
fn help_says_what_there_is() {
    let home = tempfile::tempdir().unwrap();
    let help = |arguments: &[&str]| String::from_utf8(opengpu(&home, arguments).stdout).unwrap();
    insta::assert_snapshot!("help", help(&["--help"]));
    insta::assert_snapshot!("help_run", help(&["run", "--help"]));
    insta::assert_snapshot!("help_budget_open", help(&["wallet", "budget", "open", "--help"]));
}
