//! The gateway on a real chain node with the real contracts: a job from order to settlement, through the loss of the
//! gateway's database; and a node that falls silent.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "support/mod.rs"]
mod support;

use opengpu_chain::devnet::{Devnet, DevnetConfig, dev_key};
use opengpu_chain::{ChainClient, DeployConfig, Network, deploy};
use opengpu_core::ids::{JobId, NodeId, Sha256Digest};
use opengpu_core::job::JobState;
use opengpu_core::money::Amount;
use opengpu_core::order::Domain;
use opengpu_core::sign::SecretKey;
use opengpu_core::wire::{JobEvent, JobEventBody, Page, RELAY_HEADER, SignedOrder, SignedVoucher, relay_digest};
use opengpu_gateway::{BoundGateway, GatewayConfig, JobView, Patience, Quotas, serve};
use opengpu_store::dag::Scope;
use opengpu_store::{BlockStore, CarFrames, Cid, import_bytes};
use support::{eventually, now, people, problem, taken};
use tokio_util::sync::CancellationToken;

/// Deposited for each test: USDC has 6 digits.
const CREDITS: Amount = Amount(5_000_000);

struct World {
    // Dropped last to first: the chain outlives the gateway.
    gateway: BoundGateway,
    shutdown: CancellationToken,
    dir: tempfile::TempDir,
    network: Network,
    payer: ChainClient,
    node: NodeId,
    http: reqwest::Client,
    _devnet: Devnet,
}

/// The operator of `people` signs; on chain it needs no gas, because others send.
async fn world(patience: Patience) -> World {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let devnet = Devnet::start(&DevnetConfig::ephemeral().unwrap()).await.unwrap();
    let network = deploy(&DeployConfig::local(devnet.rpc_url()), dev_key(0).unwrap())
        .await
        .unwrap();
    let client = |index| async move { dev_key(index).unwrap() };
    let owner = ChainClient::connect(&network, Some(client(2).await)).await.unwrap();
    let operator = people::operator().address();
    let (node, _) = owner
        .register_node(operator, Sha256Digest::of(b"cpu"), "none")
        .await
        .unwrap();
    owner.set_list_price(node, 1_000_000).await.unwrap();
    let payer = ChainClient::connect(&network, Some(client(1).await)).await.unwrap();
    let token = network.token("USDC").unwrap().address;
    payer
        .mint_test_stablecoin(token, payer.account().unwrap(), CREDITS)
        .await
        .unwrap();
    payer.deposit(token, CREDITS).await.unwrap();

    let dir = tempfile::tempdir().unwrap();
    let shutdown = CancellationToken::new();
    let config = GatewayConfig {
        listen: "127.0.0.1:0".parse().unwrap(),
        data_dir: dir.path().to_path_buf(),
        network: network.clone(),
        agent_key: dev_key(4).unwrap(),
        quotas: Quotas::default(),
        patience,
    };
    let gateway = serve(config, shutdown.clone()).await.unwrap();
    let http = reqwest::Client::new();
    eventually("the gateway is ready", || async {
        let ready = http.get(format!("{}/readyz", gateway.url())).send().await.ok()?;
        ready.status().is_success().then_some(())
    })
    .await;
    World {
        gateway,
        shutdown,
        dir,
        network,
        payer,
        node,
        http,
        _devnet: devnet,
    }
}

