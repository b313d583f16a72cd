//! Starting a gateway, and stopping it.

use std::fs::{self, File, TryLockError};
use std::future::IntoFuture as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use opengpu_chain::error::ChainError;
use opengpu_store::{BlockStore, StoreError, collect_garbage};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::agent::{Agent, keep_watch};
use crate::app::{App, Sync, Uploads};
use crate::clock::Clock;
use crate::config::GatewayConfig;
use crate::db::{Db, DbError};
use crate::hub::Hub;
use crate::indexer::read_chain;
use crate::live::LiveChain;
use crate::logs::Logs;
use crate::ports::Chain;
use crate::routes::router;

/// How often a deleted database is looked for while nobody asks for anything.
const HEAL_EVERY: Duration = Duration::from_secs(1);
/// How often what nobody needs is swept.
const SWEEP_EVERY: Duration = Duration::from_secs(600);
/// An order that expired unmatched is kept this long for whoever still reads its stream, seconds.
const DEAD_ORDER_SECONDS: u64 = 3600;
/// Blocks nobody pinned are kept this long: longer than any upload takes.
const UNPINNED_FOR: Duration = Duration::from_secs(6 * 3600);
/// Connections still busy so long after a stop are cut.
const STOP_WITHIN: Duration = Duration::from_secs(10);

