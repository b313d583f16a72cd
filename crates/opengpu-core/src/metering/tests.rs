//! The meter's rules, by node and signer in step, and by a node that cheats.

use alloy_primitives::{Address, B256};
use proptest::prelude::*;

use super::*;
use crate::ids::{JobId, Sha256Digest};
use crate::job::{Limits, Progress, Rates, Terms, Usage};
use crate::money::{Amount, cost_rounded_up};
use crate::order::{JobResult, Outcome, Voucher};

const JOB: JobId = JobId(B256::repeat_byte(7));
const MATCHED_AT: u64 = 1_800_000_000;
const READY_MILLIS: u64 = (MATCHED_AT + 3) * 1000;
const INTERVAL: u32 = 5;

fn terms(escrow: u128, max_seconds: u32) -> Terms {
    Terms {
        payer: Address::repeat_byte(1),
        signer: Address::repeat_byte(2),
        token: Address::repeat_byte(3),
        operator: Address::repeat_byte(4),
        payee: Address::repeat_byte(5),
        budget: Default::default(),
        node: Default::default(),
        spec_digest: Sha256Digest::of(b"spec"),
        escrow: Amount(escrow),
        compute_per_hour: Amount(3_600_000),
        egress_per_gib: Amount(1 << 30),
        rates: Rates::unpack(Default::default()),
        limits: Limits {
            matched_at: MATCHED_AT,
            max_seconds,
            attempt: 1,
            max_attempts: 1,
            ..Limits::default()
        },
    }
}

fn measured(millis: u64, egress_bytes: u64) -> Measured {
    Measured {
        usage: Usage {
            billed_millis: millis,
            egress_bytes,
        },
        durable: None,
        usage_root: Sha256Digest::of(b"usage"),
        log_root: Sha256Digest::of(b"log"),
    }
}

fn voucher_at(terms: &Terms, previous: Option<&Voucher>, elapsed: u64) -> Voucher {
    propose(
        terms,
        JOB,
        previous,
        &measured(elapsed, 0),
        INTERVAL,
        READY_MILLIS + elapsed,
    )
}

fn view<'a>(terms: &'a Terms, progress: &'a Progress, previous: Option<&'a Voucher>, elapsed: u64) -> SignerView<'a> {
    SignerView {
        job_id: JOB,
        terms,
        progress,
        interval_seconds: INTERVAL,
        ready_at_millis: previous.map(|_| READY_MILLIS),
        previous,
        is_stop_wished: false,
        now_millis: READY_MILLIS + elapsed,
    }
}

fn result(millis: u64, outcome: Outcome, exit_code: i32) -> JobResult {
    JobResult {
        job_id: JOB,
        attempt: 1,
        billed_millis: millis,
        egress_bytes: 0,
        ready_after_seconds: 3,
        outcome,
        exit_code,
        receipt_digest: Sha256Digest::of(b"receipt"),
    }
}

#[test]
fn first_voucher_covers_one_interval_and_each_later_one_one_more() {
    let (terms, progress) = (terms(1_000_000, 3600), Progress::default());
    let first = voucher_at(&terms, None, 0);
    assert_eq!(
        (first.seq, first.billed_millis, first.durable_millis),
        (1, 5_000, 5_000)
    );
    assert_eq!(check_voucher(&view(&terms, &progress, None, 0), &first), Ok(()));
    let second = voucher_at(&terms, Some(&first), 5_000);
    assert_eq!((second.seq, second.billed_millis), (2, 10_000));
    assert_eq!(
        check_voucher(&view(&terms, &progress, Some(&first), 5_000), &second),
        Ok(())
    );
}

