//! What the gateway wants of a chain, as two traits, so that tests decide what the chain says and see what is asked of it.
//! [`crate::live`] fulfils them with `opengpu-chain`.

use async_trait::async_trait;
use opengpu_core::ids::{BudgetId, NodeId};
use opengpu_core::order::Order;
use opengpu_core::wire::{ApprovedResult, SignedVoucher};
use opengpu_core::{Address, B256};
use serde::{Deserialize, Serialize};

use crate::projector::{ChainJob, Fact};

/// Why the chain did not answer or act.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum PortError {
    /// The chain node cannot be reached, or lost what was sent: try again.
    #[error("{0}")]
    Retry(String),
    /// The chain refuses, and will again until something changes.
    #[error("{0}")]
    Refused(String),
}

/// A block by number and hash.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Head {
    /// Its number.
    pub block: u64,
    /// Its hash.
    pub hash: B256,
}

/// What the chain said since the last batch.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Batch {
    /// Blocks above this one were given up: forget what they said before taking in `facts`.
    pub rolled_back_to: Option<u64>,
    /// In the chain's order.
    pub facts: Vec<Fact>,
    /// All up to here is told.
    pub head: Head,
    /// Time of that block, unix seconds.
    pub head_timestamp: u64,
    /// Whether the chain had no more to tell when this was made.
    pub is_newest: bool,
}

/// A reading of the chain from some block on.
#[async_trait]
pub trait Feed: Send {
    /// The next batch, as soon as the chain has a new block.
    async fn next(&mut self) -> Result<Batch, PortError>;
}

/// What the registry says of a node.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NodeInfo {
    /// Whose the node is.
    pub owner: Address,
    /// The key it signs with; zero for none.
    pub operator: Address,
    /// Model of its GPUs as registered; empty for none.
    pub gpu_model: String,
}

/// What the payer agent does on chain.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Action {
    /// Says the node failed, and shows the newest voucher.
    ReportFault(Option<SignedVoucher>),
    /// Ends a report nobody answered.
    ResolveFault,
    /// Refunds an interrupted job.
    Close,
    /// Ends an attempt whose last deadline passed, by the newest voucher.
    Expire(Option<SignedVoucher>),
    /// Sends what both signed and the node did not send.
    Settle(ApprovedResult),
}

impl Action {
    /// Its name in the contract.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::ReportFault(_) => "reportFault",
            Self::ResolveFault => "resolveFault",
            Self::Close => "close",
            Self::Expire(_) => "expire",
            Self::Settle(_) => "settle",
        }
    }
}

/// A chain with our contracts on it.
#[async_trait]
pub trait Chain: Send + Sync + 'static {
    /// Reads from after `from`, or from the contracts' first block.
    async fn feed(&self, from: Option<Head>) -> Result<Box<dyn Feed>, PortError>;

    /// A node's registration; `None` when there is no such node.
    async fn node(&self, node: NodeId) -> Result<Option<NodeInfo>, PortError>;

    /// The key of a payer's budget; `None` when there is no such budget, or it is somebody else's.
    async fn budget_key(&self, budget: BudgetId, payer: Address) -> Result<Option<Address>, PortError>;

    /// Whether a contract wallet (ERC-1271), of the payer or of its budget's key, stands behind a signature of the order.
    async fn is_wallet_signature(&self, order: &Order, signature: &[u8]) -> Result<bool, PortError>;

    /// How long a report may be answered, a constant of the deployment.
    fn response_window_seconds(&self) -> u64;

    /// Acts on a job with the agent's key; returns when it is included.
    async fn act(&self, job: &ChainJob, action: &Action) -> Result<(), PortError>;
}
