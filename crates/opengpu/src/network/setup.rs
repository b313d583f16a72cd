//! What a local network needs before its gateway and node start: keys, contracts, a registered node, a funded payer.
//! Every step looks first and does only what is missing.

use std::fs;
use std::path::Path;

use opengpu_chain::devnet::{dev_key, find_anvil};
use opengpu_chain::{ChainClient, ChainError, DeployConfig, deploy, keys};
use opengpu_core::ids::{NodeId, Sha256Digest};
use opengpu_core::money::Amount;
use opengpu_core::sign::SecretKey;

use super::process::{Processes, Role};
use super::{LocalNetwork, LocalState, Ports};
use crate::failure::{Failure, OrFail, Outcome};
use crate::session::chain_failure;

/// Which of anvil's accounts plays which role.
const ROLES: [(&str, usize); 5] = [
    ("governance", 0),
    ("payer", 1),
    ("owner", 2),
    ("operator", 3),
    ("agent", 4),
];
/// What the local node may bid at most: 1,000 USD an hour in millionths, above any shape of one machine at its price list.
const LIST_PRICE_USD_MICROS: u64 = 1_000_000_000;
/// Whole tokens of each kind that become the demo payer's credits.
const PAYER_CREDITS: u128 = 500;
/// Whole tokens of each kind it has besides.
const PAYER_TOKENS: u128 = 500;
/// OPEN it has besides: enough to stake into the highest payer tier, 100 million of weight at four times the amount.
const PAYER_OPEN: u128 = 30_000_000;
/// OPEN the node's owner has to bond: fifty units at the local list price and OPEN's local rate.
const OWNER_OPEN: u128 = 30_000_000_000;

/// What must be on this machine, asked before anything is started.
pub(super) async fn preflight(folder: &Path, processes: &Processes) -> Outcome {
    if processes.running(Role::Chain).is_none() {
        find_anvil().map_err(|error| {
            Failure::error(&error).hint("`npm ci` in the source folder installs it; OPENGPU_ANVIL names one elsewhere")
        })?;
    }
    if processes.running(Role::Node).is_none() {
        crate::daemons::check_runtime(&folder.join("node")).await?;
    }
    Ok(())
}

/// The roles' keystores. The keys are public on every chain with this id; the files are what a real network has too.
pub(super) async fn make_keys(local: &LocalNetwork) -> Outcome {
    let folder = local.folder.join("keys");
    let local = local.clone();
    let work = move || -> Outcome {
        fs::create_dir_all(&folder).or_fail(format_args!("cannot make {}", folder.display()))?;
        let password = "local";
        if !folder.join("password").exists() {
            keys::write_private(&folder.join("password"), password.as_bytes())
                .or_fail("cannot write the password file")?;
        }
        for (role, index) in ROLES {
            let path = local.key(role).key;
            if !path.exists() {
                keys::save(&path, &role_key(index)?, password).or_fail("cannot write a key")?;
            }
        }
        Ok(())
    };
    tokio::task::spawn_blocking(work)
        .await
        .or_fail("cannot write the keys")?
}

fn role_key(index: usize) -> Outcome<SecretKey> {
    dev_key(index).ok_or_else(|| Failure::error(format_args!("there is no local account {index}")))
}

/// Contracts on the chain, the node in the registry, the payer with credits.
pub(super) async fn contracts_and_accounts(
    former: Option<LocalState>,
    ports: Ports,
    tell: &(dyn Fn(&str) + Sync),
) -> Outcome<LocalState> {
    let network = match former {
        Some(state) => {
            let mut network = state.network;
            network.rpc_url = Ports::url(ports.chain);
            match ChainClient::connect(&network, None).await {
                Ok(_) => Some(network),
                // A chain whose state was lost before its first copy starts from nothing, and so do we.
                Err(ChainError::NoContract { .. }) => None,
                Err(error) => return Err(chain_failure(error)),
            }
        }
        None => None,
    };
    let network = match network {
        Some(network) => network,
        None => {
            tell("deploying the contracts");
            let config = DeployConfig::local(&Ports::url(ports.chain));
            deploy(&config, role_key(0)?)
                .await
                .or_fail("cannot deploy the contracts")?
        }
    };
    let client = ChainClient::connect(&network, None).await.map_err(chain_failure)?;
    let node = registered_node(&client).await.map_err(chain_failure)?;
    fund_payer(&client).await.map_err(chain_failure)?;
    Ok(LocalState { network, node, ports })
}

async fn registered_node(client: &ChainClient) -> Result<NodeId, ChainError> {
    let key = |index| dev_key(index).ok_or(ChainError::NoKey);
    let owner = client.with_key(Some(key(2)?))?;
    let operator = key(3)?.address();
    let node = match client.node_of_operator(operator).await? {
        Some(node) => node,
        None => {
            let hardware = Sha256Digest::of(b"local");
            owner.register_node(operator, hardware, "CPU").await?.0
        }
    };
    if client.node(node).await?.list_price == 0 {
        owner.set_list_price(node, LIST_PRICE_USD_MICROS).await?;
    }
    Ok(node)
}

/// Gives the payer tokens and credits, once.
async fn fund_payer(client: &ChainClient) -> Result<(), ChainError> {
    let key = |index| dev_key(index).ok_or(ChainError::NoKey);
    let (governance, payer) = (client.with_key(Some(key(0)?))?, client.with_key(Some(key(1)?))?);
    let account = key(1)?.address();
    for token in &client.network().contracts.tokens {
        let held = client.token_balance(account, token.address).await?;
        let credits = client.credits(account, token.address).await?;
        if held > Amount::ZERO || credits > Amount::ZERO {
            continue;
        }
        let whole = 10u128.pow(u32::from(token.decimals));
        if token.address == client.network().contracts.open_token {
            let amount = Amount((PAYER_CREDITS + PAYER_OPEN) * whole);
            governance.transfer_token(token.address, account, amount).await?;
            let bond = Amount(OWNER_OPEN * whole);
            governance
                .transfer_token(token.address, key(2)?.address(), bond)
                .await?;
        } else {
            let amount = Amount((PAYER_CREDITS + PAYER_TOKENS) * whole);
            governance.mint_test_stablecoin(token.address, account, amount).await?;
        }
        payer.deposit(token.address, Amount(PAYER_CREDITS * whole)).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn keys_are_made_once_and_load() {
        let folder = tempfile::tempdir().unwrap();
        let local = LocalNetwork::of(&crate::home::Home::at(folder.path().to_owned()));
        make_keys(&local).await.unwrap();
        make_keys(&local).await.unwrap();
        assert_eq!(
            local.payer_key().load().unwrap().address(),
            role_key(1).unwrap().address()
        );
        assert_eq!(
            local.key("agent").load().unwrap().address(),
            role_key(4).unwrap().address()
        );
    }
}
