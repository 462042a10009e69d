//! Every way to write passes every stage, in one order, once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use async_trait::async_trait;
use clock::Clock;
use object::{Status, Value, value};
use parking_lot::Mutex;
use schema::{GroupResource, Verb};

use super::{Passage, Stage, StageObserver};
use crate::Extensions;
use crate::admission::{Attributes, Plugin, Writer};
use crate::registry::access::Server;
use crate::registry::hooks::{Hook, Pending};
use crate::registry::write::WriteRequest;
use crate::testing::{TestServer, admin};

mod undo;

/// Records the stages of each write, and the plugin's and the hook's calls within them.
#[derive(Clone, Default)]
struct Recorder(Arc<Mutex<BTreeMap<String, Vec<String>>>>);

impl Recorder {
    fn add(&self, operation: &str, resource: GroupResource<'_>, subresource: &str, event: String) {
        let part = if subresource.is_empty() { String::new() } else { format!("/{subresource}") };
        let write = format!("{operation} {}{part}", resource.plural);
        self.0.lock().entry(write).or_default().push(event);
    }

    fn take(&self) -> BTreeMap<String, Vec<String>> {
        std::mem::take(&mut self.0.lock())
    }
}

impl StageObserver for Recorder {
    fn passes(&self, passage: &Passage<'_>) {
        let stage = format!("{:?}", passage.stage);
        self.add(passage.operation.name(), passage.resource, passage.subresource, stage);
    }
}

#[async_trait]
impl Plugin for Recorder {
    fn name(&self) -> &'static str {
        "Recorder"
    }

    async fn admit(&self, what: &Attributes<'_>, _object: &mut Value, _old: &Value) -> Result<(), Status> {
        assert!(!what.uid.is_empty());
        self.add(what.operation.name(), what.group_resource(), what.subresource, "plugin admits".into());
        Ok(())
    }

    async fn validate(&self, what: &Attributes<'_>, _object: &Value, _old: &Value) -> Result<(), Status> {
        self.add(what.operation.name(), what.group_resource(), what.subresource, "plugin validates".into());
        Ok(())
    }
}

/// The work that the recorder, as a hook, has begun.
struct Begun(Recorder, String);

#[async_trait]
impl Pending for Begun {
    async fn commit(self: Box<Self>, _server: &Server<'_>) {
        self.0.0.lock().entry(self.1).or_default().push("hook commits".into());
    }

    async fn undo(self: Box<Self>, _server: &Server<'_>) {
        self.0.0.lock().entry(self.1).or_default().push("hook undoes".into());
    }
}

#[async_trait]
impl Hook for Recorder {
    fn concerns(&self, _resource: GroupResource<'_>) -> bool {
        true
    }

    async fn begin(
        &self,
        write: &mut WriteRequest<'_>,
        _server: &Server<'_>,
    ) -> Result<Option<Box<dyn Pending>>, Status> {
        let (operation, subresource) = (write.operation.name(), write.call.subresource);
        self.add(operation, write.resource(), subresource, "hook begins".into());
        let part = if subresource.is_empty() { String::new() } else { format!("/{subresource}") };
        let key = format!("{operation} {}{part}", write.resource().plural);
        Ok(Some(Box::new(Begun(self.clone(), key))))
    }
}

async fn recorded() -> (TestServer, Recorder) {
    let recorder = Recorder::default();
    let server = TestServer::with(Extensions {
        plugins: vec![Arc::new(recorder.clone())],
        observer: Some(Arc::new(recorder.clone())),
        hooks: vec![Arc::new(recorder.clone())],
        ..Extensions::default()
    });
    (server.await, recorder)
}

/// The stages of a write that ends in this stage. `orders` are writes that store no object.
fn passage(end: Stage, order: bool) -> Vec<String> {
    let hook = |event: &str| (!order).then(|| event.to_owned());
    let stage = |stage: Stage| Some(format!("{stage:?}"));
    let plugin = |event: &str| Some(event.to_owned());
    let last = if end == Stage::Commit { "hook commits" } else { "hook undoes" };
    let all = [
        stage(Stage::Arrival),
        stage(Stage::Rights),
        stage(Stage::ManagedFields),
        stage(Stage::Mutation),
        plugin("plugin admits"),
        stage(Stage::Strategy),
        stage(Stage::Hooks),
        hook("hook begins"),
        stage(Stage::Guards),
        stage(Stage::Validation),
        stage(Stage::ValidatingAdmission),
        plugin("plugin validates"),
        stage(Stage::Store),
        stage(end),
        hook(last),
    ];
    all.into_iter().flatten().collect()
}

