//! The chain as it is: the gateway's two traits fulfilled by `opengpu-chain`. All calls of that crate are here.

use async_trait::async_trait;
use opengpu_chain::client::ChainClient;
use opengpu_chain::error::ChainError;
use opengpu_chain::events::{ChainEvent, Envelope};
use opengpu_chain::follower::{Cursor, Follower};
use opengpu_chain::network::Network;
use opengpu_core::Address;
use opengpu_core::ids::{BudgetId, NodeId};
use opengpu_core::money::Amount;
use opengpu_core::order::Order;
use opengpu_core::sign::SecretKey;

use crate::ports::{Action, Batch, Chain, Feed, Head, NodeInfo, PortError};
use crate::projector::{ChainJob, Change, Fact, Moved, Place};

impl From<ChainError> for PortError {
    fn from(error: ChainError) -> Self {
        let text = error
            .hint()
            .map_or_else(|| error.to_string(), |hint| format!("{error} ({hint})"));
        if error.is_retryable() {
            Self::Retry(text)
        } else {
            Self::Refused(text)
        }
    }
}

/// A network's contracts, with the agent's key to send with.
pub(crate) struct LiveChain {
    client: ChainClient,
    response_window_seconds: u64,
}

impl LiveChain {
    pub(crate) async fn connect(network: &Network, key: SecretKey) -> Result<Self, ChainError> {
        let client = ChainClient::connect(network, Some(key)).await?;
        let response_window_seconds = client.response_window_seconds().await?;
        Ok(Self {
            client,
            response_window_seconds,
        })
    }
}

#[async_trait]
impl Chain for LiveChain {
    async fn feed(&self, from: Option<Head>) -> Result<Box<dyn Feed>, PortError> {
        let cursor = from.map(|head| Cursor {
            block: head.block,
            hash: head.hash,
        });
        Ok(Box::new(LiveFeed {
            follower: Follower::new(self.client.clone(), cursor),
            client: self.client.clone(),
            resumed_at: from,
        }))
    }

    async fn node(&self, node: NodeId) -> Result<Option<NodeInfo>, PortError> {
        match self.client.node(node).await {
            Ok(found) => Ok(Some(NodeInfo {
                owner: found.owner,
                operator: found.operator,
                gpu_model: found.gpu_model,
            })),
            Err(ChainError::Reverted(_)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    async fn budget_key(&self, budget: BudgetId, payer: Address) -> Result<Option<Address>, PortError> {
        Ok(self.client.budget_key(budget, payer).await?)
    }

    async fn is_wallet_signature(&self, order: &Order, signature: &[u8]) -> Result<bool, PortError> {
        Ok(self.client.is_order_signature_valid(order, signature).await?)
    }

    fn response_window_seconds(&self) -> u64 {
        self.response_window_seconds
    }

    async fn act(&self, job: &ChainJob, action: &Action) -> Result<(), PortError> {
        let (id, progress) = (job.job_id, &job.progress);
        let Some(terms) = &job.terms else {
            return Err(PortError::Refused(format!("job {id} was never matched")));
        };
        let client = &self.client;
        match action {
            Action::ReportFault(newest) => client.report_fault(id, terms, progress, newest.as_ref()).await?,
            Action::ResolveFault => client.resolve_fault(id, terms, progress, job.declared.as_ref()).await?,
            Action::Close => client.close(id, terms, progress).await?,
            Action::Expire(newest) => client.expire(id, terms, progress, newest.as_ref()).await?,
            Action::Settle(approved) => client.settle(terms, progress, approved).await?,
        };
        Ok(())
    }
}

/// A follower, and where it went on from.
struct LiveFeed {
    follower: Follower,
    client: ChainClient,
    /// Until it is known whether the chain has moved since.
    resumed_at: Option<Head>,
}

#[async_trait]
impl Feed for LiveFeed {
    async fn next(&mut self) -> Result<Batch, PortError> {
        if let Some(resumed_at) = self.resumed_at {
            // A follower tells nothing before the next block, which a quiet chain may not have for long.
            let head = self.client.head().await?;
            self.resumed_at = None;
            if head.hash == resumed_at.hash {
                return Ok(Batch {
                    rolled_back_to: None,
                    facts: Vec::new(),
                    head: resumed_at,
                    head_timestamp: head.timestamp,
                    is_newest: true,
                });
            }
        }
        let batch = self.follower.next().await?;
        Ok(Batch {
            rolled_back_to: batch.rolled_back_to,
            facts: batch.events.into_iter().filter_map(fact).collect(),
            head: Head {
                block: batch.cursor.block,
                hash: batch.cursor.hash,
            },
            head_timestamp: batch.head.timestamp,
            is_newest: batch.cursor.block == batch.head.number,
        })
    }
}

/// What an event says of a job; `None` for the wallet's and the registry's own.
fn fact(envelope: Envelope) -> Option<Fact> {
    let place = Place {
        block: envelope.block,
        log_index: envelope.log_index,
        transaction: envelope.transaction,
        timestamp: envelope.timestamp,
    };
    let (job, change) = match envelope.event {
        ChainEvent::Matched { job, terms } => (job, Change::Matched { terms }),
        ChainEvent::Rematched { job, terms, progress } => (job, Change::Rematched { terms, progress }),
        ChainEvent::OrderCancelled { job, payer, .. } => (job, Change::OrderCancelled { payer }),
        ChainEvent::Extended {
            job, add_cost, terms, ..
        } => (job, Change::Extended { terms, added: add_cost }),
        ChainEvent::Collected {
            job,
            usage,
            value,
            node_part,
            stakers_part,
            treasury_part,
            ..
        } => {
            let moved = Moved {
                node: node_part,
                stakers: stakers_part,
                treasury: treasury_part,
                refunded: Amount::ZERO,
            };
            let billed_millis = usage.billed_millis;
            (
                job,
                Change::Collected {
                    value,
                    billed_millis,
                    moved,
                },
            )
        }
        ChainEvent::FaultReported {
            job,
            declared,
            progress,
            ..
        } => (job, Change::FaultReported { declared, progress }),
        ChainEvent::FaultAnswered {
            job,
            is_over,
            voucher,
            progress,
            ..
        } => (
            job,
            Change::FaultAnswered {
                is_over,
                voucher,
                progress,
            },
        ),
        ChainEvent::FaultContested { job, progress, .. } => (job, Change::FaultContested { progress }),
        ChainEvent::Faulted { job, .. } => (job, Change::Faulted),
        ChainEvent::Interrupted {
            job,
            settlement,
            progress,
            ..
        } => (job, Change::Interrupted { settlement, progress }),
        ChainEvent::ResultSubmitted { job, progress, .. } => (job, Change::ResultSubmitted { progress }),
        ChainEvent::Settled { job, settlement, .. } => (job, Change::Settled { settlement }),
        ChainEvent::Closed { job, refunded, .. } => (job, Change::Closed { refunded }),
        _ => return None,
    };
    Some(Fact { job, place, change })
}
