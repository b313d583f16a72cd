//! What the payer agent signs. Pure: from what the chain says, what was signed before and the clock, to an answer.
//!
//! The rules of the meter are `opengpu_core::metering`; here is what comes on top: whom the agent signs for, that it repeats
//! itself and never contradicts itself, and what it takes over from a node after it lost its memory.

use opengpu_core::Address;
use opengpu_core::job::{JobState, Terms};
use opengpu_core::metering::{SignerView, check_result, check_voucher, ready_at};
use opengpu_core::order::{Domain, JobResult, Signable as _, Voucher};
use opengpu_core::wire::{ApprovedResult, SignedVoucher};

use super::journal::Record;
use crate::projector::ChainJob;

/// A job as the agent sees it when it is asked to sign.
#[derive(Clone, Copy)]
pub(crate) struct Case<'a> {
    pub(crate) domain: Domain,
    /// The agent's own account.
    pub(crate) agent: Address,
    pub(crate) job: &'a ChainJob,
    pub(crate) terms: &'a Terms,
    /// The spec's `voucherIntervalSeconds`.
    pub(crate) interval_seconds: u32,
    pub(crate) is_stop_wished: bool,
    pub(crate) now_millis: u64,
}

/// What the agent does with a proposal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer<T> {
    /// Sign it.
    Sign,
    /// It was signed before: say so again.
    Again(T),
    /// Do not sign it.
    Refuse(No),
    /// The order names another signer: say nothing.
    NotOurs,
}

/// Why not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct No {
    pub(crate) reason: String,
    pub(crate) is_retryable: bool,
}

impl No {
    pub(crate) fn never<T>(reason: impl Into<String>) -> Answer<T> {
        Answer::Refuse(Self {
            reason: reason.into(),
            is_retryable: false,
        })
    }

    pub(crate) fn not_yet<T>(reason: impl Into<String>) -> Answer<T> {
        Answer::Refuse(Self {
            reason: reason.into(),
            is_retryable: true,
        })
    }
}

