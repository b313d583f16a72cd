//! `opengpu node show|promote|bond|unbond|price|drain|resume|incentives`: a node's standing on chain. Running its daemon is in `daemons`.

mod incentives;
mod show;
mod unbond;

use opengpu_core::ids::NodeId;
use opengpu_core::money::Amount;

use super::Context;
use super::wallet::enough_open;
use crate::args::{Bond, Incentives, Node, NodeChoice, PriceChange};
use crate::failure::{Failure, Outcome};
use crate::home::LOCAL;
use crate::interrupts::sending;
use crate::network::LocalNetwork;
use crate::output::{print_json, print_line, show_deadline};
use crate::session::{Session, chain_failure};

/// Digits of a price in USD after the point: the registry counts millionths.
const USD_DECIMALS: u8 = 6;

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
        Node::Unbond(change) => unbond::unbond(context, session, change).await,
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
