//! OPEN for nodes in proportion to what they settled (`Incentives`): reporting a week's jobs, and its payment.

use std::collections::BTreeSet;

use alloy::primitives::U256;
use alloy::providers::Provider as _;
use alloy::rpc::types::{Filter, Log};
use alloy::sol_types::{SolEvent as _, SolValue as _};
use opengpu_core::Address;
use opengpu_core::ids::{JobId, NodeId};
use opengpu_core::incentive::{Share, part_rounded_down};
use opengpu_core::job::JobState;
use opengpu_core::money::Amount;
use opengpu_core::stake::WEEK_SECONDS;

use super::Sent;
use crate::bindings::{Cloudverse, Incentives};
use crate::client::ChainClient;
use crate::convert::{self, malformed};
use crate::error::ChainError;
use crate::record::JobRecord;

/// A job that was reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReportedJob {
    /// The job.
    pub job: JobId,
    /// The week of its settlement.
    pub week: u64,
    /// Whom the week pays for it.
    pub payee: Address,
}

/// What a payee of a node has coming for a week.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IncentiveShare {
    /// The week.
    pub week: u64,
    /// Who is paid.
    pub payee: Address,
    /// What was reported and not paid yet.
    pub share: Share,
    /// What was reported of all nodes, millionths of a USD.
    pub total_usd_micros: u128,
    /// What all nodes get for the week, base units of OPEN.
    pub rate: Amount,
}

impl IncentiveShare {
    /// What it comes to when nothing more is reported, base units of OPEN.
    #[must_use]
    pub fn amount(&self) -> Amount {
        part_rounded_down(self.rate, self.share, self.total_usd_micros)
    }
}

impl ChainClient {
    fn incentives(&self) -> Result<Incentives::IncentivesInstance<alloy::providers::DynProvider>, ChainError> {
        let address = self.network().contracts.incentives;
        let address = address.ok_or_else(|| self.not_in_network("Incentives"))?;
        Ok(Incentives::new(address, self.provider().clone()))
    }

    /// What all nodes together get for a week's jobs, base units of OPEN; 0 while it is off.
    ///
    /// # Errors
    /// [`ChainError::NotInNetwork`], [`ChainError::Unreachable`].
    pub async fn incentive_rate(&self, week: u64) -> Result<Amount, ChainError> {
        let rate = self.incentives()?.rateOf(U256::from(week)).call().await;
        rate.map(convert::amount).map_err(|error| self.call_error(error))
    }

    /// Sets what all nodes together get a week, from the next week on; 0 turns it off. By governance.
    ///
    /// # Errors
    /// [`ChainError::Reverted`]: `Incentives_NotAllowed`, `Incentives_RateAboveCap`.
    pub async fn set_incentive_rate(&self, rate: Amount) -> Result<Sent, ChainError> {
        self.send(self.incentives()?.setRate(rate.0).into_transaction_request())
            .await
    }

    /// The jobs of a node that were reported so far.
    ///
    /// # Errors
    /// As [`ChainClient::job_record`].
    pub async fn reported_jobs(&self, node: NodeId) -> Result<Vec<ReportedJob>, ChainError> {
        let filter = Filter::new()
            .address(*self.incentives()?.address())
            .event_signature(Incentives::Reported::SIGNATURE_HASH)
            .topic3(node.0);
        let logs = self.logs_since_deployment(filter).await?;
        let reported = logs.iter().map(|log| {
            let event = Incentives::Reported::decode_log(&log.inner).map_err(malformed)?;
            Ok(ReportedJob {
                job: JobId(event.jobId),
                week: convert::small(event.week),
                payee: event.payee,
            })
        });
        reported.collect()
    }

    /// The closed jobs of a node whose settlement is in week `since` or later and which are not reported.
    ///
    /// # Errors
    /// As [`ChainClient::job_record`].
    pub async fn unreported_jobs(&self, node: NodeId, since: u64) -> Result<Vec<JobRecord>, ChainError> {
        let reported = self.reported_jobs(node).await?;
        let mut jobs = self.ended_jobs(node, since).await?;
        for known in &reported {
            jobs.remove(&known.job);
        }
        let mut found = Vec::new();
        for job in jobs {
            // The job may have gone on on another node.
            if let Some((record, _)) = self.job_record(job).await?
                && record.state == JobState::Settled
                && record.terms.node == node
                && record.entered_at / WEEK_SECONDS >= since
            {
                found.push(record);
            }
        }
        Ok(found)
    }

