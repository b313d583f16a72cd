//! Stories from end to end: a real chain node, a real gateway, a real node, real containers, driven as a user drives them.
//!
//! Each test brings up a network of its own in a folder of its own, on free ports, and leaves nothing behind. They need
//! root (the embedded container engine) and the chain node from npm; where either is missing they say `SKIPPED:`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on should panic"
)]

mod advance;
mod bad_input;
mod budgets;
mod crashes;
mod earning;
mod economy;
mod incentives;
mod interrupts;
mod lifecycle;
mod network;
mod paid_job;
mod silence;
