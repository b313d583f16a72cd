//! A job from match to settlement, to the base unit.

use opengpu_chain::Ensured;
use opengpu_chain::transactions::ToSettle;
use opengpu_core::U256;
use opengpu_core::job::{Ending, JobState};
use opengpu_core::money::Amount;
use opengpu_core::order::{Extend, Signable as _};

use crate::support::{USDC, World, key};

#[tokio::test]
async fn a_settled_job_pays_each_party_to_the_base_unit_and_refunds_the_rest() {
    let world = World::start().await;
    let (_, job) = world.matched(1).await;
    assert_eq!(world.credits(1).await, 9 * USDC);
    let record = world.record(job).await;
    assert_eq!(
        (record.state, record.terms.attempt(), record.terms.escrow),
        (JobState::Matched, 1, Amount(USDC))
    );
    assert_eq!(record.terms.payee, key(2).address());

    world.payer.advance_time(150).await.unwrap();
    let approved = world.approved(job, 100_001);
    let sent = world
        .operator
        .ensure_settled(&record.terms, &record.progress, &approved)
        .await
        .unwrap();
    let Ensured::Sent(sent) = sent else { panic!("{sent:?}") };
    assert!(sent.gas_used > 21_000 && sent.calldata_bytes > 500, "{sent:?}");

    // 100.001 s at 1000 a second is 100,001; 12 % and 5 % rounded down; the dust is the node's.
    assert_eq!(world.credits(2).await, 100_001 - 12_000 - 5_000);
    assert_eq!(world.credits(1).await, 9 * USDC + (USDC - 100_001));
    let (record, events) = world.payer.job_record(job).await.unwrap().unwrap();
    assert_eq!(
        (record.paid, record.refunded),
        (Amount(100_001), Amount(USDC - 100_001))
    );
    assert_eq!((record.state, record.ending), (JobState::Settled, Ending::Completed));
    let names: Vec<_> = events.iter().map(|envelope| envelope.event.name()).collect();
    assert_eq!(names, ["Matched", "Settled"]);
    assert_eq!(events[1].transaction, sent.transaction);

    let again = world
        .agent
        .ensure_settled(&record.terms, &record.progress, &approved)
        .await
        .unwrap();
    assert_eq!(again, Ensured::Already);
    let error = world
        .agent
        .settle(&record.terms, &record.progress, &approved)
        .await
        .unwrap_err();
    assert!(
        error.is_revert("JobMarket_StateIs") && error.to_string().contains("is Settled"),
        "{error}"
    );
}

#[tokio::test]
async fn the_signer_matches_with_the_payers_signature_and_nobody_without() {
    let world = World::start().await;
    world.payer.deposit(world.usdc, Amount(USDC)).await.unwrap();
    let order = world.order(2).await;
    let domain = world.network.domain();
    let bid = world.bid(&order, world.node, &key(3)).await;
    let signature = order.sign(domain, &key(1));
    assert!(
        world
            .agent
            .is_order_signature_valid(&order, &signature.0)
            .await
            .unwrap()
    );
    let forged = order.sign(domain, &key(9));
    assert!(!world.agent.is_order_signature_valid(&order, &forged.0).await.unwrap());

    let error = world.agent.match_order(&order, &forged.0, &bid).await.unwrap_err();
    assert!(error.is_revert("JobMarket_SignatureInvalid"), "{error}");
    let error = world
        .operator
        .match_order(&order, &signature.0, &bid)
        .await
        .unwrap_err();
    assert!(
        error.is_revert("JobMarket_NotAllowed"),
        "a node cannot claim an order that is not claimable: {error}"
    );
    assert!(matches!(
        world.agent.ensure_matched(&order, &signature.0, &bid).await,
        Ok(Ensured::Sent(_))
    ));
    assert_eq!(
        world.agent.ensure_matched(&order, &signature.0, &bid).await.unwrap(),
        Ensured::Already
    );
}

#[tokio::test]
async fn too_few_credits_say_how_much_is_missing() {
    let world = World::start().await;
    let order = world.order(3).await;
    let bid = world.bid(&order, world.node, &key(3)).await;
    let error = world.payer.match_order(&order, &[], &bid).await.unwrap_err();
    assert!(error.is_revert("CloudWallet_CreditsTooLow"), "{error}");
    let revert = error.revert().unwrap();
    assert_eq!(
        (revert.value("credits"), revert.value("asked")),
        (Some("0"), Some("1000000"))
    );
}

#[tokio::test]
async fn a_cancelled_order_cannot_be_matched() {
    let world = World::start().await;
    world.payer.deposit(world.usdc, Amount(USDC)).await.unwrap();
    let order = world.order(4).await;
    world.payer.cancel_order(&order).await.unwrap();
    let bid = world.bid(&order, world.node, &key(3)).await;
    let error = world.payer.match_order(&order, &[], &bid).await.unwrap_err();
    assert!(
        error.is_revert("JobMarket_StateIs") && error.to_string().contains("Cancelled"),
        "{error}"
    );
    let slot = world.payer.job(order.job_id(world.network.domain())).await.unwrap();
    assert_eq!(slot.state, JobState::Cancelled);
}

