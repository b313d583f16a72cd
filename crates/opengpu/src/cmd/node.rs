//! `opengpu node show|promote|bond|unbond|price|drain|resume|incentives`: a node's standing on chain. Running its daemon is in `daemons`.

mod incentives;
mod show;

use opengpu_chain::NodeOnChain;
use opengpu_chain::time::show_utc;
use opengpu_core::ids::NodeId;
use opengpu_core::money::Amount;
use opengpu_core::tier::DAY_SECONDS;

use super::Context;
use super::wallet::enough_open;
use crate::args::{Bond, Incentives, Node, NodeChoice, PriceChange, Unbond};
use crate::failure::{Failure, Outcome};
use crate::home::LOCAL;
use crate::interrupts::sending;
use crate::network::LocalNetwork;
use crate::output::{TokenName, print_json, print_line, say, show_deadline};
use crate::session::{Session, chain_failure};

/// Digits of a price in USD after the point: the registry counts millionths.
const USD_DECIMALS: u8 = 6;
/// How long an owner has to take what was asked back, from when it can be taken (`NodeRegistry`).
const UNBOND_LAPSE_SECONDS: u64 = 7 * DAY_SECONDS;

/// All but `start`, which is a daemon.
pub(crate) async fn node(context: &Context, command: &Node) -> Outcome {
    let session = Session::open_as(&context.home, &context.global, "owner").await?;
    sending(&session.chain, act(context, &session, command)).await
}

async fn act(context: &Context, session: &Session, command: &Node) -> Outcome {
    match command {
        Node::Start(_) => Err(Failure::error("a daemon is started elsewhere")),
        Node::Show(choice) => show::show(context, session, choice).await,
        Node::Promote(choice) => promote(context, session, choice).await,
        Node::Incentives(Incentives::Show(choice)) => incentives::show(context, session, choice).await,
        Node::Incentives(Incentives::Claim(choice)) => incentives::claim(context, session, choice).await,
        Node::Bond(change) => bond(context, session, change).await,
        Node::Unbond(change) => unbond(context, session, change).await,
        Node::Price(change) => price(context, session, change).await,
        Node::Drain(choice) => {
            let node = chosen(session, choice.node)?;
            session.chain.drain(node).await.map_err(owner_failure)?;
            told(
                context,
                node,
                "takes no new jobs",
                serde_json::json!({ "isDraining": true }),
            )
        }
        Node::Resume(choice) => {
            let node = chosen(session, choice.node)?;
            session.chain.resume(node).await.map_err(owner_failure)?;
            told(
                context,
                node,
                "takes new jobs",
                serde_json::json!({ "isDraining": false }),
            )
        }
    }
}

/// The node that is meant: the one named, else the local network's where that network is meant.
fn chosen(session: &Session, named: Option<NodeId>) -> Outcome<NodeId> {
    if let Some(node) = named {
        return Ok(node);
    }
    let local = if session.profile.name == LOCAL {
        LocalNetwork::of(&session.home).state()?
    } else {
        None
    };
    local
        .map(|state| state.node)
        .ok_or_else(|| Failure::usage("no node is named").hint("give its id, the number of its NFT"))
}

async fn promote(context: &Context, session: &Session, choice: &NodeChoice) -> Outcome {
    let node = chosen(session, choice.node)?;
    let before = session.node(node).await?.tier;
    session.chain.promote_node(node).await.map_err(|error| {
        if error.is_revert("NodeRegistry_NotPromotable") {
            chain_failure(error).hint(format_args!("`opengpu node show {node}` says what the next tier lacks"))
        } else {
            chain_failure(error)
        }
    })?;
    let tier = session.node(node).await?.tier;
    told(
        context,
        node,
        &format!("rose from T{before} to T{tier}"),
        serde_json::json!({ "oldTier": before, "tier": tier }),
    )
}

async fn bond(context: &Context, session: &Session, change: &Bond) -> Outcome {
    let node = chosen(session, change.node)?;
    let (_, open) = session.token("OPEN")?;
    let amount = open.parse(&change.amount)?;
    if amount == Amount::ZERO {
        return Err(Failure::usage("AMOUNT is 0").hint("for example `opengpu node bond 10000`"));
    }
    let owner = session.node(node).await?.owner;
    let sender = session.account();
    if sender != owner && !context.global.yes {
        let message = format!("only node {node}'s owner {owner} gets a bond back, and you are {sender}");
        return Err(Failure::usage(message).hint("--yes bonds it all the same"));
    }
    enough_open(session, amount).await?;
    session.chain.bond(node, amount).await.map_err(chain_failure)?;
    let bond = session.node(node).await?.bond;
    let text = format!("has a bond of {}", open.show(bond));
    told(context, node, &text, serde_json::json!({ "bond": bond }))
}

