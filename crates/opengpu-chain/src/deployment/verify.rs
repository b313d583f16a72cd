//! What is checked before a deployment, and what is read back after it.

use std::collections::BTreeMap;
use std::fmt::Display;

use alloy::providers::Provider as _;
use alloy::rpc::types::Filter;
use alloy::sol_types::SolEvent as _;
use opengpu_core::ids::ChainId;
use opengpu_core::{Address, B256, U256};

use super::{Deployment, ListedToken, Listing, OPEN_SUPPLY};
use crate::bindings::OpenToken;
use crate::client::ChainClient;
use crate::convert::malformed;
use crate::error::ChainError;
use crate::network::Network;

/// Longest time a fault report may be answered, seconds (protocol, section 8).
const LONGEST_RESPONSE_WINDOW: u64 = 3_600;
/// The shortest, on a local chain and elsewhere.
const SHORTEST_RESPONSE_WINDOW: [u64; 2] = [15, 60];
/// The contract's hard caps on the shares of stakers and treasury, hundredths of a percent.
const FEE_CAPS_BPS: [u16; 2] = [1_500, 500];

/// What differs, as people read it.
#[derive(Default)]
struct Differences(Vec<String>);

impl Differences {
    fn expect<T: PartialEq + Display>(&mut self, what: &str, found: T, expected: T) {
        if found != expected {
            self.0.push(format!("{what} is {found}, not {expected}"));
        }
    }

    fn result(self) -> Result<(), ChainError> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(ChainError::NotAsPlanned(self.0.join("; ")))
        }
    }
}

impl Deployment {
    /// Checks what has to be right before anything is sent.
    pub(super) async fn check_config(&self) -> Result<(), ChainError> {
        let config = &self.config;
        let mut differences = Differences::default();
        let sum: U256 = config.allocated().into_values().sum();
        differences.expect(
            "the sum of the allocations in base units",
            sum,
            U256::from(OPEN_SUPPLY.0),
        );
        let is_local = config.chain_id == ChainId::LOCAL;
        let shortest = SHORTEST_RESPONSE_WINDOW[usize::from(!is_local)];
        if !(shortest..=LONGEST_RESPONSE_WINDOW).contains(&config.response_window_seconds) {
            differences.0.push(format!(
                "the response window is {} s, not between {shortest} and {LONGEST_RESPONSE_WINDOW}",
                config.response_window_seconds
            ));
        }
        for (name, zero) in [
            ("governance", config.governance.is_zero()),
            ("the deployer", self.owner.is_zero()),
        ] {
            if zero {
                differences.0.push(format!("{name} is the zero address"));
            }
        }
        differences.result()?;
        for listing in &config.listings {
            if !Self::is_ours(&listing.token) {
                self.check_token(listing).await?;
            } else if listing.token == ListedToken::TestStablecoin && !is_local {
                return Err(ChainError::NotAsPlanned(
                    "the test stablecoin exists on local chains only".to_owned(),
                ));
            }
        }
        Ok(())
    }

    /// A token that is to be listed is there and is what it is said to be.
    async fn check_token(&self, listing: &Listing) -> Result<(), ChainError> {
        let address = self.address_of(&listing.token);
        if self.code(address).await?.is_empty() {
            return Err(ChainError::NotAsPlanned(format!(
                "there is no token {} at {address}",
                listing.symbol
            )));
        }
        let token = self.client.erc20(address);
        let read = |error| self.client.call_error(error);
        let mut differences = Differences::default();
        differences.expect(
            &format!("the symbol of the token at {address}"),
            token.symbol().call().await.map_err(read)?,
            listing.symbol.clone(),
        );
        differences.expect(
            &format!("the number of decimals of {}", listing.symbol),
            token.decimals().call().await.map_err(read)?,
            listing.decimals,
        );
        differences.result()
    }

    /// Reads back what was deployed.
    pub(super) async fn verify(&self, network: &Network) -> Result<(), ChainError> {
        let client = ChainClient::connect(network, None).await?;
        let mut differences = Differences::default();
        self.verify_wiring(&client, &mut differences).await?;
        for listing in &self.config.listings {
            self.verify_listing(&client, listing, &mut differences).await?;
        }
        let supply = client.open_token_supply().await?;
        if supply > U256::from(OPEN_SUPPLY.0) {
            differences.0.push(format!("the supply of OPEN is {supply} base units"));
        }
        let minted = self.minted(&client, network.deployed_at_block).await?;
        let planned = self.config.allocated();
        for account in planned
            .keys()
            .chain(minted.keys().filter(|account| !planned.contains_key(*account)))
        {
            let of = |parts: &BTreeMap<Address, U256>| parts.get(account).copied().unwrap_or_default();
            let what = format!("the OPEN minted to {account} in base units");
            differences.expect(&what, of(&minted), of(&planned));
        }
        differences.result()
    }

