//! The receipt: the document that closes a job (protocol, section 10), built by nodes, checked by signers, verified by
//! anybody without a server.
//!
//! - [`Receipt::build`]: from [`JobFacts`] (what both sides know from order, spec and chain) and [`Closing`] (how it ended).
//! - [`Receipt::consistent_with`]: the signer's check before it approves a result.
//! - [`ReceiptFile`]: receipt, signatures and leaves, as users keep it; [`verify_offline`] tells what holds and names every
//!   leaf that was changed.
//!
//! The receipt's digest is the sha2-256 of its canonical JSON (JCS, RFC 8785). Amounts are decimal strings; other numbers
//! stay within 2^53 − 1, beyond which JSON numbers are not exact. `docs/receipt.schema.json` describes the file.

mod build;
mod file;
mod leaves;
mod strict;
mod verify;

use alloy_primitives::Address;
use serde::{Deserialize, Serialize};

pub use build::{Closing, JobFacts, NodeFacts, ResultFacts};
pub use file::{ReceiptFile, Signatures, SignedApproval, SignedResult};
pub use leaves::{ChangeKind, ChangedLeaf, leaves_of};
pub use verify::{Check, LocalContent, Report, VerifyOptions, Voice, verify_offline};

use crate::ids::{ChainId, CidText, JobId, NodeId, Sha256Digest};
use crate::job::{Ending, Usage};
use crate::matching::Quote;
use crate::money::{Amount, Price, Shares, Split};
use crate::order::Outcome;

/// The version of the receipt's format.
pub const RECEIPT_VERSION: u32 = 1;

/// Why a receipt cannot be built or is not what it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReceiptError {
    /// A value has no canonical JSON form.
    #[error("receipt cannot be written as canonical JSON: {0}")]
    NotCanonical(String),
    /// The text is no receipt.
    #[error("not a receipt: {0}")]
    Malformed(String),
    /// A number is above 2^53 − 1.
    #[error("{pointer} is {value}, which is too large for JSON")]
    NumberTooLarge {
        /// JSON pointer.
        pointer: String,
        /// The number.
        value: u64,
    },
    /// Sums of several attempts pass 128 bits.
    #[error("amounts of the attempts add up to more than 128 bits")]
    Overflow,
    /// The receipt closes without a result where one is needed.
    #[error("receipt has no result")]
    NoResult,
    /// The receipt differs from what order, spec, chain and result say.
    #[error("receipt differs from what the job was at {}", .pointers.join(", "))]
    Inconsistent {
        /// JSON pointers into the receipt of the leaves that differ.
        pointers: Vec<String>,
    },
}

/// The document that closes a job.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Receipt {
    /// Version of this format: [`RECEIPT_VERSION`].
    pub version: u32,
    /// The chain.
    pub chain_id: ChainId,
    /// `Cloudverse` on it.
    pub contract: Address,
    /// The job.
    pub job_id: JobId,
    /// Whose credits paid.
    pub payer: Address,
    /// Key that co-signed for the payer.
    pub signer: Address,
    /// Every attempt, oldest first; the last one closed the job.
    pub attempts: Vec<Attempt>,
    /// What the job was given.
    pub input: Input,
    /// What it gave.
    pub output: Given<Output>,
    /// Its log.
    pub logs: Given<Logs>,
    /// What it used.
    pub usage: UsageTotals,
    /// What was paid, over all attempts.
    pub payment: Payment,
    /// The estimate shown before the last attempt was matched.
    pub quote: Quote,
}

