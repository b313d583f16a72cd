//! Building a receipt from what both sides know, and checking one against it.

use alloy_primitives::Address;

use super::leaves::{differing_leaves, largest_exact_number};
use super::{
    Attempt, Given, Gpu, Input, Logs, Measurements, MissingReason, Output, Payment, RECEIPT_VERSION, Receipt,
    ReceiptError, UsageTotals,
};
use crate::ids::{CidText, JobId, Sha256Digest};
use crate::job::{Ending, Terms, Usage};
use crate::matching::Quote;
use crate::money::{Amount, Split, cost_rounded_up, split_in_steps};
use crate::order::{Domain, JobResult, Order, Outcome};
use crate::spec::JobSpec;

/// What both sides know of a job without each other's word: from the order, its spec and the chain.
#[derive(Clone, Copy, Debug)]
pub struct JobFacts<'a> {
    /// The network.
    pub domain: Domain,
    /// The order that became the job.
    pub order: &'a Order,
    /// What it ran.
    pub spec: &'a JobSpec,
    /// Symbol of the order's token, from the network's description.
    pub token_symbol: &'a str,
    /// Digits after its point.
    pub token_decimals: u8,
    /// Attempts before the last one, oldest first, each as [`JobFacts::attempt`] made it.
    pub earlier: &'a [Attempt],
    /// Terms of the last attempt, with its extensions.
    pub terms: &'a Terms,
    /// Cumulative values of the last attempt's `Collected` events, oldest first; mostly none.
    pub collected: &'a [Amount],
    /// The last attempt's node.
    pub node: &'a NodeFacts,
}

/// What the registry says of a node at the match.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NodeFacts {
    /// The ERC-721 owner.
    pub owner: Address,
    /// Its GPUs; empty: none.
    pub gpus: Vec<Gpu>,
}

/// How a job closed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Closing {
    /// With the node's result, which carries this receipt's digest.
    Result(ResultFacts),
    /// Without one: all there is comes from the chain's events.
    Events {
        /// How the last attempt ended.
        ending: Ending,
        /// What it was paid for.
        usage: Usage,
    },
}

/// What the node says of the last attempt.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ResultFacts {
    /// What is billed: the true time, which may be below the last voucher.
    pub usage: Usage,
    /// How it ended.
    pub outcome: Outcome,
    /// The program's exit code.
    pub exit_code: i32,
    /// UnixFS root of the output folder.
    pub output: CidText,
    /// The log.
    pub logs: Logs,
    /// Beside what is billed.
    pub measured: Measurements,
}

impl JobFacts<'_> {
    /// The last attempt as a receipt shows it, when it ended so (`None`: by the result that carries the receipt's digest).
    #[must_use]
    pub fn attempt(&self, ending: Option<Ending>, usage: Usage) -> Attempt {
        Attempt {
            attempt: self.terms.attempt(),
            node: self.terms.node,
            owner: self.node.owner,
            payee: self.terms.payee,
            operator: self.terms.operator,
            gpus: self.node.gpus.clone(),
            matched_at: self.terms.matched_at(),
            escrow: self.terms.escrow,
            price: self.terms.price(),
            shares: self.terms.rates.shares,
            ending,
            usage,
            collected: self.collected.to_vec(),
            split: Split::default(),
        }
        .with_split()
    }

    /// The job's id.
    #[must_use]
    pub fn job_id(&self) -> JobId {
        self.order.job_id(self.domain)
    }
}

impl Attempt {
    /// Gross value of its usage: never above its escrow, never below what was collected.
    #[must_use]
    pub fn value(&self) -> Amount {
        cost_rounded_up(self.price, self.usage.billed_millis, self.usage.egress_bytes)
            .unwrap_or(self.escrow)
            .min(self.escrow)
            .max(self.collected.last().copied().unwrap_or_default())
    }

    /// The attempt with its split computed from usage, prices and shares.
    pub(super) fn with_split(self) -> Self {
        let split = split_in_steps(&self.collected, self.value(), self.shares);
        Self { split, ..self }
    }
}

