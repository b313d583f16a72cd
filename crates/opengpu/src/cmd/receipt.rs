//! `opengpu receipt`: what a job cost and gave, and whether that is true.

use std::fs;
use std::path::{Path, PathBuf};

use opengpu_chain::ChainEvent;
use opengpu_chain::time::show_utc;
use opengpu_core::ids::{CidText, Sha256Digest};
use opengpu_core::matching::Quote;
use opengpu_core::money::Amount;
use opengpu_core::receipt::{LocalContent, Receipt as Document, ReceiptFile, Report, VerifyOptions, verify_offline};
use opengpu_store::{Limits, cid_of_path};
use serde::Serialize;

use super::Context;
use crate::args::{Receipt, Verify};
use crate::failure::{Failure, OrFail, Outcome, with_sources};
use crate::job::artifacts::as_folder;
use crate::job::collect::{LOG_FILE, OUTPUT_FOLDER, RECEIPT_FILE};
use crate::job::record::Records;
use crate::output::{TokenName, print_json, print_json_with, print_line, show_bytes, show_millis, show_span, table};
use crate::session::{Profile, chain_failure, connect};

/// Shows or verifies a receipt.
pub(crate) async fn receipt(context: &Context, command: &Receipt) -> Outcome {
    match command {
        Receipt::Show { receipt } => show(context, receipt),
        Receipt::Verify(args) => verify(context, args).await,
    }
}

fn show(context: &Context, text: &str) -> Outcome {
    let path = locate(context, text)?;
    let file = ReceiptFile::from_json(&read(&path)?).map_err(|error| {
        Failure::error(format_args!("{}: {error}", path.display())).hint("is this the file that `opengpu run` wrote?")
    })?;
    if context.global.json {
        return print_json(&file);
    }
    let lines = bill_lines(&file.receipt).into_iter();
    print_line(&table(
        ["", ""],
        lines.map(|(name, value)| [name.to_owned(), value]).collect(),
    ))
}

/// A receipt for people: name and value of each line.
fn bill_lines(receipt: &Document) -> Vec<(&'static str, String)> {
    let payment = &receipt.payment;
    let token = TokenName {
        symbol: payment.symbol.clone(),
        decimals: payment.decimals,
    };
    let mut lines = vec![
        ("job", receipt.job_id.to_string()),
        ("chain", format!("{} at {}", receipt.chain_id, receipt.contract)),
        ("payer", receipt.payer.to_string()),
    ];
    for attempt in &receipt.attempts {
        lines.push((
            "node",
            format!(
                "{} of {} (attempt {}, matched {})",
                attempt.node,
                attempt.owner,
                attempt.attempt,
                show_utc(attempt.matched_at)
            ),
        ));
    }
    let billed = show_millis(receipt.usage.billed_millis);
    let measured = receipt.usage.measured.as_ref().map_or_else(String::new, |measured| {
        let (cpu, memory) = (show_millis(measured.cpu_millis), show_bytes(measured.memory_peak_bytes));
        format!(", {cpu} of CPU, {memory} at most, {} vouchers", measured.vouchers)
    });
    lines.push(("usage", format!("{billed} billed{measured}")));
    lines.push(("quote", quote_text(&receipt.quote, &token)));
    lines.push((
        "paid",
        format!(
            "{} of {} locked",
            token.show(payment.paid),
            token.show(payment.escrowed)
        ),
    ));
    for (name, amount) in [
        ("  node", payment.node),
        ("  stakers", payment.stakers),
        ("  treasury", payment.treasury),
    ] {
        lines.push((name, token.show(amount)));
    }
    lines.push(("refunded", token.show(payment.refunded)));
    if payment.discount != Amount::ZERO {
        let text = format!("{}, saved by the payer's stake", token.show(payment.discount));
        lines.push(("  discount", text));
    }
    let output = receipt
        .output
        .as_ref()
        .map(|output| format!("{}, exit code {}", output.cid, output.exit_code));
    lines.push((
        "output",
        output.unwrap_or_else(|| "none: the job was closed without a result".to_owned()),
    ));
    if let Some(logs) = receipt.logs.as_ref() {
        lines.push(("log", format!("{}, {}", logs.cid, show_bytes(logs.bytes))));
    }
    lines
}

/// What was estimated before the match.
fn quote_text(quote: &Quote, token: &TokenName) -> String {
    format!(
        "{} for {}, at most {}",
        token.show(quote.estimated_cost),
        show_span(u64::from(quote.estimated_seconds)),
        token.show(quote.max_cost)
    )
}

