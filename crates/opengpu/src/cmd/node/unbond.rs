//! `opengpu node unbond`: asking a part of the bond back, and taking it.

use opengpu_chain::NodeOnChain;
use opengpu_chain::time::show_utc;
use opengpu_core::ids::NodeId;
use opengpu_core::money::Amount;
use opengpu_core::tier::DAY_SECONDS;

use super::{chosen, fall_text, owner_failure, told};
use crate::args::Unbond;
use crate::cmd::Context;
use crate::failure::{Failure, Outcome};
use crate::output::{TokenName, say, show_deadline};
use crate::session::Session;

/// How long an owner has to take what was asked back, from when it can be taken (`NodeRegistry`).
const UNBOND_LAPSE_SECONDS: u64 = 7 * DAY_SECONDS;

/// Where an owner's request to get a part of the bond back stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum UnbondRequest {
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
    pub(super) fn of(node: &NodeOnChain, now: u64) -> Self {
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
pub(super) fn lapses_at(node: &NodeOnChain) -> u64 {
    match node.unbonding {
        Amount::ZERO => 0,
        _ => node.unbonds_at.saturating_add(UNBOND_LAPSE_SECONDS),
    }
}

/// Asks a part of the bond back, or takes it once its time has come.
pub(super) async fn unbond(context: &Context, session: &Session, change: &Unbond) -> Outcome {
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
