//! From the bid to the program's end.

use opengpu_core::B256;
use opengpu_core::ids::JobId;
use opengpu_core::order::Outcome;
use opengpu_core::wire::{SignedStop, Step};

use super::bench::*;
use crate::reactor::record::{Stage, Stop};
use crate::reactor::{Blame, Done, Effect, Event, TaskFault};
use crate::runtime::{ContainerStatus, ExitOutcome, ExitRecord, Moment, Signal};

fn stage(bench: &Bench) -> &Stage {
    &bench.job.record.attempt.as_ref().unwrap().stage
}

fn fault(blame: Blame) -> TaskFault {
    TaskFault {
        blame,
        reason: "because".to_owned(),
    }
}

#[test]
fn unmatched_bid_holds_its_capacity_until_it_lapses_and_is_forgotten_later() {
    let mut bench = Bench::offered(&[], 1_000);
    assert_eq!(bench.after(29_999), []);
    assert_eq!(bench.after(10_000), []);
    assert_eq!(bench.after(1), [Effect::FreeCapacity]);
    assert_eq!(bench.after(1_000), []);
    assert_eq!(bench.after(120_000), [Effect::Forget]);
}

#[test]
fn order_given_up_by_payer_signer_or_budget_key_frees_what_its_bid_holds_at_once() {
    for key in [payer(), signer(), spender()] {
        let mut bench = Bench::offered(&[], 1_000);
        let stop = SignedStop::sign(bench.rules.domain, bench.job.record.job_id, &key);
        assert_eq!(bench.tell(Event::StopRequested(stop.clone())), [Effect::FreeCapacity]);
        assert_eq!(bench.tell(Event::StopRequested(stop)), []);
        assert_eq!(bench.after(60_000), []);
        assert_eq!(bench.after(120_000), [Effect::Forget]);
    }
}

#[test]
fn stranger_or_a_stop_of_another_job_frees_nothing() {
    let mut bench = Bench::offered(&[], 1_000);
    let domain = bench.rules.domain;
    let forged = SignedStop::sign(domain, bench.job.record.job_id, &stranger());
    assert_eq!(bench.tell(Event::StopRequested(forged)), []);
    let other = SignedStop::sign(domain, JobId(B256::repeat_byte(9)), &payer());
    assert_eq!(bench.tell(Event::StopRequested(other)), []);
}

#[test]
fn order_that_is_matched_after_it_was_given_up_ends_without_a_start() {
    let mut bench = Bench::offered(&[], 1_000);
    let stop = SignedStop::sign(bench.rules.domain, bench.job.record.job_id, &payer());
    bench.tell(Event::StopRequested(stop));
    let news = crate::ports::ChainNews::Matched(Box::new(bench.position()));
    let effects = bench.tell(Event::Chain { block: 100, news });
    assert!(matches!(stage(&bench), Stage::Storing { .. }), "{effects:?}");
}

#[test]
fn match_of_another_node_starts_nothing_here() {
    let mut bench = Bench::offered(&[], 1_000);
    let mut position = bench.position();
    position.terms.node = Default::default();
    let news = crate::ports::ChainNews::Matched(Box::new(position));
    assert_eq!(bench.tell(Event::Chain { block: 1, news }), []);
    assert!(bench.job.record.attempt.is_none());
}

#[test]
fn without_a_ready_command_the_meter_starts_with_the_program() {
    let mut bench = Bench::matched(&[], 1_000);
    assert_eq!(
        bench.tell(Event::Done(Done::Prepared(Ok(image())))),
        [Effect::Start(image())]
    );
    assert_eq!(bench.after(700), []);
    let effects = bench.tell(Event::Done(Done::Started(Ok(()))));
    assert_eq!(effects, [Effect::Report(Step::Started), Effect::ReadStatus]);
    let started_at = Moment {
        boot_millis: bench.moment().boot_millis - 300,
        ..bench.moment()
    };
    let effects = bench.tell(Event::Done(Done::Status(Ok(ContainerStatus::Running { started_at }))));
    let at_millis = bench.moment().unix_millis;
    assert_eq!(
        effects,
        [
            Effect::Report(Step::Ready),
            Effect::Sample {
                billed_millis: 300,
                at_millis
            }
        ]
    );
    let proposal = proposal_in(&bench.sampled());
    assert_eq!((proposal.voucher.seq, proposal.voucher.billed_millis), (1, 5_300));
    assert_eq!(proposal.previous, None);
}

