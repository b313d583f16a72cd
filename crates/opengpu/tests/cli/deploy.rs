//! The contracts on a chain that somebody else started, and what is refused there.

use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use opengpu_chain::devnet::{dev_key, find_anvil};
use opengpu_chain::keys;
use serde_json::Value;
use tempfile::TempDir;

const EXAMPLE: &str = include_str!("../../../../docs/genesis.example.toml");

/// A chain of its own with a home folder whose key deploys; both end with the test.
struct Elsewhere {
    chain: Child,
    rpc: String,
    home: TempDir,
}

impl Drop for Elsewhere {
    fn drop(&mut self) {
        let _ = self.chain.kill();
        let _ = self.chain.wait();
    }
}

impl Elsewhere {
    fn start(chain_id: &str) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let chain = Command::new(find_anvil().unwrap())
            .args(["--port", &port.to_string(), "--chain-id", chain_id, "--quiet"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let home = tempfile::tempdir().unwrap();
        keys::save(&home.path().join("key.json"), &dev_key(0).unwrap(), "password").unwrap();
        keys::write_private(&home.path().join("password"), b"password").unwrap();
        let elsewhere = Self {
            chain,
            rpc: format!("http://127.0.0.1:{port}"),
            home,
        };
        for _ in 0..300 {
            if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return elsewhere;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("anvil does not answer");
    }

    fn opengpu(&self, arguments: &[&str]) -> Output {
        Command::new(assert_cmd::cargo::cargo_bin!("opengpu"))
            .args(arguments)
            .current_dir(self.home.path())
            .env("OPENGPU_HOME", self.home.path())
            .env("OPENGPU_KEY_FILE", self.home.path().join("key.json"))
            .env("OPENGPU_PASSWORD_FILE", self.home.path().join("password"))
            .env_remove("OPENGPU_NETWORK")
            .output()
            .unwrap()
    }

    fn deploy(&self, options: &[&str]) -> Output {
        let fixed = ["--json", "--network", "elsewhere", "deploy", "--rpc", &self.rpc];
        self.opengpu(&[&fixed, options].concat())
    }

    /// The example with the one token that is not there left out, governed by `governance`.
    fn genesis(&self, governance: &str) {
        let (before, rest) = EXAMPLE.split_once("[[token]]\nsymbol = \"USDC\"").unwrap();
        let (_, after) = rest.split_once("# Who gets OPEN").unwrap();
        let text = format!("{before}# Who gets OPEN{after}").replacen(
            "governance = \"0x1111111111111111111111111111111111111111\"",
            &format!("governance = \"{governance}\""),
            1,
        );
        std::fs::write(self.home.path().join("genesis.toml"), text).unwrap();
    }
}

fn json(output: &Output) -> Value {
    assert!(output.status.success(), "{}", words(output));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn words(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_chain_elsewhere_is_deployed_to_once_and_its_clock_is_its_own() {
    let elsewhere = Elsewhere::start("424242");
    let refused = elsewhere.deploy(&[]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(words(&refused).contains("--genesis FILE"), "{}", words(&refused));

    elsewhere.genesis(&dev_key(0).unwrap().address().to_string());
    let genesis = ["--genesis", "genesis.toml"];
    let file = elsewhere.home.path().join("deployments/424242.json");
    let dry = json(&elsewhere.deploy(&[&genesis[..], &["--dry-run"]].concat()));
    assert_eq!(dry["steps"].as_array().unwrap().len(), 8, "{dry}");
    assert!(!file.exists());
    let again = json(&elsewhere.deploy(&[&genesis[..], &["--dry-run"]].concat()));
    assert_eq!(dry, again, "a dry run sends nothing");

    let first = json(&elsewhere.deploy(&genesis));
    assert_eq!(first["contracts"], dry["contracts"]);
    assert_eq!(first["file"], file.to_str().unwrap());
    let written = std::fs::read_to_string(&file).unwrap();
    let second = json(&elsewhere.deploy(&genesis));
    assert_eq!(second["steps"], serde_json::json!([]));
    assert_eq!(second["contracts"], first["contracts"]);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), written);

    // The addresses are the same whatever the genesis: what is there is compared, also without sending anything.
    let text = std::fs::read_to_string(elsewhere.home.path().join("genesis.toml")).unwrap();
    let of_another = dev_key(1).unwrap().address().to_string();
    elsewhere.genesis(&of_another);
    for options in [&["--dry-run"][..], &[]] {
        let refused = elsewhere.deploy(&[&genesis[..], options].concat());
        assert_eq!(refused.status.code(), Some(1));
        let words = words(&refused);
        let difference = format!(
            "Cloudverse.governance is {}, not {of_another}",
            dev_key(0).unwrap().address()
        );
        assert!(
            words.contains(&difference) && words.contains("give the genesis file it was made with"),
            "{words}"
        );
    }
    std::fs::write(elsewhere.home.path().join("genesis.toml"), text).unwrap();

    let other = elsewhere.deploy(&[&genesis[..], &["--salt", "second"]].concat());
    assert_eq!(other.status.code(), Some(2));
    assert!(words(&other).contains("names another deployment"), "{}", words(&other));

    let config = "[network.elsewhere]\ngateways = []\ndeployment = \"deployments/424242.json\"\n";
    std::fs::write(elsewhere.home.path().join("config.toml"), config).unwrap();
    let advance = elsewhere.opengpu(&["--network", "elsewhere", "advance", "14d"]);
    assert_eq!(advance.status.code(), Some(2));
    assert!(words(&advance).contains("chain 424242"), "{}", words(&advance));
}

#[test]
fn what_governance_has_to_call_is_printed() {
    let elsewhere = Elsewhere::start("424242");
    elsewhere.genesis("0x1111111111111111111111111111111111111111");
    let report = json(&elsewhere.deploy(&["--genesis", "genesis.toml"]));
    let calls = report["governanceCalls"].as_array().unwrap();
    assert_eq!(calls.len(), 1, "{report}");
    let mut contracts = report["contracts"].as_array().unwrap().iter();
    let market = contracts.find(|contract| contract["name"] == "Cloudverse").unwrap();
    assert_eq!(calls[0]["to"], market["address"]);
    assert!(calls[0]["data"].as_str().unwrap().len() > 200);
}

#[test]
fn a_genesis_that_is_wrong_is_refused() {
    let elsewhere = Elsewhere::start("424242");
    let path = elsewhere.home.path().join("genesis.toml");
    std::fs::write(&path, EXAMPLE.replacen("40000000000", "40000000001", 1)).unwrap();
    let output = elsewhere.deploy(&["--genesis", "genesis.toml"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        words(&output).contains("100000000001 OPEN in all, not 100000000000"),
        "{}",
        words(&output)
    );
    std::fs::write(&path, EXAMPLE).unwrap();
    let output = elsewhere.deploy(&["--genesis", "genesis.toml"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(words(&output).contains("there is no token USDC"), "{}", words(&output));
}

#[test]
fn the_local_networks_node_is_not_meant_on_another_network() {
    let elsewhere = Elsewhere::start("31337");
    json(&elsewhere.deploy(&[]));
    let home = elsewhere.home.path();
    let deployment = std::fs::read(home.join("deployments/31337.json")).unwrap();
    let network: Value = serde_json::from_slice(&deployment).unwrap();
    let ports = serde_json::json!({ "chain": 1, "gateway": 1, "node": 1 });
    let state = serde_json::json!({ "network": network, "node": "1", "ports": ports });
    std::fs::create_dir_all(home.join("networks/local")).unwrap();
    std::fs::write(home.join("networks/local/network.json"), state.to_string()).unwrap();
    let config = "[network.elsewhere]\ngateways = [\"http://127.0.0.1:1\"]\ndeployment = \"deployments/31337.json\"\n";
    std::fs::write(home.join("config.toml"), config).unwrap();

    let output = elsewhere.opengpu(&["--network", "elsewhere", "node", "show"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(words(&output).contains("no node is named"), "{}", words(&output));
    // Here it is meant; this chain just has no node.
    let output = elsewhere.opengpu(&["node", "show"]);
    assert_eq!(output.status.code(), Some(1), "{}", words(&output));
}

#[test]
fn a_local_chain_needs_no_genesis_and_its_clock_moves() {
    let elsewhere = Elsewhere::start("31337");
    let report = json(&elsewhere.deploy(&[]));
    assert_eq!(report["contracts"].as_array().unwrap().len(), 8);
    let config = "[network.elsewhere]\ngateways = []\ndeployment = \"deployments/31337.json\"\n";
    std::fs::write(elsewhere.home.path().join("config.toml"), config).unwrap();
    let moved = json(&elsewhere.opengpu(&["--json", "--network", "elsewhere", "advance", "14d"]));
    let fourteen_days = 14 * 86_400;
    let by = moved["advancedSeconds"].as_u64().unwrap();
    assert!((fourteen_days..fourteen_days + 60).contains(&by), "{moved}");
}
