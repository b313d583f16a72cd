//! Where co-signed results wait for their transaction: those that wait at the same time are settled together.
//!
//! One worker sends. While its transaction is under way further results gather, so a chain that was away, or gas that was too dear, ends
//! in one transaction for all that waited; a gathering time makes a busy node's transactions fewer on purpose.

use std::time::Duration;

use opengpu_chain::client::ChainClient;
use opengpu_chain::error::ChainError;
use opengpu_chain::transactions::{MOST_IN_A_BATCH, ToSettle};
use opengpu_core::wire::ApprovedResult;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout_at};

use crate::ports::{ChainFault, Position};

/// A result that waits, and whom to tell.
struct Waiting {
    at: Position,
    approved: ApprovedResult,
    answer: oneshot::Sender<Result<(), ChainFault>>,
}

/// The way to the worker. The worker ends with the last copy of it.
#[derive(Debug, Clone)]
pub(crate) struct Settling(mpsc::UnboundedSender<Waiting>);

impl Settling {
    /// Starts the worker. It waits for `gather` after the first result, or until a transaction is full.
    pub(crate) fn start(client: ChainClient, gather: Duration) -> Self {
        let (sender, waiting) = mpsc::unbounded_channel();
        tokio::spawn(work(client, gather, waiting));
        Self(sender)
    }

    /// Waits until a result is settled, by whomever, or the contract refused it.
    pub(crate) async fn settle(&self, at: &Position, approved: &ApprovedResult) -> Result<(), ChainFault> {
        let (answer, answered) = oneshot::channel();
        let waiting = Waiting {
            at: at.clone(),
            approved: approved.clone(),
            answer,
        };
        let gone = || ChainFault::Unreachable("the node is stopping".to_owned());
        self.0.send(waiting).map_err(|_| gone())?;
        answered.await.map_err(|_| gone())?
    }
}

async fn work(client: ChainClient, gather: Duration, mut waiting: mpsc::UnboundedReceiver<Waiting>) {
    while let Some(first) = waiting.recv().await {
        let mut batch = vec![first];
        let until = Instant::now() + gather;
        while batch.len() < MOST_IN_A_BATCH {
            match waiting.try_recv() {
                Ok(next) => batch.push(next),
                Err(_) => match timeout_at(until, waiting.recv()).await {
                    Ok(Some(next)) => batch.push(next),
                    Ok(None) | Err(_) => break,
                },
            }
        }
        // Whoever stopped waiting asks again when it still wants to.
        batch.retain(|waiting| !waiting.answer.is_closed());
        send(&client, batch).await;
    }
}

async fn send(client: &ChainClient, batch: Vec<Waiting>) {
    let outcomes = match batch.as_slice() {
        [] => return,
        [one] => vec![settle_one(client, one).await],
        many => settle_many(client, many).await,
    };
    for (waiting, outcome) in batch.into_iter().zip(outcomes) {
        // Nobody listens any more: the daemon is stopping, and asks the chain when it is back.
        let _ = waiting.answer.send(outcome);
    }
}

async fn settle_one(client: &ChainClient, one: &Waiting) -> Result<(), ChainFault> {
    client
        .ensure_settled(&one.at.terms, &one.at.progress, &one.approved)
        .await?;
    Ok(())
}

async fn settle_many(client: &ChainClient, many: &[Waiting]) -> Vec<Result<(), ChainFault>> {
    let results: Vec<ToSettle<'_>> = many.iter().map(to_settle).collect();
    match client.settle_many(&results).await {
        Ok(outcomes) => {
            tracing::info!(results = many.len(), "settled in one transaction");
            let mut answers = Vec::with_capacity(many.len());
            for (waiting, outcome) in many.iter().zip(outcomes) {
                answers.push(unless_closed(client, waiting, outcome.map(|_| ())).await);
            }
            answers
        }
        Err(error) => {
            let fault = ChainFault::from(error);
            many.iter().map(|_| Err(fault.clone())).collect()
        }
    }
}

fn to_settle(waiting: &Waiting) -> ToSettle<'_> {
    ToSettle {
        terms: &waiting.at.terms,
        progress: &waiting.at.progress,
        approved: &waiting.approved,
    }
}

/// A refusal because somebody else was faster is none.
async fn unless_closed(
    client: &ChainClient,
    waiting: &Waiting,
    outcome: Result<(), ChainError>,
) -> Result<(), ChainFault> {
    match outcome {
        Err(ChainError::Reverted(_)) if client.job(waiting.approved.result.job_id).await?.state.is_closed() => Ok(()),
        other => Ok(other?),
    }
}
