//! The local chain against `kill -9`: of anvil, of its keeper, and of the keeper in the middle of writing a copy.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use alloy::network::TransactionBuilder as _;
use alloy::providers::{Provider as _, ProviderBuilder};
use alloy::rpc::types::TransactionRequest;
use opengpu_chain::devnet::{Devnet, DevnetConfig, DevnetError, dev_key, keep};
use opengpu_chain::{ChainClient, Contracts, Network};
use opengpu_core::Address;
use opengpu_core::ids::ChainId;
use tokio::time::sleep;

const STATE: &str = "OPENGPU_TEST_STATE";
const PORT: &str = "OPENGPU_TEST_PORT";
/// Kills per test.
const KILLS: u64 = 24;

/// Not a test: what the tests below run as a process of its own, so that it can be killed.
#[tokio::test]
#[ignore = "run by the tests that kill it"]
async fn keeper_process() {
    let Some(state) = std::env::var_os(STATE) else { return };
    let config = DevnetConfig {
        port: std::env::var(PORT).unwrap().parse().unwrap(),
        state: Some(PathBuf::from(state)),
        ..DevnetConfig::ephemeral().unwrap()
    };
    keep(config, std::future::pending()).await.unwrap();
}

/// The keeper and what is known of its chain.
struct Keeper {
    process: Child,
    client: ChainClient,
}

impl Keeper {
    async fn start(folder: &Path, port: u16) -> Self {
        while TcpListener::bind(("127.0.0.1", port)).is_err() {
            sleep(Duration::from_millis(5)).await;
        }
        let process = Command::new(std::env::current_exe().unwrap())
            .args(["devnet::keeper_process", "--exact", "--ignored", "--nocapture"])
            .env(STATE, folder)
            .env(PORT, port.to_string())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let client = ChainClient::without_checks(&bare_network(port), dev_key(0)).unwrap();
        let mut keeper = Self { process, client };
        keeper.wait_until_it_answers().await;
        keeper
    }

    async fn wait_until_it_answers(&mut self) {
        while self.client.head().await.is_err() {
            assert_eq!(self.process.try_wait().unwrap(), None, "the keeper gave up");
            sleep(Duration::from_millis(10)).await;
        }
    }

