//! Jobs as they stand.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use opengpu_core::Address;
use opengpu_core::wire::Page;
use serde::Deserialize;

use super::{Answer, Asked, JobPath};
use crate::app::App;
use crate::problem::ApiError;
use crate::view::{JobView, look_up};

/// Jobs in one answer: each takes a handful of reads.
const PAGE: u32 = 50;

/// `GET /v1/jobs/{id}`.
pub(super) async fn show(State(app): State<Arc<App>>, JobPath(id): JobPath) -> Answer<JobView> {
    if let Some(view) = look_up(&app, id).await? {
        return Ok(Json(view));
    }
    app.require_known(id).await?;
    Err(ApiError::unknown_job(id))
}

/// Whose jobs.
#[derive(Debug, Deserialize)]
pub(super) struct Whose {
    payer: Address,
    after: Option<String>,
}

/// `GET /v1/jobs?payer=A&after=C`: a payer's jobs in the order they came on chain.
pub(super) async fn list(State(app): State<Arc<App>>, Asked(whose): Asked<Whose>) -> Answer<Page<JobView>> {
    let after = whose.after.as_deref().filter(|text| !text.is_empty());
    let place = after.map(parse_place).transpose()?;
    let jobs = app.db.jobs_of(whose.payer, place, PAGE).await?;
    let cursor = jobs.last().map_or_else(
        || after.unwrap_or_default().to_owned(),
        |job| format!("{}-{}", job.first.block, job.first.log_index),
    );
    let mut items = Vec::with_capacity(jobs.len());
    for job in &jobs {
        items.extend(look_up(&app, job.job_id).await?);
    }
    Ok(Json(Page { items, cursor }))
}

fn parse_place(text: &str) -> Result<(u64, u64), ApiError> {
    text.split_once('-')
        .and_then(|(block, index)| Some((block.parse().ok()?, index.parse().ok()?)))
        .ok_or_else(|| ApiError::bad_request("after must be a cursor this list gave"))
}
