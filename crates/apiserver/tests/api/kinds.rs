//! Every resource can be created, read, listed, watched and deleted on the same path.

use std::collections::BTreeSet;

use apiserver::registry::api_version;
use apiserver::testing::TestServer;
use base64::Engine;
use object::Value;
use schema::{ResourceDef, Scope, Verb};

use crate::support::*;

/// The smallest valid object of each kind; after `|` is the group if two kinds have the same name.
#[rustfmt::skip]
const MINIMAL: &[(&str, &str)] = &[
    ("configmaps", r#"{"metadata":{"name":"x"}}"#),
    ("endpoints", r#"{"metadata":{"name":"x"}}"#),
    ("events|", r#"{"metadata":{"name":"x"},"involvedObject":{"namespace":"default","kind":"Pod","name":"p"}}"#),
    ("events|events.k8s.io", r#"{"metadata":{"name":"y"},"eventTime":"2026-01-02T03:04:05.000006Z","action":"a","reason":"r","type":"Normal","reportingController":"example.com/c","reportingInstance":"i","regarding":{"namespace":"default","kind":"Pod","name":"p"}}"#),
    ("limitranges", r#"{"metadata":{"name":"x"},"spec":{"limits":[{"type":"Container","max":{"cpu":"1"}}]}}"#),
    ("namespaces", r#"{"metadata":{"name":"x"}}"#),
    ("nodes", r#"{"metadata":{"name":"x"}}"#),
    ("persistentvolumeclaims", r#"{"metadata":{"name":"x"},"spec":{"accessModes":["ReadWriteOnce"],"resources":{"requests":{"storage":"1Gi"}}}}"#),
    ("persistentvolumes", r#"{"metadata":{"name":"x"},"spec":{"capacity":{"storage":"1Gi"},"accessModes":["ReadWriteOnce"],"hostPath":{"path":"/a"}}}"#),
    ("pods", r#"{"metadata":{"name":"x"},"spec":{"containers":[{"name":"c","image":"i"}]}}"#),
    ("podtemplates", r#"{"metadata":{"name":"x"},"template":{"metadata":{"labels":{"a":"b"}},"spec":{"containers":[{"name":"c","image":"i"}]}}}"#),
    ("replicationcontrollers", r#"{"metadata":{"name":"x"},"spec":{"selector":{"a":"b"},"template":{"metadata":{"labels":{"a":"b"}},"spec":{"containers":[{"name":"c","image":"i"}]}}}}"#),
    ("resourcequotas", r#"{"metadata":{"name":"x"},"spec":{"hard":{"pods":"1"}}}"#),
    ("secrets", r#"{"metadata":{"name":"x"}}"#),
    ("serviceaccounts", r#"{"metadata":{"name":"x"}}"#),
    ("services", r#"{"metadata":{"name":"x"},"spec":{"ports":[{"port":80}]}}"#),
    ("mutatingadmissionpolicies", r#"{"metadata":{"name":"x"},"spec":{"matchConstraints":{"resourceRules":[{"apiGroups":[""],"apiVersions":["v1"],"operations":["CREATE"],"resources":["pods"]}]},"mutations":[{"patchType":"ApplyConfiguration","applyConfiguration":{"expression":"Object{}"}}],"reinvocationPolicy":"Never"}}"#),
    ("mutatingadmissionpolicybindings", r#"{"metadata":{"name":"x"},"spec":{"policyName":"x"}}"#),
    ("mutatingwebhookconfigurations", r#"{"metadata":{"name":"x"}}"#),
    ("validatingadmissionpolicies", r#"{"metadata":{"name":"x"},"spec":{"matchConstraints":{"resourceRules":[{"apiGroups":[""],"apiVersions":["v1"],"operations":["CREATE"],"resources":["pods"]}]},"validations":[{"expression":"true"}]}}"#),
    ("validatingadmissionpolicybindings", r#"{"metadata":{"name":"x"},"spec":{"policyName":"x","validationActions":["Deny"]}}"#),
    ("validatingwebhookconfigurations", r#"{"metadata":{"name":"x"}}"#),
    ("apiservices", r#"{"metadata":{"name":"v1.example.com"},"spec":{"group":"example.com","version":"v1","groupPriorityMinimum":10,"versionPriority":10,"insecureSkipTLSVerify":true,"service":{"namespace":"default","name":"s"}}}"#),
    ("controllerrevisions", r#"{"metadata":{"name":"x"},"revision":1,"data":{"a":"b"}}"#),
    ("daemonsets", r#"{"metadata":{"name":"x"},"spec":{"selector":{"matchLabels":{"a":"b"}},"template":{"metadata":{"labels":{"a":"b"}},"spec":{"containers":[{"name":"c","image":"i"}]}}}}"#),
    ("deployments", r#"{"metadata":{"name":"x"},"spec":{"selector":{"matchLabels":{"a":"b"}},"template":{"metadata":{"labels":{"a":"b"}},"spec":{"containers":[{"name":"c","image":"i"}]}}}}"#),
    ("replicasets", r#"{"metadata":{"name":"x"},"spec":{"selector":{"matchLabels":{"a":"b"}},"template":{"metadata":{"labels":{"a":"b"}},"spec":{"containers":[{"name":"c","image":"i"}]}}}}"#),
    ("statefulsets", r#"{"metadata":{"name":"x"},"spec":{"serviceName":"s","selector":{"matchLabels":{"a":"b"}},"template":{"metadata":{"labels":{"a":"b"}},"spec":{"containers":[{"name":"c","image":"i"}]}}}}"#),
    ("horizontalpodautoscalers", r#"{"metadata":{"name":"x"},"spec":{"maxReplicas":2,"scaleTargetRef":{"apiVersion":"apps/v1","kind":"Deployment","name":"d"}}}"#),
    ("cronjobs", r#"{"metadata":{"name":"x"},"spec":{"schedule":"* * * * *","jobTemplate":{"spec":{"template":{"metadata":{"labels":{"a":"b"}},"spec":{"restartPolicy":"Never","containers":[{"name":"c","image":"i"}]}}}}}}"#),
    ("jobs", r#"{"metadata":{"name":"x"},"spec":{"template":{"metadata":{"labels":{"a":"b"}},"spec":{"restartPolicy":"Never","containers":[{"name":"c","image":"i"}]}}}}"#),
    ("leases", r#"{"metadata":{"name":"x"}}"#),
    ("endpointslices", r#"{"metadata":{"name":"x"},"addressType":"IPv4","endpoints":[{"addresses":["10.0.0.1"]}]}"#),
    ("flowschemas", r#"{"metadata":{"name":"x"},"spec":{"matchingPrecedence":500,"priorityLevelConfiguration":{"name":"p"}}}"#),
    ("prioritylevelconfigurations", r#"{"metadata":{"name":"x"},"spec":{"type":"Limited","limited":{"nominalConcurrencyShares":1,"limitResponse":{"type":"Reject"}}}}"#),
    ("ingressclasses", r#"{"metadata":{"name":"x"},"spec":{"controller":"example.com/c"}}"#),
    ("ingresses", r#"{"metadata":{"name":"x"},"spec":{"defaultBackend":{"service":{"name":"s","port":{"number":80}}}}}"#),
    ("ipaddresses", r#"{"metadata":{"name":"10.43.9.9"},"spec":{"parentRef":{"resource":"services","namespace":"default","name":"s"}}}"#),
    ("networkpolicies", r#"{"metadata":{"name":"x"},"spec":{"podSelector":{}}}"#),
    ("servicecidrs", r#"{"metadata":{"name":"x"},"spec":{"cidrs":["10.99.0.0/24"]}}"#),
    ("runtimeclasses", r#"{"metadata":{"name":"x"},"handler":"h"}"#),
    ("poddisruptionbudgets", r#"{"metadata":{"name":"x"},"spec":{"minAvailable":1,"selector":{"matchLabels":{"a":"b"}}}}"#),
    ("clusterrolebindings", r#"{"metadata":{"name":"x"},"roleRef":{"apiGroup":"rbac.authorization.k8s.io","kind":"ClusterRole","name":"view"}}"#),
    ("clusterroles", r#"{"metadata":{"name":"x"},"rules":[]}"#),
    ("rolebindings", r#"{"metadata":{"name":"x"},"roleRef":{"apiGroup":"rbac.authorization.k8s.io","kind":"ClusterRole","name":"view"}}"#),
    ("roles", r#"{"metadata":{"name":"x"},"rules":[]}"#),
    ("deviceclasses", r#"{"metadata":{"name":"x"},"spec":{}}"#),
    ("devicetaintrules", r#"{"metadata":{"name":"x"},"spec":{"taint":{"key":"example.com/k","effect":"NoSchedule"}}}"#),
    ("resourceclaims", r#"{"metadata":{"name":"x"},"spec":{"devices":{"requests":[{"name":"r","exactly":{"deviceClassName":"c"}}]}}}"#),
    ("resourceclaimtemplates", r#"{"metadata":{"name":"x"},"spec":{"spec":{"devices":{"requests":[{"name":"r","exactly":{"deviceClassName":"c"}}]}}}}"#),
    ("resourceslices", r#"{"metadata":{"name":"x"},"spec":{"driver":"example.com","nodeName":"n","pool":{"name":"p","generation":1,"resourceSliceCount":1}}}"#),
    ("priorityclasses", r#"{"metadata":{"name":"x"},"value":5}"#),
    ("csidrivers", r#"{"metadata":{"name":"x"},"spec":{}}"#),
    ("csinodes", r#"{"metadata":{"name":"x"},"spec":{"drivers":[]}}"#),
    ("csistoragecapacities", r#"{"metadata":{"name":"x"},"storageClassName":"s"}"#),
    ("storageclasses", r#"{"metadata":{"name":"x"},"provisioner":"example.com/p"}"#),
    ("volumeattachments", r#"{"metadata":{"name":"x"},"spec":{"attacher":"example.com","nodeName":"n","source":{"persistentVolumeName":"v"}}}"#),
    ("volumeattributesclasses", r#"{"metadata":{"name":"x"},"driverName":"example.com","parameters":{"a":"b"}}"#),
    ("storageversionmigrations", r#"{"metadata":{"name":"x"},"spec":{"resource":{"group":"apps","resource":"deployments"}}}"#),
];

/// How many resources have objects with keys or signatures, which no table can hold; they are made below.
const SIGNED: usize = 3;

/// The server itself writes to these at once, which `definitions` tests.
const OWN: &str = "customresourcedefinitions";

fn minimal(def: &ResourceDef) -> Option<Value> {
    match &*def.plural {
        "certificatesigningrequests" => return Some(signing_request()),
        "clustertrustbundles" => return Some(trust_bundle()),
        "podcertificaterequests" => return Some(pod_certificate_request("x")),
        _ => {}
    }
    let with_group = format!("{}|{}", def.plural, def.group);
    let (_, text) = MINIMAL.iter().find(|(name, _)| *name == def.plural || *name == with_group)?;
    Some(object::json::parse(text.as_bytes()).unwrap())
}

/// A request for a certificate, signed with a key of its own.
pub fn signing_request() -> Value {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut parameters = rcgen::CertificateParams::default();
    parameters.distinguished_name.push(rcgen::DnType::CommonName, "jane");
    let request = parameters.serialize_request(&key).unwrap().pem().unwrap();
    let request = base64::engine::general_purpose::STANDARD.encode(request);
    object::value!({
        "metadata": {"name": "x"},
        "spec": {"request": request, "signerName": "kubernetes.io/kube-apiserver-client", "usages": ["client auth"]}
    })
}

/// A pod's request for a certificate.
pub fn pod_certificate_request(name: &str) -> Value {
    let key = rcgen::KeyPair::generate().unwrap();
    let stub = rcgen::CertificateParams::default().serialize_request(&key).unwrap();
    let stub = base64::engine::general_purpose::STANDARD.encode(stub.der());
    object::value!({"metadata": {"name": name}, "spec": {
        "signerName": "example.com/s", "podName": "p", "podUID": "1", "serviceAccountName": "default",
        "serviceAccountUID": "2", "nodeName": "n", "nodeUID": "3", "stubPKCS10Request": stub
    }})
}

/// A bundle of one certificate.
pub fn trust_bundle() -> Value {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut parameters = rcgen::CertificateParams::default();
    parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let bundle = parameters.self_signed(&key).unwrap().pem();
    object::value!({"metadata": {"name": "x"}, "spec": {"trustBundle": bundle}})
}

pub fn collection(def: &ResourceDef) -> String {
    let prefix = if def.group.is_empty() { "/api" } else { "/apis" };
    let place = if def.scope == Scope::Namespaced { "/namespaces/default" } else { "" };
    format!("{prefix}/{}{place}/{}", api_version(&def.group, &def.version), def.plural)
}

#[tokio::test]
async fn every_resource_is_served() {
    let server = server_for_pods().await;
    let mut wrong = Vec::new();
    let mut done = BTreeSet::new();
    for def in schema::resources().iter().filter(|def| def.supports(Verb::Create) && def.supports(Verb::List))
    {
        let Some(object) = minimal(def) else {
            if def.plural != OWN {
                wrong.push(format!("{} has no example", def.plural));
            }
            continue;
        };
        match exercise(&server, def, &object).await {
            Ok(()) => {
                done.insert(&def.plural);
            }
            Err(error) => wrong.push(format!("{} of {}: {error}", def.plural, def.group)),
        }
    }
    assert!(wrong.is_empty(), "{}:\n{}", wrong.len(), wrong.join("\n"));
    assert_eq!(done.len(), MINIMAL.len() - 1 + SIGNED, "each example was used (events by two groups)");
}

/// Whether an object shows everything that Go writes although it is empty.
fn is_whole(def: &ResourceDef, object: &Value) -> Result<(), String> {
    let decoded = object::decode::decode_value(object.clone(), &def.ty).map_err(|error| error.to_string())?;
    let text = |object: &Value| String::from_utf8_lossy(&object::json::to_vec(object)).into_owned();
    if decoded.value == *object {
        Ok(())
    } else {
        Err(format!("{} is {}", text(object), text(&decoded.value)))
    }
}

/// Makes, reads, lists, watches, replaces, patches and deletes an object.
async fn exercise(server: &TestServer, def: &ResourceDef, object: &Value) -> Result<(), String> {
    let path = collection(def);
    let say = |what: &str, reply: &Reply| {
        format!("{what}: {} {}", reply.code, String::from_utf8_lossy(&reply.bytes))
    };
    let made = call(server, "POST", &path, object).await;
    if made.code != 201 {
        return Err(say("create", &made));
    }
    let made = made.json();
    let name = made.str_at("metadata.name").to_owned();
    let item = format!("{path}/{name}");
    if made.str_at("kind") != def.kind || made.str_at("apiVersion") != api_version(&def.group, &def.version) {
        return Err(format!("it is a {} of {}", made.str_at("kind"), made.str_at("apiVersion")));
    }
    let read = get(server, &item).await;
    if read.code != 200 || read.json() != made {
        return Err(say("get", &read));
    }
    is_whole(def, &made).map_err(|what| format!("created: {what}"))?;
    let list = get(server, &format!("{path}?fieldSelector=metadata.name%3D{name}")).await;
    if list.code != 200 || list.json().str_at("kind") != def.list_kind {
        return Err(say("list", &list));
    }
    if list.json().get("items").items().count() != 1 {
        return Err(say("the list lacks it", &list));
    }
    let mut watch =
        Watch::open(server, &format!("{path}?watch=true&fieldSelector=metadata.name%3D{name}")).await;
    watch.expect(&format!("ADDED {name}")).await;
    let replaced = call(server, "PUT", &item, &made).await;
    if replaced.code != 200 {
        return Err(say("update", &replaced));
    }
    let label = object::value!({"metadata": {"labels": {"touched": "yes"}}});
    let patched = call(server, "PATCH", &item, &label).await;
    if patched.code != 200 || patched.json().str_at("metadata.labels.touched") != "yes" {
        return Err(say("patch", &patched));
    }
    is_whole(def, &patched.json()).map_err(|what| format!("patched: {what}"))?;
    watch.expect(&format!("MODIFIED {name}")).await;
    let table = [("accept", "application/json;as=Table;v=v1;g=meta.k8s.io")];
    let rows = send(server, Some(&apiserver::testing::admin()), "GET", &item, &table, "").await;
    let row = rows.json();
    let cells = row.get("rows").items().next().map_or(0, |row| row.get("cells").items().count());
    if rows.code != 200 || cells == 0 || cells != row.get("columnDefinitions").items().count() {
        return Err(say("table", &rows));
    }
    let protobuf = [("accept", "application/vnd.kubernetes.protobuf")];
    let encoded = send(server, Some(&apiserver::testing::admin()), "GET", &item, &protobuf, "").await;
    if encoded.code != 200 || !encoded.bytes.starts_with(b"k8s\0") {
        return Err(say("protobuf", &encoded));
    }
    let deleted = call(server, "DELETE", &format!("{item}?gracePeriodSeconds=0"), &Value::Null).await;
    if deleted.code != 200 {
        return Err(say("delete", &deleted));
    }
    Ok(())
}

#[tokio::test]
async fn what_discovery_tells_is_so() {
    let server = TestServer::start().await;
    for def in schema::resources() {
        let path = collection(def);
        let listed = get(&server, &path).await.code;
        assert_eq!(listed == 200, def.supports(Verb::List), "list {path}: {listed}");
        if def.supports(Verb::Get) {
            let (code, reason, _) = get(&server, &format!("{path}/none")).await.status();
            assert_eq!((code, reason.as_str()), (404, "NotFound"), "{path}");
        }
        if def.supports(Verb::DeleteCollection) && def.scope == Scope::Namespaced {
            let code = call(&server, "DELETE", &path, &Value::Null).await.code;
            assert_eq!(code, 200, "deletecollection {path}");
        }
    }
}
