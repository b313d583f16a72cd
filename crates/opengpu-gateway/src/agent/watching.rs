//! The loop that looks after the agent's open jobs and carries out what [`super::watch`] decides.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use opengpu_core::ids::JobId;
use opengpu_core::spec::VOUCHER_INTERVAL_SECONDS;
use opengpu_core::wire::{JobEventBody, Progress, Step};
use tokio::time::{Instant, MissedTickBehavior};

use super::watch::{Watched, next_action};
use super::{AgentError, name_of};
use crate::app::App;
use crate::ports::{Action, PortError};
use crate::projector::ChainJob;

/// The same action on the same job is not tried again sooner: our index has to see the first one.
const TRY_AGAIN_AFTER: Duration = Duration::from_secs(15);

/// Looks until the gateway stops.
pub(crate) async fn keep_watch(app: Arc<App>) {
    let mut series = app.db.series_changes();
    let mut listening_since_millis = app.clock.now_millis();
    let mut has_caught_up = false;
    let mut tried: HashMap<(JobId, &'static str), Instant> = HashMap::new();
    let mut often = tokio::time::interval(Duration::from_secs(app.config.patience.look_seconds.max(1)));
    often.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = often.tick() => {}
            () = app.shutdown.cancelled() => return,
        }
        let is_reachable = app.sync.borrow().is_reachable;
        if !app.is_index_complete() || !is_reachable || series.has_changed().unwrap_or(false) {
            // What we missed meanwhile is not the nodes' silence.
            series.mark_unchanged();
            listening_since_millis = app.clock.now_millis();
            has_caught_up = false;
            continue;
        }
        if !has_caught_up {
            has_caught_up = true;
            catch_up(&app).await;
        }
        tried.retain(|_, at| at.elapsed() < TRY_AGAIN_AFTER);
        if let Err(error) = look_after_all(&app, listening_since_millis, &mut tried).await {
            tracing::error!(%error, "the agent could not look after its jobs");
        }
    }
}

/// Looks at results that were proposed before a stop and not answered.
async fn catch_up(app: &Arc<App>) {
    match app.db.open_jobs_signed_by(app.agent.address()).await {
        Ok(jobs) => jobs.iter().for_each(|job| app.reconsider_result(job.job_id)),
        Err(error) => tracing::error!(%error, "cannot look for unanswered results"),
    }
}

async fn look_after_all(
    app: &App,
    listening_since_millis: u64,
    tried: &mut HashMap<(JobId, &'static str), Instant>,
) -> Result<(), AgentError> {
    for job in app.db.open_jobs_signed_by(app.agent.address()).await? {
        let Some(action) = decide(app, &job, listening_since_millis).await? else {
            continue;
        };
        let attempted = (job.job_id, action.name());
        if tried.contains_key(&attempted) {
            continue;
        }
        tried.insert(attempted, Instant::now());
        carry_out(app, &job, &action).await;
    }
    Ok(())
}

async fn decide(app: &App, job: &ChainJob, listening_since_millis: u64) -> Result<Option<Action>, AgentError> {
    let Some(terms) = &job.terms else { return Ok(None) };
    let order = app.db.order(job.job_id).await?;
    let record = app.agent.record(name_of(job.job_id, terms)).await?;
    let watched = Watched {
        job,
        terms,
        record: &record,
        interval_seconds: order.map_or(*VOUCHER_INTERVAL_SECONDS.end(), |order| {
            order.spec.voucher_interval_seconds
        }),
        is_wrapping_up: is_wrapping_up(app, job.job_id, terms.attempt()).await?,
        heard_millis: app.db.last_heard(job.job_id, terms.attempt()).await?,
        listening_since_millis,
        now_millis: app.clock.now_millis(),
        response_window_seconds: app.chain.response_window_seconds(),
    };
    Ok(next_action(&watched, &app.config.patience))
}

async fn is_wrapping_up(app: &App, job: JobId, attempt: u8) -> Result<bool, AgentError> {
    let newest = app.db.newest(job, "progress").await?;
    Ok(matches!(
        newest,
        Some(JobEventBody::Progress(Progress { attempt: of, step: Step::Exited { .. } | Step::Storing, .. })) if of == attempt
    ))
}

async fn carry_out(app: &App, job: &ChainJob, action: &Action) {
    let (id, name) = (job.job_id, action.name());
    tracing::warn!(job = %id, action = name, "the agent acts on chain");
    let done = tokio::select! {
        done = app.chain.act(job, action) => done,
        () = app.shutdown.cancelled() => return,
    };
    match done {
        Ok(()) => tracing::info!(job = %id, action = name, "done"),
        Err(PortError::Retry(cause)) => {
            tracing::warn!(job = %id, action = name, cause, "not done; will be tried again")
        }
        Err(PortError::Refused(cause)) => tracing::error!(job = %id, action = name, cause, "the chain refused"),
    }
}
