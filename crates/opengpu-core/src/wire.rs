//! What gateways, nodes and payers send to each other, as JSON over HTTP.
//!
//! A job has one stream of [`JobEvent`]s at each gateway. Everybody reads the same stream: the node for co-signatures and
//! stop requests, the payer for progress and proposals, the agent for what it must sign. Everything that matters in it is
//! signed by its author, so a gateway can withhold but not forge.
//!
//! | call | who | body → answer |
//! |---|---|---|
//! | `GET /v1/info` | anyone | → [`GatewayInfo`] |
//! | `POST /v1/orders` | payer, budget key, or a node that saw the order elsewhere | [`SignedOrder`] → [`Posted`]; the same order twice is one |
//! | `GET /v1/orders?after=C&wait=S` | nodes | → [`Page`] of [`SignedOrder`]; waits up to S ≤ 30 seconds for one newer than cursor C |
//! | `POST /v1/jobs/{id}/bids` | operator | [`SignedBid`] → [`Posted`] |
//! | `GET /v1/jobs/{id}` | anyone | → job view (state from the chain, newest voucher, cost so far) |
//! | `GET /v1/jobs/{id}/events?after=C&wait=S` | anyone | → [`Page`] of [`JobEvent`]; with `Accept: text/event-stream` the same as SSE |
//! | `POST /v1/jobs/{id}/progress` | operator | [`Progress`] → [`Posted`] |
//! | `POST /v1/jobs/{id}/vouchers` | operator | [`VoucherProposal`] → [`Posted`] |
//! | `POST /v1/jobs/{id}/vouchers/signed` | signer | [`SignedVoucher`] → [`Posted`] |
//! | `POST /v1/jobs/{id}/results` | operator | [`ResultProposal`] → [`Posted`] |
//! | `POST /v1/jobs/{id}/results/approved` | signer | [`ApprovedResult`] → [`Posted`] |
//! | `POST /v1/jobs/{id}/refusals` | signer | [`Refusal`] → [`Posted`] |
//! | `POST /v1/jobs/{id}/stop` | payer, signer, budget key | [`SignedStop`] → [`Posted`] |
//! | `POST /v1/jobs/{id}/artifacts?root=CID` | payer, signer, budget key, operator | CAR → [`Posted`]; bounded per job |
//! | `POST /v1/jobs/{id}/logs?offset=N` | operator | raw bytes → [`Posted`]; bytes already held are ignored |
//! | `GET /v1/jobs/{id}/logs?offset=N` | anyone | raw bytes; `follow=true` or `Accept: text/event-stream`: SSE of base64 chunks until the job ends |
//! | `GET /ipfs/{cid}?format=raw\|car` | anyone | IPFS trustless gateway |
//!
//! Calls marked with a role other than *anyone* carry the header [`RELAY_HEADER`]: a [`Signature`] over
//! [`relay_digest`], by a key with that role in the job. Messages that are signed themselves (orders, bids, vouchers,
//! results, stops) are judged by their own signature and need no header.

use alloy_primitives::{Address, B256, Bytes, keccak256};
use serde::{Deserialize, Serialize};

use crate::ids::{CidText, JobId, Sha256Digest};
use crate::order::{Approve, Bid, Domain, JobResult, Order, Signable, Voucher};
use crate::sign::{SecretKey, Signature};
use crate::spec::JobSpec;

/// HTTP header that carries the sender's [`Signature`] over [`relay_digest`].
pub const RELAY_HEADER: &str = "opengpu-signature";

/// What a sender signs to post to a job's stream: the network, the method, the path with its query and the body.
/// For streamed CARs, whose root in the query pins every byte, `body` is empty.
#[must_use]
pub fn relay_digest(domain: Domain, method: &str, path_and_query: &str, body: &[u8]) -> B256 {
    let text = format!(
        "OpenGPU relay\n{:#x}\n{method} {path_and_query}\n{}",
        domain.separator(),
        Sha256Digest::of(body)
    );
    keccak256(text)
}

/// Order, the payer's signature and the spec it commits to.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SignedOrder {
    /// The order.
    pub order: Order,
    /// The payer's (or budget key's) signature: ECDSA, or whatever its ERC-1271 wallet wants.
    pub signature: Bytes,
    /// What to run; hashes to `order.specDigest`.
    pub spec: JobSpec,
}

/// A bid and its operator's signature.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SignedBid {
    /// The bid.
    pub bid: Bid,
    /// By the node's operator.
    pub signature: Signature,
}

/// A voucher signed by both sides: what a node can cash.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SignedVoucher {
    /// The usage.
    pub voucher: Voucher,
    /// By the attempt's operator.
    pub operator_signature: Signature,
    /// By the order's signer.
    pub signer_signature: Signature,
}

impl SignedVoucher {
    /// Whether both signatures are by the keys named.
    #[must_use]
    pub fn is_by(&self, domain: Domain, operator: Address, signer: Address) -> bool {
        let digest = self.voucher.digest(domain);
        self.operator_signature.is_by(operator, digest) && self.signer_signature.is_by(signer, digest)
    }
}

/// What a node asks the signer to co-sign.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VoucherProposal {
    /// The usage.
    pub voucher: Voucher,
    /// By the attempt's operator.
    pub operator_signature: Signature,
    /// The newest voucher both have signed, so that a signer that lost its memory has it back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<SignedVoucher>,
}

/// How a node says an attempt ended, with the receipt both will sign.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ResultProposal {
    /// What goes on chain.
    pub result: JobResult,
    /// By the attempt's operator.
    pub operator_signature: Signature,
    /// The receipt in JCS form; hashes to `result.receiptDigest`.
    pub receipt: String,
    /// UnixFS root of the output folder.
    pub output: CidText,
    /// UnixFS file of the whole log.
    pub logs: CidText,
    /// The newest voucher both have signed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<SignedVoucher>,
}