/// A request, and the writes that come of it.
struct Case {
    method: &'static str,
    path: &'static str,
    form: &'static str,
    body: Value,
    writes: &'static [&'static str],
}

fn case(method: &'static str, path: &'static str, body: Value, writes: &'static [&'static str]) -> Case {
    let form = if method == "PATCH" { "application/merge-patch+json" } else { "application/json" };
    Case { method, path, form, body, writes }
}

const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const MAP: &str = "/api/v1/namespaces/default/configmaps/m";
const LEASE: &str = "/apis/coordination.k8s.io/v1/namespaces/default/leases/l";
const DEPLOYMENT: &str = "/apis/apps/v1/namespaces/default/deployments/d";
const REQUEST: &str = "/apis/certificates.k8s.io/v1/certificatesigningrequests/c/approval";
const RESIZE: &str = "/api/v1/namespaces/default/pods/p/resize";
const EPHEMERAL: &str = "/api/v1/namespaces/default/pods/p/ephemeralcontainers";

/// All ways, in an order in which each finds its prerequisites.
fn cases() -> Vec<Case> {
    let named = |name: &str| value!({"metadata": {"name": name}});
    let data = || value!({"metadata": {"name": "m"}, "data": {"a": "b"}});
    let json_patch = value!([{"op": "add", "path": "/data", "value": {"c": "d"}}]);
    let replicas = |replicas: i64| value!({"metadata": {"name": "d"}, "spec": {"replicas": replicas}});
    let ready = |n: i64| value!({"metadata": {"name": "d"}, "status": {"replicas": n}});
    let binding = |pod: &str| value!({"metadata": {"name": pod}, "target": {"kind": "Node", "name": "n"}});
    let resized = |cpu: &str| {
        let limits = value!({"cpu": cpu, "memory": "1Mi"});
        let container =
            value!({"name": "c", "image": "i", "resources": {"limits": limits.clone(), "requests": limits}});
        value!({"metadata": {"name": "p"}, "spec": {"containers": [container]}})
    };
    let debugged = |names: &[&str]| {
        let containers: Vec<Value> = names
            .iter()
            .map(|name| {
                value!({
                    "name": *name, "image": "i", "imagePullPolicy": "Always", "terminationMessagePath": "/dev/termination-log",
                    "terminationMessagePolicy": "File"
                })
            })
            .collect();
        value!({"metadata": {"name": "p"}, "spec": {"ephemeralContainers": containers}})
    };
    let approved = |kind: &str| value!({"metadata": {"name": "c"}, "status": {"conditions": [{"type": kind, "status": "True", "reason": "r"}]}});
    let attributes = || value!({"verb": "get", "resource": "pods", "namespace": "default"});
    let mut cases = vec![
        case("POST", MAPS, named("m"), &["CREATE configmaps"]),
        case("POST", MAPS, value!({"metadata": {"generateName": "g-"}}), &["CREATE configmaps"]),
        case("PUT", MAP, data(), &["UPDATE configmaps"]),
        case("PUT", LEASE, named("l"), &["CREATE leases"]),
        case("PATCH", MAP, value!({"data": {"a": "c"}}), &["UPDATE configmaps"]),
        Case {
            form: "application/json-patch+json",
            ..case("PATCH", MAP, json_patch, &["UPDATE configmaps"])
        },
        Case {
            form: "application/strategic-merge-patch+json",
            ..case("PATCH", MAP, value!({"data": {"e": "f"}}), &["UPDATE configmaps"])
        },
        case("PATCH", concat_path(DEPLOYMENT, "/status"), ready(1), &["UPDATE deployments/status"]),
        case("PUT", concat_path(DEPLOYMENT, "/status"), ready(2), &["UPDATE deployments/status"]),
        case("PATCH", concat_path(DEPLOYMENT, "/scale"), replicas(3), &["UPDATE deployments/scale"]),
        case("PUT", concat_path(DEPLOYMENT, "/scale"), replicas(4), &["UPDATE deployments/scale"]),
        case("PATCH", REQUEST, approved("Approved"), &["UPDATE certificatesigningrequests/approval"]),
        case("PUT", REQUEST, approved("Approved"), &["UPDATE certificatesigningrequests/approval"]),
        case("PUT", "/api/v1/namespaces/other/finalize", named("other"), &["UPDATE namespaces/finalize"]),
        case("PATCH", EPHEMERAL, debugged(&["e"]), &["UPDATE pods/ephemeralcontainers"]),
        case("PUT", EPHEMERAL, debugged(&["e", "f"]), &["UPDATE pods/ephemeralcontainers"]),
        case("POST", "/api/v1/namespaces/default/bindings", binding("q"), &["CREATE pods/binding"]),
        case("POST", "/api/v1/namespaces/default/pods/p/binding", binding("p"), &["CREATE pods/binding"]),
        case("PATCH", RESIZE, resized("2"), &["UPDATE pods/resize"]),
        case("PUT", RESIZE, resized("3"), &["UPDATE pods/resize"]),
        case(
            "POST",
            "/api/v1/namespaces/default/services",
            value!({"metadata": {"name": "s"}, "spec": {"ports": [{"port": 80i64}]}}),
            &["CREATE services", "CREATE ipaddresses"],
        ),
        case(
            "POST",
            "/api/v1/namespaces/default/pods/p/eviction",
            named("p"),
            &["CREATE pods/eviction", SHOWS_EVICTION, "DELETE pods"],
        ),
        case(
            "POST",
            "/api/v1/namespaces/default/serviceaccounts/default/token",
            value!({}),
            &["CREATE serviceaccounts/token"],
        ),
        case("DELETE", MAP, Value::Null, &["DELETE configmaps"]),
        case("DELETE", concat_path(LEASE, ""), Value::Null, &["DELETE leases"]),
        case("DELETE", "/api/v1/namespaces/default/pods", Value::Null, &["DELETE pods"]),
    ];
    let spec = || value!({"spec": {"user": "u", "resourceAttributes": attributes()}});
    cases.extend([
        case(
            "POST",
            "/apis/authentication.k8s.io/v1/selfsubjectreviews",
            value!({}),
            &["CREATE selfsubjectreviews"],
        ),
        case(
            "POST",
            "/apis/authentication.k8s.io/v1/tokenreviews",
            value!({"spec": {"token": "t"}}),
            &["CREATE tokenreviews"],
        ),
        case(
            "POST",
            "/apis/authorization.k8s.io/v1/subjectaccessreviews",
            spec(),
            &["CREATE subjectaccessreviews"],
        ),
        case(
            "POST",
            "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
            spec(),
            &["CREATE selfsubjectaccessreviews"],
        ),
        case(
            "POST",
            "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews",
            value!({"spec": {"namespace": "default"}}),
            &["CREATE selfsubjectrulesreviews"],
        ),
        case(
            "POST",
            "/apis/authorization.k8s.io/v1/namespaces/default/localsubjectaccessreviews",
            spec(),
            &["CREATE localsubjectaccessreviews"],
        ),
    ]);
    cases
}

