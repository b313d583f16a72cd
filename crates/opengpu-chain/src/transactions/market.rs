//! The transactions of a job's life (protocol, section 4).
//!
//! `terms` and `progress` are the job's current ones, as [`crate::record::JobRecord`] keeps them from events. A signature of whoever sends
//! is left out, since the contracts need none.

use alloy::primitives::Bytes;
use opengpu_core::ids::JobId;
use opengpu_core::job::{JobState, Progress, Terms};
use opengpu_core::order::{Extend, JobResult, Order, Voucher};
use opengpu_core::sign::Signature;
use opengpu_core::wire::{ApprovedResult, SignedBid, SignedVoucher};

use super::Sent;
use crate::client::ChainClient;
use crate::convert;
use crate::error::ChainError;

/// What an `ensure_…` call found or did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ensured {
    /// The chain was there already.
    Already,
    /// This call's transaction brought it there.
    Sent(Sent),
}

impl ChainClient {
    /// Locks an order's escrow on the node whose bid is given. By payer, signer or budget key; by anyone when the order is claimable.
    /// `order_signature` may be empty when payer or budget key sends.
    ///
    /// # Errors
    /// [`ChainError::Reverted`]: `CloudWallet_CreditsTooLow`, `JobMarket_Expired`, `JobMarket_NotAllowed`, …
    pub async fn match_order(
        &self,
        order: &Order,
        order_signature: &[u8],
        bid: &SignedBid,
    ) -> Result<Sent, ChainError> {
        let signature = if self.account() == Some(order.payer) {
            Bytes::new()
        } else {
            Bytes::copy_from_slice(order_signature)
        };
        let request = self
            .cloudverse()
            .matchOrder(
                convert::order(order),
                signature,
                convert::bid(&bid.bid),
                Bytes::copy_from_slice(&bid.signature.0),
            )
            .into_transaction_request();
        self.send(request).await.map_err(self.about_token(order.token))
    }

    /// As [`ChainClient::match_order`], unless the order was matched already, by whoever and with whichever bid.
    ///
    /// # Errors
    /// As [`ChainClient::match_order`].
    pub async fn ensure_matched(
        &self,
        order: &Order,
        order_signature: &[u8],
        bid: &SignedBid,
    ) -> Result<Ensured, ChainError> {
        let job = order.job_id(self.domain());
        if self.job(job).await?.state != JobState::None {
            return Ok(Ensured::Already);
        }
        let sent = self.match_order(order, order_signature, bid).await;
        self.unless_it_happened(job, sent, |state| state != JobState::None)
            .await
    }

    /// Makes an order that was not matched worthless. By payer or budget key.
    ///
    /// # Errors
    /// [`ChainError::Reverted`]: `JobMarket_StateIs` once it was matched.
    pub async fn cancel_order(&self, order: &Order) -> Result<Sent, ChainError> {
        self.send(
            self.cloudverse()
                .cancelOrder(convert::order(order))
                .into_transaction_request(),
        )
        .await
    }

    /// Pays a voucher's durable value that was not paid yet. By anyone.
    ///
    /// # Errors
    /// [`ChainError::Reverted`]: `JobMarket_ValueBelowCollected`, `JobMarket_TermsMismatch`, …
    pub async fn collect(
        &self,
        terms: &Terms,
        progress: &Progress,
        voucher: &SignedVoucher,
    ) -> Result<Sent, ChainError> {
        let (voucher, operator, signer) = convert::signed_voucher(Some(voucher), terms, self.account());
        let request = self
            .cloudverse()
            .collect(
                convert::terms(terms)?,
                convert::progress(progress),
                voucher,
                operator,
                signer,
            )
            .into_transaction_request();
        self.send(request).await
    }

    /// Adds escrow and time to a running attempt. By anyone who has both signatures; the payer's may be of any ERC-1271 form.
    ///
    /// # Errors
    /// [`ChainError::Reverted`]: `JobMarket_ExtensionUsed`, `CloudWallet_CreditsTooLow`, …
    pub async fn extend(
        &self,
        terms: &Terms,
        progress: &Progress,
        extend: &Extend,
        payer_signature: &[u8],
        operator_signature: Signature,
    ) -> Result<Sent, ChainError> {
        let request = self
            .cloudverse()
            .extend(
                convert::terms(terms)?,
                convert::progress(progress),
                convert::extend(extend),
                Bytes::copy_from_slice(payer_signature),
                convert::signature(operator_signature, terms.operator, self.account()),
            )
            .into_transaction_request();
        self.send(request).await
    }

