//! The gateway: a bulletin of orders and bids, jobs as the chain has them, a relay of messages and logs, a store of
//! artifacts, and the payer agent. It has no funds and no authority; its database can be deleted at any time.
//!
//! Read in this order:
//!
//! 1. [`projector`]: pure; from the chain's events to what a job is. `indexer` feeds it, `db` keeps its versions.
//! 2. `routes`: the HTTP API (its table is in [`opengpu_core::wire`]); `bulletin` and `call` judge what comes in;
//!    [`problem`] has the codes of every refusal; [`view`] what a job looks like from outside.
//! 3. `agent`: the payer agent. `agent::policy` decides what it signs and `agent::watch` when it acts on a silent node, both
//!    pure; `agent::journal` remembers what was signed, apart from the database.
//! 4. [`ports`]: what is wanted of a chain; `live` fulfils it with `opengpu-chain`.
//! 5. [`server`]: how it all starts and stops: [`serve`].
//!
//! On disk, below `data_dir`: `gateway.db` (may be deleted), `blocks/` (artifacts), `logs/`, `agent/` (what was signed).

#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

mod agent;
mod app;
mod bulletin;
mod call;
mod clock;
pub mod config;
mod db;
mod hub;
mod indexer;
mod live;
mod logs;
pub mod ports;
pub mod problem;
pub mod projector;
mod routes;
pub mod server;
#[cfg(test)]
mod test_support;
pub mod view;

pub use config::{GatewayConfig, Patience, Quotas};
pub use db::DbError;
pub use server::{BoundGateway, ServeError, serve, serve_on};
pub use view::JobView;
