//! The signer's side: whether to co-sign a voucher or a result.

use crate::ids::JobId;
use crate::job::{Progress, Terms, Usage};
use crate::metering::limit_reached;
use crate::money::{Amount, MoneyError, cost_rounded_up};
use crate::order::{JobResult, Outcome, Voucher};

/// How far a voucher's `signedAt` may be from the signer's clock, milliseconds.
pub const CLOCK_TOLERANCE_MILLIS: u64 = 30_000;

/// Billed time may be ahead of the signer's clock by this much, milliseconds: `signedAt` is in whole seconds, and a
/// message takes some time. It does not add up over vouchers, as all are measured from READY.
pub const SLACK_MILLIS: u64 = 2_000;

/// The program has this long between SIGTERM and SIGKILL when it is stopped, milliseconds; it is billed.
pub const STOP_GRACE_MILLIS: u64 = 5_000;

/// What a signer knows of an attempt when it is asked to sign.
#[derive(Clone, Copy, Debug)]
pub struct SignerView<'a> {
    /// The job.
    pub job_id: JobId,
    /// From the chain.
    pub terms: &'a Terms,
    /// From the chain.
    pub progress: &'a Progress,
    /// The spec's `voucherIntervalSeconds`.
    pub interval_seconds: u32,
    /// When the meter started, on the signer's clock, Unix milliseconds: what [`ready_at`] said of the first voucher this
    /// signer signed (or of the newest one, after it lost its memory). None: nothing was signed yet.
    pub ready_at_millis: Option<u64>,
    /// Newest voucher both have signed.
    pub previous: Option<&'a Voucher>,
    /// Whether payer or signer asked to stop.
    pub is_stop_wished: bool,
    /// Unix milliseconds.
    pub now_millis: u64,
}

/// When the meter started, told from a voucher taken in at `seen_at_millis`: it covers one interval ahead, so it was READY
/// `billedMillis` less an interval ago. After a loss of memory `seen_at_millis` is the voucher's own `signedAt`.
/// An answer that is too late (the voucher was capped, or came late) only delays consent by that much.
#[must_use]
pub fn ready_at(voucher: &Voucher, interval_seconds: u32, seen_at_millis: u64) -> u64 {
    let ahead = u64::from(interval_seconds) * 1000;
    seen_at_millis.saturating_sub(voucher.billed_millis.saturating_sub(ahead))
}

/// Why a voucher is not co-signed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VoucherRefused {
    /// It is of another job or attempt.
    #[error("voucher is of another job or attempt")]
    OtherAttempt,
    /// Its number is not above the newest one signed by both.
    #[error("voucher number {seq} is not above {newest}, which both have signed")]
    NotNewer {
        /// Of this voucher.
        seq: u32,
        /// Of the newest signed one.
        newest: u32,
    },
    /// A cumulative field is below what was signed before.
    #[error("{field} falls from {before} to {now}")]
    Falls {
        /// The field's name in the message.
        field: &'static str,
        /// In the newest signed voucher.
        before: u64,
        /// In this one.
        now: u64,
    },
    /// Its durable part is above the whole.
    #[error("durable usage is above the whole")]
    DurableAboveCumulative,
    /// Its clock and the signer's are too far apart: retry when the node's clock is right.
    #[error("signed at {signed_at}, which is more than 30 s away from the signer's clock ({now})")]
    ClockApart {
        /// Unix second in the voucher.
        signed_at: u64,
        /// Unix second of the signer.
        now: u64,
    },
    /// It bills more than the time that has passed and one interval: retry when that time has passed.
    #[error("bills {billed_millis} ms, {allowed_millis} ms are due by now")]
    AheadOfTime {
        /// Asked.
        billed_millis: u64,
        /// Allowed now.
        allowed_millis: u64,
    },
    /// It bills more than the attempt's `maxSeconds`.
    #[error("bills {billed_millis} ms, the job's limit is {max_millis} ms")]
    AboveMaxSeconds {
        /// Asked.
        billed_millis: u64,
        /// The limit.
        max_millis: u64,
    },
    /// It is worth more than the escrow.
    #[error("is worth more than the escrow of {escrow}")]
    AboveEscrow {
        /// Base units.
        escrow: Amount,
    },
}

impl VoucherRefused {
    /// Whether the same voucher may be accepted later.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        matches!(self, Self::ClockApart { .. } | Self::AheadOfTime { .. })
    }
}

