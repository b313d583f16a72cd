//! secp256k1: signing digests and recovering who signed them.
//!
//! Signatures are 64 bytes in EIP-2098 form (r, then s with the parity in its top bit): a byte less calldata than the
//! classic 65, and low-s by construction, so there is one signature per message and key.

use std::fmt;
use std::str::FromStr;

use alloy_primitives::{Address, B256, keccak256};
use secp256k1::ecdsa::{RecoverableSignature, RecoveryId};
use secp256k1::{Message, PublicKey, SECP256K1};
use serde::{Deserialize, Serialize};

/// Why a key or signature was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    /// The 32 bytes are zero or not below the group's order.
    #[error("not a valid secp256k1 secret key")]
    BadSecretKey,
    /// The text is not 64 or 65 bytes of hexadecimal.
    #[error("a signature must be 0x and 128 or 130 hexadecimal digits")]
    BadSignatureText,
    /// s is in the upper half of the order (a malleable form), or the parity byte is not 27 or 28.
    #[error("signature is not in canonical low-s form")]
    NotCanonical,
    /// No key can have made this signature.
    #[error("signature recovers to no key")]
    Unrecoverable,
}

/// A secret key. Never printed: its `Debug` shows only the address.
#[derive(Clone)]
pub struct SecretKey(secp256k1::SecretKey);

impl SecretKey {
    /// Takes 32 big-endian bytes.
    ///
    /// # Errors
    /// [`SignError::BadSecretKey`] when they are zero or too large.
    pub fn from_bytes(bytes: [u8; 32]) -> Result<Self, SignError> {
        secp256k1::SecretKey::from_byte_array(bytes)
            .map(Self)
            .map_err(|_| SignError::BadSecretKey)
    }

    /// The key's 32 big-endian bytes, for handing to a keystore or a transaction signer. Do not log.
    #[must_use]
    pub fn expose_bytes(&self) -> [u8; 32] {
        self.0.secret_bytes()
    }

    /// The account this key controls.
    #[must_use]
    pub fn address(&self) -> Address {
        address_of(&PublicKey::from_secret_key(SECP256K1, &self.0))
    }

    /// Signs a 32-byte digest, deterministically (RFC 6979).
    #[must_use]
    pub fn sign(&self, digest: B256) -> Signature {
        let (parity, rs) = SECP256K1
            .sign_ecdsa_recoverable(Message::from_digest(digest.0), &self.0)
            .serialize_compact();
        let mut bytes = rs;
        if matches!(parity, RecoveryId::One | RecoveryId::Three) {
            bytes[32] |= 0x80;
        }
        Signature(bytes)
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretKey(of {})", self.address())
    }
}

/// A signature in EIP-2098 compact form. JSON and text: `0x` and 128 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Signature(pub [u8; 64]);

impl Signature {
    /// The account whose key signed `digest`.
    ///
    /// # Errors
    /// [`SignError::NotCanonical`] for a high s, [`SignError::Unrecoverable`] when no key fits.
    pub fn recover(&self, digest: B256) -> Result<Address, SignError> {
        let parity = if self.0[32] & 0x80 == 0 {
            RecoveryId::Zero
        } else {
            RecoveryId::One
        };
        let mut rs = self.0;
        rs[32] &= 0x7f;
        let signature = RecoverableSignature::from_compact(&rs, parity).map_err(|_| SignError::Unrecoverable)?;
        let plain = signature.to_standard();
        let mut normal = plain;
        normal.normalize_s();
        if normal != plain {
            return Err(SignError::NotCanonical);
        }
        SECP256K1
            .recover_ecdsa(Message::from_digest(digest.0), &signature)
            .map(|key| address_of(&key))
            .map_err(|_| SignError::Unrecoverable)
    }

    /// Whether `account`'s key signed `digest`.
    #[must_use]
    pub fn is_by(&self, account: Address, digest: B256) -> bool {
        account != Address::ZERO && self.recover(digest) == Ok(account)
    }
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{}", hex::encode(self.0))
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signature({self})")
    }
}

impl FromStr for Signature {
    type Err = SignError;

    /// Accepts the compact 64 bytes and the classic 65 (`r ‖ s ‖ v`, v = 27 or 28).
    fn from_str(text: &str) -> Result<Self, SignError> {
        let bytes = text
            .strip_prefix("0x")
            .and_then(|digits| hex::decode(digits).ok())
            .ok_or(SignError::BadSignatureText)?;
        let mut compact = [0u8; 64];
        match bytes.len() {
            64 => compact.copy_from_slice(&bytes),
            65 => {
                compact.copy_from_slice(&bytes[..64]);
                match (bytes[64], bytes[32] & 0x80) {
                    (27, 0) => {}
                    (28, 0) => compact[32] |= 0x80,
                    _ => return Err(SignError::NotCanonical),
                }
            }
            _ => return Err(SignError::BadSignatureText),
        }
        Ok(Self(compact))
    }
}

impl Serialize for Signature {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Signature {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

fn address_of(key: &PublicKey) -> Address {
    Address::from_slice(&keccak256(&key.serialize_uncompressed()[1..])[12..])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> SecretKey {
        SecretKey::from_bytes([byte; 32]).unwrap()
    }

    #[test]
    fn who_signed_is_recovered_for_both_parities() {
        let mut parities = [false; 2];
        for byte in 1..40 {
            let digest = keccak256([byte]);
            let signature = key(7).sign(digest);
            parities[usize::from(signature.0[32] >> 7)] = true;
            assert_eq!(signature.recover(digest), Ok(key(7).address()));
            assert!(!signature.is_by(key(8).address(), digest));
        }
        assert_eq!(parities, [true; 2]);
    }

    #[test]
    fn a_malleated_signature_is_refused() {
        // n - s with the other parity signs the same message in the classic form; it must not pass as another signature.
        let digest = keccak256(b"x");
        let signature = key(7).sign(digest);
        let order = alloy_primitives::U256::from_str_radix(
            "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141",
            16,
        )
        .unwrap();
        let mut s = signature.0[32..].to_vec();
        s[0] &= 0x7f;
        let high = order - alloy_primitives::U256::from_be_slice(&s);
        let text = format!("0x{}{:064x}1b", hex::encode(&signature.0[..32]), high);
        assert_eq!(text.parse::<Signature>(), Err(SignError::NotCanonical));
    }

    #[test]
    fn debug_of_a_secret_key_shows_no_secret() {
        let shown = format!("{:?}", key(7));
        assert!(!shown.contains("0707"), "{shown}");
    }

    #[test]
    fn anvils_first_account_has_its_known_address() {
        let secret = hex::decode("ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80").unwrap();
        let key = SecretKey::from_bytes(secret.try_into().unwrap()).unwrap();
        assert_eq!(key.address().to_string(), "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266");
    }
}
