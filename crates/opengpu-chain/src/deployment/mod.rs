//! Puts the contracts on a chain, from the committed artifacts: no Solidity compiler is needed.
//!
//! The contracts name each other in their constructors and have no setters, so addresses are known before anything is sent: a
//! Deployer at an address that follows from its owner and a salt makes them one after the other, and each has the address of the
//! Deployer's next nonce. Every step looks first and does only what is missing, so a deployment that was interrupted goes on.

mod config;
mod contracts;
mod factory;
mod steps;
mod verify;

use std::time::Duration;

use alloy::primitives::Bytes;
use alloy::providers::Provider as _;
use alloy::sol_types::SolCall as _;
use opengpu_core::Address;
use opengpu_core::job::UsdRate;
use opengpu_core::money::Amount;
use opengpu_core::sign::SecretKey;
use tokio::time::{Instant, sleep};

use crate::bindings::Cloudverse;
use crate::client::ChainClient;
use crate::convert::malformed;
use crate::error::ChainError;
use crate::network::{Contracts, Network, TokenInfo};
use crate::transactions::is_nonce_taken;

pub use config::{Allocation, DeployConfig, ListedToken, Listing, OPEN_SUPPLY};
pub use factory::{FACTORY, deployer_address};
pub use steps::Step;

use contracts::Places;

/// How long a deployment waits for transactions that an earlier run left behind.
const PATIENCE: Duration = Duration::from_secs(180);

/// Deploys what is missing, lists the tokens where the deployer is governance, reads everything back and returns the network.
///
/// # Errors
/// [`ChainError`]; [`ChainError::NotAsPlanned`] when what is on chain is not what was asked for.
pub async fn deploy(config: &DeployConfig, deployer: SecretKey) -> Result<Network, ChainError> {
    let deployment = Deployment::plan(config, deployer.address()).await?;
    deployment.finish(&deployer, None, &|_| {}).await
}

/// A deployment: where everything is or will be, and what is still to do.
#[derive(Debug, Clone)]
pub struct Deployment {
    config: DeployConfig,
    owner: Address,
    deployer: Address,
    places: Places,
    client: ChainClient,
}

/// A call that governance has to make itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GovernanceCall {
    /// What it does, for people.
    pub what: String,
    /// The contract.
    pub to: Address,
    /// Calldata.
    pub data: Bytes,
}

impl Deployment {
    /// Computes the addresses, and checks what can be checked before anything is sent. `owner` is the account that deploys.
    ///
    /// # Errors
    /// [`ChainError`]; [`ChainError::NotAsPlanned`] for allocations that are not OPEN's supply and for tokens that are not as listed.
    pub async fn plan(config: &DeployConfig, owner: Address) -> Result<Self, ChainError> {
        let deployer = deployer_address(owner, &config.salt);
        let places = Places::below(deployer, config);
        let network = network_of(config, deployer, &places);
        let client = ChainClient::without_checks(&network, None)?;
        let deployment = Self {
            config: config.clone(),
            owner,
            deployer,
            places,
            client,
        };
        deployment.client.check_chain().await?;
        deployment.check_config().await?;
        Ok(deployment)
    }

    /// The network as it will be; its first block is 0 until everything is there.
    #[must_use]
    pub fn network(&self) -> &Network {
        self.client.network()
    }

    /// The connection that the steps are taken through.
    #[must_use]
    pub fn client(&self) -> &ChainClient {
        &self.client
    }

    /// Names and addresses of the contracts, the Deployer first.
    #[must_use]
    pub fn contracts(&self) -> Vec<(&'static str, Address)> {
        let mut all = vec![("Deployer", self.deployer)];
        all.extend(self.places.all());
        all
    }

    /// Takes every step that is missing, reads everything back and returns the network. `tell` hears of each step before it is taken.
    /// `first_block` is the network's first block where an earlier run found it.
    ///
    /// # Errors
    /// [`ChainError`]. Called again it goes on where it stopped.
    pub async fn finish(
        &self,
        key: &SecretKey,
        first_block: Option<u64>,
        tell: &(dyn Fn(&Step) + Sync),
    ) -> Result<Network, ChainError> {
        let give_up = Instant::now() + PATIENCE;
        let mut first_block = first_block;
        let mut last = None;
        while let Some(step) = self.missing().await?.into_iter().next() {
            if last.as_ref() == Some(&step) {
                return Err(ChainError::NotAsPlanned(format!(
                    "after the step `{step}` the chain is as before"
                )));
            }
            tell(&step);
            let block = match self.take(&step, key).await {
                Err(ChainError::Refused { message, .. }) if is_nonce_taken(&message) && Instant::now() < give_up => {
                    // A killed run left a transaction behind: see what becomes of it.
                    sleep(self.client.poll_interval()).await;
                    continue;
                }
                taken => taken?,
            };
            if block.is_some() && matches!(step, Step::Make("OpenToken", _)) {
                first_block = block;
            }
            last = Some(step);
        }
        self.read_back(first_block).await
    }

