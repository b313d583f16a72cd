//! Uploads of a job's image, input, output and log, as CARs of which every block is verified.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::Request;
use opengpu_core::ids::{CidText, JobId};
use opengpu_core::wire::Posted;
use opengpu_store::{CarError, Cid, ImportedCar, LimitError, Limits, StoreError, receive_car};
use serde::Deserialize;

use super::{Answer, Asked, JobPath};
use crate::app::App;
use crate::call::{CallHead, require_one_of};
use crate::db::activity::Side;
use crate::problem::{ApiError, Code};

/// A node that uploads is not silent: so often it is noted.
const NOTE_EVERY: Duration = Duration::from_secs(3);

/// What is uploaded.
#[derive(Debug, Deserialize)]
pub(super) struct Root {
    root: String,
}

/// `POST /v1/jobs/{id}/artifacts?root=CID`.
pub(super) async fn upload(
    State(app): State<Arc<App>>,
    JobPath(id): JobPath,
    Asked(root): Asked<Root>,
    request: Request<Body>,
) -> Answer<Posted> {
    let root: Cid = root
        .root
        .parse()
        .map_err(|error| ApiError::bad_request(format!("root must be a CID: {error}")))?;
    let sender = CallHead::of(&request).sender(app.domain, b"")?;
    let found = app.matched(id).await?;
    let (terms, attempt) = (&found.terms, found.terms.attempt());
    let mut roles = vec![(terms.operator, "operator")];
    if sender != terms.operator {
        let side = app.payer_side(terms.payer, terms.signer, terms.budget, sender);
        roles.extend(side.await?);
    }
    let side = match require_one_of(sender, &roles)? {
        "operator" => Side::Node,
        _ => Side::Payer,
    };
    if found.job.state.is_closed() {
        return Err(ApiError::new(
            Code::JobClosed,
            "the job is closed; it takes no more artifacts",
        ));
    }
    let lock = app.uploads.lock_of(id, side);
    let _one_at_a_time = lock.lock().await;
    let limits = limits_left(&app, id, side).await?;
    let body = request.into_body();
    let receiving = receive_car(&app.store, body, Some(&root), &limits);
    let imported = match side {
        Side::Payer => receiving.await,
        Side::Node => while_noting(&app, id, attempt, receiving).await,
    };
    let imported = imported.map_err(|error| refusal(error, &limits))?;
    keep(&app, imported.root).await?;
    let cid = CidText(imported.root.to_string());
    let is_new = app.db.add_artifact(id, side, &cid, imported.bytes).await?;
    if side == Side::Node {
        app.reconsider_result(id);
    }
    Ok(Json(Posted {
        job_id: id,
        is_repeat: !is_new,
    }))
}

async fn limits_left(app: &App, id: JobId, side: Side) -> Result<Limits, ApiError> {
    let quota = app.config.quotas.artifact_bytes;
    let used = app.db.artifact_bytes(id, side).await?;
    let bytes = quota.saturating_sub(used);
    if bytes == 0 {
        let detail = format!("all {quota} bytes this side of the job may upload are used");
        return Err(ApiError::new(Code::QuotaExceeded, detail));
    }
    Ok(Limits {
        bytes,
        ..Limits::default()
    })
}

/// Awaits an upload and notes meanwhile that the node is heard.
async fn while_noting(
    app: &App,
    id: JobId,
    attempt: u8,
    receiving: impl Future<Output = Result<ImportedCar, CarError>>,
) -> Result<ImportedCar, CarError> {
    let mut receiving = std::pin::pin!(receiving);
    let mut often = tokio::time::interval(NOTE_EVERY);
    loop {
        tokio::select! {
            done = &mut receiving => return done,
            _ = often.tick() => {
                if let Err(error) = app.db.note_heard(id, attempt, app.clock.now_millis()).await {
                    tracing::warn!(%error, "cannot note that a node is heard");
                }
            }
        }
    }
}

async fn keep(app: &App, root: Cid) -> Result<(), ApiError> {
    let store = app.store.clone();
    let pinned = tokio::task::spawn_blocking(move || store.pin(&root)).await;
    pinned.map_err(ApiError::internal)?.map_err(|error| match error {
        StoreError::DiskFull { .. } => disk_full(),
        other => ApiError::internal(other),
    })
}

fn disk_full() -> ApiError {
    ApiError::new(
        Code::DiskFull,
        "this gateway's disk is full; nothing already stored is harmed",
    )
}

fn refusal(error: CarError, limits: &Limits) -> ApiError {
    match error {
        CarError::Store(StoreError::DiskFull { .. }) => disk_full(),
        CarError::Store(inner @ (StoreError::Io { .. } | StoreError::Corrupt { .. })) => ApiError::internal(inner),
        CarError::Stopped(inner) => ApiError::internal(inner),
        CarError::Limit(LimitError::Bytes { .. }) => ApiError::new(
            Code::QuotaExceeded,
            format!(
                "only {} bytes are left of what this side of the job may upload",
                limits.bytes
            ),
        ),
        other => ApiError::new(Code::InvalidArtifact, other.to_string()),
    }
}