/// Whether the signer may co-sign `voucher`. Its operator signature is the caller's to check.
///
/// # Errors
/// [`VoucherRefused`] naming the rule it breaks.
pub fn check_voucher(view: &SignerView<'_>, voucher: &Voucher) -> Result<(), VoucherRefused> {
    if voucher.job_id != view.job_id || voucher.attempt != view.terms.attempt() || voucher.seq == 0 {
        return Err(VoucherRefused::OtherAttempt);
    }
    if let Some(previous) = view.previous {
        check_grows(previous, voucher)?;
    }
    if voucher.durable_millis > voucher.billed_millis || voucher.durable_egress_bytes > voucher.egress_bytes {
        return Err(VoucherRefused::DurableAboveCumulative);
    }
    if view.now_millis.abs_diff(voucher.signed_at.saturating_mul(1000)) > CLOCK_TOLERANCE_MILLIS {
        return Err(VoucherRefused::ClockApart {
            signed_at: voucher.signed_at,
            now: view.now_millis / 1000,
        });
    }
    let (billed_millis, max_millis) = (voucher.billed_millis, view.terms.max_millis());
    if billed_millis > max_millis {
        return Err(VoucherRefused::AboveMaxSeconds {
            billed_millis,
            max_millis,
        });
    }
    if is_above(cost(view.terms, billed_millis, voucher.egress_bytes), view.terms.escrow) {
        return Err(VoucherRefused::AboveEscrow {
            escrow: view.terms.escrow,
        });
    }
    let allowed_millis = view.due_millis().saturating_add(view.interval_millis());
    if billed_millis > allowed_millis {
        return Err(VoucherRefused::AheadOfTime {
            billed_millis,
            allowed_millis,
        });
    }
    Ok(())
}

fn check_grows(previous: &Voucher, voucher: &Voucher) -> Result<(), VoucherRefused> {
    if voucher.seq <= previous.seq {
        return Err(VoucherRefused::NotNewer {
            seq: voucher.seq,
            newest: previous.seq,
        });
    }
    let fields = [
        ("signedAt", previous.signed_at, voucher.signed_at),
        ("billedMillis", previous.billed_millis, voucher.billed_millis),
        ("egressBytes", previous.egress_bytes, voucher.egress_bytes),
        ("durableMillis", previous.durable_millis, voucher.durable_millis),
        (
            "durableEgressBytes",
            previous.durable_egress_bytes,
            voucher.durable_egress_bytes,
        ),
    ];
    fields
        .into_iter()
        .find(|(_, before, now)| now < before)
        .map_or(Ok(()), |(field, before, now)| {
            Err(VoucherRefused::Falls { field, before, now })
        })
}

impl SignerView<'_> {
    fn interval_millis(&self) -> u64 {
        u64::from(self.interval_seconds) * 1000
    }

    /// Milliseconds since the attempt's match.
    fn since_match_millis(&self) -> u64 {
        let matched_at_millis = self.terms.matched_at().saturating_mul(1000);
        self.now_millis.saturating_sub(matched_at_millis)
    }

    /// The most milliseconds the meter can have run, with slack. A signer that has signed nothing yet grants two
    /// intervals: after two unsigned ones the node pauses.
    fn due_millis(&self) -> u64 {
        let since_ready = match self.ready_at_millis {
            Some(ready_at) => self.now_millis.saturating_sub(ready_at),
            None => 2 * self.interval_millis(),
        };
        since_ready.min(self.since_match_millis()).saturating_add(SLACK_MILLIS)
    }

    /// The most milliseconds of a stopped job: a node pauses two intervals after the newest voucher, and stops get none.
    fn due_after_stop_millis(&self) -> u64 {
        let covered = self.previous.map_or(0, |newest| newest.billed_millis);
        let run_on = 2 * self.interval_millis() + STOP_GRACE_MILLIS + SLACK_MILLIS;
        covered.max(self.progress.billed_millis).saturating_add(run_on)
    }
}

fn cost(terms: &Terms, billed_millis: u64, egress_bytes: u64) -> Result<Amount, MoneyError> {
    cost_rounded_up(terms.price(), billed_millis, egress_bytes)
}

fn is_above(value: Result<Amount, MoneyError>, bound: Amount) -> bool {
    value.map_or(true, |value| value > bound)
}

