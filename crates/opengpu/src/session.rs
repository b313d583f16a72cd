//! A connection to one network as one payer: chain, gateway and key. All calls to the chain go through here.

use std::path::PathBuf;
use std::time::Duration;

use opengpu_chain::keys::{KEY_FILE_VARIABLE, KeyFiles, PASSWORD_FILE_VARIABLE};
use opengpu_chain::{ChainClient, ChainError, Network, Remedy, Sent};
use opengpu_core::Address;
use opengpu_core::ids::{ChainId, JobId, NodeId};
use opengpu_core::job::JobState;
use opengpu_core::money::Amount;
use opengpu_core::order::Domain;
use opengpu_core::sign::SecretKey;
use opengpu_core::wire::{SignedBid, SignedOrder};
use reqwest::Url;

use crate::args::Global;
use crate::client::GatewayClient;
use crate::failure::{Failure, Kind, OrFail, Outcome};
use crate::home::{Config, Home, LOCAL, NetworkConfig};
use crate::network::{LocalNetwork, LocalState};
use crate::output::TokenName;

/// How often a local chain is asked where a job stands.
const LOCAL_LOOK: Duration = Duration::from_millis(500);
/// The same elsewhere: about a rollup's block.
const REMOTE_LOOK: Duration = Duration::from_secs(2);

/// What is known of a network before anything is asked of it.
#[derive(Debug, Clone)]
pub(crate) struct Profile {
    /// Its name in the config.
    pub(crate) name: String,
    /// Chain and contracts.
    pub(crate) network: Network,
    /// Gateways, the preferred one first.
    pub(crate) gateways: Vec<Url>,
    /// The payer's key.
    pub(crate) key: KeyFiles,
}

impl Profile {
    /// The network the command line, the environment or the config names; `local` without any.
    pub(crate) fn choose(home: &Home, global: &Global) -> Outcome<Self> {
        let config = home.config()?;
        let named = global.network.clone().or(config.default_network.clone());
        let name = named.unwrap_or_else(|| LOCAL.to_owned());
        let key = environment_key()?;
        match config.network.get(&name) {
            Some(entry) => Self::configured(home, name, entry, key),
            None if name == LOCAL => Self::local(home, key),
            None => Err(unknown_network(home, &config, &name)),
        }
    }

    fn local(home: &Home, key: Option<KeyFiles>) -> Outcome<Self> {
        let local = LocalNetwork::of(home);
        let state = local_state(&local)?;
        Ok(Self {
            name: LOCAL.to_owned(),
            gateways: vec![state.gateway_url()?],
            key: key.unwrap_or_else(|| local.payer_key()),
            network: state.network,
        })
    }

    fn configured(home: &Home, name: String, entry: &NetworkConfig, key: Option<KeyFiles>) -> Outcome<Self> {
        let network = configured_network(home, &name, entry)?;
        let gateways = entry
            .gateways
            .iter()
            .map(|text| parse_url(text))
            .collect::<Outcome<Vec<_>>>()?;
        if gateways.is_empty() {
            return Err(Failure::usage(format_args!("network `{name}` has no gateway"))
                .hint(format_args!("set gateways = [\"https://…\"] in [network.{name}]")));
        }
        let configured = entry
            .keystore
            .as_ref()
            .zip(entry.password_file.as_ref())
            .map(|(key, password)| KeyFiles {
                key: home.join(key),
                password: home.join(password),
            });
        let key = key.or(configured).ok_or_else(|| {
            Failure::usage(format_args!("network `{name}` has no key to pay with"))
                .hint("set OPENGPU_KEY_FILE and OPENGPU_PASSWORD_FILE, or keystore and password-file in the config")
        })?;
        Ok(Self {
            name,
            network,
            gateways,
            key,
        })
    }
}

fn unknown_network(home: &Home, config: &Config, name: &str) -> Failure {
    let mut known: Vec<&str> = config.network.keys().map(String::as_str).collect();
    known.push(LOCAL);
    let message = format!("there is no network `{name}`; there are {}", known.join(", "));
    let path = home.join("config.toml");
    Failure::usage(message).hint(format_args!("add [network.{name}] to {}", path.display()))
}

fn local_state(local: &LocalNetwork) -> Outcome<LocalState> {
    local
        .state()?
        .ok_or_else(|| Failure::error("there is no local network yet").hint("`opengpu up` starts one"))
}