    /// The jobs with an attempt on the node that ended. Those settled before week `since` are left out; an interrupted one may have been
    /// closed at any later time.
    async fn ended_jobs(&self, node: NodeId, since: u64) -> Result<BTreeSet<JobId>, ChainError> {
        let ends = vec![
            Cloudverse::Settled::SIGNATURE_HASH,
            Cloudverse::Interrupted::SIGNATURE_HASH,
        ];
        let filter = Filter::new()
            .address(self.network().contracts.cloudverse)
            .event_signature(ends)
            .topic2(node.0);
        let mut jobs = BTreeSet::new();
        let mut known = None;
        for log in self.logs_since_deployment(filter).await? {
            let is_settled = log.topic0() == Some(&Cloudverse::Settled::SIGNATURE_HASH);
            let is_early = self.timestamp_of(&log, &mut known).await? / WEEK_SECONDS < since;
            if let (Some(job), false) = (log.topics().get(1), is_settled && is_early) {
                jobs.insert(JobId(*job));
            }
        }
        Ok(jobs)
    }

    /// What a payee of a node has coming for a week: nothing once it was paid.
    ///
    /// # Errors
    /// [`ChainError::NotInNetwork`], [`ChainError::Unreachable`].
    pub async fn incentive_share(&self, week: u64, node: NodeId, payee: Address) -> Result<IncentiveShare, ChainError> {
        let incentives = self.incentives()?;
        let number = U256::from(week);
        let reported = incentives.reportedOf(number, node.0, payee).call().await;
        let reported = reported.map_err(|error| self.call_error(error))?;
        let total = incentives.totalOf(number).call().await;
        let total = total.map_err(|error| self.call_error(error))?;
        Ok(IncentiveShare {
            week,
            payee,
            share: Share {
                usd_micros: reported.usdMicros,
                cap: Amount(reported.cap),
            },
            total_usd_micros: convert::amount(total).0,
            rate: self.incentive_rate(week).await?,
        })
    }

    /// Counts a closed job for its node's payee. By anyone.
    ///
    /// # Errors
    /// [`ChainError::Reverted`]: `Incentives_AlreadyReported`, `Incentives_Off`, `Incentives_ReportingOver`, …
    pub async fn report_job(&self, record: &JobRecord) -> Result<Sent, ChainError> {
        let incentives = self.incentives()?;
        // The two contracts' bindings have the same structs under different names.
        let terms = Incentives::Terms::abi_decode(&convert::terms(&record.terms)?.abi_encode()).map_err(malformed)?;
        let progress = convert::progress(&record.progress).abi_encode();
        let progress = Incentives::Progress::abi_decode(&progress).map_err(malformed)?;
        let call = incentives.report(record.job.0, terms, progress);
        self.send(call.into_transaction_request()).await
    }

    /// Pays a payee's part of a week. By anyone; what was paid is in the answer.
    ///
    /// # Errors
    /// [`ChainError::Reverted`]: `Incentives_ReportingOpen`, `Incentives_NothingToPay`, `Incentives_BalanceTooLow`.
    pub async fn pay_incentive(&self, week: u64, node: NodeId, payee: Address) -> Result<(Sent, Amount), ChainError> {
        let incentives = self.incentives()?;
        let call = incentives.pay(U256::from(week), node.0, payee);
        let (sent, receipt) = self.send_for_receipt(call.into_transaction_request()).await?;
        let paid = receipt
            .logs()
            .iter()
            .find_map(|log| Incentives::IncentivePaid::decode_log(&log.inner).ok())
            .ok_or_else(|| malformed("a payment without its event"))?;
        Ok((sent, convert::amount(paid.amount)))
    }

    async fn logs_since_deployment(&self, filter: Filter) -> Result<Vec<Log>, ChainError> {
        let filter = filter.from_block(self.network().deployed_at_block);
        let logs = self.provider().get_logs(&filter).await;
        logs.map_err(|error| self.transport(error))
    }
}
