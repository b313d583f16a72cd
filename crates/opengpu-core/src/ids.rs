//! Names of things: jobs, nodes, budgets, digests and content.
//!
//! Every id is a newtype, so a job's id cannot be passed where a receipt's digest is meant.

use std::fmt;
use std::str::FromStr;

use alloy_primitives::{B256, U256};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// Why a text is not an id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// The text is not 32 bytes of hexadecimal with a leading `0x`.
    #[error("{kind} must be 0x and 64 hexadecimal digits, got `{text}`")]
    NotThirtyTwoBytes {
        /// What the text should have been, as users call it.
        kind: &'static str,
        /// What was given.
        text: String,
    },
    /// The text is not a decimal number that fits 256 bits.
    #[error("{kind} must be a decimal number, got `{text}`")]
    NotANumber {
        /// What the text should have been, as users call it.
        kind: &'static str,
        /// What was given.
        text: String,
    },
}

macro_rules! bytes32_id {
    ($(#[$doc:meta])* $name:ident, $kind:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub B256);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:#x}", self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({:#x})"), self.0)
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                text.strip_prefix("0x")
                    .and_then(|digits| B256::from_str(digits).ok())
                    .map(Self)
                    .ok_or_else(|| IdError::NotThirtyTwoBytes { kind: $kind, text: text.to_owned() })
            }
        }
    };
}

macro_rules! numeric_id {
    ($(#[$doc:meta])* $name:ident, $kind:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
        pub struct $name(pub U256);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}", self.0)
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                U256::from_str_radix(text, 10)
                    .ok()
                    .filter(|_| !text.is_empty())
                    .map(Self)
                    .ok_or_else(|| IdError::NotANumber { kind: $kind, text: text.to_owned() })
            }
        }

        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

bytes32_id!(
    /// A job: the EIP-712 digest of its order (protocol, section 1). JSON: `0x` and 64 hexadecimal digits.
    JobId,
    "a job id"
);
bytes32_id!(
    /// The sha2-256 of some bytes: a spec in JCS form, a receipt, a container image's manifest.
    Sha256Digest,
    "a digest"
);
numeric_id!(
    /// A node: its ERC-721 token id in `NodeRegistry`. JSON: a decimal string.
    NodeId,
    "a node id"
);
numeric_id!(
    /// A budget in `CloudWallet`; 0 means the payer's own credits. JSON: a decimal string.
    BudgetId,
    "a budget id"
);

impl Sha256Digest {
    /// Hashes `bytes`.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(B256::from_slice(&Sha256::digest(bytes)))
    }
}

/// An IPFS content identifier in text form (CIDv1, base32). Only `opengpu-store` parses it; core carries it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CidText(pub String);

impl fmt::Display for CidText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An EVM chain's id (EIP-155). 31337 is a local network.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ChainId(pub u64);

impl ChainId {
    /// The id local development chains use; time travel and test tokens exist only there.
    pub const LOCAL: Self = Self(31_337);
}

impl fmt::Display for ChainId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn job_id_survives_text() {
        let id = JobId(B256::repeat_byte(0xab));
        assert_eq!(id.to_string().parse::<JobId>(), Ok(id));
    }

    #[test]
    fn job_id_without_prefix_is_refused_with_its_kind() {
        let error = "ab".repeat(32).parse::<JobId>().unwrap_err();
        assert!(error.to_string().starts_with("a job id must be 0x"), "{error}");
    }

    #[test]
    fn empty_node_id_is_refused() {
        assert!("".parse::<NodeId>().is_err());
        assert_eq!("17".parse::<NodeId>().unwrap().to_string(), "17");
    }
}
