//! What can go wrong between us and a chain, sorted by what the caller should do.

use std::fmt;

use opengpu_core::ids::ChainId;
use opengpu_core::{Address, B256, U256};

/// Why a read or a write of the chain failed. [`ChainError::remedy`] says what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum ChainError {
    /// The RPC endpoint did not answer, or not in time. Try again later; nothing is known about what was sent.
    #[error("the chain at {endpoint} does not answer: {reason}")]
    Unreachable {
        /// Host and port of the endpoint, without user, password, path or query.
        endpoint: String,
        /// What the transport said.
        reason: String,
    },
    /// The endpoint answered with an error that is no revert.
    #[error("the chain refused the request: {message} (code {code})")]
    Refused {
        /// JSON-RPC error code.
        code: i64,
        /// JSON-RPC error message.
        message: String,
    },
    /// The contract refused: sending the same again fails the same way until the state changes.
    #[error("{0}")]
    Reverted(Revert),
    /// The sending account cannot pay for the transaction's gas.
    #[error("account {account} has {balance} wei, not enough for the gas of a transaction")]
    InsufficientGas {
        /// Who wanted to send.
        account: Address,
        /// What it has, wei.
        balance: U256,
    },
    /// The endpoint serves another chain than the network's file says.
    #[error("the endpoint serves chain {found}, the network is on chain {expected}")]
    WrongChain {
        /// From the network's file.
        expected: ChainId,
        /// From the endpoint.
        found: ChainId,
    },
    /// The network's file names an address with no contract behind it, as after a local chain started from nothing.
    #[error("there is no {contract} at {address} on this chain")]
    NoContract {
        /// The contract's name.
        contract: &'static str,
        /// Where it should be.
        address: Address,
    },
    /// What is at an address of the network's file is not the contract it says, or one of another deployment.
    #[error("what is at {address} is not the {contract} of this network: {reason}")]
    WrongContract {
        /// The contract's name.
        contract: &'static str,
        /// Where it should be.
        address: Address,
        /// How that was seen.
        reason: String,
    },
    /// The network's file names no such contract.
    #[error("the network {network} has no {contract} contract")]
    NotInNetwork {
        /// Name of the network.
        network: String,
        /// The contract's name.
        contract: &'static str,
    },
    /// What is on the chain, or what was asked to be put there, is not what it should be.
    #[error("{0}")]
    NotAsPlanned(String),
    /// The chain does not take the transaction that makes the CREATE2 factory.
    #[error("the CREATE2 factory cannot be made on this chain: {reason}")]
    NoFactory {
        /// What the chain said.
        reason: String,
    },
    /// A write was asked of a client that was connected without a key.
    #[error("this needs a key to send with, and none was given")]
    NoKey,
    /// A transaction that was sent is no longer known and its nonce is free or taken: lost by a restart or a reorg. Read the state and send again.
    #[error("transaction {transaction} was lost before it was included")]
    Lost {
        /// Its hash.
        transaction: B256,
    },
    /// A transaction was not included in time; it still may be. Read the state before sending again.
    #[error("transaction {transaction} was not included within {waited_seconds} s")]
    NotIncluded {
        /// Its hash.
        transaction: B256,
        /// How long we looked.
        waited_seconds: u64,
    },
    /// The endpoint's answer does not fit the contracts' ABI or our types.
    #[error("the chain's answer makes no sense: {0}")]
    Malformed(String),
}

/// What a caller should do about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remedy {
    /// Wait, read the state again, and repeat if it is still wanted.
    Retry,
    /// Repeating cannot help: the state or the message is wrong.
    GiveUp,
    /// A person has to change something (funds, configuration, keys).
    AskUser,
}

impl ChainError {
    /// What to do about it.
    #[must_use]
    pub const fn remedy(&self) -> Remedy {
        match self {
            Self::Unreachable { .. } | Self::Refused { .. } | Self::Lost { .. } | Self::NotIncluded { .. } => {
                Remedy::Retry
            }
            Self::Reverted(_) | Self::Malformed(_) => Remedy::GiveUp,
            Self::InsufficientGas { .. }
            | Self::WrongChain { .. }
            | Self::NoContract { .. }
            | Self::WrongContract { .. }
            | Self::NoKey
            | Self::NotAsPlanned(_)
            | Self::NotInNetwork { .. }
            | Self::NoFactory { .. } => Remedy::AskUser,
        }
    }

    /// Whether waiting and repeating may help.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        self.remedy() == Remedy::Retry
    }

    /// The contract's refusal, if that is what it is.
    #[must_use]
    pub const fn revert(&self) -> Option<&Revert> {
        match self {
            Self::Reverted(revert) => Some(revert),
            _ => None,
        }
    }

    /// Whether the contract refused with this custom error, e.g. `JobMarket_StateIs`.
    #[must_use]
    pub fn is_revert(&self, name: &str) -> bool {
        self.revert().is_some_and(|revert| revert.name == name)
    }

    /// What to try next, for people; `None` when there is nothing better to say than the error itself.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Unreachable { endpoint, .. } => Some(format!("is a chain node running at {endpoint}?")),
            Self::InsufficientGas { account, .. } => Some(format!("send some of the chain's native coin to {account}")),
            Self::NoContract { .. } | Self::WrongContract { .. } => {
                Some("the network's file belongs to another chain or an earlier one".to_owned())
            }
            Self::NotInNetwork { .. } => {
                Some("a network's file made by an older `opengpu deploy` may lack it: run it again".to_owned())
            }
            Self::NoFactory { .. } => Some(
                "ask who runs the chain to put the factory of github.com/Arachnid/deterministic-deployment-proxy there"
                    .to_owned(),
            ),
            Self::NoKey => Some("set OPENGPU_KEY_FILE and OPENGPU_PASSWORD_FILE".to_owned()),
            _ => None,
        }
    }
}

/// A contract's refusal, decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revert {
    /// Name of the custom error with its contract's prefix (`CloudWallet_CreditsTooLow`), `Error` for a reason string, `Panic`, or the
    /// selector in hexadecimal when no contract of ours has it.
    pub name: String,
    /// The error's values by name, in order, as text: numbers in decimal, addresses and bytes in hexadecimal.
    pub values: Vec<(String, String)>,
    /// The whole for people, one sentence.
    pub text: String,
}

impl Revert {
    /// One of the values by its name in the contract's source.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&str> {
        self.values
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }
}

impl fmt::Display for Revert {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