impl Receipt {
    /// Builds the receipt of a job that closed so. The same facts give the same bytes.
    ///
    /// # Errors
    /// [`ReceiptError::NumberTooLarge`] and [`ReceiptError::Overflow`] for usage and amounts no real job has.
    pub fn build(facts: &JobFacts<'_>, closing: &Closing) -> Result<Self, ReceiptError> {
        let (ending, usage) = match closing {
            Closing::Result(result) => (None, result.usage),
            Closing::Events { ending, usage } => (Some(*ending), *usage),
        };
        let mut attempts = facts.earlier.to_vec();
        attempts.push(facts.attempt(ending, usage));
        let result = match closing {
            Closing::Result(result) => Some(result),
            Closing::Events { .. } => None,
        };
        let receipt = Self {
            version: RECEIPT_VERSION,
            chain_id: facts.domain.chain_id,
            contract: facts.domain.contract,
            job_id: facts.job_id(),
            payer: facts.terms.payer,
            signer: facts.terms.signer,
            input: Input {
                spec_digest: facts.terms.spec_digest,
                image_digest: facts.spec.image.digest,
                data_cid: facts.spec.input.as_ref().map(|input| input.cid.clone()),
            },
            output: given(result.map(|result| Output {
                cid: result.output.clone(),
                exit_code: result.exit_code,
                outcome: result.outcome,
            })),
            logs: given(result.map(|result| result.logs.clone())),
            usage: totals(&attempts, result.map(|result| result.measured.clone()))?,
            payment: payment(facts, &attempts)?,
            quote: Quote::of(
                facts.terms.price(),
                facts.terms.limits.quoted_seconds,
                facts.order.max_cost,
            ),
            attempts,
        };
        match largest_exact_number(&receipt.to_value()?) {
            Ok(()) => Ok(receipt),
            Err((pointer, value)) => Err(ReceiptError::NumberTooLarge { pointer, value }),
        }
    }

    /// The JCS bytes whose digest is on chain.
    ///
    /// # Errors
    /// [`ReceiptError::NotCanonical`] when a value has no canonical form.
    pub fn canonical_json(&self) -> Result<Vec<u8>, ReceiptError> {
        serde_json_canonicalizer::to_vec(self).map_err(|error| ReceiptError::NotCanonical(error.to_string()))
    }

    /// sha2-256 of the JCS form.
    ///
    /// # Errors
    /// As [`Self::canonical_json`].
    pub fn digest(&self) -> Result<Sha256Digest, ReceiptError> {
        Ok(Sha256Digest::of(&self.canonical_json()?))
    }

    /// Reads a receipt that travels alone, which must be in JCS form (so that its bytes hash to its digest).
    ///
    /// # Errors
    /// [`ReceiptError::Malformed`] when it is no receipt or not in that form.
    pub fn from_canonical_json(text: &[u8]) -> Result<Self, ReceiptError> {
        let receipt: Self = serde_json::from_slice(text).map_err(|error| ReceiptError::Malformed(error.to_string()))?;
        if receipt.canonical_json()? != text {
            return Err(ReceiptError::Malformed("not in canonical form (RFC 8785)".to_owned()));
        }
        Ok(receipt)
    }

    /// Where the signatures are valid.
    #[must_use]
    pub const fn domain(&self) -> Domain {
        Domain {
            chain_id: self.chain_id,
            contract: self.contract,
        }
    }

    /// The attempt that closed the job.
    #[must_use]
    pub fn last_attempt(&self) -> Option<&Attempt> {
        self.attempts.last()
    }

    /// The result both sides sign for this receipt.
    ///
    /// # Errors
    /// [`ReceiptError::NoResult`] when the job closed without one.
    pub fn result(&self) -> Result<JobResult, ReceiptError> {
        let (attempt, output, measured) = self
            .last_attempt()
            .zip(self.output.as_ref())
            .zip(self.usage.measured.as_ref())
            .map(|((attempt, output), measured)| (attempt, output, measured))
            .ok_or(ReceiptError::NoResult)?;
        Ok(JobResult {
            job_id: self.job_id,
            attempt: attempt.attempt,
            billed_millis: attempt.usage.billed_millis,
            egress_bytes: attempt.usage.egress_bytes,
            ready_after_seconds: measured.ready_after_seconds,
            outcome: output.outcome,
            exit_code: output.exit_code,
            receipt_digest: self.digest()?,
        })
    }

