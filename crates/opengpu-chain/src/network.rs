//! Which chain, and where on it: the file that describes a network (`deployments/<chain id>.json`).

use std::path::{Path, PathBuf};
use std::{fs, io};

use opengpu_core::Address;
use opengpu_core::ids::ChainId;
use opengpu_core::order::Domain;
use serde::{Deserialize, Serialize};

/// Why a network's file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// It could not be read or written.
    #[error("{path}: {source}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is not what we write.
    #[error("{path} is no network file: {source}")]
    Malformed {
        /// Which file.
        path: PathBuf,
        /// Where and why.
        source: serde_json::Error,
    },
    /// No listed token has this symbol or address.
    #[error("the network {network} has no token `{asked}`; it has {known}")]
    UnknownToken {
        /// Name of the network.
        network: String,
        /// What was asked for.
        asked: String,
        /// The symbols there are.
        known: String,
    },
}

/// A chain with the contracts deployed on it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Network {
    /// What people call it: `local`.
    pub name: String,
    /// JSON-RPC over HTTP.
    pub rpc_url: String,
    /// The chain's id.
    pub chain_id: ChainId,
    /// Where the contracts are.
    pub contracts: Contracts,
    /// Block of the first deployment transaction: nothing of interest happened before it.
    pub deployed_at_block: u64,
}

/// Addresses of one deployment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Contracts {
    /// Wallet and job market.
    pub cloudverse: Address,
    /// The nodes.
    pub node_registry: Address,
    /// OPEN.
    pub open_token: Address,
    /// Tokens jobs can be paid in, OPEN among them.
    pub tokens: Vec<TokenInfo>,
    /// Stakes and fees of stakers, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub staking: Option<Address>,
    /// What pays nodes OPEN for what they settled, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incentives: Option<Address>,
    /// What made the contracts; unknown for deployments before there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deployer: Option<Address>,
}

/// A token and how to write its amounts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TokenInfo {
    /// `OPEN`, `USDC`.
    pub symbol: String,
    /// Its contract.
    pub address: Address,
    /// Digits after the point.
    pub decimals: u8,
}

impl Network {
    /// Reads a network's file.
    ///
    /// # Errors
    /// [`NetworkError::Io`], [`NetworkError::Malformed`].
    pub fn load(path: &Path) -> Result<Self, NetworkError> {
        let text = fs::read_to_string(path).map_err(io_error(path))?;
        serde_json::from_str(&text).map_err(malformed(path))
    }

    /// Writes a network's file, whole or not at all.
    ///
    /// # Errors
    /// [`NetworkError::Io`].
    pub fn save(&self, path: &Path) -> Result<(), NetworkError> {
        let text = serde_json::to_string_pretty(self).map_err(malformed(path))? + "\n";
        let scratch = path.with_extension("new");
        fs::write(&scratch, text).map_err(io_error(&scratch))?;
        fs::rename(&scratch, path).map_err(io_error(path))
    }

    /// Where signatures for this network are valid.
    #[must_use]
    pub const fn domain(&self) -> Domain {
        Domain {
            chain_id: self.chain_id,
            contract: self.contracts.cloudverse,
        }
    }

    /// A token by symbol (any case) or address.
    ///
    /// # Errors
    /// [`NetworkError::UnknownToken`], naming those there are.
    pub fn token(&self, symbol_or_address: &str) -> Result<&TokenInfo, NetworkError> {
        let address = symbol_or_address.parse::<Address>().ok();
        let tokens = &self.contracts.tokens;
        tokens
            .iter()
            .find(|token| token.symbol.eq_ignore_ascii_case(symbol_or_address) || Some(token.address) == address)
            .ok_or_else(|| NetworkError::UnknownToken {
                network: self.name.clone(),
                asked: symbol_or_address.to_owned(),
                known: tokens
                    .iter()
                    .map(|token| token.symbol.as_str())
                    .collect::<Vec<_>>()
                    .join(", "),
            })
    }

    /// A token by address, `None` for one the network's file does not name.
    #[must_use]
    pub fn token_at(&self, address: Address) -> Option<&TokenInfo> {
        self.contracts.tokens.iter().find(|token| token.address == address)
    }
}

fn io_error(path: &Path) -> impl FnOnce(io::Error) -> NetworkError + '_ {
    move |source| NetworkError::Io {
        path: path.to_owned(),
        source,
    }
}

fn malformed(path: &Path) -> impl FnOnce(serde_json::Error) -> NetworkError + '_ {
    move |source| NetworkError::Malformed {
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network() -> Network {
        Network {
            name: "local".to_owned(),
            rpc_url: "http://127.0.0.1:8545".to_owned(),
            chain_id: ChainId::LOCAL,
            contracts: Contracts {
                cloudverse: Address::repeat_byte(1),
                node_registry: Address::repeat_byte(2),
                open_token: Address::repeat_byte(3),
                tokens: vec![TokenInfo {
                    symbol: "OPEN".to_owned(),
                    address: Address::repeat_byte(3),
                    decimals: 18,
                }],
                staking: None,
                incentives: None,
                deployer: Some(Address::repeat_byte(4)),
            },
            deployed_at_block: 1,
        }
    }

    #[test]
    fn a_network_survives_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("31337.json");
        network().save(&path).unwrap();
        assert_eq!(Network::load(&path).unwrap(), network());
    }

    #[test]
    fn a_file_from_before_there_was_a_deployer_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("31337.json");
        let mut old = serde_json::to_value(network()).unwrap();
        old["contracts"].as_object_mut().unwrap().remove("deployer");
        fs::write(&path, old.to_string()).unwrap();
        assert_eq!(Network::load(&path).unwrap().contracts.deployer, None);
        old["contracts"]["stakign"] = old["contracts"]["cloudverse"].clone();
        fs::write(&path, old.to_string()).unwrap();
        assert!(Network::load(&path).unwrap_err().to_string().contains("stakign"));
    }

    #[test]
    fn a_token_goes_by_symbol_or_address_and_an_unknown_one_names_the_known() {
        let network = network();
        let open = &network.contracts.tokens[0];
        assert_eq!(network.token("open").unwrap(), open);
        assert_eq!(network.token(&open.address.to_string()).unwrap(), open);
        let error = network.token("DOGE").unwrap_err().to_string();
        assert!(error.ends_with("it has OPEN"), "{error}");
    }
}
