//! What conformance asks of many kinds as objects, whatever they mean: "[sig-network] Ingress API should support creating
//! Ingress API operations [Conformance]", and the tests of the same form about other kinds. The tables of `docs/sig-*.md`
//! name them all. NetworkPolicy has one that is not yet in the suite.

use apiserver::testing::TestServer;
use object::{Value, value};

use crate::kinds::{signing_request, trust_bundle};
use crate::support::*;

/// Group, version, resource, whether it has a namespace, and the names and texts of three objects, in which `$` stands for a
/// number of their own.
type Case<'t> = (&'static str, &'static str, &'static str, bool, &'static str, &'t str);

#[rustfmt::skip]
const NETWORK: &[Case] = &[
    ("networking.k8s.io", "v1", "ingresses", true, "i$", r#"{"spec": {"defaultBackend": {"service": {"name": "s", "port": {"number": 8$}}}, "rules": [{"host": "a$.example.com", "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": {"service": {"name": "s", "port": {"name": "web"}}}}]}}]}}"#),
    ("networking.k8s.io", "v1", "ingressclasses", false, "c$", r#"{"spec": {"controller": "example.com/controller-$"}}"#),
    ("networking.k8s.io", "v1", "networkpolicies", true, "p$", r#"{"spec": {"podSelector": {"matchLabels": {"n": "$"}}, "ingress": [{"from": [{"podSelector": {}}]}]}}"#),
    ("networking.k8s.io", "v1", "servicecidrs", false, "n$", r#"{"spec": {"cidrs": ["10.20$.0.0/24", "2001:db8:$::/64"]}}"#),
    ("networking.k8s.io", "v1", "ipaddresses", false, "192.0.2.$", r#"{"spec": {"parentRef": {"resource": "services", "namespace": "default", "name": "s$"}}}"#),
    ("discovery.k8s.io", "v1", "endpointslices", true, "e$", r#"{"addressType": "IPv4", "endpoints": [{"addresses": ["10.1.2.$"]}], "ports": [{"name": "a", "port": 8$}]}"#),
];

#[rustfmt::skip]
const STORAGE: &[Case] = &[
    ("", "v1", "persistentvolumes", false, "v$", r#"{"spec": {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "persistentVolumeReclaimPolicy": "Retain", "csi": {"driver": "d.example.com", "volumeHandle": "h$"}}}"#),
    ("", "v1", "persistentvolumeclaims", true, "c$", r#"{"spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": "s$", "resources": {"requests": {"storage": "1Gi"}}}}"#),
    ("storage.k8s.io", "v1", "csidrivers", false, "d$.example.com", r#"{"spec": {"podInfoOnMount": true}}"#),
    ("storage.k8s.io", "v1", "csinodes", false, "n$", r#"{"spec": {"drivers": [{"name": "d.example.com", "nodeID": "n$"}]}}"#),
    ("storage.k8s.io", "v1", "csistoragecapacities", true, "c$", r#"{"storageClassName": "s", "capacity": "$Gi"}"#),
    ("storage.k8s.io", "v1", "storageclasses", false, "s$", r#"{"provisioner": "example.com/p$", "reclaimPolicy": "Delete"}"#),
    ("storage.k8s.io", "v1", "volumeattachments", false, "a$", r#"{"spec": {"attacher": "d.example.com", "nodeName": "n", "source": {"persistentVolumeName": "v$"}}}"#),
    ("storage.k8s.io", "v1", "volumeattributesclasses", false, "c$", r#"{"driverName": "d.example.com", "parameters": {"iops": "$00"}}"#),
];

#[rustfmt::skip]
const WORKLOADS: &[Case] = &[
    ("apps", "v1", "controllerrevisions", true, "r$", r#"{"revision": $, "data": {"spec": {"template": {"n": "$"}}}}"#),
    ("apps", "v1", "daemonsets", true, "d$", r#"{"spec": {"selector": {"matchLabels": {"a": "$"}}, "template": {"metadata": {"labels": {"a": "$"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}}}"#),
    ("apps", "v1", "deployments", true, "d$", r#"{"spec": {"selector": {"matchLabels": {"a": "$"}}, "template": {"metadata": {"labels": {"a": "$"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}}}"#),
    ("apps", "v1", "replicasets", true, "r$", r#"{"spec": {"selector": {"matchLabels": {"a": "$"}}, "template": {"metadata": {"labels": {"a": "$"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}}}"#),
    ("apps", "v1", "statefulsets", true, "s$", r#"{"spec": {"serviceName": "s", "selector": {"matchLabels": {"a": "$"}}, "template": {"metadata": {"labels": {"a": "$"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}}}"#),
    ("batch", "v1", "cronjobs", true, "c$", r#"{"spec": {"schedule": "*/$ * * * *", "jobTemplate": {"spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}}}}}"#),
    ("batch", "v1", "jobs", true, "j$", r#"{"spec": {"suspend": true, "template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}}}"#),
    ("policy", "v1", "poddisruptionbudgets", true, "b$", r#"{"spec": {"minAvailable": $, "selector": {"matchLabels": {"a": "$"}}}}"#),
];

#[rustfmt::skip]
const NODES_AND_DEVICES: &[Case] = &[
    ("", "v1", "nodes", false, "n$", r#"{"spec": {"podCIDR": "10.42.$.0/24"}}"#),
    ("", "v1", "podtemplates", true, "t$", r#"{"template": {"metadata": {"labels": {"a": "$"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}}"#),
    ("", "v1", "configmaps", true, "m$", r#"{"data": {"a": "$"}}"#),
    ("", "v1", "secrets", true, "s$", r#"{"type": "Opaque", "data": {"a": "dmFsdWU="}}"#),
    ("coordination.k8s.io", "v1", "leases", true, "l$", r#"{"spec": {"holderIdentity": "h$", "leaseDurationSeconds": 30, "leaseTransitions": 0}}"#),
    ("node.k8s.io", "v1", "runtimeclasses", false, "c$", r#"{"handler": "h$"}"#),
    ("resource.k8s.io", "v1", "deviceclasses", false, "c$", r#"{"spec": {"selectors": [{"cel": {"expression": "device.driver == 'd$.example.com'"}}]}}"#),
    ("resource.k8s.io", "v1", "devicetaintrules", false, "r$", r#"{"spec": {"deviceSelector": {"driver": "d$.example.com"}, "taint": {"key": "example.com/k", "value": "v", "effect": "NoExecute"}}}"#),
    ("resource.k8s.io", "v1", "resourceclaims", true, "c$", r#"{"spec": {"devices": {"requests": [{"name": "r", "exactly": {"deviceClassName": "c$"}}]}}}"#),
    ("resource.k8s.io", "v1", "resourceclaimtemplates", true, "t$", r#"{"spec": {"spec": {"devices": {"requests": [{"name": "r", "exactly": {"deviceClassName": "c$"}}]}}}}"#),
    ("resource.k8s.io", "v1", "resourceslices", false, "s$", r#"{"spec": {"driver": "example.com", "nodeName": "n", "pool": {"name": "p$", "generation": 1, "resourceSliceCount": 1}, "devices": [{"name": "d$"}]}}"#),
];

#[rustfmt::skip]
const MACHINERY: &[Case] = &[
    ("", "v1", "events", true, "e$", r#"{"involvedObject": {"namespace": "default", "kind": "Pod", "name": "p$"}, "reason": "Test", "message": "$"}"#),
    ("events.k8s.io", "v1", "events", true, "f$", r#"{"eventTime": "2026-01-02T03:04:05.000006Z", "action": "a", "reason": "r", "type": "Normal", "reportingController": "example.com/c", "reportingInstance": "i", "regarding": {"namespace": "default", "kind": "Pod", "name": "p$"}}"#),
    ("", "v1", "limitranges", true, "l$", r#"{"spec": {"limits": [{"type": "Container", "max": {"cpu": "$"}}]}}"#),
    ("", "v1", "resourcequotas", true, "q$", r#"{"spec": {"hard": {"pods": "$"}}}"#),
    ("", "v1", "serviceaccounts", true, "a$", r#"{"automountServiceAccountToken": false}"#),
    ("admissionregistration.k8s.io", "v1", "mutatingadmissionpolicies", false, "p$", r#"{"spec": {"matchConstraints": {"resourceRules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}]}, "mutations": [{"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": "Object{}"}}], "reinvocationPolicy": "Never"}}"#),
    ("admissionregistration.k8s.io", "v1", "mutatingadmissionpolicybindings", false, "b$", r#"{"spec": {"policyName": "p$"}}"#),
    ("admissionregistration.k8s.io", "v1", "validatingadmissionpolicies", false, "p$", r#"{"spec": {"matchConstraints": {"resourceRules": [{"apiGroups": ["apps"], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["deployments"]}]}, "validations": [{"expression": "object.spec.replicas < $00"}]}}"#),
    ("admissionregistration.k8s.io", "v1", "validatingadmissionpolicybindings", false, "b$", r#"{"spec": {"policyName": "p$", "validationActions": ["Deny"]}}"#),
    ("admissionregistration.k8s.io", "v1", "mutatingwebhookconfigurations", false, "m$", r#"{"webhooks": [{"name": "w$.example.com", "clientConfig": {"url": "https://example.com/"}, "sideEffects": "None", "admissionReviewVersions": ["v1"]}]}"#),
    ("admissionregistration.k8s.io", "v1", "validatingwebhookconfigurations", false, "v$", r#"{"webhooks": [{"name": "w$.example.com", "clientConfig": {"url": "https://example.com/"}, "sideEffects": "None", "admissionReviewVersions": ["v1"]}]}"#),
    ("flowcontrol.apiserver.k8s.io", "v1", "flowschemas", false, "f$", r#"{"spec": {"matchingPrecedence": 10$0, "priorityLevelConfiguration": {"name": "global-default"}, "distinguisherMethod": {"type": "ByUser"}, "rules": [{"subjects": [{"kind": "User", "user": {"name": "u$"}}], "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}]}]}}"#),
    ("flowcontrol.apiserver.k8s.io", "v1", "prioritylevelconfigurations", false, "l$", r#"{"spec": {"type": "Limited", "limited": {"nominalConcurrencyShares": $, "limitResponse": {"type": "Reject"}}}}"#),
    ("scheduling.k8s.io", "v1", "priorityclasses", false, "c$", r#"{"value": $}"#),
    ("storagemigration.k8s.io", "v1", "storageversionmigrations", false, "m$", r#"{"spec": {"resource": {"group": "apps", "resource": "deployments"}}}"#),
];

#[tokio::test]
async fn objects_of_the_network_take_every_operation() {
    exercise_all(NETWORK).await;
}

#[tokio::test]
async fn objects_of_storage_take_every_operation() {
    exercise_all(STORAGE).await;
}

#[tokio::test]
async fn workloads_take_every_operation() {
    exercise_all(WORKLOADS).await;
}

#[tokio::test]
async fn objects_of_nodes_and_devices_take_every_operation() {
    exercise_all(NODES_AND_DEVICES).await;
}

#[tokio::test]
async fn objects_of_the_machinery_take_every_operation() {
    exercise_all(MACHINERY).await;
}

#[tokio::test]
async fn objects_of_signers_take_every_operation() {
    let text = |object: Value| String::from_utf8(object::json::to_vec(&object)).unwrap();
    let (request, bundle) = (text(signing_request()), text(trust_bundle()));
    exercise_all(&[
        ("certificates.k8s.io", "v1", "certificatesigningrequests", false, "r$", &request),
        ("certificates.k8s.io", "v1", "clustertrustbundles", false, "b$", &bundle),
    ])
    .await;
}

async fn exercise_all(cases: &[Case<'_>]) {
    let server = TestServer::start().await;
    for case in cases {
        exercise(&server, case).await;
    }
}

async fn exercise(server: &TestServer, (group, version, resource, namespaced, name, text): &Case<'_>) {
    let root = if group.is_empty() { "/api".to_owned() } else { format!("/apis/{group}") };
    if !group.is_empty() {
        let groups = get(server, "/apis").await.success();
        assert!(groups.get("groups").items().any(|found| found.str_at("name") == *group), "{group}");
        let alone = get(server, &root).await.success();
        assert!(alone.get("versions").items().any(|found| found.str_at("version") == *version), "{group}");
    }
    let known = get(server, &format!("{root}/{version}")).await.success();
    let known: Vec<&Value> = known.get("resources").items().collect();
    let find = |name: &str| known.iter().find(|found| found.str_at("name") == name);
    let kind = find(resource).unwrap_or_else(|| panic!("{resource}")).str_at("kind");

    let place = if *namespaced { "/namespaces/default" } else { "" };
    let path = format!("{root}/{version}{place}/{resource}");
    let everywhere = format!("{root}/{version}/{resource}");
    let ours = "labelSelector=special%3Dyes";
    let numbered = |text: &str, number: usize| text.replace('$', &number.to_string());
    let names: Vec<String> = (1..=3).map(|number| numbered(name, number)).collect();
    let start = get(server, &path).await.success().str_at("metadata.resourceVersion").to_owned();
    let mut watch =
        Watch::open(server, &format!("{everywhere}?watch=true&resourceVersion={start}&{ours}")).await;
    for (index, name) in names.iter().enumerate() {
        let mut object = object::json::parse(numbered(text, index + 1).as_bytes()).unwrap();
        object.set("metadata", value!({"name": name.as_str(), "labels": {"special": "yes"}}));
        let made = call(server, "POST", &path, &object).await;
        assert_eq!(made.code, 201, "{resource}: {:?}", made.bytes);
        let read = get(server, &format!("{path}/{name}")).await.success();
        assert!(holds(&read, &object), "{resource}: {read:?}");
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
        assert!(holds(patched.get("status"), &some_status(resource)), "{resource}: {patched:?}");
        // The newer kinds keep all metadata from changes of the status, as upstream's do.
        let annotated = if METADATA_IS_NOT_STATUS.contains(resource) { "" } else { "true" };
        assert_eq!(patched.str_at("metadata.annotations.patchedstatus"), annotated, "{resource}");
        watch.expect(&format!("MODIFIED {first}")).await;
        let mut emptied = get(server, &status).await.success();
        assert_eq!(emptied, patched);
        emptied.set("status", lesser_status(resource));
        let emptied = call(server, "PUT", &status, &emptied).await.success();
        assert!(!holds(emptied.get("status"), &some_status(resource)), "{resource}: {emptied:?}");
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

/// The kinds whose status is changed without their metadata.
const METADATA_IS_NOT_STATUS: &[&str] = &[
    "devicetaintrules",
    "flowschemas",
    "prioritylevelconfigurations",
    "resourceclaims",
    "servicecidrs",
    "storageversionmigrations",
    "validatingadmissionpolicies",
    "volumeattachments",
];

/// Whether a value has all that another one has.
fn holds(found: &Value, wanted: &Value) -> bool {
    match wanted {
        Value::Map(map) => map.iter().all(|(key, wanted)| holds(found.get(key), wanted)),
        Value::List(list) => {
            found.items().count() == list.len()
                && found.items().zip(list.iter()).all(|(found, wanted)| holds(found, wanted))
        }
        wanted => found == wanted,
    }
}

fn some_status(resource: &str) -> Value {
    match resource {
        "ingresses" => value!({"loadBalancer": {"ingress": [{"ip": "169.1.1.1"}]}}),
        "persistentvolumes" => value!({"message": "StatusPatched", "reason": "E2E"}),
        "volumeattachments" => value!({"attached": true}),
        "storageversionmigrations" => value!({"resourceVersion": "1", "conditions": [condition(resource)]}),
        "cronjobs" => value!({"lastScheduleTime": "2026-01-01T00:00:00Z"}),
        "poddisruptionbudgets" => value!({"disruptionsAllowed": 1i64, "currentHealthy": 2i64}),
        "resourcequotas" => value!({"hard": {"pods": "9"}, "used": {"pods": "1"}}),
        "mutatingadmissionpolicies" | "validatingadmissionpolicies" => value!({"observedGeneration": 1i64}),
        "resourceclaims" => {
            value!({"allocation": {"devices": {"results": [{"request": "r", "driver": "example.com", "pool": "p", "device": "d"}]}}})
        }
        _ => value!({"conditions": [condition(resource)]}),
    }
}

/// What remains of the status: nothing, except where something must.
fn lesser_status(resource: &str) -> Value {
    match resource {
        "storageversionmigrations" => value!({"resourceVersion": "1"}),
        _ => value!({}),
    }
}

fn condition(resource: &str) -> Value {
    value!({
        "type": (condition_type(resource)), "status": "True", "reason": "Tested", "message": "m",
        "lastTransitionTime": "2026-01-01T00:00:00Z"
    })
}

/// A condition that others than the kind's own controller may set.
fn condition_type(resource: &str) -> &'static str {
    match resource {
        "persistentvolumeclaims" => "StatusPatched",
        "storageversionmigrations" => "Running",
        _ => "Ready",
    }
}
