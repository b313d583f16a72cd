//! The receipt file users keep: `{"receipt": …, "signatures": …, "leaves": …}`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Given, MissingReason, Receipt, ReceiptError, leaves_of, strict};
use crate::ids::Sha256Digest;
use crate::order::{Approve, JobResult};
use crate::sign::Signature;
use crate::wire::ApprovedResult;

/// A receipt with its signatures, and the hash of each leaf of both.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ReceiptFile {
    /// The document; its digest is on chain.
    pub receipt: Receipt,
    /// Who stands for it.
    pub signatures: Signatures,
    /// JSON pointer into this file → sha2-256(pointer ‖ 0x00 ‖ JCS of the value), for every leaf of the two above.
    pub leaves: BTreeMap<String, Sha256Digest>,
}

/// Who stands for a receipt.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Signatures {
    /// The node's result, which carries the receipt's digest.
    pub result: Given<SignedResult>,
    /// The signer's consent to that result.
    pub approve: Given<SignedApproval>,
}

/// A result and its operator's signature.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SignedResult {
    /// The result.
    pub message: JobResult,
    /// By the last attempt's operator.
    pub signature: Signature,
}

/// A consent and its signer's signature.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SignedApproval {
    /// The consent.
    pub message: Approve,
    /// By the order's signer.
    pub signature: Signature,
}

impl Signatures {
    /// Both sides signed.
    #[must_use]
    pub fn of_both(approved: &ApprovedResult) -> Self {
        Self {
            result: Given::Present(SignedResult {
                message: approved.result.clone(),
                signature: approved.operator_signature,
            }),
            approve: Given::Present(SignedApproval {
                message: approved.approve.clone(),
                signature: approved.signer_signature,
            }),
        }
    }

    /// The node submitted its result alone.
    #[must_use]
    pub const fn of_node_alone(result: JobResult, signature: Signature) -> Self {
        Self {
            result: Given::Present(SignedResult {
                message: result,
                signature,
            }),
            approve: Given::missing(MissingReason::NotApproved),
        }
    }

    /// The job closed without a result: the receipt is rebuilt from the chain's events.
    #[must_use]
    pub const fn none() -> Self {
        Self {
            result: Given::missing(MissingReason::NoResult),
            approve: Given::missing(MissingReason::NoResult),
        }
    }
}

impl ReceiptFile {
    /// Puts a file together, computing its leaves.
    ///
    /// # Errors
    /// [`ReceiptError::NotCanonical`] when a value has no canonical form.
    pub fn new(receipt: Receipt, signatures: Signatures) -> Result<Self, ReceiptError> {
        let mut leaves = leaves_of("/receipt", &receipt.to_value()?)?;
        let signed =
            serde_json::to_value(&signatures).map_err(|error| ReceiptError::NotCanonical(error.to_string()))?;
        leaves.extend(leaves_of("/signatures", &signed)?);
        Ok(Self {
            receipt,
            signatures,
            leaves,
        })
    }

    /// The file's text: JSON, indented, with a newline at its end. Whitespace and order of keys carry no meaning.
    ///
    /// # Errors
    /// [`ReceiptError::NotCanonical`] when a value has no JSON form.
    pub fn to_json(&self) -> Result<String, ReceiptError> {
        serde_json::to_string_pretty(self)
            .map(|text| text + "\n")
            .map_err(|error| ReceiptError::NotCanonical(error.to_string()))
    }

    /// Reads a file, without judging it: that is [`verify_offline`](super::verify_offline)'s.
    ///
    /// # Errors
    /// [`ReceiptError::Malformed`] when it is no receipt file.
    pub fn from_json(bytes: &[u8]) -> Result<Self, ReceiptError> {
        Self::from_value(strict::parse(bytes)?)
    }

    pub(super) fn from_value(value: Value) -> Result<Self, ReceiptError> {
        serde_json::from_value(value).map_err(|error| ReceiptError::Malformed(error.to_string()))
    }
}
