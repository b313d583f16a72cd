//! Talking to a gateway: the calls of `opengpu_core::wire`, signed where they must be.

use std::time::Duration;

use opengpu_core::ids::JobId;
use opengpu_core::order::Domain;
use opengpu_core::sign::SecretKey;
use opengpu_core::wire::{
    ApprovedResult, GatewayInfo, JobEvent, Page, Posted, Problem, RELAY_HEADER, Refusal, SignedOrder, SignedStop,
    SignedVoucher, relay_digest,
};
use opengpu_gateway::JobView;
use opengpu_store::{BlockStore, CarFrames, Cid, Scope};
use reqwest::{Method, StatusCode, Url};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::failure::{Failure, with_sources};

/// How long a gateway may take to accept a connection.
const CONNECT_PATIENCE: Duration = Duration::from_secs(5);
/// How long a gateway may send nothing. Above the longest `wait=` of the API (30 s), which is silence on purpose.
const READ_PATIENCE: Duration = Duration::from_secs(45);

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GatewayError {
    /// No answer, or it broke off. Try again.
    #[error("the gateway at {url} does not answer: {reason}")]
    Unreachable {
        /// Which one.
        url: Url,
        /// What the connection said.
        reason: String,
    },
    /// It does not know the job: never posted, or its memory is gone. Post the order again.
    #[error("the gateway does not know this job")]
    UnknownJob,
    /// It said no. What to do is in its words.
    #[error("the gateway refused: {detail}")]
    Refused {
        /// HTTP status.
        status: StatusCode,
        /// Its words.
        detail: String,
    },
    /// Its answer is not what this version understands.
    #[error("the gateway's answer makes no sense: {reason}")]
    Malformed {
        /// What does not fit.
        reason: String,
    },
    /// Our copy of what should be sent is not whole.
    #[error(transparent)]
    Local(#[from] opengpu_store::CarError),
}

impl GatewayError {
    /// Whether the same call may succeed later: it is away, starting, or overloaded.
    pub(crate) fn is_retryable(&self) -> bool {
        match self {
            Self::Unreachable { .. } => true,
            Self::Refused { status, .. } => is_passing(*status),
            _ => false,
        }
    }

    /// Whether what it knows of the chain stands against it: a match that it has not seen, or no longer sees.
    pub(crate) fn is_conflict(&self) -> bool {
        matches!(self, Self::Refused { status, .. } if *status == StatusCode::CONFLICT)
    }
}

fn is_passing(status: StatusCode) -> bool {
    status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS
}

impl From<GatewayError> for Failure {
    fn from(error: GatewayError) -> Self {
        let failure = Failure::error(&error);
        match error {
            GatewayError::Unreachable { url, .. } if is_loopback(&url) => {
                failure.hint("`opengpu status` shows what of the local network runs, `opengpu up` starts what does not")
            }
            GatewayError::Unreachable { .. } => {
                failure.hint("try again in a moment, or name another gateway first in the config")
            }
            GatewayError::UnknownJob => failure.hint("check the job id with `opengpu ps --all`"),
            GatewayError::Malformed { .. } => failure.hint("is the gateway of the same version as this program?"),
            GatewayError::Refused { status, .. } if is_passing(status) => failure.hint("try again in a moment"),
            GatewayError::Refused { .. } => failure.hint("the gateway's words say what to change"),
            GatewayError::Local(_) => failure.hint("is there room on the disk? TMPDIR names a folder on a larger one"),
        }
    }
}

/// One gateway, and the key that signs what is posted to it.
#[derive(Debug, Clone)]
pub(crate) struct GatewayClient {
    http: reqwest::Client,
    base: Url,
    domain: Domain,
    key: SecretKey,
}

impl GatewayClient {
    /// A client for `base`; nothing is sent yet.
    pub(crate) fn new(base: Url, domain: Domain, key: SecretKey) -> Result<Self, GatewayError> {
        let http = http_client(&base).map_err(|error| unreachable_error(&base, &error))?;
        Ok(Self {
            http,
            base,
            domain,
            key,
        })
    }

    /// Where it is.
    pub(crate) fn url(&self) -> &Url {
        &self.base
    }

    /// The connection pool, for fetching artifacts from the same gateway.
    pub(crate) fn http(&self) -> &reqwest::Client {
        &self.http
    }

    /// `GET /v1/info`.
    pub(crate) async fn info(&self) -> Result<GatewayInfo, GatewayError> {
        self.get("/v1/info").await
    }

    /// `POST /v1/orders`; the same order twice is one.
    pub(crate) async fn post_order(&self, order: &SignedOrder) -> Result<Posted, GatewayError> {
        self.post("/v1/orders", order).await
    }

    /// A job as the gateway has it.
    pub(crate) async fn job(&self, job: JobId) -> Result<JobView, GatewayError> {
        self.get(&format!("/v1/jobs/{job}")).await
    }

    /// What happened to a job after `cursor` (empty: from the start), waiting up to `wait` whole seconds for something.
    pub(crate) async fn events(&self, job: JobId, cursor: &str, wait: u8) -> Result<Page<JobEvent>, GatewayError> {
        let mut path = format!("/v1/jobs/{job}/events?wait={wait}");
        if !cursor.is_empty() {
            let encoded: String = cursor.bytes().map(query_byte).collect();
            path.push_str(&format!("&after={encoded}"));
        }
        self.get(&path).await
    }

    /// Hands over a co-signed voucher.
    pub(crate) async fn post_voucher(&self, voucher: &SignedVoucher) -> Result<Posted, GatewayError> {
        self.post(&format!("/v1/jobs/{}/vouchers/signed", voucher.voucher.job_id), voucher)
            .await
    }

    /// Hands over a co-signed result.
    pub(crate) async fn post_result(&self, job: JobId, result: &ApprovedResult) -> Result<Posted, GatewayError> {
        self.post(&format!("/v1/jobs/{job}/results/approved"), result).await
    }

    /// Says why a proposal was not co-signed.
    pub(crate) async fn post_refusal(&self, job: JobId, refusal: &Refusal) -> Result<Posted, GatewayError> {
        self.post(&format!("/v1/jobs/{job}/refusals"), refusal).await
    }

    /// Asks the job to end.
    pub(crate) async fn post_stop(&self, stop: &SignedStop) -> Result<Posted, GatewayError> {
        self.post(&format!("/v1/jobs/{}/stop", stop.job_id), stop).await
    }

    /// The job's log from `offset`: what is there now, empty when nothing is new.
    pub(crate) async fn log(&self, job: JobId, offset: u64) -> Result<Vec<u8>, GatewayError> {
        let response = self
            .send(Method::GET, &format!("/v1/jobs/{job}/logs?offset={offset}"), Body::None)
            .await?;
        let bytes = response
            .bytes()
            .await
            .map_err(|error| unreachable_error(&self.base, &error))?;
        Ok(bytes.to_vec())
    }

    /// Sends a whole artifact; returns its size as a CAR, in bytes.
    pub(crate) async fn upload(&self, job: JobId, store: &BlockStore, root: Cid) -> Result<u64, GatewayError> {
        let store = store.clone();
        let frames = tokio::task::spawn_blocking(move || CarFrames::new(&store, &root, Scope::All))
            .await
            .map_err(opengpu_store::CarError::from)??;
        let bytes = frames.total_bytes();
        let body = Body::Car(reqwest::Body::wrap_stream(frames.into_stream()));
        self.send(Method::POST, &format!("/v1/jobs/{job}/artifacts?root={root}"), body)
            .await?;
        Ok(bytes)
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, GatewayError> {
        decode(&self.base, self.send(Method::GET, path, Body::None).await?).await
    }

    async fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T, GatewayError> {
        let bytes = serde_json::to_vec(body).map_err(|error| GatewayError::Malformed {
            reason: error.to_string(),
        })?;
        decode(&self.base, self.send(Method::POST, path, Body::Json(bytes)).await?).await
    }

    async fn send(&self, method: Method, path: &str, body: Body) -> Result<reqwest::Response, GatewayError> {
        let text = format!("{}{path}", self.base.as_str().trim_end_matches('/'));
        let url: Url = text.parse().map_err(|error| GatewayError::Malformed {
            reason: format!("{text}: {error}"),
        })?;
        let mut request = self.http.request(method.clone(), url);
        if method == Method::POST {
            let signed: &[u8] = if let Body::Json(bytes) = &body { bytes } else { &[] };
            let digest = relay_digest(self.domain, method.as_str(), path, signed);
            request = request.header(RELAY_HEADER, self.key.sign(digest).to_string());
        }
        request = match body {
            Body::None => request,
            Body::Json(bytes) => request.header("content-type", "application/json").body(bytes),
            Body::Car(stream) => request.header("content-type", "application/vnd.ipld.car").body(stream),
        };
        let response = request
            .send()
            .await
            .map_err(|error| unreachable_error(&self.base, &error))?;
        if response.status().is_success() {
            return Ok(response);
        }
        Err(refusal(response).await)
    }
}

/// What a request carries.
enum Body {
    None,
    Json(Vec<u8>),
    Car(reqwest::Body),
}

/// The HTTP client for a server: patient with silence, not with absence. Loopback never goes through a proxy.
pub(crate) fn http_client(server: &Url) -> Result<reqwest::Client, reqwest::Error> {
    let builder = reqwest::Client::builder()
        .connect_timeout(CONNECT_PATIENCE)
        .read_timeout(READ_PATIENCE);
    if is_loopback(server) {
        builder.no_proxy().build()
    } else {
        builder.build()
    }
}

fn is_loopback(server: &Url) -> bool {
    matches!(server.host_str(), Some("127.0.0.1" | "localhost" | "[::1]"))
}

async fn decode<T: DeserializeOwned>(base: &Url, response: reqwest::Response) -> Result<T, GatewayError> {
    let bytes = response
        .bytes()
        .await
        .map_err(|error| unreachable_error(base, &error))?;
    serde_json::from_slice(&bytes).map_err(|error| GatewayError::Malformed {
        reason: error.to_string(),
    })
}

async fn refusal(response: reqwest::Response) -> GatewayError {
    let status = response.status();
    let text = response.text().await.unwrap_or_default();
    let problem: Option<Problem> = serde_json::from_str(&text).ok();
    if status == StatusCode::NOT_FOUND
        && problem
            .as_ref()
            .is_some_and(|problem| problem.kind.ends_with("unknown-job"))
    {
        return GatewayError::UnknownJob;
    }
    let detail = match problem {
        Some(problem) if problem.detail.is_empty() => problem.title,
        Some(problem) => problem.detail,
        None => format!("{status} {}", text.trim()),
    };
    GatewayError::Refused { status, detail }
}

fn unreachable_error(url: &Url, error: &reqwest::Error) -> GatewayError {
    GatewayError::Unreachable {
        url: url.clone(),
        reason: with_sources(error),
    }
}

/// One byte of a query's value, percent-encoded unless it is plain (RFC 3986, section 2.3).
fn query_byte(byte: u8) -> String {
    if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
        char::from(byte).to_string()
    } else {
        format!("%{byte:02X}")
    }
}
