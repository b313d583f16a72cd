//! The local network: chain, gateway and node as processes of their own, started, found again and stopped by this program.
//!
//! ```text
//! <home>/networks/local/
//!     network.json          chain, contracts, node id, ports: what `opengpu run` reads
//!     deployment.json       chain and contracts alone: what the daemons read
//!     keys/*.json           keystores of the roles, with one password file
//!     processes/*.json      pid and start time of each process
//!     chain/ gateway/ node/ what each keeps, and its config file
//!     *.log                 what each says
//! ```

mod parts;
mod ports;
mod process;
mod setup;

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use opengpu_chain::Network;
use opengpu_chain::keys::KeyFiles;
use opengpu_core::ids::NodeId;
use reqwest::Url;
use serde::{Deserialize, Serialize};

use crate::args;
use crate::failure::{Failure, OrFail, Outcome};
use crate::home::{Home, LOCAL, read_json, write_json};
use crate::session::parse_url;
pub(crate) use process::{Processes, Role, RunningProcess};

/// What is known of the local network once it was up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct LocalState {
    /// Chain and contracts.
    pub(crate) network: Network,
    /// The one node.
    pub(crate) node: NodeId,
    /// Where the parts listen on 127.0.0.1.
    pub(crate) ports: Ports,
}

/// Loopback ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Ports {
    /// JSON-RPC.
    pub(crate) chain: u16,
    /// REST.
    pub(crate) gateway: u16,
    /// The node's artifacts.
    pub(crate) node: u16,
}

/// Ports when nobody says otherwise: the usual one of anvil, and two that no well-known service has.
const USUAL_PORTS: Ports = Ports {
    chain: 8_545,
    gateway: 8_640,
    node: 8_641,
};

impl Ports {
    fn url(port: u16) -> String {
        format!("http://127.0.0.1:{port}")
    }
}

impl LocalState {
    /// The gateway's base URL.
    pub(crate) fn gateway_url(&self) -> Outcome<Url> {
        parse_url(&Ports::url(self.ports.gateway))
    }
}

/// The local network of one home folder.
#[derive(Debug, Clone)]
pub(crate) struct LocalNetwork {
    folder: PathBuf,
    processes: Processes,
}

