//! `opengpu status`: what of the local network runs, and where.

use serde::Serialize;

use super::Context;
use crate::failure::Outcome;
use crate::network::{LocalNetwork, LocalState, Role};
use crate::output::{print_json, print_line, say, table};

/// One process.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Part {
    name: &'static str,
    is_running: bool,
    pid: Option<i32>,
    url: Option<String>,
    log: String,
}

/// Shows each process of the local network.
pub(crate) async fn status(context: &Context) -> Outcome {
    let local = LocalNetwork::of(&context.home);
    let state = local.state()?;
    let parts = Role::ALL.map(|role| part(&local, state.as_ref(), role));
    let is_up = parts.iter().all(|part| part.is_running);
    if context.global.json {
        return print_json(&serde_json::json!({ "isUp": is_up, "parts": parts }));
    }
    let lines = parts.iter().map(|part| {
        let state = if part.is_running { "running" } else { "stopped" };
        let pid = part.pid.map_or_else(|| "-".to_owned(), |pid| pid.to_string());
        let url = part.url.clone().unwrap_or_else(|| "-".to_owned());
        [part.name.to_owned(), state.to_owned(), pid, url, part.log.clone()]
    });
    print_line(&table(["PART", "STATE", "PID", "URL", "LOG"], lines.collect()))?;
    if !is_up {
        say("hint: `opengpu up` starts what is stopped");
    }
    Ok(())
}

fn part(local: &LocalNetwork, state: Option<&LocalState>, role: Role) -> Part {
    let running = local.processes().running(role);
    let url = state.map(|state| match role {
        Role::Chain => state.network.rpc_url.clone(),
        Role::Gateway => format!("http://127.0.0.1:{}", state.ports.gateway),
        Role::Node => format!("http://127.0.0.1:{}", state.ports.node),
    });
    Part {
        name: role.name(),
        is_running: running.is_some(),
        pid: running.map(|process| process.pid),
        url,
        log: local.processes().log(role).display().to_string(),
    }
}