#[tokio::test]
async fn collecting_and_extending_keep_the_record_equal_to_the_chains_hash() {
    let world = World::start().await;
    let (_, job) = world.matched(5).await;
    world.payer.advance_time(200).await.unwrap();
    let record = world.record(job).await;
    let voucher = world.voucher(job, 1, 60_000).await;
    world
        .operator
        .collect(&record.terms, &record.progress, &voucher)
        .await
        .unwrap();
    assert_eq!(world.credits(2).await, 60_000 - 7_200 - 3_000);

    let record = world.record(job).await;
    assert_eq!((record.progress.value, record.paid), (Amount(60_000), Amount(60_000)));
    let extend = Extend {
        job_id: job,
        attempt: 1,
        add_cost: Amount(500_000),
        add_seconds: 100,
        salt: U256::from(1),
    };
    let domain = world.network.domain();
    let payer_signature = extend.sign(domain, &key(1));
    world
        .agent
        .extend(
            &record.terms,
            &record.progress,
            &extend,
            &payer_signature.0,
            extend.sign(domain, &key(3)),
        )
        .await
        .unwrap();
    let record = world.record(job).await;
    assert_eq!(
        (record.terms.escrow, record.terms.limits.max_seconds),
        (Amount(1_500_000), 700)
    );

    let error = world
        .operator
        .collect(&record.terms, &record.progress, &voucher)
        .await
        .unwrap_err();
    assert!(error.is_revert("JobMarket_ValueBelowCollected"), "{error}");
    let approved = world.approved(job, 120_000);
    world
        .operator
        .settle(&record.terms, &record.progress, &approved)
        .await
        .unwrap();
    let record = world.record(job).await;
    assert_eq!((record.paid, record.refunded), (Amount(120_000), Amount(1_380_000)));
    assert_eq!(world.credits(2).await, 120_000 - 14_400 - 6_000);
}

#[tokio::test]
async fn stale_progress_is_refused_by_name() {
    let world = World::start().await;
    let (_, job) = world.matched(6).await;
    world.payer.advance_time(200).await.unwrap();
    let stale = world.record(job).await;
    let voucher = world.voucher(job, 1, 60_000).await;
    world
        .operator
        .collect(&stale.terms, &stale.progress, &voucher)
        .await
        .unwrap();
    let approved = world.approved(job, 120_000);
    let error = world
        .operator
        .settle(&stale.terms, &stale.progress, &approved)
        .await
        .unwrap_err();
    assert!(error.is_revert("JobMarket_TermsMismatch"), "{error}");
}

#[tokio::test]
async fn a_batch_settles_what_it_can_in_one_transaction_and_says_why_the_rest_was_skipped() {
    let world = World::start().await;
    let mut jobs = Vec::new();
    for salt in 100..104 {
        jobs.push(world.matched(salt).await.1);
    }
    world.payer.advance_time(150).await.unwrap();
    let mut records = Vec::new();
    for job in &jobs {
        records.push(world.record(*job).await);
    }
    let mut approved: Vec<_> = jobs.iter().map(|job| world.approved(*job, 100_000)).collect();
    approved[2].signer_signature = approved[1].signer_signature;
    let results: Vec<ToSettle<'_>> = records
        .iter()
        .zip(&approved)
        .map(|(record, approved)| ToSettle {
            terms: &record.terms,
            progress: &record.progress,
            approved,
        })
        .collect();
    let outcomes = world.operator.settle_many(&results).await.unwrap();
    let transactions: std::collections::BTreeSet<_> = outcomes.iter().flatten().map(|sent| sent.transaction).collect();
    assert_eq!(
        (
            outcomes.iter().filter(|outcome| outcome.is_ok()).count(),
            transactions.len()
        ),
        (3, 1)
    );
    let skipped = outcomes[2].as_ref().unwrap_err();
    assert!(skipped.is_revert("JobMarket_SignatureInvalid"), "{skipped}");
    for (index, job) in jobs.iter().enumerate() {
        let expected = if index == 2 {
            JobState::Matched
        } else {
            JobState::Settled
        };
        assert_eq!(world.record(*job).await.state, expected);
    }
    assert_eq!(world.credits(2).await, 3 * 83_000);

    // The same once more: each is skipped, nobody is paid twice.
    let again = world.operator.settle_many(&results).await.unwrap();
    assert!(again.iter().all(Result::is_err), "{again:?}");
    assert_eq!(world.credits(2).await, 3 * 83_000);
}
