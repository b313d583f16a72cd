//! Whether an endpoint and the contracts on its chain are those of the network's file.

use std::future::Future;

use alloy::contract;
use alloy::providers::Provider as _;
use opengpu_core::ids::ChainId;
use opengpu_core::{Address, U256};
use tokio::try_join;

use super::ChainClient;
use crate::bindings::{Incentives, Staking};
use crate::error::ChainError;

/// A contract that the network's file names: what it is called, and where it should be.
type Named = (&'static str, Address);

impl ChainClient {
    pub(super) async fn check_network(&self) -> Result<(), ChainError> {
        self.check_chain().await?;
        self.check_code().await?;
        self.check_wiring().await
    }

    pub(crate) async fn check_chain(&self) -> Result<(), ChainError> {
        let found = self.provider().get_chain_id().await;
        let found = found.map(ChainId).map_err(|error| self.transport(error))?;
        let expected = self.network().chain_id;
        if found == expected {
            Ok(())
        } else {
            Err(ChainError::WrongChain { expected, found })
        }
    }

    /// All at once: an endpoint may be far away.
    async fn check_code(&self) -> Result<(), ChainError> {
        let contracts = &self.network().contracts;
        let has_code = async |named: Option<Named>| {
            let Some((contract, address)) = named else {
                return Ok(());
            };
            let code = self.provider().get_code_at(address).await;
            if code.map_err(|error| self.transport(error))?.is_empty() {
                return Err(ChainError::NoContract { contract, address });
            }
            Ok(())
        };
        try_join!(
            has_code(Some(("Cloudverse", contracts.cloudverse))),
            has_code(Some(("NodeRegistry", contracts.node_registry))),
            has_code(Some(("OpenToken", contracts.open_token))),
            has_code(contracts.staking.map(|address| ("Staking", address))),
            has_code(contracts.incentives.map(|address| ("Incentives", address))),
        )?;
        Ok(())
    }

    /// The contracts name each other, so a file that mixes two deployments, or two contracts of one, shows here and not as a call that is
    /// refused for no reason.
    async fn check_wiring(&self) -> Result<(), ChainError> {
        let contracts = &self.network().contracts;
        let (market, registry) = (self.cloudverse(), self.registry());
        let cloudverse = ("Cloudverse", contracts.cloudverse);
        let node_registry = ("NodeRegistry", contracts.node_registry);
        try_join!(
            self.names(cloudverse, "nodeRegistry", contracts.node_registry, async {
                market.nodeRegistry().call().await
            }),
            self.names(cloudverse, "openToken", contracts.open_token, async {
                market.openToken().call().await
            }),
            self.names(node_registry, "cloudverse", contracts.cloudverse, async {
                registry.cloudverse().call().await
            }),
            async {
                let Some(address) = contracts.staking else {
                    return Ok(());
                };
                let staking = Staking::new(address, self.provider().clone());
                let there = async { staking.cloudverse().call().await };
                self.names(("Staking", address), "cloudverse", contracts.cloudverse, there)
                    .await?;
                let back = async { market.staking().call().await };
                self.names(cloudverse, "staking", address, back).await
            },
            async {
                let Some(address) = contracts.incentives else {
                    return Ok(());
                };
                let incentives = Incentives::new(address, self.provider().clone());
                // It does not say whose jobs it pays; that it answers at all is what there is to see.
                let answer = incentives.rateOf(U256::ZERO).call().await;
                self.answered(("Incentives", address), "rateOf", answer).map(drop)
            },
        )?;
        Ok(())
    }

    async fn names(
        &self,
        of: Named,
        getter: &str,
        expected: Address,
        answer: impl Future<Output = contract::Result<Address>>,
    ) -> Result<(), ChainError> {
        let found = self.answered(of, getter, answer.await)?;
        if found == expected {
            return Ok(());
        }
        Err(wrong(of, format!("its {getter} is {found}, not {expected}")))
    }

    /// A contract that does not know the call is another one; an endpoint that does not answer says nothing about it.
    fn answered<T>(&self, of: Named, getter: &str, answer: contract::Result<T>) -> Result<T, ChainError> {
        answer.map_err(|error| match self.call_error(error) {
            ChainError::Reverted(_) | ChainError::Malformed(_) => wrong(of, format!("it has no {getter}")),
            other => other,
        })
    }
}

fn wrong((contract, address): Named, reason: String) -> ChainError {
    ChainError::WrongContract {
        contract,
        address,
        reason,
    }
}
