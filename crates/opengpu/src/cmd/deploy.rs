//! `opengpu deploy`: the contracts, on any chain.

use std::path::{Path, PathBuf};

use opengpu_chain::deployment::{GovernanceCall, Step};
use opengpu_chain::keys::KeyFiles;
use opengpu_chain::{ChainClient, ChainError, DeployConfig, Deployment, Network};
use opengpu_core::Address;
use opengpu_core::ids::ChainId;
use opengpu_core::sign::SecretKey;
use serde::Serialize;

use super::Context;
use crate::args::Deploy;
use crate::failure::{Failure, OrFail, Outcome};
use crate::genesis;
use crate::home::{LOCAL, NetworkConfig};
use crate::interrupts::sending;
use crate::network::LocalNetwork;
use crate::output::{print_json, print_line, say, table};
use crate::session::{chain_failure, environment_key};

/// What is printed with `--json`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    network: String,
    chain_id: ChainId,
    /// The account that deploys.
    account: Address,
    governance: Address,
    contracts: Vec<Contract>,
    /// Taken, or with `--dry-run` to take.
    steps: Vec<String>,
    /// What governance has still to call itself.
    governance_calls: Vec<Call>,
    /// Where the addresses are written; none with `--dry-run`.
    file: Option<PathBuf>,
}

#[derive(Debug, Serialize)]
struct Contract {
    name: &'static str,
    address: Address,
}

#[derive(Debug, Serialize)]
struct Call {
    what: String,
    to: Address,
    data: String,
}

impl From<GovernanceCall> for Call {
    fn from(call: GovernanceCall) -> Self {
        Self {
            what: call.what,
            to: call.to,
            data: call.data.to_string(),
        }
    }
}

/// Where to deploy, and by whom.
struct Target {
    name: String,
    rpc_url: String,
    file: Option<PathBuf>,
    key: KeyFiles,
}

/// Deploys what is missing and verifies all of it.
pub(crate) async fn deploy(context: &Context, args: &Deploy) -> Outcome {
    let target = target(context, args)?;
    let chain_id = ChainClient::chain_id_at(&target.rpc_url).await.map_err(chain_failure)?;
    let key = unlock(target.key.clone()).await?;
    let config = config(&target, args, chain_id, key.address())?;
    let deployment = Deployment::plan(&config, key.address())
        .await
        .map_err(|error| chain_failure(error).usually("change the genesis file"))?;
    let file = target
        .file
        .unwrap_or_else(|| context.home.join(format!("deployments/{chain_id}.json")));
    let former = former(&file, &deployment)?;
    let missing = deployment.missing().await.map_err(deploy_failure)?;
    if missing.iter().all(|step| matches!(step, Step::List(..))) {
        let first_block = former.as_ref().map(|network| network.deployed_at_block);
        deployment.read_back(first_block).await.map_err(deploy_failure)?;
    }
    let mut report = Report {
        network: config.name.clone(),
        chain_id,
        account: key.address(),
        governance: config.governance,
        contracts: contracts(&deployment),
        steps: missing.iter().map(Step::to_string).collect(),
        governance_calls: Vec::new(),
        file: None,
    };
    if !args.dry_run {
        let network = finish(&deployment, &key, former).await?;
        write(&network, &file)?;
        report.file = Some(file);
    }
    let calls = deployment.governance_calls().await.map_err(chain_failure)?;
    report.governance_calls = calls.into_iter().map(Call::from).collect();
    show(context, &report)
}

async fn finish(deployment: &Deployment, key: &SecretKey, former: Option<Network>) -> Outcome<Network> {
    let first_block = former.map(|network| network.deployed_at_block);
    let tell = |step: &Step| say(&step.to_string());
    let work = async { deployment.finish(key, first_block, &tell).await.map_err(deploy_failure) };
    sending(deployment.client(), work).await
}

/// What to try depends on whether something is in the way, or the deployment only stopped.
fn deploy_failure(error: ChainError) -> Failure {
    let hint = match &error {
        ChainError::NotAsPlanned(_) => {
            "what is there was made otherwise: give the genesis file it was made with, or another --salt to deploy beside it"
        }
        _ => "the same command again goes on where this one stopped",
    };
    chain_failure(error).hint(hint)
}

fn write(network: &Network, file: &Path) -> Outcome {
    let folder = file.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder).or_fail(format_args!("cannot make {}", folder.display()))?;
    network.save(file).or_fail("cannot write the network's file")
}

