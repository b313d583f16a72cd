//! The provider's daemon: bids, runs containers, meters, settles.

pub mod image;
pub mod runtime;
pub mod shim;