/// A result with both signatures: settles the job.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ApprovedResult {
    /// What goes on chain.
    pub result: JobResult,
    /// By the attempt's operator.
    pub operator_signature: Signature,
    /// The signer's consent.
    pub approve: Approve,
    /// By the order's signer, over `approve`.
    pub signer_signature: Signature,
}

/// Why a signer did not co-sign, for the node's log and the payer's screen.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Refusal {
    /// Struct hash of the voucher or result refused.
    pub refused: B256,
    /// For people.
    pub reason: String,
    /// Whether the same proposal may be accepted later (clock ahead, bytes not there yet).
    pub is_retryable: bool,
}

/// The payer's wish that the job end now.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SignedStop {
    /// The job.
    pub job_id: JobId,
    /// By payer, signer or the key of the order's budget, over [`SignedStop::digest`].
    pub signature: Signature,
}

impl SignedStop {
    /// What is signed: a text no transaction or other message can equal.
    #[must_use]
    pub fn digest(domain: Domain, job_id: JobId) -> B256 {
        keccak256(format!("OpenGPU stop\n{:#x}\n{job_id}", domain.separator()))
    }

    /// Signs the wish.
    #[must_use]
    pub fn sign(domain: Domain, job_id: JobId, key: &SecretKey) -> Self {
        Self {
            job_id,
            signature: key.sign(Self::digest(domain, job_id)),
        }
    }
}

/// How far a node is with a job.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Progress {
    /// Which attempt, from 1.
    pub attempt: u8,
    /// Number of the message within the attempt, from 1; a repeated one is ignored.
    pub seq: u32,
    /// Unix milliseconds on the node's clock.
    pub at_millis: u64,
    /// What happened.
    pub step: Step,
}

/// The steps a node reports.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "kind")]
pub enum Step {
    /// Fetching and unpacking the image and the input.
    Preparing,
    /// The program runs; its readiness check has not passed.
    Started,
    /// READY: the meter runs.
    Ready,
    /// Usage so far (about once a second).
    #[serde(rename_all = "camelCase")]
    Usage {
        /// Milliseconds billed since READY.
        billed_millis: u64,
        /// CPU milliseconds used.
        cpu_millis: u64,
        /// Bytes of memory in use.
        memory_bytes: u64,
        /// Bytes out of the container.
        egress_bytes: u64,
    },
    /// Two intervals went unsigned: the container is frozen, nothing is billed.
    Paused,
    /// The signer is back.
    Resumed,
    /// The program ended.
    #[serde(rename_all = "camelCase")]
    Exited {
        /// Exit code; 128 + signal when killed by one.
        exit_code: i32,
        /// Whether the memory limit ended it.
        is_out_of_memory: bool,
    },
    /// Output and log are being stored.
    #[serde(alias = "collecting")] // as gateways' databases have it from before
    Storing,
    /// The attempt cannot go on; nothing (more) is billed.
    #[serde(rename_all = "camelCase")]
    Failed {
        /// For people.
        reason: String,
        /// What to try, for people.
        hint: String,
    },
}

/// One entry of a job's stream.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct JobEvent {
    /// Position after this entry, for `after=`. Opaque: a gateway that lost its memory starts a new series.
    pub cursor: String,
    /// Unix milliseconds at the gateway.
    pub at_millis: u64,
    /// What happened.
    pub body: JobEventBody,
}

/// What can happen to a job.
#[expect(
    clippy::large_enum_variant,
    reason = "entries are read once from JSON, never held in bulk"
)]
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "type", content = "data")]
pub enum JobEventBody {
    /// A node offers.
    Bid(SignedBid),
    /// The chain says so; confirmed facts come from there, not from here.
    #[serde(rename_all = "camelCase")]
    Chain {
        /// Name of the contract's event: `Matched`, `Settled`, …
        event: String,
        /// Transaction that emitted it.
        transaction: B256,
        /// Its block.
        block: u64,
    },
    /// The node reports a step.
    Progress(Progress),
    /// The node proposes usage.
    VoucherProposed(VoucherProposal),
    /// The signer agreed.
    VoucherSigned(SignedVoucher),
    /// The node proposes how the attempt ended.
    ResultProposed(Box<ResultProposal>),
    /// The signer agreed.
    ResultApproved(ApprovedResult),
    /// The signer did not agree.
    Refused(Refusal),
    /// Payer or signer wants the job to end.
    StopRequested(SignedStop),
}

/// A piece of a list.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Page<T> {
    /// Oldest first.
    pub items: Vec<T>,
    /// Pass as `after=` to go on.
    pub cursor: String,
}

/// A post was taken (or was there already).
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Posted {
    /// The job.
    pub job_id: JobId,
    /// Whether it was there before.
    pub is_repeat: bool,
}

/// What a gateway is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GatewayInfo {
    /// Version of the software.
    pub version: String,
    /// The network it serves.
    pub domain: Domain,
    /// Its payer agent's account, to name as an order's signer.
    pub agent: Address,
    /// Newest block it has indexed.
    pub block: u64,
}

/// An error, as `application/problem+json` (RFC 9457).
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Problem {
    /// Stable name of the error, `urn:opengpu:problem:…`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The same for people, short.
    pub title: String,
    /// HTTP status.
    pub status: u16,
    /// What was wrong with this request and what would be right.
    pub detail: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_that_an_older_gateway_kept_is_read() {
        let older: Step = serde_json::from_str(r#"{"kind":"collecting"}"#).unwrap();
        assert_eq!(older, Step::Storing);
        assert_eq!(serde_json::to_string(&older).unwrap(), r#"{"kind":"storing"}"#);
    }
}