/// One attempt: who ran it, at what price, and who got what.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Attempt {
    /// Which, from 1.
    pub attempt: u8,
    /// The node.
    pub node: NodeId,
    /// Who owned it.
    pub owner: Address,
    /// Whose credits its part went to.
    pub payee: Address,
    /// Key that signed for it.
    pub operator: Address,
    /// Its GPUs; empty: it has none.
    pub gpus: Vec<Gpu>,
    /// Unix second of the match.
    pub matched_at: u64,
    /// Base units locked for it.
    pub escrow: Amount,
    /// Its bid's prices.
    pub price: Price,
    /// Fee shares, discount and bonus.
    pub shares: Shares,
    /// How it ended; null: by the result that carries this receipt's digest.
    pub ending: Option<Ending>,
    /// What was billed.
    pub usage: Usage,
    /// Cumulative values the node collected by vouchers before the end, oldest first, base units.
    pub collected: Vec<Amount>,
    /// Who got what of its value.
    pub split: Split,
}

/// GPUs of one model in a node.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Gpu {
    /// As the node registered it.
    pub model: String,
    /// How many.
    pub count: u32,
}

/// What the job was given.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Input {
    /// sha2-256 of the spec in JCS form.
    pub spec_digest: Sha256Digest,
    /// sha2-256 of the image's manifest.
    pub image_digest: Sha256Digest,
    /// UnixFS root of its input; null: it had none.
    pub data_cid: Option<CidText>,
}

/// What the job gave.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Output {
    /// UnixFS root of its output folder.
    pub cid: CidText,
    /// The program's exit code; 128 + signal when killed by one.
    pub exit_code: i32,
    /// How it ended.
    pub outcome: Outcome,
}

/// The job's log: standard output and error, as they came.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Logs {
    /// UnixFS file.
    pub cid: CidText,
    /// Its length.
    pub bytes: u64,
}

/// What the job used.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UsageTotals {
    /// Milliseconds billed over all attempts.
    pub billed_millis: u64,
    /// Bytes out of the containers of all attempts.
    pub egress_bytes: u64,
    /// What the last attempt's node measured.
    pub measured: Given<Measurements>,
}

/// What the last attempt's node measured.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Measurements {
    /// CPU milliseconds used.
    pub cpu_millis: u64,
    /// Most bytes of memory in use at once.
    pub memory_peak_bytes: u64,
    /// Vouchers both sides signed.
    pub vouchers: u32,
    /// Seconds from match to READY.
    pub ready_after_seconds: u32,
    /// UnixFS file of the usage samples.
    pub usage_cid: CidText,
}

/// What was paid, over all attempts: `paid + refunded = escrowed`, `node + stakers + treasury = paid`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Payment {
    /// The token all amounts are base units of.
    pub token: Address,
    /// Its symbol.
    pub symbol: String,
    /// Digits after its point.
    pub decimals: u8,
    /// Locked for the job, with extensions.
    pub escrowed: Amount,
    /// What left the escrow.
    pub paid: Amount,
    /// What went back to the payer's credits.
    pub refunded: Amount,
    /// What the discount saved the payer; part of what was refunded.
    pub discount: Amount,
    /// The nodes' part.
    pub node: Amount,
    /// The stakers' part.
    pub stakers: Amount,
    /// The treasury's part.
    pub treasury: Amount,
}

/// Something the receipt carries, or why it cannot.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Given<T> {
    /// Here it is.
    Present(T),
    /// It is missing. JSON: `{"missing": "<reason>"}`.
    Missing(Missing),
}

/// Says that something is missing.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Missing {
    /// Why.
    pub missing: MissingReason,
}

/// Why something is missing from a receipt or its file.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum MissingReason {
    /// The job was closed without a result: what is known comes from the chain's events alone.
    NoResult,
    /// The signer did not approve: the node submitted its result alone.
    NotApproved,
}

impl<T> Given<T> {
    /// What is given, if it is.
    pub const fn as_ref(&self) -> Option<&T> {
        match self {
            Self::Present(value) => Some(value),
            Self::Missing(_) => None,
        }
    }

    /// Says why it is missing.
    #[must_use]
    pub const fn missing(reason: MissingReason) -> Self {
        Self::Missing(Missing { missing: reason })
    }
}
