//! From match to settlement: listens, tells, repairs what can be repaired, and lets the user leave or stop the job.

use opengpu_core::job::JobState;
use opengpu_core::order::{JobResult, Signable as _};
use opengpu_core::wire::{ApprovedResult, JobEventBody, ResultProposal, SignedStop, SignedVoucher, Step};

use super::cosign::Cosigner;
use super::record::JobRecord;
use super::story::{Happening, Story};
use super::watch::{News, Watch};
use crate::failure::{Failure, Outcome};
use crate::interrupts::{Interrupt, Interrupts};
use crate::output::{ask, short};
use crate::session::{Session, chain_failure};

/// How following ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// The chain has closed the job.
    Closed,
    /// The user left; the job goes on.
    Detached,
}

/// What was learnt on the way.
#[derive(Debug, Default)]
pub(crate) struct Learnt {
    /// The proposal whose result was approved, or the last one seen.
    pub(crate) proposal: Option<ResultProposal>,
    /// The result both have signed.
    pub(crate) approved: Option<ApprovedResult>,
    /// Vouchers both have signed.
    pub(crate) vouchers: u32,
    /// CPU time the node reported last.
    pub(crate) cpu_millis: u64,
    /// Exit code and whether memory ran out, from the node's report.
    pub(crate) exit: Option<(i32, bool)>,
    /// Why the attempt could not go on, and what the node suggests.
    pub(crate) failed: Option<(String, String)>,
    /// Whether this user asked the job to stop.
    pub(crate) is_stop_asked: bool,
    /// Bytes of the log told so far.
    pub(crate) log_bytes: u64,
}

impl Learnt {
    /// The result, once both have signed it, else as the node proposes it.
    pub(crate) fn result(&self) -> Option<&JobResult> {
        let approved = self.approved.as_ref().map(|approved| &approved.result);
        approved.or(self.proposal.as_ref().map(|proposal| &proposal.result))
    }

    /// Takes in a step the node reported.
    pub(crate) fn note(&mut self, step: &Step) {
        match step {
            Step::Usage { cpu_millis, .. } => self.cpu_millis = *cpu_millis,
            Step::Exited {
                exit_code,
                is_out_of_memory,
            } => self.exit = Some((*exit_code, *is_out_of_memory)),
            Step::Failed { reason, hint } => self.failed = Some((reason.clone(), hint.clone())),
            _ => {}
        }
    }
}

/// One job being followed.
pub(crate) struct Follower<'a> {
    /// Where.
    pub(crate) session: &'a Session,
    /// Which.
    pub(crate) record: &'a JobRecord,
    /// Who listens.
    pub(crate) story: &'a mut dyn Story,
    /// Signs usage here when the order names this wallet as signer.
    pub(crate) cosigner: Option<Cosigner>,
    /// Whether Ctrl-C asks what to do; if not, it leaves at once.
    pub(crate) may_ask: bool,
    /// What was learnt so far.
    pub(crate) learnt: Learnt,
}

