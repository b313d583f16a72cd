//! A job as `GET /v1/jobs/{id}` shows it: what the chain says, and what was agreed since.

use opengpu_core::ids::{JobId, NodeId};
use opengpu_core::job::{JobState, Settlement, Terms, Usage};
use opengpu_core::money::{Amount, split_rounded_down};
use opengpu_core::order::Order;
use opengpu_core::wire::{ApprovedResult, JobEventBody, Progress, SignedOrder, SignedVoucher};
use opengpu_core::{Address, B256};
use serde::{Deserialize, Serialize};

use crate::app::App;
use crate::db::DbError;
use crate::projector::{ChainJob, Moved};

/// A job.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct JobView {
    /// The job.
    pub job_id: JobId,
    /// The payer's name for it; empty when it has none, or its order is not known here.
    pub name: String,
    /// Where it stands on chain; `none` while it waits in the bulletin.
    pub state: JobState,
    /// Since when, unix seconds on the chain's clock; 0 while it waits in the bulletin.
    pub state_since: u64,
    /// Whose credits pay.
    pub payer: Address,
    /// Who co-signs.
    pub signer: Address,
    /// The token of all amounts.
    pub token: Address,
    /// The newest attempt's node.
    pub node: Option<NodeId>,
    /// The newest attempt's terms.
    pub terms: Option<Terms>,
    /// The order, when it was posted here.
    pub order: Option<Order>,
    /// Base units locked; 0 before the match.
    pub locked: Amount,
    /// Base units the job has cost so far: what was paid, and what the newest voucher of a running attempt is worth.
    pub cost_so_far: Amount,
    /// Where the escrow went so far.
    pub moved: Moved,
    /// How the newest attempt was paid, once it ended.
    pub settlement: Option<Settlement>,
    /// Newest voucher both sides signed, as far as known here.
    pub newest_voucher: Option<SignedVoucher>,
    /// Vouchers both sides signed that are still kept here.
    pub vouchers: u64,
    /// The node's newest usage line.
    pub usage: Option<Progress>,
    /// The result both sides signed.
    pub result: Option<ApprovedResult>,
    /// Transaction that matched it first.
    pub matched_by: Option<B256>,
    /// Transaction that changed it last.
    pub changed_by: Option<B256>,
}

impl JobView {
    fn of_order(job_id: JobId, order: &SignedOrder) -> Self {
        Self {
            job_id,
            name: order.spec.name.clone(),
            state: JobState::None,
            state_since: 0,
            payer: order.order.payer,
            signer: order.order.signer,
            token: order.order.token,
            node: None,
            terms: None,
            order: Some(order.order.clone()),
            locked: Amount::ZERO,
            cost_so_far: Amount::ZERO,
            moved: Moved::default(),
            settlement: None,
            newest_voucher: None,
            vouchers: 0,
            usage: None,
            result: None,
            matched_by: None,
            changed_by: None,
        }
    }

    fn of_chain(job: &ChainJob, order: Option<&SignedOrder>) -> Self {
        let terms = job.terms.as_ref();
        Self {
            job_id: job.job_id,
            name: order.map_or_else(String::new, |order| order.spec.name.clone()),
            state: job.state,
            state_since: job.state_since,
            payer: job.payer,
            signer: terms.map_or(Address::ZERO, |terms| terms.signer),
            token: terms.map_or(Address::ZERO, |terms| terms.token),
            node: terms.map(|terms| terms.node),
            terms: terms.cloned(),
            order: order.map(|order| order.order.clone()),
            locked: job.locked,
            cost_so_far: job.moved.paid(),
            moved: job.moved,
            settlement: job.settlement.clone(),
            newest_voucher: None,
            vouchers: 0,
            usage: None,
            result: None,
            matched_by: Some(job.first.transaction),
            changed_by: Some(job.last.transaction),
        }
    }

    /// Adds what a running attempt's newest voucher is worth beyond what was collected of it.
    fn count_voucher(&mut self, job: &ChainJob) {
        let Some((terms, signed)) = self.terms.as_ref().zip(self.newest_voucher.as_ref()) else {
            return;
        };
        if !job.state.is_open() || signed.voucher.attempt != terms.attempt() || job.settlement.is_some() {
            return;
        }
        let bill = terms.bill(Usage {
            billed_millis: signed.voucher.billed_millis,
            egress_bytes: signed.voucher.egress_bytes,
        });
        let collected = split_rounded_down(job.progress.value, terms.rates.shares);
        let beyond = bill.split.paid.saturating_sub(collected.paid);
        self.cost_so_far = Amount(self.cost_so_far.0.saturating_add(beyond.0));
    }
}

/// A job as known here; `None` when it is not.
pub(crate) async fn look_up(app: &App, id: JobId) -> Result<Option<JobView>, DbError> {
    let order = app.db.order(id).await?;
    let Some(job) = app.db.chain_job(id).await? else {
        return Ok(order.map(|order| JobView::of_order(id, &order)));
    };
    let mut view = JobView::of_chain(&job, order.as_ref());
    view.vouchers = app.db.count_events(id, "voucher-signed").await?;
    if let Some(JobEventBody::VoucherSigned(signed)) = app.db.newest(id, "voucher-signed").await? {
        view.newest_voucher = Some(signed);
    }
    if let Some(JobEventBody::Progress(usage)) = app.db.newest(id, "usage").await? {
        view.usage = Some(usage);
    }
    if let Some(JobEventBody::ResultApproved(approved)) = app.db.newest(id, "result-approved").await? {
        view.result = Some(approved);
    }
    view.count_voucher(&job);
    Ok(Some(view))
}
