//! The signed messages (protocol, section 3) and their EIP-712 digests.
//!
//! These structs are what travels as JSON and what the rest of the code works with; [`eip712`] holds the Solidity twins,
//! whose type strings must equal those of `JobMarket.sol`. Committed vectors hold both sides to the same digests.

use alloy_primitives::{Address, B256, U256};
use alloy_sol_types::{Eip712Domain, SolStruct};
use serde::{Deserialize, Serialize};

use crate::ids::{BudgetId, ChainId, JobId, NodeId, Sha256Digest};
use crate::money::{Amount, Price};
use crate::sign::{SecretKey, SignError, Signature};

/// The Solidity twins of the messages; only their hashing is used.
pub mod eip712 {
    #![allow(missing_docs, clippy::too_many_arguments)]
    alloy_sol_types::sol! {
        struct Order {
            address payer; uint256 budget; address signer; address token; uint128 maxCost; uint128 maxPricePerHour;
            uint128 maxEgressPerGiB; bytes32 specDigest; uint32 maxSeconds; uint32 readyWithinSeconds; uint8 minTier;
            uint8 verifyLevel; uint8 maxAttempts; bool claimable; uint64 expiresAt; uint256 salt;
        }
        struct Bid {
            bytes32 jobId; uint256 node; uint128 computePerHour; uint128 egressPerGiB; uint32 readyWithinSeconds;
            uint32 quotedSeconds; uint64 expiresAt;
        }
        struct Voucher {
            bytes32 jobId; uint8 attempt; uint32 seq; uint64 signedAt; uint64 billedMillis; uint64 egressBytes;
            uint64 durableMillis; uint64 durableEgressBytes; bytes32 usageRoot; bytes32 logRoot;
        }
        struct Result {
            bytes32 jobId; uint8 attempt; uint64 billedMillis; uint64 egressBytes; uint32 readyAfterSeconds; uint8 outcome;
            int32 exitCode; bytes32 receiptDigest;
        }
        struct Approve { bytes32 resultHash; uint8 rating; }
        struct Extend { bytes32 jobId; uint8 attempt; uint128 addCost; uint32 addSeconds; uint256 salt; }
    }
}

/// Where signatures are valid: one `Cloudverse` on one chain (EIP-712 domain "OpenGPU", version "1").
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Domain {
    /// The chain's id.
    pub chain_id: ChainId,
    /// Address of `Cloudverse`.
    pub contract: Address,
}

impl Domain {
    fn eip712(self) -> Eip712Domain {
        alloy_sol_types::eip712_domain! {
            name: "OpenGPU",
            version: "1",
            chain_id: self.chain_id.0,
            verifying_contract: self.contract,
        }
    }

    /// The domain separator, as `Cloudverse` computes it.
    #[must_use]
    pub fn separator(self) -> B256 {
        self.eip712().separator()
    }
}

/// A message that can be signed for a [`Domain`].
pub trait Signable {
    /// The struct hash, without the domain.
    fn struct_hash(&self) -> B256;

    /// The digest that is signed.
    fn digest(&self, domain: Domain) -> B256 {
        let mut bytes = [0u8; 66];
        bytes[..2].copy_from_slice(&[0x19, 0x01]);
        bytes[2..34].copy_from_slice(domain.separator().as_slice());
        bytes[34..].copy_from_slice(self.struct_hash().as_slice());
        alloy_primitives::keccak256(bytes)
    }

    /// Signs it.
    fn sign(&self, domain: Domain, key: &SecretKey) -> Signature {
        key.sign(self.digest(domain))
    }

    /// Who signed it.
    ///
    /// # Errors
    /// [`SignError`] when the signature is not canonical or recovers to nobody.
    fn signed_by(&self, domain: Domain, signature: &Signature) -> Result<Address, SignError> {
        signature.recover(self.digest(domain))
    }
}

macro_rules! signable {
    ($name:ident) => {
        impl Signable for $name {
            fn struct_hash(&self) -> B256 {
                self.eip712().eip712_hash_struct()
            }
        }
    };
}

