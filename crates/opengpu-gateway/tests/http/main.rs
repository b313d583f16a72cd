//! The gateway over real HTTP, on a chain of which the test decides every block.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod agent;
mod artifacts;
mod budgets;
mod bulletin;
mod disk_full;
mod relay;
#[path = "../support/mod.rs"]
mod support;
mod watching;

use opengpu_core::ids::JobId;
use opengpu_core::job::Terms;
use opengpu_core::wire::SignedOrder;
use opengpu_gateway::projector::Change;
use support::{Gateway, chain, people, taken};

/// A job that was ordered, bid for and matched.
struct Matched {
    id: JobId,
    order: SignedOrder,
    bid: opengpu_core::wire::SignedBid,
    terms: Terms,
}

/// Orders, bids and matches a job.
async fn matched(gateway: &Gateway, salt: u64) -> Matched {
    let token = support::network().contracts.tokens[0].address;
    matched_order(gateway, people::order(gateway.domain, token, salt)).await
}

/// The same for an order made already.
async fn matched_order(gateway: &Gateway, order: SignedOrder) -> Matched {
    let id = taken(gateway.post("/v1/orders", &order).await).await.job_id;
    let bid = people::bid(gateway.domain, id, chain::node(), &people::operator());
    taken(gateway.post(&format!("/v1/jobs/{id}/bids"), &bid).await).await;
    let terms = people::terms(&order.order, &bid.bid);
    gateway.mine(vec![(id, Change::Matched { terms: terms.clone() })]).await;
    Matched { id, order, bid, terms }
}
