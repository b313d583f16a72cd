//! Whether a result's receipt says what order, chain and node agreed, and whether its bytes are all here.

use opengpu_core::Address;
use opengpu_core::job::Terms;
use opengpu_core::receipt::{Attempt, Gpu, JobFacts, NodeFacts, Receipt};
use opengpu_core::wire::ResultProposal;
use opengpu_store::dag::{Scope, blocks};
use opengpu_store::{BlockStore, Cid, DagError, StoreError, raw_cid};

use super::Brief;
use super::policy::No;
use crate::app::App;
use crate::ports::{NodeInfo, PortError};

fn never(reason: impl Into<String>) -> No {
    No {
        reason: reason.into(),
        is_retryable: false,
    }
}

fn not_yet(reason: impl Into<String>) -> No {
    No {
        reason: reason.into(),
        is_retryable: true,
    }
}

impl App {
    /// The signer's two duties of protocol section 11: the receipt is consistent, and output and log are in a second store,
    /// their CIDs computed again here. Keeps the receipt beside them.
    pub(super) async fn examine(&self, brief: &Brief, proposal: &ResultProposal) -> Result<(), No> {
        let bytes = proposal.receipt.as_bytes();
        let receipt = Receipt::from_canonical_json(bytes).map_err(|error| never(error.to_string()))?;
        let (output, logs) = receipt
            .output
            .as_ref()
            .zip(receipt.logs.as_ref())
            .ok_or_else(|| never("the receipt names no output or no log"))?;
        if output.cid != proposal.output || logs.cid != proposal.logs {
            return Err(never("the receipt names another output or log than the proposal"));
        }
        self.check_consistent(brief, proposal, &receipt).await?;
        let roots = [parse_cid(&proposal.output.0)?, parse_cid(&proposal.logs.0)?];
        let (store, bytes) = (self.store.clone(), bytes.to_vec());
        let kept = tokio::task::spawn_blocking(move || {
            roots.iter().try_for_each(|root| recompute(&store, root))?;
            keep(&store, &raw_cid(&bytes), &bytes)
        });
        kept.await.map_err(|error| not_yet(error.to_string()))?
    }

    async fn check_consistent(&self, brief: &Brief, proposal: &ResultProposal, receipt: &Receipt) -> Result<(), No> {
        let found = &brief.found;
        let token = self.config.network.token_at(found.terms.token);
        let token = token.ok_or_else(|| never("this gateway's network file does not name the job's token"))?;
        let node = self.node_facts(&found.terms, None, receipt).await?;
        let mut facts = JobFacts {
            domain: self.domain,
            order: &brief.order.order,
            spec: &brief.order.spec,
            token_symbol: &token.symbol,
            token_decimals: token.decimals,
            earlier: &[],
            terms: &found.terms,
            collected: &found.job.collected,
            node: &node,
        };
        let mut earlier: Vec<Attempt> = Vec::new();
        for (index, ended) in found.job.earlier.iter().enumerate() {
            let owner = found.job.progress.earlier_owners.get(index).copied();
            let node = self.node_facts(&ended.terms, owner, receipt).await?;
            let of_attempt = JobFacts {
                terms: &ended.terms,
                collected: &ended.collected,
                node: &node,
                ..facts
            };
            earlier.push(of_attempt.attempt(Some(ended.settlement.ending), ended.settlement.usage));
        }
        facts.earlier = &earlier;
        let checked = receipt.consistent_with(&facts, &proposal.result);
        checked.map_err(|error| never(error.to_string()))
    }

    /// What the registry says of an attempt's node. How many GPUs it has is not on chain: the receipt's count is taken, of
    /// the registered model only.
    async fn node_facts(&self, terms: &Terms, owner: Option<Address>, receipt: &Receipt) -> Result<NodeFacts, No> {
        let node = self.chain.node(terms.node).await.map_err(|error| match error {
            PortError::Retry(cause) => not_yet(format!("the chain does not answer: {cause}")),
            PortError::Refused(cause) => never(cause),
        })?;
        let node = node.ok_or_else(|| never(format!("there is no node {}", terms.node)))?;
        let claimed = receipt
            .attempts
            .iter()
            .find(|attempt| attempt.attempt == terms.attempt());
        Ok(NodeFacts {
            owner: owner.filter(|owner| *owner != Address::ZERO).unwrap_or(node.owner),
            gpus: claimed.map_or_else(Vec::new, |attempt| registered(&attempt.gpus, &node)),
        })
    }
}

fn registered(claimed: &[Gpu], node: &NodeInfo) -> Vec<Gpu> {
    claimed
        .iter()
        .filter(|gpu| gpu.model == node.gpu_model)
        .cloned()
        .collect()
}

fn parse_cid(text: &str) -> Result<Cid, No> {
    text.parse()
        .map_err(|error| never(format!("`{text}` is no CID: {error}")))
}

/// Reads all of a DAG, which hashes each block again.
fn recompute(store: &BlockStore, root: &Cid) -> Result<(), No> {
    let explain = |error: DagError| match error {
        DagError::Store(inner @ (StoreError::Missing { .. } | StoreError::Corrupt { .. })) => {
            not_yet(format!("{root} is not all here yet: {inner}; upload it"))
        }
        DagError::Store(inner) => not_yet(format!("this gateway's store failed: {inner}")),
        other => never(format!("{root}: {other}")),
    };
    for block in blocks(store, root, Scope::All).map_err(explain)? {
        store.get(&block.cid).map_err(|error| explain(error.into()))?;
    }
    // A root already here for another reason is kept from now on for this one.
    store.pin(root).map_err(|error| explain(error.into()))
}

fn keep(store: &BlockStore, cid: &Cid, bytes: &[u8]) -> Result<(), No> {
    let kept = store.put(cid, bytes).and_then(|_| store.pin(cid));
    kept.map_err(|error| not_yet(format!("this gateway cannot store the receipt: {error}")))
}
