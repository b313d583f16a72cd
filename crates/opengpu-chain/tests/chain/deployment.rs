//! Contracts on chains of several kinds, in one go and in pieces.

use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use alloy::primitives::address;
use alloy::providers::ext::AnvilApi as _;
use alloy::providers::{DynProvider, Provider as _, ProviderBuilder};
use opengpu_chain::deployment::{FACTORY, ListedToken, Listing, OPEN_SUPPLY, Step};
use opengpu_chain::devnet::find_anvil;
use opengpu_chain::{ChainClient, ChainError, DeployConfig, Deployment, deploy};
use opengpu_core::Address;
use opengpu_core::ids::ChainId;
use opengpu_core::job::UsdRate;
use opengpu_core::money::Amount;

use crate::support::key;

const ELSEWHERE: ChainId = ChainId(424_242);

/// An anvil as somebody else would start it; it ends with the test.
struct Bare {
    child: Child,
    url: String,
}

impl Drop for Bare {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Bare {
    async fn start(chain: ChainId, options: &[&str]) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let child = Command::new(find_anvil().unwrap())
            .args(["--port", &port.to_string(), "--chain-id", &chain.to_string(), "--quiet"])
            .args(options)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let bare = Self {
            child,
            url: format!("http://127.0.0.1:{port}"),
        };
        for _ in 0..300 {
            if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return bare;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("anvil does not answer");
    }

    fn rpc(&self) -> DynProvider {
        ProviderBuilder::new().connect_http(self.url.parse().unwrap()).erased()
    }

