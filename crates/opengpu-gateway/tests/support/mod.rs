//! A gateway on a free port, a chain whose every block the test decides, and the people who use them.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::expect_used)]

pub mod chain;
pub mod people;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use opengpu_chain::{Contracts, Network, TokenInfo};
use opengpu_core::Address;
use opengpu_core::ids::{ChainId, JobId};
use opengpu_core::order::Domain;
use opengpu_core::sign::SecretKey;
use opengpu_core::wire::{JobEvent, JobEventBody, Page, Posted, Problem, RELAY_HEADER, relay_digest};
use opengpu_gateway::{BoundGateway, GatewayConfig, Patience, Quotas, serve_on};
use reqwest::{Method, Response, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio_util::sync::CancellationToken;

use chain::FakeChain;

pub const PATIENCE: Patience = Patience {
    silence_seconds: 30,
    settle_seconds: 120,
    close_seconds: 600,
    look_seconds: 1,
};

pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

pub fn network() -> Network {
    Network {
        name: "test".to_owned(),
        rpc_url: "http://127.0.0.1:9".to_owned(),
        chain_id: ChainId::LOCAL,
        contracts: Contracts {
            cloudverse: Address::repeat_byte(0xc1),
            node_registry: Address::repeat_byte(0xc2),
            open_token: Address::repeat_byte(0xc3),
            tokens: vec![TokenInfo {
                symbol: "USDC".to_owned(),
                address: Address::repeat_byte(0xc4),
                decimals: 6,
            }],
            staking: None,
            incentives: None,
            deployer: None,
        },
        deployed_at_block: 1,
    }
}

/// A running gateway.
pub struct Gateway {
    pub chain: Arc<FakeChain>,
    pub http: reqwest::Client,
    pub url: String,
    pub dir: PathBuf,
    pub domain: Domain,
    shutdown: CancellationToken,
    bound: Option<BoundGateway>,
    folder: Option<tempfile::TempDir>,
}

impl Gateway {
    pub async fn start() -> Self {
        Self::start_with(Quotas::default()).await
    }

    pub async fn start_with(quotas: Quotas) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut gateway = Self::start_in(folder.path().to_path_buf(), Arc::new(FakeChain::new()), quotas).await;
        gateway.folder = Some(folder);
        gateway
    }

    /// Starts in a folder of the caller's.
    pub async fn start_at(dir: PathBuf) -> Self {
        Self::start_in(dir, Arc::new(FakeChain::new()), Quotas::default()).await
    }

    async fn start_in(dir: PathBuf, chain: Arc<FakeChain>, quotas: Quotas) -> Self {
        // One provider is named, because a test's tree holds two.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let shutdown = CancellationToken::new();
        let config = GatewayConfig {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            data_dir: dir.clone(),
            network: network(),
            agent_key: people::agent(),
            quotas,
            patience: PATIENCE,
        };
        let bound = serve_on(config, chain.clone(), shutdown.clone()).await.unwrap();
        let gateway = Self {
            chain,
            http: reqwest::Client::new(),
            url: bound.url(),
            dir,
            domain: network().domain(),
            shutdown,
            bound: Some(bound),
            folder: None,
        };
        gateway.until_ready().await;
        gateway
    }

    /// Stops and starts again in the same folder.
    pub async fn restart(self) -> Self {
        self.restart_after(|| {}).await
    }

    /// Stops, lets something happen, and starts again in the same folder.
    pub async fn restart_after(mut self, meanwhile: impl FnOnce()) -> Self {
        let folder = self.folder.take();
        let (dir, chain) = (self.dir.clone(), self.chain.clone());
        self.stop().await;
        meanwhile();
        let mut again = Self::start_in(dir, chain, Quotas::default()).await;
        again.folder = folder;
        again
    }

    pub async fn stop(mut self) {
        self.shutdown.cancel();
        self.bound.take().unwrap().stopped().await;
    }

    pub async fn until_ready(&self) {
        eventually("the gateway is ready", || async {
            let response = self.http.get(format!("{}/readyz", self.url)).send().await.ok()?;
            response.status().is_success().then_some(())
        })
        .await;
    }

    /// Mines and waits until the gateway has read it.
    pub async fn mine(&self, facts: Vec<(JobId, opengpu_gateway::projector::Change)>) -> u64 {
        let block = self.chain.mine(facts);
        self.until_block(block).await;
        block
    }

    pub async fn until_block(&self, block: u64) {
        eventually("the block is read", || async {
            let info: serde_json::Value = self.get("/v1/info").await;
            (info["block"].as_u64()? >= block).then_some(())
        })
        .await;
    }

    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> T {
        let response = self.http.get(format!("{}{path}", self.url)).send().await.unwrap();
        let status = response.status();
        let text = response.text().await.unwrap();
        assert!(status.is_success(), "GET {path}: {status} {text}");
        serde_json::from_str(&text).unwrap()
    }

    pub async fn get_problem(&self, path: &str) -> Problem {
        problem(self.http.get(format!("{}{path}", self.url)).send().await.unwrap()).await
    }

    pub async fn post<T: Serialize>(&self, path: &str, body: &T) -> Response {
        self.send(path, serde_json::to_vec(body).unwrap(), None).await
    }

    pub async fn post_as<T: Serialize>(&self, key: &SecretKey, path: &str, body: &T) -> Response {
        self.send(path, serde_json::to_vec(body).unwrap(), Some(key)).await
    }

    /// Sends bytes, with the relay header when a key is given.
    pub async fn send(&self, path: &str, body: Vec<u8>, key: Option<&SecretKey>) -> Response {
        let mut request = self.http.request(Method::POST, format!("{}{path}", self.url));
        if let Some(key) = key {
            let signature = key.sign(relay_digest(self.domain, "POST", path, &body));
            request = request.header(RELAY_HEADER, signature.to_string());
        }
        request.body(body).send().await.unwrap()
    }

    /// Uploads a CAR, whose header signs no body.
    pub async fn upload(&self, key: &SecretKey, job: JobId, root: &str, car: Vec<u8>) -> Response {
        let path = format!("/v1/jobs/{job}/artifacts?root={root}");
        let signature = key.sign(relay_digest(self.domain, "POST", &path, b""));
        let request = self.http.post(format!("{}{path}", self.url));
        request
            .header(RELAY_HEADER, signature.to_string())
            .body(car)
            .send()
            .await
            .unwrap()
    }

    pub async fn events(&self, job: JobId) -> Vec<JobEvent> {
        self.get::<Page<JobEvent>>(&format!("/v1/jobs/{job}/events"))
            .await
            .items
    }

    /// The first event of a job that `wanted` takes, waiting for it.
    pub async fn event<T>(&self, job: JobId, wanted: impl Fn(&JobEventBody) -> Option<T>) -> T {
        eventually("the event comes", || async {
            self.events(job).await.iter().find_map(|event| wanted(&event.body))
        })
        .await
    }
}

/// Asserts that a post was taken.
pub async fn taken(response: Response) -> Posted {
    let status = response.status();
    let text = response.text().await.unwrap();
    assert_eq!(status, StatusCode::OK, "{text}");
    serde_json::from_str(&text).unwrap()
}

/// A refusal, in its right form.
pub async fn problem(response: Response) -> Problem {
    let status = response.status();
    let media_type = response.headers().get("content-type").cloned();
    let text = response.text().await.unwrap();
    assert!(!status.is_success(), "{status} {text}");
    assert_eq!(media_type.unwrap(), "application/problem+json", "{text}");
    let problem: Problem = serde_json::from_str(&text).unwrap();
    assert_eq!(problem.status, status.as_u16());
    problem
}

/// The stable end of a problem's code.
pub fn code(problem: &Problem) -> &str {
    problem.kind.strip_prefix("urn:opengpu:problem:").unwrap()
}

/// Looks again and again, at most 20 s, until `look` finds something.
pub async fn eventually<T, F: Future<Output = Option<T>>>(what: &str, mut look: impl FnMut() -> F) -> T {
    let looking = async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), looking)
        .await
        .unwrap_or_else(|_| panic!("never happened: {what}"))
}
