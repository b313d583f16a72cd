//! The node's HTTP server: its store as an IPFS trustless gateway, and whether the daemon is well.

use axum::routing::get;
use axum::{Json, Router};
use opengpu_store::{BlockStore, trustless_router};
use serde::Serialize;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// What `GET /healthz` says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Health {
    /// `ok`.
    pub(crate) status: &'static str,
    /// The node's token id.
    pub(crate) node: String,
    /// The container engine.
    pub(crate) runtime: &'static str,
    /// Newest block seen.
    pub(crate) block: u64,
    /// Jobs that are offered or open.
    pub(crate) jobs: usize,
}

/// Serves until `shutdown`.
pub(crate) async fn serve(
    listener: TcpListener,
    store: BlockStore,
    health: watch::Receiver<Health>,
    shutdown: CancellationToken,
) -> std::io::Result<()> {
    let healthz = get(move || async move { Json(health.borrow().clone()) });
    let router: Router = trustless_router(store).route("/healthz", healthz);
    axum::serve(listener, router)
        .with_graceful_shutdown(shutdown.cancelled_owned())
        .await
}
