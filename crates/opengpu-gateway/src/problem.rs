//! Refusals as callers see them: a stable code, a sentence about this request, RFC 9457 problem+json.
//!
//! What went wrong inside goes to the log, never to the caller.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use opengpu_core::ids::JobId;
use opengpu_core::wire::Problem;

/// What kind of refusal. The code is part of the API; it never changes its meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Code {
    /// Path, query, header or body cannot be read.
    BadRequest,
    /// No such path.
    UnknownRoute,
    /// The path exists, the method does not.
    MethodNotAllowed,
    /// Neither the chain nor the bulletin knows the job: post its order (again).
    UnknownJob,
    /// The order is known, the chain has not matched it (yet): try again after the match.
    NotMatched,
    /// The job takes no more of this: it is matched to another node, or closed.
    JobClosed,
    /// The order breaks a rule of the protocol.
    InvalidOrder,
    /// The bid breaks a rule of the protocol or of its order.
    InvalidBid,
    /// A voucher, result, approval or other message does not fit the job.
    InvalidMessage,
    /// The call needs an `opengpu-signature` header.
    SignatureMissing,
    /// A signature is not by whom it must be.
    BadSignature,
    /// The log would have a hole: send from the offset the detail names.
    LogGap,
    /// The job's share of this gateway's disk is used up.
    QuotaExceeded,
    /// The body is larger than this call takes.
    BodyTooLarge,
    /// The bytes are not the DAG that was announced.
    InvalidArtifact,
    /// The gateway's disk is full.
    DiskFull,
    /// Too much of this is open already: wait until some of it ends.
    TooMany,
    /// The body or the work took too long.
    Timeout,
    /// The chain is still being read: try again shortly.
    Indexing,
    /// The chain node does not answer: try again shortly.
    ChainUnreachable,
    /// The gateway's own failure; its log says more. Try again shortly.
    Internal,
}

impl Code {
    /// Name in URLs, status, short text.
    const fn parts(self) -> (&'static str, StatusCode, &'static str) {
        use StatusCode as S;
        match self {
            Self::BadRequest => ("bad-request", S::BAD_REQUEST, "the request cannot be read"),
            Self::UnknownRoute => ("unknown-route", S::NOT_FOUND, "no such path"),
            Self::MethodNotAllowed => ("method-not-allowed", S::METHOD_NOT_ALLOWED, "no such method here"),
            Self::UnknownJob => ("unknown-job", S::NOT_FOUND, "this gateway does not know the job"),
            Self::NotMatched => ("not-matched", S::CONFLICT, "the job is not matched"),
            Self::JobClosed => ("job-closed", S::CONFLICT, "the job takes no more of this"),
            Self::InvalidOrder => ("invalid-order", S::UNPROCESSABLE_ENTITY, "the order is not valid"),
            Self::InvalidBid => ("invalid-bid", S::UNPROCESSABLE_ENTITY, "the bid is not valid"),
            Self::InvalidMessage => (
                "invalid-message",
                S::UNPROCESSABLE_ENTITY,
                "the message does not fit the job",
            ),
            Self::SignatureMissing => ("signature-missing", S::UNAUTHORIZED, "the call must be signed"),
            Self::BadSignature => ("bad-signature", S::FORBIDDEN, "signed by the wrong key"),
            Self::LogGap => ("log-gap", S::CONFLICT, "the log would have a hole"),
            Self::QuotaExceeded => ("quota-exceeded", S::PAYLOAD_TOO_LARGE, "the job's quota is used up"),
            Self::BodyTooLarge => ("body-too-large", S::PAYLOAD_TOO_LARGE, "the body is too large"),
            Self::InvalidArtifact => ("invalid-artifact", S::UNPROCESSABLE_ENTITY, "the artifact is not whole"),
            Self::DiskFull => ("disk-full", S::INSUFFICIENT_STORAGE, "the gateway's disk is full"),
            Self::TooMany => ("too-many", S::TOO_MANY_REQUESTS, "too many of these at once"),
            Self::Timeout => ("timeout", S::REQUEST_TIMEOUT, "the request took too long"),
            Self::Indexing => ("indexing", S::SERVICE_UNAVAILABLE, "the chain is still being read"),
            Self::ChainUnreachable => (
                "chain-unreachable",
                S::SERVICE_UNAVAILABLE,
                "the chain node does not answer",
            ),
            Self::Internal => ("internal", S::INTERNAL_SERVER_ERROR, "the gateway failed"),
        }
    }

    /// Whether the same request may succeed a moment later.
    const fn is_worth_retrying(self) -> bool {
        matches!(
            self,
            Self::NotMatched | Self::TooMany | Self::Indexing | Self::ChainUnreachable | Self::Internal
        )
    }
}

/// A refusal of one request.
#[derive(Debug, thiserror::Error)]
#[error("{}: {detail}", code.parts().0)]
pub struct ApiError {
    /// What kind.
    pub code: Code,
    /// What was wrong with this request and what would be right, for the caller.
    pub detail: String,
}

impl ApiError {
    /// A refusal with its sentence.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self {
            code,
            detail: detail.into(),
        }
    }

    /// Our own failure: `cause` goes to the log, not to the caller.
    pub(crate) fn internal(cause: impl std::fmt::Display) -> Self {
        tracing::error!(%cause, "a request failed inside");
        Self::new(Code::Internal, "the gateway's log says more; try again shortly")
    }

    pub(crate) fn unknown_job(job: JobId) -> Self {
        Self::new(
            Code::UnknownJob,
            format!("job {job} is not known here; post its order to /v1/orders first"),
        )
    }

    pub(crate) fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(Code::BadRequest, detail)
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let (name, status, title) = self.code.parts();
        let problem = Problem {
            kind: format!("urn:opengpu:problem:{name}"),
            title: title.to_owned(),
            status: status.as_u16(),
            detail: self.detail,
        };
        let mut response = (status, axum::Json(problem)).into_response();
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        if self.code.is_worth_retrying() {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}
