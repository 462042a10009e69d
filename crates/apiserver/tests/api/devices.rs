//! The kinds of `resource.k8s.io`, where more than the object at hand decides.

use apiserver::testing::TestServer;
use object::{Value, value};

use crate::support::*;

const RESOURCE: &str = "/apis/resource.k8s.io/v1";

/// The texts of an answer's warnings.
fn told(reply: &Reply) -> Vec<String> {
    let text = |warning: &String| {
        let quoted = warning.strip_prefix("299 - \"").and_then(|rest| rest.strip_suffix('"'));
        quoted.unwrap_or_else(|| panic!("{warning}")).replace("\\\"", "\"")
    };
    reply.warnings().iter().map(text).collect()
}

fn claim(name: &str, exactly: Value) -> Value {
    value!({"metadata": {"name": name}, "spec": {"devices": {"requests": [{"name": "r", "exactly": exactly}]}}})
}

#[tokio::test]
async fn devices_in_use_are_for_administrators() {
    let server = TestServer::start().await;
    let wanted = || value!({"deviceClassName": "c", "allocationMode": "All", "adminAccess": true});
    let template = || {
        let claim = claim("t", wanted());
        value!({"metadata": {"name": "t"}, "spec": {"spec": (claim.get("spec").clone())}})
    };
    let objects = || [("resourceclaims", claim("c", wanted())), ("resourceclaimtemplates", template())];
    let namespaced = |plural: &str| format!("{RESOURCE}/namespaces/default/{plural}");
    let why = "admin access to devices requires the `resource.kubernetes.io/admin-access: true` label on the containing namespace";
    for (plural, object) in objects() {
        let (code, reason, message) = call(&server, "POST", &namespaced(plural), &object).await.status();
        assert_eq!((code, reason.as_str()), (422, "Invalid"), "{message}");
        assert!(
            message.ends_with(&format!("spec.devices.requests[0].adminAccess: Forbidden: {why}")),
            "{message}"
        );
    }
    let label = value!({"metadata": {"labels": {"resource.kubernetes.io/admin-access": "true"}}});
    call(&server, "PATCH", "/api/v1/namespaces/default", &label).await.success();
    for (plural, object) in objects() {
        call(&server, "POST", &namespaced(plural), &object).await.success();
    }

    let plain = claim("p", value!({"deviceClassName": "c"}));
    let claims = namespaced("resourceclaims");
    let made = call(&server, "POST", &claims, &plain).await.success();
    let request = made.at("spec.devices.requests").items().next().unwrap().clone();
    assert_eq!(request.at("exactly.count").as_i64(), Some(1), "{request:?}");
    let unlabelled = value!({"metadata": {"labels": {"resource.kubernetes.io/admin-access": null}}});
    call(&server, "PATCH", "/api/v1/namespaces/default", &unlabelled).await.success();
    let status = |admin: bool| {
        let result =
            value!({"request": "r", "driver": "d", "pool": "p", "device": "x", "adminAccess": admin});
        value!({"status": {"allocation": {"devices": {"results": [result]}}}})
    };
    let path = format!("{claims}/p/status");
    let (code, _, message) = call(&server, "PATCH", &path, &status(true)).await.status();
    assert_eq!(code, 422);
    assert!(message.contains("status.allocation.devices.results[0].adminAccess: Forbidden"), "{message}");
    call(&server, "PATCH", &path, &status(false)).await.success();
}

#[tokio::test]
async fn slices_are_listed_by_node_and_driver() {
    let server = TestServer::start().await;
    let slices = format!("{RESOURCE}/resourceslices");
    for (name, node, driver) in [("a", "n", "d"), ("b", "m", "d"), ("c", "n", "e")] {
        let pool = value!({"name": name, "generation": 1, "resourceSliceCount": 1});
        let slice =
            value!({"metadata": {"name": name}, "spec": {"driver": driver, "nodeName": node, "pool": pool}});
        call(&server, "POST", &slices, &slice).await.success();
    }
    for (selector, expected) in [
        ("spec.nodeName%3Dn", vec!["a", "c"]),
        ("spec.driver%3Dd", vec!["a", "b"]),
        ("spec.driver%3Dd,spec.nodeName%3Dn", vec!["a"]),
    ] {
        let list = get(&server, &format!("{slices}?fieldSelector={selector}")).await.success();
        let names: Vec<&str> = list.get("items").items().map(|slice| slice.str_at("metadata.name")).collect();
        assert_eq!(names, expected, "{selector}");
    }
    let loud = value!({"spec": {"driver": "D"}});
    let refused = call(&server, "PATCH", &format!("{slices}/a"), &loud).await.status();
    assert!(refused.2.contains("spec.driver: Invalid value: \"D\": field is immutable"), "{refused:?}");
}

/// What of the new objects is deprecated or has no effect comes with the answers, and not again with changes of something
/// else.
#[tokio::test]
async fn answers_warn_of_what_objects_say() {
    let server = TestServer::start().await;
    let service =
        value!({"metadata": {"name": "s"}, "spec": {"ports": [{"port": 80}], "externalIPs": ["1.2.3.4"]}});
    let made = call(&server, "POST", "/api/v1/namespaces/default/services", &service).await;
    let deprecated =
        "spec.externalIPs is deprecated and may no longer be implemented in some clusters".to_owned();
    assert_eq!((made.code, told(&made)), (201, vec![deprecated]));
    let selector = value!({"beta.kubernetes.io/os": "linux"});
    let deployment = value!({"metadata": {"name": "d"}, "spec": {
        "selector": {"matchLabels": {"a": "b"}},
        "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"nodeSelector": selector, "containers": [{"name": "c", "image": "i"}]}}
    }});
    let deployments = "/apis/apps/v1/namespaces/default/deployments";
    let advice = r#"spec.template.spec.nodeSelector[beta.kubernetes.io/os]: deprecated since v1.14; use "kubernetes.io/os" instead"#;
    assert_eq!(told(&call(&server, "POST", deployments, &deployment).await), [advice]);
    let path = format!("{deployments}/d");
    let labelled = call(&server, "PATCH", &path, &value!({"metadata": {"labels": {"x": "y"}}})).await;
    assert_eq!((labelled.code, told(&labelled)), (200, Vec::<String>::new()));
    let scaled = call(&server, "PATCH", &path, &value!({"spec": {"replicas": 2}})).await;
    assert_eq!(told(&scaled), [advice]);
}