/// Why a result is not approved.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ResultRefused {
    /// It is of another job or attempt.
    #[error("result is of another job or attempt")]
    OtherAttempt,
    /// It bills more than the time that has passed since READY: retry when that time has passed.
    #[error("bills {billed_millis} ms, at most {allowed_millis} ms have passed since READY")]
    AheadOfTime {
        /// Asked.
        billed_millis: u64,
        /// Passed, with slack.
        allowed_millis: u64,
    },
    /// It bills more than the attempt's `maxSeconds`.
    #[error("bills {billed_millis} ms, the job's limit is {max_millis} ms")]
    AboveMaxSeconds {
        /// Asked.
        billed_millis: u64,
        /// The limit.
        max_millis: u64,
    },
    /// After a stop no voucher is signed, and it bills more than a node runs on without one.
    #[error("bills {billed_millis} ms, of a job that was stopped at most {allowed_millis} ms are due")]
    RunsOnAfterStop {
        /// Asked.
        billed_millis: u64,
        /// Covered by vouchers, two intervals, the stop's grace and slack.
        allowed_millis: u64,
    },
    /// It is worth more than the escrow.
    #[error("is worth more than the escrow of {escrow}")]
    AboveEscrow {
        /// Base units.
        escrow: Amount,
    },
    /// It is worth less than the node has already collected, which the contract refuses.
    #[error("is worth {value}, of which {collected} were collected before")]
    BelowCollected {
        /// Base units.
        value: Amount,
        /// Base units.
        collected: Amount,
    },
    /// READY and the billed time do not fit between match and now.
    #[error("was READY {ready_after_seconds} s after the match, which leaves no room for {billed_millis} ms")]
    ReadyTooLate {
        /// Claimed.
        ready_after_seconds: u32,
        /// Claimed.
        billed_millis: u64,
    },
    /// Exit code and outcome contradict each other.
    #[error("outcome {outcome:?} does not go with exit code {exit_code}")]
    ImplausibleOutcome {
        /// Claimed.
        outcome: Outcome,
        /// Claimed.
        exit_code: i32,
    },
    /// It says *stopped*, but nobody asked for that and no limit was reached. Retry: the wish may be on its way.
    #[error("says the job was stopped, but nobody asked for it and no limit was reached")]
    NobodyStopped,
}

impl ResultRefused {
    /// Whether the same result may be accepted later.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        matches!(
            self,
            Self::AheadOfTime { .. } | Self::ReadyTooLate { .. } | Self::NobodyStopped
        )
    }
}

/// Whether the signer may approve `result` by time, money and outcome. That its receipt says the same is
/// [`Receipt::consistent_with`](crate::receipt::Receipt::consistent_with); that its bytes are stored is the caller's.
///
/// # Errors
/// [`ResultRefused`] naming the rule it breaks.
pub fn check_result(view: &SignerView<'_>, result: &JobResult) -> Result<(), ResultRefused> {
    if result.job_id != view.job_id || result.attempt != view.terms.attempt() {
        return Err(ResultRefused::OtherAttempt);
    }
    check_outcome(view, result)?;
    let (billed_millis, max_millis) = (result.billed_millis, view.terms.max_millis());
    if billed_millis > max_millis {
        return Err(ResultRefused::AboveMaxSeconds {
            billed_millis,
            max_millis,
        });
    }
    let escrow = view.terms.escrow;
    let value = cost(view.terms, billed_millis, result.egress_bytes)
        .ok()
        .filter(|value| *value <= escrow)
        .ok_or(ResultRefused::AboveEscrow { escrow })?;
    if value < view.progress.value {
        return Err(ResultRefused::BelowCollected {
            value,
            collected: view.progress.value,
        });
    }
    let allowed_millis = view.due_millis();
    if billed_millis > allowed_millis {
        return Err(ResultRefused::AheadOfTime {
            billed_millis,
            allowed_millis,
        });
    }
    let allowed_millis = view.due_after_stop_millis();
    if view.is_stop_wished && billed_millis > allowed_millis {
        return Err(ResultRefused::RunsOnAfterStop {
            billed_millis,
            allowed_millis,
        });
    }
    let from_match_to_end = u64::from(result.ready_after_seconds) * 1000 + billed_millis;
    if from_match_to_end > view.since_match_millis().saturating_add(SLACK_MILLIS) {
        return Err(ResultRefused::ReadyTooLate {
            ready_after_seconds: result.ready_after_seconds,
            billed_millis,
        });
    }
    Ok(())
}

fn check_outcome(view: &SignerView<'_>, result: &JobResult) -> Result<(), ResultRefused> {
    let is_plausible = match result.outcome {
        Outcome::Completed => result.exit_code == 0,
        Outcome::UserFault => result.exit_code != 0,
        Outcome::Stopped | Outcome::HardwareFault => true,
    };
    if !is_plausible {
        return Err(ResultRefused::ImplausibleOutcome {
            outcome: result.outcome,
            exit_code: result.exit_code,
        });
    }
    let usage = Usage {
        billed_millis: result.billed_millis,
        egress_bytes: result.egress_bytes,
    };
    let is_stopped_by_payer = view.is_stop_wished || limit_reached(view.terms, usage).is_some();
    if result.outcome == Outcome::Stopped && !is_stopped_by_payer {
        return Err(ResultRefused::NobodyStopped);
    }
    Ok(())
}
