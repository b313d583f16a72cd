//! The doors through which the daemon touches the world besides containers: the chain and the gateways.
//!
//! Everything behind a door can be slow, lie, or be away for an hour; the traits say only what a node needs of it. The real
//! ones are [`crate::market`] and [`crate::gateway`]; tests put recording fakes here.

use async_trait::async_trait;
use opengpu_core::ids::{BudgetId, CidText, JobId};
use opengpu_core::job::{Ending, JobState, Progress, Terms, Usage};
use opengpu_core::money::Amount;
use opengpu_core::order::{JobResult, Voucher};
use opengpu_core::wire::{
    ApprovedResult, JobEvent, Page, ResultProposal, SignedBid, SignedOrder, SignedVoucher, VoucherProposal,
};
use opengpu_core::{Address, B256, wire};
use opengpu_store::{BlockStore, Cid, Limits};
use serde::{Deserialize, Serialize};

use crate::bidder::{Listing, Standing};

/// Why the chain did not do what was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChainFault {
    /// Nobody answered, or the answer broke off. Retry with growing pauses.
    #[error("the chain cannot be reached: {0}")]
    Unreachable(String),
    /// The contract refused. Look at the job's state again before the next try.
    #[error("the contract refused: {0}")]
    Refused(String),
    /// This side cannot send: no gas, wrong network. The node's owner must fix it.
    #[error("cannot send: {0}")]
    NotAble(String),
}

/// What the contract wants back with every call about a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Position {
    /// Fixed at match.
    pub terms: Terms,
    /// Changed since.
    pub progress: Progress,
}

/// Reading and writing the market's contracts, as this node.
///
/// Writes return when the transaction is in a block. They may be repeated: the contract refuses what is done already.
#[async_trait]
pub trait Chain: Send + Sync {
    /// What this node may do now.
    async fn standing(&self) -> Result<Standing, ChainFault>;
    /// What a token is worth here.
    async fn listing(&self, token: Address) -> Result<Listing, ChainFault>;
    /// The key of a payer's budget; `None` when there is no such budget, or it is somebody else's.
    async fn budget_key(&self, budget: BudgetId, payer: Address) -> Result<Option<Address>, ChainFault>;
    /// Where a job stands.
    async fn job_state(&self, job: JobId) -> Result<JobState, ChainFault>;
    /// The job's attempts before its newest one, oldest first.
    async fn earlier_attempts(&self, job: JobId) -> Result<Vec<EarlierAttempt>, ChainFault>;
    /// Pays what a voucher is worth beyond what was collected before. The job goes on.
    async fn collect(&self, at: &Position, voucher: &SignedVoucher) -> Result<(), ChainFault>;
    /// Closes the attempt with a result both sides signed.
    async fn settle(&self, at: &Position, approved: &ApprovedResult) -> Result<(), ChainFault>;
    /// Closes it alone, with the newest voucher or none.
    async fn submit(&self, at: &Position, result: &JobResult, newest: Option<&SignedVoucher>)
    -> Result<(), ChainFault>;
    /// Ends a report with a newer voucher. `declared` is what the report showed.
    async fn answer_fault(
        &self,
        job: JobId,
        at: &Position,
        declared: Option<&Voucher>,
        newer: &SignedVoucher,
    ) -> Result<(), ChainFault>;
    /// Says "not my fault": paid to the newest voucher, neutral.
    async fn contest(
        &self,
        job: JobId,
        at: &Position,
        declared: Option<&Voucher>,
        newest: Option<&SignedVoucher>,
    ) -> Result<(), ChainFault>;
}

/// An attempt that ended and left the job open: the receipt of the one that closes it names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EarlierAttempt {
    /// Its terms.
    pub terms: Terms,
    /// Cumulative values that were collected, oldest first.
    pub collected: Vec<Amount>,
    /// How it ended.
    pub ending: Ending,
    /// What it was paid for.
    pub usage: Usage,
    /// Owner of its node.
    pub owner: Address,
}

/// The chain's news, in order, without gaps; a reorganisation is told before what replaced it.
#[async_trait]
pub trait ChainFeed: Send {
    /// Waits for news.
    async fn next(&mut self) -> Result<Batch, ChainFault>;
}

/// A block to go on from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Cursor {
    /// Its number.
    pub block: u64,
    /// Its hash.
    pub hash: B256,
}

/// News of the chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// Everything told about later blocks is void: the chain goes on from this one.
    pub rolled_back_to: Option<u64>,
    /// What happened, oldest first.
    pub events: Vec<ChainEvent>,
    /// Where this leaves off.
    pub head: Cursor,
    /// Time of the chain's newest block, unix seconds.
    pub chain_seconds: u64,
}