#[test]
fn readiness_is_checked_each_second_and_the_meter_starts_when_it_passes() {
    let mut bench = Bench::matched(&["check"], 1_000);
    bench.tell(Event::Done(Done::Prepared(Ok(image()))));
    let effects = bench.tell(Event::Done(Done::Started(Ok(()))));
    assert_eq!(
        effects,
        [
            Effect::Report(Step::Started),
            Effect::ReadStatus,
            Effect::CheckReady,
            Effect::CheckDisk
        ]
    );
    let started_at = bench.moment();
    assert_eq!(
        bench.tell(Event::Done(Done::Status(Ok(ContainerStatus::Running { started_at })))),
        []
    );
    assert_eq!(bench.tell(Event::Done(Done::ReadyChecked(Ok(1)))), []);
    assert_eq!(bench.after(999), [Effect::ReadStatus]);
    assert_eq!(bench.after(1), [Effect::CheckReady]);
    let at_millis = bench.moment().unix_millis;
    let effects = bench.tell(Event::Done(Done::ReadyChecked(Ok(0))));
    assert_eq!(
        effects,
        [
            Effect::Report(Step::Ready),
            Effect::Sample {
                billed_millis: 0,
                at_millis
            }
        ]
    );
}

#[test]
fn program_that_never_becomes_ready_is_stopped_at_the_promise_and_costs_nothing() {
    let mut bench = Bench::matched(&["check"], 1_000);
    bench.tell(Event::Done(Done::Prepared(Ok(image()))));
    bench.tell(Event::Done(Done::Started(Ok(()))));
    let started_at = bench.moment();
    bench.tell(Event::Done(Done::Status(Ok(ContainerStatus::Running { started_at }))));
    bench.tell(Event::Done(Done::ReadyChecked(Ok(1))));
    let effects = bench.after(60_000);
    assert!(matches!(&effects[0], Effect::Report(Step::Failed { reason, .. }) if reason == "not ready within 60 s"));
    assert_eq!(notable(effects), [Effect::Kill(Signal::Terminate)]);
    // A check that passes too late changes nothing.
    assert_eq!(notable(bench.tell(Event::Done(Done::ReadyChecked(Ok(0))))), []);
    assert_eq!(bench.tell(Event::Done(Done::Killed(Ok(())))), []);
    assert_eq!(notable(bench.after(5_000)), [Effect::Kill(Signal::Kill)]);
    let effects = notable(bench.exits(ExitOutcome::Signal(9), false));
    assert!(
        matches!(effects.as_slice(), [Effect::Store { billed_millis: 0, .. }]),
        "{effects:?}"
    );
    let result = bench.stored().result;
    assert_eq!(
        (result.outcome, result.billed_millis, result.exit_code),
        (Outcome::UserFault, 0, 137)
    );
}

#[test]
fn image_that_does_not_exist_is_the_users_fault_told_once_and_free() {
    let mut bench = Bench::matched(&[], 1_000);
    let effects = bench.tell(Event::Done(Done::Prepared(Err(fault(Blame::User)))));
    assert!(matches!(&effects[0], Effect::Report(Step::Failed { reason, .. }) if reason == "because"));
    assert!(matches!(
        effects[1..],
        [Effect::Report(Step::Storing), Effect::Store { billed_millis: 0, .. }]
    ));
    let result = bench.stored().result;
    assert_eq!(
        (result.outcome, result.billed_millis, result.exit_code),
        (Outcome::UserFault, 0, 125)
    );
}

#[test]
fn full_disk_while_preparing_is_this_machines_fault_and_free() {
    let mut bench = Bench::matched(&[], 1_000);
    bench.tell(Event::Done(Done::Prepared(Err(fault(Blame::Machine)))));
    let result = bench.stored().result;
    assert_eq!((result.outcome, result.billed_millis), (Outcome::HardwareFault, 0));
}

#[test]
fn input_that_is_not_there_yet_is_asked_for_again_until_the_promise_is_broken() {
    let mut bench = Bench::matched(&[], 1_000);
    assert_eq!(bench.tell(Event::Done(Done::Prepared(Err(fault(Blame::Passing))))), []);
    assert_eq!(bench.after(1_000), [Effect::Prepare]);
    assert_eq!(bench.after(30_000), []);
    bench.tell(Event::Done(Done::Prepared(Err(fault(Blame::Passing)))));
    bench.after(30_000);
    // Nobody can tell whose fault it was: the node closes alone, without pay.
    let effects = bench.tell(Event::Done(Done::Stored(Ok(stored()))));
    assert!(matches!(effects.as_slice(), [Effect::Submit { newest: None, result, .. }] if result.billed_millis == 0));
}

