//! A job's stream, by long-poll or server-sent events.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::Stream;
use opengpu_core::ids::JobId;
use opengpu_core::wire::{JobEvent, Page};

use super::{After, Asked, JobPath, PAGE};
use crate::app::App;
use crate::db::DbError;
use crate::problem::ApiError;

/// An open stream looks at least this often, also uncalled.
const LOOK_ANYWAY: Duration = Duration::from_secs(15);

/// Whether the caller wants server-sent events.
pub(super) fn wants_sse(headers: &HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
    accept.is_some_and(|accept| accept.contains("text/event-stream"))
}

/// Where a reconnecting reader of server-sent events was.
pub(super) fn last_event_id(headers: &HeaderMap) -> Option<String> {
    headers.get("last-event-id")?.to_str().ok().map(str::to_owned)
}

/// `GET /v1/jobs/{id}/events`.
pub(super) async fn read(
    State(app): State<Arc<App>>,
    JobPath(id): JobPath,
    Asked(asked): Asked<After>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    app.require_known(id).await?;
    if wants_sse(&headers) {
        let after = last_event_id(&headers).or(asked.after);
        let keep_alive = KeepAlive::new().interval(LOOK_ANYWAY);
        return Ok(Sse::new(follow(app, id, after)).keep_alive(keep_alive).into_response());
    }
    let page = next_page(&app, id, asked.after.as_deref(), asked.wait()).await?;
    Ok(Json(page).into_response())
}

async fn next_page(app: &App, id: JobId, after: Option<&str>, wait: Duration) -> Result<Page<JobEvent>, DbError> {
    let notify = app.hub.job(id);
    let look = || async {
        let page = app.db.events(id, after, PAGE).await?;
        Ok::<_, DbError>((!page.items.is_empty()).then_some(page))
    };
    match app.hub.until(&notify, wait, look).await? {
        Some(page) => Ok(page),
        None => app.db.events(id, after, PAGE).await,
    }
}

/// Ends with the gateway, or when the database fails; readers come back with their last id.
fn follow(app: Arc<App>, id: JobId, after: Option<String>) -> impl Stream<Item = Result<Event, Infallible>> {
    let pages = futures::stream::unfold((app, after), move |(app, after)| async move {
        while !app.shutdown.is_cancelled() {
            let page = next_page(&app, id, after.as_deref(), LOOK_ANYWAY).await;
            let page = page
                .inspect_err(|error| tracing::warn!(%error, "a stream broke off"))
                .ok()?;
            if !page.items.is_empty() {
                let cursor = page.cursor;
                return Some((page.items, (app, Some(cursor))));
            }
        }
        None
    });
    futures::StreamExt::flat_map(pages, |items| {
        futures::stream::iter(items.iter().map(sse_event).collect::<Vec<_>>())
    })
}

fn sse_event(entry: &JobEvent) -> Result<Event, Infallible> {
    let text = serde_json::to_string(entry).unwrap_or_default();
    Ok(Event::default().id(&entry.cursor).event("job").data(text))
}
