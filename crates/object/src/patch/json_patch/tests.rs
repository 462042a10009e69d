use super::*;
use crate::{Status, value};

#[track_caller]
fn check(target: Value, patch: Value, expected: Value) {
    assert_eq!(json_patch(target, &patch), Ok(expected), "{patch:?}");
}

#[track_caller]
fn fails(target: Value, patch: Value, message: &str) {
    assert_eq!(json_patch(target, &patch), Err(Error::DoesNotApply(message.into())), "{patch:?}");
}

#[test]
fn operations() {
    check(value!({"a": 1}), value!([{"op": "add", "path": "/b", "value": [1]}]), value!({"a": 1, "b": [1]}));
    check(value!({"a": 1}), value!([{"op": "add", "path": "/a", "value": 2}]), value!({"a": 2}));
    check(
        value!({"a": [1, 3]}),
        value!([{"op": "add", "path": "/a/1", "value": 2}]),
        value!({"a": [1, 2, 3]}),
    );
    check(value!({"a": [1]}), value!([{"op": "add", "path": "/a/-", "value": 2}]), value!({"a": [1, 2]}));
    check(value!({"a": [1]}), value!([{"op": "add", "path": "/a/-1", "value": 2}]), value!({"a": [1, 2]}));
    check(value!({"a": {"b/c~d": 1}}), value!([{"op": "remove", "path": "/a/b~1c~0d"}]), value!({"a": {}}));
    check(value!({"a": [1, 2]}), value!([{"op": "remove", "path": "/a/-1"}]), value!({"a": [1]}));
    check(value!({"a": 1}), value!([{"op": "replace", "path": "/a", "value": null}]), value!({"a": null}));
    check(value!({"a": 1}), value!([{"op": "replace", "path": "/b", "value": 2}]), value!({"a": 1, "b": 2}));
    check(
        value!({"a": [1, 2]}),
        value!([{"op": "replace", "path": "/a/1", "value": 3}]),
        value!({"a": [1, 3]}),
    );
    check(value!({"a": 1}), value!([{"op": "replace", "path": "", "value": {"c": 1}}]), value!({"c": 1}));
    check(
        value!({"a": 1, "b": {}}),
        value!([{"op": "move", "from": "/a", "path": "/b/c"}]),
        value!({"b": {"c": 1}}),
    );
    check(
        value!({"a": [1, 2, 3]}),
        value!([{"op": "move", "from": "/a/0", "path": "/a/2"}]),
        value!({"a": [2, 3, 1]}),
    );
    check(
        value!({"a": {"x": 1}}),
        value!([{"op": "copy", "from": "/a", "path": "/b"}]),
        value!({"a": {"x": 1}, "b": {"x": 1}}),
    );
    check(
        value!({"a": {"x": [1, null]}}),
        value!([{"op": "test", "path": "/a", "value": {"x": [1, null]}}]),
        value!({"a": {"x": [1, null]}}),
    );
    check(value!({"a": 1}), value!([{"op": "test", "path": "/none", "value": null}]), value!({"a": 1}));
    check(value!({"a": 1}), value!([]), value!({"a": 1}));
}

#[test]
fn operations_that_fail() {
    let target = || value!({"a": {"b": [1]}, "c": "text"});
    fails(
        target(),
        value!([{"op": "add", "path": "/x/y", "value": 1}]),
        "add operation does not apply: doc is missing path: \"/x/y\": missing value",
    );
    fails(
        target(),
        value!([{"op": "add", "path": "/c/y", "value": 1}]),
        "add operation does not apply: doc is missing path: \"/c/y\": missing value",
    );
    fails(
        target(),
        value!([{"op": "add", "value": 1}]),
        "add operation failed to decode path: missing value",
    );
    fails(
        target(),
        value!([{"op": "add", "path": "/a/b/5", "value": 1}]),
        "error in add for path: '/a/b/5': Unable to access invalid index: 5: invalid index referenced",
    );
    fails(
        target(),
        value!([{"op": "add", "path": "/a/b/x", "value": 1}]),
        "error in add for path: '/a/b/x': value was not a proper array index: 'x': strconv.Atoi: parsing \"x\": invalid syntax",
    );
    fails(
        target(),
        value!([{"op": "remove", "path": "/x"}]),
        "error in remove for path: '/x': Unable to remove nonexistent key: x: missing value",
    );
    fails(
        target(),
        value!([{"op": "remove", "path": "/a/b/1"}]),
        "error in remove for path: '/a/b/1': Unable to access invalid index: 1: invalid index referenced",
    );
    fails(
        target(),
        value!([{"op": "replace", "path": "/a/b/1", "value": 1}]),
        "replace operation does not apply: doc is missing key: /a/b/1: missing value",
    );
    fails(
        target(),
        value!([{"op": "replace", "path": "/x/y", "value": 1}]),
        "replace operation does not apply: doc is missing path: /x/y: missing value",
    );
    fails(
        target(),
        value!([{"op": "move", "from": "/x", "path": "/y"}]),
        "error in move for path: 'x': Unable to remove nonexistent key: x: missing value",
    );
    fails(
        target(),
        value!([{"op": "move", "path": "/y"}]),
        "move operation failed to decode from: operation, missing from field: missing value",
    );
    fails(
        target(),
        value!([{"op": "test", "path": "/c", "value": "other"}]),
        "testing value /c failed: test failed",
    );
    fails(target(), value!([{"op": "grow", "path": "/c"}]), "Unexpected kind: grow");
    fails(target(), value!([{"path": "/c"}]), "Unexpected kind: unknown");
}