#[test]
fn a_voucher_is_proposed_every_interval_one_interval_ahead() {
    let mut bench = Bench::running(1_000);
    for second in 1..5 {
        assert_eq!(notable(bench.second()), [], "second {second}");
    }
    let first = bench.job.record.attempt.as_ref().unwrap().newest.clone();
    let proposal = proposal_in(&bench.second());
    assert_eq!((proposal.voucher.seq, proposal.voucher.billed_millis), (2, 10_000));
    assert_eq!(proposal.previous, first);
    assert_eq!(bench.sign(&proposal), []);
    assert_eq!(bench.job.record.attempt.as_ref().unwrap().vouchers, 2);
}

#[test]
fn voucher_signed_by_a_stranger_or_an_older_one_counts_for_nothing() {
    let mut bench = Bench::running(1_000);
    let before = bench.job.record.clone();
    let proposal = proposal_in(&bench.after(5_000));
    bench.job.record.attempt.as_mut().unwrap().proposed = before.attempt.as_ref().unwrap().proposed.clone();
    let forged = bench.signed(&proposal, &stranger());
    assert_eq!(bench.tell(Event::VoucherSigned(Box::new(forged))), []);
    let older = before.attempt.as_ref().unwrap().newest.clone().unwrap();
    assert_eq!(bench.tell(Event::VoucherSigned(Box::new(older))), []);
    assert_eq!(bench.job.record, before);
}

#[test]
fn silent_signer_pauses_the_job_after_two_unsigned_intervals_and_nothing_is_billed_meanwhile() {
    let mut bench = Bench::running(1_000);
    // The first voucher covers 5 s; two unsigned intervals more, and the container is frozen at 15 s.
    for second in 1..15 {
        assert!(!bench.second().contains(&Effect::Pause), "second {second}");
    }
    let effects = bench.after(1_000);
    assert!(
        effects.contains(&Effect::Report(Step::Paused)) && effects.contains(&Effect::Pause),
        "{effects:?}"
    );
    bench.tell(Event::Done(Done::Paused(Ok(()))));
    bench.sampled();
    // Proposals go on, for the same usage.
    let mut last = None;
    for _ in 0..60 {
        let effects = bench.second();
        assert!(!effects.contains(&Effect::Pause) && !effects.contains(&Effect::Resume));
        last = effects
            .iter()
            .any(|effect| matches!(effect, Effect::ProposeVoucher(_)))
            .then(|| proposal_in(&effects))
            .or(last);
    }
    let proposal = last.unwrap();
    assert_eq!(proposal.voucher.billed_millis, 20_000);
    assert_eq!(bench.sign(&proposal), [Effect::Resume]);
    assert_eq!(
        bench.tell(Event::Done(Done::Resumed(Ok(())))),
        [Effect::Report(Step::Resumed)]
    );
    bench.after(1_000);
    let effects = bench.exits(ExitOutcome::Code(0), false);
    assert!(
        effects.iter().any(|effect| matches!(
            effect,
            Effect::Store {
                billed_millis: 16_000,
                ..
            }
        )),
        "{effects:?}"
    );
}

/// Plays seconds until the program is killed; how many it took.
fn seconds_until_killed(bench: &mut Bench, at_most: u64) -> u64 {
    for second in 1..=at_most {
        let effects = bench.second();
        if effects.contains(&Effect::Pause) {
            bench.tell(Event::Done(Done::Paused(Ok(()))));
        }
        if effects.iter().any(|effect| matches!(effect, Effect::Kill(_))) {
            return second;
        }
    }
    panic!("it still runs after {at_most} s");
}

#[test]
fn a_job_that_nobody_signs_for_is_ended_and_submitted_with_what_was_signed() {
    let mut bench = Bench::running(1_000);
    // Signed to 5 s, frozen at 15 s; 36 graces of 20 s later it is over.
    let seconds = seconds_until_killed(&mut bench, 1_000);
    assert_eq!(seconds, 15 + 36 * 20);
    let attempt = bench.job.record.attempt.as_ref().unwrap();
    assert_eq!(attempt.stop, Some(Stop::Unsigned));
    bench.exits(ExitOutcome::Signal(9), false);
    let proposal = bench.stored();
    assert_eq!(proposal.result.outcome, Outcome::Stopped);
    let effects = bench.after(20_000);
    let submitted = effects.iter().any(|effect| matches!(effect, Effect::Submit { .. }));
    assert!(submitted, "{effects:?}");
}

