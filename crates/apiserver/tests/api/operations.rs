//! What conformance asks of the kinds of `networking.k8s.io` and `discovery.k8s.io` as objects, whatever they mean:
//! "[sig-network] Ingress API should support creating Ingress API operations [Conformance]", and the tests of the same
//! form about IngressClass, EndpointSlice, IPAddress and ServiceCIDR. NetworkPolicy has one that is not yet in the suite.

use apiserver::testing::TestServer;
use object::{Value, value};

use crate::support::*;

/// Group, version, resource, whether it has a namespace, and three names and specs; `$` in the latter stands for a number of
/// their own.
type Case = (&'static str, &'static str, &'static str, bool, &'static str, &'static str);

#[rustfmt::skip]
const CASES: &[Case] = &[
    ("networking.k8s.io", "v1", "ingresses", true, "i$", r#"{"spec": {"defaultBackend": {"service": {"name": "s", "port": {"number": 8$}}}, "rules": [{"host": "a$.example.com", "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": {"service": {"name": "s", "port": {"name": "web"}}}}]}}]}}"#),
    ("networking.k8s.io", "v1", "ingressclasses", false, "c$", r#"{"spec": {"controller": "example.com/controller-$"}}"#),
    ("networking.k8s.io", "v1", "networkpolicies", true, "p$", r#"{"spec": {"podSelector": {"matchLabels": {"n": "$"}}, "ingress": [{"from": [{"podSelector": {}}]}]}}"#),
    ("networking.k8s.io", "v1", "servicecidrs", false, "n$", r#"{"spec": {"cidrs": ["10.20$.0.0/24", "2001:db8:$::/64"]}}"#),
    ("networking.k8s.io", "v1", "ipaddresses", false, "192.0.2.$", r#"{"spec": {"parentRef": {"resource": "services", "namespace": "default", "name": "s$"}}}"#),
    ("discovery.k8s.io", "v1", "endpointslices", true, "e$", r#"{"addressType": "IPv4", "endpoints": [{"addresses": ["10.1.2.$"]}], "ports": [{"name": "a", "port": 8$}]}"#),
];

#[tokio::test]
async fn objects_of_the_network_take_every_operation() {
    let server = TestServer::start().await;
    for case in CASES {
        exercise(&server, case).await;
    }
}

async fn exercise(server: &TestServer, (group, version, resource, namespaced, name, spec): &Case) {
    let groups = get(server, "/apis").await.success();
    assert!(groups.get("groups").items().any(|found| found.str_at("name") == *group), "{group}");
    let known = get(server, &format!("/apis/{group}/{version}")).await.success();
    let known: Vec<&Value> = known.get("resources").items().collect();
    let find = |name: &str| known.iter().find(|found| found.str_at("name") == name);
    let kind = find(resource).unwrap_or_else(|| panic!("{resource}")).str_at("kind");

    let place = if *namespaced { "/namespaces/default" } else { "" };
    let path = format!("/apis/{group}/{version}{place}/{resource}");
    let everywhere = format!("/apis/{group}/{version}/{resource}");
    let ours = "labelSelector=special%3Dyes";
    let numbered = |text: &str, number: usize| text.replace('$', &number.to_string());
    let names: Vec<String> = (1..=3).map(|number| numbered(name, number)).collect();
    let start = get(server, &path).await.success().str_at("metadata.resourceVersion").to_owned();
    let mut watch =
        Watch::open(server, &format!("{everywhere}?watch=true&resourceVersion={start}&{ours}")).await;
    for (index, name) in names.iter().enumerate() {
        let mut object = object::json::parse(numbered(spec, index + 1).as_bytes()).unwrap();
        object.set("metadata", value!({"name": name.as_str(), "labels": {"special": "yes"}}));
        let made = call(server, "POST", &path, &object).await;
        assert_eq!(made.code, 201, "{resource}: {:?}", made.bytes);
        watch.expect(&format!("ADDED {name}")).await;
    }
    let (first, item) = (&names[0], format!("{path}/{}", names[0]));
    assert_eq!(get(server, &item).await.success().str_at("kind"), kind);
    for path in [&path, &everywhere] {
        let list = get(server, &format!("{path}?{ours}")).await.success();
        assert_eq!(list.get("items").items().count(), 3, "{path}");
    }

    let patch = value!({"metadata": {"annotations": {"patched": "true"}}});
    let mut patched = call(server, "PATCH", &item, &patch).await.success();
    let seen = watch.expect(&format!("MODIFIED {first}")).await;
    assert_eq!((seen.str_at("metadata.annotations.patched"), &seen), ("true", &patched));
    patched.entry("metadata").entry("annotations").set("updated", "true");
    let updated = call(server, "PUT", &item, &patched).await.success();
    assert_eq!(watch.expect(&format!("MODIFIED {first}")).await, updated);

    if find(&format!("{resource}/status")).is_some() {
        let status = format!("{item}/status");
        let patch =
            value!({"metadata": {"annotations": {"patchedstatus": "true"}}, "status": some_status(resource)});
        let patched = call(server, "PATCH", &status, &patch).await.success();
        assert_eq!(patched.get("status"), &some_status(resource), "{resource}");
        // A few newer kinds keep all metadata from changes of the status, as upstream's do.
        let annotated = if *resource == "servicecidrs" { "" } else { "true" };
        assert_eq!(patched.str_at("metadata.annotations.patchedstatus"), annotated);
        watch.expect(&format!("MODIFIED {first}")).await;
        let mut emptied = get(server, &status).await.success();
        assert_eq!(emptied, patched);
        emptied.set("status", value!({}));
        let emptied = call(server, "PUT", &status, &emptied).await.success();
        assert_ne!(emptied.get("status"), &some_status(resource), "{resource}");
        watch.expect(&format!("MODIFIED {first}")).await;
        assert_eq!(updated.get("spec"), emptied.get("spec"), "a status changes no spec");
    }

    call(server, "DELETE", &item, &Value::Null).await.success();
    if get(server, &item).await.code == 200 {
        // Something else has to let it go first.
        let held = watch.expect(&format!("MODIFIED {first}")).await;
        assert!(!held.str_at("metadata.deletionTimestamp").is_empty());
        let free = value!({"metadata": {"finalizers": null}});
        call(server, "PATCH", &item, &free).await.success();
    }
    watch.expect(&format!("DELETED {first}")).await;
    assert_eq!(get(server, &item).await.status().1, "NotFound");
    let left = get(server, &format!("{path}?{ours}")).await.success();
    assert_eq!(left.get("items").items().count(), 2);
    call(server, "DELETE", &format!("{path}?{ours}"), &Value::Null).await.success();
    for name in &names[1..] {
        let event = watch.next().await.unwrap();
        if event.str_at("type") == "MODIFIED" {
            let free = value!({"metadata": {"finalizers": null}});
            call(server, "PATCH", &format!("{path}/{name}"), &free).await.success();
        }
    }
    let left = get(server, &format!("{path}?{ours}")).await.success();
    assert_eq!(left.get("items").items().count(), 0, "{resource}");
}

fn some_status(resource: &str) -> Value {
    match resource {
        "ingresses" => value!({"loadBalancer": {"ingress": [{"ip": "169.1.1.1"}]}}),
        "servicecidrs" => value!({"conditions": [{
            "type": "Ready", "status": "True", "reason": "Tested", "message": "m", "lastTransitionTime": "2026-01-01T00:00:00Z"
        }]}),
        _ => panic!("{resource} is not known to have a status"),
    }
}