impl World {
    fn domain(&self) -> Domain {
        self.network.domain()
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.gateway.url())
    }

    async fn post<T: serde::Serialize>(&self, path: &str, body: &T) -> reqwest::Response {
        self.http
            .post(self.url(path))
            .body(serde_json::to_vec(body).unwrap())
            .send()
            .await
            .unwrap()
    }

    async fn view(&self, job: JobId) -> JobView {
        let response = self
            .http
            .get(self.url(&format!("/v1/jobs/{job}")))
            .send()
            .await
            .unwrap();
        let text = response.text().await.unwrap();
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    async fn until_state(&self, job: JobId, state: JobState) -> JobView {
        eventually(&format!("{job} is {state:?}"), || async {
            let text = self
                .http
                .get(self.url(&format!("/v1/jobs/{job}")))
                .send()
                .await
                .ok()?
                .text()
                .await
                .ok()?;
            serde_json::from_str::<JobView>(&text)
                .ok()
                .filter(|view| view.state == state)
        })
        .await
    }

    async fn event<T>(&self, job: JobId, wanted: impl Fn(&JobEventBody) -> Option<T>) -> T {
        eventually("the event comes", || async {
            let url = self.url(&format!("/v1/jobs/{job}/events"));
            let page: Page<JobEvent> = self.http.get(url).send().await.ok()?.json().await.ok()?;
            page.items.iter().find_map(|event| wanted(&event.body))
        })
        .await
    }

    async fn upload(&self, key: &SecretKey, job: JobId, root: &Cid, car: Vec<u8>) {
        let path = format!("/v1/jobs/{job}/artifacts?root={root}");
        let signature = key.sign(relay_digest(self.domain(), "POST", &path, b""));
        let request = self
            .http
            .post(self.url(&path))
            .header(RELAY_HEADER, signature.to_string());
        taken(request.body(car).send().await.unwrap()).await;
    }

    /// Orders, bids and matches a job on chain.
    async fn matched(&self) -> (JobId, SignedOrder) {
        let token = self.network.token("USDC").unwrap().address;
        let mut order = people::order_that(self.domain(), token, now(), |order| {
            order.payer = self.payer.account().unwrap();
            order.signer = dev_key(4).unwrap().address();
            order.ready_within_seconds = 600;
            order.max_attempts = 2;
        });
        use opengpu_core::order::Signable as _;
        order.signature = order.order.sign(self.domain(), &dev_key(1).unwrap()).0.to_vec().into();
        let id = taken(self.post("/v1/orders", &order).await).await.job_id;
        let bid = people::bid(self.domain(), id, self.node, &people::operator());
        taken(self.post(&format!("/v1/jobs/{id}/bids"), &bid).await).await;
        self.payer
            .match_order(&order.order, &order.signature, &bid)
            .await
            .unwrap();
        self.until_state(id, JobState::Matched).await;
        (id, order)
    }

    async fn co_signed(&self, job: JobId, seq: u32, millis: u64, previous: Option<SignedVoucher>) -> SignedVoucher {
        let mut voucher = people::voucher(job, seq, millis);
        voucher.signed_at = self.payer.now().await.unwrap().max(now());
        let proposal = people::propose(self.domain(), voucher, previous);
        taken(self.post(&format!("/v1/jobs/{job}/vouchers"), &proposal).await).await;
        self.event(job, |body| match body {
            JobEventBody::VoucherSigned(signed) if signed.voucher.seq == seq => Some(signed.clone()),
            JobEventBody::Refused(refusal) => panic!("{refusal:?}"),
            _ => None,
        })
        .await
    }

    async fn stop(self) {
        self.shutdown.cancel();
        self.gateway.stopped().await;
    }
}

fn car_of(bytes: &[u8]) -> (Cid, Vec<u8>) {
    let dir = tempfile::tempdir().unwrap();
    let store = BlockStore::open(dir.path()).unwrap();
    let root = import_bytes(&store, bytes).unwrap().cid;
    let frames = CarFrames::new(&store, &root, Scope::All).unwrap();
    (root, frames.flat_map(|frame| frame.unwrap().to_vec()).collect())
}

