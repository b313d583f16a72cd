//! Verifying a receipt file without a server, a chain or a clock.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::build::sum_of;
use super::leaves::{compare, largest_exact_number};
use super::{
    Attempt, ChangedLeaf, Given, MissingReason, RECEIPT_VERSION, Receipt, ReceiptFile, SignedApproval, SignedResult,
    leaves_of, strict,
};
use crate::ids::{CidText, Sha256Digest};
use crate::job::Ending;
use crate::matching::Quote;
use crate::money::Amount;
use crate::order::Signable;

/// What the caller has beside the file.
#[derive(Clone, Default, Debug)]
pub struct VerifyOptions {
    /// The digest on chain, or that of the receipt rebuilt from the chain's events.
    pub expected_digest: Option<Sha256Digest>,
    /// CIDs the caller computed from its local files.
    pub local: LocalContent,
}

/// CIDs computed from local files; none: the caller does not have that one.
#[derive(Clone, Default, Debug)]
pub struct LocalContent {
    /// The input folder.
    pub data: Option<CidText>,
    /// The output folder.
    pub output: Option<CidText>,
    /// The log.
    pub logs: Option<CidText>,
    /// The usage samples.
    pub usage: Option<CidText>,
}

/// One thing that was looked at.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Check {
    /// `schema`, `leaves`, `digest`, `operatorSignature`, `signerSignature`, `result`, `attempts`, `sums`, `cost`, `quote`,
    /// and for content the caller has `data`, `output`, `logs`, `usage`.
    pub name: String,
    /// Whether it holds.
    pub ok: bool,
    /// For people: what was compared, and what differs.
    pub detail: String,
}

/// Whose word the receipt has.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Voice {
    /// The node's operator signed the result that carries its digest.
    Operator,
    /// The payer's signer approved that result.
    Signer,
    /// Its digest is the one the caller expects.
    Chain,
}

/// What verifying found.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Everything looked at, in order.
    pub checks: Vec<Check>,
    /// Every leaf that is not as it was when the file was written.
    pub changed: Vec<ChangedLeaf>,
    /// Whose word the receipt has, as far as that was proven here.
    pub vouched_by: Vec<Voice>,
}

impl Report {
    /// Whether every check holds and somebody vouches for the receipt.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        self.checks.iter().all(|check| check.ok) && !self.vouched_by.is_empty()
    }

    /// Whether the leaf at `pointer` is named as changed, missing or added.
    #[must_use]
    pub fn names(&self, pointer: &str) -> bool {
        self.changed.iter().any(|leaf| leaf.pointer == pointer)
    }

    /// Notes a check; no problem means that it holds, as `detail` says.
    fn note(&mut self, name: &str, problems: Vec<String>, detail: impl Into<String>) {
        self.checks.push(Check {
            name: name.to_owned(),
            ok: problems.is_empty(),
            detail: match problems.is_empty() {
                true => detail.into(),
                false => problems.join("; "),
            },
        });
    }
}

/// Verifies the bytes of a receipt file against themselves and what the caller has: schema, leaves, digest, signatures by
/// the keys the receipt names, result, sums, cost from usage, CIDs of local content. Never fails: what cannot be read is a
/// check that does not hold.
#[must_use]
pub fn verify_offline(file: &[u8], options: &VerifyOptions) -> Report {
    let mut report = Report::default();
    let value = match strict::parse(file) {
        Ok(value) => value,
        Err(error) => {
            report.note("schema", vec![error.to_string()], "");
            return report;
        }
    };
    report.changed = changed_leaves(&value);
    let schema = check_schema(&value);
    let problems = schema.as_ref().err().cloned().into_iter().collect();
    report.note("schema", problems, format!("receipt file, version {RECEIPT_VERSION}"));
    note_leaves(&mut report);
    let Ok(file) = schema else {
        return report;
    };
    check_vouchers(&mut report, &value["receipt"], &file, options);
    check_attempts(&mut report, &file.receipt);
    check_sums(&mut report, &file.receipt);
    check_cost(&mut report, &file.receipt);
    check_quote(&mut report, &file.receipt);
    check_local(&mut report, &file.receipt, &options.local);
    report
}