    /// Closes an attempt by a result both sides signed: pays and refunds. By anyone.
    ///
    /// # Errors
    /// [`ChainError::Reverted`]: `JobMarket_StateIs` when it is closed, `JobMarket_SignatureInvalid`, `JobMarket_UsageAboveLimit`, …
    pub async fn settle(
        &self,
        terms: &Terms,
        progress: &Progress,
        approved: &ApprovedResult,
    ) -> Result<Sent, ChainError> {
        let call = self.settle_call(terms, progress, approved)?;
        let request = self.cloudverse().call_builder(&call).into_transaction_request();
        self.send(request).await
    }

    /// As [`ChainClient::settle`], unless the job is closed already.
    ///
    /// # Errors
    /// As [`ChainClient::settle`].
    pub async fn ensure_settled(
        &self,
        terms: &Terms,
        progress: &Progress,
        approved: &ApprovedResult,
    ) -> Result<Ensured, ChainError> {
        let job = approved.result.job_id;
        if self.job(job).await?.state.is_closed() {
            return Ok(Ensured::Already);
        }
        let sent = self.settle(terms, progress, approved).await;
        self.unless_it_happened(job, sent, JobState::is_closed).await
    }

    /// Closes an attempt by the node alone: pays its newest voucher. By operator or owner. The result's totals are the voucher's, or 0.
    ///
    /// # Errors
    /// [`ChainError::Reverted`]: `JobMarket_TotalsDiffer`, `JobMarket_NotAllowed`, …
    pub async fn submit(
        &self,
        terms: &Terms,
        progress: &Progress,
        result: &JobResult,
        voucher: Option<&SignedVoucher>,
    ) -> Result<Sent, ChainError> {
        let (voucher, operator, signer) = convert::signed_voucher(voucher, terms, self.account());
        let request = self
            .cloudverse()
            .submit(
                convert::terms(terms)?,
                convert::progress(progress),
                convert::result(result),
                voucher,
                operator,
                signer,
            )
            .into_transaction_request();
        self.send(request).await
    }

    /// V2: settles a submitted result that nobody challenged in 24 hours. By anyone.
    ///
    /// # Errors
    /// [`ChainError::Reverted`]: `JobMarket_DeadlineNotReached`.
    pub async fn finalize(&self, terms: &Terms, progress: &Progress, result: &JobResult) -> Result<Sent, ChainError> {
        let request = self
            .cloudverse()
            .finalize(
                convert::terms(terms)?,
                convert::progress(progress),
                convert::result(result),
            )
            .into_transaction_request();
        self.send(request).await
    }

    /// Says the node failed, and declares the newest voucher. Without one only once READY is overdue. By payer or signer.
    ///
    /// # Errors
    /// [`ChainError::Reverted`]: `JobMarket_DeadlineNotReached`, `JobMarket_ValueBelowCollected`, …
    pub async fn report_fault(
        &self,
        job: JobId,
        terms: &Terms,
        progress: &Progress,
        voucher: Option<&SignedVoucher>,
    ) -> Result<Sent, ChainError> {
        let (voucher, operator, signer) = convert::signed_voucher(voucher, terms, self.account());
        let request = self
            .cloudverse()
            .reportFault(
                job.0,
                convert::terms(terms)?,
                convert::progress(progress),
                voucher,
                operator,
                signer,
            )
            .into_transaction_request();
        self.send(request).await
    }

    /// Shows a voucher newer than the declared one. By anyone.
    ///
    /// # Errors
    /// [`ChainError::Reverted`]: `JobMarket_VoucherNotNewer`, `JobMarket_NotTheDeclaredVoucher`, …
    pub async fn answer_fault(
        &self,
        job: JobId,
        terms: &Terms,
        progress: &Progress,
        declared: Option<&Voucher>,
        newer: &SignedVoucher,
    ) -> Result<Sent, ChainError> {
        let (voucher, operator, signer) = convert::signed_voucher(Some(newer), terms, self.account());
        let request = self
            .cloudverse()
            .answerFault(
                job.0,
                convert::terms(terms)?,
                convert::progress(progress),
                convert::voucher_or_none(declared),
                voucher,
                operator,
                signer,
            )
            .into_transaction_request();
        self.send(request).await
    }

