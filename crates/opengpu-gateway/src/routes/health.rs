//! Whether the gateway lives, whether it is of use, and what it is.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use opengpu_core::wire::GatewayInfo;
use serde::Serialize;

use super::Answer;
use crate::app::App;
use crate::problem::{ApiError, Code};

/// A word of health.
#[derive(Debug, Serialize)]
pub(crate) struct Health {
    status: &'static str,
    block: u64,
}

/// `GET /healthz`: the process answers.
pub(super) async fn alive(State(app): State<Arc<App>>) -> Json<Health> {
    let block = app.sync.borrow().block;
    Json(Health { status: "alive", block })
}

/// `GET /readyz`: database and chain are there and the chain has been read.
pub(super) async fn ready(State(app): State<Arc<App>>) -> Answer<Health> {
    app.db.heal().await?;
    let sync = app.sync.borrow().clone();
    if !sync.is_reachable {
        return Err(ApiError::new(Code::ChainUnreachable, "the chain node does not answer"));
    }
    if !app.is_index_complete() {
        let detail = format!("the chain has been read up to block {}", sync.block);
        return Err(ApiError::new(Code::Indexing, detail));
    }
    Ok(Json(Health {
        status: "ready",
        block: sync.block,
    }))
}

/// `GET /v1/info`.
pub(super) async fn info(State(app): State<Arc<App>>) -> Json<GatewayInfo> {
    Json(GatewayInfo {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        domain: app.domain,
        agent: app.agent.address(),
        block: app.sync.borrow().block,
    })
}
