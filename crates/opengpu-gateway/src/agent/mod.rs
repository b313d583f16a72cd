//! The payer agent: co-signs for orders that name it, so that a payer may close its laptop, and acts on silent nodes.
//!
//! [`policy`] and [`watch`] decide, [`journal`] remembers, [`evidence`] looks into the store; here the answers are carried
//! out. The agent's key never leaves this module but for the chain client that sends its transactions.

mod evidence;
pub(crate) mod journal;
pub(crate) mod policy;
pub(crate) mod watch;
mod watching;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use opengpu_core::ids::JobId;
use opengpu_core::job::Terms;
use opengpu_core::order::Signable as _;
use opengpu_core::sign::SecretKey;
use opengpu_core::wire::{
    ApprovedResult, JobEventBody, Refusal, ResultProposal, SignedOrder, SignedVoucher, VoucherProposal,
};
use opengpu_core::{Address, B256};
use tokio::sync::Mutex;

use crate::app::{App, MatchedJob};
use crate::db::DbError;
use crate::problem::ApiError;
use journal::{AttemptName, Journal, Record};
use policy::{Answer, Case, No};
pub(crate) use watching::keep_watch;

/// The agent's stars: it rates nobody, that is for people.
const NO_RATING: u8 = 0;

/// Why the agent could not answer. Nothing was signed; the node asks again.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AgentError {
    /// The database failed.
    #[error(transparent)]
    Db(#[from] DbError),
    /// The journal could not be read or written.
    #[error("the agent's journal: {0}")]
    Journal(#[from] io::Error),
    /// The job or its order is not known here.
    #[error("{0}")]
    Unknown(String),
}

impl From<ApiError> for AgentError {
    fn from(error: ApiError) -> Self {
        Self::Unknown(error.detail)
    }
}

/// The agent's key and memory.
pub(crate) struct Agent {
    key: SecretKey,
    /// Held from reading a record until what was signed is in it.
    journal: Arc<Mutex<Journal>>,
}

impl Agent {
    pub(crate) fn new(key: SecretKey, dir: PathBuf) -> io::Result<Self> {
        Ok(Self {
            key,
            journal: Arc::new(Mutex::new(Journal::open(dir)?)),
        })
    }

    /// The account to name as an order's signer.
    pub(crate) fn address(&self) -> Address {
        self.key.address()
    }

    /// What was signed for an attempt.
    pub(crate) async fn record(&self, name: AttemptName) -> io::Result<Record> {
        let journal = Arc::clone(&self.journal).lock_owned().await;
        blocking(move || journal.load(name)).await
    }

    /// Decides on a record and stores what `decide` made of it before its answer leaves.
    async fn sign<T: Send + 'static>(
        &self,
        name: AttemptName,
        decide: impl FnOnce(&mut Record, &SecretKey) -> T + Send,
    ) -> io::Result<T> {
        let journal = Arc::clone(&self.journal).lock_owned().await;
        let (journal, before) = blocking(move || {
            let before = journal.load(name)?;
            Ok((journal, before))
        })
        .await?;
        let mut record = before.clone();
        let answer = decide(&mut record, &self.key);
        if record != before {
            blocking(move || journal.save(name, &record)).await?;
        }
        Ok(answer)
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

/// What the agent needs to know of a job to decide.
struct Brief {
    found: MatchedJob,
    order: SignedOrder,
    is_stop_wished: bool,
    now_millis: u64,
}

impl Brief {
    fn name(&self) -> AttemptName {
        name_of(self.found.job.job_id, &self.found.terms)
    }

    fn case<'a>(&'a self, app: &App) -> Case<'a> {
        Case {
            domain: app.domain,
            agent: app.agent.address(),
            job: &self.found.job,
            terms: &self.found.terms,
            interval_seconds: self.order.spec.voucher_interval_seconds,
            is_stop_wished: self.is_stop_wished,
            now_millis: self.now_millis,
        }
    }
}

pub(crate) fn name_of(job: JobId, terms: &Terms) -> AttemptName {
    AttemptName {
        job,
        attempt: terms.attempt(),
        operator: terms.operator,
    }
}

impl App {
    /// Lets the agent look at a voucher, in the background. Its operator signature has been checked.
    pub(crate) fn consider_voucher(self: &Arc<Self>, id: JobId, proposal: VoucherProposal) {
        let app = Arc::clone(self);
        self.tasks.spawn(async move {
            if let Err(error) = app.answer_voucher(id, &proposal).await {
                tracing::error!(job = %id, %error, "the agent could not answer a voucher");
            }
        });
    }

