//! The container engines as jobs meet them: real containers, made by the real binary.
//!
//! Every scenario runs in the embedded engine, and all of them once more in Docker where it is installed. They need
//! root and skip with one loud line without it.

#![allow(clippy::unwrap_used)]

mod crash;
mod docker;
mod embedded;
mod isolation;
mod life;
mod support;