#[test]
fn voucher_stops_at_max_seconds_and_at_the_escrow() {
    let short = terms(1_000_000, 7);
    assert_eq!(voucher_at(&short, None, 6_000).billed_millis, 7_000);
    assert_eq!(limit_reached(&short, measured(6_999, 0).usage), None);
    assert_eq!(
        limit_reached(&short, measured(7_000, 0).usage),
        Some(LimitKind::MaxSeconds)
    );
    // A base unit a millisecond, and one a byte: 6 000 units buy 5 900 ms beside 100 bytes.
    let poor = terms(6_000, 3600);
    assert_eq!(limit(&poor, 100).millis, 5_900);
    assert_eq!(limit(&poor, 100).kind, LimitKind::Escrow);
    let voucher = propose(&poor, JOB, None, &measured(4_000, 100), INTERVAL, READY_MILLIS + 4_000);
    assert_eq!((voucher.billed_millis, voucher.egress_bytes), (5_900, 100));
}

#[test]
fn egress_beyond_the_escrow_is_not_billed() {
    let poor = terms(6_000, 3600);
    let first = voucher_at(&poor, None, 0);
    let voucher = propose(
        &poor,
        JOB,
        Some(&first),
        &measured(1_000, 50_000),
        INTERVAL,
        READY_MILLIS + 1_000,
    );
    assert_eq!((voucher.billed_millis, voucher.egress_bytes), (5_000, 1_000));
    assert_eq!(
        limit_reached(&poor, measured(1_000, 50_000).usage),
        Some(LimitKind::Escrow)
    );
}

#[test]
fn time_that_has_not_passed_is_refused_until_it_has() {
    let (terms, progress) = (terms(1_000_000, 3600), Progress::default());
    let first = voucher_at(&terms, None, 0);
    let mut second = voucher_at(&terms, Some(&first), 5_000);
    second.billed_millis = 20_000;
    second.durable_millis = 20_000;
    let refused = check_voucher(&view(&terms, &progress, Some(&first), 5_000), &second).unwrap_err();
    assert!(
        matches!(
            refused,
            VoucherRefused::AheadOfTime {
                allowed_millis: 12_000,
                ..
            }
        ),
        "{refused}"
    );
    assert!(refused.is_retryable());
    second.signed_at += 10;
    assert_eq!(
        check_voucher(&view(&terms, &progress, Some(&first), 13_000), &second),
        Ok(())
    );
}

#[test]
fn slack_does_not_add_up_over_vouchers() {
    let (terms, progress) = (terms(1_000_000, 3600), Progress::default());
    let mut newest = voucher_at(&terms, None, 0);
    for step in 1..=20u64 {
        let mut greedy = voucher_at(&terms, Some(&newest), step * 5_000);
        greedy.billed_millis = newest.billed_millis + 7_000;
        greedy.durable_millis = greedy.billed_millis;
        if check_voucher(&view(&terms, &progress, Some(&newest), step * 5_000), &greedy).is_ok() {
            newest = greedy;
        }
    }
    assert!(
        newest.billed_millis <= 100_000 + 5_000 + SLACK_MILLIS,
        "{}",
        newest.billed_millis
    );
}

#[test]
fn rules_of_a_voucher_are_named_when_broken() {
    let (terms, progress) = (terms(100_000, 60), Progress::default());
    let first = voucher_at(&terms, None, 0);
    let good = voucher_at(&terms, Some(&first), 5_000);
    let refused = |change: fn(&mut Voucher)| {
        let mut bad = good.clone();
        change(&mut bad);
        check_voucher(&view(&terms, &progress, Some(&first), 5_000), &bad).unwrap_err()
    };
    assert_eq!(refused(|v| v.attempt = 2), VoucherRefused::OtherAttempt);
    assert_eq!(refused(|v| v.job_id = JobId(B256::ZERO)), VoucherRefused::OtherAttempt);
    assert!(matches!(
        refused(|v| v.seq = 1),
        VoucherRefused::NotNewer { seq: 1, newest: 1 }
    ));
    let falls = refused(|v| {
        v.billed_millis = 4_999;
        v.durable_millis = 4_999;
    });
    assert!(matches!(
        falls,
        VoucherRefused::Falls {
            field: "billedMillis",
            ..
        }
    ));
    assert!(matches!(
        refused(|v| v.signed_at -= 1000),
        VoucherRefused::Falls { field: "signedAt", .. }
    ));
    assert_eq!(
        refused(|v| v.durable_millis += 1),
        VoucherRefused::DurableAboveCumulative
    );
    let apart = refused(|v| v.signed_at += 31);
    assert!(matches!(apart, VoucherRefused::ClockApart { .. }) && apart.is_retryable());
    assert!(matches!(
        refused(|v| v.billed_millis = 60_001),
        VoucherRefused::AboveMaxSeconds { .. }
    ));
    let dear = refused(|v| v.egress_bytes = 100_000);
    assert!(matches!(dear, VoucherRefused::AboveEscrow { .. }) && !dear.is_retryable());
}