#[test]
fn what_the_client_is_told() {
    let malformed = Status::from(json_patch(Value::map(), &value!({})).unwrap_err());
    assert_eq!(
        (malformed.code, malformed.message.as_str()),
        (400, "json: cannot unmarshal object into Go value of type jsonpatch.Patch")
    );
    let many =
        Value::List(vec![value!({"op": "test", "path": "", "value": {}}); JSON_PATCH_OPERATIONS_MAX + 1]);
    let many = Status::from(json_patch(Value::map(), &many).unwrap_err());
    assert_eq!(many.code, 413);
    assert_eq!(
        many.message,
        "Request entity too large: The allowed maximum operations in a JSON patch is 10000, got 10001"
    );
    let failed =
        Status::from(json_patch(Value::map(), &value!([{"op": "remove", "path": "/x"}])).unwrap_err());
    assert_eq!((failed.code, failed.reason.as_str()), (422, "Invalid"));
    assert_eq!(failed.message, "the server rejected our request due to an error in our request");
}

#[test]
fn copies_are_bounded() {
    let target = value!({"a": "x".repeat(1 << 20)});
    let copy = |to: &str| value!({"op": "copy", "from": "/a", "path": to});
    let patch = Value::List(["/b", "/c", "/d"].into_iter().map(copy).collect());
    let error = json_patch(target, &patch).unwrap_err().to_string();
    assert!(
        error.starts_with("Unable to complete the copy, the accumulated size increase of copy is 3145734,"),
        "{error}"
    );
}

#[test]
fn operations_on_large_lists_are_bounded() {
    let target = || value!({"list": (Value::from(vec![Value::from(1i64); 100_000]))});
    let insertions =
        |count: usize| Value::from(vec![value!({"op": "add", "path": "/list/0", "value": 1}); count]);
    assert!(json_patch(target(), &insertions(100)).is_ok());
    assert_eq!(json_patch(target(), &insertions(10_000)), Err(Error::TooExpensive));
    let status = crate::Status::from(Error::TooExpensive);
    assert_eq!(status.code(), 413);
}

/// The levels of objects and lists, without recursion: what a mistake produces may be deeper than the stack.
fn depth(value: &Value) -> usize {
    let (mut open, mut deepest) = (vec![(value, 1)], 0);
    while let Some((value, depth)) = open.pop() {
        match value {
            Value::List(items) => open.extend(items.iter().map(|item| (item, depth + 1))),
            Value::Map(map) => open.extend(map.iter().map(|(_, value)| (value, depth + 1))),
            _ => continue,
        }
        deepest = deepest.max(depth);
    }
    deepest
}

/// Each of these operations doubles the depth, or moves what the others have made into itself.
#[test]
fn nesting_is_bounded() {
    let chain = |levels: usize| "/a".repeat(levels);
    let doubled = |doublings: u32| {
        let mut operations = vec![value!({"op": "add", "path": "/a", "value": {}})];
        operations.extend(
            (0..doublings).map(|n| value!({"op": "copy", "from": "/a", "path": (chain(2_usize.pow(n) + 1))})),
        );
        operations
    };
    let patched = json_patch(Value::map(), &Value::List(doubled(8))).unwrap();
    assert_eq!(depth(&patched), 257);
    let refused = |operations: Vec<Value>| {
        let error = json_patch(Value::map(), &Value::List(operations)).unwrap_err();
        assert_eq!(error.to_string(), "the value does not fit: exceeded max depth");
    };
    refused(doubled(10));
    let half = || (1..256).fold(Value::map(), |inner, _| value!({"a": inner}));
    for op in ["add", "replace"] {
        let at_the_end = value!({"op": op, "path": (chain(257)), "value": (half())});
        refused(vec![value!({"op": "add", "path": "/a", "value": (half())}), at_the_end]);
    }
    refused(vec![
        value!({"op": "add", "path": "/a", "value": (half())}),
        value!({"op": "add", "path": "/b", "value": (half())}),
        value!({"op": "move", "from": "/b", "path": (chain(257))}),
    ]);
}
