//! The second half of a job: what the chain paid, and everything the job left behind, in a folder of the user's.

use std::path::{Path, PathBuf};

use opengpu_core::ids::{CidText, JobId, NodeId, Sha256Digest};
use opengpu_core::job::Settlement;
use opengpu_core::receipt::{Closing, JobFacts, Receipt, Signatures};
use opengpu_core::wire::JobEventBody;
use opengpu_store::{BlockStore, Limits, fetch, raw_cid_of_digest};
use serde::Serialize;

use super::bill::Bill;
use super::collect::{Download, OUTPUT_FOLDER, RECEIPT_FILE, write_receipt};
use super::follow::Learnt;
use super::history::{History, node_facts};
use super::record::JobRecord;
use super::story::{Happening, Story};
use crate::failure::{Failure, OrFail, Outcome};
use crate::output::short;
use crate::session::{Session, store_folder};

/// A closed job, as scripts get it. Amounts are base units in decimal strings.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Finished {
    /// The job.
    pub(crate) job_id: JobId,
    /// The node that ran its last attempt.
    pub(crate) node: NodeId,
    /// Symbol of the token.
    pub(crate) token: String,
    /// Who got what.
    #[serde(flatten)]
    pub(crate) bill: Bill,
    /// CPU time the node measured.
    pub(crate) cpu_millis: u64,
    /// Vouchers both signed.
    pub(crate) vouchers: u32,
    /// The program's exit code; null when no result says.
    pub(crate) exit_code: Option<i32>,
    /// Gas of the two transactions.
    pub(crate) gas: Gas,
    /// The receipt.
    pub(crate) receipt: ReceiptInfo,
    /// Folder with what the job wrote.
    pub(crate) output: PathBuf,
}

/// Gas used on chain.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Gas {
    /// By `matchOrder`.
    #[serde(rename = "match")]
    pub(crate) matched: u64,
    /// By the transaction that closed the job; null when the chain's node does not say.
    pub(crate) settle: Option<u64>,
}

/// Where the receipt is and what names it.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct ReceiptInfo {
    /// The receipt file.
    pub(crate) path: PathBuf,
    /// Its IPFS block.
    pub(crate) cid: CidText,
    /// sha2-256; what the chain has.
    pub(crate) digest: Sha256Digest,
}

/// What whoever leaves before the results are here is told.
pub(crate) fn result_text(job: JobId) -> String {
    format!(
        "the job is paid and closed; `opengpu job result {}` fetches what it left",
        short(job)
    )
}

/// Reads the chain, downloads, checks, writes. `learnt` is filled up with what the gateway still knows.
pub(crate) async fn finish(
    session: &Session,
    record: &JobRecord,
    learnt: &mut Learnt,
    folder: &Path,
    story: &mut dyn Story,
) -> Outcome<(Finished, History)> {
    let history = History::read(session, record).await?;
    let settlement = history
        .settlement
        .clone()
        .ok_or_else(|| Failure::error("the job is not closed yet").hint("`opengpu ps` says where it stands"))?;
    let bill = Bill::add_up(record.order.order.max_cost, &history.earlier, &settlement)?;
    story.tell(&Happening::Settled(&bill));
    fill_up(session, record, learnt).await;
    tell_rest_of_log(session, record, learnt, story).await;
    let receipt = receipt_of(session, record, learnt, &history, &settlement).await?;
    let download = Download::of_receipt(session, record, &receipt)?;
    download.fetch(session).await?;
    download.write(folder).await?;
    let signatures = signatures_of(learnt, settlement.receipt_digest);
    let file = write_receipt(folder, receipt, signatures)?;
    let digest = file.receipt.digest().or_fail("cannot hash the receipt")?;
    let measured = file.receipt.usage.measured.as_ref();
    let finished = Finished {
        job_id: record.job_id,
        node: history.terms.node,
        token: session.token_name(history.terms.token).symbol,
        bill,
        cpu_millis: measured.map_or(learnt.cpu_millis, |measured| measured.cpu_millis),
        vouchers: measured.map_or(learnt.vouchers, |measured| measured.vouchers),
        exit_code: file.receipt.output.as_ref().map(|output| output.exit_code),
        gas: Gas {
            matched: record.match_gas,
            settle: settle_gas(session, &history).await,
        },
        receipt: ReceiptInfo {
            path: folder.join(RECEIPT_FILE),
            cid: cid_of(digest)?,
            digest,
        },
        output: folder.join(OUTPUT_FOLDER),
    };
    Ok((finished, history))
}

/// What the closing transaction used. A bill is not held up by a chain node that has dropped the receipt.
async fn settle_gas(session: &Session, history: &History) -> Option<u64> {
    let transaction = history.settled_by?;
    let asked = session.chain.gas_used(transaction).await;
    asked
        .inspect_err(|error| tracing::info!(%transaction, %error, "gas unknown"))
        .ok()
}