    /// The signer's check before it approves: everything that order, spec, chain and `result` fix is in the receipt as
    /// they say. What only the node can know (output, log, measurements) is taken from the receipt; that its bytes are
    /// stored and hash to their CIDs is the caller's to check.
    ///
    /// # Errors
    /// [`ReceiptError::Inconsistent`] naming each leaf that differs; [`ReceiptError::NoResult`] when it carries none.
    pub fn consistent_with(&self, facts: &JobFacts<'_>, result: &JobResult) -> Result<(), ReceiptError> {
        if self.digest()? != result.receipt_digest {
            return Err(ReceiptError::Inconsistent {
                pointers: vec!["(receiptDigest of the result)".to_owned()],
            });
        }
        let (output, logs, measured) = self
            .output
            .as_ref()
            .zip(self.logs.as_ref())
            .zip(self.usage.measured.as_ref())
            .map(|((output, logs), measured)| (output, logs, measured))
            .ok_or(ReceiptError::NoResult)?;
        let closing = Closing::Result(ResultFacts {
            usage: Usage {
                billed_millis: result.billed_millis,
                egress_bytes: result.egress_bytes,
            },
            outcome: result.outcome,
            exit_code: result.exit_code,
            output: output.cid.clone(),
            logs: logs.clone(),
            measured: Measurements {
                ready_after_seconds: result.ready_after_seconds,
                ..measured.clone()
            },
        });
        let expected = Self::build(facts, &closing)?;
        let mut pointers = differing_leaves(&self.to_value()?, &expected.to_value()?)?;
        if result.job_id != expected.job_id {
            pointers.push("/jobId".to_owned());
        }
        if result.attempt != facts.terms.attempt() {
            pointers.push(format!("/attempts/{}/attempt", facts.earlier.len()));
        }
        match pointers.is_empty() {
            true => Ok(()),
            false => Err(ReceiptError::Inconsistent { pointers }),
        }
    }

    pub(super) fn to_value(&self) -> Result<serde_json::Value, ReceiptError> {
        serde_json::to_value(self).map_err(|error| ReceiptError::NotCanonical(error.to_string()))
    }
}

fn given<T>(value: Option<T>) -> Given<T> {
    value.map_or(Given::missing(MissingReason::NoResult), Given::Present)
}

fn totals(attempts: &[Attempt], measured: Option<Measurements>) -> Result<UsageTotals, ReceiptError> {
    let sum = |part: fn(&Usage) -> u64| {
        attempts
            .iter()
            .try_fold(0u64, |sum, attempt| sum.checked_add(part(&attempt.usage)))
            .ok_or(ReceiptError::Overflow)
    };
    Ok(UsageTotals {
        billed_millis: sum(|usage| usage.billed_millis)?,
        egress_bytes: sum(|usage| usage.egress_bytes)?,
        measured: given(measured),
    })
}

fn payment(facts: &JobFacts<'_>, attempts: &[Attempt]) -> Result<Payment, ReceiptError> {
    let sum = |part: fn(&Attempt) -> Amount| sum_of(attempts, part).ok_or(ReceiptError::Overflow);
    let paid = sum(|attempt| attempt.split.paid)?;
    let earlier_paid = sum_of(facts.earlier, |attempt| attempt.split.paid).ok_or(ReceiptError::Overflow)?;
    let escrowed = facts
        .terms
        .escrow
        .checked_add(earlier_paid)
        .ok_or(ReceiptError::Overflow)?;
    Ok(Payment {
        token: facts.terms.token,
        symbol: facts.token_symbol.to_owned(),
        decimals: facts.token_decimals,
        escrowed,
        paid,
        refunded: escrowed.saturating_sub(paid),
        discount: sum(|attempt| attempt.split.discount)?,
        node: sum(|attempt| attempt.split.node)?,
        stakers: sum(|attempt| attempt.split.stakers)?,
        treasury: sum(|attempt| attempt.split.treasury)?,
    })
}

/// The sum of one part over attempts; `None` past 128 bits.
pub(super) fn sum_of(attempts: &[Attempt], part: impl Fn(&Attempt) -> Amount) -> Option<Amount> {
    attempts
        .iter()
        .try_fold(Amount::ZERO, |sum, attempt| sum.checked_add(part(attempt)))
}
