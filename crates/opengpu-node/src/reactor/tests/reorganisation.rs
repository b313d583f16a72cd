//! The chain takes back what it said: a reorganisation, or a local chain that was killed and lost its last second.

use super::bench::*;
use crate::ports::ChainNews;
use crate::reactor::{Done, Effect, Event};
use crate::runtime::ExitOutcome;

#[test]
fn settle_that_was_undone_is_sent_again() {
    let mut bench = Bench::running(1_000);
    bench.second();
    bench.exits(ExitOutcome::Code(0), false);
    let proposal = bench.stored();
    let approved = bench.approved(&proposal, &signer());
    bench.tell(Event::ResultApproved(Box::new(approved.clone())));
    bench.tell(Event::Done(Done::Settled(Ok(()))));
    bench.tell(Event::Chain {
        block: 110,
        news: ChainNews::Settled,
    });
    bench.tell(Event::Head { block: 111 });
    let effects = bench.tell(Event::RolledBack { to: 109 });
    let at = Box::new(bench.position());
    assert_eq!(
        effects,
        [Effect::Settle {
            at,
            approved: Box::new(approved)
        }]
    );
    bench.tell(Event::Done(Done::Settled(Ok(()))));
    bench.tell(Event::Chain {
        block: 110,
        news: ChainNews::Settled,
    });
    assert_eq!(bench.tell(Event::Head { block: 112 }), []);
    assert_eq!(bench.tell(Event::Head { block: 113 }), [Effect::Close]);
}

#[test]
fn job_goes_on_while_its_match_is_sent_again_and_takes_the_new_terms() {
    let mut bench = Bench::running(1_000);
    bench.second();
    assert_eq!(bench.tell(Event::RolledBack { to: MATCH_BLOCK - 1 }), []);
    for _ in 0..8 {
        bench.second();
    }
    let mut position = bench.position();
    position.terms.limits.matched_at += 9;
    let news = ChainNews::Matched(Box::new(position.clone()));
    assert_eq!(notable(bench.tell(Event::Chain { block: 102, news })), []);
    assert_eq!(bench.job.record.attempt.as_ref().unwrap().terms, position.terms);
    bench.exits(ExitOutcome::Code(0), false);
    let proposal = bench.stored();
    assert_eq!(proposal.result.billed_millis, 9_000);
    let approved = bench.approved(&proposal, &signer());
    let effects = bench.tell(Event::ResultApproved(Box::new(approved)));
    assert!(matches!(effects.as_slice(), [Effect::Settle { at, .. }] if **at == position));
}

#[test]
fn nothing_is_sent_while_the_match_is_undone_and_the_job_is_given_up_when_it_stays_so() {
    let mut bench = Bench::running(1_000);
    bench.exits(ExitOutcome::Code(0), false);
    let proposal = bench.stored();
    bench.tell(Event::RolledBack { to: MATCH_BLOCK - 1 });
    let approved = bench.approved(&proposal, &signer());
    assert_eq!(bench.tell(Event::ResultApproved(Box::new(approved))), []);
    assert_eq!(bench.after(119_999), []);
    assert_eq!(bench.after(1), [Effect::Close]);
}

#[test]
fn report_that_was_undone_needs_no_answer() {
    let mut bench = Bench::running(1_000);
    bench.second();
    let news = ChainNews::Reported {
        declared: None,
        progress: Box::default(),
    };
    bench.tell(Event::Chain { block: 105, news });
    bench.tell(Event::RolledBack { to: 104 });
    assert!(
        !bench
            .after(60_000)
            .iter()
            .any(|effect| matches!(effect, Effect::Contest { .. } | Effect::Answer { .. }))
    );
}

#[test]
fn news_told_twice_changes_nothing() {
    let mut bench = Bench::running(1_000);
    let before = bench.job.record.clone();
    let position = bench.position();
    bench.tell(Event::Chain {
        block: MATCH_BLOCK,
        news: ChainNews::Matched(Box::new(position)),
    });
    assert_eq!(bench.job.record, before);
}