/// Something happened to a job on chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChainEvent {
    /// The job.
    pub job: JobId,
    /// The block it is in.
    pub block: u64,
    /// What.
    pub body: ChainNews,
}

/// What can happen to a job on chain, as far as a node cares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChainNews {
    /// An attempt began (`Matched`, `Rematched`).
    Matched(Box<Position>),
    /// Escrow and time were added.
    Extended(Box<Terms>),
    /// A voucher was cashed.
    Collected {
        /// Cumulative value paid.
        value: Amount,
        /// The usage it stands for.
        billed_millis: u64,
    },
    /// The payer's side says the node failed.
    Reported {
        /// The voucher it showed.
        declared: Option<Box<Voucher>>,
        /// The attempt's progress since.
        progress: Box<Progress>,
    },
    /// A newer voucher was shown.
    Answered {
        /// Whether that ended the report.
        is_over: bool,
        /// The voucher, which is the declared one when the report stands.
        voucher: Option<Box<Voucher>>,
        /// The attempt's progress since.
        progress: Box<Progress>,
    },
    /// Progress changed in another way (a contest at V2, a submitted result).
    Moved(Box<Progress>),
    /// The attempt is over; the job may be matched again, but not by this node.
    Interrupted,
    /// The job is closed.
    Settled,
}

/// Why a gateway did not take or give something.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GatewayFault {
    /// It does not know the job: it never saw it, or lost its memory. Tell it the order and the bid again.
    #[error("the gateway does not know the job")]
    UnknownJob,
    /// Nobody answered, or the answer broke off. Retry.
    #[error("gateway: {0}")]
    Unreachable(String),
    /// It refused with this status. Not worth repeating unchanged.
    #[error("the gateway refused ({status}): {detail}")]
    Refused {
        /// HTTP status.
        status: u16,
        /// Its reason, for people.
        detail: String,
    },
    /// The piece of log starts after the end of what the gateway has: send it from the beginning again.
    #[error("the gateway has less of the log")]
    LogGap,
    /// This machine's disk is full. Retry when there is room.
    #[error("disk full: {0}")]
    DiskFull(String),
}

/// One gateway, as a node uses it (`opengpu_core::wire` has the calls).
#[async_trait]
pub trait Gateway: Send + Sync {
    /// Its name in logs.
    fn name(&self) -> String;
    /// Orders newer than the cursor; waits up to `wait_seconds` for one.
    async fn orders(&self, after: &str, wait_seconds: u32) -> Result<Page<SignedOrder>, GatewayFault>;
    /// Posts an order seen elsewhere.
    async fn post_order(&self, order: &SignedOrder) -> Result<(), GatewayFault>;
    /// Posts a bid.
    async fn post_bid(&self, bid: &SignedBid) -> Result<(), GatewayFault>;
    /// A job's stream after the cursor; waits up to `wait_seconds`.
    async fn events(&self, job: JobId, after: &str, wait_seconds: u32) -> Result<Page<JobEvent>, GatewayFault>;
    /// Reports a step.
    async fn post_progress(&self, job: JobId, progress: &wire::Progress) -> Result<(), GatewayFault>;
    /// Proposes usage.
    async fn post_voucher(&self, job: JobId, proposal: &VoucherProposal) -> Result<(), GatewayFault>;
    /// Proposes how the attempt ended.
    async fn post_result(&self, job: JobId, proposal: &ResultProposal) -> Result<(), GatewayFault>;
    /// Adds to the log; bytes the gateway has already are ignored there.
    async fn post_log(&self, job: JobId, offset: u64, bytes: Vec<u8>) -> Result<(), GatewayFault>;
    /// Puts a complete DAG of `store` into the gateway's store, as an artifact of the job.
    async fn upload(&self, job: JobId, store: &BlockStore, root: &Cid) -> Result<(), GatewayFault>;
    /// Brings a DAG into `store`, every block checked.
    async fn fetch(&self, root: &Cid, store: &BlockStore, limits: &Limits) -> Result<(), GatewayFault>;
}

/// The roots of what an attempt leaves behind, and what they hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Leavings {
    /// UnixFS root of the output folder.
    pub output: CidText,
    /// UnixFS file of the whole log.
    pub logs: CidText,
    /// Bytes of the log.
    pub log_bytes: u64,
    /// UnixFS file of the usage log.
    pub usage: CidText,
    /// sha2-256 of the log's bytes.
    pub log_root: opengpu_core::ids::Sha256Digest,
    /// sha2-256 of the usage log's bytes.
    pub usage_root: opengpu_core::ids::Sha256Digest,
}
