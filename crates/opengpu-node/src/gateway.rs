//! A gateway over HTTP, as `opengpu_core::wire` lays it out.

use std::time::Duration;

use async_trait::async_trait;
use opengpu_core::ids::JobId;
use opengpu_core::order::Domain;
use opengpu_core::sign::SecretKey;
use opengpu_core::wire::{
    JobEvent, Page, Problem, Progress, RELAY_HEADER, ResultProposal, SignedBid, SignedOrder, VoucherProposal,
    relay_digest,
};
use opengpu_store::{BlockStore, CarError, CarFrames, Cid, Limits, Scope, StoreError, TransferError};
use reqwest::{Body, Client, RequestBuilder, Response, Url};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::ports::{Gateway, GatewayFault};

/// A gateway that takes longer to accept a connection is down.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// No byte for this long breaks a call off; it must exceed the longest wait of a long poll, 30 s.
const READ_TIMEOUT: Duration = Duration::from_secs(45);
/// Stable names of problems that mean more than their status: a job it never saw or forgot,
const UNKNOWN_JOB: &str = "unknown-job";
/// a match it has not read from the chain yet,
const NOT_MATCHED: &str = "not-matched";
/// and a piece of log that would leave a hole.
const LOG_GAP: &str = "log-gap";

/// A gateway at a URL, spoken to as one node's operator.
#[derive(Debug, Clone)]
pub struct HttpGateway {
    base: Url,
    http: Client,
    domain: Domain,
    key: SecretKey,
}

impl HttpGateway {
    /// A client for the gateway at `base`. Nothing is sent yet.
    ///
    /// # Errors
    /// [`GatewayFault::Unreachable`] when this machine has no usable TLS set-up.
    pub fn new(base: Url, domain: Domain, key: SecretKey) -> Result<Self, GatewayFault> {
        let http = Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .read_timeout(READ_TIMEOUT)
            .build()?;
        Ok(Self {
            base,
            http,
            domain,
            key,
        })
    }

    /// `path` below the base, which may itself have one.
    fn url(&self, path: &str) -> Result<Url, GatewayFault> {
        let text = format!("{}{path}", self.base.as_str().trim_end_matches('/'));
        Url::parse(&text).map_err(|error| GatewayFault::Refused {
            status: 0,
            detail: format!("{text}: {error}"),
        })
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, GatewayFault> {
        let response = accepted(self.http.get(self.url(path)?)).await?;
        Ok(response.json().await?)
    }

    /// Posts something that carries its own signature.
    async fn post<T: Serialize + Sync>(&self, path: &str, body: &T) -> Result<(), GatewayFault> {
        accepted(self.http.post(self.url(path)?).json(body)).await.map(|_| ())
    }

    /// Posts bytes that the operator vouches for in the relay header; a stream is signed without its body.
    async fn post_signed(&self, path: &str, body: Body, signed: &[u8], media_type: &str) -> Result<(), GatewayFault> {
        let url = self.url(path)?;
        let path_and_query = url
            .query()
            .map_or_else(|| url.path().to_owned(), |query| format!("{}?{query}", url.path()));
        let signature = self
            .key
            .sign(relay_digest(self.domain, "POST", &path_and_query, signed));
        let request = self.http.post(url).header(RELAY_HEADER, signature.to_string());
        accepted(request.header("content-type", media_type).body(body))
            .await
            .map(|_| ())
    }
}

#[async_trait]
impl Gateway for HttpGateway {
    fn name(&self) -> String {
        self.base.to_string()
    }

    async fn orders(&self, after: &str, wait_seconds: u32) -> Result<Page<SignedOrder>, GatewayFault> {
        self.get(&format!("/v1/orders?after={}&wait={wait_seconds}", encoded(after)))
            .await
    }

    async fn post_order(&self, order: &SignedOrder) -> Result<(), GatewayFault> {
        self.post("/v1/orders", order).await
    }

    async fn post_bid(&self, bid: &SignedBid) -> Result<(), GatewayFault> {
        self.post(&format!("/v1/jobs/{}/bids", bid.bid.job_id), bid).await
    }

    async fn events(&self, job: JobId, after: &str, wait_seconds: u32) -> Result<Page<JobEvent>, GatewayFault> {
        self.get(&format!(
            "/v1/jobs/{job}/events?after={}&wait={wait_seconds}",
            encoded(after)
        ))
        .await
    }

