//! A job from the payer's side, from the command line to the receipt.
//!
//! | module | does |
//! |---|---|
//! | [`plan`] | command line → spec and order (pure) |
//! | [`allowance`] | `--budget`: whether a budget allows the escrow (pure) |
//! | [`artifacts`] | image and input → CIDs |
//! | [`market`] | order → bids → quote |
//! | [`start`] | all of the above, then match and upload |
//! | [`watch`], [`follow`] | listens until the chain has closed the job |
//! | [`cosign`] | `--self-sign`: judges and signs usage here |
//! | [`history`], [`bill`], [`collect`], [`finish`] | what the chain paid, output, log, receipt |
//! | [`record`] | what is kept of each job |
//! | [`story`] | who is told what happens |

pub(crate) mod allowance;
pub(crate) mod artifacts;
pub(crate) mod bill;
pub(crate) mod collect;
pub(crate) mod cosign;
pub(crate) mod finish;
pub(crate) mod follow;
pub(crate) mod history;
pub(crate) mod market;
pub(crate) mod plan;
pub(crate) mod record;
pub(crate) mod start;
pub(crate) mod story;
pub(crate) mod verdict;
pub(crate) mod watch;