    async fn verify_wiring(&self, client: &ChainClient, differences: &mut Differences) -> Result<(), ChainError> {
        let contracts = &client.network().contracts;
        let (market, registry) = (client.cloudverse(), client.registry());
        let read = |error| client.call_error(error);
        let wires = [
            (
                "Cloudverse.nodeRegistry",
                market.nodeRegistry().call().await,
                contracts.node_registry,
            ),
            (
                "Cloudverse.openToken",
                market.openToken().call().await,
                contracts.open_token,
            ),
            (
                "Cloudverse.governance",
                market.governance().call().await,
                self.config.governance,
            ),
            (
                "Cloudverse.staking",
                market.staking().call().await,
                contracts.staking.unwrap_or_default(),
            ),
            (
                "NodeRegistry.cloudverse",
                registry.cloudverse().call().await,
                contracts.cloudverse,
            ),
            (
                "NodeRegistry.openToken",
                registry.openToken().call().await,
                contracts.open_token,
            ),
            (
                "NodeRegistry.governance",
                registry.governance().call().await,
                self.config.governance,
            ),
        ];
        for (what, found, expected) in wires {
            differences.expect(what, found.map_err(read)?, expected);
        }
        let window = client.response_window_seconds().await?;
        differences.expect(
            "Cloudverse.responseWindowSeconds",
            window,
            self.config.response_window_seconds,
        );
        let shares = client.shares_now().await?;
        if shares.stakers_bps > FEE_CAPS_BPS[0] || shares.treasury_bps > FEE_CAPS_BPS[1] {
            let (stakers, treasury) = (shares.stakers_bps, shares.treasury_bps);
            differences
                .0
                .push(format!("the fees are {stakers} and {treasury} hundredths of a percent"));
        }
        Ok(())
    }

    /// A token that governance has still to list is none of our differences.
    async fn verify_listing(
        &self,
        client: &ChainClient,
        listing: &Listing,
        differences: &mut Differences,
    ) -> Result<(), ChainError> {
        let symbol = &listing.symbol;
        let found = client.token(self.address_of(&listing.token)).await?;
        differences.expect("a token's symbol", &found.info.symbol, symbol);
        differences.expect(
            &format!("the decimals of {symbol}"),
            found.info.decimals,
            listing.decimals,
        );
        if found.usd_rate.0 != 0 {
            differences.expect(&format!("the rate of {symbol}"), found.usd_rate.0, listing.usd_rate.0);
            differences.expect(&format!("the T0 cap of {symbol}"), found.t0_cap.0, listing.t0_cap.0);
        }
        Ok(())
    }

    /// What OPEN's constructor minted to whom.
    async fn minted(&self, client: &ChainClient, first_block: u64) -> Result<BTreeMap<Address, U256>, ChainError> {
        let mints = Filter::new()
            .address(client.network().contracts.open_token)
            .event_signature(OpenToken::Transfer::SIGNATURE_HASH)
            .topic1(B256::ZERO)
            .from_block(first_block);
        let read = |filter: Filter| async move {
            let logs = client.provider().get_logs(&filter).await;
            logs.map_err(|error| client.transport(error))
        };
        let mut logs = read(mints.clone().to_block(first_block)).await?;
        if logs.is_empty() {
            // Only where the endpoint could not say which block was the first.
            logs = read(mints).await?;
        }
        let mut minted = BTreeMap::new();
        for log in logs {
            let event = OpenToken::Transfer::decode_log(&log.inner).map_err(malformed)?;
            *minted.entry(event.to).or_insert(U256::ZERO) += event.value;
        }
        Ok(minted)
    }
}

impl ChainClient {
    async fn open_token_supply(&self) -> Result<U256, ChainError> {
        let supply = self
            .erc20(self.network().contracts.open_token)
            .totalSupply()
            .call()
            .await;
        supply.map_err(|error| self.call_error(error))
    }
}