/// Why a gateway did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The address is taken, or not this machine's. The user must choose another.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// What was asked for.
        address: SocketAddr,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A folder cannot be made or used. The user must fix it.
    #[error("{}: {source}", path.display())]
    Folder {
        /// Which.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// Another gateway uses the folder.
    #[error("another gateway runs in {}", path.display())]
    InUse {
        /// The folder.
        path: PathBuf,
    },
    /// The database cannot be opened or begun.
    #[error(transparent)]
    Db(#[from] DbError),
    /// The block store cannot be opened.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The chain does not answer, is another one, or lacks the contracts.
    #[error(transparent)]
    Chain(#[from] ChainError),
}

/// A gateway that listens.
#[derive(Debug)]
pub struct BoundGateway {
    address: SocketAddr,
    running: JoinHandle<()>,
}

impl BoundGateway {
    /// Where it listens; the real port when 0 was asked for.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its base URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Waits until it has stopped, which it does when its token is cancelled.
    pub async fn stopped(self) {
        if let Err(error) = self.running.await {
            tracing::error!(%error, "the gateway ended badly");
        }
    }
}

/// Starts a gateway on a network; it listens when this returns and stops when `shutdown` is cancelled.
///
/// # Errors
/// [`ServeError`]: one line for the user.
pub async fn serve(config: GatewayConfig, shutdown: CancellationToken) -> Result<BoundGateway, ServeError> {
    let chain = LiveChain::connect(&config.network, config.agent_key.clone()).await?;
    serve_on(config, Arc::new(chain), shutdown).await
}

/// Starts a gateway on whatever fulfils [`Chain`].
///
/// # Errors
/// As [`serve`], but for the chain.
pub async fn serve_on(
    config: GatewayConfig,
    chain: Arc<dyn Chain>,
    shutdown: CancellationToken,
) -> Result<BoundGateway, ServeError> {
    let lock = lock_folder(&config.data_dir)?;
    let asked = config.listen;
    let cannot_listen = |source| ServeError::Listen { address: asked, source };
    let listener = TcpListener::bind(asked).await.map_err(cannot_listen)?;
    let address = listener.local_addr().map_err(cannot_listen)?;
    let app = open(config, chain, shutdown).await?;
    tracing::info!(%address, agent = %app.agent.address(), "the gateway listens");
    let running = tokio::spawn(async move {
        run(app, listener).await;
        drop(lock);
    });
    Ok(BoundGateway { address, running })
}

fn folder_error(path: &Path) -> impl FnOnce(std::io::Error) -> ServeError {
    let path = path.to_path_buf();
    move |source| ServeError::Folder { path, source }
}

/// Two agents with one journal could contradict each other.
fn lock_folder(dir: &Path) -> Result<File, ServeError> {
    fs::create_dir_all(dir).map_err(folder_error(dir))?;
    let path = dir.join("gateway.lock");
    let file = File::create(&path).map_err(folder_error(&path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(ServeError::InUse {
            path: dir.to_path_buf(),
        }),
        Err(TryLockError::Error(source)) => Err(ServeError::Folder { path, source }),
    }
}

async fn open(
    config: GatewayConfig,
    chain: Arc<dyn Chain>,
    shutdown: CancellationToken,
) -> Result<Arc<App>, ServeError> {
    let dir = &config.data_dir;
    let (logs_dir, agent_dir) = (dir.join("logs"), dir.join("agent"));
    let logs = Logs::open(logs_dir.clone(), config.quotas.log_bytes).map_err(folder_error(&logs_dir))?;
    let agent = Agent::new(config.agent_key.clone(), agent_dir.clone()).map_err(folder_error(&agent_dir))?;
    let (sync, _) = watch::channel(Sync::default());
    Ok(Arc::new(App {
        domain: config.network.domain(),
        clock: Clock::new(config.network.chain_id),
        db: Db::open(dir.join("gateway.db")).await?,
        hub: Hub::new(shutdown.clone()),
        store: BlockStore::open(dir.join("blocks"))?,
        logs,
        chain,
        agent,
        sync,
        uploads: Uploads::default(),
        tasks: TaskTracker::new(),
        shutdown,
        config,
    }))
}

async fn run(app: Arc<App>, listener: TcpListener) {
    let background = TaskTracker::new();
    background.spawn(read_chain(Arc::clone(&app)));
    background.spawn(keep_watch(Arc::clone(&app)));
    background.spawn(keep_house(Arc::clone(&app)));
    background.close();
    let shutdown = app.shutdown.clone();
    let serving = axum::serve(listener, router(Arc::clone(&app)))
        .with_graceful_shutdown(shutdown.clone().cancelled_owned())
        .into_future();
    let cut = async {
        shutdown.cancelled().await;
        tokio::time::sleep(STOP_WITHIN).await;
    };
    tokio::select! {
        served = serving => if let Err(error) = served {
            tracing::error!(%error, "serving broke off");
        },
        () = cut => tracing::warn!("some connections were cut"),
    }
    shutdown.cancel();
    app.tasks.close();
    app.tasks.wait().await;
    background.wait().await;
}

async fn keep_house(app: Arc<App>) {
    let mut heal = tokio::time::interval(HEAL_EVERY);
    let mut sweep = tokio::time::interval(SWEEP_EVERY);
    loop {
        tokio::select! {
            _ = heal.tick() => if let Err(error) = app.db.heal().await {
                tracing::error!(%error, "the database cannot be begun anew");
            },
            _ = sweep.tick() => sweep_all(&app).await,
            () = app.shutdown.cancelled() => return,
        }
    }
}

async fn sweep_all(app: &App) {
    let before = app.clock.now_seconds().saturating_sub(DEAD_ORDER_SECONDS);
    let block = app.sync.borrow().block;
    // While the chain is being read, orders of jobs on chain look dead.
    if app.is_index_complete() {
        let swept = async {
            app.db.sweep_orders(before).await?;
            app.db.sweep_versions(block).await
        };
        if let Err(error) = swept.await {
            tracing::error!(%error, "cannot sweep the database");
        }
    }
    let store = app.store.clone();
    let collected = tokio::task::spawn_blocking(move || {
        let written_before = SystemTime::now()
            .checked_sub(UNPINNED_FOR)
            .unwrap_or(SystemTime::UNIX_EPOCH);
        collect_garbage(&store, written_before)
    });
    match collected.await {
        Ok(Ok(collected)) if collected.files > 0 => tracing::info!(?collected, "blocks nobody needs were removed"),
        Ok(Ok(_)) => {}
        Ok(Err(error)) => tracing::error!(%error, "cannot collect garbage"),
        Err(error) => tracing::error!(%error, "cannot collect garbage"),
    }
}
