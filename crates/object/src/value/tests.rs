use std::mem::size_of;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::value;

#[test]
fn the_tree_is_compact() {
    assert_eq!(size_of::<Key>(), 16);
    assert_eq!(size_of::<Map>(), 16);
    assert_eq!(size_of::<Value>(), 24);
    assert_eq!(size_of::<(Key, Value)>(), 40);
}

#[test]
fn keys_are_equal_whoever_owns_them() {
    let borrowed = Key::from("name");
    let owned = Key::from("name".to_owned());
    assert_eq!(borrowed, owned);
    assert_eq!(owned.clone().as_str(), "name");
    drop(owned);
    assert_eq!(Key::from(String::new()), Key::from(""));
    assert!(Key::from("a") < Key::from("b".to_owned()));
}

#[test]
fn equality_ignores_order() {
    assert_eq!(value!({"a": 1, "b": {"c": 2}}), value!({"b": {"c": 2}, "a": 1}));
    assert_ne!(value!({"a": 1, "b": 2}), value!({"a": 2, "b": 1}));
    assert_ne!(value!({"a": 1}), value!({"a": 1, "b": 2}));
    let forth: Map = (0..100).map(|i| (i.to_string(), Value::Int(i))).collect();
    let back: Map = (0..100).rev().map(|i| (i.to_string(), Value::Int(i))).collect();
    assert!(forth == back);
}

#[test]
fn the_last_duplicate_counts() {
    let mut map = Map::new();
    for i in 0..60_i64 {
        map.push(Key::from((i % 30).to_string()), Value::Int(i));
    }
    map.drop_duplicates();
    assert_eq!(map.len(), 30);
    assert_eq!(map.iter().next(), Some(("0", &Value::Int(30))));
}

#[test]
fn paths_are_made_and_found() {
    let mut object = Value::Null;
    object.set_path(&["spec", "replicas"], Value::Int(3));
    object.set_default("kind", "Deployment");
    object.set_default("kind", "other");
    assert_eq!(object, value!({"spec": {"replicas": 3}, "kind": "Deployment"}));
    assert_eq!(object.str_at("spec.replicas.none"), "");
    *object.at_mut("spec.replicas").unwrap() = Value::Null;
    assert!(object.at("spec.replicas").is_null());
    assert_eq!(object.remove("kind"), Some(Value::from("Deployment")));
}

#[test]
fn an_edited_map_is_what_it_would_be() {
    for size in [3i64, 200] {
        let map: Map = (0..size).map(|i| (format!("k{i}"), Value::from(i))).collect();
        let mut plain = map.clone();
        let mut editor = MapEditor::new(map, size as usize);
        for i in (0..size).step_by(2) {
            assert_eq!(editor.remove(&format!("k{i}")), plain.remove(&format!("k{i}")));
        }
        for (i, key) in ["k0", "k1", "new"].into_iter().enumerate() {
            plain.insert(key, Value::from(i as i64 + 1000));
            editor.insert(Key::from(key), Value::from(i as i64 + 1000));
        }
        assert_eq!((editor.remove("none"), editor.get_mut("k2")), (None, None));
        *editor.get_mut("new").unwrap() = Value::Null;
        plain.insert("new", Value::Null);
        let edited = editor.finish();
        assert!(edited.iter().eq(plain.iter()));
    }
}

proptest! {
    /// A map answers as a list of pairs would, small or large, whatever was done to it before.
    #[test]
    fn a_map_answers_as_a_list_of_pairs(changes in vec((0..5_u8, 0..90_u8), 0..400)) {
        let (mut map, mut pairs) = (Map::new(), Vec::<(String, i64)>::new());
        for (number, (change, key)) in changes.into_iter().enumerate() {
            let (key, number) = (format!("k{key}"), number as i64);
            let place = pairs.iter().position(|(other, _)| *other == key);
            match change {
                0 => {
                    let old = place.map(|place| Value::Int(pairs.remove(place).1));
                    prop_assert_eq!(map.remove(&key), old);
                }
                1 => {
                    map.sort();
                    pairs.sort();
                }
                _ => {
                    let old = map.insert(key.clone(), Value::Int(number));
                    prop_assert_eq!(old, place.map(|place| Value::Int(pairs[place].1)));
                    match place {
                        Some(place) => pairs[place].1 = number,
                        None => pairs.push((key.clone(), number)),
                    }
                }
            }
            let found = pairs.iter().find(|(other, _)| *other == key).map(|(_, value)| Value::Int(*value));
            prop_assert_eq!(map.get(&key), found.as_ref());
        }
        let all: Vec<_> = map.iter().map(|(key, value)| (key.to_owned(), value.as_i64().unwrap())).collect();
        prop_assert_eq!(all, pairs);
    }
}