    fn config(&self, chain: ChainId) -> DeployConfig {
        let local = DeployConfig::local(&self.url);
        if chain == ChainId::LOCAL {
            return local;
        }
        DeployConfig {
            name: "elsewhere".to_owned(),
            chain_id: chain,
            response_window_seconds: 600,
            listings: local.listings[..1].to_vec(),
            ..local
        }
    }
}

async fn plan(config: &DeployConfig) -> Deployment {
    Deployment::plan(config, key(0).address()).await.unwrap()
}

#[tokio::test]
async fn a_second_deployment_finds_everything_there_and_sends_nothing() {
    for chain in [ChainId::LOCAL, ELSEWHERE] {
        let bare = Bare::start(chain, &[]).await;
        let config = bare.config(chain);
        let first = deploy(&config, key(0)).await.unwrap();
        let sent = bare.rpc().get_transaction_count(key(0).address()).await.unwrap();
        assert!(plan(&config).await.missing().await.unwrap().is_empty());
        assert_eq!(deploy(&config, key(0)).await.unwrap(), first);
        assert_eq!(bare.rpc().get_transaction_count(key(0).address()).await.unwrap(), sent);
        let client = ChainClient::connect(&first, None).await.unwrap();
        let held = client.token_balance(key(0).address(), first.contracts.open_token).await;
        assert_eq!(held.unwrap(), OPEN_SUPPLY);
        assert!(first.deployed_at_block > 0);
    }
}

#[tokio::test]
async fn addresses_are_the_same_on_every_chain_and_others_with_another_salt() {
    let (one, two) = (
        Bare::start(ELSEWHERE, &[]).await,
        Bare::start(ChainId(434_343), &["--disable-default-create2-deployer"]).await,
    );
    let first = deploy(&one.config(ELSEWHERE), key(0)).await.unwrap();
    let second = deploy(&two.config(ChainId(434_343)), key(0)).await.unwrap();
    assert_eq!(first.contracts, second.contracts);
    // The other deployment lists the first one's token, as it would any that is there already.
    let salted = DeployConfig {
        salt: "second".to_owned(),
        listings: vec![Listing {
            symbol: "OPEN".to_owned(),
            token: ListedToken::At(first.contracts.open_token),
            decimals: 18,
            usd_rate: UsdRate(1_000),
            t0_cap: Amount(1_000),
        }],
        ..one.config(ELSEWHERE)
    };
    let third = deploy(&salted, key(0)).await.unwrap();
    assert_ne!(first.contracts.cloudverse, third.contracts.cloudverse);
    assert_eq!(third.contracts.tokens[0].address, first.contracts.open_token);
}

#[tokio::test]
async fn a_deployment_killed_after_any_step_goes_on() {
    // Without the factory, so that its two steps are among them.
    let whole = Bare::start(ELSEWHERE, &["--no-create2"]).await;
    let config = whole.config(ELSEWHERE);
    let steps = plan(&config).await.missing().await.unwrap();
    assert_eq!(steps[..2], [Step::FundFactory, Step::MakeFactory]);
    assert_eq!(steps.len(), 10, "{steps:?}");
    let expected = deploy(&config, key(0)).await.unwrap().contracts;
    for done in 1..steps.len() {
        let bare = Bare::start(ELSEWHERE, &["--no-create2"]).await;
        let config = bare.config(ELSEWHERE);
        for step in &steps[..done] {
            // Each by a program that knows nothing of the one before.
            let killed = plan(&config).await;
            killed.take(step, &key(0)).await.unwrap();
        }
        assert_eq!(
            plan(&config).await.missing().await.unwrap(),
            steps[done..],
            "after {done}"
        );
        assert_eq!(deploy(&config, key(0)).await.unwrap().contracts, expected);
    }
}

#[tokio::test]
async fn a_transaction_that_a_killed_run_left_behind_is_not_sent_twice() {
    let bare = Bare::start(ELSEWHERE, &[]).await;
    let config = bare.config(ELSEWHERE);
    let steps = plan(&config).await.missing().await.unwrap();
    plan(&config).await.take(&steps[0], &key(0)).await.unwrap();
    bare.rpc().anvil_set_auto_mine(false).await.unwrap();
    let killed = plan(&config).await;
    let taken = tokio::time::timeout(Duration::from_secs(2), killed.take(&steps[1], &key(0))).await;
    assert!(taken.is_err(), "it waits for its block");
    let waiting = bare.rpc().get_transaction_count(key(0).address()).pending().await;
    assert_eq!(waiting.unwrap(), 2, "and is left behind");

    let next = tokio::spawn({
        let config = config.clone();
        async move { deploy(&config, key(0)).await }
    });
    tokio::time::sleep(Duration::from_secs(3)).await;
    bare.rpc().anvil_set_auto_mine(true).await.unwrap();
    bare.rpc().anvil_mine(Some(1), None).await.unwrap();
    let network = next.await.unwrap().unwrap();
    let deployer = network.contracts.deployer.unwrap();
    let made = bare.rpc().get_transaction_count(deployer).await.unwrap();
    assert_eq!(made, 7, "six contracts, none of them twice");
}

#[tokio::test]
async fn a_chain_whose_factory_cannot_be_made_says_so() {
    let bare = Bare::start(ELSEWHERE, &["--no-create2"]).await;
    let signer = address!("3fab184622dc19b6109349b94811493bf2a45362");
    bare.rpc().anvil_set_nonce(signer, 1).await.unwrap();
    let error = deploy(&bare.config(ELSEWHERE), key(0)).await.unwrap_err();
    assert!(matches!(error, ChainError::NoFactory { .. }), "{error}");
    assert!(error.hint().is_some());
}

#[tokio::test]
async fn foreign_code_at_an_address_of_ours_is_named() {
    for index in 0..=3 {
        let bare = Bare::start(ELSEWHERE, &[]).await;
        let config = bare.config(ELSEWHERE);
        let (name, address) = plan(&config).await.contracts()[index];
        bare.rpc()
            .anvil_set_code(address, vec![0x60, 0x00].into())
            .await
            .unwrap();
        let error = deploy(&config, key(0)).await.unwrap_err();
        assert!(matches!(error, ChainError::NotAsPlanned(_)), "{error}");
        let text = error.to_string();
        assert!(text.contains(name) && text.contains(&address.to_string()), "{text}");
    }
    let bare = Bare::start(ELSEWHERE, &[]).await;
    bare.rpc().anvil_set_code(FACTORY, vec![0x00].into()).await.unwrap();
    let error = deploy(&bare.config(ELSEWHERE), key(0)).await.unwrap_err();
    assert!(error.to_string().contains("CREATE2 factory"), "{error}");
}

#[tokio::test]
async fn a_plan_that_cannot_work_is_refused_before_anything_is_sent() {
    let bare = Bare::start(ELSEWHERE, &[]).await;
    let good = bare.config(ELSEWHERE);
    let mut sum = good.clone();
    sum.allocations[0].amount = Amount(OPEN_SUPPLY.0 - 1);
    let mut window = good.clone();
    window.response_window_seconds = 15;
    let mut token = good.clone();
    token.listings[0].token = ListedToken::At(Address::repeat_byte(9));
    let mut test_token = good.clone();
    test_token.listings[0].token = ListedToken::TestStablecoin;
    for (config, words) in [
        (sum, "sum of the allocations"),
        (window, "response window"),
        (token, "no token OPEN"),
        (test_token, "test stablecoin"),
    ] {
        let error = deploy(&config, key(0)).await.unwrap_err();
        assert!(matches!(error, ChainError::NotAsPlanned(_)), "{error}");
        assert!(error.to_string().contains(words), "{error}");
    }
    assert_eq!(bare.rpc().get_transaction_count(key(0).address()).await.unwrap(), 0);
}

#[tokio::test]
async fn what_is_on_the_chain_and_was_not_asked_for_is_named() {
    let bare = Bare::start(ELSEWHERE, &[]).await;
    let config = bare.config(ELSEWHERE);
    deploy(&config, key(0)).await.unwrap();
    let mut other = config.clone();
    other.allocations[0].to = key(1).address();
    other.response_window_seconds = 700;
    other.listings[0].t0_cap = Amount(7);
    let text = deploy(&other, key(0)).await.unwrap_err().to_string();
    let planned = format!("the OPEN minted to {} in base units is 0, not", key(1).address());
    for words in [
        planned.as_str(),
        "responseWindowSeconds is 600, not 700",
        "T0 cap of OPEN",
        "not 7",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
}

#[tokio::test]
async fn another_governance_lists_the_tokens_itself() {
    let bare = Bare::start(ELSEWHERE, &[]).await;
    let config = DeployConfig {
        governance: key(3).address(),
        ..bare.config(ELSEWHERE)
    };
    let network = deploy(&config, key(0)).await.unwrap();
    let calls = plan(&config).await.governance_calls().await.unwrap();
    assert_eq!(calls.len(), 1);
    let open = network.contracts.open_token;
    let client = ChainClient::connect(&network, None).await.unwrap();
    assert_eq!(client.token(open).await.unwrap().usd_rate, UsdRate(0));
    let request = alloy::rpc::types::TransactionRequest::default()
        .from(key(3).address())
        .to(calls[0].to)
        .input(calls[0].data.clone().into());
    let pending = bare.rpc().send_transaction(request).await.unwrap();
    assert!(pending.get_receipt().await.unwrap().status());
    assert_eq!(client.token(open).await.unwrap().usd_rate, config.listings[0].usd_rate);
    assert!(plan(&config).await.governance_calls().await.unwrap().is_empty());
    deploy(&config, key(0)).await.unwrap();
}
