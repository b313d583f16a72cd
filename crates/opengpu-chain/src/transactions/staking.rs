//! Stakes of OPEN and their part of the revenue (protocol, section 6).

use alloy::primitives::U256;
use alloy::providers::Provider as _;
use alloy::rpc::types::Filter;
use alloy::sol_types::SolEvent as _;
use opengpu_core::Address;
use opengpu_core::money::Amount;

use super::Sent;
use crate::bindings::{Cloudverse, Staking};
use crate::client::ChainClient;
use crate::error::ChainError;

/// An account's stake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StakeOnChain {
    /// Base units of OPEN locked.
    pub amount: Amount,
    /// What counts for share and votes: 1 to 4 times the amount, 0 once expired.
    pub weight: Amount,
    /// Unix second from which it can be taken back.
    pub end: u64,
    /// The payer's tier it gives now, 0..4.
    pub tier: u8,
    /// Weight of all stakes.
    pub total_weight: Amount,
}

impl ChainClient {
    pub(super) fn not_in_network(&self, contract: &'static str) -> ChainError {
        ChainError::NotInNetwork {
            network: self.network().name.clone(),
            contract,
        }
    }

    fn staking(&self) -> Result<Staking::StakingInstance<alloy::providers::DynProvider>, ChainError> {
        let address = self.network().contracts.staking;
        let address = address.ok_or_else(|| self.not_in_network("Staking"))?;
        Ok(Staking::new(address, self.provider().clone()))
    }

    /// An account's stake; all 0 where there is none.
    ///
    /// # Errors
    /// [`ChainError::NotInNetwork`], [`ChainError::Unreachable`].
    pub async fn stake_of(&self, account: Address) -> Result<StakeOnChain, ChainError> {
        let staking = self.staking()?;
        let position = staking
            .positionOf(account)
            .call()
            .await
            .map_err(|error| self.call_error(error))?;
        let tier = staking
            .tierOf(account)
            .call()
            .await
            .map_err(|error| self.call_error(error))?;
        let total = staking
            .totalWeight()
            .call()
            .await
            .map_err(|error| self.call_error(error))?;
        Ok(StakeOnChain {
            amount: Amount(position.amount.to()),
            weight: Amount(position.weight.to()),
            end: position.end.to(),
            tier,
            total_weight: Amount(u128::try_from(total).unwrap_or(u128::MAX)),
        })
    }

    /// What an account could claim of a token now.
    ///
    /// # Errors
    /// As [`ChainClient::stake_of`].
    pub async fn claimable(&self, account: Address, token: Address) -> Result<Amount, ChainError> {
        let earned = self
            .staking()?
            .earned(account, token)
            .call()
            .await
            .map_err(|error| self.call_error(error))?;
        Ok(Amount(u128::try_from(earned).unwrap_or(u128::MAX)))
    }

    /// Locks OPEN of the sender for days from now; allows it first when needed.
    ///
    /// # Errors
    /// [`ChainError::Reverted`]: `Staking_WeightWouldFall`, `ERC20InsufficientBalance`, …
    pub async fn stake(&self, amount: Amount, days: u16) -> Result<Sent, ChainError> {
        let staking = self.staking()?;
        self.allow(self.network().contracts.open_token, *staking.address(), amount)
            .await?;
        self.send(staking.stake(amount.0, days).into_transaction_request())
            .await
            .map_err(self.about_token(self.network().contracts.open_token))
    }

    /// Locks what the sender has staked until days from now.
    ///
    /// # Errors
    /// [`ChainError::Reverted`]: `Staking_WeightWouldFall`, `Staking_EndNotLater`, …
    pub async fn extend_stake(&self, days: u16) -> Result<Sent, ChainError> {
        self.send(self.staking()?.extend(days).into_transaction_request()).await
    }

    /// Gives OPEN back to the sender once its lock has ended.
    ///
    /// # Errors
    /// [`ChainError::Reverted`]: `Staking_Locked`, …
    pub async fn unstake(&self, amount: Amount, to: Address) -> Result<Sent, ChainError> {
        self.send(self.staking()?.unstake(amount.0, to).into_transaction_request())
            .await
    }

    /// Pays the sender's part of these tokens to `to`. What each paid is in the answer, in order; a token that failed paid nothing.
    ///
    /// # Errors
    /// [`ChainError::Reverted`].
    pub async fn claim_stake(&self, tokens: &[Address], to: Address) -> Result<(Sent, Vec<Amount>), ChainError> {
        let request = self.staking()?.claim(tokens.to_vec(), to).into_transaction_request();
        let (sent, receipt) = self.send_for_receipt(request).await?;
        let claimed: Vec<_> = receipt
            .logs()
            .iter()
            .filter_map(|log| Staking::Claimed::decode_log(&log.inner).ok())
            .collect();
        let paid = |token: &Address| {
            let amount = claimed
                .iter()
                .filter(|claim| claim.token == *token)
                .fold(U256::ZERO, |sum, claim| sum + U256::from(claim.amount));
            Amount(u128::try_from(amount).unwrap_or(u128::MAX))
        };
        Ok((sent, tokens.iter().map(paid).collect()))
    }

    /// The stakers' part of a finished week's fees of a token, pulled or not.
    ///
    /// # Errors
    /// [`ChainError::Unreachable`].
    pub async fn stakers_revenue(&self, week: u64, token: Address) -> Result<Amount, ChainError> {
        let booked = self
            .cloudverse()
            .revenueOf(U256::from(week), token)
            .call()
            .await
            .map_err(|error| self.call_error(error))?;
        let filter = Filter::new()
            .address(self.network().contracts.cloudverse)
            .event_signature(Cloudverse::StakersRevenuePulled::SIGNATURE_HASH)
            .topic1(U256::from(week))
            .topic2(token)
            .from_block(self.network().deployed_at_block);
        let logs = self
            .provider()
            .get_logs(&filter)
            .await
            .map_err(|error| self.transport(error))?;
        let pulled = logs
            .iter()
            .filter_map(|log| Cloudverse::StakersRevenuePulled::decode_log(&log.inner).ok())
            .fold(U256::ZERO, |sum, pull| sum + pull.amount);
        let sum = pulled + U256::from(booked.stakers);
        Ok(Amount(u128::try_from(sum).unwrap_or(u128::MAX)))
    }
}
