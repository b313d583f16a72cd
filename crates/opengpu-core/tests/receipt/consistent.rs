//! What a signer finds before it approves: a receipt that does not say what order, spec, chain and result say.

use opengpu_core::job::Usage;
use opengpu_core::receipt::{Receipt, ReceiptError, leaves_of};
use serde_json::{Value, json};

use crate::sample::Sample;

const USAGE: Usage = Usage {
    billed_millis: 7_000,
    egress_bytes: 10,
};

/// What only the node can know; the signer checks the bytes behind the CIDs instead.
const NODES_WORD: [&str; 7] = [
    "/output/cid",
    "/logs/cid",
    "/logs/bytes",
    "/usage/measured/cpuMillis",
    "/usage/measured/memoryPeakBytes",
    "/usage/measured/vouchers",
    "/usage/measured/usageCid",
];

fn another(value: &Value) -> Value {
    match value {
        Value::Number(number) => json!(number.as_i64().unwrap() + 1),
        Value::String(text) if text == "completed" => json!("stopped"),
        Value::String(text) => {
            let (start, last) = text.split_at(text.len() - 1);
            json!(format!("{start}{}", if last == "1" { "2" } else { "1" }))
        }
        Value::Null => json!("completed"),
        _ => json!(["1"]),
    }
}

#[test]
fn receipt_of_the_job_is_consistent() {
    let sample = Sample::new();
    let receipt = sample.receipt(USAGE);
    assert_eq!(
        receipt.consistent_with(&sample.facts(), &receipt.result().unwrap()),
        Ok(())
    );
}

#[test]
fn each_leaf_a_node_could_lie_in_is_named() {
    let sample = Sample::new();
    let honest = sample.receipt(USAGE);
    let value = serde_json::to_value(&honest).unwrap();
    for pointer in leaves_of("", &value).unwrap().into_keys() {
        let mut lie = value.clone();
        let leaf = lie.pointer_mut(&pointer).unwrap();
        *leaf = another(leaf);
        let Ok(lie) = serde_json::from_value::<Receipt>(lie) else {
            panic!("{pointer} should still be a receipt");
        };
        // The node signs the honest result with the lying receipt's digest.
        let mut result = honest.result().unwrap();
        result.receipt_digest = lie.digest().unwrap();
        match lie.consistent_with(&sample.facts(), &result) {
            Ok(()) => assert!(NODES_WORD.contains(&pointer.as_str()), "{pointer} passes"),
            Err(ReceiptError::Inconsistent { pointers }) => {
                assert!(pointers.contains(&pointer), "{pointer}: {pointers:?}")
            }
            Err(error) => panic!("{pointer}: {error}"),
        }
    }
}

#[test]
fn result_that_bills_other_usage_than_its_receipt_is_refused() {
    let sample = Sample::new();
    let receipt = sample.receipt(USAGE);
    let mut result = receipt.result().unwrap();
    result.billed_millis += 1;
    let error = receipt.consistent_with(&sample.facts(), &result).unwrap_err();
    let ReceiptError::Inconsistent { pointers } = error else {
        panic!("{error}")
    };
    assert!(pointers.contains(&"/usage/billedMillis".to_owned()), "{pointers:?}");
}

#[test]
fn result_with_another_digest_is_refused() {
    let sample = Sample::new();
    let receipt = sample.receipt(USAGE);
    let mut result = receipt.result().unwrap();
    result.receipt_digest = opengpu_core::ids::Sha256Digest::of(b"another");
    assert!(receipt.consistent_with(&sample.facts(), &result).is_err());
}
