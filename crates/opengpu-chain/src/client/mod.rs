//! The handle everything reads and writes the chain through.

mod budgets;
mod check;
mod read;
mod rpc;

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use alloy::network::EthereumWallet;
use alloy::providers::{DynProvider, Provider as _};
use alloy::signers::local::PrivateKeySigner;
use opengpu_core::ids::ChainId;
use opengpu_core::order::Domain;
use opengpu_core::sign::SecretKey;
use opengpu_core::{Address, B256};
use tokio::sync::Mutex;

use crate::bindings::{Cloudverse, NodeRegistry, OpenToken};
use crate::convert::malformed;
use crate::error::ChainError;
use crate::network::Network;

pub use budgets::{Budget, MAX_BUDGET_DEPTH};
pub use read::{BlockRef, JobOnChain, NodeOnChain, NodeRecord, TokenOnChain};
pub(crate) use rpc::connect_rpc;
use rpc::transport;

/// How often a local chain is asked for something it does not have yet: it mines at once.
const LOCAL_POLL: Duration = Duration::from_millis(50);
/// The same elsewhere; rollups have a block every one or two seconds.
const REMOTE_POLL: Duration = Duration::from_secs(1);

/// A connection to one network, with or without a key to send transactions with. Cloning is cheap and shares the connection and the
/// order of its transactions.
#[derive(Clone, Debug)]
pub struct ChainClient(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    network: Network,
    provider: DynProvider,
    sender: Option<Sender>,
    endpoint: String,
    /// Held from choosing a nonce to inclusion, so that one client's transactions never race each other.
    sending: Mutex<()>,
    on_its_way: OnItsWay,
}

/// The transaction that was sent last, while its block is waited for. Clients of other keys share it.
type OnItsWay = Arc<std::sync::Mutex<Option<B256>>>;

#[derive(Debug)]
pub(crate) struct Sender {
    pub(crate) key: SecretKey,
    pub(crate) wallet: EthereumWallet,
}

impl Sender {
    fn new(key: SecretKey) -> Result<Self, ChainError> {
        let signer = PrivateKeySigner::from_slice(&key.expose_bytes()).map_err(malformed)?;
        Ok(Self {
            wallet: EthereumWallet::from(signer),
            key,
        })
    }
}

impl ChainClient {
    /// Connects, and checks that the endpoint serves the network's chain and that its contracts are there and belong together.
    ///
    /// # Errors
    /// [`ChainError::Unreachable`], [`ChainError::WrongChain`], [`ChainError::NoContract`], [`ChainError::WrongContract`].
    pub async fn connect(network: &Network, key: Option<SecretKey>) -> Result<Self, ChainError> {
        let client = Self::without_checks(network, key)?;
        client.check_network().await?;
        Ok(client)
    }

    /// Connects to a network whose contracts may not be there yet, or whose endpoint may be down: nothing is asked of it.
    ///
    /// # Errors
    /// [`ChainError::Malformed`] when the network's RPC URL is no URL.
    pub fn without_checks(network: &Network, key: Option<SecretKey>) -> Result<Self, ChainError> {
        let (provider, endpoint) = connect_rpc(&network.rpc_url)?;
        Ok(Self(Arc::new(Inner {
            network: network.clone(),
            provider,
            sender: key.map(Sender::new).transpose()?,
            endpoint,
            sending: Mutex::new(()),
            on_its_way: OnItsWay::default(),
        })))
    }

    /// The same network by another key, or by none.
    ///
    /// # Errors
    /// [`ChainError::Malformed`] for a key no wallet takes.
    pub fn with_key(&self, key: Option<SecretKey>) -> Result<Self, ChainError> {
        Ok(Self(Arc::new(Inner {
            network: self.0.network.clone(),
            provider: self.0.provider.clone(),
            sender: key.map(Sender::new).transpose()?,
            endpoint: self.0.endpoint.clone(),
            sending: Mutex::new(()),
            on_its_way: self.0.on_its_way.clone(),
        })))
    }

    /// Which chain an endpoint serves.
    ///
    /// # Errors
    /// [`ChainError::Unreachable`]; [`ChainError::Malformed`] for what is no URL.
    pub async fn chain_id_at(rpc_url: &str) -> Result<ChainId, ChainError> {
        let (provider, endpoint) = connect_rpc(rpc_url)?;
        let found = provider.get_chain_id().await;
        found.map(ChainId).map_err(|error| transport(&endpoint, None, error))
    }

    /// The network connected to.
    #[must_use]
    pub fn network(&self) -> &Network {
        &self.0.network
    }

    /// Where this network's signatures are valid.
    #[must_use]
    pub fn domain(&self) -> Domain {
        self.0.network.domain()
    }

    /// The account that sends, `None` for a client without a key.
    #[must_use]
    pub fn account(&self) -> Option<Address> {
        self.0.sender.as_ref().map(|sender| sender.key.address())
    }

    /// How often to ask this chain for news: 50 ms on a local one, 1 s elsewhere.
    #[must_use]
    pub fn poll_interval(&self) -> Duration {
        if self.network().chain_id == ChainId::LOCAL {
            LOCAL_POLL
        } else {
            REMOTE_POLL
        }
    }

    pub(crate) fn provider(&self) -> &DynProvider {
        &self.0.provider
    }

    pub(crate) fn sender(&self) -> Result<&Sender, ChainError> {
        self.0.sender.as_ref().ok_or(ChainError::NoKey)
    }

    /// The transaction that was sent and is not in a block yet, as far as is known: it may be included whatever becomes of us.
    #[must_use]
    pub fn on_its_way(&self) -> Option<B256> {
        *self.0.on_its_way.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set_on_its_way(&self, transaction: Option<B256>) {
        *self.0.on_its_way.lock().unwrap_or_else(PoisonError::into_inner) = transaction;
    }

    pub(crate) fn sending(&self) -> &Mutex<()> {
        &self.0.sending
    }

    pub(crate) fn cloudverse(&self) -> Cloudverse::CloudverseInstance<DynProvider> {
        Cloudverse::new(self.network().contracts.cloudverse, self.provider().clone())
    }

    pub(crate) fn registry(&self) -> NodeRegistry::NodeRegistryInstance<DynProvider> {
        NodeRegistry::new(self.network().contracts.node_registry, self.provider().clone())
    }

    pub(crate) fn erc20(&self, token: Address) -> OpenToken::OpenTokenInstance<DynProvider> {
        OpenToken::new(token, self.provider().clone())
    }
}