fn check_schema(value: &Value) -> Result<ReceiptFile, String> {
    let file = ReceiptFile::from_value(value.clone()).map_err(|error| error.to_string())?;
    if file.receipt.version != RECEIPT_VERSION {
        return Err(format!(
            "version {} is not known; {RECEIPT_VERSION} is",
            file.receipt.version
        ));
    }
    largest_exact_number(value)
        .map_err(|(pointer, number)| format!("{pointer} is {number}, which is too large for JSON"))?;
    Ok(file)
}

/// Compares the whole file but its `leaves` with its `leaves`; without any, every leaf of it is unaccounted for.
fn changed_leaves(file: &Value) -> Vec<ChangedLeaf> {
    let mut rest = file.clone();
    let recorded = rest.as_object_mut().and_then(|fields| fields.remove("leaves"));
    let recorded = recorded
        .as_ref()
        .and_then(Value::as_object)
        .cloned()
        .unwrap_or_default();
    // Values that were just parsed always have a canonical form.
    leaves_of("", &rest).map_or_else(|_| Vec::new(), |actual| compare(&actual, &recorded))
}

fn note_leaves(report: &mut Report) {
    let problems = report
        .changed
        .iter()
        .map(|leaf| format!("{} {}", leaf.pointer, leaf.kind))
        .collect();
    report.note("leaves", problems, "every leaf is as it was written");
}

/// Digest, signatures and result: who stands for these very bytes.
fn check_vouchers(report: &mut Report, raw: &Value, file: &ReceiptFile, options: &VerifyOptions) {
    let digest = serde_json_canonicalizer::to_vec(raw).map(|bytes| Sha256Digest::of(&bytes));
    let Ok(digest) = digest else {
        report.note("digest", vec!["receipt has no canonical form".to_owned()], "");
        return;
    };
    let result = file.signatures.result.as_ref();
    let is_by_result = result.is_some_and(|signed| signed.message.receipt_digest == digest);
    let is_expected = options.expected_digest == Some(digest);
    note_digest(report, digest, result, options.expected_digest);
    let is_by_operator = check_operator(report, file);
    let is_by_signer = check_signer(report, file);
    check_result(report, file);
    if is_by_result && is_by_operator {
        report.vouched_by.push(Voice::Operator);
    }
    if is_by_result && is_by_signer {
        report.vouched_by.push(Voice::Signer);
    }
    if is_expected {
        report.vouched_by.push(Voice::Chain);
    }
}

fn note_digest(
    report: &mut Report,
    digest: Sha256Digest,
    result: Option<&SignedResult>,
    expected: Option<Sha256Digest>,
) {
    let mut problems = Vec::new();
    if let Some(signed) = result.filter(|signed| signed.message.receipt_digest != digest) {
        let said = signed.message.receipt_digest;
        problems.push(format!("receipt has digest {digest}, the signed result says {said}"));
    }
    if let Some(said) = expected.filter(|expected| *expected != digest) {
        problems.push(format!("receipt has digest {digest}, the chain says {said}"));
    }
    if result.is_none() && expected.is_none() {
        problems.push("no result is signed and no digest from the chain was given: nobody vouches for it".to_owned());
    }
    report.note("digest", problems, digest.to_string());
}

fn check_operator(report: &mut Report, file: &ReceiptFile) -> bool {
    let name = "operatorSignature";
    let (Given::Present(signed), Some(attempt)) = (&file.signatures.result, file.receipt.last_attempt()) else {
        let is_said = file.receipt.result().is_err() && is_missing(&file.signatures.result, MissingReason::NoResult);
        let problems = missing_problem(is_said, "the receipt has a result, but nobody signed it");
        report.note(name, problems, "missing: the job closed without a result");
        return false;
    };
    let is_signed = signed
        .signature
        .is_by(attempt.operator, signed.message.digest(file.receipt.domain()));
    let problem = format!("result is not signed by the operator {}", attempt.operator);
    report.note(
        name,
        missing_problem(is_signed, &problem),
        format!("by {}", attempt.operator),
    );
    is_signed
}

