//! A chain of which the test decides every block. An action nobody expected fails the test when the chain is dropped.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use opengpu_core::ids::{BudgetId, JobId, NodeId};
use opengpu_core::order::Order;
use opengpu_core::{Address, B256, U256};
use opengpu_gateway::ports::{Action, Batch, Chain, Feed, Head, NodeInfo, PortError};
use opengpu_gateway::projector::{ChainJob, Change, Fact, Place};
use std::sync::Arc;
use tokio::sync::Notify;

use super::{now, people};

#[derive(Clone)]
struct Block {
    head: Head,
    timestamp: u64,
    facts: Vec<Fact>,
}

#[derive(Default)]
struct Blocks {
    all: Mutex<Vec<Block>>,
    news: Notify,
    /// While set, nobody is told anything.
    is_silent: AtomicBool,
}

pub struct FakeChain {
    blocks: Arc<Blocks>,
    hashes: Mutex<u64>,
    nodes: HashMap<NodeId, NodeInfo>,
    /// What was asked of the chain and not yet looked at.
    acted: Mutex<Vec<(JobId, Action)>>,
}

pub fn node() -> NodeId {
    NodeId(U256::from(17))
}

pub fn owner() -> Address {
    Address::repeat_byte(0x0a)
}

impl FakeChain {
    pub fn new() -> Self {
        let info = NodeInfo {
            owner: owner(),
            operator: people::operator().address(),
            gpu_model: "none".to_owned(),
        };
        let chain = Self {
            blocks: Arc::default(),
            hashes: Mutex::new(0),
            nodes: HashMap::from([(node(), info)]),
            acted: Mutex::default(),
        };
        chain.mine(Vec::new());
        chain
    }

    fn fresh_hash(&self) -> B256 {
        let mut hashes = self.hashes.lock().unwrap();
        *hashes += 1;
        B256::left_padding_from(&hashes.to_be_bytes())
    }

    pub fn mine(&self, changes: Vec<(JobId, Change)>) -> u64 {
        self.mine_at(now(), changes)
    }

    pub fn mine_at(&self, timestamp: u64, changes: Vec<(JobId, Change)>) -> u64 {
        let hash = self.fresh_hash();
        let mut all = self.blocks.all.lock().unwrap();
        let block = all.len() as u64 + 1;
        let facts = changes.into_iter().zip(0..).map(|((job, change), log_index)| Fact {
            job,
            place: Place {
                block,
                log_index,
                transaction: hash,
                timestamp,
            },
            change,
        });
        let facts = facts.collect();
        let head = Head { block, hash };
        all.push(Block { head, timestamp, facts });
        drop(all);
        self.blocks.news.notify_waiters();
        block
    }

    /// Stops telling, or goes on.
    pub fn be_silent(&self, is_silent: bool) {
        self.blocks.is_silent.store(is_silent, Ordering::SeqCst);
        self.blocks.news.notify_waiters();
    }

    /// Gives up the newest `depth` blocks; what is mined next takes their place.
    pub fn give_up(&self, depth: usize) {
        let mut all = self.blocks.all.lock().unwrap();
        let left = all.len() - depth;
        all.truncate(left);
    }

    /// What was asked of the chain since the last look.
    pub fn take_actions(&self) -> Vec<(JobId, Action)> {
        std::mem::take(&mut self.acted.lock().unwrap())
    }
}

impl Drop for FakeChain {
    fn drop(&mut self) {
        let acted = self.take_actions();
        if !std::thread::panicking() {
            assert!(acted.is_empty(), "nobody expected {acted:?}");
        }
    }
}

#[async_trait]
impl Chain for FakeChain {
    async fn feed(&self, from: Option<Head>) -> Result<Box<dyn Feed>, PortError> {
        Ok(Box::new(FakeFeed {
            blocks: Arc::clone(&self.blocks),
            trail: from.into_iter().collect(),
            is_first: true,
        }))
    }

    async fn node(&self, node: NodeId) -> Result<Option<NodeInfo>, PortError> {
        Ok(self.nodes.get(&node).cloned())
    }

    async fn budget_key(&self, budget: BudgetId, payer: Address) -> Result<Option<Address>, PortError> {
        let known = people::budgets();
        let found = known.iter().find(|(id, of, _)| *id == budget && *of == payer);
        Ok(found.map(|(_, _, key)| *key))
    }

    async fn is_wallet_signature(&self, _order: &Order, signature: &[u8]) -> Result<bool, PortError> {
        Ok(signature == people::WALLET_SIGNATURE)
    }

    fn response_window_seconds(&self) -> u64 {
        60
    }

    async fn act(&self, job: &ChainJob, action: &Action) -> Result<(), PortError> {
        self.acted.lock().unwrap().push((job.job_id, action.clone()));
        Ok(())
    }
}

struct FakeFeed {
    blocks: Arc<Blocks>,
    trail: Vec<Head>,
    is_first: bool,
}

impl FakeFeed {
    fn look(&mut self) -> Option<Batch> {
        if self.blocks.is_silent.load(Ordering::SeqCst) {
            return None;
        }
        let all = self.blocks.all.lock().unwrap();
        let mut rolled_back_to = None;
        while let Some(last) = self.trail.last() {
            if all
                .get(last.block as usize - 1)
                .is_some_and(|block| block.head == *last)
            {
                break;
            }
            self.trail.pop();
            rolled_back_to = Some(self.trail.last().map_or(0, |head| head.block));
        }
        let position = self.trail.last().map_or(0, |head| head.block as usize);
        let fresh = &all[position..];
        if fresh.is_empty() && rolled_back_to.is_none() && !self.is_first {
            return None;
        }
        self.is_first = false;
        self.trail.extend(fresh.iter().map(|block| block.head));
        let last = all.last()?;
        Some(Batch {
            rolled_back_to,
            facts: fresh.iter().flat_map(|block| block.facts.clone()).collect(),
            head: last.head,
            head_timestamp: last.timestamp,
            is_newest: true,
        })
    }
}

#[async_trait]
impl Feed for FakeFeed {
    async fn next(&mut self) -> Result<Batch, PortError> {
        let blocks = Arc::clone(&self.blocks);
        loop {
            let mut news = std::pin::pin!(blocks.news.notified());
            news.as_mut().enable();
            if let Some(batch) = self.look() {
                return Ok(batch);
            }
            news.await;
        }
    }
}
