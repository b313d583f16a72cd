//! Opening everything a node works with, and running it until it is told to stop.

use std::fs::{File, OpenOptions};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use nix::fcntl::{Flock, FlockArg};
use opengpu_chain::client::ChainClient;
use opengpu_store::BlockStore;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::artifacts::Depot;
use crate::bidder::{Bidder, Ledger};
use crate::clock::Clock;
use crate::config::{NodeConfig, RuntimeChoice};
use crate::daemon::{Daemon, Shared, load_cursor};
use crate::gateway::HttpGateway;
use crate::journal::Journal;
use crate::market::{Market, MarketFeed};
use crate::ports::{Chain, ChainFeed, Gateway};
use crate::reactor::Rules;
use crate::runtime::{DockerRuntime, EmbeddedRuntime, HelperProgram, Runtime, RuntimeError, choose_runtime};
use crate::server::{self, Health};

/// Why a node cannot start, or had to end.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// The data folder is used by another daemon. Stop that one, or name another folder.
    #[error("another daemon works in {}", path.display())]
    Busy {
        /// The folder.
        path: PathBuf,
    },
    /// A file, folder or port cannot be used. User must fix.
    #[error("cannot use {what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The journal cannot be read.
    #[error(transparent)]
    Journal(#[from] crate::journal::JournalError),
    /// The block store cannot be opened.
    #[error(transparent)]
    Store(#[from] opengpu_store::StoreError),
    /// No container engine can work here.
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
    /// The chain cannot be used.
    #[error(transparent)]
    Chain(#[from] opengpu_chain::error::ChainError),
    /// A gateway's URL cannot be used.
    #[error(transparent)]
    Gateway(#[from] crate::ports::GatewayFault),
}

/// A node that listens and works.
#[derive(Debug)]
pub struct BoundNode {
    /// Where its HTTP server listens.
    pub address: SocketAddr,
    finished: tokio::task::JoinHandle<()>,
}

impl BoundNode {
    /// Waits until it was told to stop and has stopped. Containers go on under their shims.
    pub async fn finished(self) {
        if let Err(error) = self.finished.await {
            tracing::error!(%error, "the daemon ended badly");
        }
    }
}

/// Starts a node and returns once it listens; it works until `shutdown`.
///
/// # Errors
/// [`NodeError`] when something it needs cannot be had. An unreachable gateway is none of these: it may come.
pub async fn run(config: NodeConfig, shutdown: CancellationToken) -> Result<BoundNode, NodeError> {
    let client = ChainClient::connect(&config.network, Some(config.operator_key.clone())).await?;
    let response_window_seconds = client.response_window_seconds().await?;
    let operator = config.operator_key.address();
    let domain = config.network.domain();
    let gateways: Result<Vec<Arc<dyn Gateway>>, _> = config
        .gateways
        .iter()
        .map(|url| {
            let gateway = HttpGateway::new(url.clone(), domain, config.operator_key.clone())?;
            Ok::<Arc<dyn Gateway>, NodeError>(Arc::new(gateway))
        })
        .collect();
    let cursor = load_cursor(&cursor_file(&config.data_dir));
    let world = World {
        runtime: open_runtime(config.runtime, &config.data_dir).await?,
        chain: Arc::new(Market::new(
            client.clone(),
            config.node_id,
            operator,
            Duration::from_secs(u64::from(config.timing.settle_gather_seconds)),
        )),
        feed: Box::new(MarketFeed::new(client, cursor)),
        gateways: gateways?,
        response_window_millis: response_window_seconds * 1000,
    };
    start(config, world, shutdown).await
}

/// What a node works with besides its own files.
pub(crate) struct World {
    pub(crate) runtime: Arc<dyn Runtime>,
    pub(crate) chain: Arc<dyn Chain>,
    pub(crate) feed: Box<dyn ChainFeed>,
    pub(crate) gateways: Vec<Arc<dyn Gateway>>,
    pub(crate) response_window_millis: u64,
}

/// Starts a node in a given world.
pub(crate) async fn start(
    config: NodeConfig,
    world: World,
    shutdown: CancellationToken,
) -> Result<BoundNode, NodeError> {
    let dir = config.data_dir.clone();
    let jobs_dir = dir.join("jobs");
    std::fs::create_dir_all(&jobs_dir).map_err(io_error(jobs_dir.display().to_string()))?;
    let lock = lock_folder(&dir)?;
    let store = BlockStore::open(dir.join("store"))?;
    let listener = TcpListener::bind(config.listen)
        .await
        .map_err(io_error(config.listen.to_string()))?;
    let address = listener.local_addr().map_err(io_error(config.listen.to_string()))?;
    let health = Health {
        status: "ok",
        node: config.node_id.to_string(),
        runtime: world.runtime.name(),
        block: 0,
        jobs: 0,
    };
    let (health_sender, health) = watch::channel(health);
    let shared = Arc::new(share(&config, &world, Depot::new(store.clone()), shutdown.clone())?);
    let daemon = Daemon::new(shared, Ledger::new(config.capacity), health_sender)?;
    let finished = tokio::spawn(async move {
        let served = tokio::spawn(server::serve(listener, store, health, shutdown.clone()));
        daemon.run(world.feed).await;
        // A download that is under way may take as long as it likes; a stopping daemon does not wait for it.
        served.abort();
        drop(lock);
    });
    Ok(BoundNode { address, finished })
}

fn share(config: &NodeConfig, world: &World, depot: Depot, shutdown: CancellationToken) -> Result<Shared, NodeError> {
    let domain = config.network.domain();
    Ok(Shared {
        rules: Rules {
            domain,
            node: config.node_id,
            key: config.operator_key.clone(),
            gpus: config.gpus.clone(),
            confirmations: config.timing.confirmations,
            approval_grace_millis: config.timing.approval_grace_seconds * 1000,
            response_window_millis: world.response_window_millis,
            collect_above_usd_micros: config.collect_above_usd_micros,
        },
        bidder: Bidder {
            domain,
            node: config.node_id,
            key: config.operator_key.clone(),
            prices: config.prices,
            ready_within_seconds: config.timing.ready_within_seconds,
        },
        clock: Clock::new(),
        journal: Journal::open(config.data_dir.join("journal"))?,
        depot,
        runtime: world.runtime.clone(),
        chain: world.chain.clone(),
        gateways: world.gateways.clone(),
        jobs_dir: config.data_dir.join("jobs"),
        cursor_file: cursor_file(&config.data_dir),
        cursor_lock: Arc::default(),
        shutdown,
    })
}

async fn open_runtime(choice: RuntimeChoice, dir: &Path) -> Result<Arc<dyn Runtime>, NodeError> {
    let state = dir.join("runtime");
    Ok(match choice {
        RuntimeChoice::Auto => choose_runtime(&state).await?,
        RuntimeChoice::Embedded => Arc::new(EmbeddedRuntime::open(&state, HelperProgram::this_program())?),
        RuntimeChoice::Docker => Arc::new(DockerRuntime::connect(&state).await?),
    })
}

fn cursor_file(dir: &Path) -> PathBuf {
    dir.join("cursor.json")
}

/// Two daemons in one folder would both answer for the same jobs. The lock goes with the process, however it ends.
fn lock_folder(dir: &Path) -> Result<Flock<File>, NodeError> {
    let path = dir.join("lock");
    let file = OpenOptions::new()
        .create(true)
        .append(true)
        .open(&path)
        .map_err(io_error(path.display().to_string()))?;
    Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|_| NodeError::Busy {
        path: dir.to_path_buf(),
    })
}

fn io_error(what: String) -> impl FnOnce(std::io::Error) -> NodeError {
    move |source| NodeError::Io { what, source }
}
