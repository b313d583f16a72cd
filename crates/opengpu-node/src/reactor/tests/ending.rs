//! From the program's end to the chain's last word.

use opengpu_core::Address;
use opengpu_core::job::{Ending, Usage};
use opengpu_core::order::{Outcome, Signable};
use opengpu_core::receipt::Receipt;
use opengpu_core::wire::ResultProposal;

use super::bench::*;
use crate::ports::{ChainFault, ChainNews, EarlierAttempt};
use crate::reactor::{Blame, Done, Effect, Event, Stored, TaskFault};
use crate::runtime::{ContainerStatus, ExitOutcome};

/// A job that completed after 2 s and whose result is proposed.
fn proposed() -> (Bench, ResultProposal) {
    let mut bench = Bench::running(1_000);
    bench.second();
    bench.second();
    bench.exits(ExitOutcome::Code(0), false);
    let proposal = bench.stored();
    (bench, proposal)
}

#[test]
fn result_is_signed_with_a_receipt_that_says_the_same() {
    let (bench, proposal) = proposed();
    let signed_by = proposal
        .result
        .signed_by(bench.rules.domain, &proposal.operator_signature);
    assert_eq!(signed_by, Ok(operator().address()));
    let receipt = Receipt::from_canonical_json(proposal.receipt.as_bytes()).unwrap();
    assert_eq!(receipt.result().unwrap(), proposal.result);
    assert_eq!(receipt.usage.billed_millis, 2_000);
    assert_eq!(receipt.attempts[0].gpus, []);
    assert_eq!(receipt.payment.escrowed.0, 1_000);
    assert_eq!(receipt.payment.paid.0 + receipt.payment.refunded.0, 1_000);
    let measured = receipt.usage.measured.as_ref().unwrap();
    assert_eq!((measured.cpu_millis, measured.vouchers), (2_000, 1));
    assert_eq!(proposal.previous, bench.job.record.attempt.unwrap().newest);
}

#[test]
fn approved_result_is_settled_and_the_job_closes_when_that_is_final() {
    let (mut bench, proposal) = proposed();
    let approved = bench.approved(&proposal, &signer());
    let at = Box::new(bench.position());
    let settle = Effect::Settle {
        at,
        approved: Box::new(approved.clone()),
    };
    assert_eq!(
        bench.tell(Event::ResultApproved(Box::new(approved.clone()))),
        std::slice::from_ref(&settle)
    );
    assert_eq!(bench.tell(Event::ResultApproved(Box::new(approved))), []);
    assert_eq!(bench.tell(Event::Done(Done::Settled(Ok(())))), []);
    // Sent, but not in the news yet: sent again after a while, which the contract refuses if it was done.
    assert_eq!(bench.after(6_000), [settle]);
    assert_eq!(
        bench.tell(Event::Done(Done::Settled(Err(ChainFault::Unreachable("x".to_owned()))))),
        []
    );
    assert_eq!(
        bench.tell(Event::Chain {
            block: 110,
            news: ChainNews::Settled
        }),
        []
    );
    assert_eq!(bench.tell(Event::Head { block: 112 }), []);
    assert_eq!(bench.tell(Event::Head { block: 113 }), [Effect::Close]);
    assert_eq!(bench.after(60_000), []);
}

#[test]
fn approval_by_a_stranger_or_of_another_result_settles_nothing() {
    let (mut bench, proposal) = proposed();
    let forged = bench.approved(&proposal, &stranger());
    assert_eq!(bench.tell(Event::ResultApproved(Box::new(forged))), []);
    let mut other = proposal.clone();
    other.result.billed_millis += 1;
    let other = bench.approved(&other, &signer());
    assert_eq!(bench.tell(Event::ResultApproved(Box::new(other))), []);
}

#[test]
fn proposal_is_repeated_and_a_silent_signer_makes_the_node_submit_its_newest_voucher() {
    let (mut bench, proposal) = proposed();
    assert_eq!(bench.after(2_999), []);
    assert_eq!(bench.after(1), [Effect::ProposeResult(Box::new(proposal.clone()))]);
    let effects = bench.after(17_000);
    let newest = bench.job.record.attempt.as_ref().unwrap().newest.clone().unwrap();
    match effects.as_slice() {
        [
            Effect::Submit {
                result,
                newest: Some(sent),
                receipt,
                ..
            },
        ] => {
            assert_eq!(**sent, newest);
            // The contract wants the voucher's totals, and the receipt must say them too.
            assert_eq!(result.billed_millis, newest.voucher.billed_millis);
            let receipt = Receipt::from_canonical_json(receipt.as_bytes()).unwrap();
            assert_eq!(receipt.result().unwrap(), **result);
        }
        other => panic!("{other:?}"),
    }
    // A late approval is still better for both.
    let approved = bench.approved(&proposal, &signer());
    let effects = bench.tell(Event::ResultApproved(Box::new(approved)));
    assert!(matches!(effects.as_slice(), [Effect::Settle { .. }]));
}