fn check_signer(report: &mut Report, file: &ReceiptFile) -> bool {
    let name = "signerSignature";
    let signer = file.receipt.signer;
    let approval = match (&file.signatures.result, &file.signatures.approve) {
        (Given::Present(result), Given::Present(approval)) => Ok((result, approval)),
        (Given::Present(_), approval) if is_missing(approval, MissingReason::NotApproved) => {
            Err((true, "missing: the node submitted its result alone"))
        }
        (Given::Missing(_), approval) if is_missing(approval, MissingReason::NoResult) => {
            Err((true, "missing: the job closed without a result"))
        }
        _ => Err((
            false,
            "an approval and the result it is of must both be there, or be said to be missing",
        )),
    };
    let (result, approval) = match approval {
        Ok(both) => both,
        Err((is_said, why)) => {
            report.note(name, missing_problem(is_said, why), why);
            return false;
        }
    };
    let problems = approval_problems(result, approval, file);
    let is_signed = problems.is_empty();
    report.note(
        name,
        problems,
        format!("by {signer}, rating {}", approval.message.rating),
    );
    is_signed
}

fn approval_problems(result: &SignedResult, approval: &SignedApproval, file: &ReceiptFile) -> Vec<String> {
    let mut problems = Vec::new();
    if approval.message != result.message.approve(file.receipt.domain(), approval.message.rating) {
        problems.push("approval is of another result".to_owned());
    }
    if approval.message.rating > 5 {
        problems.push(format!("rating {} is not 0..5", approval.message.rating));
    }
    let digest = approval.message.digest(file.receipt.domain());
    if !approval.signature.is_by(file.receipt.signer, digest) {
        problems.push(format!("approval is not signed by the signer {}", file.receipt.signer));
    }
    problems
}

fn is_missing<T>(given: &Given<T>, reason: MissingReason) -> bool {
    matches!(given, Given::Missing(missing) if missing.missing == reason)
}

fn missing_problem(holds: bool, problem: &str) -> Vec<String> {
    match holds {
        true => Vec::new(),
        false => vec![problem.to_owned()],
    }
}

/// The signed result says what the receipt says.
fn check_result(report: &mut Report, file: &ReceiptFile) {
    let Given::Present(signed) = &file.signatures.result else {
        return;
    };
    let problem = match file.receipt.result() {
        Ok(result) if result == signed.message => None,
        Ok(result) => Some(format!("signed: {:?}; the receipt says: {result:?}", signed.message)),
        Err(error) => Some(error.to_string()),
    };
    report.note(
        "result",
        problem.into_iter().collect(),
        "the signed result says what the receipt says",
    );
}

/// Attempts are numbered from 1 without gaps, at most 4; only the last one can be closed by the signed result.
fn check_attempts(report: &mut Report, receipt: &Receipt) {
    let mut problems = Vec::new();
    let count = receipt.attempts.len();
    if !(1..=4).contains(&count) {
        problems.push(format!("{count} attempts, must be 1..4"));
    }
    let has_result = receipt.result().is_ok();
    for (index, attempt) in receipt.attempts.iter().enumerate() {
        if usize::from(attempt.attempt) != index + 1 {
            problems.push(format!("attempt {} stands at place {}", attempt.attempt, index + 1));
        }
        let is_by_result = has_result && index + 1 == count;
        if attempt.ending.is_none() != is_by_result || attempt.ending == Some(Ending::None) {
            problems.push(format!(
                "attempt {} does not say how it ended as it must",
                attempt.attempt
            ));
        }
    }
    report.note("attempts", problems, format!("{count} of them"));
}

