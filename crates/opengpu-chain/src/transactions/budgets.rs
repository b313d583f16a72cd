//! Budgets: letting another key spend some of a payer's credits, and ending that.

use alloy::primitives::{U256, Uint};
use alloy::sol_types::SolEvent as _;
use opengpu_core::Address;
use opengpu_core::ids::BudgetId;
use opengpu_core::money::Amount;

use super::Sent;
use crate::bindings::Cloudverse;
use crate::client::ChainClient;
use crate::convert::malformed;
use crate::error::ChainError;

/// What a new budget is to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BudgetWish {
    /// The budget to open it under; 0 for one of the sender's own.
    pub parent: BudgetId,
    /// Who may spend.
    pub key: Address,
    /// What may be spent; the parent's.
    pub token: Address,
    /// Spent at most, less what is refunded, base units.
    pub cap: Amount,
    /// Locked for one job at most, base units.
    pub per_job: Amount,
    /// First unix second at which it is no longer good.
    pub expires_at: u64,
}

impl ChainClient {
    /// Opens a budget of the sender's credits or, under a parent, of that one's payer. By the payer, or the parent's key.
    ///
    /// # Errors
    /// [`ChainError::Reverted`]: `CloudWallet_BudgetTooLow` and its like when the wish exceeds the parent, `CloudWallet_NotAllowed`, …
    pub async fn open_budget(&self, wish: &BudgetWish) -> Result<(BudgetId, Sent), ChainError> {
        let expires_at = Uint::<40, 1>::try_from(wish.expires_at).map_err(malformed)?;
        let cloudverse = self.cloudverse();
        let call = cloudverse.openBudget(
            wish.parent.0,
            wish.key,
            wish.token,
            wish.cap.0,
            wish.per_job.0,
            expires_at,
        );
        let (sent, receipt) = self.send_for_receipt(call.into_transaction_request()).await?;
        let opened: Option<U256> = receipt
            .logs()
            .iter()
            .filter(|log| log.address() == self.network().contracts.cloudverse)
            .find_map(|log| Cloudverse::BudgetOpened::decode_log(&log.inner).ok())
            .map(|event| event.budget);
        let opened = opened.ok_or_else(|| malformed("a budget without its event"))?;
        Ok((BudgetId(opened), sent))
    }

    /// Ends a budget's spending and that of all below it, for ever. By the payer, or the key of a budget above it.
    ///
    /// # Errors
    /// [`ChainError::Reverted`]: `CloudWallet_BudgetUnknown`, `CloudWallet_BudgetIsRevoked`, `CloudWallet_NotAllowed`.
    pub async fn revoke_budget(&self, budget: BudgetId) -> Result<Sent, ChainError> {
        self.send(self.cloudverse().revokeBudget(budget.0).into_transaction_request())
            .await
    }
}
