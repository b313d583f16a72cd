//! `--self-sign`: this process is the signer. It judges every proposal by the rules of `opengpu_core::metering` against its
//! own clock, and approves a result only once output and log are whole in a store of its own: the second one.

use std::time::{SystemTime, UNIX_EPOCH};

use opengpu_core::B256;
use opengpu_core::ids::JobId;
use opengpu_core::metering::{SignerView, check_result, check_voucher, ready_at};
use opengpu_core::order::{Approve, Signable};
use opengpu_core::receipt::{JobFacts, Receipt};
use opengpu_core::wire::{ApprovedResult, Refusal, ResultProposal, SignedVoucher, VoucherProposal};

use super::collect::Download;
use super::history::{History, node_facts};
use super::record::JobRecord;
use super::story::{Happening, Story};
use crate::client::GatewayError;
use crate::failure::{Failure, Outcome};
use crate::session::Session;

/// What a signer remembers of one attempt.
#[derive(Debug)]
pub(crate) struct Cosigner {
    history: History,
    newest: Option<SignedVoucher>,
    ready_at_millis: Option<u64>,
    /// Whether the payer asked the job to stop.
    pub(crate) is_stop_wished: bool,
}

impl Cosigner {
    /// Reads the terms from the chain.
    pub(crate) async fn new(session: &Session, record: &JobRecord) -> Outcome<Self> {
        let history = History::read(session, record).await?;
        Ok(Self {
            history,
            newest: None,
            ready_at_millis: None,
            is_stop_wished: false,
        })
    }

    /// Judges a proposed voucher; signs it, or says why not.
    pub(crate) async fn voucher(
        &mut self,
        session: &Session,
        record: &JobRecord,
        proposal: &VoucherProposal,
        story: &mut dyn Story,
    ) -> Outcome {
        let voucher = &proposal.voucher;
        if !proposal
            .operator_signature
            .is_by(self.history.terms.operator, voucher.digest(session.domain()))
        {
            return Ok(()); // not by the node: nobody we know asks
        }
        self.remember(session, record, proposal.previous.as_ref());
        if self
            .newest
            .as_ref()
            .is_some_and(|newest| newest.voucher.seq >= voucher.seq)
        {
            return Ok(()); // told again
        }
        let now = unix_millis();
        let judged = match check_voucher(&self.view(record, now), voucher) {
            Ok(()) if self.is_stop_wished => {
                Err(("a stop was asked for: no further voucher is signed".to_owned(), false))
            }
            judged => judged.map_err(|refused| (refused.to_string(), refused.is_retryable())),
        };
        if let Err((reason, is_retryable)) = judged {
            let refused = voucher.struct_hash();
            return refuse(session, record.job_id, refused, reason, is_retryable, story).await;
        }
        let signed = SignedVoucher {
            voucher: voucher.clone(),
            operator_signature: proposal.operator_signature,
            signer_signature: voucher.sign(session.domain(), &session.key),
        };
        let interval = record.order.spec.voucher_interval_seconds;
        self.ready_at_millis
            .get_or_insert_with(|| ready_at(voucher, interval, now));
        self.newest = Some(signed.clone());
        pass_over(session.gateway.post_voucher(&signed).await.map(drop))
    }

    /// Judges a proposed result; approves it once its bytes are here, or says why not.
    pub(crate) async fn result(
        &mut self,
        session: &Session,
        record: &JobRecord,
        proposal: &ResultProposal,
        story: &mut dyn Story,
    ) -> Outcome {
        let result = &proposal.result;
        if !proposal
            .operator_signature
            .is_by(self.history.terms.operator, result.digest(session.domain()))
        {
            return Ok(());
        }
        self.remember(session, record, proposal.previous.as_ref());
        match self.judge(session, record, proposal).await {
            Ok(()) => {}
            Err(No { reason, is_retryable }) => {
                return refuse(
                    session,
                    record.job_id,
                    result.struct_hash(),
                    reason,
                    is_retryable,
                    story,
                )
                .await;
            }
        }
        let approve: Approve = result.approve(session.domain(), 0);
        let approved = ApprovedResult {
            result: result.clone(),
            operator_signature: proposal.operator_signature,
            signer_signature: approve.sign(session.domain(), &session.key),
            approve,
        };
        pass_over(session.gateway.post_result(record.job_id, &approved).await.map(drop))
    }

