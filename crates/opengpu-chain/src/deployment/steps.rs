//! What a deployment does, one transaction at a time.

use std::fmt;

use alloy::network::TransactionBuilder as _;
use alloy::primitives::Bytes;
use opengpu_core::Address;
use opengpu_core::sign::SecretKey;

use super::contracts::{ROWS, Row, is_same_code};
use super::factory::{self, FACTORY, FACTORY_CODE, FACTORY_SIGNER, factory_cost};
use super::{Deployment, ListedToken};
use crate::bindings::Deployer;
use crate::client::ChainClient;
use crate::convert::malformed;
use crate::error::ChainError;

/// One transaction of a deployment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Gas money for the account that signed the factory's creation, on chains without the factory.
    FundFactory,
    /// The CREATE2 factory, on chains without it.
    MakeFactory,
    /// The Deployer.
    MakeDeployer(Address),
    /// One of the contracts.
    Make(&'static str, Address),
    /// A token's listing.
    List(String, Address),
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FundFactory => write!(
                f,
                "pay for the CREATE2 factory (0.01 of the chain's coin to {FACTORY_SIGNER})"
            ),
            Self::MakeFactory => write!(f, "make the CREATE2 factory at {FACTORY}"),
            Self::MakeDeployer(address) => write!(f, "make Deployer at {address}"),
            Self::Make(name, address) => write!(f, "make {name} at {address}"),
            Self::List(symbol, address) => write!(f, "list {symbol} ({address})"),
        }
    }
}

impl Deployment {
    /// The steps that are still to take, in order. What is there is compared with what we would make.
    ///
    /// # Errors
    /// [`ChainError::Unreachable`]; [`ChainError::NotAsPlanned`] when something else is at an address of ours.
    pub async fn missing(&self) -> Result<Vec<Step>, ChainError> {
        let mut steps = Vec::new();
        if !self
            .is_there("Deployer", self.deployer, &Deployer::DEPLOYED_BYTECODE)
            .await?
        {
            steps.append(&mut self.missing_factory().await?);
            steps.push(Step::MakeDeployer(self.deployer));
        }
        let used = self.client.transactions_of(self.deployer).await?;
        for ((row, address), nonce) in self.rows().zip(1..) {
            if self.is_there(row.name, address, row.runtime).await? {
                continue;
            }
            if used > nonce {
                return Err(ChainError::NotAsPlanned(format!(
                    "the Deployer {} used the place of {} for something else",
                    self.deployer, row.name
                )));
            }
            steps.push(Step::Make(row.name, address));
        }
        if self.config.governance == self.owner {
            for listing in self.unlisted().await? {
                steps.push(Step::List(listing.symbol.clone(), self.address_of(&listing.token)));
            }
        }
        Ok(steps)
    }

    async fn missing_factory(&self) -> Result<Vec<Step>, ChainError> {
        if self.is_there("CREATE2 factory", FACTORY, &FACTORY_CODE).await? {
            return Ok(Vec::new());
        }
        if self.client.gas_balance(FACTORY_SIGNER).await? < factory_cost() {
            return Ok(vec![Step::FundFactory, Step::MakeFactory]);
        }
        Ok(vec![Step::MakeFactory])
    }

    async fn is_there(&self, name: &str, address: Address, compiled: &Bytes) -> Result<bool, ChainError> {
        let found = self.code(address).await?;
        if found.is_empty() {
            return Ok(false);
        }
        if is_same_code(&found, compiled) {
            return Ok(true);
        }
        Err(ChainError::NotAsPlanned(format!(
            "at {address}, the place of {name}, is other code ({} bytes, not these {})",
            found.len(),
            compiled.len()
        )))
    }

    fn rows(&self) -> impl Iterator<Item = (&'static Row, Address)> {
        let wanted = ROWS.iter().filter(|row| (row.is_wanted)(&self.config));
        wanted.map(|row| (row, self.places.of(row.name)))
    }

    /// Takes one step and returns its block, where it has one of its own. A step that is not missing any more is not taken again.
    ///
    /// The nonce is the one after the account's transactions in blocks, read before the state is: a transaction that a killed run left
    /// behind and ours have the same one then, so one of them is included and never both.
    ///
    /// # Errors
    /// [`ChainError`]; [`ChainError::NoFactory`] where a chain does not take the factory's creation.
    pub async fn take(&self, step: &Step, key: &SecretKey) -> Result<Option<u64>, ChainError> {
        let client = self.client.with_key(Some(key.clone()))?;
        let nonce = client.transactions_of(self.owner).await?;
        if !self.missing().await?.contains(step) {
            return Ok(None);
        }
        match step {
            Step::FundFactory => factory::fund_signer(&client, nonce).await?,
            Step::MakeFactory => {
                factory::make_factory(&client).await?;
                if !self.is_there("CREATE2 factory", FACTORY, &FACTORY_CODE).await? {
                    return Err(ChainError::NoFactory {
                        reason: "its transaction left no code".to_owned(),
                    });
                }
            }
            Step::MakeDeployer(_) => factory::make_deployer(&client, self.owner, &self.config.salt, nonce).await?,
            Step::Make(name, address) => return self.make(&client, name, *address, nonce).await.map(Some),
            Step::List(symbol, address) => {
                let listing = self.config.listings.iter().find(|listing| listing.symbol == *symbol);
                let listing = listing.ok_or_else(|| malformed(format!("no listing {symbol}")))?;
                client.set_listing(*address, listing.usd_rate, listing.t0_cap).await?;
            }
        }
        Ok(None)
    }

    async fn make(&self, client: &ChainClient, name: &str, address: Address, nonce: u64) -> Result<u64, ChainError> {
        let row = self.rows().find(|(row, _)| row.name == name).map(|(row, _)| row);
        let row = row.ok_or_else(|| malformed(format!("no contract {name}")))?;
        let arguments = (row.arguments)(&self.config, &self.places);
        let init_code = [row.bytecode.as_ref(), arguments.as_slice()].concat();
        let request = Deployer::new(self.deployer, client.provider().clone())
            .create(init_code.into())
            .into_transaction_request()
            .with_nonce(nonce);
        let sent = client.send(request).await?;
        if self.is_there(row.name, address, row.runtime).await? {
            Ok(sent.block)
        } else {
            Err(ChainError::NotAsPlanned(format!(
                "{name} is not at {address}: another transaction of the deployer came between"
            )))
        }
    }

    /// Whether a token of the listings is made by this deployment.
    pub(super) fn is_ours(token: &ListedToken) -> bool {
        !matches!(token, ListedToken::At(_))
    }
}
