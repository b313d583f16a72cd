//! Follows the chain block by block and never misses an event: what every role that keeps state from the chain builds on.
//!
//! Logs are read by ranges of blocks with `eth_getLogs`; hashes of blocks handed out are remembered, so that a chain that continues from
//! another block is noticed, whether by a reorganisation or because a local chain came back from an older copy with a lower head. Then
//! the consumer is told to forget everything above the last common block, and gets what happened instead.

use std::collections::VecDeque;
use std::time::Duration;

use alloy::primitives::B256;
use alloy::providers::Provider as _;
use alloy::rpc::types::{Filter, Log};
use opengpu_core::ids::JobId;
use serde::{Deserialize, Serialize};
use tokio::time::{Interval, MissedTickBehavior, interval};

use crate::client::{BlockRef, ChainClient};
use crate::error::ChainError;
use crate::events::{self, Envelope};

/// How often a local chain is asked for a new block.
pub const LOCAL_INTERVAL: Duration = Duration::from_millis(250);
/// How often any other chain is asked.
pub const REMOTE_INTERVAL: Duration = Duration::from_secs(2);
/// Blocks per log query at first; public endpoints allow some thousands.
const LARGEST_RANGE: u64 = 2_000;
/// Blocks remembered with their hashes: four times the deepest reorganisation planned for (64).
const REMEMBERED: usize = 256;

/// A block all of whose events were handed out. Keep it with the state made from them, and a restart goes on from there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    /// Its height.
    pub block: u64,
    /// Its hash.
    pub hash: B256,
}

/// What happened since the last batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// When set, first forget every event of a block above this height: those blocks are no longer part of the chain.
    pub rolled_back_to: Option<u64>,
    /// Events, oldest first.
    pub events: Vec<Envelope>,
    /// Where this batch ends: keep it together with what was made of the events.
    pub cursor: Cursor,
    /// The newest block; the distance to an event's block is its number of confirmations.
    pub head: BlockRef,
}

/// Follows one network. Not `Clone`: two followers are two positions.
#[derive(Debug)]
pub struct Follower {
    client: ChainClient,
    /// Blocks handed out, oldest first; the last is the position. Empty: nothing was handed out.
    trail: VecDeque<Cursor>,
    /// A rollback that was found but not yet handed out.
    rolled_back_to: Option<u64>,
    ticks: Interval,
    range: u64,
}

impl Follower {
    /// Starts after `from`, or with the deployment's block. The chain is asked at the interval that suits it; see
    /// [`Follower::every`].
    #[must_use]
    pub fn new(client: ChainClient, from: Option<Cursor>) -> Self {
        Self::resume(client, from)
    }

    /// Starts after the newest of `trail` (oldest first). The more blocks are given, the less has to be read again when the chain was
    /// reorganised while nobody followed; with one that is gone, everything is.
    #[must_use]
    pub fn resume(client: ChainClient, trail: impl IntoIterator<Item = Cursor>) -> Self {
        let every = if client.network().chain_id == opengpu_core::ids::ChainId::LOCAL {
            LOCAL_INTERVAL
        } else {
            REMOTE_INTERVAL
        };
        let mut follower = Self {
            client,
            trail: VecDeque::new(),
            rolled_back_to: None,
            ticks: ticks(every),
            range: LARGEST_RANGE,
        };
        for cursor in trail {
            follower.remember(cursor);
        }
        follower
    }

    /// The same, asking at another interval.
    #[must_use]
    pub fn every(mut self, interval: Duration) -> Self {
        self.ticks = ticks(interval);
        self
    }

    /// Where it stands.
    #[must_use]
    pub fn cursor(&self) -> Option<Cursor> {
        self.trail.back().copied()
    }

    /// Waits for news: at least one new block (perhaps without events) or a rollback. Dropping the future loses nothing.
    ///
    /// # Errors
    /// [`ChainError::Unreachable`] and other retryable ones while the endpoint is down or changes its mind: call again, after the pause
    /// the caller finds right; nothing is lost or handed out twice. [`ChainError::Malformed`] when the contracts speak another ABI.
    pub async fn next(&mut self) -> Result<Batch, ChainError> {
        loop {
            self.ticks.tick().await;
            if let Some(batch) = self.look().await? {
                return Ok(batch);
            }
        }
    }

    /// One look at the chain; `None` when there is no news.
    async fn look(&mut self) -> Result<Option<Batch>, ChainError> {
        let head = self.client.head().await?;
        self.step_back_to_common_block(head).await?;
        let from = self.trail.back().map_or(self.first_block(), |cursor| cursor.block + 1);
        if from > head.number {
            return Ok(self.hand_out_rollback(head));
        }
        let to = head.number.min(from + self.range - 1);
        let Some(end) = self.client.block_at(to).await? else {
            return Ok(None);
        };
        let read = self.client.events_of(from, to, None).await;
        let events = match read {
            // Endpoints cap ranges or results, each in its own words; a smaller range passes all of them.
            Err(ChainError::Refused { .. }) if self.range > 1 => {
                self.range = (self.range / 2).max(1);
                self.ticks.reset_immediately();
                return Ok(None);
            }
            read => read?,
        };
        if !self.is_still_there(end).await? {
            self.ticks.reset_immediately();
            return Ok(None);
        }
        self.range = (self.range * 2).min(LARGEST_RANGE);
        if to < head.number {
            self.ticks.reset_immediately();
        }
        Ok(Some(self.hand_out(events, end, head)))
    }