#[test]
fn voucher_signed_while_the_node_submits_does_not_replace_the_one_the_result_is_built_from() {
    let mut bench = Bench::running(1_000);
    let mut late = None;
    for _ in 0..5 {
        let effects = bench.second();
        late = effects
            .iter()
            .any(|effect| matches!(effect, Effect::ProposeVoucher(_)))
            .then(|| proposal_in(&effects))
            .or(late);
    }
    bench.exits(ExitOutcome::Code(0), false);
    bench.stored();
    let submitted = bench.after(20_000);
    assert!(
        matches!(submitted.as_slice(), [Effect::Submit { newest: Some(voucher), result, .. }]
        if voucher.voucher.seq == 1 && voucher.voucher.billed_millis == result.billed_millis)
    );
    assert_eq!(bench.sign(&late.unwrap()), []);
    bench.tell(Event::Done(Done::Submitted(Err(ChainFault::Unreachable(
        "x".to_owned(),
    )))));
    assert_eq!(bench.is_killed_for(6_000), submitted);
}

#[test]
fn lost_container_is_nobodys_fault_and_closes_with_the_newest_voucher() {
    let mut bench = Bench::running(1_000);
    bench.after(1_000);
    let started_at = bench.moment();
    bench.tell(Event::Done(Done::Status(Ok(ContainerStatus::Lost { started_at }))));
    let effects = bench.tell(Event::Done(Done::Stored(Ok(stored()))));
    assert!(
        matches!(effects.as_slice(), [Effect::Submit { newest: Some(_), result, .. }] if result.billed_millis == 5_000)
    );
    bench.tell(Event::Done(Done::Submitted(Ok(()))));
    assert_eq!(
        bench.tell(Event::Chain {
            block: 120,
            news: ChainNews::Interrupted
        }),
        []
    );
    assert_eq!(bench.tell(Event::Head { block: 123 }), [Effect::Close]);
}

#[test]
fn full_disk_while_storing_loses_nothing_and_goes_on_when_there_is_room() {
    let mut bench = Bench::running(1_000);
    bench.second();
    bench.exits(ExitOutcome::Code(0), false);
    let full = TaskFault {
        blame: Blame::Machine,
        reason: "disk full".to_owned(),
    };
    for _ in 0..5 {
        assert_eq!(bench.tell(Event::Done(Done::Stored(Err(full.clone())))), []);
        let effects = notable(bench.after(2_000));
        assert!(
            matches!(
                effects.as_slice(),
                [Effect::Store {
                    billed_millis: 1_000,
                    ..
                }]
            ),
            "{effects:?}"
        );
    }
    assert_eq!(bench.stored().result.outcome, Outcome::Completed);
}

#[test]
fn output_that_cannot_be_stored_is_left_out_and_the_log_is_kept() {
    let mut bench = Bench::running(1_000);
    bench.second();
    bench.exits(ExitOutcome::Code(0), false);
    let odd = TaskFault {
        blame: Blame::User,
        reason: "a socket".to_owned(),
    };
    bench.tell(Event::Done(Done::Stored(Err(odd))));
    let effects = notable(bench.after(2_000));
    assert!(
        matches!(
            effects.as_slice(),
            [Effect::Store {
                without_output: true,
                ..
            }]
        ),
        "{effects:?}"
    );
    let result = bench.stored().result;
    assert_eq!((result.outcome, result.exit_code), (Outcome::UserFault, 125));
}

#[test]
fn receipt_of_a_second_attempt_names_the_first_and_what_it_was_paid() {
    let mut bench = Bench::running(1_000);
    bench.exits(ExitOutcome::Code(0), false);
    let first = EarlierAttempt {
        terms: bench.position().terms,
        collected: Vec::new(),
        ending: Ending::Contested,
        usage: Usage {
            billed_millis: 7_000,
            egress_bytes: 0,
        },
        owner: Address::repeat_byte(0xee),
    };
    let after_first = Stored {
        earlier: vec![first],
        ..stored()
    };
    let effects = bench.tell(Event::Done(Done::Stored(Ok(after_first))));
    let [Effect::ProposeResult(proposal)] = effects.as_slice() else {
        panic!("{effects:?}")
    };
    let receipt = Receipt::from_canonical_json(proposal.receipt.as_bytes()).unwrap();
    assert_eq!(receipt.attempts.len(), 2);
    assert_eq!(receipt.attempts[0].owner, Address::repeat_byte(0xee));
    // A base unit a second: 7 of the first, nothing yet of the second.
    assert_eq!((receipt.attempts[0].split.paid.0, receipt.payment.paid.0), (7, 7));
}