#[test]
fn signer_that_comes_late_grants_two_unsigned_intervals() {
    let (terms, progress) = (terms(1_000_000, 3600), Progress::default());
    let late = voucher_at(&terms, Some(&voucher_at(&terms, None, 0)), 10_000);
    assert_eq!(check_voucher(&view(&terms, &progress, None, 10_000), &late), Ok(()));
    let too_much = voucher_at(&terms, None, 13_000);
    assert!(check_voucher(&view(&terms, &progress, None, 13_000), &too_much).is_err());
}

#[test]
fn signer_that_lost_its_memory_tells_ready_from_the_newest_voucher() {
    let (terms, progress) = (terms(1_000_000, 3600), Progress::default());
    let newest = voucher_at(&terms, Some(&voucher_at(&terms, None, 15_000)), 20_000);
    assert_eq!(ready_at(&newest, INTERVAL, newest.signed_at * 1000), READY_MILLIS);
    let next = voucher_at(&terms, Some(&newest), 25_000);
    let mut restored = view(&terms, &progress, Some(&newest), 25_000);
    restored.ready_at_millis = Some(ready_at(&newest, INTERVAL, newest.signed_at * 1000));
    assert_eq!(check_voucher(&restored, &next), Ok(()));
}

#[test]
fn result_bills_the_true_time_below_the_last_voucher() {
    let (terms, progress) = (terms(1_000_000, 3600), Progress::default());
    let first = voucher_at(&terms, None, 0);
    let view = view(&terms, &progress, Some(&first), 1_500);
    assert_eq!(check_result(&view, &result(1_200, Outcome::Completed, 0)), Ok(()));
    let refused = check_result(&view, &result(5_000, Outcome::Completed, 0)).unwrap_err();
    assert!(matches!(refused, ResultRefused::AheadOfTime { .. }) && refused.is_retryable());
}

#[test]
fn result_below_what_was_collected_is_refused() {
    let terms = terms(1_000_000, 3600);
    let progress = Progress {
        value: Amount(4_000),
        billed_millis: 4_000,
        ..Progress::default()
    };
    let first = voucher_at(&terms, None, 0);
    let view = view(&terms, &progress, Some(&first), 6_000);
    let refused = check_result(&view, &result(3_999, Outcome::Completed, 0)).unwrap_err();
    assert!(matches!(refused, ResultRefused::BelowCollected { .. }));
    assert_eq!(check_result(&view, &result(4_000, Outcome::Completed, 0)), Ok(()));
}

#[test]
fn outcome_must_go_with_exit_code_and_wish() {
    let (terms, progress) = (terms(1_000_000, 3600), Progress::default());
    let first = voucher_at(&terms, None, 0);
    let mut view = view(&terms, &progress, Some(&first), 6_000);
    let judge = |view: &SignerView<'_>, outcome, code| check_result(view, &result(5_000, outcome, code));
    assert!(matches!(
        judge(&view, Outcome::Completed, 3),
        Err(ResultRefused::ImplausibleOutcome { .. })
    ));
    assert!(matches!(
        judge(&view, Outcome::UserFault, 0),
        Err(ResultRefused::ImplausibleOutcome { .. })
    ));
    assert_eq!(judge(&view, Outcome::UserFault, 3), Ok(()));
    assert_eq!(judge(&view, Outcome::HardwareFault, 137), Ok(()));
    assert_eq!(judge(&view, Outcome::Stopped, 143), Err(ResultRefused::NobodyStopped));
    view.is_stop_wished = true;
    assert_eq!(judge(&view, Outcome::Stopped, 143), Ok(()));
}

