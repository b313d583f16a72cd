//! `opengpu run`: one job, from the command line to the bill.

use super::Context;
use crate::args;
use crate::failure::{Failure, Outcome};
use crate::interrupts::{Interrupts, waiting_for_block};
use crate::job::cosign::Cosigner;
use crate::job::finish::{finish, result_text};
use crate::job::follow::{End, Follower, Learnt, detached_text};
use crate::job::market::{Offer, withdraw};
use crate::job::record::JobRecord;
use crate::job::start::{Prepared, prepare};
use crate::job::story::{LogTo, Story, Teller};
use crate::job::verdict::verdict;
use crate::output::{ask, print_json, print_json_with, print_line, say};
use crate::session::Session;

/// Runs a job and follows it, unless told to leave.
pub(crate) async fn run(context: &Context, args: &args::Run) -> Outcome {
    let mut interrupts = Interrupts::listen()?;
    let session = Session::open(&context.home, &context.global).await?;
    let (_, token_name) = session.token(&args.token)?;
    let log = if context.global.json {
        LogTo::Stderr
    } else {
        LogTo::Stdout
    };
    let mut teller = Teller::new(token_name, log);
    let (prepared, offer) = interrupts
        .or(offer(context, &session, args, &mut teller), "nothing was locked")
        .await?;
    // From here to the record the match may be on its way: without it nobody can be told to stop the job.
    let accepted = prepared.accept(&session, args, offer, &mut teller);
    let record = waiting_for_block(&session.chain, accepted).await?;
    prepared.upload(&session, &record, &mut teller, &mut interrupts).await?;
    drop(prepared);
    if args.detach {
        return detached(context, &record);
    }
    follow_to_the_bill(context, &session, args, &record, &mut teller, &mut interrupts).await
}

async fn offer(
    context: &Context,
    session: &Session,
    args: &args::Run,
    story: &mut dyn Story,
) -> Outcome<(Prepared, Offer)> {
    let prepared = prepare(session, args, story).await?;
    let offer = prepared.offer(session, story).await?;
    let answer = if context.global.yes {
        None
    } else {
        ask("lock the escrow and run it? [Y/n]").await
    };
    match answer.as_deref() {
        None | Some("" | "y" | "yes") => Ok((prepared, offer)),
        Some(_) => {
            withdraw(session, offer.bid.bid.job_id).await;
            Err(Failure::error("not accepted; nothing is locked").hint("--yes accepts without asking"))
        }
    }
}

async fn follow_to_the_bill(
    context: &Context,
    session: &Session,
    args: &args::Run,
    record: &JobRecord,
    story: &mut dyn Story,
    interrupts: &mut Interrupts,
) -> Outcome {
    let cosigner = if args.self_sign {
        Some(Cosigner::new(session, record).await?)
    } else {
        None
    };
    let mut follower = Follower {
        session,
        record,
        story,
        cosigner,
        may_ask: true,
        learnt: Learnt::default(),
    };
    if follower.follow(interrupts).await? == End::Detached {
        return detached(context, record);
    }
    let mut learnt = follower.learnt;
    let work = finish(session, record, &mut learnt, &record.output, story);
    let (finished, history) = interrupts.or(work, result_text(record.job_id)).await?;
    let verdict = verdict(&learnt, &history.terms, &finished.bill);
    if context.global.json {
        return print_json_with(&finished, verdict);
    }
    say(&format!("output   {}", record.output.display()));
    say(&format!(
        "receipt  {} ({})",
        finished.receipt.path.display(),
        finished.receipt.cid
    ));
    verdict
}

fn detached(context: &Context, record: &JobRecord) -> Outcome {
    if context.global.json {
        return print_json(&serde_json::json!({ "jobId": record.job_id, "isDetached": true }));
    }
    print_line(&record.job_id.to_string())?;
    say(&detached_text(record));
    Ok(())
}
