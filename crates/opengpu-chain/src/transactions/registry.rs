//! A node's life in `NodeRegistry`.

use alloy::sol_types::SolEvent as _;
use opengpu_core::Address;
use opengpu_core::ids::{NodeId, Sha256Digest};
use opengpu_core::money::Amount;

use super::Sent;
use crate::bindings::NodeRegistry;
use crate::client::ChainClient;
use crate::convert::malformed;
use crate::error::ChainError;

impl ChainClient {
    /// Mints the NFT of a machine to the sender. `gpu_model`: 1 to 31 printable characters.
    ///
    /// # Errors
    /// [`ChainError::Reverted`]: `NodeRegistry_ModelInvalid`, `NodeRegistry_ZeroAddress`.
    pub async fn register_node(
        &self,
        operator: Address,
        hardware_digest: Sha256Digest,
        gpu_model: &str,
    ) -> Result<(NodeId, Sent), ChainError> {
        let registry = self.registry();
        let call = registry.register(operator, hardware_digest.0, gpu_model.to_owned());
        let (sent, receipt) = self.send_for_receipt(call.into_transaction_request()).await?;
        let registered = receipt
            .logs()
            .iter()
            .find_map(|log| NodeRegistry::NodeRegistered::decode_log(&log.inner).ok())
            .ok_or_else(|| malformed("a registration without its event"))?;
        Ok((NodeId(registered.node), sent))
    }

    /// Sets the node's hot key (ERC-4907 user) until unix second `expires`. By the owner.
    ///
    /// # Errors
    /// [`ChainError::Reverted`]: `NodeRegistry_NotAllowed`.
    pub async fn set_operator(&self, node: NodeId, operator: Address, expires: u64) -> Result<Sent, ChainError> {
        self.send(
            self.registry()
                .setUser(node.0, operator, expires)
                .into_transaction_request(),
        )
        .await
    }

    /// Sets who gets the node's part from the next match on. By the owner.
    ///
    /// # Errors
    /// [`ChainError::Reverted`]: `NodeRegistry_NotAllowed`.
    pub async fn set_payee(&self, node: NodeId, payee: Address) -> Result<Sent, ChainError> {
        self.send(self.registry().setPayee(node.0, payee).into_transaction_request())
            .await
    }

    /// Sets the highest price the node may bid, millionths of a USD per hour. The first and a lower one count at once, a higher one after a
    /// day. By the owner.
    ///
    /// # Errors
    /// [`ChainError::Reverted`]: `NodeRegistry_NotAllowed`.
    pub async fn set_list_price(&self, node: NodeId, usd_micros_per_hour: u64) -> Result<Sent, ChainError> {
        self.send(
            self.registry()
                .setListPrice(node.0, usd_micros_per_hour)
                .into_transaction_request(),
        )
        .await
    }

    /// Stops new matches; open jobs go on. By the owner.
    ///
    /// # Errors
    /// [`ChainError::Reverted`]: `NodeRegistry_NotAllowed`.
    pub async fn drain(&self, node: NodeId) -> Result<Sent, ChainError> {
        self.send(self.registry().drain(node.0).into_transaction_request())
            .await
    }

    /// Allows new matches again, after draining or a suspension. By the owner.
    ///
    /// # Errors
    /// [`ChainError::Reverted`]: `NodeRegistry_NotAllowed`.
    pub async fn resume(&self, node: NodeId) -> Result<Sent, ChainError> {
        self.send(self.registry().resume(node.0).into_transaction_request())
            .await
    }

    /// Puts OPEN behind a node; allows it first when needed.
    ///
    /// # Errors
    /// [`ChainError::Reverted`]: `ERC20InsufficientBalance`.
    pub async fn bond(&self, node: NodeId, amount: Amount) -> Result<Sent, ChainError> {
        let contracts = &self.network().contracts;
        self.allow(contracts.open_token, contracts.node_registry, amount)
            .await?;
        self.send(self.registry().bond(node.0, amount.0).into_transaction_request())
            .await
            .map_err(self.about_token(contracts.open_token))
    }

    /// Raises a node to the tier that its record, age and bond have earned. By anyone.
    ///
    /// # Errors
    /// [`ChainError::Reverted`]: `NodeRegistry_NotPromotable`.
    pub async fn promote_node(&self, node: NodeId) -> Result<Sent, ChainError> {
        self.send(self.registry().promote(node.0).into_transaction_request())
            .await
    }

    /// Asks for a part of the bond back, replacing an earlier request; 0 drops it. By the owner.
    ///
    /// # Errors
    /// [`ChainError::Reverted`]: `NodeRegistry_BondTooLow`.
    pub async fn request_unbond(&self, node: NodeId, amount: Amount) -> Result<Sent, ChainError> {
        self.send(
            self.registry()
                .requestUnbond(node.0, amount.0)
                .into_transaction_request(),
        )
        .await
    }

    /// Takes what was asked back and has matured. By the owner.
    ///
    /// # Errors
    /// [`ChainError::Reverted`]: `NodeRegistry_UnbondNotMature`, `NodeRegistry_NoUnbondRequest`.
    pub async fn withdraw_unbonded(&self, node: NodeId, to: Address) -> Result<Sent, ChainError> {
        self.send(self.registry().withdrawUnbonded(node.0, to).into_transaction_request())
            .await
    }
}