    /// The node answers "it runs, the signer is silent" or "not my fault". By operator or owner.
    ///
    /// # Errors
    /// [`ChainError::Reverted`]: `JobMarket_DeadlinePassed`, `JobMarket_NotTheDeclaredVoucher`, …
    pub async fn contest(
        &self,
        job: JobId,
        terms: &Terms,
        progress: &Progress,
        declared: Option<&Voucher>,
        newest: Option<&SignedVoucher>,
    ) -> Result<Sent, ChainError> {
        let (voucher, operator, signer) = convert::signed_voucher(newest, terms, self.account());
        let request = self
            .cloudverse()
            .contest(
                job.0,
                convert::terms(terms)?,
                convert::progress(progress),
                convert::voucher_or_none(declared),
                voucher,
                operator,
                signer,
            )
            .into_transaction_request();
        self.send(request).await
    }

    /// Ends a report nobody answered in time by the refund table. By anyone.
    ///
    /// # Errors
    /// [`ChainError::Reverted`]: `JobMarket_DeadlineNotReached`, `JobMarket_StateIs`, …
    pub async fn resolve_fault(
        &self,
        job: JobId,
        terms: &Terms,
        progress: &Progress,
        declared: Option<&Voucher>,
    ) -> Result<Sent, ChainError> {
        let request = self
            .cloudverse()
            .resolveFault(
                job.0,
                convert::terms(terms)?,
                convert::progress(progress),
                convert::voucher_or_none(declared),
            )
            .into_transaction_request();
        self.send(request).await
    }

    /// Gives an interrupted job to another node. By payer or signer; by anyone when claimable.
    ///
    /// # Errors
    /// [`ChainError::Reverted`]: `JobMarket_OwnerHadAttempt`, `JobMarket_DeadlinePassed`, …
    pub async fn rematch(
        &self,
        order: &Order,
        terms: &Terms,
        progress: &Progress,
        bid: &SignedBid,
    ) -> Result<Sent, ChainError> {
        let request = self
            .cloudverse()
            .rematch(
                convert::order(order),
                convert::terms(terms)?,
                convert::progress(progress),
                convert::bid(&bid.bid),
                Bytes::copy_from_slice(&bid.signature.0),
            )
            .into_transaction_request();
        self.send(request).await
    }

    /// Refunds what is left of an interrupted job. By payer or signer at once, by anyone after an hour.
    ///
    /// # Errors
    /// [`ChainError::Reverted`]: `JobMarket_StateIs`, `JobMarket_DeadlineNotReached`.
    pub async fn close(&self, job: JobId, terms: &Terms, progress: &Progress) -> Result<Sent, ChainError> {
        let request = self
            .cloudverse()
            .close(job.0, convert::terms(terms)?, convert::progress(progress))
            .into_transaction_request();
        self.send(request).await
    }

    /// Ends an attempt whose last deadline passed: pays the voucher shown, refunds the rest. By anyone.
    ///
    /// # Errors
    /// [`ChainError::Reverted`]: `JobMarket_DeadlineNotReached`.
    pub async fn expire(
        &self,
        job: JobId,
        terms: &Terms,
        progress: &Progress,
        voucher: Option<&SignedVoucher>,
    ) -> Result<Sent, ChainError> {
        let (voucher, operator, signer) = convert::signed_voucher(voucher, terms, self.account());
        let request = self
            .cloudverse()
            .expire(
                job.0,
                convert::terms(terms)?,
                convert::progress(progress),
                voucher,
                operator,
                signer,
            )
            .into_transaction_request();
        self.send(request).await
    }

    /// A refused transaction is no failure when somebody else's brought the job where it should be meanwhile.
    async fn unless_it_happened(
        &self,
        job: JobId,
        sent: Result<Sent, ChainError>,
        is_there: impl Fn(JobState) -> bool,
    ) -> Result<Ensured, ChainError> {
        match sent {
            Ok(sent) => Ok(Ensured::Sent(sent)),
            Err(error @ ChainError::Reverted(_)) if is_there(self.job(job).await?.state) => {
                tracing::debug!(%job, %error, "somebody else was faster");
                Ok(Ensured::Already)
            }
            Err(error) => Err(error),
        }
    }
}
