//! A local chain: the real `anvil`, kept so that no kill loses more than its last second.
//!
//! Anvil can dump its state to a file by itself, but it truncates the file and fills it bit by bit: killed in between, the chain is gone
//! (`--state-interval`, seen with anvil 1.7.1). So anvil runs as the child of a small keeper, which asks for the state once a second and
//! puts it on disk whole: new file, fsync, rename. Killed in any way, either process leaves a complete copy. What the chain did
//! since that copy is forgotten, which followers see as a reorganisation and repair by sending again.
//!
//! [`keep`] is what the chain process of a local network runs; [`Devnet`] is one life of anvil, for tests.

mod copies;
mod find;
mod process;

use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use alloy::providers::{DynProvider, Provider, ProviderBuilder};
use alloy::transports::http::reqwest::Url;
use opengpu_core::ids::ChainId;
use opengpu_core::sign::SecretKey;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{Instant, interval, timeout};

use copies::Copies;
pub use find::{ANVIL_VARIABLE, find_anvil};
use process::Process;

/// How long anvil may take until it answers. It needs 0.2 s empty and some seconds for a chain of days.
const READY_WITHIN: Duration = Duration::from_secs(60);
/// How often a starting anvil is asked whether it is there.
const READY_POLL: Duration = Duration::from_millis(20);

/// Why a local chain does not run.
#[derive(Debug, thiserror::Error)]
pub enum DevnetError {
    /// No program called anvil was found.
    #[error("anvil is not installed; looked in {looked_in}")]
    AnvilMissing {
        /// The places, for people.
        looked_in: String,
    },
    /// Something else listens on the port.
    #[error("port {port} is in use")]
    PortInUse {
        /// The port.
        port: u16,
    },
    /// Anvil ended before it answered.
    #[error("anvil did not start: {reason}")]
    NotStarted {
        /// What it wrote to standard error, or how long we waited.
        reason: String,
    },
    /// No copy of the chain's state can be loaded. The files are left as they are.
    #[error("no copy of the chain in {folder} can be loaded: {reason}")]
    StateUnreadable {
        /// Where the copies are.
        folder: PathBuf,
        /// What anvil said about the last one tried.
        reason: String,
    },
    /// Reading or writing a copy failed.
    #[error("{path}: {source}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

/// How a local chain is to run.
#[derive(Debug, Clone)]
pub struct DevnetConfig {
    /// The program, see [`find_anvil`].
    pub anvil: PathBuf,
    /// TCP port on 127.0.0.1; 0 takes a free one.
    pub port: u16,
    /// Folder of the state's copies, made when missing; `None` keeps nothing.
    pub state: Option<PathBuf>,
    /// Seconds between blocks without transactions. A transaction gets its block at once.
    pub block_seconds: u64,
}

impl DevnetConfig {
    /// A chain on a free port that keeps nothing, with a block every second.
    ///
    /// # Errors
    /// [`DevnetError::AnvilMissing`].
    pub fn ephemeral() -> Result<Self, DevnetError> {
        Ok(Self {
            anvil: find_anvil()?,
            port: 0,
            state: None,
            block_seconds: 1,
        })
    }
}

/// A running anvil. Dropping it kills it; the newest copy of its state stays.
#[derive(Debug)]
pub struct Devnet {
    process: Process,
    provider: DynProvider,
    rpc_url: String,
    copies: Option<Copies>,
    keeper: Option<JoinHandle<()>>,
    /// Tells the keeper to finish its copy and end.
    stop_keeping: Arc<Notify>,
}

impl Devnet {
    /// Starts anvil from the newest copy that loads, and waits until it answers.
    ///
    /// # Errors
    /// [`DevnetError`].
    pub async fn start(config: &DevnetConfig) -> Result<Self, DevnetError> {
        let port = claim_port(config.port)?;
        let Some(folder) = &config.state else {
            return Self::start_from(config, port, None, None).await;
        };
        let copies = Copies::open(folder)?;
        let mut reason = String::new();
        for copy in copies.newest_first() {
            match Self::start_from(config, port, Some(copies.clone()), Some(&copy)).await {
                Err(DevnetError::NotStarted { reason: why }) => {
                    tracing::warn!(copy = %copy.display(), %why, "a copy of the chain does not load");
                    reason = why;
                }
                done => return done,
            }
        }
        if copies.newest_first().is_empty() {
            return Self::start_from(config, port, Some(copies), None).await;
        }
        Err(DevnetError::StateUnreadable {
            folder: folder.clone(),
            reason,
        })
    }

    async fn start_from(
        config: &DevnetConfig,
        port: u16,
        copies: Option<Copies>,
        load: Option<&std::path::Path>,
    ) -> Result<Self, DevnetError> {
        let mut process = Process::spawn(config, port, load).await?;
        let rpc_url = format!("http://127.0.0.1:{port}");
        let provider = connect(&rpc_url)?;
        wait_until_ready(&mut process, &provider).await?;
        let stop_keeping = Arc::new(Notify::new());
        let keeper = copies
            .clone()
            .map(|copies| tokio::spawn(copies::keep_copies(provider.clone(), copies, stop_keeping.clone())));
        Ok(Self {
            process,
            provider,
            rpc_url,
            copies,
            keeper,
            stop_keeping,
        })
    }