fn configured_network(home: &Home, name: &str, entry: &NetworkConfig) -> Outcome<Network> {
    let mut network = Network::load(&home.join(&entry.deployment))
        .map_err(|error| Failure::usage(&error).hint(format_args!("network.{name}.deployment names that file")))?;
    network.rpc_url = entry.rpc.clone().unwrap_or(network.rpc_url);
    Ok(network)
}

/// Chain and contracts of the chosen network, for commands that need neither gateway nor key.
pub(crate) fn chosen_network(home: &Home, global: &Global) -> Outcome<Network> {
    let config = home.config()?;
    let named = global.network.clone().or(config.default_network.clone());
    let name = named.unwrap_or_else(|| LOCAL.to_owned());
    match config.network.get(&name) {
        Some(entry) => configured_network(home, &name, entry),
        None if name == LOCAL => Ok(local_state(&LocalNetwork::of(home))?.network),
        None => Err(unknown_network(home, &config, &name)),
    }
}

/// The key that the environment names; `None` when it names neither file. Half a key is refused: another account would act.
pub(crate) fn environment_key() -> Outcome<Option<KeyFiles>> {
    let is_set = |name: &str| std::env::var_os(name).is_some();
    let (set, missing) = match (is_set(KEY_FILE_VARIABLE), is_set(PASSWORD_FILE_VARIABLE)) {
        (false, false) => return Ok(None),
        (true, true) => {
            let files = KeyFiles::from_environment().map_err(|error| Failure::usage(&error))?;
            return Ok(Some(files));
        }
        (true, false) => (KEY_FILE_VARIABLE, PASSWORD_FILE_VARIABLE),
        (false, true) => (PASSWORD_FILE_VARIABLE, KEY_FILE_VARIABLE),
    };
    Err(Failure::usage(format_args!("{set} is set, {missing} is not")).hint("set both, or neither"))
}

/// Reads a URL.
pub(crate) fn parse_url(text: &str) -> Outcome<Url> {
    text.parse().map_err(|error| {
        Failure::usage(format_args!("`{text}` is not a URL: {error}")).hint("for example http://127.0.0.1:8640")
    })
}

/// An open connection.
#[derive(Debug, Clone)]
pub(crate) struct Session {
    /// Where to.
    pub(crate) profile: Profile,
    /// The chain, with the payer's key.
    pub(crate) chain: ChainClient,
    /// The preferred gateway.
    pub(crate) gateway: GatewayClient,
    /// The payer's key.
    pub(crate) key: SecretKey,
    /// The user's folder.
    pub(crate) home: Home,
}

impl Session {
    /// Connects to the chain and unlocks the key. The gateway is not asked yet.
    pub(crate) async fn open(home: &Home, global: &Global) -> Outcome<Self> {
        Self::with_profile(home, Profile::choose(home, global)?).await
    }

    /// The same, on the local network with the key of one of its roles unless the environment names a key.
    pub(crate) async fn open_as(home: &Home, global: &Global, role: &str) -> Outcome<Self> {
        let mut profile = Profile::choose(home, global)?;
        if profile.name == LOCAL && environment_key()?.is_none() {
            profile.key = LocalNetwork::of(home).key(role);
        }
        Self::with_profile(home, profile).await
    }

    /// The same for a profile already chosen.
    pub(crate) async fn with_profile(home: &Home, profile: Profile) -> Outcome<Self> {
        let files = profile.key.clone();
        let key = tokio::task::spawn_blocking(move || files.load())
            .await
            .or_fail("cannot read the key")?;
        let key = key.map_err(|error| {
            Failure::error(format_args!("cannot read the key: {error}"))
                .hint("OPENGPU_KEY_FILE names the keystore, OPENGPU_PASSWORD_FILE the file with its password")
        })?;
        let chain = connect(&profile.network, Some(key.clone())).await?;
        let url = profile.gateways.first().cloned().ok_or_else(|| {
            Failure::usage("no gateway is configured").hint("set gateways in the network's part of the config")
        })?;
        let gateway = GatewayClient::new(url, profile.network.domain(), key.clone())?;
        Ok(Self {
            profile,
            chain,
            gateway,
            key,
            home: home.clone(),
        })
    }

    /// Where signatures are valid.
    pub(crate) fn domain(&self) -> Domain {
        self.profile.network.domain()
    }

    /// The key's account: the payer, unless a job is paid from a budget.
    pub(crate) fn account(&self) -> Address {
        self.key.address()
    }

    /// The chain's id.
    pub(crate) fn chain_id(&self) -> ChainId {
        self.profile.network.chain_id
    }

    /// How often to ask the chain where a job stands.
    pub(crate) fn chain_look(&self) -> Duration {
        if self.chain_id() == ChainId::LOCAL {
            LOCAL_LOOK
        } else {
            REMOTE_LOOK
        }
    }