fn check_sums(report: &mut Report, receipt: &Receipt) {
    let payment = &receipt.payment;
    let add = |amounts: &[Amount]| {
        amounts
            .iter()
            .try_fold(Amount::ZERO, |sum, amount| sum.checked_add(*amount))
    };
    let earlier = &receipt.attempts[..receipt.attempts.len().saturating_sub(1)];
    let locked = receipt
        .last_attempt()
        .zip(sum_of(earlier, |attempt| attempt.split.paid))
        .and_then(|(last, paid)| last.escrow.checked_add(paid));
    let over = |part: fn(&Attempt) -> Amount| sum_of(&receipt.attempts, part);
    let millis = |part: fn(&Attempt) -> u64| {
        receipt
            .attempts
            .iter()
            .try_fold(0u64, |sum, attempt| sum.checked_add(part(attempt)))
            .map(|sum| Amount(sum.into()))
    };
    let usage = &receipt.usage;
    let equations: [(&str, Option<Amount>, Amount); 10] = [
        (
            "paid + refunded = escrowed",
            add(&[payment.paid, payment.refunded]),
            payment.escrowed,
        ),
        (
            "node + stakers + treasury = paid",
            add(&[payment.node, payment.stakers, payment.treasury]),
            payment.paid,
        ),
        ("locked for the attempts = escrowed", locked, payment.escrowed),
        (
            "paid by attempts = paid",
            over(|attempt| attempt.split.paid),
            payment.paid,
        ),
        (
            "attempts' discounts = discount",
            over(|attempt| attempt.split.discount),
            payment.discount,
        ),
        ("nodes' parts = node", over(|attempt| attempt.split.node), payment.node),
        (
            "stakers' parts = stakers",
            over(|attempt| attempt.split.stakers),
            payment.stakers,
        ),
        (
            "treasury's parts = treasury",
            over(|attempt| attempt.split.treasury),
            payment.treasury,
        ),
        (
            "attempts' billedMillis = billedMillis",
            millis(|attempt| attempt.usage.billed_millis),
            Amount(usage.billed_millis.into()),
        ),
        (
            "attempts' egressBytes = egressBytes",
            millis(|attempt| attempt.usage.egress_bytes),
            Amount(usage.egress_bytes.into()),
        ),
    ];
    let problems = equations
        .into_iter()
        .filter(|(_, left, right)| *left != Some(*right))
        .map(|(name, left, right)| match left {
            Some(left) => format!("{name} does not hold: {left} and {right}"),
            None => format!("{name} does not hold: the left side passes 128 bits"),
        })
        .collect();
    let detail = format!(
        "paid {} + refunded {} = {}",
        payment.paid, payment.refunded, payment.escrowed
    );
    report.note("sums", problems, detail);
}

/// Each attempt's split, recomputed from its usage, prices and shares.
fn check_cost(report: &mut Report, receipt: &Receipt) {
    let mut problems = Vec::new();
    for attempt in &receipt.attempts {
        let shares = attempt.shares;
        if u32::from(shares.stakers_bps) + u32::from(shares.treasury_bps) > 10_000 {
            problems.push(format!("attempt {}: fee shares are more than all", attempt.attempt));
        }
        let is_rising = attempt.collected.is_sorted() && attempt.collected.last() <= Some(&attempt.escrow);
        if !is_rising {
            problems.push(format!(
                "attempt {}: collected values fall or pass its escrow",
                attempt.attempt
            ));
        }
        let (value, split) = (attempt.value(), attempt.clone().with_split().split);
        if split != attempt.split {
            problems.push(format!(
                "attempt {}: usage is worth {value}, which splits into {split:?}; the receipt says {:?}",
                attempt.attempt, attempt.split
            ));
        }
    }
    report.note("cost", problems, "recomputed from usage, prices and shares");
}

fn check_quote(report: &mut Report, receipt: &Receipt) {
    let quote = receipt.quote;
    let expected = receipt
        .last_attempt()
        .map(|attempt| Quote::of(attempt.price, quote.estimated_seconds, quote.max_cost));
    let problem = format!("{} s do not cost {}", quote.estimated_seconds, quote.estimated_cost);
    report.note(
        "quote",
        missing_problem(expected == Some(quote), &problem),
        format!("{} s for {}", quote.estimated_seconds, quote.estimated_cost),
    );
}

fn check_local(report: &mut Report, receipt: &Receipt, local: &LocalContent) {
    let measured = receipt.usage.measured.as_ref();
    let contents = [
        ("data", &local.data, receipt.input.data_cid.as_ref()),
        (
            "output",
            &local.output,
            receipt.output.as_ref().map(|output| &output.cid),
        ),
        ("logs", &local.logs, receipt.logs.as_ref().map(|logs| &logs.cid)),
        ("usage", &local.usage, measured.map(|measured| &measured.usage_cid)),
    ];
    for (name, local, said) in contents {
        let Some(local) = local else { continue };
        let said_text = said.map_or("nothing", |cid| &cid.0);
        let problem = format!("local content is {local}, the receipt says {said_text}");
        report.note(name, missing_problem(said == Some(local), &problem), local.to_string());
    }
}
