//! The daemons' configuration files: what a person writes, or `opengpu up`.

use std::net::SocketAddr;
use std::path::PathBuf;

use opengpu_chain::Network;
use opengpu_chain::keys::KeyFiles;
use opengpu_core::ids::NodeId;
use opengpu_core::sign::SecretKey;
use opengpu_gateway::{GatewayConfig, Patience, Quotas};
use opengpu_node::bidder::{Capacity, PriceList};
use opengpu_node::config::{NodeConfig, RuntimeChoice, Timing};
use serde::{Deserialize, Serialize};

use crate::failure::{Failure, OrFail, Outcome};
use crate::network::{LocalNetwork, LocalState};
use crate::session::parse_url;

/// What a local node asks, millionths of a USD: a dollar and eighty cents for a core-hour, so that a job of some seconds on
/// two cores costs a visible cent, and one USDC of escrow comes back almost whole.
const LOCAL_PRICES: PriceList = PriceList {
    core_hour_usd_micros: 1_800_000,
    memory_gib_hour_usd_micros: 50_000,
    egress_gib_usd_micros: 10_000,
};
/// Memory a local node offers where the machine's cannot be read, bytes.
const FALLBACK_MEMORY_BYTES: u64 = 4 << 30;
/// Disk a local node offers, bytes: above any job on a developer's machine; a full disk is found out when it happens.
const LOCAL_DISK_BYTES: u64 = 64 << 30;

/// Half of the day that a job has after its time is up: a result that waits longer could come too late.
const MOST_GATHER_SECONDS: u32 = 12 * 3600;

/// `__chain --config FILE`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct ChainFile {
    /// On 127.0.0.1.
    pub(crate) port: u16,
    /// Folder of the state's copies.
    pub(crate) state: PathBuf,
}

/// `gateway start --config FILE`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct GatewayFile {
    /// Where to listen.
    pub(crate) listen: SocketAddr,
    /// Folder for the database, blocks, logs and the agent's journal.
    pub(crate) data_dir: PathBuf,
    /// The network's file (`deployments/<chain id>.json`).
    pub(crate) deployment: PathBuf,
    /// The payer agent's keystore.
    pub(crate) key: KeyFiles,
}

impl GatewayFile {
    /// For the local network.
    pub(crate) fn local(local: &LocalNetwork, state: &LocalState) -> Self {
        Self {
            listen: ([127, 0, 0, 1], state.ports.gateway).into(),
            data_dir: local.folder().join("gateway"),
            deployment: local.deployment(),
            key: local.key("agent"),
        }
    }

    /// What the gateway takes.
    pub(crate) fn config(self, agent_key: SecretKey) -> Outcome<GatewayConfig> {
        Ok(GatewayConfig {
            listen: self.listen,
            data_dir: self.data_dir,
            network: load_network(&self.deployment)?,
            agent_key,
            quotas: Quotas::default(),
            patience: Patience::default(),
        })
    }
}

/// `node start --config FILE`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct NodeFile {
    /// Where its artifacts are served.
    pub(crate) listen: SocketAddr,
    /// Folder for journal, store and containers.
    pub(crate) data_dir: PathBuf,
    /// The network's file (`deployments/<chain id>.json`).
    pub(crate) deployment: PathBuf,
    /// Base URLs of the gateways it listens to.
    pub(crate) gateways: Vec<String>,
    /// Its token id in `NodeRegistry`.
    pub(crate) node: NodeId,
    /// Container engine: `auto`, `embedded` or `docker`.
    #[serde(default)]
    pub(crate) runtime: RuntimeChoice,
    /// The operator's keystore.
    pub(crate) key: KeyFiles,
    /// What it asks, millionths of a USD.
    pub(crate) prices: PriceList,
    /// What of the machine it offers.
    pub(crate) capacity: Capacity,
    /// Seconds that a co-signed result waits for others, so that one transaction settles up to a hundred of them. At most 12 hours.
    #[serde(default)]
    pub(crate) settle_gather_seconds: u32,
    /// Pay is collected while a job runs as soon as more than this is owed for it, millionths of a USD; 0: never before its end.
    #[serde(default = "collect_above")]
    pub(crate) collect_above_usd_micros: u64,
}

/// Ten dollars: a transaction is a small part of it on any chain, and the most that a node can lose that is down while it should answer.
const fn collect_above() -> u64 {
    10_000_000
}

impl NodeFile {
    /// For the local network: all cores, most of the memory.
    pub(crate) fn local(local: &LocalNetwork, state: &LocalState) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get() as u64);
        Self {
            listen: ([127, 0, 0, 1], state.ports.node).into(),
            data_dir: local.folder().join("node"),
            deployment: local.deployment(),
            gateways: vec![format!("http://127.0.0.1:{}", state.ports.gateway)],
            node: state.node,
            runtime: RuntimeChoice::default(),
            key: local.key("operator"),
            prices: LOCAL_PRICES,
            capacity: Capacity {
                cpu_millis: cores * 1_000,
                memory_bytes: machine_memory_bytes() / 4 * 3,
                disk_bytes: LOCAL_DISK_BYTES,
            },
            settle_gather_seconds: 0,
            collect_above_usd_micros: collect_above(),
        }
    }

    /// What the node takes.
    pub(crate) fn config(self, operator_key: SecretKey) -> Outcome<NodeConfig> {
        let network = load_network(&self.deployment)?;
        if self.settle_gather_seconds > MOST_GATHER_SECONDS {
            return Err(Failure::usage(format_args!(
                "settle-gather-seconds is {}, above {MOST_GATHER_SECONDS}",
                self.settle_gather_seconds
            ))
            .hint("a job must be settled within a day of its end: gather for less"));
        }
        Ok(NodeConfig {
            listen: self.listen,
            data_dir: self.data_dir,
            gateways: self
                .gateways
                .iter()
                .map(|text| parse_url(text))
                .collect::<Outcome<Vec<_>>>()?,
            node_id: self.node,
            operator_key,
            gpus: Vec::new(),
            prices: self.prices,
            capacity: self.capacity,
            runtime: self.runtime,
            collect_above_usd_micros: self.collect_above_usd_micros,
            timing: Timing {
                settle_gather_seconds: self.settle_gather_seconds,
                ..Timing::of(network.chain_id)
            },
            network,
        })
    }
}

fn load_network(path: &std::path::Path) -> Outcome<Network> {
    Network::load(path).or_fail("the key `deployment` of the config")
}

/// `MemTotal` of Linux; elsewhere nobody knows without asking the kernel in its own way.
fn machine_memory_bytes() -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kib = text.lines().find_map(|line| {
        line.strip_prefix("MemTotal:")?
            .trim()
            .strip_suffix(" kB")?
            .trim()
            .parse::<u64>()
            .ok()
    });
    kib.map_or(FALLBACK_MEMORY_BYTES, |kib| kib << 10)
}
