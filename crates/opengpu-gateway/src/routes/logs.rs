//! The relay of logs while a job runs.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, Request, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::Stream;
use opengpu_core::job::JobState;
use opengpu_core::wire::Posted;
use serde::Deserialize;
use tokio_util::io::ReaderStream;

use super::events::{last_event_id, wants_sse};
use super::{Answer, Asked, JobPath};
use crate::app::App;
use crate::call::{Call, require_one_of};
use crate::logs::LogName;
use crate::problem::ApiError;

/// Response header with the bytes held of a log.
const LENGTH_HEADER: &str = "opengpu-log-length";
/// Bytes in one server-sent event: small enough to be shown at once.
const PIECE: u64 = 48 << 10;
/// A followed log looks at least this often, also uncalled.
const LOOK_ANYWAY: Duration = Duration::from_secs(15);

/// Which part of a log.
#[derive(Debug, Deserialize)]
pub(super) struct Part {
    #[serde(default)]
    offset: u64,
    /// Which attempt's; the newest one's when not given.
    attempt: Option<u8>,
    #[serde(default)]
    follow: bool,
}

/// `POST /v1/jobs/{id}/logs?offset=N`.
pub(super) async fn append(
    State(app): State<Arc<App>>,
    JobPath(id): JobPath,
    Asked(part): Asked<Part>,
    request: Request<Body>,
) -> Answer<Posted> {
    let call = Call::read(request, app.config.quotas.log_piece_bytes).await?;
    let sender = call.sender(app.domain)?;
    let terms = app.matched(id).await?.terms;
    require_one_of(sender, &[(terms.operator, "operator")])?;
    let attempt = terms.attempt();
    let appended = app
        .logs
        .append(LogName { job: id, attempt }, part.offset, call.body)
        .await?;
    app.db.note_heard(id, attempt, app.clock.now_millis()).await?;
    app.hub.job_changed(id);
    Ok(Json(Posted {
        job_id: id,
        is_repeat: appended.is_repeat,
    }))
}

/// `GET /v1/jobs/{id}/logs?offset=N`.
pub(super) async fn read(
    State(app): State<Arc<App>>,
    JobPath(id): JobPath,
    Asked(part): Asked<Part>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    app.require_known(id).await?;
    let newest = app.db.chain_job(id).await?.map_or(1, |job| job.attempt().max(1));
    let name = LogName {
        job: id,
        attempt: part.attempt.unwrap_or(newest),
    };
    if part.follow || wants_sse(&headers) {
        let offset = last_event_id(&headers)
            .and_then(|text| text.parse().ok())
            .unwrap_or(part.offset);
        let keep_alive = KeepAlive::new().interval(LOOK_ANYWAY);
        return Ok(Sse::new(follow(app, name, offset))
            .keep_alive(keep_alive)
            .into_response());
    }
    let length = app.logs.length(name).await.map_err(ApiError::internal)?;
    let reader = app.logs.reader(name, part.offset).await.map_err(ApiError::internal)?;
    let body = reader.map_or_else(Body::empty, |reader| Body::from_stream(ReaderStream::new(reader)));
    let headers = [
        (header::CONTENT_TYPE.as_str(), "application/octet-stream".to_owned()),
        (header::X_CONTENT_TYPE_OPTIONS.as_str(), "nosniff".to_owned()),
        (LENGTH_HEADER, length.to_string()),
    ];
    Ok((headers, body).into_response())
}

/// What a follower is told next.
enum Next {
    Piece(Vec<u8>),
    End,
}

/// Pieces as they come, then an `end` once the attempt is over and all has been told.
fn follow(app: Arc<App>, name: LogName, offset: u64) -> impl Stream<Item = Result<Event, Infallible>> {
    futures::stream::unfold(Some((app, offset)), move |state| async move {
        let (app, offset) = state?;
        let notify = app.hub.job(name.job);
        while !app.shutdown.is_cancelled() {
            let next = app.hub.until(&notify, LOOK_ANYWAY, || look(&app, name, offset)).await;
            match next
                .inspect_err(|error| tracing::warn!(%error, "a followed log broke off"))
                .ok()?
            {
                Some(Next::Piece(bytes)) => {
                    let after = offset + bytes.len() as u64;
                    let event = Event::default()
                        .id(after.to_string())
                        .event("log")
                        .data(STANDARD.encode(bytes));
                    return Some((Ok(event), Some((app, after))));
                }
                Some(Next::End) => return Some((Ok(Event::default().event("end").data("")), None)),
                None => {}
            }
        }
        None
    })
}

async fn look(app: &App, name: LogName, offset: u64) -> Result<Option<Next>, ApiError> {
    // The state is read first: what was logged before the end is then told before it.
    let is_over = is_over(app, name).await?;
    let bytes = app.logs.read(name, offset, PIECE).await.map_err(ApiError::internal)?;
    if bytes.is_empty() {
        return Ok(is_over.then_some(Next::End));
    }
    Ok(Some(Next::Piece(bytes)))
}

async fn is_over(app: &App, name: LogName) -> Result<bool, ApiError> {
    let job = app.db.chain_job(name.job).await?;
    Ok(job
        .is_some_and(|job| job.state.is_closed() || job.attempt() > name.attempt || job.state == JobState::Interrupted))
}
