//! What node and signer say to each other while a job runs: progress, vouchers, results, refusals, stops.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::Request;
use opengpu_core::ids::{JobId, Sha256Digest};
use opengpu_core::job::Terms;
use opengpu_core::order::Signable as _;
use opengpu_core::sign::Signature;
use opengpu_core::wire::{
    ApprovedResult, JobEventBody, Posted, Progress, Refusal, ResultProposal, SignedStop, SignedVoucher, VoucherProposal,
};
use opengpu_core::{Address, B256};

use super::{Answer, JobPath};
use crate::app::App;
use crate::call::{Call, require_one_of};
use crate::problem::{ApiError, Code};

fn misfit(detail: impl Into<String>) -> ApiError {
    ApiError::new(Code::InvalidMessage, detail)
}

/// Refuses what is of another job or attempt than the path and the chain say.
fn require_attempt(id: JobId, terms: &Terms, job: JobId, attempt: u8) -> Result<(), ApiError> {
    if job != id {
        return Err(misfit("the message is of another job than the path names"));
    }
    if attempt != terms.attempt() {
        let detail = format!(
            "the message is of attempt {attempt}, the job is at attempt {}",
            terms.attempt()
        );
        return Err(misfit(detail));
    }
    Ok(())
}

fn require_signature(signature: &Signature, by: Address, digest: B256, role: &str) -> Result<(), ApiError> {
    if signature.is_by(by, digest) {
        return Ok(());
    }
    Err(ApiError::new(
        Code::BadSignature,
        format!("not signed by the job's {role} {by}"),
    ))
}

async fn read(app: &App, request: Request<Body>) -> Result<Call, ApiError> {
    Call::read(request, app.config.quotas.json_bytes).await
}

/// `POST /v1/jobs/{id}/progress`.
pub(super) async fn post_progress(
    State(app): State<Arc<App>>,
    JobPath(id): JobPath,
    request: Request<Body>,
) -> Answer<Posted> {
    let call = read(&app, request).await?;
    let sender = call.sender(app.domain)?;
    let progress: Progress = call.json()?;
    let terms = app.matched(id).await?.terms;
    require_one_of(sender, &[(terms.operator, "operator")])?;
    require_attempt(id, &terms, id, progress.attempt)?;
    let is_new = app.db.append_progress(id, app.clock.now_millis(), &progress).await?;
    if is_new {
        app.hub.job_changed(id);
    }
    Ok(Json(Posted {
        job_id: id,
        is_repeat: !is_new,
    }))
}

/// `POST /v1/jobs/{id}/vouchers`.
pub(super) async fn propose_voucher(
    State(app): State<Arc<App>>,
    JobPath(id): JobPath,
    request: Request<Body>,
) -> Answer<Posted> {
    let proposal: VoucherProposal = read(&app, request).await?.json()?;
    let terms = app.matched(id).await?.terms;
    let voucher = &proposal.voucher;
    require_attempt(id, &terms, voucher.job_id, voucher.attempt)?;
    let digest = voucher.digest(app.domain);
    require_signature(&proposal.operator_signature, terms.operator, digest, "operator")?;
    // Whoever signs needs the spec; a gateway that lost it asks for it this way.
    app.order(id).await?;
    app.db.note_heard(id, terms.attempt(), app.clock.now_millis()).await?;
    let posted = app
        .publish(id, &JobEventBody::VoucherProposed(proposal.clone()))
        .await?;
    app.consider_voucher(id, proposal);
    Ok(Json(posted))
}

/// `POST /v1/jobs/{id}/vouchers/signed`.
pub(super) async fn post_signed_voucher(
    State(app): State<Arc<App>>,
    JobPath(id): JobPath,
    request: Request<Body>,
) -> Answer<Posted> {
    let signed: SignedVoucher = read(&app, request).await?.json()?;
    let terms = app.matched(id).await?.terms;
    require_attempt(id, &terms, signed.voucher.job_id, signed.voucher.attempt)?;
    if !signed.is_by(app.domain, terms.operator, terms.signer) {
        return Err(ApiError::new(
            Code::BadSignature,
            "not signed by the job's operator and signer",
        ));
    }
    Ok(Json(app.publish(id, &JobEventBody::VoucherSigned(signed)).await?))
}

/// `POST /v1/jobs/{id}/results`.
pub(super) async fn propose_result(
    State(app): State<Arc<App>>,
    JobPath(id): JobPath,
    request: Request<Body>,
) -> Answer<Posted> {
    let proposal: ResultProposal = read(&app, request).await?.json()?;
    let terms = app.matched(id).await?.terms;
    require_attempt(id, &terms, proposal.result.job_id, proposal.result.attempt)?;
    let digest = proposal.result.digest(app.domain);
    require_signature(&proposal.operator_signature, terms.operator, digest, "operator")?;
    if Sha256Digest::of(proposal.receipt.as_bytes()) != proposal.result.receipt_digest {
        return Err(misfit("the receipt does not hash to the result's receiptDigest"));
    }
    app.order(id).await?;
    app.db.note_heard(id, terms.attempt(), app.clock.now_millis()).await?;
    let entry = JobEventBody::ResultProposed(Box::new(proposal.clone()));
    let posted = app.publish(id, &entry).await?;
    app.consider_result(id, proposal);
    Ok(Json(posted))
}

/// `POST /v1/jobs/{id}/results/approved`.
pub(super) async fn post_approved_result(
    State(app): State<Arc<App>>,
    JobPath(id): JobPath,
    request: Request<Body>,
) -> Answer<Posted> {
    let approved: ApprovedResult = read(&app, request).await?.json()?;
    let terms = app.matched(id).await?.terms;
    require_attempt(id, &terms, approved.result.job_id, approved.result.attempt)?;
    if approved.approve != approved.result.approve(app.domain, approved.approve.rating) {
        return Err(misfit("the approval is of another result"));
    }
    let result = approved.result.digest(app.domain);
    require_signature(&approved.operator_signature, terms.operator, result, "operator")?;
    let approve = approved.approve.digest(app.domain);
    require_signature(&approved.signer_signature, terms.signer, approve, "signer")?;
    Ok(Json(app.publish(id, &JobEventBody::ResultApproved(approved)).await?))
}

/// `POST /v1/jobs/{id}/refusals`.
pub(super) async fn post_refusal(
    State(app): State<Arc<App>>,
    JobPath(id): JobPath,
    request: Request<Body>,
) -> Answer<Posted> {
    let call = read(&app, request).await?;
    let sender = call.sender(app.domain)?;
    let refusal: Refusal = call.json()?;
    let terms = app.matched(id).await?.terms;
    require_one_of(sender, &[(terms.signer, "signer")])?;
    Ok(Json(app.publish(id, &JobEventBody::Refused(refusal)).await?))
}

/// `POST /v1/jobs/{id}/stop`.
pub(super) async fn post_stop(
    State(app): State<Arc<App>>,
    JobPath(id): JobPath,
    request: Request<Body>,
) -> Answer<Posted> {
    let stop: SignedStop = read(&app, request).await?.json()?;
    if stop.job_id != id {
        return Err(misfit("the stop is of another job than the path names"));
    }
    let digest = SignedStop::digest(app.domain, id);
    let sender = stop.signature.recover(digest);
    let sender = sender.map_err(|error| ApiError::new(Code::BadSignature, error.to_string()))?;
    app.require_payer_side(id, sender).await?;
    Ok(Json(app.publish(id, &JobEventBody::StopRequested(stop)).await?))
}
