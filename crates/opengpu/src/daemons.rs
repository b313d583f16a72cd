//! The roles that run until they are told to stop: chain keeper, gateway, node. Each reads one TOML file and ends cleanly at
//! SIGTERM or Ctrl-C. Keys are named in these files by keystore path, never held in them.

mod files;

use std::path::{Path, PathBuf};

use opengpu_chain::devnet::{self, DevnetConfig, find_anvil};
use opengpu_chain::keys::KeyFiles;
use opengpu_core::sign::SecretKey;
use opengpu_node::runtime::{Signal, choose_runtime};
use serde::de::DeserializeOwned;
use tokio_util::sync::CancellationToken;

use crate::failure::{Failure, OrFail, Outcome, with_sources};
use crate::interrupts::Interrupts;
pub(crate) use files::{ChainFile, GatewayFile, NodeFile};

/// Seconds between a local chain's blocks when nothing happens.
const BLOCK_SECONDS: u64 = 1;

fn read<T: DeserializeOwned>(path: &Path) -> Outcome<T> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        Failure::usage(format_args!("cannot read {}: {error}", path.display())).hint("--config names a TOML file")
    })?;
    toml::from_str(&text).map_err(|error| {
        Failure::usage(format_args!("{}: {}", path.display(), error.message()))
            .hint("`opengpu up` writes one for each role to compare with, in networks/local of the home folder")
    })
}

async fn load_key(files: KeyFiles) -> Outcome<SecretKey> {
    let loaded = tokio::task::spawn_blocking(move || files.load())
        .await
        .or_fail("cannot read the key")?;
    loaded.map_err(|error| {
        Failure::error(format_args!("cannot read the key: {error}"))
            .hint("[key] in the config names keystore and password file")
    })
}

/// Cancelled when somebody wants this process gone.
fn shutdown_at(mut interrupts: Interrupts) -> CancellationToken {
    let shutdown = CancellationToken::new();
    let token = shutdown.clone();
    tokio::spawn(async move {
        interrupts.next().await;
        token.cancel();
    });
    shutdown
}

/// Keeps a local chain node running.
pub(crate) async fn run_chain(path: &Path) -> Outcome {
    let mut interrupts = Interrupts::listen()?;
    let file: ChainFile = read(path)?;
    let config = DevnetConfig {
        anvil: find_anvil().or_fail("cannot start the chain")?,
        port: file.port,
        state: Some(file.state),
        block_seconds: BLOCK_SECONDS,
    };
    let stop = async {
        interrupts.next().await;
    };
    devnet::keep(config, stop).await.or_fail("the chain node ended")
}

/// Serves a gateway.
pub(crate) async fn run_gateway(path: &Path) -> Outcome {
    let shutdown = shutdown_at(Interrupts::listen()?);
    let file: GatewayFile = read(path)?;
    let key = load_key(file.key.clone()).await?;
    let gateway = opengpu_gateway::serve(file.config(key)?, shutdown)
        .await
        .or_fail("the gateway did not start")?;
    gateway.stopped().await;
    Ok(())
}

/// Runs a node.
pub(crate) async fn run_node(path: &Path) -> Outcome {
    let shutdown = shutdown_at(Interrupts::listen()?);
    let file: NodeFile = read(path)?;
    let key = load_key(file.key.clone()).await?;
    let node = opengpu_node::run(file.config(key)?, shutdown)
        .await
        .or_fail("the node did not start")?;
    node.finished().await;
    Ok(())
}

/// Says in one line what is missing when no container engine can run here.
pub(crate) async fn check_runtime(node: &Path) -> Outcome {
    choose_runtime(&runtime_state(node))
        .await
        .map(drop)
        .map_err(|error| Failure::error(with_sources(&error)).hint("run as root on Linux, or start Docker"))
}

/// Ends and forgets every container of a node that is down: nobody would pay for or stop them.
pub(crate) async fn end_jobs(node: &Path) -> Outcome {
    let state = runtime_state(node);
    if !state.exists() {
        return Ok(());
    }
    let Ok(runtime) = choose_runtime(&state).await else {
        return Ok(());
    };
    for id in runtime.list().await.or_fail("cannot list the containers")? {
        let alive = runtime.status(&id).await.is_ok_and(|status| status.is_alive());
        if alive {
            runtime
                .kill(&id, Signal::Kill)
                .await
                .or_fail(format_args!("cannot end container {id}"))?;
        }
    }
    Ok(())
}

/// Where a node keeps its containers, as `opengpu_node::run` does.
fn runtime_state(node: &Path) -> PathBuf {
    node.join("runtime")
}
