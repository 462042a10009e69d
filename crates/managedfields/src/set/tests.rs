use object::value;
use proptest::prelude::*;

use super::*;

fn set_of(paths: &[Vec<u8>]) -> FieldSet {
    let mut set = FieldSet::default();
    for path in paths {
        let path: Vec<Element> = path.iter().map(|step| Element::Index(i64::from(*step))).collect();
        set.insert(&path);
    }
    set
}

fn paths() -> impl Strategy<Value = Vec<Vec<u8>>> {
    prop::collection::vec(prop::collection::vec(0_u8..3, 1..4), 0..8)
}

proptest! {
    #[test]
    fn sets_are_sets(a in paths(), b in paths()) {
        let text = |set: &FieldSet| -> std::collections::BTreeSet<String> {
            set.paths().iter().map(FieldPath::to_string).collect()
        };
        let (a, b) = (set_of(&a), set_of(&b));
        let (in_a, in_b) = (text(&a), text(&b));
        prop_assert_eq!(text(&a.clone().union(b.clone())), in_a.union(&in_b).cloned().collect());
        prop_assert_eq!(text(&a.intersection(&b)), in_a.intersection(&in_b).cloned().collect());
        prop_assert_eq!(text(&a.clone().difference(&b)), in_a.difference(&in_b).cloned().collect());
        let is_below = |path: &String| in_b.iter().any(|other| path.starts_with(other.as_str()));
        let outside = in_a.iter().filter(|path| !is_below(path)).cloned().collect();
        prop_assert_eq!(text(&a.clone().outside(&b)), outside);
        prop_assert_eq!(FieldSet::from_value(&a.to_value()).unwrap(), a);
    }
}

#[test]
fn sets_have_upstreams_form() {
    let form = value!({
        "f:metadata": {"f:labels": {".": {}, "f:app": {}}},
        "f:spec": {
            "f:containers": {
                "k:{\"name\":\"c\"}": {
                    ".": {}, "f:image": {},
                    "f:ports": {".": {}, "k:{\"containerPort\":80,\"protocol\":\"TCP\"}": {".": {}, "f:containerPort": {}}}
                }
            },
            "f:finalizers": {"v:\"a\"": {}},
            "f:replicas": {}
        }
    });
    let set = FieldSet::from_value(&form).unwrap();
    assert_eq!(object::json::to_vec(&set.to_value()), object::json::to_vec(&form));
    let paths: Vec<String> = set.paths().iter().map(FieldPath::to_string).collect();
    assert!(
        paths.contains(&r#".spec.containers[name="c"].ports[containerPort=80,protocol="TCP"]"#.to_owned()),
        "{paths:?}"
    );
    assert!(paths.contains(&r#".spec.finalizers[="a"]"#.to_owned()), "{paths:?}");
}

#[test]
fn the_order_of_elements_is_upstreams() {
    let texts = [
        "f:a",
        "f:b",
        "k:{\"name\":\"a\"}",
        "k:{\"name\":\"b\"}",
        "v:1",
        "v:1.5",
        "v:2",
        "v:\"a\"",
        "v:true",
        "i:0",
        "i:7",
    ];
    let elements: Vec<Element> = texts.iter().map(|text| Element::parse(text).unwrap()).collect();
    assert!(elements.is_sorted_by(|a, b| a < b), "{elements:?}");
    assert_eq!(elements.iter().map(|element| element.encode().to_string()).collect::<Vec<_>>(), texts);
}

#[test]
fn other_texts_are_refused() {
    for (text, expected) in [
        ("", r#""" does not begin with a kind and a colon, such as f:"#),
        ("fa", r#""fa" does not begin with a kind and a colon, such as f:"#),
        ("x:a", r#""x:a" is of no known kind (f, k, v or i)"#),
        ("k:[]", r#""k:[]" is not valid: the keys must be an object"#),
        ("i:a", r#""i:a" is not valid: invalid digit found in string"#),
    ] {
        assert_eq!(Element::parse(text).unwrap_err().to_string(), expected);
    }
    assert!(Element::parse("v:{").is_err());
}
