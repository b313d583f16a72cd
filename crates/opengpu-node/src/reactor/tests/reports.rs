//! The payer's side says the node failed.

use opengpu_core::job::Progress;
use opengpu_core::order::Voucher;

use super::bench::*;
use crate::ports::ChainNews;
use crate::reactor::{Done, Effect, Event};
use crate::runtime::ExitOutcome;

fn reported(bench: &Bench, declared: Option<Voucher>) -> Event {
    let reported_at = bench.moment().unix_millis / 1000;
    let news = ChainNews::Reported {
        declared: declared.map(Box::new),
        progress: Box::new(Progress {
            reported_at,
            ..Progress::default()
        }),
    };
    Event::Chain { block: 105, news }
}

#[test]
fn running_job_answers_with_a_voucher_signed_since_the_report() {
    let mut bench = Bench::running(1_000);
    bench.second();
    let stale = old_voucher(&bench);
    let proposal = proposal_in(&bench.tell(reported(&bench, None)));
    let effects = bench.sign(&proposal);
    match effects.as_slice() {
        [
            Effect::Answer {
                declared: None,
                newer,
                at,
            },
        ] => {
            assert_eq!(newer.voucher, proposal.voucher);
            assert!(newer.voucher.signed_at >= at.progress.reported_at);
        }
        other => panic!("{other:?}"),
    }
    bench.tell(Event::Done(Done::Answered(Ok(()))));
    let over = ChainNews::Answered {
        is_over: true,
        voucher: Some(Box::new(stale)),
        progress: Box::new(Progress::default()),
    };
    assert_eq!(bench.tell(Event::Chain { block: 106, news: over }), []);
    assert_eq!(
        notable(bench.after(60_000))
            .iter()
            .filter(|effect| matches!(effect, Effect::Contest { .. }))
            .count(),
        0
    );
}

#[test]
fn voucher_signed_before_the_report_does_not_answer_it_and_a_silent_signer_is_contested_at_half_the_window() {
    let mut bench = Bench::running(1_000);
    bench.second();
    let declared = old_voucher(&bench);
    bench.tell(reported(&bench, Some(declared.clone())));
    assert!(
        !bench
            .after(29_000)
            .iter()
            .any(|effect| matches!(effect, Effect::Contest { .. } | Effect::Answer { .. }))
    );
    let effects = bench.after(1_000);
    let contest = effects
        .iter()
        .find(|effect| matches!(effect, Effect::Contest { .. }))
        .unwrap();
    assert!(
        matches!(contest, Effect::Contest { declared: Some(shown), newest: Some(newest), .. }
        if **shown == declared && newest.voucher == declared)
    );
    bench.tell(Event::Done(Done::Contested(Ok(()))));
    bench.tell(Event::Chain {
        block: 107,
        news: ChainNews::Interrupted,
    });
    assert_eq!(bench.tell(Event::Head { block: 110 }), [Effect::Close]);
}

#[test]
fn reported_job_with_an_approved_result_settles_instead() {
    let mut bench = Bench::running(1_000);
    bench.second();
    bench.exits(ExitOutcome::Code(0), false);
    let proposal = bench.stored();
    bench.tell(reported(&bench, None));
    let approved = bench.approved(&proposal, &signer());
    let effects = bench.tell(Event::ResultApproved(Box::new(approved)));
    assert!(matches!(effects.as_slice(), [Effect::Settle { .. }]), "{effects:?}");
    assert!(
        !bench
            .after(40_000)
            .iter()
            .any(|effect| matches!(effect, Effect::Contest { .. }))
    );
}

#[test]
fn report_before_ready_is_contested_without_a_voucher() {
    let mut bench = Bench::matched(&[], 1_000);
    bench.tell(reported(&bench, None));
    let effects = bench.after(30_000);
    assert!(
        matches!(
            effects.as_slice(),
            [Effect::Contest {
                declared: None,
                newest: None,
                ..
            }]
        ),
        "{effects:?}"
    );
}
