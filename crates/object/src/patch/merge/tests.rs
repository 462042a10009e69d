use super::*;
use crate::value;

#[test]
fn the_examples_of_the_rfc() {
    for (target, patch, expected) in [
        (value!({"a": "b"}), value!({"a": "c"}), value!({"a": "c"})),
        (value!({"a": "b"}), value!({"b": "c"}), value!({"a": "b", "b": "c"})),
        (value!({"a": "b"}), value!({"a": null}), value!({})),
        (value!({"a": "b", "b": "c"}), value!({"a": null}), value!({"b": "c"})),
        (value!({"a": ["b"]}), value!({"a": "c"}), value!({"a": "c"})),
        (value!({"a": "c"}), value!({"a": ["b"]}), value!({"a": ["b"]})),
        (value!({"a": {"b": "c"}}), value!({"a": {"b": "d", "c": null}}), value!({"a": {"b": "d"}})),
        (value!({"a": [{"b": "c"}]}), value!({"a": [1]}), value!({"a": [1]})),
        (value!({}), value!({"a": {"bb": {"ccc": null}}}), value!({"a": {"bb": {}}})),
        (value!({"a": "foo"}), value!({"a": {"b": null, "c": 1}}), value!({"a": {"c": 1}})),
        (value!({"e": null}), value!({"a": 1}), value!({"e": null, "a": 1})),
        (value!({"a": null}), value!({"a": {"b": null}}), value!({"a": {}})),
        (value!({"a": 1}), value!([1]), value!([1])),
    ] {
        assert_eq!(merge_patch(target, patch.clone()), Ok(expected), "{patch:?}");
    }
    let error = merge_patch(Value::map(), Value::from("text")).unwrap_err();
    assert_eq!(error, Error::Malformed("Invalid JSON Patch".into()));
}
