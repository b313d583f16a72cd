//! Budgets of the Cloud Wallet as they are now.

use std::collections::{BTreeMap, BTreeSet};

use alloy::providers::Provider as _;
use alloy::rpc::types::Filter;
use alloy::sol_types::SolEvent as _;
use opengpu_core::ids::BudgetId;
use opengpu_core::money::Amount;
use opengpu_core::{Address, U256};

use super::ChainClient;
use crate::bindings::Cloudverse;
use crate::convert::malformed;
use crate::error::ChainError;

/// Levels of a tree of budgets (`CloudWallet`).
pub const MAX_BUDGET_DEPTH: u8 = 4;

/// A payer's permission for another key to spend some of its credits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Budget {
    /// Its id.
    pub id: BudgetId,
    /// The budget it was opened under; 0 for one of the payer's own.
    pub parent: BudgetId,
    /// Whose credits are spent.
    pub payer: Address,
    /// Who may order, stop jobs and open children.
    pub key: Address,
    /// What is spent.
    pub token: Address,
    /// Spent at most, less what was refunded, base units.
    pub cap: Amount,
    /// What may still be spent, base units. Those above it may have less.
    pub left: Amount,
    /// Locked for one job at most, base units.
    pub per_job: Amount,
    /// First unix second at which it is no longer good.
    pub expires_at: u64,
    /// Whether it was revoked itself; those below a revoked one are worthless too.
    pub is_revoked: bool,
    /// 1 for one of the payer's own, at most [`MAX_BUDGET_DEPTH`].
    pub depth: u8,
}

impl ChainClient {
    /// A budget.
    ///
    /// # Errors
    /// [`ChainError::Reverted`] with `CloudWallet_BudgetUnknown` when there is none of this id; [`ChainError::Unreachable`].
    pub async fn budget(&self, id: BudgetId) -> Result<Budget, ChainError> {
        let found = self
            .cloudverse()
            .budgetOf(id.0)
            .call()
            .await
            .map_err(|error| self.call_error(error))?;
        Ok(Budget {
            id,
            parent: BudgetId(U256::from(found.parent)),
            payer: found.payer,
            key: found.key,
            token: found.token,
            cap: Amount(found.cap),
            left: Amount(found.left),
            per_job: Amount(found.perJob),
            expires_at: found.expiresAt.saturating_to(),
            is_revoked: found.isRevoked,
            depth: found.depth,
        })
    }

    /// A budget and all above it, itself first: spending is debited from every one of them.
    ///
    /// # Errors
    /// As [`ChainClient::budget`].
    pub async fn budget_line(&self, id: BudgetId) -> Result<Vec<Budget>, ChainError> {
        let mut line = vec![self.budget(id).await?];
        while let Some(parent) = line.last().map(|budget| budget.parent)
            && !parent.0.is_zero()
        {
            if line.len() >= usize::from(MAX_BUDGET_DEPTH) {
                return Err(malformed("a tree of budgets deeper than the contract makes them"));
            }
            line.push(self.budget(parent).await?);
        }
        Ok(line)
    }

    /// The key of a payer's budget; `None` when the id is 0, of no budget, or of a budget of somebody else: then its key has no say in the
    /// payer's jobs.
    ///
    /// # Errors
    /// [`ChainError::Unreachable`].
    pub async fn budget_key(&self, id: BudgetId, payer: Address) -> Result<Option<Address>, ChainError> {
        if id.0.is_zero() {
            return Ok(None);
        }
        match self.budget(id).await {
            Ok(budget) => Ok((budget.payer == payer).then_some(budget.key)),
            Err(error) if error.is_revert("CloudWallet_BudgetUnknown") => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// All budgets that concern an account, by id: those it pays for, those whose key it is, and what was opened under the latter.
    ///
    /// # Errors
    /// [`ChainError::Unreachable`]; [`ChainError::Refused`] when the endpoint caps the range of a log query.
    pub async fn budgets_of(&self, account: Address) -> Result<Vec<Budget>, ChainError> {
        let mut wanted = self.opened_budgets(self.opening().topic2(account.into_word())).await?;
        let keyed = self.opened_budgets(self.opening().topic3(account.into_word())).await?;
        let payers: BTreeSet<Address> = keyed.values().map(|opened| opened.payer).collect();
        wanted.extend(keyed);
        for payer in payers.into_iter().filter(|payer| *payer != account) {
            // By id, and a parent's is below its children's.
            for (id, opened) in self.opened_budgets(self.opening().topic2(payer.into_word())).await? {
                if wanted.contains_key(&opened.parent) {
                    wanted.insert(id, opened);
                }
            }
        }
        let mut budgets = Vec::with_capacity(wanted.len());
        for id in wanted.into_keys() {
            budgets.push(self.budget(id).await?);
        }
        Ok(budgets)
    }

    fn opening(&self) -> Filter {
        Filter::new()
            .from_block(self.network().deployed_at_block)
            .address(self.network().contracts.cloudverse)
            .event_signature(Cloudverse::BudgetOpened::SIGNATURE_HASH)
    }

    async fn opened_budgets(&self, filter: Filter) -> Result<BTreeMap<BudgetId, Opened>, ChainError> {
        let logs = self
            .provider()
            .get_logs(&filter)
            .await
            .map_err(|error| self.transport(error))?;
        let mut opened = BTreeMap::new();
        for log in logs.iter().filter(|log| !log.removed) {
            let event = Cloudverse::BudgetOpened::decode_log(&log.inner).map_err(malformed)?;
            let (payer, parent) = (event.payer, BudgetId(event.parent));
            opened.insert(BudgetId(event.budget), Opened { payer, parent });
        }
        Ok(opened)
    }
}

/// What a budget's event says that finding its family needs.
#[derive(Debug, Clone, Copy)]
struct Opened {
    payer: Address,
    parent: BudgetId,
}