    /// A listed token by its symbol.
    pub(crate) fn token(&self, symbol: &str) -> Outcome<(Address, TokenName)> {
        let info = self
            .profile
            .network
            .token(symbol)
            .map_err(|error| Failure::usage(&error).hint("--token takes one of those"))?;
        let name = TokenName {
            symbol: info.symbol.clone(),
            decimals: info.decimals,
        };
        Ok((info.address, name))
    }

    /// How to write amounts of a token by its symbol.
    pub(crate) fn token_name_of(&self, symbol: &str) -> TokenName {
        let known = self.profile.network.token(symbol).ok();
        TokenName {
            symbol: symbol.to_owned(),
            decimals: known.map_or(0, |info| info.decimals),
        }
    }

    /// How to write amounts of a token; one the network does not name is shown in base units of its address.
    pub(crate) fn token_name(&self, address: Address) -> TokenName {
        match self.profile.network.token_at(address) {
            Some(info) => TokenName {
                symbol: info.symbol.clone(),
                decimals: info.decimals,
            },
            None => TokenName {
                symbol: address.to_string(),
                decimals: 0,
            },
        }
    }

    /// The chain's clock, unix seconds.
    pub(crate) async fn now(&self) -> Outcome<u64> {
        self.chain.now().await.map_err(chain_failure)
    }

    /// Where a job stands.
    pub(crate) async fn state_of(&self, job: JobId) -> Result<JobState, ChainError> {
        Ok(self.chain.job(job).await?.state)
    }

    /// This account's credits that are not locked.
    pub(crate) async fn credits(&self, token: Address) -> Outcome<Amount> {
        self.credits_of(self.account(), token).await
    }

    /// Anybody's credits that are not locked.
    pub(crate) async fn credits_of(&self, account: Address, token: Address) -> Outcome<Amount> {
        self.chain.credits(account, token).await.map_err(chain_failure)
    }

    /// This account's tokens outside the wallet.
    pub(crate) async fn tokens(&self, token: Address) -> Outcome<Amount> {
        self.chain
            .token_balance(self.account(), token)
            .await
            .map_err(chain_failure)
    }

    /// The most a job may lock on a node of tier 0.
    pub(crate) async fn t0_cap(&self, token: Address) -> Outcome<Amount> {
        Ok(self.chain.token(token).await.map_err(chain_failure)?.t0_cap)
    }

    /// What the registry says of a node.
    pub(crate) async fn node(&self, node: NodeId) -> Outcome<opengpu_chain::NodeOnChain> {
        self.chain.node(node).await.map_err(chain_failure)
    }

    /// Locks the escrow on the node whose bid is given. What an error means says [`match_failure`].
    pub(crate) async fn match_order(&self, order: &SignedOrder, bid: &SignedBid) -> Result<Sent, ChainError> {
        self.chain.match_order(&order.order, &order.signature, bid).await
    }

    /// Sends a match again if the chain lost it. A chain that does not answer now is asked another time.
    pub(crate) async fn ensure_matched(&self, order: &SignedOrder, bid: &SignedBid) -> Outcome {
        match self.chain.ensure_matched(&order.order, &order.signature, bid).await {
            Ok(_) => Ok(()),
            Err(error) if error.is_retryable() => Ok(()),
            Err(error) => Err(chain_failure(error)),
        }
    }
}

/// Connects to a network's chain. A local network that is down is started by one command.
pub(crate) async fn connect(network: &Network, key: Option<SecretKey>) -> Outcome<ChainClient> {
    let connected = ChainClient::connect(network, key).await;
    connected.map_err(|error| match error {
        ChainError::Unreachable { .. } if network.name == LOCAL => {
            Failure::error(&error).hint("`opengpu up` starts the local network")
        }
        error => chain_failure(error),
    })
}

/// Turns the chain's error into a failure with what to try.
pub(crate) fn chain_failure(error: ChainError) -> Failure {
    let money = error.revert().and_then(|revert| money_hint(&revert.name));
    let failure = Failure::new(if money.is_some() { Kind::Budget } else { Kind::Error }, &error);
    let failure = match error.revert() {
        Some(revert) => failure.usually(state_hint(&revert.name)),
        None => failure,
    };
    match error.hint().or(money.map(str::to_owned)) {
        Some(hint) => failure.hint(hint),
        None if error.is_retryable() => failure.hint("try again in a moment"),
        None => failure,
    }
}