    async fn judge(&mut self, session: &Session, record: &JobRecord, proposal: &ResultProposal) -> Result<(), No> {
        // The node may have collected since.
        self.history = History::read(session, record)
            .await
            .map_err(|failure| No::new(&failure, true))?;
        let view = self.view(record, unix_millis());
        check_result(&view, &proposal.result).map_err(|refused| No::new(&refused, refused.is_retryable()))?;
        let receipt =
            Receipt::from_canonical_json(proposal.receipt.as_bytes()).map_err(|error| No::new(&error, false))?;
        let claimed = receipt.last_attempt().map_or(&[][..], |attempt| &attempt.gpus);
        let node = node_facts(session, self.history.terms.node, claimed)
            .await
            .map_err(|failure| No::new(&failure, true))?;
        let token = session.token_name(self.history.terms.token);
        let facts = JobFacts {
            domain: session.domain(),
            order: &record.order.order,
            spec: &record.order.spec,
            token_symbol: &token.symbol,
            token_decimals: token.decimals,
            earlier: &[],
            terms: &self.history.terms,
            collected: &self.history.collected_values,
            node: &node,
        };
        receipt
            .consistent_with(&facts, &proposal.result)
            .map_err(|error| No::new(&error, false))?;
        let download = Download::of_receipt(session, record, &receipt).map_err(|failure| No::new(&failure, false))?;
        download.fetch(session).await.map_err(|failure| No::new(&failure, true))
    }

    fn view<'a>(&'a self, record: &JobRecord, now_millis: u64) -> SignerView<'a> {
        SignerView {
            job_id: record.job_id,
            terms: &self.history.terms,
            progress: &self.history.progress,
            interval_seconds: record.order.spec.voucher_interval_seconds,
            ready_at_millis: self.ready_at_millis,
            previous: self.newest.as_ref().map(|signed| &signed.voucher),
            is_stop_wished: self.is_stop_wished,
            now_millis,
        }
    }

    /// Takes in what this key signed before, in an earlier life of the process.
    fn remember(&mut self, session: &Session, record: &JobRecord, previous: Option<&SignedVoucher>) {
        let Some(previous) = previous else { return };
        let newest = self.newest.as_ref().map_or(0, |newest| newest.voucher.seq);
        let is_ours = previous.is_by(session.domain(), self.history.terms.operator, session.account())
            && previous.voucher.job_id == record.job_id
            && previous.voucher.attempt == self.history.terms.attempt();
        if is_ours && previous.voucher.seq > newest {
            let interval = record.order.spec.voucher_interval_seconds;
            let seen_at = previous.voucher.signed_at.saturating_mul(1_000);
            self.ready_at_millis
                .get_or_insert_with(|| ready_at(&previous.voucher, interval, seen_at));
            self.newest = Some(previous.clone());
        }
    }
}

/// Why a result is not approved.
struct No {
    reason: String,
    is_retryable: bool,
}

impl No {
    fn new(reason: &dyn std::fmt::Display, is_retryable: bool) -> Self {
        Self {
            reason: reason.to_string(),
            is_retryable,
        }
    }
}

async fn refuse(
    session: &Session,
    job: JobId,
    refused: B256,
    reason: String,
    is_retryable: bool,
    story: &mut dyn Story,
) -> Outcome {
    story.tell(&Happening::Refused(&reason));
    let refusal = Refusal {
        refused,
        reason,
        is_retryable,
    };
    pass_over(session.gateway.post_refusal(job, &refusal).await.map(drop))
}

/// A gateway that is away costs nothing: the node proposes again.
fn pass_over(posted: Result<(), GatewayError>) -> Outcome {
    match posted {
        Err(error) if !error.is_retryable() => Err(Failure::from(error)),
        _ => Ok(()),
    }
}

/// This machine's clock.
fn unix_millis() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
