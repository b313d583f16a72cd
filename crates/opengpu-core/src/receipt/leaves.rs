//! The leaves of a JSON document: what tells *which* value of a receipt file was changed.
//!
//! A leaf is a string, number, boolean, null, or an empty object or array. Its hash is
//! sha2-256(JSON pointer ‖ 0x00 ‖ JCS of the value). Leaves are for diagnosis; trust comes from digest and signatures.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::ReceiptError;
use crate::ids::Sha256Digest;

/// A leaf that is not as it was when the file was written.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ChangedLeaf {
    /// JSON pointer (RFC 6901) into the file, such as `/receipt/payment/paid`.
    pub pointer: String,
    /// What happened to it.
    pub kind: ChangeKind,
}

/// What happened to a leaf.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ChangeKind {
    /// Its value and its entry in `leaves` differ.
    Changed,
    /// `leaves` has it, the file does not.
    Missing,
    /// The file has it, `leaves` does not.
    Added,
}

impl fmt::Display for ChangeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Changed => "was changed",
            Self::Missing => "is missing",
            Self::Added => "was added",
        })
    }
}

/// Every leaf of `value` below `root` (`""`, or a pointer to where it stands), with its hash.
///
/// # Errors
/// [`ReceiptError::NotCanonical`] when a leaf has no canonical form.
pub fn leaves_of(root: &str, value: &Value) -> Result<BTreeMap<String, Sha256Digest>, ReceiptError> {
    let mut found = BTreeMap::new();
    visit(root, value, &mut |pointer, leaf| {
        found.insert(pointer.to_owned(), leaf_hash(pointer, leaf)?);
        Ok(())
    })?;
    Ok(found)
}

/// Compares what a file holds with what its `leaves` say.
pub(super) fn compare(actual: &BTreeMap<String, Sha256Digest>, recorded: &Map<String, Value>) -> Vec<ChangedLeaf> {
    let mut changed: BTreeMap<&str, ChangeKind> = BTreeMap::new();
    for (pointer, hash) in actual {
        match recorded.get(pointer) {
            None => changed.insert(pointer, ChangeKind::Added),
            Some(Value::String(text)) if *text == hash.to_string() => None,
            Some(_) => changed.insert(pointer, ChangeKind::Changed),
        };
    }
    for pointer in recorded.keys() {
        if !actual.contains_key(pointer) {
            changed.insert(pointer, ChangeKind::Missing);
        }
    }
    changed
        .into_iter()
        .map(|(pointer, kind)| ChangedLeaf {
            pointer: pointer.to_owned(),
            kind,
        })
        .collect()
}

/// Pointers of the leaves in which two documents differ.
pub(super) fn differing_leaves(left: &Value, right: &Value) -> Result<Vec<String>, ReceiptError> {
    let (left, right) = (leaves_of("", left)?, leaves_of("", right)?);
    let only_in = |a: &BTreeMap<String, Sha256Digest>, b: &BTreeMap<String, Sha256Digest>| {
        a.iter()
            .filter(|(pointer, hash)| b.get(*pointer) != Some(*hash))
            .map(|(pointer, _)| pointer.clone())
            .collect::<Vec<_>>()
    };
    let mut pointers = only_in(&left, &right);
    pointers.extend(only_in(&right, &left));
    pointers.sort();
    pointers.dedup();
    Ok(pointers)
}

/// The largest integer JSON numbers hold exactly (RFC 8785, appendix D).
const LARGEST_EXACT: u64 = (1 << 53) - 1;

/// Finds a number above 2^53 − 1, which its canonical form could not tell from its neighbour.
pub(super) fn largest_exact_number(value: &Value) -> Result<(), (String, u64)> {
    let mut too_large = None;
    let visited = visit("", value, &mut |pointer, leaf| {
        if let Some(number) = leaf.as_u64().filter(|number| *number > LARGEST_EXACT) {
            too_large = Some((pointer.to_owned(), number));
        }
        Ok(())
    });
    match (visited, too_large) {
        (_, Some(found)) => Err(found),
        _ => Ok(()),
    }
}

fn visit(
    pointer: &str,
    value: &Value,
    on_leaf: &mut impl FnMut(&str, &Value) -> Result<(), ReceiptError>,
) -> Result<(), ReceiptError> {
    match value {
        Value::Object(fields) if !fields.is_empty() => fields.iter().try_for_each(|(name, field)| {
            let escaped = name.replace('~', "~0").replace('/', "~1");
            visit(&format!("{pointer}/{escaped}"), field, on_leaf)
        }),
        Value::Array(items) if !items.is_empty() => items
            .iter()
            .enumerate()
            .try_for_each(|(index, item)| visit(&format!("{pointer}/{index}"), item, on_leaf)),
        leaf => on_leaf(pointer, leaf),
    }
}

fn leaf_hash(pointer: &str, leaf: &Value) -> Result<Sha256Digest, ReceiptError> {
    let value =
        serde_json_canonicalizer::to_vec(leaf).map_err(|error| ReceiptError::NotCanonical(error.to_string()))?;
    Ok(Sha256Digest::of(&[pointer.as_bytes(), &[0], &value].concat()))
}
