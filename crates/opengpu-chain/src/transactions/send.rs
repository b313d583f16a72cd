//! Signing, sending and waiting for one transaction.

use std::time::Duration;

use alloy::eips::BlockNumberOrTag;
use alloy::network::{NetworkTransactionBuilder as _, TransactionBuilder as _};
use alloy::providers::Provider as _;
use alloy::rpc::types::{TransactionReceipt, TransactionRequest};
use opengpu_core::B256;
use opengpu_core::ids::ChainId;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::Sent;
use crate::client::ChainClient;
use crate::convert::malformed;
use crate::error::{ChainError, Revert};

/// Gas limit over the estimate, in percent: between estimate and inclusion other transactions can make storage colder.
const GAS_MARGIN_PERCENT: u64 = 125;
/// How long a transaction may wait for its block on a local chain, which mines at once.
const LOCAL_PATIENCE: Duration = Duration::from_secs(30);
/// The same elsewhere: some dozens of blocks.
const REMOTE_PATIENCE: Duration = Duration::from_secs(180);
/// How often a nonce that somebody else just used is chosen again.
const NONCE_TRIES: usize = 4;

impl ChainClient {
    /// Sends a transaction and waits for its block.
    pub(crate) async fn send(&self, request: TransactionRequest) -> Result<Sent, ChainError> {
        Ok(self.send_for_receipt(request).await?.0)
    }

    /// Sends a transaction with the nonce it carries, if it carries one, and waits for its block; with the receipt, for callers that need its logs or the contract it made.
    pub(crate) async fn send_for_receipt(
        &self,
        request: TransactionRequest,
    ) -> Result<(Sent, TransactionReceipt), ChainError> {
        let _turn = self.sending().lock().await;
        let from = self.sender()?.key.address();
        let mut request = request.with_from(from).with_chain_id(self.network().chain_id.0);
        self.add_gas(&mut request).await?;
        let included = self.submit_and_wait(&request).await;
        self.set_on_its_way(None);
        let (transaction, receipt) = included?;
        let sent = Sent {
            transaction,
            block: receipt.block_number.unwrap_or_default(),
            block_hash: receipt.block_hash.unwrap_or_default(),
            gas_used: receipt.gas_used,
            calldata_bytes: request.input.input().map_or(0, |input| input.len()),
        };
        if receipt.status() {
            return Ok((sent, receipt));
        }
        Err(self.why_it_failed(request, sent).await)
    }

    /// Submits, again where somebody else just used the nonce, and waits for the block.
    async fn submit_and_wait(&self, request: &TransactionRequest) -> Result<(B256, TransactionReceipt), ChainError> {
        let mut tries = 0;
        let transaction = loop {
            tries += 1;
            match self.sign_and_submit(request.clone()).await {
                Err(ChainError::Refused { message, .. })
                    if is_nonce_taken(&message) && request.nonce.is_none() && tries < NONCE_TRIES => {}
                outcome => break outcome?,
            }
        };
        tracing::debug!(%transaction, "sent");
        let receipt = self.wait_for(transaction).await?;
        tracing::debug!(%transaction, block = receipt.block_number, gas = receipt.gas_used, "included");
        Ok((transaction, receipt))
    }

    /// Estimates gas, which is where a contract's refusal shows before anything is paid, and fees.
    async fn add_gas(&self, request: &mut TransactionRequest) -> Result<(), ChainError> {
        let estimate = self.provider().estimate_gas(request.clone()).await;
        let estimate = match estimate.map_err(|error| self.transport(error)) {
            Ok(gas) => gas,
            Err(error) => return Err(self.explain_refusal(error).await),
        };
        let fees = self
            .provider()
            .estimate_eip1559_fees()
            .await
            .map_err(|error| self.transport(error))?;
        request.set_gas_limit(estimate.saturating_mul(GAS_MARGIN_PERCENT) / 100);
        request.set_max_fee_per_gas(fees.max_fee_per_gas);
        request.set_max_priority_fee_per_gas(fees.max_priority_fee_per_gas);
        Ok(())
    }

