//! The node's side: the next voucher, and when a job must stop.

use alloy_primitives::U512;
use serde::{Deserialize, Serialize};

use crate::ids::{JobId, Sha256Digest};
use crate::job::{Terms, Usage};
use crate::money::{GIB_SHIFT, MILLIS_PER_HOUR};
use crate::order::Voucher;

/// What a node measured of the running attempt.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Measured {
    /// Usage since READY; time in which the container was paused is not in it.
    pub usage: Usage,
    /// Usage at the last durable checkpoint; none: the spec declares no checkpoint, so all usage counts as durable.
    pub durable: Option<Usage>,
    /// sha2-256 of the usage samples so far in canonical JSON.
    pub usage_root: Sha256Digest,
    /// sha2-256 of the log so far.
    pub log_root: Sha256Digest,
}

/// What ends an attempt from the payer's side without a stop.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum LimitKind {
    /// The attempt's `maxSeconds` are used up.
    MaxSeconds,
    /// The escrow is used up.
    Escrow,
}

/// The most time that can be billed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Limit {
    /// Milliseconds of the attempt.
    pub millis: u64,
    /// What sets them.
    pub kind: LimitKind,
}

/// The most milliseconds an attempt can bill beside `egress_bytes`: the smaller of `maxSeconds` and the largest time
/// whose cost is not above the escrow, to the millisecond.
#[must_use]
pub fn limit(terms: &Terms, egress_bytes: u64) -> Limit {
    let affordable = affordable_millis_rounded_down(terms, egress_bytes);
    if affordable < terms.max_millis() {
        Limit {
            millis: affordable,
            kind: LimitKind::Escrow,
        }
    } else {
        Limit {
            millis: terms.max_millis(),
            kind: LimitKind::MaxSeconds,
        }
    }
}

/// Whether usage has come to its limit: the node then stops the job, with outcome *stopped*.
#[must_use]
pub fn limit_reached(terms: &Terms, usage: Usage) -> Option<LimitKind> {
    let limit = limit(terms, usage.egress_bytes);
    (usage.billed_millis >= limit.millis).then_some(limit.kind)
}

/// The next voucher to propose: usage so far and one interval ahead, at most the [`limit`]; nothing falls below
/// `previous`, the newest voucher proposed in this attempt (none at READY), and `seq` goes up by one.
#[must_use]
pub fn propose(
    terms: &Terms,
    job_id: JobId,
    previous: Option<&Voucher>,
    measured: &Measured,
    interval_seconds: u32,
    now_millis: u64,
) -> Voucher {
    let floor = previous.map_or_else(Usage::default, |voucher| Usage {
        billed_millis: voucher.billed_millis,
        egress_bytes: voucher.egress_bytes,
    });
    // Egress the escrow cannot pay beside the time already agreed is the node's loss: it should have stopped the job.
    let egress_bytes = measured
        .usage
        .egress_bytes
        .min(affordable_egress_rounded_down(terms, floor.billed_millis))
        .max(floor.egress_bytes);
    let ahead = u64::from(interval_seconds) * 1000;
    let billed_millis = measured
        .usage
        .billed_millis
        .saturating_add(ahead)
        .min(limit(terms, egress_bytes).millis)
        .max(floor.billed_millis);
    let durable = measured.durable.map_or((billed_millis, egress_bytes), |usage| {
        (
            usage.billed_millis.min(billed_millis),
            usage.egress_bytes.min(egress_bytes),
        )
    });
    Voucher {
        job_id,
        attempt: terms.attempt(),
        seq: previous.map_or(1, |voucher| voucher.seq.saturating_add(1)),
        signed_at: (now_millis / 1000).max(previous.map_or(0, |voucher| voucher.signed_at)),
        billed_millis,
        egress_bytes,
        durable_millis: durable.0.max(previous.map_or(0, |voucher| voucher.durable_millis)),
        durable_egress_bytes: durable
            .1
            .max(previous.map_or(0, |voucher| voucher.durable_egress_bytes)),
        usage_root: measured.usage_root,
        log_root: measured.log_root,
    }
}

/// The escrow as a numerator of the cost formula: `ceil(n / (3_600_000·2^30)) ≤ escrow` is `n ≤` this.
fn escrow_numerator(terms: &Terms) -> U512 {
    (U512::from(terms.escrow.0) * U512::from(MILLIS_PER_HOUR)) << GIB_SHIFT
}

fn affordable_millis_rounded_down(terms: &Terms, egress_bytes: u64) -> u64 {
    let egress = U512::from(egress_bytes) * U512::from(terms.egress_per_gib.0) * U512::from(MILLIS_PER_HOUR);
    let left = escrow_numerator(terms).saturating_sub(egress);
    largest(left, U512::from(terms.compute_per_hour.0) << GIB_SHIFT)
}

fn affordable_egress_rounded_down(terms: &Terms, billed_millis: u64) -> u64 {
    let compute = (U512::from(billed_millis) * U512::from(terms.compute_per_hour.0)) << GIB_SHIFT;
    let left = escrow_numerator(terms).saturating_sub(compute);
    largest(left, U512::from(terms.egress_per_gib.0) * U512::from(MILLIS_PER_HOUR))
}

/// How often `each` fits in `left`; without end when it is free.
fn largest(left: U512, each: U512) -> u64 {
    if each == U512::ZERO {
        return u64::MAX;
    }
    u64::try_from(left / each).unwrap_or(u64::MAX)
}
