//! What a node is told at its start.

use std::net::SocketAddr;
use std::path::PathBuf;

use opengpu_chain::network::Network;
use opengpu_core::ids::{ChainId, NodeId};
use opengpu_core::receipt::Gpu;
use opengpu_core::sign::SecretKey;
use reqwest::Url;
use serde::{Deserialize, Serialize};

use crate::bidder::{Capacity, PriceList};

/// Everything [`run`](crate::run) needs.
#[derive(Debug, Clone)]
pub struct NodeConfig {
    /// Where its HTTP server listens; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Its folder: journal, store, containers, job folders. One daemon at a time.
    pub data_dir: PathBuf,
    /// The network.
    pub network: Network,
    /// Base URLs of the gateways it listens to.
    pub gateways: Vec<Url>,
    /// Its token id in `NodeRegistry`.
    pub node_id: NodeId,
    /// Signs bids, vouchers, results and transactions.
    pub operator_key: SecretKey,
    /// Its GPUs as the registry knows them; empty: none.
    pub gpus: Vec<Gpu>,
    /// What it asks.
    pub prices: PriceList,
    /// What of the machine it offers.
    pub capacity: Capacity,
    /// The container engine.
    pub runtime: RuntimeChoice,
    /// Times and depths.
    pub timing: Timing,
    /// Pay is collected while a job runs as soon as more than this is owed for it, millionths of a USD; 0: never before its end.
    pub collect_above_usd_micros: u64,
}

/// Which container engine to use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RuntimeChoice {
    /// The embedded one where it can run, Docker elsewhere.
    #[default]
    Auto,
    /// The embedded one or nothing.
    Embedded,
    /// Docker or nothing.
    Docker,
}

/// How long the node waits for what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Timing {
    /// Blocks on top of one before it counts as final.
    pub confirmations: u64,
    /// Seconds the signer may be silent at the end before the node submits alone.
    pub approval_grace_seconds: u64,
    /// The soonest the node promises READY after a match, in seconds.
    pub ready_within_seconds: u32,
    /// Seconds that a co-signed result waits for others, so that one transaction settles them all. 0: those that wait anyway.
    pub settle_gather_seconds: u32,
}

impl Timing {
    /// What suits a chain: a local one is fast and watched, any other is neither.
    #[must_use]
    pub fn of(chain: ChainId) -> Self {
        if chain == ChainId::LOCAL {
            Self {
                confirmations: 3,
                approval_grace_seconds: 20,
                ready_within_seconds: 600,
                settle_gather_seconds: 0,
            }
        } else {
            Self {
                confirmations: 12,
                approval_grace_seconds: 600,
                ready_within_seconds: 600,
                settle_gather_seconds: 0,
            }
        }
    }
}