/// What a payer wants and what it may cost at most.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Order {
    /// Whose credits pay.
    pub payer: Address,
    /// Budget the spending is debited from; 0 for the payer's own credits.
    pub budget: BudgetId,
    /// Key that co-signs vouchers and results.
    pub signer: Address,
    /// Token all amounts are in.
    pub token: Address,
    /// The escrow: base units locked at match.
    pub max_cost: Amount,
    /// Highest price accepted for an hour of the shape, base units.
    pub max_price_per_hour: Amount,
    /// Highest price accepted for a GiB of egress, base units.
    #[serde(rename = "maxEgressPerGiB")]
    pub max_egress_per_gib: Amount,
    /// sha2-256 of the job's spec in JCS form.
    pub spec_digest: Sha256Digest,
    /// Most billed seconds over all attempts.
    pub max_seconds: u32,
    /// Seconds from match within which the job must be READY; bids may promise less.
    pub ready_within_seconds: u32,
    /// Lowest tier of node accepted (0..4).
    pub min_tier: u8,
    /// Verification level (0..3).
    pub verify_level: u8,
    /// Most attempts (1..4).
    pub max_attempts: u8,
    /// Whether a node may match the order itself.
    pub claimable: bool,
    /// Unix second from which the order is void.
    pub expires_at: u64,
    /// Makes equal orders distinct. JSON: hexadecimal.
    pub salt: U256,
}

impl Order {
    fn eip712(&self) -> eip712::Order {
        eip712::Order {
            payer: self.payer,
            budget: self.budget.0,
            signer: self.signer,
            token: self.token,
            maxCost: self.max_cost.0,
            maxPricePerHour: self.max_price_per_hour.0,
            maxEgressPerGiB: self.max_egress_per_gib.0,
            specDigest: self.spec_digest.0,
            maxSeconds: self.max_seconds,
            readyWithinSeconds: self.ready_within_seconds,
            minTier: self.min_tier,
            verifyLevel: self.verify_level,
            maxAttempts: self.max_attempts,
            claimable: self.claimable,
            expiresAt: self.expires_at,
            salt: self.salt,
        }
    }

    /// The job this order becomes when matched.
    #[must_use]
    pub fn job_id(&self, domain: Domain) -> JobId {
        JobId(self.digest(domain))
    }
}

/// A node's firm offer for one order.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Bid {
    /// The order's digest.
    pub job_id: JobId,
    /// Who offers.
    pub node: NodeId,
    /// Base units for an hour of the shape asked for.
    pub compute_per_hour: Amount,
    /// Base units for a GiB of egress.
    #[serde(rename = "egressPerGiB")]
    pub egress_per_gib: Amount,
    /// Seconds from match within which this node promises READY.
    pub ready_within_seconds: u32,
    /// The node's estimate of billed seconds, for its consistency score.
    pub quoted_seconds: u32,
    /// Unix second from which the bid is void; until then the capacity is held.
    pub expires_at: u64,
}

impl Bid {
    fn eip712(&self) -> eip712::Bid {
        eip712::Bid {
            jobId: self.job_id.0,
            node: self.node.0,
            computePerHour: self.compute_per_hour.0,
            egressPerGiB: self.egress_per_gib.0,
            readyWithinSeconds: self.ready_within_seconds,
            quotedSeconds: self.quoted_seconds,
            expiresAt: self.expires_at,
        }
    }

    /// The bid's two prices.
    #[must_use]
    pub const fn price(&self) -> Price {
        Price {
            compute_per_hour: self.compute_per_hour,
            egress_per_gib: self.egress_per_gib,
        }
    }
}

/// Cumulative usage of one attempt; co-signed, the node can cash it.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Voucher {
    /// The job.
    pub job_id: JobId,
    /// Which attempt, from 1.
    pub attempt: u8,
    /// Number of the proposal within the attempt, from 1; a re-proposal takes the next.
    pub seq: u32,
    /// Unix second of the proposal, checked by the signer against its own clock.
    pub signed_at: u64,
    /// Milliseconds billed since READY.
    pub billed_millis: u64,
    /// Bytes out of the container.
    pub egress_bytes: u64,
    /// Milliseconds at the last durable checkpoint.
    pub durable_millis: u64,
    /// Egress at the last durable checkpoint.
    pub durable_egress_bytes: u64,
    /// Commits to the usage samples so far: sha2-256 of their canonical JSON.
    pub usage_root: Sha256Digest,
    /// Commits to the log so far: sha2-256 of its bytes.
    pub log_root: Sha256Digest,
}

