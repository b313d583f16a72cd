//! Everything that changes the chain.
//!
//! Each call waits until its transaction is in a block and returns [`Sent`]. Inclusion is not the end: a reorganisation, or a local chain
//! restarted from its last copy, can undo it. So whoever needs an effect to last keeps following the chain, reads the job's state again
//! when blocks were rolled back, and repeats the call; the contracts refuse a second one (`JobMarket_StateIs`), they never pay twice.

mod batch;
mod budgets;
mod incentives;
mod market;
mod registry;
mod send;
mod staking;
mod wallet;

use opengpu_core::B256;

pub use batch::{MOST_IN_A_BATCH, ToSettle};
pub use budgets::BudgetWish;
pub use incentives::{IncentiveShare, ReportedJob};
pub use market::Ensured;
pub(crate) use send::is_nonce_taken;
pub use staking::StakeOnChain;

/// A transaction that is in a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sent {
    /// Its hash.
    pub transaction: B256,
    /// Height of its block.
    pub block: u64,
    /// Hash of its block.
    pub block_hash: B256,
    /// Gas it used, its base cost included.
    pub gas_used: u64,
    /// Bytes of its calldata, which is what a rollup charges for.
    pub calldata_bytes: usize,
}
