//! Orders and bids.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::Request;
use opengpu_core::ids::JobId;
use opengpu_core::wire::{JobEventBody, Page, Posted, SignedBid, SignedOrder};

use super::{After, Answer, Asked, JobPath, PAGE};
use crate::app::App;
use crate::bulletin::{check_bid, check_bidder, check_order, check_spec, is_signed_by_key};
use crate::call::Call;
use crate::db::DbError;
use crate::ports::PortError;
use crate::problem::{ApiError, Code};

impl From<PortError> for ApiError {
    fn from(error: PortError) -> Self {
        match error {
            PortError::Retry(cause) => {
                tracing::warn!(%cause, "the chain did not answer a request");
                Self::new(
                    Code::ChainUnreachable,
                    "the chain node does not answer; try again shortly",
                )
            }
            PortError::Refused(cause) => Self::internal(cause),
        }
    }
}

/// `POST /v1/orders`.
pub(super) async fn post_order(State(app): State<Arc<App>>, request: Request<Body>) -> Answer<Posted> {
    let call = Call::read(request, app.config.quotas.json_bytes).await?;
    let signed: SignedOrder = call.json()?;
    let job_id = signed.order.job_id(app.domain);
    if app.db.order(job_id).await?.is_some() {
        return Ok(Json(Posted {
            job_id,
            is_repeat: true,
        }));
    }
    // The id of a job on chain is its order's digest: the order is authentic whoever brings it back, and needs no time left.
    if app.db.chain_job(job_id).await?.is_some() {
        check_spec(&signed)?;
    } else {
        app.require_index()?;
        check_new_order(&app, &signed).await?;
    }
    let is_new = app.db.add_order(job_id, &signed).await?;
    app.hub.orders_changed();
    app.hub.job_changed(job_id);
    Ok(Json(Posted {
        job_id,
        is_repeat: !is_new,
    }))
}

async fn check_new_order(app: &App, signed: &SignedOrder) -> Result<(), ApiError> {
    let now = app.clock.now_seconds();
    check_order(signed, now)?;
    let order = &signed.order;
    check_order_signature(app, signed).await?;
    let (all, own) = app.db.count_open_orders(order.payer, order.budget, now).await?;
    let quotas = &app.config.quotas;
    if all >= quotas.open_orders || own >= quotas.open_orders_per_payer {
        return Err(ApiError::new(
            Code::TooMany,
            "too many orders are open; wait until some expire",
        ));
    }
    Ok(())
}

/// An order is signed by its payer or, when it is paid from a budget of that payer, by the budget's key.
async fn check_order_signature(app: &App, signed: &SignedOrder) -> Result<(), ApiError> {
    let order = &signed.order;
    let mut signers = vec![order.payer];
    if !order.budget.0.is_zero() {
        let key = app.chain.budget_key(order.budget, order.payer).await?;
        signers.push(key.ok_or_else(|| {
            let detail = format!("budget {} is not one of payer {}", order.budget, order.payer);
            ApiError::new(Code::InvalidOrder, detail)
        })?);
    }
    let is_by_key = signers
        .iter()
        .any(|account| is_signed_by_key(signed, *account, app.domain));
    if is_by_key || app.chain.is_wallet_signature(order, &signed.signature).await? {
        return Ok(());
    }
    let of_budget = if signers.len() > 1 { " or its budget's key" } else { "" };
    let detail = format!("the order is not signed by its payer {}{of_budget}", order.payer);
    Err(ApiError::new(Code::BadSignature, detail))
}

/// `GET /v1/orders`.
pub(super) async fn list_orders(State(app): State<Arc<App>>, Asked(asked): Asked<After>) -> Answer<Page<SignedOrder>> {
    let cursor = asked.after.as_deref();
    let look = || async {
        let page = app.db.open_orders(cursor, app.clock.now_seconds(), PAGE).await?;
        Ok::<_, DbError>((!page.items.is_empty()).then_some(page))
    };
    let found = app.hub.until(&app.hub.orders(), asked.wait(), look).await?;
    match found {
        Some(page) => Ok(Json(page)),
        None => Ok(Json(app.db.open_orders(cursor, app.clock.now_seconds(), PAGE).await?)),
    }
}

/// `POST /v1/jobs/{id}/bids`.
pub(super) async fn post_bid(
    State(app): State<Arc<App>>,
    JobPath(id): JobPath,
    request: Request<Body>,
) -> Answer<Posted> {
    let call = Call::read(request, app.config.quotas.json_bytes).await?;
    let signed: SignedBid = call.json()?;
    if signed.bid.job_id != id {
        return Err(ApiError::new(
            Code::InvalidBid,
            "the bid is for another job than the path names",
        ));
    }
    check_new_bid(&app, id, &signed).await?;
    Ok(Json(app.publish(id, &JobEventBody::Bid(signed)).await?))
}

async fn check_new_bid(app: &App, id: JobId, signed: &SignedBid) -> Result<(), ApiError> {
    if let Some(terms) = app.db.chain_job(id).await?.and_then(|job| job.terms) {
        // The matched node may bring its bid back to a gateway that lost it; others are too late.
        return match check_bidder(signed, terms.operator, app.domain) {
            Ok(()) => Ok(()),
            Err(_) => Err(ApiError::new(Code::JobClosed, "the job is matched already")),
        };
    }
    app.require_index()?;
    let order = app.order(id).await?.order;
    check_bid(&signed.bid, &order, app.clock.now_seconds())?;
    if app.db.count_events(id, "bid").await? >= app.config.quotas.bids_per_order {
        return Err(ApiError::new(Code::TooMany, "the order has as many bids as are kept"));
    }
    let Some(node) = app.chain.node(signed.bid.node).await? else {
        let detail = format!("there is no node {}", signed.bid.node);
        return Err(ApiError::new(Code::InvalidBid, detail));
    };
    check_bidder(signed, node.operator, app.domain)
}