impl Voucher {
    fn eip712(&self) -> eip712::Voucher {
        eip712::Voucher {
            jobId: self.job_id.0,
            attempt: self.attempt,
            seq: self.seq,
            signedAt: self.signed_at,
            billedMillis: self.billed_millis,
            egressBytes: self.egress_bytes,
            durableMillis: self.durable_millis,
            durableEgressBytes: self.durable_egress_bytes,
            usageRoot: self.usage_root.0,
            logRoot: self.log_root.0,
        }
    }
}

/// How an attempt ended, as both sides sign it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Outcome {
    /// The program exited 0.
    Completed,
    /// The payer stopped it.
    Stopped,
    /// The user's program failed: non-zero exit, out of memory, a GPU error of its making.
    UserFault,
    /// The machine failed.
    HardwareFault,
}

impl Outcome {
    /// The number used on chain (1..4).
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Completed => 1,
            Self::Stopped => 2,
            Self::UserFault => 3,
            Self::HardwareFault => 4,
        }
    }

    /// The outcome a number on chain stands for.
    #[must_use]
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::Completed),
            2 => Some(Self::Stopped),
            3 => Some(Self::UserFault),
            4 => Some(Self::HardwareFault),
            _ => None,
        }
    }
}

/// What an attempt came to. Co-signed ([`Approve`]) it settles the job.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct JobResult {
    /// The job.
    pub job_id: JobId,
    /// Which attempt, from 1.
    pub attempt: u8,
    /// Milliseconds billed: the true time, which may be below the last voucher.
    pub billed_millis: u64,
    /// Bytes out of the container.
    pub egress_bytes: u64,
    /// Seconds from match to READY.
    pub ready_after_seconds: u32,
    /// How it ended.
    pub outcome: Outcome,
    /// The program's exit code; 128 + signal when killed by one.
    pub exit_code: i32,
    /// sha2-256 of the receipt in JCS form.
    pub receipt_digest: Sha256Digest,
}

impl JobResult {
    fn eip712(&self) -> eip712::Result {
        eip712::Result {
            jobId: self.job_id.0,
            attempt: self.attempt,
            billedMillis: self.billed_millis,
            egressBytes: self.egress_bytes,
            readyAfterSeconds: self.ready_after_seconds,
            outcome: self.outcome.code(),
            exitCode: self.exit_code,
            receiptDigest: self.receipt_digest.0,
        }
    }

    /// The signer's consent to this result. `result_hash` is the result's EIP-712 digest, the one the operator signs.
    #[must_use]
    pub fn approve(&self, domain: Domain, rating: u8) -> Approve {
        Approve {
            result_hash: self.digest(domain),
            rating,
        }
    }
}

/// The signer's consent to a [`JobResult`].
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Approve {
    /// EIP-712 digest of the result.
    pub result_hash: B256,
    /// 0 none, 1 worst .. 5 best.
    pub rating: u8,
}

impl Approve {
    fn eip712(&self) -> eip712::Approve {
        eip712::Approve {
            resultHash: self.result_hash,
            rating: self.rating,
        }
    }
}

/// Adds cost and time to a running job, signed by payer and operator.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Extend {
    /// The job.
    pub job_id: JobId,
    /// Which attempt, 1..4: an extension of one is none of the next.
    pub attempt: u8,
    /// Base units added to the escrow.
    pub add_cost: Amount,
    /// Seconds added to `maxSeconds`.
    pub add_seconds: u32,
    /// Makes equal extensions distinct. JSON: hexadecimal.
    pub salt: U256,
}

impl Extend {
    fn eip712(&self) -> eip712::Extend {
        eip712::Extend {
            jobId: self.job_id.0,
            attempt: self.attempt,
            addCost: self.add_cost.0,
            addSeconds: self.add_seconds,
            salt: self.salt,
        }
    }
}

signable!(Order);
signable!(Bid);
signable!(Voucher);
signable!(JobResult);
signable!(Approve);
signable!(Extend);
