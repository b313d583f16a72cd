//! `opengpu down`: stops the local network; its state stays unless `--delete`.

use super::Context;
use crate::args;
use crate::failure::{Failure, Outcome};
use crate::network::{LocalNetwork, Role};
use crate::output::{ask, print_json, print_line};

/// Stops every process of the local network.
pub(crate) async fn down(context: &Context, args: &args::Down) -> Outcome {
    let local = LocalNetwork::of(&context.home);
    if !local.folder().exists() {
        return report(context, &[], false);
    }
    if args.delete && !context.global.yes {
        let answer = ask("forget the local chain, its keys and all its data? [y/N]").await;
        if !matches!(answer.as_deref(), Some("y" | "yes")) {
            return Err(Failure::usage("--delete forgets the local network, and nobody said yes").hint("add --yes"));
        }
    }
    let held = local.hold()?;
    let stopped = local.down().await?;
    if args.delete {
        local.delete()?;
    }
    drop(held);
    report(context, &stopped, args.delete)
}

fn report(context: &Context, stopped: &[Role], is_deleted: bool) -> Outcome {
    let names: Vec<&str> = stopped.iter().map(|role| role.name()).collect();
    if context.global.json {
        return print_json(&serde_json::json!({ "stopped": names, "isDeleted": is_deleted }));
    }
    let what = if names.is_empty() {
        "nothing was running".to_owned()
    } else {
        format!("stopped {}", names.join(", "))
    };
    let state = if is_deleted { "; its data is gone" } else { "" };
    print_line(&format!("{what}{state}"))
}
