//! The chain crate against the real anvil: no part of the chain is simulated.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on should panic"
)]

mod budgets;
mod deployment;
mod devnet;
mod economy;
mod faults;
mod follower;
mod jobs;
mod support;
mod wallet;
