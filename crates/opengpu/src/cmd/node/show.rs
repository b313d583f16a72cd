//! `opengpu node show`.

use opengpu_chain::time::show_utc;
use opengpu_chain::{NodeOnChain, NodeRecord};
use opengpu_core::Address;
use opengpu_core::ids::NodeId;
use opengpu_core::money::Amount;
use opengpu_core::tier::{DAY_SECONDS, Gate, Standing, gate_of};
use serde::Serialize;

use super::unbond::{UnbondRequest, lapses_at};
use super::{chosen, usd};
use crate::args::NodeChoice;
use crate::cmd::Context;
use crate::failure::Outcome;
use crate::output::{TokenName, print_json, print_line, show_deadline, table};
use crate::session::{Session, chain_failure};

/// What `node show` prints.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown {
    node: NodeId,
    owner: Address,
    operator: Address,
    gpu_model: String,
    tier: u8,
    /// Millionths of a USD per hour.
    list_price: u64,
    pending_list_price: u64,
    /// Unix seconds, 0: none is pending.
    list_price_from: u64,
    is_draining: bool,
    is_suspended: bool,
    /// Base units of OPEN.
    bond: Amount,
    unbonding: Amount,
    unbonds_at: u64,
    /// Unix second from which the request counts for nothing, 0: none.
    unbond_lapses_at: u64,
    record: Record,
    /// `null` for a node of the highest tier.
    next_tier: Option<NextTier>,
}

/// What tiers are computed from.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Record {
    closed: u32,
    successes: u32,
    fails: u32,
    neutrals: u32,
    user_faults: u32,
    counted: u32,
    earned_usd_micros: u64,
    since: u32,
}

/// What the tier above asks for.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct NextTier {
    tier: u8,
    gates: Vec<GatePart>,
}

/// One thing that a tier asks for, as people read it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct GatePart {
    name: &'static str,
    has: String,
    needs: String,
    is_met: bool,
}

/// A node's standing, and what the next tier asks for.
pub(super) async fn show(context: &Context, session: &Session, choice: &NodeChoice) -> Outcome {
    let node = chosen(session, choice.node)?;
    let found = session.node(node).await?;
    let record = session.chain.node_record(node).await.map_err(chain_failure)?;
    let (_, open) = session.token("OPEN")?;
    let next = next_tier(session, node, &found, record, &open).await?;
    if context.global.json {
        return print_json(&shown(node, &found, record, next));
    }
    let now = session.now().await?;
    let state = match (found.is_suspended, found.is_draining) {
        (true, _) => "suspended after three unanswered faults; `opengpu node resume`",
        (_, true) => "draining",
        _ => "takes jobs",
    };
    let mut rows = vec![
        ["owner".to_owned(), found.owner.to_string()],
        ["operator".to_owned(), found.operator.to_string()],
        ["hardware".to_owned(), found.gpu_model.clone()],
        ["state".to_owned(), state.to_owned()],
        ["tier".to_owned(), format!("T{}", found.tier)],
        ["list price".to_owned(), format!("{} USD/h", usd(found.list_price))],
        ["bond".to_owned(), open.show(found.bond)],
        [
            "jobs".to_owned(),
            format!(
                "{} closed: {} good, {} failed, {} undecided, {} the user's fault",
                record.closed,
                record.successes,
                record.fails,
                record.neutrals,
                user_faults(&record)
            ),
        ],
        [
            "counted".to_owned(),
            format!("{} worth {} USD", record.counted, usd(record.earned_usd_micros)),
        ],
    ];
    if found.list_price_from != 0 {
        let text = format!(
            "{} USD/h from {}",
            usd(found.pending_list_price),
            show_deadline(found.list_price_from, now)
        );
        rows.insert(6, ["price to come".to_owned(), text]);
    }
    if let Some(text) = asked_back(&found, &open, now) {
        rows.push(["asked back".to_owned(), text]);
    }
    print_line(&format!("node {node} on {}", session.profile.name))?;
    print_line(&table(["", ""], rows))?;
    print_next(&next)
}

fn asked_back(found: &NodeOnChain, open: &TokenName, now: u64) -> Option<String> {
    let asked = open.show(found.unbonding);
    let amount = found.unbonding.format_units(open.decimals);
    match UnbondRequest::of(found, now) {
        UnbondRequest::None => None,
        UnbondRequest::Waiting(from) => Some(format!("{asked} from {}", show_deadline(from, now))),
        UnbondRequest::Mature(until) => Some(format!(
            "{asked} until {}: `opengpu node unbond {amount}` takes it",
            show_deadline(until, now)
        )),
        UnbondRequest::Lapsed(at) => Some(format!(
            "{asked}, lapsed at {}: `opengpu node unbond {amount}` asks again",
            show_utc(at)
        )),
    }
}