/// What the command line, the environment and the config say.
fn target(context: &Context, args: &Deploy) -> Outcome<Target> {
    let config = context.home.config()?;
    let named = context.global.network.clone().or(config.default_network);
    let name = named.unwrap_or_else(|| LOCAL.to_owned());
    let entry = config.network.get(&name);
    let local = LocalNetwork::of(&context.home);
    let local_state = if name == LOCAL { local.state()? } else { None };
    let file = entry.map(|entry| context.home.join(&entry.deployment));
    let rpc_url = args
        .rpc
        .clone()
        .or_else(|| entry.and_then(|entry| entry.rpc.clone()))
        .or_else(|| Some(Network::load(file.as_deref()?).ok()?.rpc_url))
        .or_else(|| local_state.as_ref().map(|state| state.network.rpc_url.clone()))
        .ok_or_else(|| {
            Failure::usage(format_args!("no endpoint of the network `{name}` is known"))
                .hint("--rpc URL says where its chain answers")
        })?;
    let key = environment_key()?
        .or_else(|| configured_key(context, entry?))
        .or_else(|| local_state.map(|_| local.key("governance")))
        .ok_or_else(|| {
            Failure::usage("there is no key to deploy with").hint("set OPENGPU_KEY_FILE and OPENGPU_PASSWORD_FILE")
        })?;
    Ok(Target {
        name,
        rpc_url,
        file,
        key,
    })
}

fn configured_key(context: &Context, entry: &NetworkConfig) -> Option<KeyFiles> {
    Some(KeyFiles {
        key: context.home.join(entry.keystore.as_ref()?),
        password: context.home.join(entry.password_file.as_ref()?),
    })
}

fn config(target: &Target, args: &Deploy, chain_id: ChainId, account: Address) -> Outcome<DeployConfig> {
    let config = match &args.genesis {
        Some(path) => genesis::read(path, &target.name, &target.rpc_url, chain_id)?,
        None if chain_id == ChainId::LOCAL => DeployConfig {
            name: target.name.clone(),
            ..DeployConfig::local(&target.rpc_url).governed_by(account)
        },
        None => {
            let message = format!("chain {chain_id} is not a local one: it needs a genesis file");
            return Err(Failure::usage(message).hint("--genesis FILE; docs/genesis.example.toml shows one"));
        }
    };
    Ok(DeployConfig {
        salt: args.salt.clone(),
        ..config
    })
}

async fn unlock(files: KeyFiles) -> Outcome<SecretKey> {
    let key = tokio::task::spawn_blocking(move || files.load())
        .await
        .or_fail("cannot read the key")?;
    key.map_err(|error| {
        Failure::error(format_args!("cannot read the key: {error}"))
            .hint("OPENGPU_KEY_FILE names the keystore, OPENGPU_PASSWORD_FILE the file with its password")
    })
}

/// The network's file from an earlier run. One of another deployment is never overwritten.
fn former(file: &Path, deployment: &Deployment) -> Outcome<Option<Network>> {
    if !file.exists() {
        return Ok(None);
    }
    let former = Network::load(file).map_err(|error| Failure::error(&error).hint("move that file away"))?;
    if former.contracts.cloudverse == deployment.network().contracts.cloudverse {
        return Ok(Some(former));
    }
    let message = format!(
        "{} names another deployment, with Cloudverse at {}",
        file.display(),
        former.contracts.cloudverse
    );
    Err(Failure::usage(message).hint("move that file away, or deploy with the key and salt of that deployment"))
}

fn contracts(deployment: &Deployment) -> Vec<Contract> {
    let all = deployment.contracts().into_iter();
    all.map(|(name, address)| Contract { name, address }).collect()
}

fn show(context: &Context, report: &Report) -> Outcome {
    if context.global.json {
        return print_json(report);
    }
    let rows = report.contracts.iter();
    let rows = rows.map(|contract| [contract.name.to_owned(), contract.address.to_string()]);
    print_line(&table(["CONTRACT", "ADDRESS"], rows.collect()))?;
    match &report.file {
        None => {
            say(&format!("steps to take: {}", report.steps.len()));
            report.steps.iter().for_each(|step| say(&format!("  {step}")));
        }
        Some(file) if report.steps.is_empty() => {
            say(&format!("everything is there and as planned; {}", file.display()));
        }
        Some(file) => say(&format!("deployed and verified; {}", file.display())),
    }
    if !report.governance_calls.is_empty() {
        say(&format!("governance ({}) still has to call:", report.governance));
    }
    for call in &report.governance_calls {
        print_line(&format!("{}: to {} data {}", call.what, call.to, call.data))?;
    }
    Ok(())
}
