//! `opengpu ps`: the jobs started from here, where they stand and what they cost so far.

use opengpu_core::ids::JobId;
use opengpu_core::job::JobState;
use opengpu_core::money::Amount;
use serde::Serialize;

use super::Context;
use crate::args;
use crate::failure::Outcome;
use crate::job::record::{JobRecord, Records};
use crate::output::{print_json, print_line, short, table};
use crate::session::{Session, chain_failure};

/// One job.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    job_id: JobId,
    name: String,
    image: String,
    state: JobState,
    node: opengpu_core::ids::NodeId,
    token: String,
    locked: Amount,
    /// From the gateway; null when it does not answer.
    cost_so_far: Option<Amount>,
    ordered_at: u64,
}

/// Lists open jobs, or all of them.
pub(crate) async fn ps(context: &Context, args: &args::Ps) -> Outcome {
    let session = Session::open(&context.home, &context.global).await?;
    let mut rows = Vec::new();
    for record in Records::of(&context.home).of_network(&session.profile.name)? {
        let state = session.state_of(record.job_id).await.map_err(chain_failure)?;
        if args.all || state.is_open() {
            rows.push(row(&session, &record, state).await);
        }
    }
    if context.global.json {
        return print_json(&rows);
    }
    let lines = rows.iter().map(|row| {
        let token = session.token_name_of(&row.token);
        let cost = row.cost_so_far.map_or_else(|| "?".to_owned(), |cost| token.show(cost));
        let state = format!("{:?}", row.state).to_lowercase();
        let (job, node, locked) = (short(row.job_id), row.node.to_string(), token.show(row.locked));
        [job, row.name.clone(), state, node, cost, locked, row.image.clone()]
    });
    print_line(&table(
        ["JOB", "NAME", "STATE", "NODE", "COST", "LOCKED", "IMAGE"],
        lines.collect(),
    ))
}

async fn row(session: &Session, record: &JobRecord, state: JobState) -> Row {
    let order = &record.order.order;
    let view = session.gateway.job(record.job_id).await.ok();
    Row {
        job_id: record.job_id,
        name: record.order.spec.name.clone(),
        image: record.image.clone(),
        state,
        node: record.bid.bid.node,
        token: session.token_name(order.token).symbol,
        locked: order.max_cost,
        cost_so_far: view.map(|view| view.cost_so_far),
        ordered_at: record.ordered_at,
    }
}
