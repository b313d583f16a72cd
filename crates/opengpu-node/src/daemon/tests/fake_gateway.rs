//! A gateway with a payer agent that checks by the real rules before it signs, so that a node that over-bills is caught.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use futures::TryStreamExt as _;
use opengpu_core::Address;
use opengpu_core::ids::JobId;
use opengpu_core::metering::{SignerView, check_result, check_voucher, ready_at};
use opengpu_core::order::{Domain, Signable as _};
use opengpu_core::receipt::{JobFacts, NodeFacts, Receipt};
use opengpu_core::sign::SecretKey;
use opengpu_core::wire::{
    ApprovedResult, JobEvent, JobEventBody, Page, Progress, ResultProposal, SignedBid, SignedOrder, SignedStop,
    SignedVoucher, Step, VoucherProposal,
};
use opengpu_store::{BlockStore, CarFrames, Cid, Limits, Scope, dag, import_car};
use tokio_util::io::StreamReader;

use crate::ports::{Gateway, GatewayFault, Position};

#[derive(Default)]
struct State {
    order: Option<SignedOrder>,
    bid: Option<SignedBid>,
    is_known: bool,
    position: Option<Position>,
    events: Vec<JobEvent>,
    newest: Option<SignedVoucher>,
    ready_at: Option<u64>,
    vouchers_signed: usize,
    refusals: Vec<String>,
    steps: Vec<String>,
    log: Vec<u8>,
}

#[derive(Clone)]
pub(super) struct FakeGateway {
    state: Arc<Mutex<State>>,
    pub(super) store: BlockStore,
    domain: Domain,
    signer: SecretKey,
}

fn unix_millis() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    u64::try_from(now.as_millis()).unwrap()
}

impl FakeGateway {
    pub(super) fn new(store: BlockStore, domain: Domain, signer: SecretKey) -> Self {
        Self {
            state: Arc::default(),
            store,
            domain,
            signer,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub(super) fn show(&self, order: SignedOrder) {
        let mut state = self.state();
        state.order = Some(order);
        state.is_known = true;
    }

    /// Payer or signer gives the order up.
    pub(super) fn stop(&self, stop: SignedStop) {
        self.state().tell(JobEventBody::StopRequested(stop));
    }

    pub(super) fn learn_match(&self, position: Position) {
        self.state().position = Some(position);
    }

    pub(super) fn bid(&self) -> Option<SignedBid> {
        self.state().bid.clone()
    }

    pub(super) fn steps(&self) -> Vec<String> {
        self.state().steps.clone()
    }

    pub(super) fn refusals(&self) -> Vec<String> {
        self.state().refusals.clone()
    }

    pub(super) fn vouchers_signed(&self) -> usize {
        self.state().vouchers_signed
    }

    pub(super) fn log(&self) -> Vec<u8> {
        self.state().log.clone()
    }

    /// Its database is deleted. What the chain says it learns again.
    pub(super) fn forget(&self) {
        let mut state = self.state();
        let position = state.position.take();
        *state = State {
            position,
            ..State::default()
        };
    }

    fn known(&self) -> Result<MutexGuard<'_, State>, GatewayFault> {
        let state = self.state();
        if state.is_known {
            Ok(state)
        } else {
            Err(GatewayFault::UnknownJob)
        }
    }
}

impl State {
    fn tell(&mut self, body: JobEventBody) {
        let cursor = (self.events.len() + 1).to_string();
        self.events.push(JobEvent {
            cursor,
            at_millis: unix_millis(),
            body,
        });
    }

    fn view<'a>(&'a self, job_id: JobId, position: &'a Position) -> SignerView<'a> {
        SignerView {
            job_id,
            terms: &position.terms,
            progress: &position.progress,
            interval_seconds: 5,
            ready_at_millis: self.ready_at,
            previous: self.newest.as_ref().map(|newest| &newest.voucher),
            is_stop_wished: false,
            now_millis: unix_millis(),
        }
    }

    /// A signer that lost its memory has it back from the proposal.
    fn restore(&mut self, previous: Option<&SignedVoucher>) {
        if let (None, Some(previous)) = (&self.newest, previous) {
            self.ready_at = Some(ready_at(&previous.voucher, 5, previous.voucher.signed_at * 1000));
            self.newest = Some(previous.clone());
        }
    }
}

#[async_trait]
impl Gateway for FakeGateway {
    fn name(&self) -> String {
        "fake".to_owned()
    }

    async fn orders(&self, _after: &str, _wait: u32) -> Result<Page<SignedOrder>, GatewayFault> {
        tokio::time::sleep(Duration::from_millis(30)).await;
        Ok(Page {
            items: self.state().order.clone().into_iter().collect(),
            cursor: String::new(),
        })
    }

    async fn post_order(&self, order: &SignedOrder) -> Result<(), GatewayFault> {
        self.show(order.clone());
        Ok(())
    }

    async fn post_bid(&self, bid: &SignedBid) -> Result<(), GatewayFault> {
        self.known()?.bid = Some(bid.clone());
        Ok(())
    }

