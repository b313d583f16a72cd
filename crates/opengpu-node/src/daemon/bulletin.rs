//! Orders: one long poll per gateway, and what the chain says about each order's token.

use std::sync::Arc;
use std::time::Duration;

use opengpu_core::Address;
use opengpu_core::wire::SignedOrder;
use tokio::sync::mpsc;

use super::feed::is_shut_down_within;
use super::{Message, SeenOrder, Shared};
use crate::ports::{ChainFault, Gateway, GatewayFault};

/// How long a gateway may hold a poll open, in seconds: below its limit of 30.
const WAIT_SECONDS: u32 = 25;
/// Before a gateway that failed is asked again.
const PAUSE: Duration = Duration::from_secs(1);

/// Hands on every order the gateway shows, until shut down.
pub(super) async fn listen(shared: Arc<Shared>, gateway: Arc<dyn Gateway>, daemon: mpsc::UnboundedSender<Message>) {
    let mut cursor = String::new();
    loop {
        let page = tokio::select! {
            () = shared.shutdown.cancelled() => return,
            page = gateway.orders(&cursor, WAIT_SECONDS) => page,
        };
        match page {
            Ok(page) => {
                cursor = page.cursor;
                for order in page.items {
                    look_up(shared.clone(), order, gateway.clone(), daemon.clone()).await;
                }
            }
            Err(fault) => {
                tracing::warn!(%fault, gateway = gateway.name(), "no orders");
                if matches!(fault, GatewayFault::Refused { .. } | GatewayFault::UnknownJob) {
                    // A gateway that lost its memory does not know our cursor: start over, known orders are left out.
                    cursor.clear();
                }
                if is_shut_down_within(&shared, PAUSE).await {
                    return;
                }
            }
        }
    }
}

/// Adds what the chain says and hands the order on.
pub(super) async fn look_up(
    shared: Arc<Shared>,
    order: SignedOrder,
    gateway: Arc<dyn Gateway>,
    daemon: mpsc::UnboundedSender<Message>,
) {
    let asked: Result<_, ChainFault> = async {
        Ok((
            shared.chain.standing().await?,
            shared.chain.listing(order.order.token).await?,
            budget_key_of(&shared, &order).await?,
        ))
    }
    .await;
    match asked {
        Ok((standing, listing, budget_key)) => {
            let seen = SeenOrder {
                order,
                standing,
                listing,
                budget_key,
                gateway,
            };
            let _ = daemon.send(Message::Order(Box::new(seen)));
        }
        Err(fault) => tracing::warn!(%fault, "no bid: the chain cannot be asked"),
    }
}

/// Who besides payer and signer may stop the job: the key of the budget that pays for it.
async fn budget_key_of(shared: &Shared, order: &SignedOrder) -> Result<Option<Address>, ChainFault> {
    let order = &order.order;
    if order.budget.0.is_zero() {
        return Ok(None);
    }
    shared.chain.budget_key(order.budget, order.payer).await
}