    /// Lets the agent look at a result, in the background. Its operator signature has been checked.
    pub(crate) fn consider_result(self: &Arc<Self>, id: JobId, proposal: ResultProposal) {
        let app = Arc::clone(self);
        self.tasks.spawn(async move {
            if let Err(error) = app.answer_result(id, &proposal).await {
                tracing::error!(job = %id, %error, "the agent could not answer a result");
            }
        });
    }

    /// Lets the agent look again at the result a node proposed, as after an upload.
    pub(crate) fn reconsider_result(self: &Arc<Self>, id: JobId) {
        let app = Arc::clone(self);
        self.tasks.spawn(async move {
            match app.db.newest(id, "result-proposed").await {
                Ok(Some(JobEventBody::ResultProposed(proposal))) => app.consider_result(id, *proposal),
                Ok(_) => {}
                Err(error) => tracing::error!(job = %id, %error, "cannot look for a proposed result"),
            }
        });
    }

    async fn brief(&self, id: JobId) -> Result<Brief, AgentError> {
        Ok(Brief {
            found: self.matched(id).await?,
            order: self.order(id).await?,
            is_stop_wished: self.db.newest(id, "stop").await?.is_some(),
            now_millis: self.clock.now_millis(),
        })
    }

    async fn answer_voucher(&self, id: JobId, proposal: &VoucherProposal) -> Result<(), AgentError> {
        let brief = self.brief(id).await?;
        let case = brief.case(self);
        let (voucher, previous) = (&proposal.voucher, proposal.previous.as_ref());
        let decide = |record: &mut Record, key: &SecretKey| {
            case.take_over(record, previous);
            let answer = case.on_voucher(record, voucher);
            if answer != Answer::Sign {
                return answer;
            }
            let signed = SignedVoucher {
                voucher: voucher.clone(),
                operator_signature: proposal.operator_signature,
                signer_signature: voucher.sign(case.domain, key),
            };
            case.note_voucher(record, signed.clone());
            Answer::Again(signed)
        };
        let answer = self.agent.sign(brief.name(), decide).await?;
        self.tell(id, answer, voucher.struct_hash(), JobEventBody::VoucherSigned)
            .await
    }

    async fn answer_result(&self, id: JobId, proposal: &ResultProposal) -> Result<(), AgentError> {
        let brief = self.brief(id).await?;
        let case = brief.case(self);
        let (result, previous) = (&proposal.result, proposal.previous.as_ref());
        // Looking at the bytes may take long and needs no lock, so what is refused anyway is refused first.
        let mut seen = self.agent.record(brief.name()).await?;
        case.take_over(&mut seen, previous);
        let mut answer = case.on_result(&seen, result);
        if answer == Answer::Sign {
            if let Err(no) = self.examine(&brief, proposal).await {
                return self
                    .tell(
                        id,
                        Answer::Refuse(no),
                        result.struct_hash(),
                        JobEventBody::ResultApproved,
                    )
                    .await;
            }
            let decide = |record: &mut Record, key: &SecretKey| {
                case.take_over(record, previous);
                let answer = case.on_result(record, result);
                if answer != Answer::Sign {
                    return answer;
                }
                let approve = result.approve(case.domain, NO_RATING);
                let approved = ApprovedResult {
                    result: result.clone(),
                    operator_signature: proposal.operator_signature,
                    signer_signature: approve.sign(case.domain, key),
                    approve,
                };
                record.approved = Some(approved.clone());
                Answer::Again(approved)
            };
            answer = self.agent.sign(brief.name(), decide).await?;
        }
        self.tell(id, answer, result.struct_hash(), JobEventBody::ResultApproved)
            .await
    }

    /// Puts the agent's answer into the job's stream.
    async fn tell<T>(
        &self,
        id: JobId,
        answer: Answer<T>,
        refused: B256,
        signed: impl FnOnce(T) -> JobEventBody,
    ) -> Result<(), AgentError> {
        let body = match answer {
            Answer::Again(message) => signed(message),
            Answer::Refuse(No { reason, is_retryable }) => {
                tracing::info!(job = %id, reason, is_retryable, "the agent refused");
                JobEventBody::Refused(Refusal {
                    refused,
                    reason,
                    is_retryable,
                })
            }
            Answer::NotOurs | Answer::Sign => return Ok(()),
        };
        self.publish(id, &body).await?;
        Ok(())
    }
}
