//! Being paid while the job runs. A base unit, a millionth of a USD, is earned a second; a voucher covers 5 s.

use opengpu_core::job::Progress;
use opengpu_core::money::Amount;

use super::bench::*;
use crate::ports::{ChainFault, ChainNews};
use crate::reactor::{Done, Effect, Event};
use crate::runtime::ExitOutcome;

const NONE: [u64; 0] = [];

/// A job whose pay is collected when more than that is owed.
fn collecting(above: u64) -> Bench {
    let mut bench = Bench::running(1_000);
    bench.rules.collect_above_usd_micros = above;
    bench
}

/// Milliseconds that each `collect` among the effects is for.
fn collects(effects: &[Effect]) -> Vec<u64> {
    effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Collect { voucher, .. } => Some(voucher.voucher.durable_millis),
            _ => None,
        })
        .collect()
}

fn is_in_a_block(bench: &mut Bench, block: u64, seconds: u64) -> Vec<Effect> {
    let mut effects = bench.tell(Event::Done(Done::Collected(Ok(()))));
    effects.extend(bench.tell(Event::Chain {
        block,
        news: ChainNews::Collected {
            value: Amount(seconds.into()),
            billed_millis: seconds * 1_000,
        },
    }));
    effects
}

#[test]
fn pay_is_collected_once_more_than_the_limit_is_owed_by_a_voucher_whose_time_is_over() {
    let mut bench = collecting(9);
    assert_eq!(collects(&bench.signed_seconds(9)), NONE);
    // At 10 s the voucher over 15 s is signed; the one before it, over 10 s, is earned.
    assert_eq!(collects(&bench.signed_seconds(1)), [10_000]);
    assert_eq!(collects(&is_in_a_block(&mut bench, 110, 10)), NONE);
    assert_eq!(collects(&bench.signed_seconds(9)), NONE);
    assert_eq!(collects(&bench.signed_seconds(1)), [20_000]);
}

#[test]
fn nothing_is_collected_before_the_end_where_nobody_wants_it_or_too_little_is_owed() {
    for above in [0, 35, 1_000] {
        let mut bench = collecting(above);
        assert_eq!(collects(&bench.signed_seconds(35)), NONE, "{above}");
    }
}

#[test]
fn a_collect_that_was_not_sent_is_tried_again_and_one_that_was_is_not_seen_too() {
    let mut bench = collecting(9);
    bench.signed_seconds(10);
    let fault = ChainFault::Unreachable("away".to_owned());
    assert_eq!(collects(&bench.tell(Event::Done(Done::Collected(Err(fault))))), NONE);
    assert_eq!(collects(&bench.signed_seconds(1)), NONE);
    assert_eq!(collects(&bench.signed_seconds(1)), [10_000]);
    bench.tell(Event::Done(Done::Collected(Ok(()))));
    assert_eq!(collects(&bench.signed_seconds(5)), NONE);
    assert_eq!(collects(&bench.signed_seconds(1)), [15_000]);
}

#[test]
fn nothing_is_collected_while_a_report_stands_or_where_a_panel_may_judge() {
    let mut bench = collecting(9);
    let progress = Box::new(Progress {
        reported_at: MATCHED_AT,
        ..Progress::default()
    });
    bench.tell(Event::Chain {
        block: 105,
        news: ChainNews::Reported {
            declared: None,
            progress,
        },
    });
    assert_eq!(collects(&bench.signed_seconds(12)), NONE);
    let answered = bench.tell(Event::Chain {
        block: 106,
        news: ChainNews::Moved(Box::default()),
    });
    assert_eq!(collects(&answered), [10_000]);

    let mut bench = collecting(9);
    bench.job.record.attempt.as_mut().unwrap().terms.limits.verify_level = 2;
    assert_eq!(collects(&bench.signed_seconds(20)), NONE);
}

#[test]
fn a_result_waits_until_it_is_known_what_was_collected() {
    let mut bench = collecting(9);
    assert_eq!(collects(&bench.signed_seconds(10)), [10_000]);
    let is_stored = |effects: &[Effect]| effects.iter().any(|effect| matches!(effect, Effect::Store { .. }));
    assert!(!is_stored(&bench.exits(ExitOutcome::Code(0), false)));
    assert!(!is_stored(&bench.after(60_000)));
    assert!(is_stored(&is_in_a_block(&mut bench, 110, 10)));
    let proposal = bench.stored();
    assert!(
        proposal.receipt.contains(r#""collected":["10"]"#),
        "{}",
        proposal.receipt
    );

    // One that was sent and is seen nowhere is waited for as long as it rests.
    let mut bench = collecting(9);
    bench.signed_seconds(10);
    bench.exits(ExitOutcome::Code(0), false);
    assert!(!is_stored(&bench.tell(Event::Done(Done::Collected(Ok(()))))));
    assert!(!is_stored(&bench.after(5_999)));
    assert!(is_stored(&bench.after(1)));
}

#[test]
fn a_node_that_was_killed_meanwhile_collects_again_what_the_chain_does_not_have() {
    let mut bench = collecting(9);
    assert_eq!(collects(&bench.signed_seconds(10)), [10_000]);
    assert_eq!(collects(&bench.is_killed_for(0)), [10_000]);
    assert_eq!(collects(&is_in_a_block(&mut bench, 110, 10)), NONE);
    // A reorganisation takes it back.
    assert_eq!(collects(&bench.tell(Event::RolledBack { to: 105 })), [10_000]);
}