    async fn events(&self, _job: JobId, after: &str, _wait: u32) -> Result<Page<JobEvent>, GatewayFault> {
        tokio::time::sleep(Duration::from_millis(30)).await;
        let state = self.known()?;
        let after: usize = after.parse().unwrap_or(0);
        let items: Vec<_> = state.events.iter().skip(after).cloned().collect();
        Ok(Page {
            cursor: state.events.len().to_string(),
            items,
        })
    }

    async fn post_progress(&self, _job: JobId, progress: &Progress) -> Result<(), GatewayFault> {
        let mut state = self.known()?;
        let name = match &progress.step {
            Step::Failed { reason, .. } => format!("failed: {reason}"),
            step => serde_json::to_value(step).unwrap()["kind"].as_str().unwrap().to_owned(),
        };
        state.steps.push(name);
        Ok(())
    }

    async fn post_voucher(&self, job: JobId, proposal: &VoucherProposal) -> Result<(), GatewayFault> {
        let mut state = self.known()?;
        state.restore(proposal.previous.as_ref());
        let Some(position) = state.position.clone() else {
            return Ok(());
        };
        if let Err(refused) = check_voucher(&state.view(job, &position), &proposal.voucher) {
            state.refusals.push(refused.to_string());
            return Ok(());
        }
        state
            .ready_at
            .get_or_insert(ready_at(&proposal.voucher, 5, unix_millis()));
        let signed = SignedVoucher {
            voucher: proposal.voucher.clone(),
            operator_signature: proposal.operator_signature,
            signer_signature: proposal.voucher.sign(self.domain, &self.signer),
        };
        state.newest = Some(signed.clone());
        state.vouchers_signed += 1;
        state.tell(JobEventBody::VoucherSigned(signed));
        Ok(())
    }

    async fn post_result(&self, job: JobId, proposal: &ResultProposal) -> Result<(), GatewayFault> {
        let mut state = self.known()?;
        state.restore(proposal.previous.as_ref());
        let (Some(position), Some(order)) = (state.position.clone(), state.order.clone()) else {
            return Ok(());
        };
        let is_stored = |root: &str| {
            let cid: Cid = root.parse().unwrap();
            dag::missing(&self.store, &cid).is_ok_and(|missing| missing.is_empty())
        };
        let facts = JobFacts {
            domain: self.domain,
            order: &order.order,
            spec: &order.spec,
            token_symbol: "USDC",
            token_decimals: 6,
            earlier: &[],
            terms: &position.terms,
            collected: &[],
            node: &NodeFacts {
                owner: Address::repeat_byte(6),
                gpus: Vec::new(),
            },
        };
        let receipt = Receipt::from_canonical_json(proposal.receipt.as_bytes()).unwrap();
        let checked = check_result(&state.view(job, &position), &proposal.result)
            .map_err(|refused| refused.to_string())
            .and_then(|()| {
                receipt
                    .consistent_with(&facts, &proposal.result)
                    .map_err(|refused| refused.to_string())
            });
        if let Err(refused) = checked {
            state.refusals.push(refused);
        } else if !is_stored(&proposal.output.0) || !is_stored(&proposal.logs.0) {
            state
                .refusals
                .push("output or log is not in the second store".to_owned());
        } else {
            let approve = proposal.result.approve(self.domain, 0);
            state.tell(JobEventBody::ResultApproved(ApprovedResult {
                result: proposal.result.clone(),
                operator_signature: proposal.operator_signature,
                signer_signature: approve.sign(self.domain, &self.signer),
                approve,
            }));
        }
        Ok(())
    }

    async fn post_log(&self, _job: JobId, offset: u64, bytes: Vec<u8>) -> Result<(), GatewayFault> {
        let mut state = self.known()?;
        let (held, offset) = (state.log.len(), usize::try_from(offset).unwrap());
        if offset > held {
            return Err(GatewayFault::LogGap);
        }
        state
            .log
            .extend_from_slice(bytes.get(held - offset..).unwrap_or_default());
        Ok(())
    }

    async fn upload(&self, _job: JobId, store: &BlockStore, root: &Cid) -> Result<(), GatewayFault> {
        copy(store, &self.store, root, &Limits::default()).await
    }

    async fn fetch(&self, root: &Cid, store: &BlockStore, limits: &Limits) -> Result<(), GatewayFault> {
        copy(&self.store, store, root, limits).await
    }
}

/// Both ways as a CAR, as over HTTP.
async fn copy(from: &BlockStore, to: &BlockStore, root: &Cid, limits: &Limits) -> Result<(), GatewayFault> {
    let frames =
        CarFrames::new(from, root, Scope::All).map_err(|error| GatewayFault::Unreachable(error.to_string()))?;
    let stream = Box::pin(frames.into_stream().map_err(std::io::Error::other));
    let imported = import_car(to, StreamReader::new(stream), Some(root), limits).await;
    imported
        .map(|_| ())
        .map_err(|error| GatewayFault::Unreachable(error.to_string()))
}