/// Where an owner's request to get a part of the bond back stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum UnbondRequest {
    /// Nothing is asked for.
    None,
    /// It can be taken from this unix second on.
    Waiting(u64),
    /// It can be taken before this unix second.
    Mature(u64),
    /// Nobody took it before this unix second: it counts for nothing.
    Lapsed(u64),
}

impl UnbondRequest {
    fn of(node: &NodeOnChain, now: u64) -> Self {
        let lapses_at = lapses_at(node);
        match node.unbonding {
            Amount::ZERO => Self::None,
            _ if now < node.unbonds_at => Self::Waiting(node.unbonds_at),
            _ if now < lapses_at => Self::Mature(lapses_at),
            _ => Self::Lapsed(lapses_at),
        }
    }

    /// What it means that another amount is asked for now.
    fn replaced_text(self, asked: &str) -> Option<String> {
        match self {
            Self::None => None,
            Self::Waiting(from) => Some(format!(
                "this replaces the request for {asked}, which could be taken from {}; the wait begins anew",
                show_utc(from)
            )),
            Self::Mature(until) => Some(format!(
                "this replaces the request for {asked}, which can be taken until {}; the wait begins anew",
                show_utc(until)
            )),
            Self::Lapsed(at) => Some(format!(
                "the request for {asked} lapsed at {}, since nobody took it; this asks anew, and the wait begins anew",
                show_utc(at)
            )),
        }
    }
}

/// Unix second from which a request that was not taken counts for nothing; 0 without a request.
fn lapses_at(node: &NodeOnChain) -> u64 {
    match node.unbonding {
        Amount::ZERO => 0,
        _ => node.unbonds_at.saturating_add(UNBOND_LAPSE_SECONDS),
    }
}

async fn unbond(context: &Context, session: &Session, change: &Unbond) -> Outcome {
    let node = chosen(session, change.node)?;
    let (_, open) = session.token("OPEN")?;
    let amount = open.parse(&change.amount)?;
    let now = session.now().await?;
    let standing = session.node(node).await?;
    let request = UnbondRequest::of(&standing, now);
    match request {
        UnbondRequest::Mature(_) if amount == standing.unbonding => {
            return take_unbonded(context, session, node, &standing, &open).await;
        }
        UnbondRequest::Waiting(from) if amount == standing.unbonding => {
            let message = format!("{} are asked back already", open.show(amount));
            return Err(Failure::error(message).hint(format_args!(
                "the same command takes them from {}; another amount replaces the request, 0 drops it",
                show_deadline(from, now)
            )));
        }
        _ => {}
    }
    if amount != Amount::ZERO
        && let Some(text) = request.replaced_text(&open.show(standing.unbonding))
    {
        say(&text);
    }
    ask_back(context, session, node, amount, &standing).await
}

async fn ask_back(context: &Context, session: &Session, node: NodeId, amount: Amount, before: &NodeOnChain) -> Outcome {
    session
        .chain
        .request_unbond(node, amount)
        .await
        .map_err(owner_failure)?;
    let found = session.node(node).await?;
    let text = if amount == Amount::ZERO {
        "asks for nothing back".to_owned()
    } else {
        let (_, open) = session.token("OPEN")?;
        format!(
            "asks for {} back; the same command takes it from {} until {}",
            open.show(amount),
            show_deadline(found.unbonds_at, session.now().await?),
            show_utc(lapses_at(&found))
        )
    };
    let json = serde_json::json!({
        "bond": found.bond, "unbonding": amount, "unbondsAt": found.unbonds_at, "unbondLapsesAt": lapses_at(&found),
        "oldUnbonding": before.unbonding, "oldUnbondsAt": before.unbonds_at,
    });
    told(context, node, &text, json)
}

async fn take_unbonded(
    context: &Context,
    session: &Session,
    node: NodeId,
    before: &NodeOnChain,
    open: &TokenName,
) -> Outcome {
    let to = session.account();
    session.chain.withdraw_unbonded(node, to).await.map_err(owner_failure)?;
    let found = session.node(node).await?;
    let text = format!(
        "gave {} back; its bond is {}{}",
        open.show(before.unbonding),
        open.show(found.bond),
        fall_text(before.tier, found.tier)
    );
    let json = serde_json::json!({ "bond": found.bond, "unbonding": "0", "tier": found.tier });
    told(context, node, &text, json)
}

