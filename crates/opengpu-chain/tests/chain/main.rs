//! The chain crate against the real anvil: no part of the chain is simulated.

mod devnet;
mod faults;
mod follower;
mod jobs;
mod support;
mod wallet;
