//! The one place where the contracts' types become core's and back.

use alloy::primitives::{Bytes, FixedBytes, U256, Uint};
use opengpu_core::Address;
use opengpu_core::ids::{BudgetId, JobId, NodeId, Sha256Digest};
use opengpu_core::job::{Ending, JobState, Limits, Progress, Rates, Settlement, Terms, Usage, UsdRate};
use opengpu_core::money::Amount;
use opengpu_core::order::{Bid, Extend, JobResult, Order, Outcome, Voucher};
use opengpu_core::sign::Signature;
use opengpu_core::wire::SignedVoucher;

use crate::bindings::Cloudverse as abi;
use crate::error::ChainError;

pub(crate) fn malformed(what: impl std::fmt::Display) -> ChainError {
    ChainError::Malformed(what.to_string())
}

/// An amount from a `uint256`. More than 2^128 − 1 base units, which only a worthless token can have, reads as 2^128 − 1.
pub(crate) fn amount(value: U256) -> Amount {
    Amount(u128::try_from(value).unwrap_or(u128::MAX))
}

/// A small number from a wider Solidity type.
pub(crate) fn small<const BITS: usize, const LIMBS: usize>(value: Uint<BITS, LIMBS>) -> u64 {
    value.saturating_to::<u64>()
}

pub(crate) fn order(order: &Order) -> abi::Order {
    abi::Order {
        payer: order.payer,
        budget: order.budget.0,
        signer: order.signer,
        token: order.token,
        maxCost: order.max_cost.0,
        maxPricePerHour: order.max_price_per_hour.0,
        maxEgressPerGiB: order.max_egress_per_gib.0,
        specDigest: order.spec_digest.0,
        maxSeconds: order.max_seconds,
        readyWithinSeconds: order.ready_within_seconds,
        minTier: order.min_tier,
        verifyLevel: order.verify_level,
        maxAttempts: order.max_attempts,
        claimable: order.claimable,
        expiresAt: order.expires_at,
        salt: order.salt,
    }
}

pub(crate) fn bid(bid: &Bid) -> abi::Bid {
    abi::Bid {
        jobId: bid.job_id.0,
        node: bid.node.0,
        computePerHour: bid.compute_per_hour.0,
        egressPerGiB: bid.egress_per_gib.0,
        readyWithinSeconds: bid.ready_within_seconds,
        quotedSeconds: bid.quoted_seconds,
        expiresAt: bid.expires_at,
    }
}

pub(crate) fn voucher(voucher: &Voucher) -> abi::Voucher {
    abi::Voucher {
        jobId: voucher.job_id.0,
        attempt: voucher.attempt,
        seq: voucher.seq,
        signedAt: voucher.signed_at,
        billedMillis: voucher.billed_millis,
        egressBytes: voucher.egress_bytes,
        durableMillis: voucher.durable_millis,
        durableEgressBytes: voucher.durable_egress_bytes,
        usageRoot: voucher.usage_root.0,
        logRoot: voucher.log_root.0,
    }
}

/// A voucher or the contracts' "none" (all zero), which names no job.
pub(crate) fn voucher_or_none(given: Option<&Voucher>) -> abi::Voucher {
    given.map_or_else(
        || abi::Voucher {
            jobId: FixedBytes::ZERO,
            attempt: 0,
            seq: 0,
            signedAt: 0,
            billedMillis: 0,
            egressBytes: 0,
            durableMillis: 0,
            durableEgressBytes: 0,
            usageRoot: FixedBytes::ZERO,
            logRoot: FixedBytes::ZERO,
        },
        voucher,
    )
}

/// A signature as calldata, empty when `signer` sends the transaction itself (the contracts then need none).
pub(crate) fn signature(signature: Signature, signer: Address, sender: Option<Address>) -> Bytes {
    if sender == Some(signer) {
        Bytes::new()
    } else {
        Bytes::copy_from_slice(&signature.0)
    }
}

/// A voucher with both signatures, or "none" with empty ones.
pub(crate) fn signed_voucher(
    given: Option<&SignedVoucher>,
    terms: &Terms,
    sender: Option<Address>,
) -> (abi::Voucher, Bytes, Bytes) {
    match given {
        None => (voucher_or_none(None), Bytes::new(), Bytes::new()),
        Some(signed) => (
            voucher(&signed.voucher),
            signature(signed.operator_signature, terms.operator, sender),
            signature(signed.signer_signature, terms.signer, sender),
        ),
    }
}

pub(crate) fn result(result: &JobResult) -> abi::Result {
    abi::Result {
        jobId: result.job_id.0,
        attempt: result.attempt,
        billedMillis: result.billed_millis,
        egressBytes: result.egress_bytes,
        readyAfterSeconds: result.ready_after_seconds,
        outcome: result.outcome.code(),
        exitCode: result.exit_code,
        receiptDigest: result.receipt_digest.0,
    }
}

