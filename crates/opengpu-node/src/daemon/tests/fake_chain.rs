//! A chain of one job: blocks by themselves, events when told, transactions that are in a block at once.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use opengpu_core::ids::{BudgetId, JobId};
use opengpu_core::job::{JobState, UsdRate};
use opengpu_core::money::Amount;
use opengpu_core::order::{JobResult, Voucher};
use opengpu_core::wire::{ApprovedResult, SignedVoucher};
use opengpu_core::{Address, B256};

use crate::bidder::{Listing, Standing};
use crate::ports::{Batch, Chain, ChainEvent, ChainFault, ChainFeed, ChainNews, Cursor, EarlierAttempt, Position};

/// A block, and how often the feed looks.
const BLOCK: Duration = Duration::from_millis(100);

#[derive(Default)]
struct State {
    block: u64,
    events: Vec<ChainEvent>,
    settled: Vec<ApprovedResult>,
    is_settled: bool,
    rolled_back_to: Option<u64>,
}

#[derive(Clone, Default)]
pub(super) struct FakeChain(Arc<Mutex<State>>);

impl FakeChain {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    pub(super) fn emit(&self, job: JobId, body: ChainNews) {
        let mut state = self.state();
        state.block += 1;
        let block = state.block;
        state.events.push(ChainEvent { job, block, body });
    }

    pub(super) fn settled(&self) -> Vec<ApprovedResult> {
        self.state().settled.clone()
    }

    /// The block of the settlement never was.
    pub(super) fn undo_last_block(&self) {
        let mut state = self.state();
        let undone = state.events.pop().unwrap().block;
        state.block = undone - 1;
        state.rolled_back_to = Some(undone - 1);
        state.is_settled = false;
    }

    pub(super) fn feed(&self, from: Option<Cursor>) -> FakeFeed {
        FakeFeed {
            chain: self.clone(),
            read: from.map_or(0, |cursor| cursor.block),
        }
    }
}

fn refused<T>() -> Result<T, ChainFault> {
    Err(ChainFault::Refused("nobody expected this call".to_owned()))
}

#[async_trait]
impl Chain for FakeChain {
    async fn standing(&self) -> Result<Standing, ChainFault> {
        Ok(Standing {
            owner: Address::repeat_byte(6),
            list_price_usd_micros: 1_000_000,
            tier: 0,
            is_closed_for_matches: false,
            is_ours: true,
        })
    }

    async fn listing(&self, _token: Address) -> Result<Listing, ChainFault> {
        let rate = Some(UsdRate(10u128.pow(24)));
        Ok(Listing {
            symbol: "USDC".to_owned(),
            decimals: 6,
            rate,
            tier0_cap: Amount(5_000_000),
        })
    }

    async fn budget_key(&self, budget: BudgetId, payer: Address) -> Result<Option<Address>, ChainFault> {
        let is_known = (budget, payer) == (super::world::budget(), super::world::key(3).address());
        Ok(is_known.then(|| super::world::key(7).address()))
    }

    async fn job_state(&self, _job: JobId) -> Result<JobState, ChainFault> {
        Ok(if self.state().is_settled {
            JobState::Settled
        } else {
            JobState::Matched
        })
    }

    async fn earlier_attempts(&self, _job: JobId) -> Result<Vec<EarlierAttempt>, ChainFault> {
        refused()
    }

    async fn collect(&self, _: &Position, _: &SignedVoucher) -> Result<(), ChainFault> {
        refused()
    }

    async fn settle(&self, _at: &Position, approved: &ApprovedResult) -> Result<(), ChainFault> {
        {
            let mut state = self.state();
            if state.is_settled {
                return Err(ChainFault::Refused("JobMarket_StateIs".to_owned()));
            }
            state.is_settled = true;
            state.settled.push(approved.clone());
        }
        self.emit(approved.result.job_id, ChainNews::Settled);
        Ok(())
    }

    async fn submit(&self, _: &Position, _: &JobResult, _: Option<&SignedVoucher>) -> Result<(), ChainFault> {
        refused()
    }

    async fn answer_fault(
        &self,
        _: JobId,
        _: &Position,
        _: Option<&Voucher>,
        _: &SignedVoucher,
    ) -> Result<(), ChainFault> {
        refused()
    }

    async fn contest(
        &self,
        _: JobId,
        _: &Position,
        _: Option<&Voucher>,
        _: Option<&SignedVoucher>,
    ) -> Result<(), ChainFault> {
        refused()
    }
}

pub(super) struct FakeFeed {
    chain: FakeChain,
    read: u64,
}

#[async_trait]
impl ChainFeed for FakeFeed {
    async fn next(&mut self) -> Result<Batch, ChainFault> {
        tokio::time::sleep(BLOCK).await;
        let mut state = self.chain.state();
        let rolled_back_to = state.rolled_back_to.take();
        self.read = self.read.min(rolled_back_to.unwrap_or(u64::MAX));
        state.block += 1;
        let events = state
            .events
            .iter()
            .filter(|event| event.block > self.read)
            .cloned()
            .collect();
        self.read = state.block;
        let head = Cursor {
            block: state.block,
            hash: B256::ZERO,
        };
        Ok(Batch {
            rolled_back_to,
            events,
            head,
            chain_seconds: 0,
        })
    }
}
