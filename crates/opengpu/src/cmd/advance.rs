//! `opengpu advance`: the clock of a local chain.

use opengpu_chain::time::show_utc;
use opengpu_core::ids::ChainId;

use super::Context;
use crate::args::Advance;
use crate::failure::{Failure, Outcome};
use crate::network::LocalNetwork;
use crate::output::{print_json, print_line, show_span};
use crate::session::{chain_failure, chosen_network, connect};

/// Moves a local chain's clock forward.
pub(crate) async fn advance(context: &Context, args: &Advance) -> Outcome {
    let network = chosen_network(&context.home, &context.global)?;
    if network.chain_id != ChainId::LOCAL {
        let message = format!(
            "the network `{}` is on chain {}: nobody moves its clock",
            network.name, network.chain_id
        );
        return Err(
            Failure::usage(message).hint(format_args!("only local chains ({}) can be advanced", ChainId::LOCAL))
        );
    }
    let client = connect(&network, None).await?;
    let before = client.now().await.map_err(chain_failure)?;
    let now = client
        .advance_time(u64::from(args.time.0))
        .await
        .map_err(chain_failure)?;
    // Gateway and node go by the chain's clock: who uses them next should find them there.
    let head = client.head().await.map_err(chain_failure)?;
    LocalNetwork::of(&context.home).saw_block(&network, head.number).await?;
    if context.global.json {
        return print_json(&serde_json::json!({ "chainTime": now, "advancedSeconds": now.saturating_sub(before) }));
    }
    print_line(&format!(
        "the chain's time is now {}, {} later",
        show_utc(now),
        show_span(now.saturating_sub(before))
    ))
}
