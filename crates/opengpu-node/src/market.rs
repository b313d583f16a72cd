//! The chain's door with the real chain behind it: `opengpu-chain`'s client and follower in the words of [`crate::ports`].

use std::time::Duration;

use async_trait::async_trait;
use opengpu_chain::client::ChainClient;
use opengpu_chain::error::{ChainError, Remedy};
use opengpu_chain::events::{ChainEvent as Happened, Envelope};
use opengpu_chain::follower::{self, Follower};
use opengpu_core::Address;
use opengpu_core::ids::{BudgetId, JobId, NodeId};
use opengpu_core::job::{JobState, Progress};
use opengpu_core::order::{JobResult, Voucher};
use opengpu_core::wire::{ApprovedResult, SignedVoucher};

use crate::bidder::{Listing, Standing};
use crate::ports::{Batch, Chain, ChainEvent, ChainFault, ChainFeed, ChainNews, Cursor, EarlierAttempt, Position};
use crate::settling::Settling;

/// The market's contracts, as one node sees and uses them.
#[derive(Debug, Clone)]
pub struct Market {
    client: ChainClient,
    settling: Settling,
    node: NodeId,
    operator: Address,
}

impl Market {
    /// The market as `node`, whose operator's key `client` was connected with. Results gather for `gather` before they are settled
    /// together. Call it within a runtime.
    #[must_use]
    pub fn new(client: ChainClient, node: NodeId, operator: Address, gather: Duration) -> Self {
        Self {
            settling: Settling::start(client.clone(), gather),
            client,
            node,
            operator,
        }
    }
}

#[async_trait]
impl Chain for Market {
    async fn standing(&self) -> Result<Standing, ChainFault> {
        let node = self.client.node(self.node).await?;
        Ok(Standing {
            owner: node.owner,
            list_price_usd_micros: node.list_price,
            tier: node.tier,
            is_closed_for_matches: node.is_draining || node.is_suspended,
            is_ours: node.operator == self.operator,
        })
    }

    async fn listing(&self, token: Address) -> Result<Listing, ChainFault> {
        let is_known = self
            .client
            .network()
            .contracts
            .tokens
            .iter()
            .any(|known| known.address == token);
        if !is_known {
            // A stranger's contract is not asked for its symbol: it could answer anything.
            return Ok(Listing {
                symbol: String::new(),
                decimals: 0,
                rate: None,
                tier0_cap: Default::default(),
            });
        }
        let found = self.client.token(token).await?;
        Ok(Listing {
            symbol: found.info.symbol,
            decimals: found.info.decimals,
            rate: (found.usd_rate.0 > 0).then_some(found.usd_rate),
            tier0_cap: found.t0_cap,
        })
    }

    async fn budget_key(&self, budget: BudgetId, payer: Address) -> Result<Option<Address>, ChainFault> {
        Ok(self.client.budget_key(budget, payer).await?)
    }

    async fn job_state(&self, job: JobId) -> Result<JobState, ChainFault> {
        Ok(self.client.job(job).await?.state)
    }

    async fn earlier_attempts(&self, job: JobId) -> Result<Vec<EarlierAttempt>, ChainFault> {
        let Some((record, events)) = self.client.job_record(job).await? else {
            return Ok(Vec::new());
        };
        let owners = record.progress.earlier_owners;
        Ok(earlier_in(&events, owners))
    }

    async fn collect(&self, at: &Position, voucher: &SignedVoucher) -> Result<(), ChainFault> {
        self.client.collect(&at.terms, &at.progress, voucher).await?;
        Ok(())
    }

    async fn settle(&self, at: &Position, approved: &ApprovedResult) -> Result<(), ChainFault> {
        self.settling.settle(at, approved).await
    }

    async fn submit(
        &self,
        at: &Position,
        result: &JobResult,
        newest: Option<&SignedVoucher>,
    ) -> Result<(), ChainFault> {
        self.client.submit(&at.terms, &at.progress, result, newest).await?;
        Ok(())
    }

    async fn answer_fault(
        &self,
        job: JobId,
        at: &Position,
        declared: Option<&Voucher>,
        newer: &SignedVoucher,
    ) -> Result<(), ChainFault> {
        self.client
            .answer_fault(job, &at.terms, &at.progress, declared, newer)
            .await?;
        Ok(())
    }