impl Case<'_> {
    fn view<'b>(&'b self, record: &'b Record) -> SignerView<'b> {
        SignerView {
            job_id: self.job.job_id,
            terms: self.terms,
            progress: &self.job.progress,
            interval_seconds: self.interval_seconds,
            ready_at_millis: record.ready_at_millis,
            previous: record.voucher.as_ref().map(|signed| &signed.voucher),
            is_stop_wished: self.is_stop_wished,
            now_millis: self.now_millis,
        }
    }

    /// Takes over a voucher that a node shows and both signed, when it is newer than what we remember.
    pub(crate) fn take_over(&self, record: &mut Record, shown: Option<&SignedVoucher>) {
        let Some(shown) = shown else { return };
        let voucher = &shown.voucher;
        let known = record.voucher.as_ref().map_or(0, |signed| signed.voucher.seq);
        let is_of_attempt = voucher.job_id == self.job.job_id && voucher.attempt == self.terms.attempt();
        if !is_of_attempt || voucher.seq <= known || !shown.is_by(self.domain, self.terms.operator, self.agent) {
            return;
        }
        let signed_at_millis = voucher.signed_at.saturating_mul(1000);
        record
            .ready_at_millis
            .get_or_insert_with(|| ready_at(voucher, self.interval_seconds, signed_at_millis));
        record.voucher = Some(shown.clone());
    }

    /// Whether to sign a voucher. Its operator signature is the caller's to check.
    pub(crate) fn on_voucher(&self, record: &Record, voucher: &Voucher) -> Answer<SignedVoucher> {
        if self.terms.signer != self.agent {
            return Answer::NotOurs;
        }
        if let Some(signed) = record.voucher.as_ref().filter(|signed| signed.voucher == *voucher) {
            return Answer::Again(signed.clone());
        }
        if record.approved.is_some() {
            return No::never("the attempt's result was approved already");
        }
        if !matches!(self.job.state, JobState::Matched | JobState::Reported) {
            return No::never(format!("the attempt is over: the job is {:?} on chain", self.job.state));
        }
        if self.is_stop_wished {
            // What is due until the end is in the result.
            return No::never("payer or signer asked to stop: no further voucher is signed");
        }
        match check_voucher(&self.view(record), voucher) {
            Ok(()) => Answer::Sign,
            Err(refused) if refused.is_retryable() => No::not_yet(refused.to_string()),
            Err(refused) => No::never(refused.to_string()),
        }
    }

    /// Notes a voucher that is about to be signed.
    pub(crate) fn note_voucher(&self, record: &mut Record, signed: SignedVoucher) {
        record
            .ready_at_millis
            .get_or_insert_with(|| ready_at(&signed.voucher, self.interval_seconds, self.now_millis));
        record.voucher = Some(signed);
    }

    /// Whether to approve a result, as far as time, money and what was signed before decide.
    pub(crate) fn on_result(&self, record: &Record, result: &JobResult) -> Answer<ApprovedResult> {
        if self.terms.signer != self.agent {
            return Answer::NotOurs;
        }
        if let Some(approved) = &record.approved {
            if approved.result.struct_hash() == result.struct_hash() {
                return Answer::Again(approved.clone());
            }
            return No::never("another result of this attempt was approved already");
        }
        if !self.job.state.can_settle() {
            return No::never(format!(
                "no result can be settled: the job is {:?} on chain",
                self.job.state
            ));
        }
        match check_result(&self.view(record), result) {
            Ok(()) => Answer::Sign,
            Err(refused) if refused.is_retryable() => No::not_yet(refused.to_string()),
            Err(refused) => No::never(refused.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::{
        MATCHED_AT, agent_key, chain_job, domain, operator_key, result, sign_both, terms, voucher_at,
    };
    use opengpu_core::order::Outcome;

    const INTERVAL: u32 = 5;

    fn with_case<T>(after_seconds: u64, ask: impl FnOnce(Case<'_>) -> T) -> T {
        let (job, terms) = (chain_job(), terms());
        ask(Case {
            domain: domain(),
            agent: agent_key().address(),
            job: &job,
            terms: &terms,
            interval_seconds: INTERVAL,
            is_stop_wished: false,
            now_millis: (MATCHED_AT + after_seconds) * 1000,
        })
    }

    fn is_refused<T>(answer: &Answer<T>, retryable: bool) -> bool {
        matches!(answer, Answer::Refuse(no) if no.is_retryable == retryable)
    }

    #[test]
    fn only_orders_that_name_the_agent_are_signed_for() {
        let (job, mut terms) = (chain_job(), terms());
        terms.signer = operator_key().address();
        with_case(10, |case| {
            let case = Case {
                terms: &terms,
                job: &job,
                ..case
            };
            let voucher = voucher_at(1, 5000, MATCHED_AT + 10);
            assert_eq!(case.on_voucher(&Record::default(), &voucher), Answer::NotOurs);
            assert_eq!(case.on_result(&Record::default(), &result(5000)), Answer::NotOurs);
        });
    }

    #[test]
    fn a_first_voucher_for_one_interval_ahead_is_signed_and_the_same_again_is_repeated() {
        with_case(10, |case| {
            let mut record = Record::default();
            let voucher = voucher_at(1, 5000, MATCHED_AT + 10);
            assert_eq!(case.on_voucher(&record, &voucher), Answer::Sign);
            let signed = sign_both(voucher.clone());
            case.note_voucher(&mut record, signed.clone());
            assert_eq!(record.ready_at_millis, Some((MATCHED_AT + 10) * 1000));
            assert_eq!(case.on_voucher(&record, &voucher), Answer::Again(signed));
        });
    }

    #[test]
    fn another_voucher_with_the_same_number_is_never_signed() {
        with_case(10, |case| {
            let mut record = Record::default();
            case.note_voucher(&mut record, sign_both(voucher_at(1, 5000, MATCHED_AT + 10)));
            let answer = case.on_voucher(&record, &voucher_at(1, 4000, MATCHED_AT + 10));
            assert!(is_refused(&answer, false), "{answer:?}");
        });
    }

    #[test]
    fn a_voucher_ahead_of_time_may_come_again_later() {
        with_case(10, |case| {
            let mut record = Record::default();
            case.note_voucher(&mut record, sign_both(voucher_at(1, 5000, MATCHED_AT + 10)));
            let answer = case.on_voucher(&record, &voucher_at(2, 60_000, MATCHED_AT + 10));
            assert!(is_refused(&answer, true), "{answer:?}");
        });
    }

    #[test]
    fn after_a_loss_of_memory_the_shown_voucher_goes_on_and_old_ones_stay_refused() {
        with_case(40, |case| {
            let mut record = Record::default();
            let shown = sign_both(voucher_at(5, 30_000, MATCHED_AT + 35));
            case.take_over(&mut record, Some(&shown));
            assert_eq!(record.voucher.as_ref(), Some(&shown));
            assert_eq!(
                case.on_voucher(&record, &voucher_at(6, 35_000, MATCHED_AT + 40)),
                Answer::Sign
            );
            let rolled_back = case.on_voucher(&record, &voucher_at(4, 35_000, MATCHED_AT + 40));
            assert!(is_refused(&rolled_back, false), "{rolled_back:?}");
        });
    }

    #[test]
    fn a_voucher_the_agent_did_not_sign_is_not_taken_over() {
        with_case(40, |case| {
            let mut record = Record::default();
            let mut forged = sign_both(voucher_at(5, 30_000, MATCHED_AT + 35));
            forged.signer_signature = forged.voucher.sign(domain(), &operator_key());
            case.take_over(&mut record, Some(&forged));
            assert_eq!(record, Record::default());
        });
    }

    #[test]
    fn one_result_is_approved_and_no_voucher_after_it() {
        with_case(30, |case| {
            let mut record = Record::default();
            case.note_voucher(&mut record, sign_both(voucher_at(1, 5000, MATCHED_AT + 10)));
            record.ready_at_millis = Some((MATCHED_AT + 10) * 1000);
            let first = result(12_000);
            assert_eq!(case.on_result(&record, &first), Answer::Sign);
            let approved = crate::test_support::approve(first.clone());
            record.approved = Some(approved.clone());
            assert_eq!(case.on_result(&record, &first), Answer::Again(approved));
            let other = case.on_result(&record, &result(11_000));
            assert!(is_refused(&other, false), "{other:?}");
            let voucher = case.on_voucher(&record, &voucher_at(2, 20_000, MATCHED_AT + 30));
            assert!(is_refused(&voucher, false), "{voucher:?}");
        });
    }

    #[test]
    fn a_result_that_says_stopped_waits_for_the_wish() {
        with_case(30, |case| {
            let record = Record {
                ready_at_millis: Some((MATCHED_AT + 10) * 1000),
                ..Record::default()
            };
            let mut stopped = result(12_000);
            stopped.outcome = Outcome::Stopped;
            let answer = case.on_result(&record, &stopped);
            assert!(is_refused(&answer, true), "{answer:?}");
            let wished = Case {
                is_stop_wished: true,
                ..case
            };
            assert_eq!(wished.on_result(&record, &stopped), Answer::Sign);
        });
    }

    #[test]
    fn after_a_stop_no_new_voucher_is_signed_and_the_newest_is_repeated() {
        with_case(15, |case| {
            let mut record = Record::default();
            let signed = sign_both(voucher_at(1, 5000, MATCHED_AT + 10));
            case.note_voucher(&mut record, signed.clone());
            record.ready_at_millis = Some((MATCHED_AT + 10) * 1000);
            let next = voucher_at(2, 10_000, MATCHED_AT + 15);
            assert_eq!(case.on_voucher(&record, &next), Answer::Sign);
            let stopped = Case {
                is_stop_wished: true,
                ..case
            };
            let answer = stopped.on_voucher(&record, &next);
            assert!(is_refused(&answer, false), "{answer:?}");
            assert_eq!(
                stopped.on_voucher(&record, &signed.voucher.clone()),
                Answer::Again(signed)
            );
        });
    }

    #[test]
    fn nothing_is_signed_for_a_job_that_is_settled() {
        let mut job = chain_job();
        job.state = JobState::Settled;
        with_case(10, |case| {
            let case = Case { job: &job, ..case };
            let voucher = case.on_voucher(&Record::default(), &voucher_at(1, 5000, MATCHED_AT + 10));
            assert!(is_refused(&voucher, false), "{voucher:?}");
            assert!(is_refused(&case.on_result(&Record::default(), &result(1000)), false));
        });
    }
}
