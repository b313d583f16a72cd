//! What signer, payer and the key of the job's budget say. It comes through gateways, which are not trusted: only a right signature counts.

use opengpu_core::order::Signable;
use opengpu_core::wire::{ApprovedResult, Refusal, SignedStop, SignedVoucher};

use super::record::Stop;
use super::{Job, Rules, Stage};

impl Job {
    pub(super) fn on_voucher_signed(&mut self, rules: &Rules, signed: SignedVoucher) {
        let job_id = self.record.job_id;
        let Some(attempt) = &mut self.record.attempt else {
            return;
        };
        let voucher = &signed.voucher;
        let is_ours = voucher.job_id == job_id && voucher.attempt == attempt.terms.attempt();
        let newest_seq = attempt.newest.as_ref().map_or(0, |newest| newest.voucher.seq);
        let is_newer = voucher.seq > newest_seq;
        if is_ours && is_newer && signed.is_by(rules.domain, attempt.terms.operator, attempt.terms.signer) {
            attempt.earned = attempt.newest.replace(signed);
            attempt.vouchers += 1;
        }
    }

    pub(super) fn on_result_approved(&mut self, rules: &Rules, approved: ApprovedResult) {
        let Some(attempt) = &mut self.record.attempt else {
            return;
        };
        let asked = match &attempt.stage {
            Stage::Proposing { proposal, .. } => &proposal.result,
            // The grace is over and the node submits; a late approval is still better for both.
            Stage::Submitting { .. } if approved.result.job_id == self.record.job_id => &approved.result,
            _ => return,
        };
        let is_consistent = *asked == approved.result
            && approved.result.attempt == attempt.terms.attempt()
            && approved.approve.result_hash == approved.result.digest(rules.domain);
        let (operator, signer) = (attempt.terms.operator, attempt.terms.signer);
        let is_signed = approved
            .operator_signature
            .is_by(operator, approved.result.digest(rules.domain))
            && approved
                .signer_signature
                .is_by(signer, approved.approve.digest(rules.domain));
        if is_consistent && is_signed {
            attempt.stage = Stage::Settling {
                approved: Box::new(approved),
            };
        }
    }

    pub(super) fn on_stop_requested(&mut self, rules: &Rules, stop: &SignedStop) {
        let job_id = self.record.job_id;
        // A match keeps payer, signer and budget as the order, whose digest is the job's id, names them.
        let order = &self.record.order.order;
        let mut by = [order.payer, order.signer]
            .into_iter()
            .chain(self.record.facts.budget_key);
        let digest = SignedStop::digest(rules.domain, job_id);
        if stop.job_id != job_id || !by.any(|account| stop.signature.is_by(account, digest)) {
            return;
        }
        let Some(attempt) = &mut self.record.attempt else {
            self.live.is_given_up = true;
            return;
        };
        let is_running = matches!(
            attempt.stage,
            Stage::Preparing | Stage::Starting { .. } | Stage::Running { .. }
        );
        if is_running {
            attempt.stop.get_or_insert(Stop::Asked);
        }
    }

    /// A refusal changes nothing: it is not signed, the next proposal is made anyway, and silence has its own deadlines.
    pub(super) fn on_refused(&self, refusal: &Refusal) {
        let Refusal {
            refused,
            reason,
            is_retryable,
        } = refusal;
        tracing::warn!(job = %self.record.job_id, %refused, %reason, is_retryable, "the signer refused");
    }
}
