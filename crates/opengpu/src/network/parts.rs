//! The three processes: how each is started, and how one knows that it answers.

use std::future::Future;
use std::process::Command;
use std::time::Duration;

use opengpu_chain::{ChainClient, Contracts, Network};
use opengpu_core::Address;
use opengpu_core::ids::ChainId;
use reqwest::Url;
use tokio::time::{Instant, interval};

use super::process::{Processes, Role, RunningProcess};
use super::{LocalNetwork, LocalState, Ports};
use crate::args;
use crate::client::http_client;
use crate::daemons::{ChainFile, GatewayFile, NodeFile};
use crate::failure::{Failure, OrFail, Outcome};
use crate::home::write_whole;
use crate::session::parse_url;

/// How long a process may take until it answers. The chain node needs most: it loads its state.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);
/// How often a starting process is asked.
const ASK_EVERY: Duration = Duration::from_millis(50);

/// The network before its contracts are known.
pub(super) fn bare_network(ports: Ports) -> Network {
    Network {
        name: crate::home::LOCAL.to_owned(),
        rpc_url: Ports::url(ports.chain),
        chain_id: ChainId::LOCAL,
        contracts: Contracts {
            cloudverse: Address::ZERO,
            node_registry: Address::ZERO,
            open_token: Address::ZERO,
            tokens: Vec::new(),
            staking: None,
            incentives: None,
            deployer: None,
        },
        deployed_at_block: 0,
    }
}

pub(super) fn start_chain(local: &LocalNetwork, ports: Ports) -> Outcome<RunningProcess> {
    let config = ChainFile {
        port: ports.chain,
        state: local.folder.join("chain"),
    };
    start(local, Role::Chain, &["__chain"], &config)
}

pub(super) fn start_gateway(local: &LocalNetwork, state: &LocalState) -> Outcome<RunningProcess> {
    let config = GatewayFile::local(local, state);
    start(local, Role::Gateway, &["gateway", "start"], &config)
}

/// The node as it was told to ask, gather and collect at its last start, unless somebody wishes otherwise.
pub(super) fn start_node(local: &LocalNetwork, state: &LocalState, wishes: &args::Up) -> Outcome<RunningProcess> {
    let mut config = NodeFile::local(local, state);
    let path = local.folder.join(format!("{}.toml", Role::Node.name()));
    let former = std::fs::read_to_string(path).ok();
    if let Some(former) = former.and_then(|text| toml::from_str::<NodeFile>(&text).ok()) {
        config.prices = former.prices;
        config.settle_gather_seconds = former.settle_gather_seconds;
        config.collect_above_usd_micros = former.collect_above_usd_micros;
    }
    if let Some(price) = wishes.core_hour {
        config.prices.core_hour_usd_micros = price.0;
    }
    if let Some(gather) = wishes.settle_gather {
        config.settle_gather_seconds = gather.0;
    }
    if let Some(above) = wishes.collect_above {
        config.collect_above_usd_micros = above.0;
    }
    start(local, Role::Node, &["node", "start"], &config)
}

fn start(
    local: &LocalNetwork,
    role: Role,
    arguments: &[&str],
    config: &impl serde::Serialize,
) -> Outcome<RunningProcess> {
    let path = local.folder.join(format!("{}.toml", role.name()));
    let text = toml::to_string(config).or_fail(format_args!("cannot write {}", path.display()))?;
    write_whole(&path, text.as_bytes())?;
    let mut command = Command::new(std::env::current_exe().or_fail("cannot find this program")?);
    command.args(arguments).arg("--config").arg(&path);
    local.processes.start(role, command)
}

pub(super) async fn chain_answers(local: &LocalNetwork, ports: Ports) -> Outcome {
    let client = ChainClient::without_checks(&bare_network(ports), None).or_fail("cannot reach the chain node")?;
    answers(&local.processes, Role::Chain, || async { client.now().await.is_ok() }).await
}

pub(super) async fn gateway_answers(local: &LocalNetwork, state: &LocalState) -> Outcome {
    responds(
        local,
        Role::Gateway,
        parse_url(&format!("{}/v1/info", Ports::url(state.ports.gateway)))?,
    )
    .await
}

pub(super) async fn node_answers(local: &LocalNetwork, state: &LocalState) -> Outcome {
    responds(
        local,
        Role::Node,
        parse_url(&format!("{}/healthz", Ports::url(state.ports.node)))?,
    )
    .await
}

async fn responds(local: &LocalNetwork, role: Role, url: Url) -> Outcome {
    let http = http_client(&url).or_fail("cannot make an HTTP client")?;
    answers(&local.processes, role, || async {
        http.get(url.clone())
            .send()
            .await
            .is_ok_and(|response| response.status().is_success())
    })
    .await
}

/// Waits until gateway and node, where they run, have seen a block.
pub(super) async fn saw_block(local: &LocalNetwork, state: &LocalState, block: u64) -> Outcome {
    let pages = [
        (Role::Gateway, format!("{}/v1/info", Ports::url(state.ports.gateway))),
        (Role::Node, format!("{}/healthz", Ports::url(state.ports.node))),
    ];
    for (role, page) in pages {
        if local.processes.running(role).is_none() {
            continue;
        }
        let url = parse_url(&page)?;
        let http = http_client(&url).or_fail("cannot make an HTTP client")?;
        answers(&local.processes, role, || async {
            let seen = newest_block(&http, &url).await;
            seen.is_some_and(|seen| seen >= block)
        })
        .await?;
    }
    Ok(())
}

/// The newest block that a gateway or a node says it has seen.
async fn newest_block(http: &reqwest::Client, url: &Url) -> Option<u64> {
    #[derive(serde::Deserialize)]
    struct Seen {
        block: u64,
    }
    let response = http.get(url.clone()).send().await.ok()?;
    response.json::<Seen>().await.ok().map(|seen| seen.block)
}

/// Asks until the process answers, has ended, or takes too long.
async fn answers<F: Future<Output = bool>>(processes: &Processes, role: Role, ask: impl Fn() -> F) -> Outcome {
    let name = role.name();
    let log = processes.log(role);
    let failed = |what: String| {
        let words = processes
            .last_words(role)
            .map(|words| format!(": {words}"))
            .unwrap_or_default();
        Failure::error(format!("{what}{words}")).hint(format!("see {}", log.display()))
    };
    let deadline = Instant::now() + ANSWER_WITHIN;
    let mut turns = interval(ASK_EVERY);
    while Instant::now() < deadline {
        turns.tick().await;
        if ask().await {
            return Ok(());
        }
        if processes.running(role).is_none() {
            return Err(failed(format!("the {name} ended at its start")));
        }
    }
    Err(failed(format!(
        "the {name} did not answer within {} s",
        ANSWER_WITHIN.as_secs()
    )))
}

/// Ends the containers of jobs that outlived the node: without a network nobody pays or stops them.
pub(super) async fn end_jobs(local: &LocalNetwork) -> Outcome {
    crate::daemons::end_jobs(&local.folder.join("node")).await
}