/// Held while one `up` or `down` works.
#[derive(Debug)]
pub(crate) struct Held(#[expect(dead_code, reason = "the lock lives as long as the file is open")] File);

impl LocalNetwork {
    /// The one of `home`.
    pub(crate) fn of(home: &Home) -> Self {
        let folder = home.join("networks").join(LOCAL);
        Self {
            processes: Processes::new(&folder),
            folder,
        }
    }

    /// Its folder.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Its processes.
    pub(crate) fn processes(&self) -> &Processes {
        &self.processes
    }

    /// What is known of it; `None` before the first `up` got that far.
    pub(crate) fn state(&self) -> Outcome<Option<LocalState>> {
        read_json(&self.folder.join("network.json"))
            .map_err(|failure| failure.hint("`opengpu down --delete` forgets the local network"))
    }

    fn save(&self, state: &LocalState) -> Outcome {
        write_json(&self.deployment(), &state.network)?;
        write_json(&self.folder.join("network.json"), state)
    }

    /// Chain and contracts alone, as the daemons are configured with.
    pub(crate) fn deployment(&self) -> PathBuf {
        self.folder.join("deployment.json")
    }

    /// The demo payer's key.
    pub(crate) fn payer_key(&self) -> KeyFiles {
        self.key("payer")
    }

    /// The key of a role: payer, owner, operator, agent, governance.
    pub(crate) fn key(&self, role: &str) -> KeyFiles {
        KeyFiles {
            key: self.folder.join("keys").join(format!("{role}.json")),
            password: self.folder.join("keys/password"),
        }
    }

    /// Makes sure that no other `up` or `down` works on it at the same time.
    pub(crate) fn hold(&self) -> Outcome<Held> {
        fs::create_dir_all(&self.folder).or_fail(format_args!("cannot make {}", self.folder.display()))?;
        let path = self.folder.join("lock");
        let file = File::create(&path).or_fail(format_args!("cannot write {}", path.display()))?;
        match file.try_lock() {
            Ok(()) => Ok(Held(file)),
            Err(fs::TryLockError::WouldBlock) => {
                Err(Failure::error("another `opengpu up` or `opengpu down` is at work")
                    .hint("wait for it, then try again"))
            }
            Err(fs::TryLockError::Error(error)) => {
                Err(Failure::error(format_args!("cannot lock {}: {error}", path.display()))
                    .hint("OPENGPU_HOME names a folder on another disk"))
            }
        }
    }

    /// Starts whatever is not running and returns when everything answers. What it had started is in `started`, also when
    /// it fails or is dropped in the middle.
    pub(crate) async fn up(
        &self,
        wishes: &args::Up,
        started: &Started,
        tell: &(dyn Fn(&str) + Sync),
    ) -> Outcome<LocalState> {
        let former = self.state()?;
        let ports = self.choose_ports(wishes, former.as_ref()).await?;
        setup::preflight(&self.folder, &self.processes).await?;
        setup::make_keys(self).await?;
        if self.processes.running(Role::Chain).is_none() {
            started.note(Role::Chain, parts::start_chain(self, ports)?);
            tell("starting the chain node");
        }
        parts::chain_answers(self, ports).await?;
        let state = setup::contracts_and_accounts(former, ports, tell).await?;
        self.save(&state)?;
        if self.processes.running(Role::Gateway).is_none() {
            started.note(Role::Gateway, parts::start_gateway(self, &state)?);
            tell("starting the gateway");
        }
        parts::gateway_answers(self, &state).await?;
        if self.processes.running(Role::Node).is_none() {
            started.note(Role::Node, parts::start_node(self, &state, wishes)?);
            tell("starting the node");
        }
        parts::node_answers(self, &state).await?;
        Ok(state)
    }

    /// The ports of what runs stay; the others are made sure to be free.
    async fn choose_ports(&self, wishes: &args::Up, former: Option<&LocalState>) -> Outcome<Ports> {
        let choose =
            async |role: Role, wish: Option<u16>, former: Option<u16>, usual: u16, flag: &str| match (wish, former) {
                (_, Some(former)) if self.processes.running(role).is_some() => Ok(former),
                (Some(wish), _) => ports::claim(wish, role.name(), flag),
                (None, Some(former)) => ports::claim_again(former, role.name(), flag).await,
                (None, None) => ports::claim(usual, role.name(), flag),
            };
        let former = former.map(|state| state.ports);
        let (chain, gateway, node) = (
            former.map(|ports| ports.chain),
            former.map(|ports| ports.gateway),
            former.map(|ports| ports.node),
        );
        Ok(Ports {
            chain: choose(Role::Chain, wishes.chain_port, chain, USUAL_PORTS.chain, "--chain-port").await?,
            gateway: choose(
                Role::Gateway,
                wishes.gateway_port,
                gateway,
                USUAL_PORTS.gateway,
                "--gateway-port",
            )
            .await?,
            node: choose(Role::Node, wishes.node_port, node, USUAL_PORTS.node, "--node-port").await?,
        })
    }

    /// Waits until what runs of it has seen a block of its chain. Nothing to wait for when `network` is another one.
    pub(crate) async fn saw_block(&self, network: &Network, block: u64) -> Outcome {
        match self.state()? {
            Some(state) if state.network == *network => parts::saw_block(self, &state, block).await,
            _ => Ok(()),
        }
    }

    /// Stops everything, last started first. Says what was running.
    pub(crate) async fn down(&self) -> Outcome<Vec<Role>> {
        let mut stopped = Vec::new();
        for role in Role::ALL.into_iter().rev() {
            if self.processes.stop(role).await? {
                stopped.push(role);
            }
            if role == Role::Node {
                parts::end_jobs(self).await?;
            }
        }
        Ok(stopped)
    }

    /// Forgets everything, once it is down.
    pub(crate) fn delete(&self) -> Outcome {
        match fs::remove_dir_all(&self.folder) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Failure::error(format_args!(
                "cannot remove {}: {error}",
                self.folder.display()
            ))
            .hint("everything is stopped; remove the folder yourself")),
            _ => Ok(()),
        }
    }
}

/// What one `up` has started, so that it can be stopped again when the rest fails.
#[derive(Debug, Default)]
pub(crate) struct Started(std::sync::Mutex<Vec<Role>>);

impl Started {
    fn note(&self, role: Role, _process: RunningProcess) {
        self.0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .push(role);
    }

    /// Stops what was started, last first.
    pub(crate) async fn stop_all(&self, network: &LocalNetwork) -> Outcome {
        let roles = self
            .0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .split_off(0);
        for role in roles.into_iter().rev() {
            network.processes.stop(role).await?;
        }
        Ok(())
    }
}
