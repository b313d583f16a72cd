//! Stories of users, with the real chain node and real containers.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

mod harness;
mod jobs;
mod network;
