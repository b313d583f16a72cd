//! A request's body, bounded, and who sent it: the relay header's signature over method, path, query and body.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, Request};
use opengpu_core::Address;
use opengpu_core::order::Domain;
use opengpu_core::sign::Signature;
use opengpu_core::wire::{RELAY_HEADER, relay_digest};
use serde::de::DeserializeOwned;

use crate::problem::{ApiError, Code};

/// A body that has not come whole after so long is given up; the largest, a megabyte, takes seconds on any link.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// A request that has been read.
pub(crate) struct Call {
    head: CallHead,
    /// Its body.
    pub(crate) body: Bytes,
}

/// A request without its body.
pub(crate) struct CallHead {
    method: String,
    path_and_query: String,
    signature: Option<String>,
}

impl CallHead {
    pub(crate) fn of(request: &Request<Body>) -> Self {
        let uri = request.uri();
        Self {
            method: request.method().as_str().to_owned(),
            path_and_query: uri
                .path_and_query()
                .map_or_else(|| uri.path().to_owned(), |whole| whole.as_str().to_owned()),
            signature: header_text(request.headers()),
        }
    }

    /// Who signed the header over this request with `body`.
    pub(crate) fn sender(&self, domain: Domain, body: &[u8]) -> Result<Address, ApiError> {
        let Some(text) = &self.signature else {
            return Err(ApiError::new(
                Code::SignatureMissing,
                format!("the header {RELAY_HEADER} must carry the sender's signature of this request"),
            ));
        };
        let bad = |error| ApiError::new(Code::BadSignature, format!("header {RELAY_HEADER}: {error}"));
        let signature: Signature = text.parse().map_err(bad)?;
        let digest = relay_digest(domain, &self.method, &self.path_and_query, body);
        signature.recover(digest).map_err(bad)
    }
}

fn header_text(headers: &HeaderMap) -> Option<String> {
    headers.get(RELAY_HEADER)?.to_str().ok().map(str::to_owned)
}

impl Call {
    /// Reads a request's body up to `limit` bytes.
    pub(crate) async fn read(request: Request<Body>, limit: usize) -> Result<Self, ApiError> {
        let head = CallHead::of(&request);
        let too_large = || ApiError::new(Code::BodyTooLarge, format!("at most {limit} bytes are taken here"));
        if let Some(length) = http_body_length(&request)
            && length > limit as u64
        {
            return Err(too_large());
        }
        let reading = axum::body::to_bytes(request.into_body(), limit);
        let body = tokio::time::timeout(BODY_TIMEOUT, reading)
            .await
            .map_err(|_| ApiError::new(Code::Timeout, "the body did not come in time"))?
            .map_err(|error| {
                if is_length_limit(&error) {
                    too_large()
                } else {
                    ApiError::bad_request(format!("the body broke off: {error}"))
                }
            })?;
        Ok(Self { head, body })
    }

    /// The body as a message.
    pub(crate) fn json<T: DeserializeOwned>(&self) -> Result<T, ApiError> {
        serde_json::from_slice(&self.body)
            .map_err(|error| ApiError::bad_request(format!("the body is not as it must be: {error}")))
    }

    /// Who sent it.
    pub(crate) fn sender(&self, domain: Domain) -> Result<Address, ApiError> {
        self.head.sender(domain, &self.body)
    }
}

fn http_body_length(request: &Request<Body>) -> Option<u64> {
    request
        .headers()
        .get(axum::http::header::CONTENT_LENGTH)?
        .to_str()
        .ok()?
        .parse()
        .ok()
}

fn is_length_limit(error: &axum::Error) -> bool {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(current) = cause {
        if current.to_string() == "length limit exceeded" {
            return true;
        }
        cause = current.source();
    }
    false
}

/// Refuses a sender that is none of those who may.
pub(crate) fn require_one_of(sender: Address, allowed: &[(Address, &'static str)]) -> Result<&'static str, ApiError> {
    let found = allowed
        .iter()
        .find(|(account, _)| *account == sender && sender != Address::ZERO);
    found.map(|(_, role)| *role).ok_or_else(|| {
        let roles: Vec<&str> = allowed.iter().map(|(_, role)| *role).collect();
        ApiError::new(
            Code::BadSignature,
            format!("{sender} signed the request; only the job's {} may", roles.join(" or ")),
        )
    })
}