    /// Whether `end`, and the block before the range, still are what they were before the logs were read: then the logs are the chain's.
    async fn is_still_there(&self, end: BlockRef) -> Result<bool, ChainError> {
        if self.client.block_at(end.number).await?.map(|block| block.hash) != Some(end.hash) {
            return Ok(false);
        }
        match self.trail.back() {
            None => Ok(true),
            Some(last) => self.is_on_chain(*last).await,
        }
    }

    async fn is_on_chain(&self, cursor: Cursor) -> Result<bool, ChainError> {
        let block = self.client.block_at(cursor.block).await?;
        Ok(block.is_some_and(|block| block.hash == cursor.hash))
    }

    /// Drops remembered blocks that the chain no longer has.
    async fn step_back_to_common_block(&mut self, head: BlockRef) -> Result<(), ChainError> {
        let mut common = self.trail.len();
        while let Some(cursor) = common.checked_sub(1).and_then(|index| self.trail.get(index)) {
            if cursor.block <= head.number && self.is_on_chain(*cursor).await? {
                break;
            }
            common -= 1;
        }
        if common < self.trail.len() {
            self.trail.truncate(common);
            let common_block = self
                .trail
                .back()
                .map_or(self.first_block().saturating_sub(1), |cursor| cursor.block);
            tracing::info!(
                common_block,
                head = head.number,
                "the chain continues from another block"
            );
            let already = self.rolled_back_to.unwrap_or(u64::MAX);
            self.rolled_back_to = Some(common_block.min(already));
        }
        Ok(())
    }

    fn first_block(&self) -> u64 {
        self.client.network().deployed_at_block
    }

    /// A rollback to a chain that has nothing new (yet).
    fn hand_out_rollback(&mut self, head: BlockRef) -> Option<Batch> {
        let cursor = *self.trail.back()?;
        Some(Batch {
            rolled_back_to: Some(self.rolled_back_to.take()?),
            events: Vec::new(),
            cursor,
            head,
        })
    }

    fn hand_out(&mut self, events: Vec<Envelope>, end: BlockRef, head: BlockRef) -> Batch {
        for event in &events {
            self.remember(Cursor {
                block: event.block,
                hash: event.block_hash,
            });
        }
        let cursor = Cursor {
            block: end.number,
            hash: end.hash,
        };
        self.remember(cursor);
        Batch {
            rolled_back_to: self.rolled_back_to.take(),
            events,
            cursor,
            head,
        }
    }

    fn remember(&mut self, cursor: Cursor) {
        if self.trail.back().is_some_and(|last| last.block >= cursor.block) {
            return;
        }
        if self.trail.len() == REMEMBERED {
            self.trail.pop_front();
        }
        self.trail.push_back(cursor);
    }
}

impl ChainClient {
    /// Events of the network's contracts in a range of blocks, both ends included; of one job only when one is named.
    ///
    /// # Errors
    /// [`ChainError::Unreachable`]; [`ChainError::Refused`] when the endpoint finds the range too large.
    pub async fn events_of(&self, from: u64, to: u64, job: Option<JobId>) -> Result<Vec<Envelope>, ChainError> {
        let contracts = &self.network().contracts;
        let mut filter = Filter::new().from_block(from).to_block(to);
        filter = match job {
            Some(job) => filter.address(contracts.cloudverse).topic1(job.0),
            None => filter.address(vec![contracts.cloudverse, contracts.node_registry]),
        };
        let logs = self
            .provider()
            .get_logs(&filter)
            .await
            .map_err(|error| self.transport(error))?;
        let mut events = Vec::with_capacity(logs.len());
        let mut known: Option<(u64, u64)> = None;
        for log in logs.iter().filter(|log| !log.removed) {
            let timestamp = self.timestamp_of(log, &mut known).await?;
            events.extend(events::decode(log, timestamp, contracts)?);
        }
        events.sort_by_key(|envelope| (envelope.block, envelope.log_index));
        Ok(events)
    }

    /// The time of a log's block: newer nodes say it in the log, others are asked once per block.
    pub(crate) async fn timestamp_of(&self, log: &Log, known: &mut Option<(u64, u64)>) -> Result<u64, ChainError> {
        let block = log.block_number.unwrap_or_default();
        match (log.block_timestamp, *known) {
            (Some(timestamp), _) => Ok(timestamp),
            (None, Some((number, timestamp))) if number == block => Ok(timestamp),
            _ => {
                let gone = || ChainError::Refused {
                    code: 0,
                    message: format!("block {block} is gone"),
                };
                let timestamp = self.block_at(block).await?.ok_or_else(gone)?.timestamp;
                *known = Some((block, timestamp));
                Ok(timestamp)
            }
        }
    }
}

fn ticks(every: Duration) -> Interval {
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}
