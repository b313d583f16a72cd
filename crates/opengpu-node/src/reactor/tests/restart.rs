//! The daemon is killed with -9 and comes back: every stage goes on, and no second is billed twice.

use opengpu_core::wire::SignedStop;

use super::bench::*;
use crate::ports::ChainNews;
use crate::reactor::{Done, Effect, Event, Job};
use crate::runtime::{ContainerStatus, ExitOutcome, Signal};

#[test]
fn preparing_is_done_again() {
    let mut bench = Bench::matched(&[], 1_000);
    let effects = bench.is_killed_for(500);
    assert_eq!(notable(effects), [Effect::Prepare]);
}

#[test]
fn start_is_repeated_which_attaches_to_what_runs() {
    let mut bench = Bench::matched(&[], 1_000);
    bench.tell(Event::Done(Done::Prepared(Ok(image()))));
    assert_eq!(bench.is_killed_for(500), [Effect::Start(image())]);
    bench.tell(Event::Done(Done::Started(Ok(()))));
    // It has run for 3 s already: they are billed, once.
    let started_at = crate::runtime::Moment {
        boot_millis: bench.moment().boot_millis - 3_000,
        ..bench.moment()
    };
    bench.tell(Event::Done(Done::Status(Ok(ContainerStatus::Running { started_at }))));
    bench.after(1_000);
    bench.exits(ExitOutcome::Code(0), false);
    assert_eq!(bench.stored().result.billed_millis, 4_000);
}

#[test]
fn running_job_is_billed_through_the_gap_once_and_its_next_voucher_has_a_new_number() {
    let mut bench = Bench::running(1_000);
    bench.second();
    bench.second();
    let effects = bench.is_killed_for(2_000);
    assert_eq!(notable(effects), []);
    let proposal = proposal_in(&bench.sampled());
    assert_eq!((proposal.voucher.seq, proposal.voucher.billed_millis), (2, 9_000));
    assert_eq!(proposal.previous, bench.job.record.attempt.as_ref().unwrap().newest);
    bench.exits(ExitOutcome::Code(0), false);
    assert_eq!(bench.stored().result.billed_millis, 4_000);
}

#[test]
fn paused_job_stays_paused_and_its_pause_stays_unbilled() {
    let mut bench = Bench::running(1_000);
    for _ in 0..15 {
        bench.second();
    }
    // Killed before the container could be frozen: the pause was recorded first, so the payer does not pay for the gap.
    let effects = bench.is_killed_for(10_000);
    assert!(effects.contains(&Effect::Pause), "{effects:?}");
    bench.tell(Event::Done(Done::Paused(Ok(()))));
    let proposal = proposal_in(&bench.sampled());
    assert_eq!(proposal.voucher.billed_millis, 20_000);
    // Killed again, signed meanwhile: the next daemon thaws it and does not freeze it first.
    let signed = bench.signed(&proposal, &signer());
    bench.is_killed_for(1_000);
    bench.tell(Event::Done(Done::Paused(Ok(()))));
    assert_eq!(bench.tell(Event::VoucherSigned(Box::new(signed))), [Effect::Resume]);
    bench.tell(Event::Done(Done::Resumed(Ok(()))));
    bench.exits(ExitOutcome::Code(0), false);
    assert_eq!(bench.stored().result.billed_millis, 15_000);
}

#[test]
fn stop_is_remembered() {
    let mut bench = Bench::running(1_000);
    let stop = SignedStop::sign(bench.rules.domain, bench.job.record.job_id, &signer());
    bench.tell(Event::StopRequested(stop));
    assert!(bench.is_killed_for(1_000).contains(&Effect::Kill(Signal::Terminate)));
}

#[test]
fn program_that_ended_while_no_daemon_ran_is_billed_to_its_end() {
    let mut bench = Bench::running(1_000);
    let started_at = bench.moment();
    bench.is_killed_for(60_000);
    let finished_at = crate::runtime::Moment {
        boot_millis: started_at.boot_millis + 7_000,
        ..started_at
    };
    let record = crate::runtime::ExitRecord {
        outcome: ExitOutcome::Code(0),
        oom_killed: false,
        started_at,
        finished_at,
        usage: sample(),
    };
    bench.tell(Event::Done(Done::Status(Ok(ContainerStatus::Exited(record)))));
    assert_eq!(bench.stored().result.billed_millis, 7_000);
}

#[test]
fn a_result_that_an_older_daemon_was_storing_is_stored() {
    let mut bench = Bench::running(1_000);
    bench.exits(ExitOutcome::Code(0), false);
    let record = serde_json::to_string(&bench.job.record).unwrap();
    let older = record.replace(r#"{"storing":{"#, r#"{"collecting":{"#);
    assert_ne!(older, record);
    bench.job = Job::new(serde_json::from_str(&older).unwrap());
    assert!(matches!(notable(bench.after(1_000)).as_slice(), [Effect::Store { .. }]));
}

#[test]
fn storing_proposing_and_settling_go_on() {
    let mut bench = Bench::running(1_000);
    bench.exits(ExitOutcome::Code(0), false);
    assert!(matches!(
        notable(bench.is_killed_for(1_000)).as_slice(),
        [Effect::Store { .. }]
    ));
    let proposal = bench.stored();
    assert_eq!(
        bench.is_killed_for(1_000),
        [Effect::ProposeResult(Box::new(proposal.clone()))]
    );
    let approved = Box::new(bench.approved(&proposal, &signer()));
    let at = Box::new(bench.position());
    let settle = Effect::Settle {
        at,
        approved: approved.clone(),
    };
    assert_eq!(
        bench.tell(Event::ResultApproved(approved)),
        std::slice::from_ref(&settle)
    );
    assert_eq!(bench.is_killed_for(1_000), [settle]);
    bench.tell(Event::Chain {
        block: 110,
        news: ChainNews::Settled,
    });
    bench.is_killed_for(1_000);
    assert_eq!(bench.tell(Event::Head { block: 113 }), [Effect::Close]);
    assert_eq!(bench.is_killed_for(1_000), []);
}

#[test]
fn reboot_ends_the_measuring_and_the_newest_voucher_is_what_is_due() {
    let mut bench = Bench::running(1_000);
    bench.now.boot_id = crate::clock::BootId("another".into());
    let effects = bench.is_killed_for(90_000);
    assert_eq!(effects, [Effect::ReadStatus]);
    let started_at = bench.moment();
    bench.tell(Event::Done(Done::Status(Ok(ContainerStatus::Lost { started_at }))));
    let effects = bench.tell(Event::Done(Done::Stored(Ok(stored()))));
    assert!(matches!(effects.as_slice(), [Effect::Submit { result, .. }] if result.billed_millis == 5_000));
}
