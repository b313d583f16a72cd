//! The provider's daemon: bids, runs containers, meters, settles.
//!
//! [`run`] is the whole of it; read the modules in this order:
//!
//! | module | answers |
//! |---|---|
//! | [`bidder`] | whether to offer for an order, at what price, and what of the machine is free (pure) |
//! | [`reactor`] | what to do about a job: `(state, event, now) → effects` (pure) |
//! | [`meter`] | how long a job is billed for, and the log of what it used |
//! | [`journal`] | what survives a `kill -9` |
//! | [`ports`] | what the daemon needs of chain and gateways; [`market`] and [`gateway`] are the real ones |
//! | [`runtime`] | what it needs of containers; [`shim`] is the process that outlives the daemon |
//! | [`image`] | container images, checked and unpacked |
//! | [`clock`] | the clocks all of it is told the time by |
//! | [`config`] | what a node is told at its start |

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

mod artifacts;
pub mod bidder;
pub mod clock;
pub mod config;
mod daemon;
pub mod gateway;
pub mod image;
pub mod journal;
pub mod market;
pub mod meter;
pub mod ports;
pub mod reactor;
pub mod runtime;
mod server;
mod settling;
pub mod shim;
mod start;

pub use config::{NodeConfig, RuntimeChoice, Timing};
pub use start::{BoundNode, NodeError, run};