impl Follower<'_> {
    /// Follows until the job is closed or the user leaves.
    pub(crate) async fn follow(&mut self, interrupts: &mut Interrupts) -> Outcome<End> {
        let mut watch = Watch::start(self.session, self.record.job_id, &self.record.order);
        loop {
            tokio::select! {
                news = watch.next() => match news {
                    Some(News::State(state)) => {
                        if self.state(state).await? {
                            return Ok(End::Closed);
                        }
                    }
                    Some(news) => self.hear(news).await?,
                    None => return Err(Failure::error("stopped following the job").hint(detached_text(self.record))),
                },
                interrupt = interrupts.next() => {
                    if self.interrupted(interrupt, interrupts).await? {
                        return Ok(End::Detached);
                    }
                }
            }
        }
    }

    async fn hear(&mut self, news: News) -> Outcome {
        match news {
            News::Event(body) => return self.event(*body).await,
            News::Log(bytes) => {
                self.learnt.log_bytes += bytes.len() as u64;
                self.story.tell(&Happening::Log(&bytes));
            }
            News::Note(text) => self.story.tell(&Happening::Note(&text)),
            News::State(_) => {}
        }
        Ok(())
    }

    async fn event(&mut self, body: JobEventBody) -> Outcome {
        match body {
            JobEventBody::Progress(progress) => {
                self.learnt.note(&progress.step);
                self.story.tell(&Happening::Step(&progress.step));
            }
            JobEventBody::VoucherSigned(signed) if self.is_by_both(&signed) => {
                self.learnt.vouchers += 1;
                self.story.tell(&Happening::VoucherSigned(&signed));
            }
            JobEventBody::VoucherProposed(proposal) => {
                if let Some(cosigner) = &mut self.cosigner {
                    cosigner
                        .voucher(self.session, self.record, &proposal, self.story)
                        .await?;
                }
            }
            JobEventBody::ResultProposed(proposal) => {
                if let Some(cosigner) = &mut self.cosigner {
                    cosigner
                        .result(self.session, self.record, &proposal, self.story)
                        .await?;
                }
                self.learnt.proposal = Some(*proposal);
            }
            JobEventBody::ResultApproved(approved) => {
                self.story.tell(&Happening::Approved);
                self.learnt.approved = Some(approved);
            }
            JobEventBody::Refused(refusal) => self.story.tell(&Happening::Refused(&refusal.reason)),
            JobEventBody::StopRequested(stop) => {
                if !self.is_our_wish(&stop).await? {
                    return Ok(());
                }
                if let Some(cosigner) = &mut self.cosigner {
                    cosigner.is_stop_wished = true;
                }
                self.story.tell(&Happening::Note("stop requested"));
            }
            // The chain is asked itself; what claims a signature it does not have is nobody's word.
            JobEventBody::Bid(_) | JobEventBody::Chain { .. } | JobEventBody::VoucherSigned(_) => {}
        }
        Ok(())
    }

    /// Whether a voucher has the signatures a gateway says it has.
    fn is_by_both(&self, signed: &SignedVoucher) -> bool {
        let domain = self.session.domain();
        let operator = self.record.bid.bid.signed_by(domain, &self.record.bid.signature);
        operator.is_ok_and(|operator| signed.is_by(domain, operator, self.record.order.order.signer))
    }

    /// Whether payer, signer or the key of the order's budget wants the job to end.
    async fn is_our_wish(&self, stop: &SignedStop) -> Outcome<bool> {
        let digest = SignedStop::digest(self.session.domain(), self.record.job_id);
        let order = &self.record.order.order;
        if stop.signature.is_by(order.payer, digest) || stop.signature.is_by(order.signer, digest) {
            return Ok(true);
        }
        match self.session.chain.budget_key(order.budget, order.payer).await {
            Ok(key) => Ok(key.is_some_and(|key| stop.signature.is_by(key, digest))),
            // A wish nobody can check now is none; the node and the gateway check it themselves.
            Err(error) if error.is_retryable() => Ok(false),
            Err(error) => Err(chain_failure(error)),
        }
    }

    /// Acts on the chain's word; says whether the job is closed.
    async fn state(&mut self, state: JobState) -> Outcome<bool> {
        match state {
            JobState::Settled | JobState::Cancelled => return Ok(true),
            JobState::None => self.match_again().await?,
            JobState::Reported => self
                .story
                .tell(&Happening::Note("the node was reported as silent; it may still answer")),
            JobState::Interrupted => self
                .story
                .tell(&Happening::Note("the attempt was interrupted; what is left comes back")),
            JobState::Matched | JobState::Submitted | JobState::Disputed => {}
        }
        Ok(false)
    }

    /// The chain came back without our match (a devnet from an older state, a reorg): sends the same match again.
    async fn match_again(&mut self) -> Outcome {
        self.story
            .tell(&Happening::Note("the chain lost the match; sending it again"));
        self.session.ensure_matched(&self.record.order, &self.record.bid).await
    }

    /// Ctrl-C: detach or stop? Says whether to leave.
    async fn interrupted(&mut self, interrupt: Interrupt, interrupts: &mut Interrupts) -> Outcome<bool> {
        if !self.may_ask || self.learnt.is_stop_asked || interrupt == Interrupt::Terminate {
            return Ok(true);
        }
        let question = if self.cosigner.is_some() {
            "\nthe job pauses without this process; (d)etach, (s)top the job, or go on? [d/s/…]"
        } else {
            "\n(d)etach and let the job go on, (s)top it, or go on following? [d/s/…]"
        };
        let answer = tokio::select! {
            answer = ask(question) => answer,
            _ = interrupts.next() => None,
        };
        match answer.as_deref() {
            Some("s" | "stop") => self.stop().await.map(|()| false),
            None | Some("d" | "detach") => Ok(true),
            Some(_) => Ok(false),
        }
    }

    async fn stop(&mut self) -> Outcome {
        let stop = SignedStop::sign(self.session.domain(), self.record.job_id, &self.session.key);
        self.session.gateway.post_stop(&stop).await?;
        self.learnt.is_stop_asked = true;
        Ok(())
    }
}

/// What a user who leaves is told.
pub(crate) fn detached_text(record: &JobRecord) -> String {
    let id = short(record.job_id);
    format!("detached: job {id} goes on; `opengpu logs -f {id}` follows it, `opengpu stop {id}` ends it")
}
