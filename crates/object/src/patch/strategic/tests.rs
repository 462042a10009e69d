use super::*;
use crate::{Status, value};

#[track_caller]
fn merged(ty: &str, target: Value, patch: Value) -> Result<Value, Error> {
    let ty = ::schema::type_by_name(ty).expect("a built-in type");
    strategic_merge(target, patch, &ty)
}

/// Patches a PodSpec; the order of lists counts.
#[track_caller]
fn check(target: Value, patch: Value, expected: Value) {
    assert_eq!(merged("io.k8s.api.core.v1.PodSpec", target, patch.clone()), Ok(expected), "{patch:?}");
}

#[track_caller]
fn check_type(ty: &str, target: Value, patch: Value, expected: Value) {
    assert_eq!(merged(ty, target, patch.clone()), Ok(expected), "{patch:?}");
}

#[track_caller]
fn fails(target: Value, patch: Value, message: &str) -> Status {
    let error = merged("io.k8s.api.core.v1.PodSpec", target, patch.clone()).unwrap_err();
    assert_eq!(error.to_string(), message, "{patch:?}");
    Status::from(error)
}

#[test]
fn objects_and_scalars() {
    check(value!({"nodeName": "a"}), value!({"nodeName": "b"}), value!({"nodeName": "b"}));
    check(value!({"nodeName": "a", "hostname": "h"}), value!({"nodeName": null}), value!({"hostname": "h"}));
    check(value!({}), value!({"nodeName": null}), value!({}));
    check(
        value!({}),
        value!({"securityContext": {"runAsUser": null, "fsGroup": 1}}),
        value!({"securityContext": {"fsGroup": 1}}),
    );
    check(
        value!({"nodeSelector": {"a": "1", "b": "2"}}),
        value!({"nodeSelector": {"a": null, "c": "3"}}),
        value!({"nodeSelector": {"b": "2", "c": "3"}}),
    );
    check(value!({"nodeSelector": {"a": "1"}}), value!({"nodeSelector": null}), value!({}));
    // No patch strategy: the list is replaced.
    check(
        value!({"containers": [{"name": "a", "args": ["x", "y"]}]}),
        value!({"containers": [{"name": "a", "args": ["z"]}]}),
        value!({"containers": [{"name": "a", "args": ["z"]}]}),
    );
}

#[test]
fn lists_merge_by_key() {
    let target = || value!({"containers": [{"name": "a", "image": "x"}, {"name": "b", "image": "y"}]});
    check(
        target(),
        value!({"containers": [{"name": "b", "image": "z"}]}),
        value!({"containers": [{"name": "a", "image": "x"}, {"name": "b", "image": "z"}]}),
    );
    check(
        target(),
        value!({"containers": [{"name": "c"}, {"name": "a", "tty": true}]}),
        value!({"containers": [{"name": "c"}, {"name": "a", "image": "x", "tty": true}, {"name": "b", "image": "y"}]}),
    );
    check(
        value!({"containers": [{"name": "a", "ports": [{"containerPort": 80, "name": "old"}], "env": [{"name": "A", "value": "1"}]}]}),
        value!({"containers": [{"name": "a", "ports": [{"containerPort": 80, "name": "web"}, {"containerPort": 81}],
            "env": [{"name": "A", "$patch": "delete"}, {"name": "B", "value": "2"}]}]}),
        value!({"containers": [{"name": "a", "ports": [{"containerPort": 80, "name": "web"}, {"containerPort": 81}],
            "env": [{"name": "B", "value": "2"}]}]}),
    );
}

#[test]
fn directives_of_lists_and_objects() {
    let target = || value!({"containers": [{"name": "a"}, {"name": "b"}], "securityContext": {"runAsUser": 1, "fsGroup": 2}});
    check(
        target(),
        value!({"containers": [{"name": "a", "$patch": "delete"}], "securityContext": {"$patch": "delete"}}),
        value!({"containers": [{"name": "b"}], "securityContext": {}}),
    );
    check(
        target(),
        value!({"containers": [{"name": "c"}, {"$patch": "replace"}], "securityContext": {"$patch": "replace", "fsGroup": 3}}),
        value!({"containers": [{"name": "c"}], "securityContext": {"fsGroup": 3}}),
    );
    check(target(), value!({"$patch": "replace", "hostname": "h"}), value!({"hostname": "h"}));
    // Directives that meet nothing leave nothing.
    check(
        value!({}),
        value!({"containers": [{"name": "a", "$patch": "delete"}, {"name": "b"}], "securityContext": {"$patch": "delete"}}),
        value!({"containers": [{"name": "b"}]}),
    );
}