fn concat_path(path: &str, part: &str) -> &'static str {
    Box::leak(format!("{path}{part}").into_boxed_str())
}

/// The object that the cases change.
async fn prepare(server: &TestServer) {
    let named = |name: &str| value!({"metadata": {"name": name}});
    server.create("", "serviceaccounts", "default", named("default")).await.unwrap();
    server.create("", "namespaces", "", named("other")).await.unwrap();
    let mut node = named("n");
    node.entry("metadata").set("labels", value!({"kubernetes.io/os": "linux"}));
    node.set(
        "status",
        value!({
            "allocatable": {"cpu": "8", "memory": "1Gi"}, "declaredFeatures": ["GuaranteedQoSPodCPUResize"]
        }),
    );
    server.create("", "nodes", "", node).await.unwrap();
    for name in ["p", "q"] {
        let limits = value!({"cpu": "1", "memory": "1Mi"});
        let pod = value!({"metadata": {"name": name}, "spec": {
            "automountServiceAccountToken": false,
            "containers": [{"name": "c", "image": "i", "resources": {"limits": limits.clone(), "requests": limits}}]
        }});
        server.create("", "pods", "default", pod).await.unwrap();
    }
    let deployment = value!({"metadata": {"name": "d"}, "spec": {
        "selector": {"matchLabels": {"a": "b"}},
        "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    }});
    server.create("apps", "deployments", "default", deployment).await.unwrap();
    let key = rcgen::KeyPair::generate().unwrap();
    let pem = rcgen::CertificateParams::default().serialize_request(&key).unwrap().pem().unwrap();
    let pem = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, pem);
    let request = value!({"metadata": {"name": "c"}, "spec": {
        "request": pem, "signerName": "example.com/s", "usages": ["client auth"]
    }});
    server.create("certificates.k8s.io", "certificatesigningrequests", "", request).await.unwrap();
}

/// An eviction shows on the pod before that is deleted.
const SHOWS_EVICTION: &str = "UPDATE pods/status";

#[tokio::test]
async fn every_way_passes_every_stage_once() {
    let (server, recorder) = recorded().await;
    prepare(&server).await;
    recorder.take();
    let mut tried = BTreeSet::new();
    for Case { method, path, form, body, writes } in cases() {
        let body = if body.is_null() { Vec::new() } else { object::json::to_vec(&body) };
        for (query, end) in [("?dryRun=All", Stage::Undo), ("", Stage::Commit)] {
            let what = format!("{method} {path}{query} ({form})");
            let before = revision(&server).await;
            let result =
                server.request(&admin(), method, &format!("{path}{query}"), form, body.clone()).await;
            assert!(result.is_ok(), "{what}: {}", result.unwrap_err());
            // A pod that would only be evicted does not show it.
            let shows = |write: &&&str| end == Stage::Commit || **write != SHOWS_EVICTION;
            let writes: Vec<&str> = writes.iter().filter(shows).copied().collect();
            let passed = check_passages(recorder.take(), &writes, end, &what);
            let allowed = if query.is_empty() { passed } else { 0 };
            let written = revision(&server).await - before;
            assert!(
                written <= allowed,
                "{what}: {written} writes to the store, {allowed} through the pipeline"
            );
        }
        let info = crate::request::RequestInfo::parse(&method.parse().unwrap(), path, None);
        tried.insert((info.subresource.clone(), info.verb.to_string()));
        if info.subresource.is_empty() {
            tried.insert((info.resource.clone(), info.verb.to_string()));
        }
    }
    let written = written_paths();
    let missing: Vec<_> = written.difference(&tried).collect();
    assert!(missing.is_empty(), "no case tries these, add one, whatever kind it is for: {missing:?}");
}

async fn revision(server: &TestServer) -> u64 {
    server.registry.hub.store().current_revision().await.unwrap().0
}

/// Checks that there were just these writes, and that each passed all stages in their order; returns how many of them
/// had something to store.
fn check_passages(got: BTreeMap<String, Vec<String>>, writes: &[&str], end: Stage, what: &str) -> u64 {
    let expected: BTreeSet<&str> = writes.iter().copied().collect();
    assert_eq!(got.keys().map(String::as_str).collect::<BTreeSet<_>>(), expected, "{what}");
    let mut stored = 0;
    for (write, passed) in got {
        let order = write.contains("reviews") || write.ends_with("eviction") || write.ends_with("token");
        let whole = passage(end, order);
        // A collection is deleted object by object.
        for passed in passed.chunks(whole.len()) {
            assert_eq!(passed, whole, "{what}: {write}");
            stored += u64::from(!order);
        }
    }
    stored
}

/// Subresource and verb of everything that the table of the API lets clients write, and by their names the resources
/// that are not stored.
fn written_paths() -> BTreeSet<(String, String)> {
    let writes = [Verb::Create, Verb::Update, Verb::Patch, Verb::Delete, Verb::DeleteCollection];
    let mut all = BTreeSet::new();
    for def in schema::resources() {
        for verb in def.verbs.iter().filter(|verb| writes.contains(verb)) {
            let is_stored = def.verbs.contains(&Verb::List);
            let name = if is_stored { String::new() } else { def.plural.to_string() };
            all.insert((name, verb.as_str().to_owned()));
        }
        // Connections have options in place of a body.
        for part in def.subresources.iter().filter(|part| part.ty.is_some()) {
            for verb in part.verbs.iter().filter(|verb| writes.contains(verb)) {
                all.insert((part.name.to_string(), verb.as_str().to_owned()));
            }
        }
    }
    all
}

#[tokio::test]
async fn what_the_server_writes_itself_passes_every_stage() {
    let (server, recorder) = recorded().await;
    recorder.take();
    let maps = GroupResource::new("", "configmaps");
    let map = |data: &str| value!({"apiVersion": "v1", "metadata": {"name": "m", "namespace": "default"}, "data": {"a": data}});
    for (dry_run, end) in [(true, Stage::Undo), (false, Stage::Commit)] {
        let own = Server::new(&server.registry, dry_run);
        own.create(maps, map("b")).await.unwrap();
        assert_eq!(recorder.take().remove("CREATE configmaps"), Some(passage(end, false)));
    }
    let own = Server::new(&server.registry, false);
    own.update(maps, map("c")).await.unwrap();
    assert_eq!(recorder.take().remove("UPDATE configmaps"), Some(passage(Stage::Commit, false)));
    own.delete(maps, "default", "m").await.unwrap();
    assert_eq!(recorder.take().remove("DELETE configmaps"), Some(passage(Stage::Commit, false)));
}