/// Whether a match that failed can never have happened: it could not be sent, or the wallet had or allowed too little.
pub(crate) fn is_never_matched(error: &ChainError) -> bool {
    let is_refused = error
        .revert()
        .is_some_and(|revert| revert.name.starts_with("CloudWallet_"));
    is_refused || error.remedy() == Remedy::AskUser
}

/// Turns a failed match into a failure that says whether the escrow may be locked all the same.
pub(crate) fn match_failure(error: ChainError) -> Failure {
    if error.revert().is_some() {
        return chain_failure(error).hint("nothing is locked; run the same command again");
    }
    if is_never_matched(&error) {
        return chain_failure(error);
    }
    Failure::error(&error).hint("it may still be matched: see `opengpu ps --all` before you run the command again")
}

/// What to try when the contract refused because the money does not suffice or may not be spent.
fn money_hint(revert: &str) -> Option<&'static str> {
    match revert {
        "CloudWallet_CreditsTooLow" => {
            Some("`opengpu wallet deposit` adds credits; `opengpu wallet show` says what there is")
        }
        "CloudWallet_BudgetTooLow" => {
            Some("lower --max-cost, or ask the payer for another budget; `opengpu wallet budget ls` says what is left")
        }
        "CloudWallet_BudgetPerJobTooLow" => Some("lower --max-cost to what the budget allows for one job"),
        "CloudWallet_BudgetIsRevoked" => Some("ask the payer for another budget"),
        "CloudWallet_BudgetHasExpired" => Some("ask the payer for another budget, good for longer (--expires)"),
        _ => None,
    }
}

/// What says how things stand with the contract that refused.
fn state_hint(revert: &str) -> &'static str {
    match revert.split_once('_').map_or("", |(contract, _)| contract) {
        "CloudWallet" => "`opengpu wallet show` and `opengpu wallet budget ls` say how things stand",
        "Incentives" => "`opengpu node incentives show` says what can be reported and claimed",
        "JobMarket" => "`opengpu ps --all` says how the job stands",
        "NodeRegistry" => "`opengpu node show` says how the node stands",
        "Staking" => "`opengpu stake show` says how the stake stands",
        _ => "nothing was changed; the same again is refused until something else has changed",
    }
}

/// Where the payer's jobs keep blocks between download and export.
pub(crate) fn store_folder(home: &Home) -> PathBuf {
    home.join("store")
}

#[cfg(test)]
mod tests {
    use opengpu_chain::Revert;

    use super::*;

    fn refused(name: &str) -> Failure {
        chain_failure(ChainError::Reverted(Revert {
            name: name.to_owned(),
            values: Vec::new(),
            text: "no".to_owned(),
        }))
    }

    #[test]
    fn refusals_about_money_have_their_exit_code_and_say_what_to_do() {
        for (name, hint) in [
            ("CloudWallet_CreditsTooLow", "deposit"),
            ("CloudWallet_BudgetTooLow", "--max-cost"),
            ("CloudWallet_BudgetPerJobTooLow", "--max-cost"),
            ("CloudWallet_BudgetIsRevoked", "another budget"),
            ("CloudWallet_BudgetHasExpired", "--expires"),
        ] {
            let failure = refused(name);
            assert_eq!(failure.kind(), Kind::Budget, "{name}");
            assert!(failure.to_string().contains(hint), "{name}: {failure}");
        }
        assert_eq!(refused("JobMarket_StateIs").kind(), Kind::Error);
    }

    #[test]
    fn a_refusal_says_where_to_look_unless_something_closer_is_known() {
        for (name, hint) in [
            ("Staking_EndNotLater", "`opengpu stake show`"),
            ("NodeRegistry_BondTooLow", "`opengpu node show`"),
            ("Panic", "nothing was changed"),
        ] {
            let failure = refused(name);
            assert!(failure.to_string().contains(hint), "{name}: {failure}");
            assert!(failure.hint("closer").to_string().ends_with("hint: closer"));
        }
    }

    #[test]
    fn a_match_that_may_have_happened_is_told_from_one_that_cannot() {
        let transaction = opengpu_core::B256::ZERO;
        let gas = || ChainError::InsufficientGas {
            account: Address::repeat_byte(1),
            balance: opengpu_core::U256::ZERO,
        };
        let lost = || ChainError::Lost { transaction };
        assert!(is_never_matched(&gas()));
        assert!(match_failure(gas()).to_string().contains("native coin to 0x0101"));
        assert!(!is_never_matched(&lost()));
        assert!(match_failure(lost()).to_string().contains("may still be matched"));
    }
}
