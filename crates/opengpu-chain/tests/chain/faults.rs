//! Reports, answers and the ways out, each checked against the chain's own hash of the job.

use opengpu_core::job::{Ending, JobState};
use opengpu_core::money::Amount;
use opengpu_core::order::Outcome;

use crate::support::{USDC, World, key};

/// A local network's response window is 15 s.
const PAST_THE_WINDOW: u64 = 16;

#[tokio::test]
async fn a_node_that_never_became_ready_costs_nothing() {
    let world = World::start().await;
    let (_, job) = world.matched(1).await;
    let record = world.record(job).await;
    let early = world
        .agent
        .report_fault(job, &record.terms, &record.progress, None)
        .await
        .unwrap_err();
    assert!(early.is_revert("JobMarket_DeadlineNotReached"), "{early}");

    world.payer.advance_time(31).await.unwrap();
    world
        .agent
        .report_fault(job, &record.terms, &record.progress, None)
        .await
        .unwrap();
    let record = world.record(job).await;
    assert_eq!((record.state, &record.declared), (JobState::Reported, &None));

    world.payer.advance_time(PAST_THE_WINDOW).await.unwrap();
    world
        .governance
        .resolve_fault(job, &record.terms, &record.progress, None)
        .await
        .unwrap();
    let record = world.record(job).await;
    assert_eq!(
        (record.state, record.ending),
        (JobState::Interrupted, Ending::Unanswered)
    );

    world.payer.close(job, &record.terms, &record.progress).await.unwrap();
    let record = world.record(job).await;
    assert_eq!(
        (record.state, record.paid, record.refunded),
        (JobState::Settled, Amount(0), Amount(USDC))
    );
    assert_eq!(world.credits(1).await, 10 * USDC);
}

#[tokio::test]
async fn a_newer_voucher_ends_a_report_and_a_stale_one_does_not() {
    let world = World::start().await;
    let (_, job) = world.matched(2).await;
    world.payer.advance_time(100).await.unwrap();
    let first = world.voucher(job, 1, 30_000).await;
    let second = world.voucher(job, 2, 40_000).await;
    let record = world.record(job).await;
    world.payer.advance_time(5).await.unwrap();
    world
        .agent
        .report_fault(job, &record.terms, &record.progress, Some(&first))
        .await
        .unwrap();

    let record = world.record(job).await;
    assert_eq!(record.declared.as_ref(), Some(&first.voucher));
    let declared = record.declared.as_ref();
    world
        .operator
        .answer_fault(job, &record.terms, &record.progress, declared, &second)
        .await
        .unwrap();
    let record = world.record(job).await;
    assert_eq!(
        (record.state, record.declared.as_ref()),
        (JobState::Reported, Some(&second.voucher))
    );

    world.payer.advance_time(2).await.unwrap();
    let fresh = world.voucher(job, 3, 50_000).await;
    let declared = record.declared.as_ref();
    world
        .operator
        .answer_fault(job, &record.terms, &record.progress, declared, &fresh)
        .await
        .unwrap();
    let record = world.record(job).await;
    assert_eq!((record.state, record.declared), (JobState::Matched, None));
}

#[tokio::test]
async fn a_contested_job_goes_to_another_owners_node_with_what_is_left() {
    let world = World::start().await;
    let (order, job) = world.matched(3).await;
    world.payer.advance_time(100).await.unwrap();
    let voucher = world.voucher(job, 1, 50_000).await;
    let record = world.record(job).await;
    world
        .agent
        .report_fault(job, &record.terms, &record.progress, Some(&voucher))
        .await
        .unwrap();
    let record = world.record(job).await;
    let declared = record.declared.as_ref();
    world
        .operator
        .contest(job, &record.terms, &record.progress, declared, Some(&voucher))
        .await
        .unwrap();
    let record = world.record(job).await;
    assert_eq!(
        (record.state, record.ending, record.paid),
        (JobState::Interrupted, Ending::Contested, Amount(50_000))
    );

    let same = world.bid(&order, world.node, &key(3)).await;
    let error = world
        .payer
        .rematch(&order, &record.terms, &record.progress, &same)
        .await
        .unwrap_err();
    assert!(error.is_revert("JobMarket_OwnerHadAttempt"), "{error}");
    let other = world.second_node().await;
    let bid = world.bid(&order, other, &key(6)).await;
    world
        .payer
        .rematch(&order, &record.terms, &record.progress, &bid)
        .await
        .unwrap();
    let record = world.record(job).await;
    assert_eq!(
        (record.state, record.terms.attempt(), record.terms.escrow),
        (JobState::Matched, 2, Amount(950_000))
    );
    assert_eq!(record.progress.earlier_owners[0], key(2).address());
}

#[tokio::test]
async fn a_node_whose_payer_vanished_is_paid_its_newest_voucher() {
    let world = World::start().await;
    let (_, job) = world.matched(4).await;
    world.payer.advance_time(100).await.unwrap();
    let voucher = world.voucher(job, 1, 80_000).await;
    let record = world.record(job).await;
    let mut result = world.approved(job, 80_000).result;
    result.outcome = Outcome::Completed;
    world
        .operator
        .submit(&record.terms, &record.progress, &result, Some(&voucher))
        .await
        .unwrap();
    let record = world.record(job).await;
    assert_eq!((record.state, record.ending), (JobState::Settled, Ending::Submitted));
    assert_eq!((record.paid, record.refunded), (Amount(80_000), Amount(920_000)));
}

#[tokio::test]
async fn an_abandoned_job_expires_and_refunds() {
    let world = World::start().await;
    let (_, job) = world.matched(5).await;
    let record = world.record(job).await;
    let early = world
        .governance
        .expire(job, &record.terms, &record.progress, None)
        .await
        .unwrap_err();
    assert!(early.is_revert("JobMarket_DeadlineNotReached"), "{early}");
    world.payer.advance_time(30 + 2 * 600 + 86_400).await.unwrap();
    world
        .governance
        .expire(job, &record.terms, &record.progress, None)
        .await
        .unwrap();
    let record = world.record(job).await;
    assert_eq!(
        (record.state, record.ending, record.refunded),
        (JobState::Settled, Ending::Expired, Amount(USDC))
    );
}
