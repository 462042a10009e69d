//! Properties that hold for every patch.
//!
//! An input is one JSON document, `{"target": …, "patch": …}`: the object, and the patch or the object that it is to become.

use object::patch::{json_patch, merge_patch, strategic_merge};
use object::{Value, json, value};

use super::{bounded, target};

/// Both parts of an input.
fn parts(input: &[u8]) -> Option<(Value, Value)> {
    let document = json::parse(input).ok()?;
    Some((document.get("target").clone(), document.get("patch").clone()))
}

/// The merge patch that turns `from` into `to`. Null members are not possible: null means removal.
fn merge_difference(from: &Value, to: &Value) -> Value {
    let (Some(_), Some(_)) = (from.as_map(), to.as_map()) else { return to.clone() };
    let mut patch = Value::map();
    for (key, _) in from.entries().filter(|(key, _)| to.as_map().is_some_and(|to| !to.contains_key(key))) {
        patch.set(key.to_owned(), Value::Null);
    }
    for (key, wanted) in to.entries().filter(|(key, wanted)| from.get(key) != *wanted) {
        patch.set(key.to_owned(), merge_difference(from.get(key), wanted));
    }
    patch
}

/// Whether a member anywhere in it is null.
fn has_null(value: &Value) -> bool {
    value.entries().any(|(_, member)| member.is_null() || has_null(member)) || value.items().any(has_null)
}

#[test]
fn merge_patches_do_what_they_say() {
    target("patches")
        .words(&["null", "{}", "\"a\":", "{\"a\":null}", "[1]", "\"patch\":", "\"target\":"])
        .run(|input| {
            let Some((from, second)) = parts(input) else { return false };
            if let Ok(once) = bounded(input, || merge_patch(from.clone(), second.clone())) {
                assert_eq!(
                    merge_patch(once.clone(), second.clone()).expect("it applied before"),
                    once,
                    "applied twice"
                );
            }
            if from.as_map().is_some() && second.as_map().is_some() && !has_null(&second) {
                let patch = merge_difference(&from, &second);
                assert_eq!(
                    merge_patch(from, patch.clone()).expect("it is well formed"),
                    second,
                    "by {patch:?}"
                );
            }
            true
        });
}

#[test]
fn json_patches_do_what_they_say() {
    let words = &[
        "\"op\":\"add\"",
        "\"op\":\"remove\"",
        "\"op\":\"copy\"",
        "\"op\":\"move\"",
        "\"op\":\"test\"",
        "\"op\":\"replace\"",
        "\"path\":\"/a/-\"",
        "\"path\":\"/a/0\"",
        "\"from\":\"/a\"",
        "\"value\":null",
        "~0",
        "~1",
        "/-1",
    ];
    target("json-patches").words(words).run(|input| {
        let Some((from, patch)) = parts(input) else { return false };
        let applied = bounded(input, || json_patch(from.clone(), &patch));
        // A `test` at the place of each added value finds it.
        if let ([operation], Ok(patched)) = (patch.as_list().unwrap_or_default(), &applied)
            && operation.str_at("op") == "replace"
        {
            let test = value!([{"op": "test", "path": operation.get("path").clone(), "value": operation.get("value").clone()}]);
            assert_eq!(&json_patch(patched.clone(), &test).expect("the value is there"), patched);
        }
        // And operations that do not apply leave nothing half done: the next answer is the same.
        assert_eq!(json_patch(from, &patch), applied);
        applied.is_ok()
    });
}

#[test]
fn strategic_patches_do_what_they_say() {
    let words = &[
        "\"$patch\":\"replace\"",
        "\"$patch\":\"delete\"",
        "\"$retainKeys\":[",
        "\"$setElementOrder/containers\":[",
        "\"$deleteFromPrimitiveList/finalizers\":[",
        "\"containers\":[",
        "\"name\":\"a\"",
        "null",
        "{}",
        "\"env\":[",
    ];
    let ty = schema::type_by_gvk("", "v1", "Pod").expect("a built-in type");
    target("strategic-patches").words(words).run(|input| {
        let Some((from, patch)) = parts(input) else { return false };
        let Ok(once) = bounded(input, || strategic_merge(from.clone(), patch.clone(), &ty)) else {
            return false;
        };
        // An empty patch changes nothing.
        assert_eq!(strategic_merge(once.clone(), Value::map(), &ty).expect("nothing is asked for"), once);
        true
    });
}
