//! JSON-RPC over HTTP, and its errors as ours.

use std::time::Duration;

use alloy::contract;
use alloy::network::Ethereum;
use alloy::providers::{DynProvider, Provider as _, ProviderBuilder};
use alloy::transports::http::reqwest::{Client, Url};
use alloy::transports::{RpcError, TransportError};
use opengpu_core::Address;

use super::ChainClient;
use crate::convert::malformed;
use crate::error::ChainError;
use crate::network::Network;
use crate::reverts;

/// A chain node that takes no connection within this is down.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The slowest request is `eth_getLogs` over the largest range; public endpoints cut those off at about this.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// Opens a connection; nothing is sent yet. The second value names the endpoint without its secrets.
pub(crate) fn connect_rpc(rpc_url: &str) -> Result<(DynProvider, String), ChainError> {
    let url: Url = rpc_url
        .parse()
        .map_err(|error| malformed(format!("RPC URL: {error}")))?;
    let host = url.host_str().unwrap_or_default().to_owned();
    let endpoint = url.port().map_or_else(|| host.clone(), |port| format!("{host}:{port}"));
    let mut builder = Client::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(REQUEST_TIMEOUT);
    if matches!(host.as_str(), "127.0.0.1" | "localhost" | "[::1]") {
        builder = builder.no_proxy();
    }
    let http = builder.build().map_err(malformed)?;
    let provider = ProviderBuilder::new()
        .disable_recommended_fillers()
        .network::<Ethereum>()
        .connect_reqwest(http, url)
        .erased();
    Ok((provider, endpoint))
}

/// A transport's or endpoint's error as ours; a revert is decoded, with amounts in the tokens of `network`.
pub(super) fn transport(endpoint: &str, network: Option<&Network>, error: TransportError) -> ChainError {
    match error {
        RpcError::ErrorResp(payload) => match payload.as_revert_data() {
            Some(data) => ChainError::Reverted(reverts::decode(&data, network)),
            None if payload.message.contains("revert") => ChainError::Reverted(reverts::decode(&[], network)),
            None => ChainError::Refused {
                code: payload.code,
                message: payload.message.to_string(),
            },
        },
        RpcError::Transport(kind) => ChainError::Unreachable {
            endpoint: endpoint.to_owned(),
            // What the kind shows can carry the URL, and with it a key.
            reason: if kind.is_http_error() {
                "HTTP error".to_owned()
            } else {
                "no connection".to_owned()
            },
        },
        RpcError::DeserError { err, .. } => ChainError::Unreachable {
            endpoint: endpoint.to_owned(),
            reason: format!("no JSON-RPC answer: {err}"),
        },
        other => malformed(other),
    }
}

impl ChainClient {
    /// A transport's or endpoint's error as ours; a revert is decoded.
    pub(crate) fn transport(&self, error: TransportError) -> ChainError {
        transport(&self.0.endpoint, Some(self.network()), error)
    }

    /// A contract call's error as ours.
    pub(crate) fn call_error(&self, error: contract::Error) -> ChainError {
        match error {
            contract::Error::TransportError(error) => self.transport(error),
            other => malformed(other),
        }
    }

    /// For the outcome of a call that is about a token: amounts in a refusal that names no token are of that one.
    pub(crate) fn about_token(&self, token: Address) -> impl Fn(ChainError) -> ChainError + '_ {
        move |error| match error {
            ChainError::Reverted(revert) => ChainError::Reverted(reverts::in_token(revert, token, self.network())),
            other => other,
        }
    }
}
