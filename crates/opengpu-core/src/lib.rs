//! What OpenGPU means, with no IO, no clock, no randomness and no floats.
//!
//! Time, randomness and bytes come in as arguments; what comes out is a value or a typed error. Start reading here:
//!
//! | module | answers |
//! |---|---|
//! | [`ids`] | how jobs, nodes, digests and chains are named |
//! | [`money`] | amounts in base units, what a usage costs, how a payment is split |
//! | [`order`] | the six signed messages (EIP-712) and their digests |
//! | [`sign`] | signing and recovering with secp256k1 |
//! | [`spec`] | what a job runs: the normal form of a job file and its digest |
//! | [`job`] | the terms fixed at match, a job's states, the refund table |
//! | [`metering`] | what a node may bill and a signer may co-sign |
//! | [`matching`] | choosing among bids, and the quote |
//! | [`tier`] | what a node's tier asks for, and which one a standing meets |
//! | [`stake`] | what a stake weighs, and the payer's tier it gives |
//! | [`incentive`] | what a settled job counts for in the weekly incentives |
//! | [`receipt`] | the document that closes a job, and verifying it offline |
//! | [`wire`] | what gateways, nodes and payers send to each other |

#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

pub mod ids;
pub mod incentive;
pub mod job;
pub mod matching;
pub mod metering;
pub mod money;
pub mod order;
pub mod receipt;
pub mod sign;
pub mod spec;
pub mod stake;
pub mod tier;
pub mod wire;

pub use alloy_primitives::{Address, B256, U256};