#[test]
fn retain_keys_clears_the_others() {
    check(
        value!({"volumes": [{"name": "v", "emptyDir": {}}, {"name": "w"}]}),
        value!({"volumes": [{"name": "v", "$retainKeys": ["name", "hostPath"], "hostPath": {"path": "/x"}}]}),
        value!({"volumes": [{"name": "v", "hostPath": {"path": "/x"}}, {"name": "w"}]}),
    );
    check_type(
        "io.k8s.api.apps.v1.DeploymentSpec",
        value!({"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}}),
        value!({"strategy": {"$retainKeys": ["type"], "type": "Recreate", "rollingUpdate": null}}),
        value!({"strategy": {"type": "Recreate"}}),
    );
    let message = "invalid patch format of retainKeys";
    let status = fails(
        value!({"volumes": [{"name": "v"}]}),
        value!({"volumes": [{"name": "v", "$retainKeys": ["name"], "emptyDir": {}}]}),
        message,
    );
    assert_eq!(status.code, 400);
    fails(value!({}), value!({"$retainKeys": "name"}), message);
}

#[test]
fn lists_of_scalars() {
    let meta = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";
    let target = || value!({"finalizers": ["a", "b", "c"]});
    check_type(
        meta,
        target(),
        value!({"finalizers": ["d", "a"]}),
        value!({"finalizers": ["d", "a", "b", "c"]}),
    );
    check_type(
        meta,
        target(),
        value!({"$deleteFromPrimitiveList/finalizers": ["b", "z"]}),
        value!({"finalizers": ["a", "c"]}),
    );
    check_type(
        meta,
        target(),
        value!({"$setElementOrder/finalizers": ["c", "d", "a"], "$deleteFromPrimitiveList/finalizers": ["b"], "finalizers": ["d"]}),
        value!({"finalizers": ["c", "d", "a"]}),
    );
    check_type(meta, value!({}), value!({"$deleteFromPrimitiveList/finalizers": ["b"]}), value!({}));
    let status = fails(
        value!({}),
        value!({"$deleteFromPrimitiveList": ["b"]}),
        "invalid patch format of primitive list",
    );
    assert_eq!(status.code, 400);
}

#[test]
fn set_element_order_sorts() {
    let target = || value!({"containers": [{"name": "a"}, {"name": "b"}, {"name": "c"}]});
    check(
        target(),
        value!({"$setElementOrder/containers": [{"name": "c"}, {"name": "a"}]}),
        value!({"containers": [{"name": "b"}, {"name": "c"}, {"name": "a"}]}),
    );
    check(
        target(),
        value!({"$setElementOrder/containers": [{"name": "c"}, {"name": "d"}, {"name": "a"}],
            "containers": [{"name": "d"}, {"name": "a", "tty": true}, {"name": "b", "$patch": "delete"}]}),
        value!({"containers": [{"name": "c"}, {"name": "d"}, {"name": "a", "tty": true}]}),
    );
    check(
        value!({}),
        value!({"$setElementOrder/containers": [{"name": "b"}, {"name": "a"}], "containers": [{"name": "b"}, {"name": "a"}]}),
        value!({"containers": [{"name": "b"}, {"name": "a"}]}),
    );
    check(value!({}), value!({"$setElementOrder/containers": [{"name": "b"}]}), value!({}));
    fails(
        target(),
        value!({"$setElementOrder/containers": [{"name": "a"}], "containers": [{"name": "x"}]}),
        "The order in patch list:\n[map[name:x]]\n doesn't match $setElementOrder list:\n[map[name:a]]\n",
    );
    fails(
        target(),
        value!({"$setElementOrder/containers": "a"}),
        "expected a []interface {}, but received a string",
    );
    fails(target(), value!({"$setElementOrder": []}), "invalid patch format of setElementOrder list");
}

#[test]
fn what_does_not_fit_the_schema() {
    let target = || value!({"containers": [{"name": "a"}], "unknown": {"a": 1}, "strange": [1]});
    fails(
        target(),
        value!({"containers": [{"image": "x"}]}),
        "map: map[image:x] does not contain declared merge key: name",
    );
    fails(
        target(),
        value!({"containers": [{"$patch": "delete"}]}),
        "map: map[$patch:delete] does not contain declared merge key: name",
    );
    fails(
        target(),
        value!({"containers": [{"name": "a", "$patch": "grow"}]}),
        "unknown patch type: grow in map: map[$patch:grow name:a]",
    );
    fails(target(), value!({"$patch": "grow"}), "unknown patch type: grow in map: map[$patch:grow]");
    fails(
        target(),
        value!({"containers": ["a"]}),
        "list element types are not identical: [[map[name:a]] [a]]",
    );
    let status = fails(
        target(),
        value!({"unknown": {"b": 1}}),
        "unable to find api field in struct PodSpec for the json field \"unknown\"",
    );
    assert_eq!((status.code, status.reason.as_str()), (500, ""));
    fails(
        target(),
        value!({"strange": [2]}),
        "unable to find api field in struct PodSpec for the json field \"strange\"",
    );
    let status = fails(
        value!({"containers": [[1]]}),
        value!({"containers": [[2]]}),
        "lists of lists are not supported",
    );
    assert_eq!(status.code, 422);
    assert_eq!(
        merged("io.k8s.api.core.v1.PodSpec", Value::map(), value!([])),
        Err(Error::Malformed("invalid JSON document".into()))
    );
}

#[test]
fn embedded_types_are_found() {
    // Volume embeds VolumeSource, whose fields are next to the name.
    check(
        value!({"volumes": [{"name": "v", "projected": {"sources": [{"secret": {"name": "a"}}], "defaultMode": 420}}]}),
        value!({"volumes": [{"name": "v", "projected": {"defaultMode": 256}}]}),
        value!({"volumes": [{"name": "v", "projected": {"sources": [{"secret": {"name": "a"}}], "defaultMode": 256}}]}),
    );
}
