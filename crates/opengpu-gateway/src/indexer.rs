//! Reads the chain into the database, for ever: again from the start when the database is begun anew, again after a pause
//! when the chain node is away.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::app::{App, Sync};
use crate::db::DbError;
use crate::db::jobs::Piece;
use crate::ports::{Batch, Feed, PortError};

/// Pause after a failure, first and longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(5));

/// Why a reading ended.
enum Ended {
    /// The database was begun anew: read from the start.
    Reborn,
    /// Something failed: pause, and go on from the cursor.
    Failed(String),
}

impl From<PortError> for Ended {
    fn from(error: PortError) -> Self {
        Self::Failed(error.to_string())
    }
}

impl From<DbError> for Ended {
    fn from(error: DbError) -> Self {
        match error {
            DbError::Reborn => Self::Reborn,
            other => Self::Failed(other.to_string()),
        }
    }
}

/// Reads until the gateway stops.
pub(crate) async fn read_chain(app: Arc<App>) {
    let mut series = app.db.series_changes();
    let mut pause = PAUSES.0;
    while !app.shutdown.is_cancelled() {
        series.mark_unchanged();
        let ended = tokio::select! {
            ended = read_on(&app, &mut pause) => ended,
            _ = series.changed() => Ended::Reborn,
            () = app.shutdown.cancelled() => return,
        };
        match ended {
            Ended::Reborn => {
                app.hub.everything_changed();
            }
            Ended::Failed(cause) => {
                tracing::warn!(cause, "reading the chain broke off");
                app.sync.send_modify(|sync| sync.is_reachable = false);
                tokio::select! {
                    () = tokio::time::sleep(pause) => {}
                    () = app.shutdown.cancelled() => return,
                }
                pause = (pause * 2).min(PAUSES.1);
            }
        }
    }
}

async fn read_on(app: &App, pause: &mut Duration) -> Ended {
    let failed = |error: DbError| Ended::from(error);
    let (series, cursor) = match app.db.chain_cursor().await {
        Ok(found) => found,
        Err(error) => return failed(error),
    };
    let mut feed = match app.chain.feed(cursor).await {
        Ok(feed) => feed,
        Err(error) => return error.into(),
    };
    loop {
        if let Err(ended) = take_next(app, &series, feed.as_mut()).await {
            return ended;
        }
        *pause = PAUSES.0;
    }
}

async fn take_next(app: &App, series: &str, feed: &mut dyn Feed) -> Result<(), Ended> {
    let batch = feed.next().await?;
    app.clock.learn(batch.head_timestamp);
    let piece = Piece {
        series,
        rolled_back_to: batch.rolled_back_to,
        facts: &batch.facts,
        head: batch.head,
        at_millis: app.clock.now_millis(),
    };
    let changed = app.db.take_in(&piece).await?;
    note_progress(&app.sync, series, &batch);
    for job in changed {
        app.hub.job_changed(job);
    }
    Ok(())
}

fn note_progress(sync: &watch::Sender<Sync>, series: &str, batch: &Batch) {
    sync.send_modify(|sync| {
        if batch.is_newest {
            sync.complete_series = Some(series.to_owned());
        }
        sync.block = batch.head.block;
        sync.is_reachable = true;
    });
}
