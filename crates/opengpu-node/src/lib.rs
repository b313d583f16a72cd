//! The provider's daemon: bids, runs containers, meters, settles.

pub mod bidder;
pub mod clock;
pub mod gateway;
pub mod image;
pub mod journal;
pub mod meter;
pub mod ports;
pub mod reactor;
pub mod runtime;
pub mod shim;
