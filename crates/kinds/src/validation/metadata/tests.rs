use object::value;

use super::*;

#[track_caller]
fn check(metadata: Value, namespaced: bool, rule: NameRule, expected: &[&str]) {
    let errors = validate_metadata(&metadata, namespaced, rule, &Path::root("metadata"));
    let found: Vec<String> = errors.iter().map(|e| e.to_string()).collect();
    assert_eq!(found, expected);
}

#[test]
fn names_and_namespaces_follow_the_kind() {
    check(value!({"name": "a.b", "namespace": "x"}), true, NameRule::Subdomain, &[]);
    check(
        value!({"name": "a.b"}),
        true,
        NameRule::Label,
        &[
            r#"metadata.name: Invalid value: "a.b": must not contain dots"#,
            "metadata.namespace: Required value",
        ],
    );
    check(value!({"name": "system:node"}), false, NameRule::PathSegment, &[]);
    check(
        value!({"name": "a/b"}),
        false,
        NameRule::PathSegment,
        &[r#"metadata.name: Invalid value: "a/b": may not contain '/'"#],
    );
    check(
        value!({"generateName": "a-", "namespace": "x"}),
        false,
        NameRule::Subdomain,
        &[
            "metadata.name: Required value: name or generateName is required",
            "metadata.namespace: Forbidden: not allowed on this type",
        ],
    );
}

#[test]
fn labels_annotations_owners_and_finalizers_are_checked() {
    let owner = |name: &str| value!({"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": name, "uid": "1", "controller": true});
    let metadata = value!({
        "name": "a",
        "labels": {"x": "-"},
        "annotations": {"Big": ("x".repeat(256 << 10))},
        "ownerReferences": [(owner("r")), {"apiVersion": "v1", "kind": "Pod", "name": "p"}],
        "finalizers": ["orphan", "foregroundDeletion"],
        "managedFields": [{"manager": "a\u{7}", "operation": "Get"}],
    });
    let errors = validate_metadata(&metadata, false, NameRule::Subdomain, &Path::root("metadata"));
    let mut paths: Vec<&str> = errors.iter().map(|e| e.path.as_str()).collect();
    paths.dedup();
    assert_eq!(
        paths,
        [
            "metadata.labels",
            "metadata.annotations",
            "metadata.ownerReferences[1].uid",
            "metadata.finalizers",
            "metadata.managedFields[0].operation",
            "metadata.managedFields[0].manager",
        ]
    );
    let changed: Vec<String> = validate_metadata_update(&metadata, &metadata, &Path::root("metadata"))
        .iter()
        .map(|error| error.path.clone())
        .filter(|path| path != "metadata.resourceVersion")
        .collect();
    assert_eq!(
        changed,
        errors.iter().map(|error| error.path.clone()).collect::<Vec<_>>(),
        "in a change, too"
    );
    let two = value!({"name": "a", "ownerReferences": [(owner("r")), (owner("s"))]});
    let errors = validate_metadata(&two, false, NameRule::Subdomain, &Path::root("metadata"));
    assert!(errors.to_string().ends_with("references for ReplicaSet/r and ReplicaSet/s"), "{errors}");
}

#[test]
fn what_identifies_an_object_stays() {
    let old = value!({"name": "a", "uid": "1", "generation": 2, "finalizers": ["a/b"],
        "deletionTimestamp": "2024-01-01T00:00:00Z"});
    let new = value!({"name": "a", "uid": "2", "generation": 1, "finalizers": ["a/b", "c/d"],
        "deletionTimestamp": "2024-01-01T00:00:00Z"});
    let errors = validate_metadata_update(&new, &old, &Path::root("metadata"));
    let found: Vec<String> = errors.iter().map(|e| e.to_string()).collect();
    assert_eq!(
        found,
        [
            "metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted, \
             found new finalizers []string{\"c/d\"}",
            "metadata.resourceVersion: Invalid value: \"\": must be specified for an update",
            "metadata.generation: Invalid value: 1: must not be decremented",
            "metadata.uid: Invalid value: \"2\": field is immutable",
        ]
    );
}
