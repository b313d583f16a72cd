//! Three ears on one job: the gateway's stream, its log, and the chain. What they hear arrives in one channel.
//!
//! Gateway and chain may be away for a while, or come back with less than they knew; each ear then says so once and goes
//! on. A gateway that forgot the job is given its order again.

use std::collections::HashSet;
use std::time::Duration;

use opengpu_core::ids::{JobId, Sha256Digest};
use opengpu_core::job::JobState;
use opengpu_core::wire::{JobEventBody, SignedOrder};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Interval, MissedTickBehavior, interval};

use crate::client::{GatewayClient, GatewayError};
use crate::session::Session;

/// How long one call waits for something new in the stream, in seconds.
const STREAM_WAIT_SECONDS: u8 = 10;
/// Least time between two calls that bring nothing.
const RETRY: Duration = Duration::from_millis(500);
/// How often the log is read: fast enough to look live.
const LOG_EVERY: Duration = Duration::from_millis(250);
/// How many pieces of news may wait to be told.
const BACKLOG: usize = 256;

/// What was heard.
#[derive(Debug)]
pub(crate) enum News {
    /// The gateway's stream has a new entry.
    Event(Box<JobEventBody>),
    /// The log grew.
    Log(Vec<u8>),
    /// The chain says the job stands here now, and said something else before.
    State(JobState),
    /// Gateway or chain went away or came back.
    Note(String),
}

/// Listens until dropped.
#[derive(Debug)]
pub(crate) struct Watch {
    news: mpsc::Receiver<News>,
    _ears: JoinSet<()>,
}

impl Watch {
    /// Starts listening to `job`.
    pub(crate) fn start(session: &Session, job: JobId, order: &SignedOrder) -> Self {
        let (sender, news) = mpsc::channel(BACKLOG);
        let mut ears = JoinSet::new();
        ears.spawn(hear_stream(session.gateway.clone(), job, order.clone(), sender.clone()));
        ears.spawn(hear_log(session.gateway.clone(), job, sender.clone()));
        ears.spawn(hear_chain(session.clone(), job, sender));
        Self { news, _ears: ears }
    }

    /// The next thing heard. `None` only when all ears ended, which they do not.
    pub(crate) async fn next(&mut self) -> Option<News> {
        self.news.recv().await
    }
}

/// Says once that somebody is away, and once that it is back.
struct Absence {
    who: &'static str,
    is_away: bool,
}

impl Absence {
    fn of(who: &'static str) -> Self {
        Self { who, is_away: false }
    }

    fn away(&mut self, why: &dyn std::fmt::Display) -> Option<News> {
        let is_new = !std::mem::replace(&mut self.is_away, true);
        tracing::info!(who = self.who, %why, "does not answer");
        is_new.then(|| {
            News::Note(format!(
                "the {} does not answer; trying again, the job goes on meanwhile",
                self.who
            ))
        })
    }

    fn back(&mut self) -> Option<News> {
        let was_away = std::mem::replace(&mut self.is_away, false);
        was_away.then(|| News::Note(format!("the {} is back", self.who)))
    }
}

fn ticks(period: Duration) -> Interval {
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

async fn hear_stream(gateway: GatewayClient, job: JobId, order: SignedOrder, news: mpsc::Sender<News>) {
    let mut cursor = String::new();
    let mut heard = HashSet::new();
    let mut absence = Absence::of("gateway");
    let mut retry = ticks(RETRY);
    while !news.is_closed() {
        let note = match gateway.events(job, &cursor, STREAM_WAIT_SECONDS).await {
            Ok(page) => {
                if page.items.is_empty() {
                    retry.tick().await;
                }
                cursor = page.cursor;
                let fresh = page
                    .items
                    .into_iter()
                    .filter(|event| heard.insert(fingerprint(&event.body)));
                for event in fresh {
                    let _ = news.send(News::Event(Box::new(event.body))).await;
                }
                absence.back()
            }
            Err(GatewayError::UnknownJob) => {
                cursor.clear();
                retry.tick().await;
                gateway
                    .post_order(&order)
                    .await
                    .err()
                    .and_then(|error| absence.away(&error))
            }
            Err(error) => {
                retry.tick().await;
                absence.away(&error)
            }
        };
        if let Some(note) = note {
            let _ = news.send(note).await;
        }
    }
}

/// What makes an entry the same one when a gateway that lost its memory tells it again.
fn fingerprint(body: &JobEventBody) -> Sha256Digest {
    Sha256Digest::of(&serde_json::to_vec(body).unwrap_or_default())
}

async fn hear_log(gateway: GatewayClient, job: JobId, news: mpsc::Sender<News>) {
    let mut offset = 0;
    let mut looks = ticks(LOG_EVERY);
    while !news.is_closed() {
        looks.tick().await;
        // Absence is told by the stream's ear; the log is complete in the job's artifacts at the end in any case.
        let Ok(bytes) = gateway.log(job, offset).await else {
            continue;
        };
        offset += bytes.len() as u64;
        if !bytes.is_empty() {
            let _ = news.send(News::Log(bytes)).await;
        }
    }
}

async fn hear_chain(session: Session, job: JobId, news: mpsc::Sender<News>) {
    let mut known = JobState::Matched;
    let mut absence = Absence::of("chain");
    let mut looks = ticks(session.chain_look());
    while !news.is_closed() {
        looks.tick().await;
        let note = match session.state_of(job).await {
            Ok(state) => {
                // A match that is gone is told until it is back: sending it again may take several tries.
                if state != known || state == JobState::None {
                    known = state;
                    let _ = news.send(News::State(state)).await;
                }
                absence.back()
            }
            Err(error) => absence.away(&error),
        };
        if let Some(note) = note {
            let _ = news.send(note).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_absence_is_told_once_and_so_is_the_return() {
        let mut absence = Absence::of("gateway");
        assert!(absence.back().is_none());
        assert!(absence.away(&"gone").is_some());
        assert!(absence.away(&"gone").is_none());
        assert!(matches!(absence.back(), Some(News::Note(text)) if text == "the gateway is back"));
        assert!(absence.back().is_none());
    }
}