#[tokio::test]
async fn a_job_settles_on_chain_though_the_database_was_deleted_in_its_middle() {
    let world = world(Patience::default()).await;
    let (id, order) = world.matched().await;
    let first = world.co_signed(id, 1, 5000, None).await;

    std::fs::remove_file(world.dir.path().join("gateway.db")).unwrap();
    // The chain's part comes back by itself, the bulletin's from the node.
    let refused = eventually("the gateway has read the chain again", || async {
        let voucher = people::voucher(id, 2, 5500);
        let proposal = people::propose(world.domain(), voucher, Some(first.clone()));
        let refused = problem(world.post(&format!("/v1/jobs/{id}/vouchers"), &proposal).await).await;
        (support::code(&refused) == "unknown-job").then_some(refused)
    })
    .await;
    assert!(refused.detail.contains("/v1/orders"), "{}", refused.detail);
    world.until_state(id, JobState::Matched).await;
    taken(world.post("/v1/orders", &order).await).await;
    let second = world.co_signed(id, 2, 5500, Some(first)).await;

    let terms = world.view(id).await.terms.unwrap();
    let (output, output_car) = car_of(b"picture");
    let (logs, logs_car) = car_of(b"done");
    let operator = people::operator();
    world.upload(&operator, id, &output, output_car).await;
    world.upload(&operator, id, &logs, logs_car).await;
    let proposal = people::Run {
        domain: world.domain(),
        order: &order,
        terms: &terms,
        owner: dev_key(2).unwrap().address(),
        symbol: "USDC",
        decimals: 6,
        output: &output.to_string(),
        logs: (&logs.to_string(), 4),
        by: &operator,
    }
    .propose(Some(second));
    taken(world.post(&format!("/v1/jobs/{id}/results"), &proposal).await).await;
    let approved = world
        .event(id, |body| match body {
            JobEventBody::ResultApproved(approved) => Some(approved.clone()),
            JobEventBody::Refused(refusal) if !refusal.is_retryable => panic!("{refusal:?}"),
            _ => None,
        })
        .await;
    // The contract lets no result bill more than the chain's time since the match, to the second.
    advance(&world, 2).await;
    let (record, _) = world.payer.job_record(id).await.unwrap().unwrap();
    world
        .payer
        .settle(&record.terms, &record.progress, &approved)
        .await
        .unwrap();

    let view = world.until_state(id, JobState::Settled).await;
    assert_eq!(view.moved.paid().0 + view.moved.refunded.0, view.locked.0);
    assert_eq!(view.settlement.unwrap().receipt_digest, proposal.result.receipt_digest);
    let token = world.network.token("USDC").unwrap().address;
    let left = world
        .payer
        .credits(world.payer.account().unwrap(), token)
        .await
        .unwrap();
    assert_eq!(left.0, CREDITS.0 - view.moved.paid().0);
    world.stop().await;
}

#[tokio::test]
async fn the_payer_gets_its_refund_by_the_agent_alone_when_a_node_falls_silent() {
    let impatient = Patience {
        silence_seconds: 1,
        settle_seconds: 1,
        close_seconds: 1,
        look_seconds: 1,
    };
    let world = world(impatient).await;
    let (id, _) = world.matched().await;
    world.co_signed(id, 1, 5000, None).await;
    // Three voucher intervals of silence, then the local response window: the chain's time is moved instead of waiting.
    advance(&world, 16).await;
    world.until_state(id, JobState::Reported).await;
    advance(&world, 20).await;
    let view = world.until_state(id, JobState::Settled).await;
    assert_eq!(view.moved.paid().0 + view.moved.refunded.0, view.locked.0);
    assert!(view.moved.paid().0 > 0 && view.moved.refunded.0 > 0, "{view:?}");
    world.stop().await;
}

/// Moves the chain's time.
async fn advance(world: &World, seconds: u64) {
    for (method, params) in [
        ("evm_increaseTime", serde_json::json!([seconds])),
        ("evm_mine", serde_json::json!([])),
    ] {
        let call = serde_json::json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        let answer = world
            .http
            .post(&world.network.rpc_url)
            .json(&call)
            .send()
            .await
            .unwrap();
        let answer: serde_json::Value = answer.json().await.unwrap();
        assert!(answer.get("error").is_none(), "{answer}");
    }
}