/// The receipt file a user means: a path, or a job on record whose output folder holds it.
fn locate(context: &Context, text: &str) -> Outcome<PathBuf> {
    let path = PathBuf::from(text);
    if path.exists() {
        return Ok(path);
    }
    let config = context.home.config()?;
    let network = context.global.network.clone().or(config.default_network);
    let network = network.unwrap_or_else(|| crate::home::LOCAL.to_owned());
    let (job, record) = Records::of(&context.home).find(&network, text).map_err(|_| {
        Failure::usage(format_args!(
            "`{text}` is no file, and no one job on record starts with it"
        ))
        .hint("name a receipt file, or a job that `opengpu ps --all` lists")
    })?;
    let path = record
        .map(|record| record.output.join(RECEIPT_FILE))
        .filter(|path| path.exists());
    path.ok_or_else(|| {
        Failure::error(format_args!("the receipt of job {job} was not fetched"))
            .hint(format_args!("`opengpu job result {text}` fetches it"))
    })
}

fn read(path: &Path) -> Outcome<Vec<u8>> {
    fs::read(path).map_err(|error| {
        Failure::usage(format_args!("cannot read {}: {error}", path.display())).hint("name a receipt file")
    })
}

/// What is printed with `--json`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Verified {
    is_valid: bool,
    #[serde(flatten)]
    report: Report,
}

async fn verify(context: &Context, args: &Verify) -> Outcome {
    let bytes = read(&args.file)?;
    let options = VerifyOptions {
        expected_digest: digest_on_chain(context, &bytes).await?,
        local: local_content(args)?,
    };
    let report = verify_offline(&bytes, &options);
    let is_valid = report.is_valid();
    let verdict = if is_valid { Ok(()) } else { Err(not_valid(&report)) };
    if context.global.json {
        return print_json_with(&Verified { is_valid, report }, verdict);
    }
    show_report(&report)?;
    verdict
}

fn not_valid(report: &Report) -> Failure {
    let failed = report.checks.iter().filter(|check| !check.ok);
    let names: Vec<&str> = failed.map(|check| check.name.as_str()).collect();
    let what = if names.is_empty() {
        "nobody vouches for it".to_owned()
    } else {
        format!("{} do not hold", names.join(", "))
    };
    Failure::error(format_args!("the receipt is not valid: {what}"))
        .hint("get it again from the payer, the node, or IPFS by the digest on chain")
}

fn show_report(report: &Report) -> Outcome {
    for check in &report.checks {
        print_line(&format!(
            "{}  {}: {}",
            if check.ok { "ok    " } else { "WRONG " },
            check.name,
            check.detail
        ))?;
    }
    let voices: Vec<String> = report
        .vouched_by
        .iter()
        .map(|voice| format!("{voice:?}").to_lowercase())
        .collect();
    if report.is_valid() {
        print_line(&format!("valid: vouched for by {}", voices.join(" and ")))?;
    }
    Ok(())
}

/// With `--network` (or its variable) the chain is asked too; without, nothing is.
async fn digest_on_chain(context: &Context, bytes: &[u8]) -> Outcome<Option<Sha256Digest>> {
    if context.global.network.is_none() {
        return Ok(None);
    }
    let profile = Profile::choose(&context.home, &context.global)?;
    // What cannot be read is a check that does not hold, and offline verification names it.
    let Ok(file) = ReceiptFile::from_json(bytes) else {
        return Ok(None);
    };
    let receipt = file.receipt;
    if receipt.domain() != profile.network.domain() {
        return Err(Failure::error(format_args!(
            "the receipt is of another network than `{}`",
            profile.name
        ))
        .hint("name the network it was made on"));
    }
    let chain = connect(&profile.network, None).await?;
    let found = chain.job_record(receipt.job_id).await.map_err(chain_failure)?;
    let digest = found
        .iter()
        .flat_map(|(_, events)| events)
        .find_map(|envelope| match &envelope.event {
            ChainEvent::Settled { settlement, .. } => Some(settlement.receipt_digest),
            _ => None,
        });
    digest.map(Some).ok_or_else(|| {
        Failure::error("the chain does not know this job as settled").hint("is this the network it ran on?")
    })
}

/// CIDs of what lies beside the receipt, or was named.
fn local_content(args: &Verify) -> Outcome<LocalContent> {
    let folder = args.file.parent().unwrap_or(Path::new("")).to_owned();
    let beside = |name: &str| Some(folder.join(name)).filter(|path| path.exists());
    let cid = |path: Option<PathBuf>| path.map(|path| cid_of(&path)).transpose();
    let scratch = tempfile::tempdir().or_fail("cannot make a temporary folder")?;
    let input = args
        .input
        .as_deref()
        .map(|path| as_folder(path, scratch.path()))
        .transpose()?;
    Ok(LocalContent {
        data: cid(input)?,
        output: cid(args.output.clone().or_else(|| beside(OUTPUT_FOLDER)))?,
        logs: cid(args.log.clone().or_else(|| beside(LOG_FILE)))?,
        usage: None,
    })
}

fn cid_of(path: &Path) -> Outcome<CidText> {
    let imported = cid_of_path(path, &Limits::default()).map_err(|error| {
        Failure::usage(format_args!("cannot read {}: {}", path.display(), with_sources(&error)))
            .hint("name the file or folder as the job left it")
    })?;
    Ok(CidText(imported.cid.to_string()))
}