pub(crate) fn extend(extend: &Extend) -> abi::Extend {
    abi::Extend {
        jobId: extend.job_id.0,
        attempt: extend.attempt,
        addCost: extend.add_cost.0,
        addSeconds: extend.add_seconds,
        salt: extend.salt,
    }
}

pub(crate) fn terms(terms: &Terms) -> Result<abi::Terms, ChainError> {
    Ok(abi::Terms {
        payer: terms.payer,
        signer: terms.signer,
        token: terms.token,
        operator: terms.operator,
        payee: terms.payee,
        budget: terms.budget.0,
        node: terms.node.0,
        specDigest: terms.spec_digest.0,
        escrow: terms.escrow.0,
        computePerHour: terms.compute_per_hour.0,
        egressPerGiB: terms.egress_per_gib.0,
        rates: terms.rates.pack().map_err(malformed)?,
        limits: terms.limits.pack(),
    })
}

pub(crate) fn progress(progress: &Progress) -> abi::Progress {
    let [earlier_owner1, earlier_owner2, earlier_owner3] = progress.earlier_owners;
    abi::Progress {
        value: progress.value.0,
        billedMillis: progress.billed_millis,
        declared: progress.declared,
        reportedAt: progress.reported_at,
        reportableFrom: progress.reportable_from,
        earlierOwner1: earlier_owner1,
        earlierOwner2: earlier_owner2,
        earlierOwner3: earlier_owner3,
    }
}

pub(crate) fn terms_from(terms: &abi::Terms) -> Result<Terms, ChainError> {
    Ok(Terms {
        payer: terms.payer,
        signer: terms.signer,
        token: terms.token,
        operator: terms.operator,
        payee: terms.payee,
        budget: BudgetId(terms.budget),
        node: NodeId(terms.node),
        spec_digest: Sha256Digest(terms.specDigest),
        escrow: Amount(terms.escrow),
        compute_per_hour: Amount(terms.computePerHour),
        egress_per_gib: Amount(terms.egressPerGiB),
        rates: Rates::unpack(terms.rates),
        limits: Limits::unpack(terms.limits).map_err(malformed)?,
    })
}

pub(crate) fn progress_from(progress: &abi::Progress) -> Progress {
    Progress {
        value: Amount(progress.value),
        billed_millis: progress.billedMillis,
        declared: progress.declared,
        reported_at: progress.reportedAt,
        reportable_from: progress.reportableFrom,
        earlier_owners: [progress.earlierOwner1, progress.earlierOwner2, progress.earlierOwner3],
    }
}

/// A voucher, `None` for the contracts' "none" (`seq` 0).
pub(crate) fn voucher_from(voucher: &abi::Voucher) -> Option<Voucher> {
    (voucher.seq != 0).then_some(Voucher {
        job_id: JobId(voucher.jobId),
        attempt: voucher.attempt,
        seq: voucher.seq,
        signed_at: voucher.signedAt,
        billed_millis: voucher.billedMillis,
        egress_bytes: voucher.egressBytes,
        durable_millis: voucher.durableMillis,
        durable_egress_bytes: voucher.durableEgressBytes,
        usage_root: Sha256Digest(voucher.usageRoot),
        log_root: Sha256Digest(voucher.logRoot),
    })
}

pub(crate) fn result_from(result: &abi::Result) -> Result<JobResult, ChainError> {
    Ok(JobResult {
        job_id: JobId(result.jobId),
        attempt: result.attempt,
        billed_millis: result.billedMillis,
        egress_bytes: result.egressBytes,
        ready_after_seconds: result.readyAfterSeconds,
        outcome: Outcome::from_code(result.outcome).ok_or_else(|| malformed(format!("outcome {}", result.outcome)))?,
        exit_code: result.exitCode,
        receipt_digest: Sha256Digest(result.receiptDigest),
    })
}

pub(crate) fn settlement_from(settlement: &abi::Settlement) -> Result<Settlement, ChainError> {
    Ok(Settlement {
        ending: ending(settlement.ending)?,
        rating: settlement.rating,
        usage: Usage {
            billed_millis: settlement.billedMillis,
            egress_bytes: settlement.egressBytes,
        },
        ready_after_seconds: settlement.readyAfterSeconds,
        quoted_seconds: settlement.quotedSeconds,
        value: Amount(settlement.value),
        usd_rate: UsdRate(settlement.usdRate),
        node_part: Amount(settlement.nodePart),
        stakers_part: Amount(settlement.stakersPart),
        treasury_part: Amount(settlement.treasuryPart),
        refunded: Amount(settlement.refunded),
        spec_digest: Sha256Digest(settlement.specDigest),
        receipt_digest: Sha256Digest(settlement.receiptDigest),
    })
}

pub(crate) fn state(code: u8) -> Result<JobState, ChainError> {
    JobState::from_code(code).ok_or_else(|| malformed(format!("job state {code}")))
}

fn ending(code: u8) -> Result<Ending, ChainError> {
    Ending::from_code(code).ok_or_else(|| malformed(format!("ending {code}")))
}