#[test]
fn stopped_job_is_not_paid_for_time_that_no_honest_node_runs_on() {
    let (terms, progress) = (terms(1_000_000, 3600), Progress::default());
    let first = voucher_at(&terms, None, 0);
    let mut view = view(&terms, &progress, Some(&first), 600_000);
    let allowed = first.billed_millis + 2 * u64::from(INTERVAL) * 1000 + STOP_GRACE_MILLIS + SLACK_MILLIS;
    let judge = |view: &SignerView<'_>, millis| check_result(view, &result(millis, Outcome::UserFault, 143));
    assert_eq!(judge(&view, allowed + 1), Ok(()));
    view.is_stop_wished = true;
    assert_eq!(judge(&view, allowed), Ok(()));
    let refused = judge(&view, allowed + 1).unwrap_err();
    assert!(matches!(refused, ResultRefused::RunsOnAfterStop { .. }) && !refused.is_retryable());
}

#[test]
fn job_at_its_limit_may_say_stopped_without_a_wish() {
    let (terms, progress) = (terms(1_000_000, 5), Progress::default());
    let first = voucher_at(&terms, None, 0);
    let view = view(&terms, &progress, Some(&first), 5_100);
    assert_eq!(check_result(&view, &result(5_000, Outcome::Stopped, 137)), Ok(()));
}

#[test]
fn ready_claimed_too_late_or_too_early_does_not_fit() {
    let (terms, progress) = (terms(1_000_000, 3600), Progress::default());
    let first = voucher_at(&terms, None, 0);
    let mut late = result(5_000, Outcome::Completed, 0);
    late.ready_after_seconds = 9;
    let refused = check_result(&view(&terms, &progress, Some(&first), 5_000), &late).unwrap_err();
    assert!(matches!(refused, ResultRefused::ReadyTooLate { .. }), "{refused}");
}

proptest! {
    /// Whatever happens on a node that keeps to the rules, a signer that keeps to them signs each voucher.
    #[test]
    fn honest_vouchers_are_always_signed(
        steps in proptest::collection::vec((1_000u64..9_000, 0u64..5_000, any::<bool>()), 1..40),
        escrow in 1u128..200_000, max_seconds in 1u32..200, latency in 0u64..1_500,
    ) {
        let (terms, progress) = (terms(escrow, max_seconds), Progress::default());
        let (mut now, mut used, mut egress) = (READY_MILLIS, 0u64, 0u64);
        let mut previous = propose(&terms, JOB, None, &measured(0, 0), INTERVAL, now);
        let ready = ready_at(&previous, INTERVAL, now + latency);
        for (elapsed, bytes, is_paused) in steps {
            now += elapsed;
            if !is_paused {
                used += elapsed;
                egress += bytes;
            }
            let next = propose(&terms, JOB, Some(&previous), &measured(used, egress), INTERVAL, now);
            let view = SignerView {
                job_id: JOB, terms: &terms, progress: &progress, interval_seconds: INTERVAL, ready_at_millis: Some(ready),
                previous: Some(&previous), is_stop_wished: false, now_millis: now + latency,
            };
            prop_assert_eq!(check_voucher(&view, &next), Ok(()));
            previous = next;
        }
    }

    /// The limit is exact: its cost fits the escrow, and one millisecond more does not.
    #[test]
    fn limit_is_the_largest_time_the_escrow_pays(escrow in any::<u64>(), rate in 1u64.., egress in any::<u32>()) {
        let mut terms = terms(escrow.into(), u32::MAX);
        terms.compute_per_hour = Amount(rate.into());
        let limit = limit(&terms, egress.into());
        let cost = |millis| cost_rounded_up(terms.price(), millis, egress.into()).unwrap();
        if limit.kind == LimitKind::Escrow {
            prop_assert!(cost(limit.millis + 1) > terms.escrow);
        }
        if cost(0) <= terms.escrow {
            prop_assert!(cost(limit.millis) <= terms.escrow);
        } else {
            prop_assert_eq!(limit.millis, 0);
        }
    }
}
