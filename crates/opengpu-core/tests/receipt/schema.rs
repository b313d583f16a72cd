//! `docs/receipt.schema.json` and the receipts we write have the same leaves, so that tests which go through the leaves of
//! the samples go through all the schema knows.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::sample::Sample;

fn schema() -> Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/receipt.schema.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// Leaves of a schema as pointers in which `*` stands for any index or key. Lists may also be leaves themselves: empty.
#[derive(Default)]
struct SchemaLeaves {
    values: BTreeSet<String>,
    lists: BTreeSet<String>,
}

impl SchemaLeaves {
    fn visit(&mut self, root: &Value, pointer: &str, part: &Value) {
        if let Some(reference) = part["$ref"].as_str() {
            let target = root.pointer(reference.trim_start_matches('#')).unwrap();
            return self.visit(root, pointer, target);
        }
        if let Some(choices) = part["oneOf"].as_array() {
            return choices.iter().for_each(|choice| self.visit(root, pointer, choice));
        }
        if let Some(properties) = part["properties"].as_object() {
            let required: BTreeSet<&str> = part["required"]
                .as_array()
                .unwrap()
                .iter()
                .filter_map(Value::as_str)
                .collect();
            assert_eq!(
                required,
                properties.keys().map(String::as_str).collect(),
                "{pointer}: all are required"
            );
            assert_eq!(
                part["additionalProperties"], false,
                "{pointer}: nothing else is allowed"
            );
            return properties
                .iter()
                .for_each(|(name, property)| self.visit(root, &format!("{pointer}/{name}"), property));
        }
        if part["items"].is_object() {
            self.lists.insert(pointer.to_owned());
            return self.visit(root, &format!("{pointer}/*"), &part["items"]);
        }
        if part["additionalProperties"].is_object() {
            return self.visit(root, &format!("{pointer}/*"), &part["additionalProperties"]);
        }
        self.values.insert(pointer.to_owned());
    }
}

fn patterns_of(value: &Value) -> BTreeSet<String> {
    let leaves = opengpu_core::receipt::leaves_of("", value).unwrap();
    leaves
        .into_keys()
        .map(|pointer| match pointer.starts_with("/leaves/") {
            true => "/leaves/*".to_owned(),
            false => {
                let parts: Vec<&str> = pointer
                    .split('/')
                    .map(|part| if part.parse::<usize>().is_ok() { "*" } else { part })
                    .collect();
                parts.join("/")
            }
        })
        .collect()
}

#[test]
fn schema_and_receipts_have_the_same_leaves() {
    let schema = schema();
    let mut known = SchemaLeaves::default();
    known.visit(&schema, "", &schema);
    let files = [
        Sample::co_signed(),
        Sample::submitted(),
        Sample::rebuilt(),
        Sample::third_attempt(),
    ];
    let written: BTreeSet<String> = files
        .iter()
        .flat_map(|file| patterns_of(&serde_json::to_value(file).unwrap()))
        .collect();
    let unknown: Vec<_> = written
        .iter()
        .filter(|leaf| !known.values.contains(*leaf) && !known.lists.contains(*leaf))
        .collect();
    assert!(unknown.is_empty(), "written, but not in the schema: {unknown:?}");
    let unwritten: Vec<_> = known.values.iter().filter(|leaf| !written.contains(*leaf)).collect();
    assert!(unwritten.is_empty(), "in the schema, but in no sample: {unwritten:?}");
}