    async fn contest(
        &self,
        job: JobId,
        at: &Position,
        declared: Option<&Voucher>,
        newest: Option<&SignedVoucher>,
    ) -> Result<(), ChainFault> {
        self.client
            .contest(job, &at.terms, &at.progress, declared, newest)
            .await?;
        Ok(())
    }
}

/// The chain's news by polling, from a cursor on.
#[derive(Debug)]
pub struct MarketFeed(Follower);

impl MarketFeed {
    /// Goes on after `from`; without one, from the contracts' deployment.
    #[must_use]
    pub fn new(client: ChainClient, from: Option<Cursor>) -> Self {
        let from = from.map(|cursor| follower::Cursor {
            block: cursor.block,
            hash: cursor.hash,
        });
        Self(Follower::new(client, from))
    }
}

#[async_trait]
impl ChainFeed for MarketFeed {
    async fn next(&mut self) -> Result<Batch, ChainFault> {
        let batch = self.0.next().await?;
        Ok(Batch {
            rolled_back_to: batch.rolled_back_to,
            events: batch.events.into_iter().filter_map(event_of).collect(),
            head: Cursor {
                block: batch.cursor.block,
                hash: batch.cursor.hash,
            },
            chain_seconds: batch.head.timestamp,
        })
    }
}

/// Attempts that ended interrupted, with the owners the contract remembers of them.
fn earlier_in(events: &[Envelope], owners: [Address; 3]) -> Vec<EarlierAttempt> {
    let mut earlier: Vec<EarlierAttempt> = Vec::new();
    let (mut terms, mut collected) = (None, Vec::new());
    for envelope in events {
        match &envelope.event {
            Happened::Matched { terms: new, .. } | Happened::Rematched { terms: new, .. } => {
                terms = Some(new.clone());
                collected.clear();
            }
            Happened::Extended { terms: new, .. } => terms = Some(new.clone()),
            Happened::Collected { value, .. } => collected.push(*value),
            Happened::Interrupted { settlement, .. } => {
                let Some(terms) = terms.clone() else { continue };
                earlier.push(EarlierAttempt {
                    terms,
                    collected: std::mem::take(&mut collected),
                    ending: settlement.ending,
                    usage: settlement.usage,
                    owner: owners.get(earlier.len()).copied().unwrap_or_default(),
                });
            }
            _ => {}
        }
    }
    earlier
}

fn event_of(envelope: Envelope) -> Option<ChainEvent> {
    let job = envelope.event.job()?;
    let body = match envelope.event {
        Happened::Matched { terms, .. } => ChainNews::Matched(Box::new(Position {
            terms,
            progress: Progress::default(),
        })),
        Happened::Rematched { terms, progress, .. } => ChainNews::Matched(Box::new(Position { terms, progress })),
        Happened::Extended { terms, .. } => ChainNews::Extended(Box::new(terms)),
        Happened::Collected { value, usage, .. } => ChainNews::Collected {
            value,
            billed_millis: usage.billed_millis,
        },
        Happened::FaultReported { declared, progress, .. } => ChainNews::Reported {
            declared: declared.map(Box::new),
            progress: Box::new(progress),
        },
        Happened::FaultAnswered {
            is_over,
            voucher,
            progress,
            ..
        } => ChainNews::Answered {
            is_over,
            voucher: voucher.map(Box::new),
            progress: Box::new(progress),
        },
        Happened::FaultContested { progress, .. } | Happened::ResultSubmitted { progress, .. } => {
            ChainNews::Moved(Box::new(progress))
        }
        Happened::Interrupted { .. } => ChainNews::Interrupted,
        Happened::Settled { .. } | Happened::Closed { .. } => ChainNews::Settled,
        _ => return None,
    };
    Some(ChainEvent {
        job,
        block: envelope.block,
        body,
    })
}

impl From<ChainError> for ChainFault {
    fn from(error: ChainError) -> Self {
        match error.remedy() {
            Remedy::Retry => Self::Unreachable(error.to_string()),
            Remedy::GiveUp => Self::Refused(error.to_string()),
            Remedy::AskUser => Self::NotAble(error.to_string()),
        }
    }
}
