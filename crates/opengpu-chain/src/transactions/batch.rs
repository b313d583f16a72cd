//! Many settlements in one transaction.

use alloy::primitives::Bytes;
use alloy::sol_types::SolCall as _;
use opengpu_core::ids::JobId;
use opengpu_core::job::{Progress, Terms};
use opengpu_core::wire::ApprovedResult;

use super::Sent;
use crate::bindings::Cloudverse;
use crate::client::ChainClient;
use crate::convert;
use crate::error::ChainError;
use crate::reverts;

/// The most results one transaction settles: their calldata stays below the 128 KiB that chain nodes take in one transaction.
pub const MOST_IN_A_BATCH: usize = 100;

/// A result that both sides signed, with what the contract wants back to settle it.
#[derive(Debug, Clone, Copy)]
pub struct ToSettle<'a> {
    /// The job's current terms.
    pub terms: &'a Terms,
    /// The job's current progress.
    pub progress: &'a Progress,
    /// What both sides signed.
    pub approved: &'a ApprovedResult,
}

impl ChainClient {
    /// Settles up to [`MOST_IN_A_BATCH`] results in one transaction. One that the contract refuses does not stop the others: the answer has,
    /// in the order given, the transaction or why this one was skipped.
    ///
    /// # Errors
    /// [`ChainError`] when the transaction as a whole did not happen.
    pub async fn settle_many(&self, results: &[ToSettle<'_>]) -> Result<Vec<Result<Sent, ChainError>>, ChainError> {
        let items = results
            .iter()
            .map(|result| self.settle_item(result))
            .collect::<Result<Vec<_>, _>>()?;
        let request = self.cloudverse().settleMany(items).into_transaction_request();
        let (sent, receipt) = self.send_for_receipt(request).await?;
        let mut skipped: Vec<(JobId, Bytes)> = receipt
            .logs()
            .iter()
            .filter(|log| log.address() == self.network().contracts.cloudverse)
            .filter_map(|log| log.log_decode::<Cloudverse::Skipped>().ok())
            .map(|log| (JobId(log.inner.jobId), log.inner.reason.clone()))
            .collect();
        let outcome_of = |result: &ToSettle<'_>| {
            let job = result.approved.result.job_id;
            match skipped.iter().position(|(skipped, _)| *skipped == job) {
                Some(index) => {
                    let reason = skipped.swap_remove(index).1;
                    Err(ChainError::Reverted(reverts::decode(&reason, Some(self.network()))))
                }
                None => Ok(sent),
            }
        };
        Ok(results.iter().map(outcome_of).collect())
    }

    /// The arguments of one `settle`, as an element of a batch.
    fn settle_item(&self, result: &ToSettle<'_>) -> Result<Bytes, ChainError> {
        let call = self.settle_call(result.terms, result.progress, result.approved)?;
        let mut encoded = Vec::with_capacity(call.abi_encoded_size());
        call.abi_encode_raw(&mut encoded);
        Ok(encoded.into())
    }

    /// One `settle`. A signature of whoever sends is left out.
    pub(super) fn settle_call(
        &self,
        terms: &Terms,
        progress: &Progress,
        approved: &ApprovedResult,
    ) -> Result<Cloudverse::settleCall, ChainError> {
        Ok(Cloudverse::settleCall {
            terms: convert::terms(terms)?,
            progress: convert::progress(progress),
            result: convert::result(&approved.result),
            operatorSig: convert::signature(approved.operator_signature, terms.operator, self.account()),
            rating: approved.approve.rating,
            signerSig: convert::signature(approved.signer_signature, terms.signer, self.account()),
        })
    }
}
