//! What a gateway is told at its start.

use std::net::SocketAddr;
use std::path::PathBuf;

use opengpu_chain::network::Network;
use opengpu_core::sign::SecretKey;

/// How a gateway is run.
#[derive(Debug, Clone)]
pub struct GatewayConfig {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Folder for the database, the blocks, the logs and the agent's journal; made if missing.
    pub data_dir: PathBuf,
    /// The network served.
    pub network: Network,
    /// The payer agent's key; it co-signs, and pays gas when it must report a silent node.
    pub agent_key: SecretKey,
    /// How much strangers may use.
    pub quotas: Quotas,
    /// When the agent gives a node up.
    pub patience: Patience,
}

/// How much of this machine a caller may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quotas {
    /// Bytes of a JSON body.
    pub json_bytes: usize,
    /// Bytes of one piece of log.
    pub log_piece_bytes: usize,
    /// Bytes of one attempt's log.
    pub log_bytes: u64,
    /// Bytes of artifacts each side of a job may upload.
    pub artifact_bytes: u64,
    /// Open orders in the bulletin.
    pub open_orders: u64,
    /// Open orders of one payer; those paid from each of its budgets count apart.
    pub open_orders_per_payer: u64,
    /// Bids kept for one order.
    pub bids_per_order: u64,
}

impl Default for Quotas {
    /// A job's messages are a few kilobytes, its receipt tens of them; 64 MiB of log is a day of chatter; 16 GiB of artifacts
    /// holds today's model weights; a thousand orders keep a bulletin readable by a small node in one go.
    fn default() -> Self {
        Self {
            json_bytes: 1 << 20,
            log_piece_bytes: 1 << 20,
            log_bytes: 64 << 20,
            artifact_bytes: 16 << 30,
            open_orders: 1000,
            open_orders_per_payer: 100,
            bids_per_order: 200,
        }
    }
}

/// When the payer agent acts on a node that does not speak, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// A node that was not heard for three voucher intervals, and at least this long, is reported. Long enough for a daemon
    /// to be restarted.
    pub silence_seconds: u64,
    /// A result both signed that the node has not sent for so long is sent by the agent: the payer's refund waits for it.
    pub settle_seconds: u64,
    /// An interrupted job the payer has not matched again for so long is closed, and refunded.
    pub close_seconds: u64,
    /// How often the agent looks.
    pub look_seconds: u64,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            silence_seconds: 30,
            settle_seconds: 120,
            close_seconds: 600,
            look_seconds: 2,
        }
    }
}
