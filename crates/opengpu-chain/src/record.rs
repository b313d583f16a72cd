//! A job as its events tell it: the terms and progress that every later call has to pass back.

use opengpu_core::ids::JobId;
use opengpu_core::job::{Ending, JobHash, JobState, Progress, Terms, TermsError};
use opengpu_core::money::Amount;
use opengpu_core::order::{JobResult, Voucher};

use crate::client::ChainClient;
use crate::error::ChainError;
use crate::events::{ChainEvent, Envelope};

/// All that is known of a job from its events so far. Equal event histories give equal records, so a record is rebuilt after a rollback by
/// applying what is left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobRecord {
    /// The job.
    pub job: JobId,
    /// Where it stands.
    pub state: JobState,
    /// Unix second at which the state was entered; windows count from it.
    pub entered_at: u64,
    /// The newest attempt's terms.
    pub terms: Terms,
    /// What changed since that attempt was matched.
    pub progress: Progress,
    /// The voucher a standing report declared.
    pub declared: Option<Voucher>,
    /// V2: the result that waits for challenges.
    pub submitted: Option<JobResult>,
    /// How the newest finished attempt ended; [`Ending::None`] while the first runs.
    pub ending: Ending,
    /// Base units paid out of the escrow so far, over all attempts and calls.
    pub paid: Amount,
    /// Base units given back to the payer.
    pub refunded: Amount,
}

impl JobRecord {
    /// The record a job starts with; `None` unless the event is its first match.
    #[must_use]
    pub fn start(envelope: &Envelope) -> Option<Self> {
        let ChainEvent::Matched { job, terms } = &envelope.event else {
            return None;
        };
        Some(Self {
            job: *job,
            state: JobState::Matched,
            entered_at: envelope.timestamp,
            terms: terms.clone(),
            progress: Progress::default(),
            declared: None,
            submitted: None,
            ending: Ending::None,
            paid: Amount::ZERO,
            refunded: Amount::ZERO,
        })
    }

    /// Takes the job's next event. Those of other jobs, and those that change no job, are ignored.
    pub fn apply(&mut self, envelope: &Envelope) {
        if envelope.event.job() != Some(self.job) {
            return;
        }
        match &envelope.event {
            ChainEvent::Rematched { terms, progress, .. } => {
                self.terms = terms.clone();
                self.declared = None;
                self.submitted = None;
                self.enter(JobState::Matched, progress, envelope);
            }
            ChainEvent::Extended { terms, .. } => self.terms = terms.clone(),
            ChainEvent::Collected {
                usage,
                value,
                node_part,
                stakers_part,
                treasury_part,
                ..
            } => {
                self.progress.value = *value;
                self.progress.billed_millis = usage.billed_millis;
                self.add_paid([*node_part, *stakers_part, *treasury_part]);
            }
            ChainEvent::FaultReported { declared, progress, .. } => {
                self.declared.clone_from(declared);
                self.enter(JobState::Reported, progress, envelope);
            }
            ChainEvent::FaultAnswered {
                is_over: true,
                progress,
                ..
            }
            | ChainEvent::FaultContested { progress, .. } => {
                self.declared = None;
                self.enter(JobState::Matched, progress, envelope);
            }
            ChainEvent::FaultAnswered { voucher, progress, .. } => {
                self.declared.clone_from(voucher);
                self.progress = progress.clone();
            }
            ChainEvent::ResultSubmitted { result, progress, .. } => {
                self.submitted = Some(result.clone());
                self.enter(JobState::Submitted, progress, envelope);
            }
            ChainEvent::Interrupted {
                settlement, progress, ..
            } => {
                self.ending = settlement.ending;
                self.add_paid([settlement.node_part, settlement.stakers_part, settlement.treasury_part]);
                self.enter(JobState::Interrupted, progress, envelope);
            }
            ChainEvent::Settled { settlement, .. } => {
                self.ending = settlement.ending;
                self.add_paid([settlement.node_part, settlement.stakers_part, settlement.treasury_part]);
                self.add_refunded(settlement.refunded);
                self.progress = Progress {
                    value: settlement.value,
                    billed_millis: settlement.usage.billed_millis,
                    earlier_owners: self.progress.earlier_owners,
                    ..Progress::default()
                };
                self.close(envelope);
            }
            ChainEvent::Closed { refunded, .. } => {
                self.add_refunded(*refunded);
                self.close(envelope);
            }
            _ => {}
        }
    }

    /// The hash the contract keeps of this record's terms and progress; a record that differs has missed something.
    ///
    /// # Errors
    /// [`TermsError`] for terms that cannot be on chain.
    pub fn hash(&self) -> Result<JobHash, TermsError> {
        self.terms.hash_with(&self.progress)
    }

    fn enter(&mut self, state: JobState, progress: &Progress, envelope: &Envelope) {
        self.state = state;
        self.progress = progress.clone();
        self.entered_at = envelope.timestamp;
    }

    fn close(&mut self, envelope: &Envelope) {
        self.state = JobState::Settled;
        self.entered_at = envelope.timestamp;
        self.declared = None;
    }

    fn add_paid(&mut self, parts: [Amount; 3]) {
        for part in parts {
            self.paid = Amount(self.paid.0.saturating_add(part.0));
        }
    }

    fn add_refunded(&mut self, refunded: Amount) {
        self.refunded = Amount(self.refunded.0.saturating_add(refunded.0));
    }
}

impl ChainClient {
    /// A job's events since the deployment, oldest first, and the record they add up to; `None` for a job that was never matched.
    ///
    /// # Errors
    /// [`ChainError::Unreachable`], [`ChainError::Refused`] when the endpoint caps the range of a log query.
    pub async fn job_record(&self, job: JobId) -> Result<Option<(JobRecord, Vec<Envelope>)>, ChainError> {
        let head = self.head().await?;
        let events = self
            .events_of(self.network().deployed_at_block, head.number, Some(job))
            .await?;
        let mut record: Option<JobRecord> = None;
        for envelope in &events {
            match &mut record {
                None => record = JobRecord::start(envelope),
                Some(record) => record.apply(envelope),
            }
        }
        Ok(record.map(|record| (record, events)))
    }
}
