//! The projection, event by event.

use super::*;
use crate::test_support::{job_id, settlement, terms};
use opengpu_core::job::Ending;

fn fact(block: u64, change: Change) -> Fact {
    Fact {
        job: job_id(),
        place: Place {
            block,
            log_index: 0,
            transaction: B256::repeat_byte(block as u8),
            timestamp: 1000 + block,
        },
        change,
    }
}

fn fold(facts: &[Fact]) -> Option<ChainJob> {
    facts.iter().fold(None, apply)
}

fn matched(block: u64) -> Fact {
    fact(block, Change::Matched { terms: terms() })
}

#[test]
fn paid_and_refunded_of_a_settled_job_are_what_was_locked() {
    let locked = terms().escrow;
    let collected = Moved {
        node: Amount(830),
        stakers: Amount(120),
        treasury: Amount(50),
        refunded: Amount::ZERO,
    };
    let rest = settlement(Ending::Completed, 1000, locked.0 - 2000);
    let job = fold(&[
        matched(1),
        fact(
            2,
            Change::Collected {
                value: Amount(1000),
                billed_millis: 5000,
                moved: collected,
            },
        ),
        fact(3, Change::Settled { settlement: rest }),
    ])
    .unwrap();
    assert_eq!(job.state, JobState::Settled);
    assert_eq!(job.moved.paid().0 + job.moved.refunded.0, job.locked.0);
    assert_eq!(job.state_since, 1003);
    assert_eq!(job.first.block, 1);
}

#[test]
fn an_answer_signed_after_the_report_ends_it() {
    let reported = Progress {
        reported_at: 1002,
        ..Progress::default()
    };
    let answered = Progress {
        reportable_from: 1100,
        ..Progress::default()
    };
    let voucher = crate::test_support::voucher(2, 10_000);
    let mut facts = vec![
        matched(1),
        fact(
            2,
            Change::FaultReported {
                declared: Some(crate::test_support::voucher(1, 5000)),
                progress: reported.clone(),
            },
        ),
    ];
    let job = fold(&facts).unwrap();
    assert_eq!((job.state, job.declared.unwrap().seq), (JobState::Reported, 1));

    let answer = |is_over, progress| Change::FaultAnswered {
        is_over,
        voucher: Some(voucher.clone()),
        progress,
    };
    facts.push(fact(3, answer(false, reported)));
    let job = fold(&facts).unwrap();
    assert_eq!((job.state, job.declared.unwrap().seq), (JobState::Reported, 2));
    assert_eq!(job.state_since, 1002);

    facts.push(fact(4, answer(true, answered)));
    let job = fold(&facts).unwrap();
    assert_eq!((job.state, job.declared), (JobState::Matched, None));
    assert_eq!(job.progress.reportable_from, 1100);
}

#[test]
fn a_second_attempt_has_its_own_terms_under_the_same_lock() {
    let mut second = terms();
    second.limits.attempt = 2;
    second.escrow = Amount(500);
    let job = fold(&[
        matched(1),
        fact(
            2,
            Change::Interrupted {
                settlement: settlement(Ending::Unanswered, 0, 0),
                progress: Progress::default(),
            },
        ),
        fact(
            3,
            Change::Rematched {
                terms: second,
                progress: Progress::default(),
            },
        ),
    ])
    .unwrap();
    assert_eq!((job.state, job.attempt()), (JobState::Matched, 2));
    assert_eq!(job.locked, terms().escrow);
    assert_eq!(job.earlier.len(), 1);
    assert_eq!(job.earlier[0].settlement.ending, Ending::Unanswered);
}

#[test]
fn events_of_a_job_that_never_began_change_nothing() {
    assert_eq!(apply(None, &fact(1, Change::Faulted)), None);
}

#[test]
fn what_comes_after_a_reorganisation_equals_a_fresh_reading() {
    // A settle on a branch that was left, then another end of the same job.
    let stays = [matched(1)];
    let after = fact(
        2,
        Change::Interrupted {
            settlement: settlement(Ending::Contested, 100, 0),
            progress: Progress::default(),
        },
    );
    let left = fact(
        2,
        Change::Settled {
            settlement: settlement(Ending::Completed, 900, 100),
        },
    );
    let kept = fold(&stays);
    let _gone = apply(kept.clone(), &left);
    let fresh = fold(&[stays[0].clone(), after.clone()]);
    assert_eq!(apply(kept, &after), fresh);
}
