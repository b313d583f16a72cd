//! The only crate that talks to Ethereum: it knows the contracts, the RPC, the keys and the local chain; everybody else knows core's types.
//!
//! | module | what it is for |
//! |---|---|
//! | [`network`] | which chain and where on it: the file everybody is configured with |
//! | [`client`] | [`ChainClient`]: one connection, with or without a key; all that can be read |
//! | [`transactions`] | all that changes the chain: wallet, job market, node registry |
//! | [`events`] | [`ChainEvent`]: what happened, in core's words |
//! | [`follower`] | [`Follower`]: every event once, across reorganisations, restarts and outages |
//! | [`record`] | [`JobRecord`]: a job's current terms and progress, from its events |
//! | [`deployment`] | putting the contracts on a chain |
//! | [`devnet`] | a local chain that survives being killed |
//! | [`keys`] | keystore files |
//! | [`time`] | the chain's seconds, as people read them |
//! | [`error`] | [`ChainError`], sorted by what to do about it |
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use opengpu_chain::{ChainClient, Follower, Network};
//!
//! let network = Network::load("deployments/31337.json".as_ref())?;
//! let client = ChainClient::connect(&network, None).await?;
//! let mut follower = Follower::new(client, None);
//! loop {
//!     let batch = follower.next().await?;
//!     if let Some(block) = batch.rolled_back_to {
//!         println!("forget what happened after block {block}");
//!     }
//!     for envelope in batch.events {
//!         println!("{}: {}", envelope.block, envelope.event.name());
//!     }
//! }
//! # }
//! ```

#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        reason = "a test that cannot go on should panic"
    )
)]

mod bindings;
pub mod client;
mod convert;
pub mod deployment;
pub mod devnet;
pub mod error;
pub mod events;
pub mod follower;
pub mod keys;
pub mod network;
pub mod record;
mod reverts;
pub mod time;
pub mod transactions;

pub use client::{BlockRef, Budget, ChainClient, JobOnChain, NodeOnChain, NodeRecord, TokenOnChain};
pub use deployment::{DeployConfig, Deployment, deploy};
pub use error::{ChainError, Remedy, Revert};
pub use events::{ChainEvent, Envelope};
pub use follower::{Batch, Cursor, Follower};
pub use network::{Contracts, Network, TokenInfo};
pub use record::JobRecord;
pub use transactions::{BudgetWish, Ensured, Sent};
