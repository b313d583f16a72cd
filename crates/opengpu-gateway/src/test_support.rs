//! One job's worth of values for unit tests.

use opengpu_core::ids::{BudgetId, ChainId, JobId, NodeId, Sha256Digest};
use opengpu_core::job::{Ending, JobState, Limits, Progress, Rates, Settlement, Terms, Usage, UsdRate};
use opengpu_core::money::{Amount, Shares};
use opengpu_core::order::{Domain, JobResult, Outcome, Signable as _, Voucher};
use opengpu_core::sign::SecretKey;
use opengpu_core::wire::{ApprovedResult, SignedVoucher};
use opengpu_core::{Address, B256, U256};

use crate::projector::{ChainJob, Change, Fact, Place, apply};

pub(crate) const MATCHED_AT: u64 = 1_800_000_000;

pub(crate) fn job_id() -> JobId {
    JobId(B256::repeat_byte(9))
}

pub(crate) fn domain() -> Domain {
    Domain {
        chain_id: ChainId::LOCAL,
        contract: Address::repeat_byte(0xc1),
    }
}

pub(crate) fn agent_key() -> SecretKey {
    SecretKey::from_bytes([4; 32]).unwrap()
}

pub(crate) fn operator_key() -> SecretKey {
    SecretKey::from_bytes([3; 32]).unwrap()
}

pub(crate) fn terms() -> Terms {
    Terms {
        payer: Address::repeat_byte(1),
        signer: agent_key().address(),
        token: Address::repeat_byte(2),
        operator: operator_key().address(),
        payee: Address::repeat_byte(5),
        budget: BudgetId::default(),
        node: NodeId(U256::from(1)),
        spec_digest: Sha256Digest::of(b"spec"),
        escrow: Amount(100_000),
        compute_per_hour: Amount(600_000),
        egress_per_gib: Amount(0),
        rates: Rates {
            usd_rate: UsdRate(1),
            open_rate: UsdRate(1),
            shares: Shares {
                stakers_bps: 1200,
                treasury_bps: 500,
                discount_bps: 0,
                bonus_bps: 0,
            },
        },
        limits: Limits {
            matched_at: MATCHED_AT,
            max_seconds: 300,
            ready_within_seconds: 120,
            quoted_seconds: 60,
            verify_level: 0,
            max_attempts: 2,
            attempt: 1,
        },
    }
}

pub(crate) fn place(block: u64) -> Place {
    Place {
        block,
        log_index: 0,
        transaction: B256::repeat_byte(7),
        timestamp: MATCHED_AT,
    }
}

pub(crate) fn chain_job() -> ChainJob {
    let matched = Fact {
        job: job_id(),
        place: place(10),
        change: Change::Matched { terms: terms() },
    };
    let job = apply(None, &matched).unwrap();
    assert_eq!(job.state, JobState::Matched);
    assert_eq!(job.progress, Progress::default());
    job
}

pub(crate) fn voucher_at(seq: u32, billed_millis: u64, signed_at: u64) -> Voucher {
    Voucher {
        job_id: job_id(),
        attempt: 1,
        seq,
        signed_at,
        billed_millis,
        egress_bytes: 0,
        durable_millis: billed_millis,
        durable_egress_bytes: 0,
        usage_root: Sha256Digest::of(b"usage"),
        log_root: Sha256Digest::of(b"log"),
    }
}

pub(crate) fn voucher(seq: u32, billed_millis: u64) -> Voucher {
    voucher_at(seq, billed_millis, MATCHED_AT + 10)
}

pub(crate) fn sign_both(voucher: Voucher) -> SignedVoucher {
    SignedVoucher {
        operator_signature: voucher.sign(domain(), &operator_key()),
        signer_signature: voucher.sign(domain(), &agent_key()),
        voucher,
    }
}

pub(crate) fn result(billed_millis: u64) -> JobResult {
    JobResult {
        job_id: job_id(),
        attempt: 1,
        billed_millis,
        egress_bytes: 0,
        ready_after_seconds: 10,
        outcome: Outcome::Completed,
        exit_code: 0,
        receipt_digest: Sha256Digest::of(b"receipt"),
    }
}

pub(crate) fn approve(result: JobResult) -> ApprovedResult {
    let approve = result.approve(domain(), 0);
    ApprovedResult {
        operator_signature: result.sign(domain(), &operator_key()),
        signer_signature: approve.sign(domain(), &agent_key()),
        approve,
        result,
    }
}

/// A settlement whose parts make `paid`, with `refunded` beside it.
pub(crate) fn settlement(ending: Ending, paid: u128, refunded: u128) -> Settlement {
    let (stakers, treasury) = (paid * 12 / 100, paid * 5 / 100);
    Settlement {
        ending,
        rating: 0,
        usage: Usage::default(),
        ready_after_seconds: 0,
        quoted_seconds: 60,
        value: Amount(paid),
        usd_rate: UsdRate(1),
        node_part: Amount(paid - stakers - treasury),
        stakers_part: Amount(stakers),
        treasury_part: Amount(treasury),
        refunded: Amount(refunded),
        spec_digest: Sha256Digest::of(b"spec"),
        receipt_digest: Sha256Digest::of(b"receipt"),
    }
}
