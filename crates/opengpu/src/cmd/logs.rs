//! `opengpu logs`: what a job wrote, once or as it grows.

use std::time::Duration;

use opengpu_core::ids::JobId;
use serde_json::json;
use tokio::time::{MissedTickBehavior, interval};

use super::Context;
use crate::args;
use crate::failure::Outcome;
use crate::interrupts::Interrupts;
use crate::job::record::Records;
use crate::output::{print_json, print_log};
use crate::session::Session;

/// How often a followed log is read: fast enough to look live.
const READ_EVERY: Duration = Duration::from_millis(250);

/// Prints a job's log.
pub(crate) async fn logs(context: &Context, args: &args::Logs) -> Outcome {
    let mut interrupts = Interrupts::listen()?;
    let session = Session::open(&context.home, &context.global).await?;
    let (job, _) = Records::of(&context.home).find(&session.profile.name, &args.job)?;
    if args.follow {
        return tokio::select! {
            outcome = follow(&session, job) => outcome,
            _ = interrupts.next() => Ok(()), // leaving a log is how following it ends
        };
    }
    let bytes = session.gateway.log(job, 0).await?;
    if context.global.json {
        return print_json(&json!({ "jobId": job, "log": String::from_utf8_lossy(&bytes) }));
    }
    print_log(&bytes)
}

/// Prints what is there and what comes, until the job has ended and nothing more comes.
async fn follow(session: &Session, job: JobId) -> Outcome {
    let mut offset = 0;
    let mut reads = interval(READ_EVERY);
    reads.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        reads.tick().await;
        // Asked before the log: what the job wrote last is then in the read that follows.
        let is_open = session.state_of(job).await.map_or(true, |state| !state.is_closed());
        let bytes = match session.gateway.log(job, offset).await {
            Ok(bytes) => bytes,
            Err(error) if error.is_retryable() => continue,
            Err(error) => return Err(error.into()),
        };
        offset += bytes.len() as u64;
        print_log(&bytes)?;
        if !is_open && bytes.is_empty() {
            return Ok(());
        }
    }
}
