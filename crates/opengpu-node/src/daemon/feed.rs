//! The chain's news: read for ever, handed on, and remembered how far.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use super::{Message, Shared};
use crate::journal::write_durably;
use crate::ports::{ChainFeed, Cursor};

/// The first pause after the chain could not be reached, and the longest: each failure doubles it.
const PAUSES: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(5));

/// Hands on every batch until shut down. An outage only pauses it.
pub(super) async fn follow(shared: Arc<Shared>, mut feed: Box<dyn ChainFeed>, daemon: mpsc::UnboundedSender<Message>) {
    let mut pause = PAUSES.0;
    loop {
        let next = tokio::select! {
            () = shared.shutdown.cancelled() => return,
            next = feed.next() => next,
        };
        match next {
            Ok(batch) => {
                pause = PAUSES.0;
                if daemon.send(Message::News(batch)).is_err() {
                    return;
                }
            }
            Err(fault) => {
                tracing::warn!(%fault, "no news of the chain");
                if is_shut_down_within(&shared, pause).await {
                    return;
                }
                pause = (pause * 2).min(PAUSES.1);
            }
        }
    }
}

/// Waits `pause`; true when the daemon is shut down meanwhile.
pub(super) async fn is_shut_down_within(shared: &Shared, pause: Duration) -> bool {
    tokio::select! {
        () = shared.shutdown.cancelled() => true,
        () = tokio::time::sleep(pause) => false,
    }
}

/// Remembers the cursor once every job has saved what it was told up to it. A job that cannot save keeps it back: after a
/// restart the news is told again, which changes nothing for the others.
pub(super) async fn save_cursor(shared: Arc<Shared>, cursor: Cursor, saved: Vec<oneshot::Receiver<()>>) {
    for waiter in saved {
        if waiter.await.is_err() {
            return;
        }
    }
    let _alone = shared.cursor_lock.clone().lock_owned().await;
    let written = tokio::task::spawn_blocking(move || {
        let bytes = serde_json::to_vec(&cursor)?;
        write_durably(&shared.cursor_file, &bytes)
    });
    if let Ok(Err(error)) = written.await {
        tracing::warn!(%error, "the chain's position is not saved");
    }
}

/// The saved cursor. Without one, or with a damaged one, everything is read again.
pub(crate) fn load_cursor(path: &Path) -> Option<Cursor> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}