#[test]
fn silence_counts_while_the_daemon_is_away() {
    let mut bench = Bench::running(1_000);
    while !bench.second().contains(&Effect::Pause) {}
    bench.tell(Event::Done(Done::Paused(Ok(()))));
    bench.is_killed_for(36 * 20_000);
    bench.second();
    assert_eq!(bench.job.record.attempt.as_ref().unwrap().stop, Some(Stop::Unsigned));
}

#[test]
fn a_signature_in_time_lets_the_job_go_on() {
    let mut bench = Bench::running(1_000);
    let mut proposal = None;
    for _ in 0..15 + 36 * 20 - 1 {
        let effects = bench.second();
        if effects.contains(&Effect::Pause) {
            bench.tell(Event::Done(Done::Paused(Ok(()))));
        }
        if effects.iter().any(|effect| matches!(effect, Effect::ProposeVoucher(_))) {
            proposal = Some(proposal_in(&effects));
        }
    }
    assert_eq!(bench.sign(&proposal.unwrap()), [Effect::Resume]);
    bench.tell(Event::Done(Done::Resumed(Ok(()))));
    bench.second();
    assert_eq!(bench.job.record.attempt.as_ref().unwrap().stop, None);
}

#[test]
fn a_job_is_ended_half_a_day_before_its_last_deadline_however_often_it_was_paused() {
    let mut bench = Bench::running(1_000);
    let deadline = bench.job.record.attempt.as_ref().unwrap().last_deadline();
    let late = deadline - 12 * 60 * 60;
    let now = bench.moment().unix_millis / 1_000;
    bench.now.chain_ahead_millis = (late - now - 2) * 1_000;
    assert_eq!(seconds_until_killed(&mut bench, 10), 2);
}

#[test]
fn job_stops_when_its_escrow_is_used_up_and_bills_not_a_unit_more() {
    // Escrow for 8 s.
    let mut bench = Bench::running(8);
    for _ in 1..5 {
        bench.second();
    }
    let proposal = proposal_in(&bench.second());
    assert_eq!(proposal.voucher.billed_millis, 8_000);
    bench.sign(&proposal);
    bench.second();
    bench.second();
    let effects = notable(bench.second());
    assert_eq!(effects, [Effect::Kill(Signal::Terminate)]);
    assert!(matches!(
        bench.job.record.attempt.as_ref().unwrap().stop,
        Some(Stop::Limit(_))
    ));
    bench.after(900);
    bench.exits(ExitOutcome::Signal(15), false);
    let result = bench.stored().result;
    assert_eq!((result.outcome, result.billed_millis), (Outcome::Stopped, 8_000));
}

#[test]
fn stop_is_obeyed_only_when_payer_signer_or_budget_key_signed_it() {
    for (key, is_obeyed) in [
        (stranger(), false),
        (payer(), true),
        (signer(), true),
        (spender(), true),
    ] {
        let mut bench = Bench::running(1_000);
        let stop = SignedStop::sign(bench.rules.domain, bench.job.record.job_id, &key);
        let effects = bench.tell(Event::StopRequested(stop));
        assert_eq!(effects.contains(&Effect::Kill(Signal::Terminate)), is_obeyed);
    }
}

#[test]
fn stopped_program_has_five_seconds_and_is_then_killed_and_billed_for_its_time() {
    let mut bench = Bench::running(1_000);
    bench.second();
    let stop = SignedStop::sign(bench.rules.domain, bench.job.record.job_id, &payer());
    assert_eq!(
        bench.tell(Event::StopRequested(stop)),
        [Effect::Kill(Signal::Terminate)]
    );
    bench.tell(Event::Done(Done::Killed(Ok(()))));
    assert_eq!(notable(bench.after(4_900)), []);
    assert_eq!(notable(bench.after(100)), [Effect::Kill(Signal::Kill)]);
    bench.exits(ExitOutcome::Signal(9), false);
    let result = bench.stored().result;
    assert_eq!((result.outcome, result.billed_millis), (Outcome::Stopped, 6_000));
}