async fn price(context: &Context, session: &Session, change: &PriceChange) -> Outcome {
    let node = chosen(session, change.node)?;
    let micros = change.usd.0;
    let before = session.node(node).await?.tier;
    session
        .chain
        .set_list_price(node, micros)
        .await
        .map_err(owner_failure)?;
    let found = session.node(node).await?;
    let text = match found.list_price_from {
        0 => format!("may bid up to {} USD/h", usd(found.list_price)),
        from => format!(
            "may bid up to {} USD/h, and up to {} USD/h from {}",
            usd(found.list_price),
            usd(found.pending_list_price),
            show_deadline(from, session.now().await?)
        ),
    };
    let text = text + &fall_text(before, found.tier);
    let json = serde_json::json!({
        "listPrice": found.list_price, "pendingListPrice": found.pending_list_price, "listPriceFrom": found.list_price_from,
        "tier": found.tier,
    });
    told(context, node, &text, json)
}

/// What to add where the tier fell.
fn fall_text(before: u8, after: u8) -> String {
    if after < before {
        format!("; tier T{before} -> T{after}; `opengpu node promote` when it is earned again")
    } else {
        String::new()
    }
}

fn usd(micros: u64) -> String {
    Amount(u128::from(micros)).format_units(USD_DECIMALS)
}

fn told(context: &Context, node: NodeId, text: &str, mut json: serde_json::Value) -> Outcome {
    if context.global.json {
        json["node"] = serde_json::json!(node);
        return print_json(&json);
    }
    print_line(&format!("node {node} {text}"))
}

/// Only the owner may; say so instead of naming an error.
fn owner_failure(error: opengpu_chain::ChainError) -> Failure {
    if error.is_revert("NodeRegistry_NotAllowed") {
        return Failure::error("only the node's owner may do that").hint(
            "set OPENGPU_KEY_FILE and OPENGPU_PASSWORD_FILE to the owner's key; `opengpu node show` names the owner",
        );
    }
    chain_failure(error)
}

#[cfg(test)]
mod tests {
    use opengpu_core::Address;
    use opengpu_core::ids::Sha256Digest;

    use super::*;

    /// Matures then, and lapses a week later.
    const MATURE: u64 = 1_795_701_900;

    fn node(unbonding: u128) -> NodeOnChain {
        NodeOnChain {
            owner: Address::ZERO,
            operator: Address::ZERO,
            payee: Address::ZERO,
            hardware_digest: Sha256Digest::of(b"hardware"),
            gpu_model: String::new(),
            tier: 0,
            list_price: 0,
            pending_list_price: 0,
            list_price_from: 0,
            is_draining: false,
            is_suspended: false,
            bond: Amount(10),
            reserved: Amount::ZERO,
            unbonding: Amount(unbonding),
            unbonds_at: MATURE,
        }
    }

    #[test]
    fn a_request_waits_is_mature_for_a_week_and_lapses() {
        let lapses = MATURE + 7 * DAY_SECONDS;
        for (unbonding, now, expected) in [
            (0, MATURE, UnbondRequest::None),
            (5, MATURE - 1, UnbondRequest::Waiting(MATURE)),
            (5, MATURE, UnbondRequest::Mature(lapses)),
            (5, lapses - 1, UnbondRequest::Mature(lapses)),
            (5, lapses, UnbondRequest::Lapsed(lapses)),
        ] {
            assert_eq!(UnbondRequest::of(&node(unbonding), now), expected, "{unbonding} {now}");
        }
    }

    #[test]
    fn what_a_new_request_undoes_is_said() {
        let text = |request: UnbondRequest| request.replaced_text("5 OPEN");
        assert_eq!(text(UnbondRequest::None), None);
        let waiting = text(UnbondRequest::Waiting(MATURE)).unwrap();
        assert_eq!(
            waiting,
            "this replaces the request for 5 OPEN, which could be taken from 2026-11-26 14:05 UTC; the wait begins anew"
        );
        let lapsed = text(UnbondRequest::Lapsed(MATURE)).unwrap();
        assert!(
            lapsed.starts_with("the request for 5 OPEN lapsed at 2026-11-26 14:05 UTC"),
            "{lapsed}"
        );
    }
}