    async fn post_progress(&self, job: JobId, progress: &Progress) -> Result<(), GatewayFault> {
        let body = serde_json::to_vec(progress).map_err(unsendable)?;
        self.post_signed(
            &format!("/v1/jobs/{job}/progress"),
            body.clone().into(),
            &body,
            "application/json",
        )
        .await
    }

    async fn post_voucher(&self, job: JobId, proposal: &VoucherProposal) -> Result<(), GatewayFault> {
        self.post(&format!("/v1/jobs/{job}/vouchers"), proposal).await
    }

    async fn post_result(&self, job: JobId, proposal: &ResultProposal) -> Result<(), GatewayFault> {
        self.post(&format!("/v1/jobs/{job}/results"), proposal).await
    }

    async fn post_log(&self, job: JobId, offset: u64, bytes: Vec<u8>) -> Result<(), GatewayFault> {
        let path = format!("/v1/jobs/{job}/logs?offset={offset}");
        self.post_signed(&path, bytes.clone().into(), &bytes, "application/octet-stream")
            .await
    }

    async fn upload(&self, job: JobId, store: &BlockStore, root: &Cid) -> Result<(), GatewayFault> {
        let (store, wanted) = (store.clone(), *root);
        let frames = tokio::task::spawn_blocking(move || CarFrames::new(&store, &wanted, Scope::All));
        let frames = frames.await.map_err(unsendable)?.map_err(unsendable)?;
        let path = format!("/v1/jobs/{job}/artifacts?root={root}");
        let body = Body::wrap_stream(frames.into_stream());
        self.post_signed(&path, body, b"", opengpu_store::gateway::MEDIA_TYPE_CAR)
            .await
    }

    async fn fetch(&self, root: &Cid, store: &BlockStore, limits: &Limits) -> Result<(), GatewayFault> {
        let bases = [self.base.clone()];
        Ok(opengpu_store::fetch(&self.http, &bases, root, store, limits).await?)
    }
}

/// Cursors are opaque: only characters that are safe in a query stay as they are.
fn encoded(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => char::from(byte).to_string(),
            other => format!("%{other:02X}"),
        })
        .collect()
}

fn unsendable(error: impl std::fmt::Display) -> GatewayFault {
    GatewayFault::Refused {
        status: 0,
        detail: error.to_string(),
    }
}

/// The response if it is a success, else what the gateway says is wrong.
async fn accepted(request: RequestBuilder) -> Result<Response, GatewayFault> {
    let response = request.send().await?;
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let text = response.text().await.unwrap_or_default();
    let problem: Option<Problem> = serde_json::from_str(&text).ok();
    let is = |name: &str| problem.as_ref().is_some_and(|problem| problem.kind.ends_with(name));
    let (is_unknown_job, is_log_gap, is_early) = (is(UNKNOWN_JOB), is(LOG_GAP), is(NOT_MATCHED));
    let detail = problem.map_or(text, |problem| problem.detail);
    Err(match status.as_u16() {
        404 if is_unknown_job => GatewayFault::UnknownJob,
        409 if is_log_gap => GatewayFault::LogGap,
        // Early, full, busy or being restarted: the same request may be taken later.
        409 if is_early => GatewayFault::Unreachable(detail),
        408 | 429 | 500..=599 => GatewayFault::Unreachable(format!("{status}: {detail}")),
        status => GatewayFault::Refused { status, detail },
    })
}

impl From<reqwest::Error> for GatewayFault {
    fn from(error: reqwest::Error) -> Self {
        // The outer text of reqwest says only that something failed; the source says what.
        let source = std::error::Error::source(&error).map(|source| format!(": {source}"));
        Self::Unreachable(format!("{error}{}", source.unwrap_or_default()))
    }
}

impl From<TransferError> for GatewayFault {
    fn from(error: TransferError) -> Self {
        match error {
            TransferError::Car(CarError::Store(StoreError::DiskFull { .. })) => Self::DiskFull(error.to_string()),
            other => Self::Unreachable(other.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursor_with_odd_characters_stays_one_parameter() {
        assert_eq!(encoded("a-1&b=é"), "a-1%26b%3D%C3%A9");
    }
}
