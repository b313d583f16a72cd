//! The HTTP API: `opengpu_core::wire` has the table of calls. One file a resource; each handler reads, judges, stores,
//! answers.

mod artifacts;
mod bulletin;
mod events;
mod health;
mod jobs;
mod logs;
mod meter;

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRequestParts, Path, Query};
use axum::http::Request;
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use opengpu_core::ids::JobId;
use serde::de::DeserializeOwned;
use tower_http::timeout::RequestBodyTimeoutLayer;
use tower_http::trace::TraceLayer;

use crate::app::App;
use crate::problem::{ApiError, Code};

/// Longest wait a caller may ask for, seconds.
const MOST_WAIT_SECONDS: u64 = 30;
/// Time for a call with a small body, beyond the longest wait.
const CALL_TIMEOUT: Duration = Duration::from_secs(MOST_WAIT_SECONDS + 30);
/// A body that stands still for so long is given up.
const BODY_STANDS_STILL: Duration = Duration::from_secs(30);
/// Entries in one answer.
const PAGE: u32 = 200;

/// What handlers answer.
type Answer<T> = Result<Json<T>, ApiError>;

/// All routes over one gateway.
pub(crate) fn router(app: Arc<App>) -> Router {
    let short = Router::new()
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .route("/v1/info", get(health::info))
        .route("/v1/orders", get(bulletin::list_orders).post(bulletin::post_order))
        .route("/v1/jobs", get(jobs::list))
        .route("/v1/jobs/{id}", get(jobs::show))
        .route("/v1/jobs/{id}/bids", post(bulletin::post_bid))
        .route("/v1/jobs/{id}/progress", post(meter::post_progress))
        .route("/v1/jobs/{id}/vouchers", post(meter::propose_voucher))
        .route("/v1/jobs/{id}/vouchers/signed", post(meter::post_signed_voucher))
        .route("/v1/jobs/{id}/results", post(meter::propose_result))
        .route("/v1/jobs/{id}/results/approved", post(meter::post_approved_result))
        .route("/v1/jobs/{id}/refusals", post(meter::post_refusal))
        .route("/v1/jobs/{id}/stop", post(meter::post_stop))
        .layer(axum::middleware::from_fn(in_time));
    let streaming = Router::new()
        .route("/v1/jobs/{id}/events", get(events::read))
        .route("/v1/jobs/{id}/logs", get(logs::read).post(logs::append))
        .route("/v1/jobs/{id}/artifacts", post(artifacts::upload));
    let store = app.store.clone();
    short
        .merge(streaming)
        .fallback(unknown_route)
        .method_not_allowed_fallback(unknown_method)
        .with_state(app)
        .merge(opengpu_store::trustless_router(store))
        .layer(RequestBodyTimeoutLayer::new(BODY_STANDS_STILL))
        .layer(TraceLayer::new_for_http())
}

async fn in_time(request: Request<Body>, next: Next) -> Response {
    match tokio::time::timeout(CALL_TIMEOUT, next.run(request)).await {
        Ok(response) => response,
        Err(_) => ApiError::new(Code::Timeout, "the call took too long").into_response(),
    }
}

async fn unknown_route(request: Request<Body>) -> ApiError {
    ApiError::new(
        Code::UnknownRoute,
        format!("{} is no path of this API", request.uri().path()),
    )
}

async fn unknown_method(request: Request<Body>) -> ApiError {
    let (method, path) = (request.method(), request.uri().path());
    ApiError::new(Code::MethodNotAllowed, format!("{path} does not take {method}"))
}

/// The job a path names.
pub(crate) struct JobPath(JobId);

impl<S: Send + Sync> FromRequestParts<S> for JobPath {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let Path(text) = Path::<String>::from_request_parts(parts, state)
            .await
            .map_err(|error| ApiError::bad_request(error.to_string()))?;
        let id = text
            .parse()
            .map_err(|error| ApiError::bad_request(format!("{error}")))?;
        Ok(Self(id))
    }
}

/// The query of a path.
pub(crate) struct Asked<T>(T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Asked<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        match Query::<T>::from_request_parts(parts, state).await {
            Ok(Query(query)) => Ok(Self(query)),
            Err(error) => Err(ApiError::bad_request(error.body_text())),
        }
    }
}

/// `after=` and `wait=`.
#[derive(Debug, serde::Deserialize)]
pub(crate) struct After {
    after: Option<String>,
    #[serde(default)]
    wait: u64,
}

impl After {
    fn wait(&self) -> Duration {
        Duration::from_secs(self.wait.min(MOST_WAIT_SECONDS))
    }
}
