//! The store over HTTP as an IPFS trustless gateway, so that any IPFS client can fetch and verify what we hold:
//! <https://specs.ipfs.tech/http-gateways/trustless-gateway/>. Nothing is ever rendered, and nothing fetched for a stranger.

use std::collections::HashMap;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use axum::http::{StatusCode, response};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures::TryStreamExt;
use tokio_util::io::StreamReader;

use crate::address::Cid;
use crate::blockstore::{BlockStore, StoreError};
use crate::car::{self, CarError, CarFrames, ImportedCar};
use crate::dag::Scope;
use crate::limits::Limits;

/// Media type of one block.
pub const MEDIA_TYPE_RAW: &str = "application/vnd.ipld.raw";
/// Media type of a CAR.
pub const MEDIA_TYPE_CAR: &str = "application/vnd.ipld.car";
/// What exactly our CARs are: version 1, depth first, no block twice.
const MEDIA_TYPE_CAR_FULL: &str = "application/vnd.ipld.car; version=1; order=dfs; dups=n";
/// A name never changes its content, so a year (29,030,400 s is what the specification uses) is as good as for ever.
const FOR_EVER: &str = "public, max-age=29030400, immutable";

/// Routes `GET` and `HEAD /ipfs/{cid}?format=raw|car` over `store`; the same by `Accept`. `dag-scope=block|entity|all` narrows
/// a CAR. Answers 400, 404, 406 and 501 in plain text. Merge it into a larger router, add your own limits around it.
pub fn trustless_router(store: BlockStore) -> Router {
    Router::new()
        .route("/ipfs/{cid}", get(serve))
        .route("/ipfs/{cid}/{*path}", get(refuse_path))
        .with_state(store)
}

/// Takes an uploaded CAR from a request's body; the route, its limits and who may use it are the caller's. All blocks are
/// verified and durable when it returns; pin the root to keep it.
///
/// # Errors
/// [`CarError`]; [`status_of`] says what to answer.
pub async fn receive_car(
    store: &BlockStore,
    body: Body,
    expected: Option<&Cid>,
    limits: &Limits,
) -> Result<ImportedCar, CarError> {
    let stream = body.into_data_stream().map_err(std::io::Error::other);
    car::import_car(store, StreamReader::new(stream), expected, limits).await
}

/// The HTTP status that tells a client what `error` means for it: 404 not here, 413 too large, 507 disk full, 500 our fault, else
/// 400 its fault.
pub fn status_of(error: &CarError) -> StatusCode {
    match error {
        CarError::Store(StoreError::Missing { .. }) => StatusCode::NOT_FOUND,
        CarError::Store(StoreError::TooLarge { .. }) | CarError::Limit(_) => StatusCode::PAYLOAD_TOO_LARGE,
        CarError::Store(StoreError::DiskFull { .. }) => StatusCode::INSUFFICIENT_STORAGE,
        CarError::Store(StoreError::Io { .. } | StoreError::Corrupt { .. }) | CarError::Stopped(_) => {
            StatusCode::INTERNAL_SERVER_ERROR
        }
        _ => StatusCode::BAD_REQUEST,
    }
}

/// What a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Raw,
    Car(Scope),
}

/// A refusal in plain words.
struct Refusal(StatusCode, String);

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = (self.0, format!("{}\n", self.1)).into_response();
        let nosniff = HeaderValue::from_static("nosniff");
        response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, nosniff);
        response
    }
}

impl From<CarError> for Refusal {
    fn from(error: CarError) -> Self {
        let status = status_of(&error);
        if status.is_server_error() {
            tracing::error!(%error, "cannot serve from the store");
            return Self(status, "the store failed; its log says why".into());
        }
        Self(status, error.to_string())
    }
}

async fn refuse_path() -> Refusal {
    Refusal(
        StatusCode::NOT_IMPLEMENTED,
        "paths below a CID are not served; ask for the CID itself".into(),
    )
}

async fn serve(
    State(store): State<BlockStore>,
    Path(name): Path<String>,
    Query(query): Query<HashMap<String, String>>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let cid: Cid = name
        .parse()
        .map_err(|error| Refusal(StatusCode::BAD_REQUEST, format!("{name:?} is not a CID: {error}")))?;
    let form = negotiate(&query, &headers)?;
    let tag = etag(&cid, form);
    if is_known(&headers, &tag) {
        return head(StatusCode::NOT_MODIFIED, &cid, form, &tag)
            .body(Body::empty())
            .map_err(unsendable);
    }
    let (length, body) = match form {
        Form::Raw => raw(store, cid).await?,
        Form::Car(scope) => dag(store, cid, scope).await?,
    };
    head(StatusCode::OK, &cid, form, &tag)
        .header(header::CONTENT_LENGTH, length)
        .body(body)
        .map_err(unsendable)
}

