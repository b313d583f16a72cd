//! Puts the contracts on a chain, from the committed artifacts: no Solidity compiler is needed.
//!
//! The contracts name each other in their constructors and have no setters, so addresses are computed before anything is sent: a contract's
//! address follows from its deployer and the deployer's nonce.

use alloy::network::TransactionBuilder as _;
use alloy::primitives::Bytes;
use alloy::providers::Provider as _;
use alloy::rpc::types::TransactionRequest;
use alloy::sol_types::SolConstructor;
use opengpu_core::ids::ChainId;
use opengpu_core::job::UsdRate;
use opengpu_core::money::Amount;
use opengpu_core::sign::SecretKey;
use opengpu_core::{Address, U256};

use crate::bindings::{Cloudverse, JobRecovery, NodeRegistry, OpenToken, TestStablecoin};
use crate::client::ChainClient;
use crate::convert::malformed;
use crate::error::ChainError;
use crate::network::{Contracts, Network, TokenInfo};

/// A USD rate says millionths of a millionth of a USD per 10^18 base units. For a token of 6 decimals worth one USD, 10^18 base units are
/// 10^12 USD.
const USDC_RATE: u128 = 1_000_000_000_000_000_000_000_000;
/// The same for a token of 18 decimals worth a tenth of a cent: 10^18 base units are 0.001 USD.
const OPEN_RATE: u128 = 1_000_000_000;
/// A node of tier T0 takes jobs of up to five USD (protocol, section 7).
const USDC_T0_CAP: u128 = 5_000_000;
/// Five USD in OPEN at [`OPEN_RATE`].
const OPEN_T0_CAP: u128 = 5_000_000_000_000_000_000_000;
/// How long a fault report may be answered on a local network, seconds: the shortest the contract takes there.
const LOCAL_RESPONSE_WINDOW_SECONDS: u64 = 15;

/// What a deployment fixes for ever, and what it lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeployConfig {
    /// Name of the network.
    pub name: String,
    /// JSON-RPC over HTTP.
    pub rpc_url: String,
    /// The chain deployed to. Test tokens exist on [`ChainId::LOCAL`] only.
    pub chain_id: ChainId,
    /// How long a fault report may be answered, seconds: 60 to 3600, from 15 on a local chain.
    pub response_window_seconds: u64,
    /// OPEN in USD, millionths of a millionth per 10^18 base units.
    pub open_rate: UsdRate,
    /// Highest escrow in OPEN on a node of tier T0.
    pub open_t0_cap: Amount,
}

impl DeployConfig {
    /// What a local network uses.
    #[must_use]
    pub fn local(rpc_url: &str) -> Self {
        Self {
            name: "local".to_owned(),
            rpc_url: rpc_url.to_owned(),
            chain_id: ChainId::LOCAL,
            response_window_seconds: LOCAL_RESPONSE_WINDOW_SECONDS,
            open_rate: UsdRate(OPEN_RATE),
            open_t0_cap: Amount(OPEN_T0_CAP),
        }
    }
}

/// Deploys OPEN, the test stablecoin (local chains), `NodeRegistry` and `Cloudverse`, lists the tokens, reads everything back and returns
/// the network. The deployer becomes governance and treasury and gets all OPEN. The next transactions of its account must be these.
///
/// # Errors
/// [`ChainError`]; [`ChainError::Malformed`] when what is on chain afterwards is not what was asked for.
pub async fn deploy(config: &DeployConfig, deployer: SecretKey) -> Result<Network, ChainError> {
    let account = deployer.address();
    let planned = plan(config, account).await?;
    let client = ChainClient::without_checks(&planned, Some(deployer))?;
    let contracts = &planned.contracts;
    let first_block = client
        .create(
            OpenToken::BYTECODE.clone(),
            OpenToken::constructorCall { receiver: account },
            contracts.open_token,
        )
        .await?;
    let registry = NodeRegistry::constructorCall {
        openToken_: contracts.open_token,
        cloudverse_: contracts.cloudverse,
        governance_: account,
    };
    client
        .create(NodeRegistry::BYTECODE.clone(), registry, contracts.node_registry)
        .await?;
    let wiring = JobRecovery::constructorCall {
        openToken_: contracts.open_token,
        nodeRegistry_: contracts.node_registry,
        governance_: account,
        staking_: Address::ZERO,
        disputes_: Address::ZERO,
        responseWindowSeconds_: U256::from(config.response_window_seconds),
    };
    let nonce = client
        .provider()
        .get_transaction_count(account)
        .await
        .map_err(|error| client.transport(error))?;
    let recovery = account.create(nonce);
    client.create(JobRecovery::BYTECODE.clone(), wiring, recovery).await?;
    let cloudverse = Cloudverse::constructorCall {
        recovery_: recovery,
        openToken_: contracts.open_token,
        nodeRegistry_: contracts.node_registry,
        governance_: account,
        staking_: Address::ZERO,
        disputes_: Address::ZERO,
        responseWindowSeconds_: U256::from(config.response_window_seconds),
    };
    client
        .create(Cloudverse::BYTECODE.clone(), cloudverse, contracts.cloudverse)
        .await?;
    client
        .set_listing(contracts.open_token, config.open_rate, config.open_t0_cap)
        .await?;
    for token in contracts
        .tokens
        .iter()
        .filter(|token| token.address != contracts.open_token)
    {
        client
            .create(
                TestStablecoin::BYTECODE.clone(),
                TestStablecoin::constructorCall {},
                token.address,
            )
            .await?;
        client
            .set_listing(token.address, UsdRate(USDC_RATE), Amount(USDC_T0_CAP))
            .await?;
    }
    let network = Network {
        deployed_at_block: first_block,
        ..planned
    };
    verify(&network, config).await?;
    Ok(network)
}