    async fn sign_and_submit(&self, mut request: TransactionRequest) -> Result<B256, ChainError> {
        let sender = self.sender()?;
        if request.nonce.is_none() {
            let next = self.provider().get_transaction_count(sender.key.address()).pending();
            request.set_nonce(next.await.map_err(|error| self.transport(error))?);
        }
        let envelope = request.build(&sender.wallet).await.map_err(malformed)?;
        let transaction = *envelope.tx_hash();
        self.set_on_its_way(Some(transaction));
        match self.provider().send_tx_envelope(envelope).await {
            Ok(_) => Ok(transaction),
            // The answer to an earlier sending of the same bytes was lost.
            Err(error)
                if error
                    .as_error_resp()
                    .is_some_and(|payload| payload.message.contains("already")) =>
            {
                Ok(transaction)
            }
            Err(error) => Err(self.explain_refusal(self.transport(error)).await),
        }
    }

    /// Looks for the receipt until it is there, the transaction is gone, or patience ends.
    pub(crate) async fn wait_for(&self, transaction: B256) -> Result<TransactionReceipt, ChainError> {
        let patience = if self.network().chain_id == ChainId::LOCAL {
            LOCAL_PATIENCE
        } else {
            REMOTE_PATIENCE
        };
        let deadline = Instant::now() + patience;
        let mut ticks = interval(self.poll_interval());
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut last_failure = None;
        while Instant::now() < deadline {
            ticks.tick().await;
            match self.look_for(transaction).await {
                Ok(Some(receipt)) => return Ok(receipt),
                Ok(None) => last_failure = None,
                // The endpoint may be restarting; what it knows when it is back decides.
                Err(error @ ChainError::Unreachable { .. }) => last_failure = Some(error),
                Err(error) => return Err(error),
            }
        }
        Err(last_failure.unwrap_or(ChainError::NotIncluded {
            transaction,
            waited_seconds: patience.as_secs(),
        }))
    }

    async fn look_for(&self, transaction: B256) -> Result<Option<TransactionReceipt>, ChainError> {
        let receipt = self.provider().get_transaction_receipt(transaction).await;
        if let Some(receipt) = receipt.map_err(|error| self.transport(error))? {
            return Ok(Some(receipt));
        }
        let known = self.provider().get_transaction_by_hash(transaction).await;
        if known.map_err(|error| self.transport(error))?.is_some() {
            return Ok(None);
        }
        // Between the two questions it may have moved from the pool into a block.
        let receipt = self.provider().get_transaction_receipt(transaction).await;
        match receipt.map_err(|error| self.transport(error))? {
            Some(receipt) => Ok(Some(receipt)),
            None => Err(ChainError::Lost { transaction }),
        }
    }

    /// Asks again, as of its block, what a transaction that failed in its block had to say.
    async fn why_it_failed(&self, request: TransactionRequest, sent: Sent) -> ChainError {
        let replay = self
            .provider()
            .call(request)
            .block(BlockNumberOrTag::Number(sent.block).into())
            .await;
        match replay.map_err(|error| self.transport(error)) {
            Err(error @ ChainError::Reverted(_)) => error,
            _ => ChainError::Reverted(Revert {
                name: "Reverted".to_owned(),
                values: Vec::new(),
                text: format!("transaction {} failed in block {}", sent.transaction, sent.block),
            }),
        }
    }

    /// Turns "insufficient funds" in whatever words into its own error.
    async fn explain_refusal(&self, error: ChainError) -> ChainError {
        let ChainError::Refused { message, .. } = &error else {
            return error;
        };
        let Some(account) = self.account() else { return error };
        if !message.to_lowercase().contains("insufficient funds") {
            return error;
        }
        match self.gas_balance(account).await {
            Ok(balance) => ChainError::InsufficientGas { account, balance },
            Err(_) => error,
        }
    }
}

/// Whether an endpoint refused a transaction because another one has its nonce.
pub(crate) fn is_nonce_taken(message: &str) -> bool {
    let message = message.to_lowercase();
    message.contains("nonce too low") || message.contains("replacement transaction underpriced")
}
