//! From the program's end to the chain's last word: result, receipt, approval, settle or submit.

use opengpu_core::job::Usage;
use opengpu_core::order::{JobResult, Outcome, Signable};
use opengpu_core::receipt::{
    self, Closing, JobFacts, Logs, Measurements, NodeFacts, Receipt, ReceiptError, ResultFacts,
};
use opengpu_core::wire::{ResultProposal, Step};

use super::record::{End, JobRecord};
use super::{Blame, Effect, Job, RETRY_MILLIS, Rules, Stage, Stored, Task, TaskFault};
use crate::clock::Now;
use crate::ports::{EarlierAttempt, Leavings};

/// A proposal that was not answered is posted again after this, milliseconds: gateways come back.
const PROPOSE_RESULT_EVERY_MILLIS: u64 = 3_000;
/// Exit code of a program that ended well but whose output cannot be kept: what `docker run` gives for its own failures.
const EXIT_NO_OUTPUT: i32 = 125;

impl Job {
    pub(super) fn plan_storing(&mut self, now: &Now, effects: &mut Vec<Effect>) {
        let Some(attempt) = &self.record.attempt else { return };
        let Stage::Storing { end } = &attempt.stage else {
            return;
        };
        // The receipt names what was collected: first it has to be known whether that came through.
        if !self.is_collecting(now) && self.live.schedule.begin(Task::Store, now.boot()) {
            effects.push(Effect::Report(Step::Storing));
            effects.push(Effect::Store {
                attempt: attempt.terms.attempt(),
                billed_millis: end.usage.billed_millis,
                cpu_millis: end.cpu_millis,
                egress_bytes: end.usage.egress_bytes,
                at_millis: end.at_millis,
                without_output: end.is_output_lost,
            });
        }
    }

    pub(super) fn on_stored(
        &mut self,
        rules: &Rules,
        outcome: Result<Stored, TaskFault>,
        now: &Now,
        effects: &mut Vec<Effect>,
    ) {
        let is_fault = outcome.is_err();
        self.live
            .schedule
            .finish(Task::Store, now.boot() + if is_fault { RETRY_MILLIS } else { 0 });
        let Some(attempt) = &mut self.record.attempt else {
            return;
        };
        let Stage::Storing { end } = &mut attempt.stage else {
            return;
        };
        match outcome {
            Ok(Stored { leavings, earlier }) => {
                let end = end.clone();
                attempt.leavings = Some(leavings.clone());
                attempt.earlier = earlier;
                self.propose_result(rules, end, &leavings, now);
            }
            Err(fault) if fault.blame == Blame::User && !end.is_output_lost => {
                end.is_output_lost = true;
                if end.outcome == Some(Outcome::Completed) {
                    end.outcome = Some(Outcome::UserFault);
                    end.exit_code = EXIT_NO_OUTPUT;
                }
                self.tell_failure(&fault.reason, "the log is kept; the output folder is not", effects);
            }
            // A full disk is the usual one: nothing is lost, and storing goes on once there is room.
            Err(fault) => tracing::warn!(job = %self.record.job_id, reason = fault.reason, "output not stored yet"),
        }
    }

    fn propose_result(&mut self, rules: &Rules, end: End, leavings: &Leavings, now: &Now) {
        if end.outcome.is_none() {
            return self.submit_alone(rules, &end, leavings);
        }
        // Never below what was collected: the contract would refuse it.
        let collected = self
            .record
            .attempt
            .as_ref()
            .map_or(0, |attempt| attempt.progress().billed_millis);
        let usage = Usage {
            billed_millis: end.usage.billed_millis.max(collected),
            ..end.usage
        };
        let built = self.record.build_result(rules, &end, leavings, usage);
        let Ok((result, receipt)) = built.inspect_err(|error| tracing::error!(%error, "no receipt can be built"))
        else {
            return self.submit_alone(rules, &end, leavings);
        };
        let Some(attempt) = &mut self.record.attempt else {
            return;
        };
        let proposal = ResultProposal {
            operator_signature: result.sign(rules.domain, &rules.key),
            result,
            receipt,
            output: leavings.output.clone(),
            logs: leavings.logs.clone(),
            previous: attempt.newest.clone(),
        };
        let (proposal, since) = (Box::new(proposal), now.chain_millis());
        attempt.stage = Stage::Proposing { end, proposal, since };
    }

    pub(super) fn plan_proposing(&mut self, rules: &Rules, now: &Now, effects: &mut Vec<Effect>) {
        let Some(attempt) = &self.record.attempt else { return };
        let Stage::Proposing { end, proposal, since } = &attempt.stage else {
            return;
        };
        let is_silent = now.chain_millis() >= since + rules.approval_grace_millis;
        if let (true, Some(leavings)) = (is_silent, attempt.leavings.clone()) {
            let end = end.clone();
            self.submit_alone(rules, &end, &leavings);
            return self.plan_submitting(now, effects);
        }
        if self
            .live
            .schedule
            .every(Task::ProposeResult, PROPOSE_RESULT_EVERY_MILLIS, now.boot())
        {
            effects.push(Effect::ProposeResult(proposal.clone()));
        }
    }