async fn raw(store: BlockStore, cid: Cid) -> Result<(u64, Body), CarError> {
    let bytes = tokio::task::spawn_blocking(move || store.get(&cid)).await??;
    Ok((bytes.len() as u64, bytes.into()))
}

async fn dag(store: BlockStore, cid: Cid, scope: Scope) -> Result<(u64, Body), CarError> {
    let frames = tokio::task::spawn_blocking(move || CarFrames::new(&store, &cid, scope)).await??;
    Ok((frames.total_bytes(), Body::from_stream(frames.into_stream())))
}

fn unsendable(error: axum::http::Error) -> Refusal {
    Refusal(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
}

/// Status and headers of an answer with content.
fn head(status: StatusCode, cid: &Cid, form: Form, tag: &str) -> response::Builder {
    let (media_type, suffix) = match form {
        Form::Raw => (MEDIA_TYPE_RAW, "bin"),
        Form::Car(_) => (MEDIA_TYPE_CAR_FULL, "car"),
    };
    let disposition = format!("attachment; filename=\"{cid}.{suffix}\"");
    Response::builder()
        .status(status)
        .header(header::CONTENT_TYPE, media_type)
        .header(header::CONTENT_DISPOSITION, disposition)
        .header(header::ETAG, tag)
        .header(header::CACHE_CONTROL, FOR_EVER)
        .header(header::VARY, "Accept")
        .header(header::X_CONTENT_TYPE_OPTIONS, "nosniff")
        .header(HeaderName::from_static("x-ipfs-path"), format!("/ipfs/{cid}"))
        .header(HeaderName::from_static("x-ipfs-roots"), cid.to_string())
}

/// Strong: our answers are the same to the byte each time.
fn etag(cid: &Cid, form: Form) -> String {
    match form {
        Form::Raw => format!("\"{cid}.raw\""),
        Form::Car(Scope::All) => format!("\"{cid}.car\""),
        Form::Car(Scope::Entity) => format!("\"{cid}.entity.car\""),
        Form::Car(Scope::Block) => format!("\"{cid}.block.car\""),
    }
}

fn is_known(headers: &HeaderMap, tag: &str) -> bool {
    let known = headers.get(header::IF_NONE_MATCH);
    known.and_then(|known| known.to_str().ok()).is_some_and(|known| {
        known
            .split(',')
            .map(|one| one.trim().trim_start_matches("W/"))
            .any(|one| one == tag || one == "*")
    })
}

/// `format` wins over `Accept` (IPIP-523): a URL means the same whoever sends it.
fn negotiate(query: &HashMap<String, String>, headers: &HeaderMap) -> Result<Form, Refusal> {
    let scope = scope(query)?;
    match query.get("format").map(String::as_str) {
        Some("raw") => return Ok(Form::Raw),
        Some("car") => return Ok(Form::Car(scope)),
        Some(other) => {
            let text = format!("format={other:?} is not served; use raw or car");
            return Err(Refusal(StatusCode::BAD_REQUEST, text));
        }
        None => {}
    }
    let accept = headers
        .get_all(header::ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','));
    let mut is_anything = true;
    for wanted in accept {
        let mut parts = wanted.split(';').map(str::trim);
        let media_type = parts.next().unwrap_or_default();
        let is_version_1 = parts.all(|part| !part.starts_with("version=") || part == "version=1");
        match media_type {
            MEDIA_TYPE_RAW => return Ok(Form::Raw),
            MEDIA_TYPE_CAR if is_version_1 => return Ok(Form::Car(scope)),
            "*/*" | "" => {}
            _ => is_anything = false,
        }
    }
    let status = if is_anything {
        StatusCode::BAD_REQUEST
    } else {
        StatusCode::NOT_ACCEPTABLE
    };
    let text = format!(
        "only blocks and CARv1 are served: add ?format=raw or ?format=car, or accept {MEDIA_TYPE_RAW} or {MEDIA_TYPE_CAR}"
    );
    Err(Refusal(status, text))
}

fn scope(query: &HashMap<String, String>) -> Result<Scope, Refusal> {
    let refuse = |text: String| Err(Refusal(StatusCode::BAD_REQUEST, text));
    if query.contains_key("entity-bytes") {
        return refuse("entity-bytes is not served; ask for the whole entity".into());
    }
    match query.get("dag-scope").map(String::as_str) {
        None | Some("all") => Ok(Scope::All),
        Some("entity") => Ok(Scope::Entity),
        Some("block") => Ok(Scope::Block),
        Some(other) => refuse(format!("dag-scope={other:?} is none of all, entity, block")),
    }
}