/// Where everything will be, in the order [`deploy`] sends it.
async fn plan(config: &DeployConfig, deployer: Address) -> Result<Network, ChainError> {
    let unplaced = Network {
        name: config.name.clone(),
        rpc_url: config.rpc_url.clone(),
        chain_id: config.chain_id,
        contracts: Contracts {
            cloudverse: Address::ZERO,
            node_registry: Address::ZERO,
            open_token: Address::ZERO,
            tokens: Vec::new(),
        },
        deployed_at_block: 0,
    };
    let client = ChainClient::without_checks(&unplaced, None)?;
    client.check_chain().await?;
    let nonce = client
        .provider()
        .get_transaction_count(deployer)
        .await
        .map_err(|error| client.transport(error))?;
    let mut tokens = vec![token("OPEN", deployer.create(nonce), 18)];
    if config.chain_id == ChainId::LOCAL {
        // After OPEN, the registry, Cloudverse and OPEN's listing.
        tokens.push(token("USDC", deployer.create(nonce + 5), 6));
    }
    Ok(Network {
        contracts: Contracts {
            open_token: deployer.create(nonce),
            node_registry: deployer.create(nonce + 1),
            cloudverse: deployer.create(nonce + 3),
            tokens,
        },
        ..unplaced
    })
}

fn token(symbol: &str, address: Address, decimals: u8) -> TokenInfo {
    TokenInfo {
        symbol: symbol.to_owned(),
        address,
        decimals,
    }
}

/// Reads back what was deployed.
async fn verify(network: &Network, config: &DeployConfig) -> Result<(), ChainError> {
    let client = ChainClient::connect(network, None).await?;
    let market = client.cloudverse();
    let registry = client.registry();
    let read = |error| client.call_error(error);
    let wired = market.nodeRegistry().call().await.map_err(read)? == network.contracts.node_registry
        && market.openToken().call().await.map_err(read)? == network.contracts.open_token
        && registry.cloudverse().call().await.map_err(read)? == network.contracts.cloudverse
        && client.response_window_seconds().await? == config.response_window_seconds;
    if !wired {
        return Err(malformed("the deployed contracts do not name each other"));
    }
    for expected in &network.contracts.tokens {
        let found = client.token(expected.address).await?;
        if found.info != *expected || found.usd_rate.0 == 0 {
            return Err(malformed(format!("token {} is not listed as planned", expected.symbol)));
        }
    }
    Ok(())
}

impl ChainClient {
    /// Lists a token for new matches, changes its rate or cap, or de-lists it with a rate of 0. By governance.
    ///
    /// # Errors
    /// [`ChainError::Reverted`]: `CloudWallet_NotAllowed`.
    pub async fn set_listing(
        &self,
        token: Address,
        usd_rate: UsdRate,
        t0_cap: Amount,
    ) -> Result<crate::transactions::Sent, ChainError> {
        let rate = alloy::primitives::Uint::<96, 2>::try_from(usd_rate.0).map_err(malformed)?;
        let request = self
            .cloudverse()
            .setListing(token, rate, t0_cap.0)
            .into_transaction_request();
        self.send(request).await
    }

    /// Deploys a contract, checks that it is where it was planned, and returns its block.
    async fn create(
        &self,
        bytecode: Bytes,
        constructor: impl SolConstructor,
        planned: Address,
    ) -> Result<u64, ChainError> {
        let code = [bytecode.as_ref(), constructor.abi_encode().as_slice()].concat();
        let request = TransactionRequest::default().with_deploy_code(code);
        let (sent, receipt) = self.send_for_receipt(request).await?;
        if receipt.contract_address == Some(planned) {
            Ok(sent.block)
        } else {
            Err(malformed(format!(
                "a contract is at {:?}, not at {planned}: another transaction came between",
                receipt.contract_address
            )))
        }
    }
}