    /// Where it answers: `http://127.0.0.1:PORT`.
    #[must_use]
    pub fn rpc_url(&self) -> &str {
        &self.rpc_url
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.process.pid()
    }

    /// Returns once anvil has ended, however that came.
    pub async fn ended(&mut self) {
        self.process.ended().await;
    }

    /// Takes a last copy and ends anvil.
    ///
    /// # Errors
    /// [`DevnetError::Io`] when the copy cannot be written.
    pub async fn stop(mut self) -> Result<(), DevnetError> {
        if let Some(keeper) = self.keeper.take() {
            self.stop_keeping.notify_one();
            let _ = keeper.await;
        }
        if let Some(copies) = self.copies.take() {
            copies::take(&self.provider, &copies).await?;
        }
        self.process.kill().await;
        Ok(())
    }
}

impl Drop for Devnet {
    fn drop(&mut self) {
        if let Some(keeper) = self.keeper.take() {
            keeper.abort();
        }
    }
}

/// Runs a local chain until `shutdown` completes. An anvil that dies is started again from the newest copy, on the same port.
///
/// # Errors
/// [`DevnetError`] when anvil cannot be started (again).
pub async fn keep(mut config: DevnetConfig, shutdown: impl Future<Output = ()>) -> Result<(), DevnetError> {
    config.port = claim_port(config.port)?;
    tokio::pin!(shutdown);
    loop {
        let mut devnet = Devnet::start(&config).await?;
        tracing::info!(rpc = devnet.rpc_url(), pid = devnet.pid(), "local chain is ready");
        tokio::select! {
            () = &mut shutdown => return devnet.stop().await,
            () = devnet.ended() => tracing::warn!("anvil ended unexpectedly; starting it again from its newest copy"),
        }
    }
}

/// Secret keys of the accounts every anvil (and Hardhat) chain starts with, public since 2019: "test test test test test test test test
/// test test test junk", path m/44'/60'/0'/0/index. Worth nothing anywhere but on a local chain.
const DEV_KEYS: [&str; 10] = [
    "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80",
    "59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d",
    "5de4111afa1a4b94908f83103eb1f1706367c2e68ca870fc3fb9a804cdab365a",
    "7c852118294e51e653712a81e05800f419141751be58f605c371e15141b007a6",
    "47e179ec197488593b187f80a00eb0da91f1b9d0b13f8733639f19c30a34926a",
    "8b3a350cf5c34c9194ca85829a2df0ec3153be0318b5e2d3348e872092edffba",
    "92db14e403b83dfe3df233f83dfa3a0d7096f21ca9b0d6d6b8d88b2b4ec1564e",
    "4bbbf85ce3377467afe5d46f804f221813b2bb87f24d81f60f1fcdbf7cbf4356",
    "dbda1821b80551c9d65939329250298aa3472ba22feea921c0cf5d620ea67b97",
    "2a871d0798f97d79848a013d4936a73bf4cc922c825d33c1cf7073dff6d409c6",
];

/// The secret key of a local chain's account. On our local networks: 0 governance, deployer and treasury; 1 demo payer; 2 node owner and
/// payee; 3 node operator; 4 the gateway's payer agent. `None` from 10 on.
#[must_use]
pub fn dev_key(index: usize) -> Option<SecretKey> {
    use opengpu_core::B256;
    let bytes: B256 = DEV_KEYS.get(index)?.parse().ok()?;
    SecretKey::from_bytes(bytes.0).ok()
}

/// Makes sure nobody listens on `port`, or takes a free one for 0.
fn claim_port(port: u16) -> Result<u16, DevnetError> {
    TcpListener::bind(("127.0.0.1", port))
        .and_then(|listener| listener.local_addr())
        .map(|address| address.port())
        .map_err(|_| DevnetError::PortInUse { port })
}

fn connect(rpc_url: &str) -> Result<DynProvider, DevnetError> {
    let url: Url = rpc_url.parse().map_err(|error| DevnetError::NotStarted {
        reason: format!("{rpc_url}: {error}"),
    })?;
    Ok(ProviderBuilder::new()
        .disable_recommended_fillers()
        .connect_http(url)
        .erased())
}

async fn wait_until_ready(process: &mut Process, provider: &DynProvider) -> Result<(), DevnetError> {
    let deadline = Instant::now() + READY_WITHIN;
    let mut ticks = interval(READY_POLL);
    while Instant::now() < deadline {
        if let Ok(Ok(found)) = timeout(READY_WITHIN, provider.get_chain_id()).await
            && ChainId(found) == ChainId::LOCAL
        {
            return Ok(());
        }
        tokio::select! {
            () = process.ended() => return Err(DevnetError::NotStarted { reason: process.last_words().await }),
            _ = ticks.tick() => {}
        }
    }
    Err(DevnetError::NotStarted {
        reason: format!("no answer within {} s", READY_WITHIN.as_secs()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dev_keys_are_the_known_accounts() {
        assert_eq!(
            dev_key(0).unwrap().address().to_string(),
            "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"
        );
        assert_eq!(
            dev_key(9).unwrap().address().to_string(),
            "0xa0Ee7A142d267C1f36714E4a8F75612F20a79720"
        );
        assert!(dev_key(10).is_none());
    }

    #[test]
    fn a_port_in_use_is_named() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = taken.local_addr().unwrap().port();
        assert!(matches!(claim_port(port), Err(DevnetError::PortInUse { port: named }) if named == port));
    }
}
