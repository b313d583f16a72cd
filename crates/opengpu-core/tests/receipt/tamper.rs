//! Every leaf of a receipt file, changed once, is named (quality goal 19).

use opengpu_core::receipt::{ChangeKind, Report, VerifyOptions, leaves_of, verify_offline};
use serde_json::{Value, json};

use crate::sample::Sample;

fn files() -> Vec<Value> {
    [
        Sample::co_signed(),
        Sample::submitted(),
        Sample::rebuilt(),
        Sample::third_attempt(),
    ]
    .iter()
    .map(|file| serde_json::to_value(file).unwrap())
    .collect()
}

/// Verifies with the true digest at hand, so that only the change can be what fails.
fn report_on(file: &Value, original: &Value) -> Report {
    let canonical = serde_json_canonicalizer::to_vec(&original["receipt"]).unwrap();
    let options = VerifyOptions {
        expected_digest: Some(opengpu_core::ids::Sha256Digest::of(&canonical)),
        ..VerifyOptions::default()
    };
    verify_offline(&serde_json::to_vec(file).unwrap(), &options)
}

/// Another value of the same type, in the same form where it has one.
fn another(value: &Value) -> Value {
    match value {
        Value::Null => json!("something"),
        Value::Bool(truth) => json!(!truth),
        Value::Number(number) => json!(number.as_i64().unwrap() + 1),
        Value::Array(_) | Value::Object(_) => json!("something"),
        Value::String(text) => match text.as_str() {
            "completed" => json!("stopped"),
            "noResult" => json!("notApproved"),
            "notApproved" => json!("noResult"),
            text => {
                let (start, last) = text.split_at(text.len() - 1);
                json!(format!("{start}{}", if last == "1" { "2" } else { "1" }))
            }
        },
    }
}

fn pointers(file: &Value) -> Vec<String> {
    leaves_of("", file).unwrap().into_keys().collect()
}

/// The pointer a leaf is named by: for an entry of `leaves`, the pointer the entry is of.
fn named_by(pointer: &str) -> String {
    match pointer.strip_prefix("/leaves/") {
        Some(entry) => entry.replace("~1", "/").replace("~0", "~"),
        None => pointer.to_owned(),
    }
}

#[test]
fn each_leaf_changed_once_is_named_alone() {
    for original in files() {
        assert!(report_on(&original, &original).is_valid());
        for pointer in pointers(&original) {
            let mut changed = original.clone();
            let leaf = changed.pointer_mut(&pointer).unwrap();
            *leaf = another(leaf);
            let report = report_on(&changed, &original);
            assert!(!report.is_valid(), "{pointer} passes");
            assert_eq!(report.changed.len(), 1, "{pointer}: {:?}", report.changed);
            assert!(report.names(&named_by(&pointer)), "{pointer}: {:?}", report.changed);
            let leaves = report.checks.iter().find(|check| check.name == "leaves").unwrap();
            assert!(leaves.detail.contains(&named_by(&pointer)), "{}", leaves.detail);
        }
    }
}

#[test]
fn each_leaf_taken_out_is_named() {
    for original in files() {
        for pointer in pointers(&original) {
            let (parent, name) = pointer.rsplit_once('/').unwrap();
            let name = name.replace("~1", "/").replace("~0", "~");
            let mut changed = original.clone();
            let Some(fields) = changed.pointer_mut(parent).unwrap().as_object_mut() else {
                continue;
            };
            fields.remove(&name).unwrap();
            let report = report_on(&changed, &original);
            assert!(!report.is_valid(), "without {pointer} it passes");
            assert!(report.names(&named_by(&pointer)), "{pointer}: {:?}", report.changed);
        }
    }
}

#[test]
fn leaf_put_in_anywhere_is_named() {
    let original = serde_json::to_value(Sample::co_signed()).unwrap();
    for parent in [
        "",
        "/receipt",
        "/receipt/payment",
        "/receipt/attempts/0",
        "/signatures",
        "/signatures/result/message",
    ] {
        let mut changed = original.clone();
        changed.pointer_mut(parent).unwrap()["extra/~"] = json!(1);
        let report = report_on(&changed, &original);
        assert!(!report.is_valid(), "{parent}");
        let added = report
            .changed
            .iter()
            .find(|leaf| leaf.kind == ChangeKind::Added)
            .unwrap();
        assert_eq!(added.pointer, format!("{parent}/extra~1~0"));
    }
}

#[test]
fn whole_leaves_taken_out_or_made_something_else_is_refused() {
    let original = serde_json::to_value(Sample::co_signed()).unwrap();
    for leaves in [json!(null), json!({}), json!([]), json!("x")] {
        let mut changed = original.clone();
        changed["leaves"] = leaves;
        let report = report_on(&changed, &original);
        assert!(!report.is_valid());
        assert!(report.names("/receipt/jobId"));
    }
}

#[test]
fn changing_the_leaves_to_fit_does_not_help() {
    let original = serde_json::to_value(Sample::co_signed()).unwrap();
    for pointer in pointers(&original)
        .iter()
        .filter(|pointer| !pointer.starts_with("/leaves/"))
    {
        let mut changed = original.clone();
        let leaf = changed.pointer_mut(pointer).unwrap();
        *leaf = another(leaf);
        let mut leaves = leaves_of("/receipt", &changed["receipt"]).unwrap();
        leaves.extend(leaves_of("/signatures", &changed["signatures"]).unwrap());
        changed["leaves"] = serde_json::to_value(leaves).unwrap();
        let report = verify_offline(&serde_json::to_vec(&changed).unwrap(), &VerifyOptions::default());
        assert_eq!(report.changed, [], "{pointer}");
        assert!(!report.is_valid(), "{pointer} passes");
    }
}