/// Reads the job's stream once more from its start: the settlement may have been seen on chain before the last entries.
async fn fill_up(session: &Session, record: &JobRecord, learnt: &mut Learnt) {
    let mut cursor = String::new();
    let mut vouchers = 0;
    // A gateway that forgot the job costs what only it knew; the receipt is found by its digest anyway.
    while let Ok(page) = session.gateway.events(record.job_id, &cursor, 0).await
        && !page.items.is_empty()
    {
        cursor = page.cursor;
        for event in page.items {
            match event.body {
                JobEventBody::ResultProposed(proposal) => learnt.proposal = Some(*proposal),
                JobEventBody::ResultApproved(approved) => learnt.approved = Some(approved),
                JobEventBody::VoucherSigned(_) => vouchers += 1,
                JobEventBody::Progress(progress) => learnt.note(&progress.step),
                _ => {}
            }
        }
    }
    learnt.vouchers = learnt.vouchers.max(vouchers);
}

async fn tell_rest_of_log(session: &Session, record: &JobRecord, learnt: &mut Learnt, story: &mut dyn Story) {
    let Ok(bytes) = session.gateway.log(record.job_id, learnt.log_bytes).await else {
        return;
    };
    if !bytes.is_empty() {
        learnt.log_bytes += bytes.len() as u64;
        story.tell(&Happening::Log(&bytes));
    }
}

/// The receipt whose digest is on chain, from the proposal or by its CID; rebuilt from the chain's events when it has none.
async fn receipt_of(
    session: &Session,
    record: &JobRecord,
    learnt: &Learnt,
    history: &History,
    settlement: &Settlement,
) -> Outcome<Receipt> {
    let digest = settlement.receipt_digest;
    if digest.0.is_zero() {
        return rebuilt(session, record, history, settlement).await;
    }
    let proposed = learnt
        .proposal
        .as_ref()
        .map(|proposal| proposal.receipt.clone().into_bytes());
    let bytes = match proposed.filter(|bytes| Sha256Digest::of(bytes) == digest) {
        Some(bytes) => bytes,
        None => fetch_receipt(session, digest).await?,
    };
    Receipt::from_canonical_json(&bytes).or_fail("the receipt on chain cannot be read")
}

/// A receipt is one block.
const RECEIPT_LIMITS: Limits = Limits {
    bytes: 1 << 20,
    entries: 1,
    depth: 1,
};

async fn fetch_receipt(session: &Session, digest: Sha256Digest) -> Outcome<Vec<u8>> {
    let store = BlockStore::open(store_folder(&session.home)).or_fail("cannot open the store")?;
    let cid = raw_cid_of_digest(&digest.0.0).or_fail("the receipt's digest")?;
    let gateways = &session.profile.gateways;
    fetch(session.gateway.http(), gateways, &cid, &store, &RECEIPT_LIMITS)
        .await
        .map_err(|error| {
            Failure::error(format_args!("cannot fetch the receipt {cid}: {error}"))
                .hint("try again when a gateway has it")
        })?;
    tokio::task::spawn_blocking(move || store.get(&cid))
        .await
        .or_fail("cannot read the store")?
        .or_fail("cannot read the receipt")
}

async fn rebuilt(
    session: &Session,
    record: &JobRecord,
    history: &History,
    settlement: &Settlement,
) -> Outcome<Receipt> {
    let node = node_facts(session, history.terms.node, &[]).await?;
    let token = session.token_name(history.terms.token);
    let facts = JobFacts {
        domain: session.domain(),
        order: &record.order.order,
        spec: &record.order.spec,
        token_symbol: &token.symbol,
        token_decimals: token.decimals,
        earlier: &[],
        terms: &history.terms,
        collected: &history.collected_values,
        node: &node,
    };
    let closing = Closing::Events {
        ending: settlement.ending,
        usage: settlement.usage,
    };
    Receipt::build(&facts, &closing).or_fail("cannot build the receipt")
}

fn signatures_of(learnt: &Learnt, digest: Sha256Digest) -> Signatures {
    let approved = learnt
        .approved
        .as_ref()
        .filter(|approved| approved.result.receipt_digest == digest);
    let proposal = learnt
        .proposal
        .as_ref()
        .filter(|proposal| proposal.result.receipt_digest == digest);
    match (approved, proposal) {
        (Some(approved), _) => Signatures::of_both(approved),
        (None, Some(proposal)) => Signatures::of_node_alone(proposal.result.clone(), proposal.operator_signature),
        (None, None) => Signatures::none(),
    }
}

fn cid_of(digest: Sha256Digest) -> Outcome<CidText> {
    let cid = raw_cid_of_digest(&digest.0.0).or_fail("the receipt's digest")?;
    Ok(CidText(cid.to_string()))
}