/// Attempts that the user's program ended: closed, and neither for nor against the node.
fn user_faults(record: &NodeRecord) -> u32 {
    let others = [record.successes, record.fails, record.neutrals];
    others.into_iter().fold(record.closed, u32::saturating_sub)
}

fn print_next(next: &Option<NextTier>) -> Outcome {
    let Some(next) = next else {
        return print_line("T4 is the highest tier");
    };
    let rows = next.gates.iter().map(|gate| {
        let state = if gate.is_met { "" } else { "missing" };
        [
            gate.name.to_owned(),
            gate.has.clone(),
            gate.needs.clone(),
            state.to_owned(),
        ]
    });
    print_line("")?;
    print_line(&table(
        [&format!("for T{}", next.tier), "has", "needs", ""],
        rows.collect(),
    ))?;
    if next.gates.iter().all(|gate| gate.is_met) {
        print_line("all of it is there: `opengpu node promote`")?;
    }
    Ok(())
}

/// Each part of the next tier's gate beside what the node has; `None` for one of the highest tier.
async fn next_tier(
    session: &Session,
    node: NodeId,
    found: &NodeOnChain,
    record: NodeRecord,
    open: &TokenName,
) -> Outcome<Option<NextTier>> {
    let Some((tier, gate)) = gate_of(found.tier + 1).map(|gate| (found.tier + 1, gate)) else {
        return Ok(None);
    };
    let standing = Standing {
        closed: record.closed,
        successes: record.successes,
        fails: record.fails,
        neutrals: record.neutrals,
        counted: record.counted,
        earned_usd_micros: record.earned_usd_micros,
        age_seconds: session.now().await?.saturating_sub(u64::from(record.since)),
        bond: found.bond,
        bond_unit: session.chain.bond_unit(node).await.map_err(chain_failure)?,
    };
    let gates = gates(&standing, &gate, open);
    Ok(Some(NextTier { tier, gates }))
}

fn gates(standing: &Standing, gate: &Gate, open: &TokenName) -> Vec<GatePart> {
    let met = standing.met(gate);
    let part = |name, has, needs, is_met| GatePart {
        name,
        has,
        needs,
        is_met,
    };
    let bond = Amount(standing.bond_unit.0.saturating_mul(u128::from(gate.bond_units)));
    let needed_bond = if bond == Amount::ZERO {
        "unknown while OPEN has no rate".to_owned()
    } else {
        open.show(bond)
    };
    let decided = u64::from(standing.successes) + u64::from(standing.fails);
    vec![
        part(
            "counted",
            standing.counted.to_string(),
            gate.counted.to_string(),
            met.counted,
        ),
        part(
            "earned",
            format!("{} USD", usd(standing.earned_usd_micros)),
            format!("{} USD", gate.earned_usd),
            met.earned,
        ),
        part(
            "age",
            format!("{} d", standing.age_seconds / DAY_SECONDS),
            format!("{} d", gate.age_days),
            met.age,
        ),
        part(
            "completion",
            share(standing.successes, decided),
            format!("at least {} %", gate.completion_percent),
            met.completion,
        ),
        part(
            "contested",
            share(standing.neutrals, u64::from(standing.closed)),
            format!("at most {} %", gate.contested_percent),
            met.contested,
        ),
        part("bond", open.show(standing.bond), needed_bond, met.bond),
    ]
}

/// `39 of 40 (97.5 %)`.
fn share(part: u32, whole: u64) -> String {
    match (u128::from(part) * 1_000).checked_div(u128::from(whole)) {
        Some(tenths) => format!("{part} of {whole} ({} %)", Amount(tenths).format_units(1)),
        None => "no jobs".to_owned(),
    }
}

fn shown(node: NodeId, found: &NodeOnChain, record: NodeRecord, next_tier: Option<NextTier>) -> Shown {
    Shown {
        node,
        owner: found.owner,
        operator: found.operator,
        gpu_model: found.gpu_model.clone(),
        tier: found.tier,
        list_price: found.list_price,
        pending_list_price: found.pending_list_price,
        list_price_from: found.list_price_from,
        is_draining: found.is_draining,
        is_suspended: found.is_suspended,
        bond: found.bond,
        unbonding: found.unbonding,
        unbonds_at: found.unbonds_at,
        unbond_lapses_at: lapses_at(found),
        record: Record {
            closed: record.closed,
            successes: record.successes,
            fails: record.fails,
            neutrals: record.neutrals,
            user_faults: user_faults(&record),
            counted: record.counted,
            earned_usd_micros: record.earned_usd_micros,
            since: record.since,
        },
        next_tier,
    }
}