    /// The network as it is on the chain, once every contract is there, compared with what was asked for: the addresses follow from the
    /// owner and the salt alone, whatever the contracts were made with.
    ///
    /// # Errors
    /// [`ChainError::NotAsPlanned`] naming every difference.
    pub async fn read_back(&self, first_block: Option<u64>) -> Result<Network, ChainError> {
        let deployed_at_block = match first_block {
            Some(block) => block,
            None => self.first_block().await?,
        };
        let network = Network {
            deployed_at_block,
            ..self.network().clone()
        };
        self.verify(&network).await?;
        Ok(network)
    }

    /// What governance has to call when it is not the account that deploys: listings that are not on the chain yet.
    ///
    /// # Errors
    /// [`ChainError::Unreachable`].
    pub async fn governance_calls(&self) -> Result<Vec<GovernanceCall>, ChainError> {
        if self.config.governance == self.owner {
            return Ok(Vec::new());
        }
        let mut calls = Vec::new();
        for listing in self.unlisted().await? {
            let data = Cloudverse::setListingCall {
                token: self.address_of(&listing.token),
                usdRate: rate(listing.usd_rate)?,
                t0Cap: listing.t0_cap.0,
            };
            calls.push(GovernanceCall {
                what: format!("list {}", listing.symbol),
                to: self.network().contracts.cloudverse,
                data: data.abi_encode().into(),
            });
        }
        Ok(calls)
    }

    fn address_of(&self, token: &ListedToken) -> Address {
        token_address(token, &self.places)
    }

    async fn code(&self, address: Address) -> Result<Bytes, ChainError> {
        let code = self.client.provider().get_code_at(address).await;
        code.map_err(|error| self.client.transport(error))
    }

    /// Listings that the chain does not have. Before Cloudverse is there, all.
    async fn unlisted(&self) -> Result<Vec<&Listing>, ChainError> {
        let is_there = !self.code(self.network().contracts.cloudverse).await?.is_empty();
        let mut missing = Vec::new();
        for listing in &self.config.listings {
            let is_listed = is_there && {
                let market = self.client.cloudverse();
                let found = market.listingOf(self.address_of(&listing.token)).call().await;
                found.map_err(|error| self.client.call_error(error))?.usdRate != rate(UsdRate(0))?
            };
            if !is_listed {
                missing.push(listing);
            }
        }
        Ok(missing)
    }

    /// The block that has OPEN, the first contract, for the first time.
    async fn first_block(&self) -> Result<u64, ChainError> {
        let address = self.places.of("OpenToken");
        let provider = self.client.provider();
        let read = |error| self.client.transport(error);
        let (mut without, mut with) = (0, provider.get_block_number().await.map_err(read)?);
        while with - without > 1 {
            let middle = without + (with - without) / 2;
            // A block whose state the endpoint has forgotten counts as one with OPEN: an earlier start than needed does no harm.
            match provider.get_code_at(address).number(middle).await {
                Ok(code) if code.is_empty() => without = middle,
                _ => with = middle,
            }
        }
        Ok(with)
    }
}

fn rate(rate: UsdRate) -> Result<alloy::primitives::Uint<96, 2>, ChainError> {
    alloy::primitives::Uint::<96, 2>::try_from(rate.0).map_err(malformed)
}

fn token_address(token: &ListedToken, places: &Places) -> Address {
    match token {
        ListedToken::Open => places.of("OpenToken"),
        ListedToken::TestStablecoin => places.of("TestStablecoin"),
        ListedToken::At(address) => *address,
    }
}

fn network_of(config: &DeployConfig, deployer: Address, places: &Places) -> Network {
    let tokens = config.listings.iter().map(|listing| TokenInfo {
        symbol: listing.symbol.clone(),
        address: token_address(&listing.token, places),
        decimals: listing.decimals,
    });
    Network {
        name: config.name.clone(),
        rpc_url: config.rpc_url.clone(),
        chain_id: config.chain_id,
        contracts: Contracts {
            cloudverse: places.of("Cloudverse"),
            node_registry: places.of("NodeRegistry"),
            open_token: places.of("OpenToken"),
            tokens: tokens.collect(),
            staking: places.find("Staking"),
            incentives: places.find("Incentives"),
            deployer: Some(deployer),
        },
        deployed_at_block: 0,
    }
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
        let request = self
            .cloudverse()
            .setListing(token, rate(usd_rate)?, t0_cap.0)
            .into_transaction_request();
        self.send(request).await
    }
}
