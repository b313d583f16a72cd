//! `opengpu stop`: asks a job to end now; what was used is paid, the rest comes back.

use std::time::Duration;

use opengpu_core::ids::JobId;
use opengpu_core::wire::SignedStop;
use serde_json::json;
use tokio::time::{interval, timeout};

use super::Context;
use crate::args;
use crate::failure::{Failure, Kind, Outcome};
use crate::interrupts::Interrupts;
use crate::job::record::Records;
use crate::output::{print_json, print_line, say, short};
use crate::session::{Session, chain_failure};

/// How long a stop may take: the program's grace, storing its output, and a block.
const PATIENCE: Duration = Duration::from_secs(120);

/// Sends the wish, and waits for the settlement unless told not to.
pub(crate) async fn stop(context: &Context, args: &args::Stop) -> Outcome {
    let mut interrupts = Interrupts::listen()?;
    let session = Session::open(&context.home, &context.global).await?;
    let (job, _) = Records::of(&context.home).find(&session.profile.name, &args.job)?;
    let state = session.state_of(job).await.map_err(chain_failure)?;
    if state.is_closed() {
        return Err(Failure::error(format_args!("job {} has ended already", short(job)))
            .hint(format_args!("`opengpu job result {}` fetches what it left", short(job))));
    }
    session
        .gateway
        .post_stop(&SignedStop::sign(session.domain(), job, &session.key))
        .await?;
    if !args.no_wait {
        say("stop requested; waiting for the settlement");
        interrupts
            .or(
                settled(&session, job),
                "the stop is under way; `opengpu ps` says where it stands",
            )
            .await?;
    }
    if context.global.json {
        return print_json(&json!({ "jobId": job, "isSettled": !args.no_wait }));
    }
    print_line(&format!(
        "{} {}",
        if args.no_wait {
            "stop requested:"
        } else {
            "stopped and settled:"
        },
        short(job)
    ))
}

async fn settled(session: &Session, job: JobId) -> Outcome {
    let look = async {
        let mut looks = interval(session.chain_look());
        loop {
            looks.tick().await;
            if session.state_of(job).await.is_ok_and(|state| state.is_closed()) {
                return;
            }
        }
    };
    timeout(PATIENCE, look).await.map_err(|_| {
        Failure::new(
            Kind::TimeOut,
            format_args!("the job was not settled within {} s", PATIENCE.as_secs()),
        )
        .hint("`opengpu ps` says where it stands")
    })
}
