use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Pod;
use proptest::prelude::*;
use serde::Deserialize;

use super::*;
use crate::{json, value};

#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Shape {
    Unit,
    One(i32),
    Two(i32, String),
    Named { a: Option<bool> },
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Everything {
    shapes: Vec<Shape>,
    pair: (u8, f64),
    numbers: BTreeMap<u16, i64>,
    none: Option<String>,
    unit: (),
    letter: char,
    free: Value,
}

#[test]
fn structs_become_trees_and_back() {
    let everything = Everything {
        shapes: vec![Shape::Unit, Shape::One(1), Shape::Two(2, "b".into()), Shape::Named { a: Some(true) }],
        pair: (255, 1.5),
        numbers: [(7, -7)].into(),
        none: None,
        unit: (),
        letter: 'ä',
        free: value!({"any": [1, null]}),
    };
    let tree = to_value(&everything).unwrap();
    let expected = value!({
        "shapes": ["Unit", {"One": 1}, {"Two": [2, "b"]}, {"Named": {"a": true}}],
        "pair": [255, 1.5], "numbers": {"7": -7}, "none": null, "unit": null, "letter": "ä",
        "free": {"any": [1, null]},
    });
    assert_eq!(tree, expected);
    let text: serde_json::Value = serde_json::to_value(&everything).unwrap();
    assert_eq!(json::parse(text.to_string().as_bytes()).unwrap(), expected);
    // Keys of maps that are numbers are text in a tree, which serde's derived code reads only through JSON.
    let mut without = tree.clone();
    without.set("numbers", Value::map());
    let back: Everything = from_value(&without).unwrap();
    assert_eq!(back.shapes, everything.shapes);
    assert_eq!(back.free, everything.free);
}

#[test]
fn pods_become_trees_and_back() {
    let tree = value!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "web", "creationTimestamp": "2024-01-01T00:00:00Z", "labels": {"a": "b"}},
        "spec": {
            "containers": [{"name": "c", "ports": [{"containerPort": 80}], "resources": {"limits": {"cpu": "1"}},
                "livenessProbe": {"httpGet": {"port": "http"}}}],
            "terminationGracePeriodSeconds": 0,
        },
    });
    let pod: Pod = from_value(&tree).unwrap();
    let spec = pod.spec.as_ref().unwrap();
    assert_eq!(spec.termination_grace_period_seconds, Some(0));
    assert_eq!(spec.containers[0].name, "c");
    let back = to_value(&pod).unwrap();
    assert_eq!(back, tree);
}

#[test]
fn misfits_are_told() {
    assert!(from_value::<Pod>(&value!({"apiVersion": "v1", "kind": "Pod", "spec": []})).is_err());
    assert!(from_value::<(u8, u8)>(&value!([1, 2, 3])).is_err());
    assert!(from_value::<u8>(&value!(300)).is_err());
    assert!(to_value(&BTreeMap::from([(vec![1], 1)])).is_err());
}

proptest! {
    #[test]
    fn trees_are_their_own_form(value in crate::json::tests::any_value()) {
        prop_assert_eq!(&to_value(&value).unwrap(), &value);
        prop_assert_eq!(&from_value::<Value>(&value).unwrap(), &value);
        let text = serde_json::to_vec(&value).unwrap();
        prop_assert_eq!(json::parse(&text).unwrap(), value);
    }
}
