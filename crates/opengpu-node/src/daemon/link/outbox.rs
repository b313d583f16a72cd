//! Proposals and progress, newest first tried, until the gateway has them.

use std::collections::VecDeque;
use std::sync::Arc;

use opengpu_core::ids::CidText;
use opengpu_core::wire::{Progress, ResultProposal, Step, VoucherProposal};
use tokio::sync::mpsc;

use super::{Line, Outgoing};
use crate::ports::GatewayFault;

/// Steps kept for a gateway that is away; of usage only the newest counts anyway.
const MAX_STEPS: usize = 64;

/// What the gateway does not have yet.
#[derive(Default)]
struct Unsent {
    steps: VecDeque<Progress>,
    last_seq: u32,
    voucher: Option<Box<VoucherProposal>>,
    result: Option<Box<ResultProposal>>,
    /// Roots the gateway's store has, as of a generation.
    uploaded: (u64, Vec<CidText>),
}

pub(super) async fn run(line: Arc<Line>, mut messages: mpsc::UnboundedReceiver<Outgoing>) {
    let mut unsent = Unsent::default();
    loop {
        while let Ok(message) = messages.try_recv() {
            unsent.take_in(&line, message);
        }
        if unsent.is_empty() {
            let message = tokio::select! {
                () = line.talking.cancelled() => return,
                message = messages.recv() => message,
            };
            match message {
                Some(message) => unsent.take_in(&line, message),
                None => return,
            }
            continue;
        }
        let sent = tokio::select! {
            () = line.talking.cancelled() => return,
            sent = unsent.send_one(&line) => sent,
        };
        if let Err(fault) = sent
            && line.recover(&fault, "send").await
        {
            return;
        }
    }
}

impl Unsent {
    fn is_empty(&self) -> bool {
        self.steps.is_empty() && self.voucher.is_none() && self.result.is_none()
    }

    fn take_in(&mut self, line: &Line, message: Outgoing) {
        match message {
            Outgoing::Voucher(proposal) => self.voucher = Some(proposal),
            Outgoing::Result(proposal) => self.result = Some(proposal),
            Outgoing::Progress { step, matched_at, now } => {
                // Numbered by time, so that numbers go on growing after a restart: hundredths of a second since the match.
                let since = now.chain_millis().saturating_sub(matched_at * 1000) / 10;
                self.last_seq = u32::try_from(since)
                    .unwrap_or(u32::MAX)
                    .max(self.last_seq.saturating_add(1));
                let (attempt, seq, at_millis) = (line.attempt, self.last_seq, now.moment.unix_millis);
                if matches!(step, Step::Usage { .. }) {
                    self.steps.retain(|old| !matches!(old.step, Step::Usage { .. }));
                }
                self.steps.push_back(Progress {
                    attempt,
                    seq,
                    at_millis,
                    step,
                });
                if self.steps.len() > MAX_STEPS {
                    self.steps.pop_front();
                }
            }
        }
    }

    /// Sends the most urgent thing. What a gateway refuses is dropped: the next proposal comes anyway.
    async fn send_one(&mut self, line: &Line) -> Result<(), GatewayFault> {
        if let Some(proposal) = &self.voucher {
            keep_retryable(line, line.gateway.post_voucher(line.job, proposal).await)?;
            self.voucher = None;
        } else if let Some(step) = self.steps.front() {
            keep_retryable(line, line.gateway.post_progress(line.job, step).await)?;
            self.steps.pop_front();
        } else if let Some(proposal) = self.result.clone() {
            self.upload(line, &proposal).await?;
            keep_retryable(line, line.gateway.post_result(line.job, &proposal).await)?;
            self.result = None;
        }
        Ok(())
    }

    /// The signer approves only what a second store has: output and log go there before the proposal.
    async fn upload(&mut self, line: &Line, proposal: &ResultProposal) -> Result<(), GatewayFault> {
        if self.uploaded.0 != line.generation() {
            self.uploaded = (line.generation(), Vec::new());
        }
        for root in [&proposal.output, &proposal.logs] {
            let Ok(cid) = root.0.parse() else { continue };
            if !self.uploaded.1.contains(root) {
                keep_retryable(line, line.gateway.upload(line.job, &line.depot.store, &cid).await)?;
                self.uploaded.1.push(root.clone());
            }
        }
        Ok(())
    }
}

/// Turns a refusal, which repeating cannot change, into a line of log.
fn keep_retryable(line: &Line, outcome: Result<(), GatewayFault>) -> Result<(), GatewayFault> {
    match outcome {
        Err(fault @ GatewayFault::Refused { .. }) => {
            tracing::warn!(job = %line.job, gateway = line.gateway.name(), %fault, "refused");
            Ok(())
        }
        other => other,
    }
}
