//! `opengpu up`: the local network, started and kept.

use serde::Serialize;

use super::Context;
use crate::args;
use crate::failure::Outcome;
use crate::interrupts::Interrupts;
use crate::network::{LocalNetwork, LocalState, Started};
use crate::output::{print_json, print_line, say};

/// After an `up` that did not get there.
const AGAIN: &str = "what this call had started is stopped; try `opengpu up` again";

/// What is printed with `--json`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Up {
    rpc: String,
    gateway: String,
    node: String,
    cloudverse: String,
}

/// Starts whatever of the local network is not running.
pub(crate) async fn up(context: &Context, args: &args::Up) -> Outcome {
    let local = LocalNetwork::of(&context.home);
    let _held = local.hold()?;
    let state = up_or_nothing(&local, args).await?;
    let up = Up {
        rpc: state.network.rpc_url.clone(),
        gateway: state.gateway_url()?.to_string(),
        node: state.node.to_string(),
        cloudverse: state.network.contracts.cloudverse.to_string(),
    };
    if context.global.json {
        return print_json(&up);
    }
    print_line(&format!(
        "local network is up: chain {}, gateway {}, node {}",
        up.rpc, up.gateway, up.node
    ))?;
    say("try: opengpu run IMAGE -- CMD    see: opengpu status    end: opengpu down");
    Ok(())
}

/// Brings the network up; when that fails or is interrupted, stops what this call had started.
pub(crate) async fn up_or_nothing(local: &LocalNetwork, args: &args::Up) -> Outcome<LocalState> {
    let mut interrupts = Interrupts::listen()?;
    let started = Started::default();
    let outcome = interrupts.or(local.up(args, &started, &say), AGAIN).await;
    if outcome.is_err() {
        started.stop_all(local).await?;
    }
    outcome.map_err(|failure| failure.hint(AGAIN))
}