    pub(super) fn plan_settling(&mut self, now: &Now, effects: &mut Vec<Effect>) {
        let Some(attempt) = &self.record.attempt else { return };
        let (Stage::Settling { approved }, Some(seen)) = (&attempt.stage, attempt.seen()) else {
            return;
        };
        if self.live.schedule.begin(Task::Settle, now.boot()) {
            let (at, approved) = (Box::new(seen.position.clone()), approved.clone());
            effects.push(Effect::Settle { at, approved });
        }
    }

    /// The node closes the attempt without the signer: its totals are the newest voucher's, and it counts as neutral.
    fn submit_alone(&mut self, rules: &Rules, end: &End, leavings: &Leavings) {
        let Some(attempt) = &self.record.attempt else { return };
        let usage = attempt.newest.as_ref().map_or_else(Usage::default, |newest| Usage {
            billed_millis: newest.voucher.billed_millis,
            egress_bytes: newest.voucher.egress_bytes,
        });
        let voucher = attempt.newest.clone().map(Box::new);
        match self.record.build_result(rules, end, leavings, usage) {
            Ok((result, receipt)) => self.set_stage(Stage::Submitting {
                result: Box::new(result),
                voucher,
                receipt,
            }),
            Err(error) => tracing::error!(job = %self.record.job_id, %error, "no receipt can be built"),
        }
    }

    pub(super) fn plan_submitting(&mut self, now: &Now, effects: &mut Vec<Effect>) {
        let Some(attempt) = &self.record.attempt else { return };
        let Some(seen) = attempt.seen() else { return };
        let Stage::Submitting {
            result,
            voucher,
            receipt,
        } = &attempt.stage
        else {
            return;
        };
        // A report is answered by `contest`, which pays the same; `submit` is refused while it stands.
        if seen.report.is_none() && self.live.schedule.begin(Task::Submit, now.boot()) {
            effects.push(Effect::Submit {
                at: Box::new(seen.position.clone()),
                result: result.clone(),
                receipt: receipt.clone(),
                newest: voucher.clone(),
            });
        }
    }
}

impl JobRecord {
    /// The receipt of this end, and the result that carries its digest.
    fn build_result(
        &self,
        rules: &Rules,
        end: &End,
        leavings: &Leavings,
        usage: Usage,
    ) -> Result<(JobResult, String), ReceiptError> {
        let attempt = self.attempt.as_ref().ok_or(ReceiptError::NoResult)?;
        let node = NodeFacts {
            owner: self.facts.owner,
            gpus: rules.gpus.clone(),
        };
        let collected = attempt.collected();
        let mut facts = JobFacts {
            domain: rules.domain,
            order: &self.order.order,
            spec: &self.order.spec,
            token_symbol: &self.facts.token_symbol,
            token_decimals: self.facts.token_decimals,
            earlier: &[],
            terms: &attempt.terms,
            collected: &collected,
            node: &node,
        };
        let earlier: Vec<_> = attempt.earlier.iter().map(|ended| ended.in_receipt(facts)).collect();
        facts.earlier = &earlier;
        let receipt = Receipt::build(
            &facts,
            &Closing::Result(ResultFacts {
                usage,
                // Unknown is said by not settling: a submitted result is neutral whatever it claims, and this claim leaves the job
                // open for another attempt.
                outcome: end.outcome.unwrap_or(Outcome::HardwareFault),
                exit_code: end.exit_code,
                output: leavings.output.clone(),
                logs: Logs {
                    cid: leavings.logs.clone(),
                    bytes: leavings.log_bytes,
                },
                measured: Measurements {
                    cpu_millis: end.cpu_millis,
                    memory_peak_bytes: end.memory_peak_bytes,
                    vouchers: attempt.vouchers,
                    ready_after_seconds: end.ready_after_seconds,
                    usage_cid: leavings.usage.clone(),
                },
            }),
        )?;
        let text = String::from_utf8_lossy(&receipt.canonical_json()?).into_owned();
        Ok((receipt.result()?, text))
    }
}

impl EarlierAttempt {
    /// As the receipt shows it. How many GPUs another node has is not on chain, so none are named.
    fn in_receipt(&self, of_job: JobFacts<'_>) -> receipt::Attempt {
        let node = NodeFacts {
            owner: self.owner,
            gpus: Vec::new(),
        };
        let facts = JobFacts {
            terms: &self.terms,
            collected: &self.collected,
            node: &node,
            ..of_job
        };
        facts.attempt(Some(self.ending), self.usage)
    }
}
