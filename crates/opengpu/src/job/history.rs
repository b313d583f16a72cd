//! What the chain tells about one job, from its match to its settlement.

use opengpu_chain::{ChainEvent, Envelope};
use opengpu_core::B256;
use opengpu_core::ids::NodeId;
use opengpu_core::job::{Progress, Settlement, Terms};
use opengpu_core::money::Amount;
use opengpu_core::receipt::{Gpu, NodeFacts};

use super::bill::{Earlier, Parts};
use super::record::JobRecord;
use crate::failure::{Failure, Outcome};
use crate::session::{Session, chain_failure};

/// A job's events, sorted by what they are needed for.
#[derive(Debug, Clone)]
pub(crate) struct History {
    /// Terms of the newest attempt.
    pub(crate) terms: Terms,
    /// What changed since.
    pub(crate) progress: Progress,
    /// What was paid before the job was closed: by vouchers, by earlier attempts.
    pub(crate) earlier: Earlier,
    /// Cumulative values of the newest attempt's cashed vouchers, oldest first.
    pub(crate) collected_values: Vec<Amount>,
    /// How it was closed; `None` while it is open.
    pub(crate) settlement: Option<Settlement>,
    /// The transaction that closed it; `None` while it is open.
    pub(crate) settled_by: Option<B256>,
}

impl History {
    /// Reads the job's events.
    pub(crate) async fn read(session: &Session, record: &JobRecord) -> Outcome<Self> {
        let job = record.job_id;
        let found = session.chain.job_record(job).await.map_err(chain_failure)?;
        let (on_chain, events) = found.ok_or_else(|| {
            Failure::error(format_args!("the chain does not know job {job}"))
                .hint("it may have gone back to an older state")
        })?;
        let mut history = Self {
            terms: on_chain.terms,
            progress: on_chain.progress,
            earlier: Earlier::default(),
            collected_values: Vec::new(),
            settlement: None,
            settled_by: None,
        };
        events.iter().for_each(|envelope| history.take_in(envelope));
        Ok(history)
    }

    fn take_in(&mut self, envelope: &Envelope) {
        match &envelope.event {
            ChainEvent::Rematched { .. } => self.collected_values.clear(),
            ChainEvent::Collected {
                value,
                node_part,
                stakers_part,
                treasury_part,
                ..
            } => {
                self.collected_values.push(*value);
                self.earlier.moved.push(Parts {
                    node: *node_part,
                    stakers: *stakers_part,
                    treasury: *treasury_part,
                });
            }
            ChainEvent::Interrupted { settlement, .. } => {
                self.earlier.moved.push(Parts::from(settlement));
                self.earlier.values.push(settlement.value);
            }
            ChainEvent::Settled { settlement, .. } => {
                self.settlement = Some(settlement.clone());
                self.settled_by = Some(envelope.transaction);
            }
            _ => {}
        }
    }
}

/// What the registry says of a node, as receipts carry it. How many GPUs it has is not on chain: what the receipt claims is
/// taken, of the registered model only.
pub(crate) async fn node_facts(session: &Session, node: NodeId, claimed: &[Gpu]) -> Outcome<NodeFacts> {
    let on_chain = session.node(node).await?;
    Ok(NodeFacts {
        owner: on_chain.owner,
        gpus: claimed
            .iter()
            .filter(|gpu| gpu.model == on_chain.gpu_model)
            .cloned()
            .collect(),
    })
}
