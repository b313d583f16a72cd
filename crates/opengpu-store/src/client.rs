//! The other end of the gateway: fetching a DAG from whoever has it, and handing one over.
//!
//! Nobody is trusted: a gateway that lies, breaks off or sends something else costs one attempt, and the next is asked.
//! Time-outs are those of the [`reqwest::Client`] passed in: give it a connect and a read time-out.

use axum::http::StatusCode;
use futures::TryStreamExt;
use reqwest::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE};
use reqwest::{Body, Response, Url};
use tokio_util::io::StreamReader;

use crate::address::Cid;
use crate::blockstore::{BlockStore, StoreError};
use crate::car::{self, CarError, CarFrames, ImportedCar};
use crate::dag::{self, DagError, Scope};
use crate::gateway::MEDIA_TYPE_CAR;
use crate::limits::Limits;

/// Path, below a gateway's base URL, that takes a CAR by `POST`.
pub const UPLOAD_PATH: &str = "/ipfs";
/// How much of a refusal's text is kept, in bytes: a sentence, not a page.
const REFUSAL_BYTES: usize = 500;

/// Why a transfer failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TransferError {
    /// Every gateway failed, each for its own reason. Retry later, or ask others.
    #[error("no gateway gave {cid}: {}", list(attempts))]
    NoGateway {
        /// What was asked for.
        cid: Box<Cid>,
        /// Each gateway asked, and what happened there.
        attempts: Vec<(Url, TransferError)>,
    },
    /// Nobody answered, or the connection broke. Retry.
    #[error("{0}")]
    Http(#[from] reqwest::Error),
    /// The server refused. What to do depends on its status.
    #[error("{status}: {text}")]
    Refused {
        /// Its status.
        status: StatusCode,
        /// The beginning of its text.
        text: String,
    },
    /// What came, or what was to be sent, is not a whole and right DAG; or our own disk failed.
    #[error(transparent)]
    Car(#[from] CarError),
    /// The base URL cannot have a path, as `mailto:` cannot. The user must fix it.
    #[error("{url} cannot be a gateway")]
    NotABase {
        /// The refused URL.
        url: Url,
    },
}

fn list(attempts: &[(Url, TransferError)]) -> String {
    let each: Vec<String> = attempts.iter().map(|(url, error)| format!("{url} {error}")).collect();
    if each.is_empty() {
        return "none was named".into();
    }
    each.join("; ")
}

impl TransferError {
    /// Whether the fault is on our side, so that asking another gateway cannot help.
    fn is_local(&self) -> bool {
        matches!(
            self,
            Self::Car(CarError::Store(StoreError::DiskFull { .. } | StoreError::Io { .. }) | CarError::Stopped(_))
        )
    }
}

/// Makes sure that all of `root` is in `store`: from the store itself, else as a CAR from the first of `gateways` (base URLs,
/// above `/ipfs`) that gives it whole. Blocks a broken attempt brought are kept. Durable when it returns; not pinned.
///
/// # Errors
/// [`TransferError::NoGateway`] with the reason of each; [`TransferError::Car`] at once when our own disk fails.
pub async fn fetch(
    http: &reqwest::Client,
    gateways: &[Url],
    root: &Cid,
    store: &BlockStore,
    limits: &Limits,
) -> Result<(), TransferError> {
    if is_complete(store, root).await? {
        return Ok(());
    }
    let mut attempts = Vec::new();
    for gateway in gateways {
        match fetch_from(http, gateway, root, store, limits).await {
            Ok(_) => return Ok(()),
            Err(error) if error.is_local() => return Err(error),
            Err(error) => {
                tracing::warn!(%root, %gateway, %error, "gateway did not give the artifact");
                attempts.push((gateway.clone(), error));
            }
        }
    }
    Err(TransferError::NoGateway {
        cid: Box::new(*root),
        attempts,
    })
}

async fn is_complete(store: &BlockStore, root: &Cid) -> Result<bool, TransferError> {
    let (store, root) = (store.clone(), *root);
    let missing = tokio::task::spawn_blocking(move || dag::missing(&store, &root))
        .await
        .map_err(CarError::from)?;
    match missing {
        Ok(missing) => Ok(missing.is_empty()),
        // The damaged block is gone by now, and can be fetched.
        Err(DagError::Store(StoreError::Corrupt { .. })) => Ok(false),
        Err(error) => Err(CarError::from(error).into()),
    }
}

async fn fetch_from(
    http: &reqwest::Client,
    gateway: &Url,
    root: &Cid,
    store: &BlockStore,
    limits: &Limits,
) -> Result<ImportedCar, TransferError> {
    let mut url = below(gateway, &["ipfs", &root.to_string()])?;
    url.set_query(Some("format=car"));
    let response = http.get(url).header(ACCEPT, MEDIA_TYPE_CAR).send().await?;
    let response = accepted(response).await?;
    let stream = response.bytes_stream().map_err(std::io::Error::other);
    Ok(car::import_car(store, StreamReader::new(stream), Some(root), limits).await?)
}

/// Sends all of `root` to `gateway` by `POST` to [`UPLOAD_PATH`], streaming. Whatever the gateway asks for besides (an
/// authorisation header) is set on `http`. Returns the bytes sent.
///
/// # Errors
/// [`TransferError::Car`] when our copy is incomplete; [`TransferError::Refused`]; [`TransferError::Http`].
pub async fn upload(
    http: &reqwest::Client,
    gateway: &Url,
    store: &BlockStore,
    root: &Cid,
) -> Result<u64, TransferError> {
    let url = below(gateway, &[UPLOAD_PATH.trim_start_matches('/')])?;
    let (store, root) = (store.clone(), *root);
    let frames = tokio::task::spawn_blocking(move || CarFrames::new(&store, &root, Scope::All))
        .await
        .map_err(CarError::from)??;
    let bytes = frames.total_bytes();
    let response = http
        .post(url)
        .header(CONTENT_TYPE, MEDIA_TYPE_CAR)
        .header(CONTENT_LENGTH, bytes)
        .body(Body::wrap_stream(frames.into_stream()))
        .send()
        .await?;
    accepted(response).await?;
    Ok(bytes)
}

fn below(base: &Url, segments: &[&str]) -> Result<Url, TransferError> {
    let mut url = base.clone();
    match url.path_segments_mut() {
        Ok(mut path) => path.pop_if_empty().extend(segments),
        Err(()) => return Err(TransferError::NotABase { url: base.clone() }),
    };
    Ok(url)
}

/// The response if it is a success, else its status and the beginning of its text.
async fn accepted(mut response: Response) -> Result<Response, TransferError> {
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let mut text = Vec::new();
    while text.len() < REFUSAL_BYTES {
        match response.chunk().await? {
            Some(chunk) => text.extend_from_slice(&chunk),
            None => break,
        }
    }
    text.truncate(REFUSAL_BYTES);
    let text = String::from_utf8_lossy(&text).trim().to_owned();
    Err(TransferError::Refused { status, text })
}