#[test]
fn stop_before_anything_ran_ends_free() {
    let mut bench = Bench::matched(&[], 1_000);
    let stop = SignedStop::sign(bench.rules.domain, bench.job.record.job_id, &payer());
    bench.tell(Event::StopRequested(stop));
    assert!(matches!(stage(&bench), Stage::Storing { .. }));
    let result = bench.stored().result;
    assert_eq!((result.outcome, result.billed_millis), (Outcome::Stopped, 0));
}

#[test]
fn five_second_job_bills_five_seconds_although_it_was_noticed_late() {
    let mut bench = Bench::running(1_000);
    let started_at = bench.moment();
    bench.after(5_400);
    let finished_at = Moment {
        boot_millis: started_at.boot_millis + 5_000,
        ..bench.moment()
    };
    let record = ExitRecord {
        outcome: ExitOutcome::Code(0),
        oom_killed: false,
        started_at,
        finished_at,
        usage: sample(),
    };
    let effects = bench.tell(Event::Done(Done::Status(Ok(ContainerStatus::Exited(record)))));
    let exited = Effect::Report(Step::Exited {
        exit_code: 0,
        is_out_of_memory: false,
    });
    assert_eq!(effects[0], exited);
    let result = bench.stored().result;
    assert_eq!(
        (result.outcome, result.billed_millis, result.ready_after_seconds),
        (Outcome::Completed, 5_000, 0)
    );
}

#[test]
fn program_that_ended_before_anybody_looked_is_billed_from_its_start_to_its_end() {
    let mut bench = Bench::matched(&[], 1_000);
    bench.tell(Event::Done(Done::Prepared(Ok(image()))));
    bench.tell(Event::Done(Done::Started(Ok(()))));
    let finished_at = bench.moment();
    let started_at = Moment {
        boot_millis: finished_at.boot_millis - 40,
        ..finished_at
    };
    let record = ExitRecord {
        outcome: ExitOutcome::Code(0),
        oom_killed: false,
        started_at,
        finished_at,
        usage: sample(),
    };
    bench.tell(Event::Done(Done::Status(Ok(ContainerStatus::Exited(record)))));
    let result = bench.stored().result;
    assert_eq!((result.outcome, result.billed_millis), (Outcome::Completed, 40));
}

#[test]
fn failing_program_and_one_out_of_memory_are_the_users_fault() {
    for (outcome, oom, exit_code) in [(ExitOutcome::Code(3), false, 3), (ExitOutcome::Signal(9), true, 137)] {
        let mut bench = Bench::running(1_000);
        bench.second();
        bench.exits(outcome, oom);
        let result = bench.stored().result;
        assert_eq!(
            (result.outcome, result.exit_code, result.billed_millis),
            (Outcome::UserFault, exit_code, 1_000)
        );
    }
}

#[test]
fn output_above_the_disk_asked_for_ends_a_job_that_is_not_ready_yet() {
    let mut bench = Bench::matched(&["check"], 1_000);
    bench.tell(Event::Done(Done::Prepared(Ok(image()))));
    let effects = bench.tell(Event::Done(Done::Started(Ok(()))));
    assert!(effects.contains(&Effect::CheckDisk));
    assert_eq!(bench.tell(Event::Done(Done::DiskChecked(false))), []);
    assert!(bench.after(1_000).contains(&Effect::CheckDisk));
    let effects = bench.tell(Event::Done(Done::DiskChecked(true)));
    assert!(matches!(&effects[0], Effect::Report(Step::Failed { hint, .. }) if hint == "ask for more disk"));
    assert_eq!(notable(effects), [Effect::Kill(Signal::Terminate)]);
    bench.exits(ExitOutcome::Signal(15), false);
    let result = bench.stored().result;
    assert_eq!((result.outcome, result.billed_millis), (Outcome::UserFault, 0));
}

#[test]
fn output_above_the_disk_asked_for_ends_the_job_as_the_users_fault() {
    let mut bench = Bench::running(1_000);
    bench.after(1_000);
    let mut over = gauge();
    over.is_disk_over = true;
    let effects = bench.tell(Event::Done(Done::Sampled(Ok(over))));
    assert!(
        effects
            .iter()
            .any(|effect| matches!(effect, Effect::Report(Step::Failed { .. })))
    );
    bench.exits(ExitOutcome::Signal(15), false);
    assert_eq!(bench.stored().result.outcome, Outcome::UserFault);
}