    fn kill(mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

fn bare_network(port: u16) -> Network {
    Network {
        name: "bare".to_owned(),
        rpc_url: format!("http://127.0.0.1:{port}"),
        chain_id: ChainId::LOCAL,
        contracts: Contracts {
            cloudverse: Address::ZERO,
            node_registry: Address::ZERO,
            open_token: Address::ZERO,
            tokens: Vec::new(),
            staking: None,
            incentives: None,
            deployer: None,
        },
        deployed_at_block: 0,
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Height of the newest copy on disk, which must be complete whenever there is one.
fn copied_height(folder: &Path) -> Option<u64> {
    let text = std::fs::read_to_string(folder.join("state.json")).ok()?;
    let state: serde_json::Value = serde_json::from_str(&text).expect("a copy on disk is always complete");
    state["best_block_number"].as_u64()
}

/// A transaction with so much calldata; anvil signs for its own accounts and mines it at once.
async fn send_data(client: &ChainClient, data: Vec<u8>) {
    let provider = ProviderBuilder::new()
        .disable_recommended_fillers()
        .connect_http(client.network().rpc_url.parse().unwrap());
    let account = dev_key(0).unwrap().address();
    let request = TransactionRequest::default()
        .with_from(account)
        .with_to(account)
        .with_input(data);
    provider
        .send_transaction(request)
        .await
        .unwrap()
        .get_receipt()
        .await
        .unwrap();
}

async fn transactions(client: &ChainClient) -> u64 {
    client.transactions_of(dev_key(0).unwrap().address()).await.unwrap()
}

#[tokio::test]
async fn a_keeper_killed_at_any_moment_never_loses_what_it_had_copied() {
    let folder = tempfile::tempdir().unwrap();
    let port = free_port();
    let (mut kept, mut copies) = (None, 0);
    for round in 0..KILLS {
        let keeper = Keeper::start(folder.path(), port).await;
        let head = keeper.client.head().await.unwrap().number;
        if let Some((height, hash)) = kept {
            assert!(
                head >= height,
                "round {round}: head {head} is below the copied {height}"
            );
            let block = keeper.client.block_at(height).await.unwrap().unwrap();
            assert_eq!(block.hash, hash, "round {round}: another chain");
        }
        // The moment of the kill moves through the second between two copies.
        let until = tokio::time::Instant::now() + Duration::from_millis(700 + round * 73);
        while tokio::time::Instant::now() < until {
            send_data(&keeper.client, vec![0xab; 2_000]).await;
            // A copy counts only between two blocks, so leave some room between them.
            sleep(Duration::from_millis(30)).await;
        }
        if let Some(height) = copied_height(folder.path()) {
            copies += u64::from(kept.is_none_or(|(before, _)| height > before));
            let block = keeper
                .client
                .block_at(height)
                .await
                .unwrap()
                .expect("the copy is of this chain");
            kept = Some((height, block.hash));
        }
        keeper.kill();
    }
    assert!(copies >= KILLS / 3, "only {copies} lives were long enough to be copied");
}

#[tokio::test]
async fn a_keeper_killed_in_the_middle_of_a_copy_keeps_the_one_before() {
    let folder = tempfile::tempdir().unwrap();
    let port = free_port();
    let scratch = folder.path().join("state.new.json");
    let first = Keeper::start(folder.path(), port).await;
    while copied_height(folder.path()).is_none() {
        sleep(Duration::from_millis(20)).await;
    }
    first.kill();
    let (mut hits, mut sent) = (0, 0);
    for round in 0..KILLS {
        let keeper = Keeper::start(folder.path(), port).await;
        let there = transactions(&keeper.client).await;
        assert!(
            there >= sent,
            "round {round}: {there} of {sent} copied transactions are left"
        );
        for _ in 0..5 {
            send_data(&keeper.client, vec![0xcd; 100_000]).await;
        }
        // Seen from outside, a copy is being written while its scratch file is there.
        let deadline = std::time::Instant::now() + Duration::from_secs(20);
        while !scratch.exists() && std::time::Instant::now() < deadline {
            std::hint::spin_loop();
        }
        keeper.kill();
        hits += u64::from(scratch.exists());
        let _ = std::fs::remove_file(&scratch);
        assert!(copied_height(folder.path()).is_some(), "round {round}: no copy");
        let devnet = Devnet::start(&config(folder.path(), 0)).await.unwrap();
        let port = devnet.rpc_url().rsplit(':').next().unwrap().parse().unwrap();
        let client = ChainClient::without_checks(&bare_network(port), None).unwrap();
        sent = transactions(&client).await;
    }
    assert!(
        hits >= KILLS / 4,
        "only {hits} of {KILLS} kills hit a copy being written"
    );
}

#[tokio::test]
async fn an_anvil_that_is_killed_is_started_again_with_its_chain() {
    let folder = tempfile::tempdir().unwrap();
    let port = free_port();
    let mut keeper = Keeper::start(folder.path(), port).await;
    send_data(&keeper.client, vec![1]).await;
    let wanted = keeper.client.head().await.unwrap().number;
    while copied_height(folder.path()).unwrap_or_default() < wanted {
        sleep(Duration::from_millis(20)).await;
    }
    let first = anvil_on(port).unwrap();
    Command::new("kill").args(["-9", &first.to_string()]).status().unwrap();
    while anvil_on(port) == Some(first) {
        sleep(Duration::from_millis(5)).await;
    }
    keeper.wait_until_it_answers().await;
    assert_ne!(anvil_on(port), Some(first));
    assert_eq!(transactions(&keeper.client).await, 1);
    keeper.kill();
    while anvil_on(port).is_some() {
        sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_newest_copy_that_does_not_load_gives_way_to_the_one_before() {
    let folder = tempfile::tempdir().unwrap();
    let devnet = Devnet::start(&config(folder.path(), 0)).await.unwrap();
    let port = devnet.rpc_url().rsplit(':').next().unwrap().parse().unwrap();
    let client = ChainClient::without_checks(&bare_network(port), dev_key(0)).unwrap();
    send_data(&client, vec![1]).await;
    devnet.stop().await.unwrap();
    let newest = folder.path().join("state.json");
    std::fs::copy(&newest, folder.path().join("state.previous.json")).unwrap();
    let whole = std::fs::read(&newest).unwrap();
    std::fs::write(&newest, &whole[..whole.len() / 2]).unwrap();

    let devnet = Devnet::start(&config(folder.path(), 0)).await.unwrap();
    let port = devnet.rpc_url().rsplit(':').next().unwrap().parse().unwrap();
    let client = ChainClient::without_checks(&bare_network(port), dev_key(0)).unwrap();
    assert_eq!(transactions(&client).await, 1);
    drop(devnet);

    std::fs::write(&newest, "{").unwrap();
    std::fs::write(folder.path().join("state.previous.json"), "{").unwrap();
    let error = Devnet::start(&config(folder.path(), 0)).await.unwrap_err();
    assert!(matches!(error, DevnetError::StateUnreadable { .. }), "{error}");
    assert_eq!(
        std::fs::read_to_string(&newest).unwrap(),
        "{",
        "what cannot be read is left alone"
    );
}

#[tokio::test]
async fn time_that_was_moved_forward_stays_there_across_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let devnet = Devnet::start(&config(folder.path(), 0)).await.unwrap();
    let port = devnet.rpc_url().rsplit(':').next().unwrap().parse().unwrap();
    let client = ChainClient::without_checks(&bare_network(port), dev_key(0)).unwrap();
    let moved = client.advance_time(3_600).await.unwrap();
    devnet.stop().await.unwrap();
    let _devnet = Devnet::start(&config(folder.path(), port)).await.unwrap();
    send_data(&client, vec![1]).await;
    assert!(client.now().await.unwrap() >= moved, "the chain's clock went back");
}

#[tokio::test]
async fn a_port_in_use_is_refused_before_anything_starts() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let folder = tempfile::tempdir().unwrap();
    let error = Devnet::start(&config(folder.path(), port)).await.unwrap_err();
    assert!(
        matches!(error, DevnetError::PortInUse { port: named } if named == port),
        "{error}"
    );
}

fn config(folder: &Path, port: u16) -> DevnetConfig {
    DevnetConfig {
        port,
        state: Some(folder.to_owned()),
        ..DevnetConfig::ephemeral().unwrap()
    }
}

/// The process that serves a port, found by its arguments.
fn anvil_on(port: u16) -> Option<u32> {
    let wanted = format!("--port\0{port}\0");
    std::fs::read_dir("/proc").unwrap().flatten().find_map(|entry| {
        let arguments = std::fs::read_to_string(entry.path().join("cmdline")).ok()?;
        let pid = entry.file_name().to_str()?.parse().ok()?;
        arguments.contains(&wanted).then_some(pid)
    })
}
