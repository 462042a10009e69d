//! What admission plugins see, and what they can do.

use std::sync::Arc;

use apiserver::Extensions;
use apiserver::admission::configuration::Configuration;
use apiserver::admission::{Attributes, Operation, Plugin};
use apiserver::testing::{TestServer, admin};
use apiserver::user::User;
use async_trait::async_trait;
use bytes::Bytes;
use object::{Status, Value, value};
use parking_lot::Mutex;
use schema::GroupResource;

use crate::support::*;

async fn server_with(plugins: Vec<Arc<dyn Plugin>>) -> TestServer {
    let server = TestServer::with(Extensions { plugins, ..Extensions::default() }).await;
    server.create("", "serviceaccounts", "default", value!({"metadata": {"name": "default"}})).await.unwrap();
    server
}

/// Records the attributes of one user's requests.
#[derive(Clone, Default)]
struct Witness {
    seen: Arc<Mutex<Vec<Value>>>,
}

const WATCHED: &str = "watched";

impl Witness {
    fn note(&self, stage: &str, what: &Attributes<'_>, object: &Value, old: &Value) {
        if what.user.name != WATCHED {
            return;
        }
        assert!(!what.uid.is_empty());
        self.seen.lock().push(value!({
            "stage": stage, "operation": what.operation.name(), "dryRun": what.dry_run,
            "resource": format!("{}/{}/{}", what.resource.group, what.resource.version, what.resource.plural),
            "subresource": what.subresource, "name": what.name, "namespace": what.namespace,
            "kind": format!("{}/{}/{}", what.kind.group, what.kind.version, what.kind.kind),
            "options": what.options.to_value(), "object": object.clone(), "old": old.clone()
        }));
    }

    fn take(&self) -> Vec<Value> {
        std::mem::take(&mut self.seen.lock())
    }
}

#[async_trait]
impl Plugin for Witness {
    fn name(&self) -> &'static str {
        "Witness"
    }

    async fn admit(&self, what: &Attributes<'_>, object: &mut Value, old: &Value) -> Result<(), Status> {
        self.note("admit", what, object, old);
        Ok(())
    }

    async fn validate(&self, what: &Attributes<'_>, object: &Value, old: &Value) -> Result<(), Status> {
        self.note("validate", what, object, old);
        Ok(())
    }
}

/// A user who may do everything, and is observed.
fn watched() -> User {
    User { name: WATCHED.into(), ..admin() }
}

#[tokio::test]
async fn plugins_are_told_kind_options_and_old_object_of_whatever_is_written() {
    let witness = Witness::default();
    let server = server_with(vec![Arc::new(witness.clone())]).await;
    let user = watched();
    call(&server, "POST", PODS, &pod("p")).await.success();
    call(&server, "POST", DEPLOYMENTS, &deployment("d")).await.success();
    let request = |method: &'static str, path: String, body: Value| {
        let (server, user, witness) = (&server, &user, &witness);
        async move {
            let form = if method == "PATCH" { "application/merge-patch+json" } else { "application/json" };
            let body = if body.is_null() { Bytes::new() } else { object::json::to_bytes(&body) };
            let headers = [("content-type", form), ("user-agent", "tool/v1.2 (x)")];
            let reply = send(server, Some(user), method, &path, &headers, body).await;
            assert!(reply.code < 300, "{method} {path}: {:?}", reply.bytes);
            let seen = witness.take();
            let stages: Vec<&str> = seen.iter().map(|seen| seen.str_at("stage")).collect();
            assert_eq!(stages[..2], ["admit", "validate"], "{method} {path}");
            seen
        }
    };

    let seen = request(
        "PATCH",
        format!("{DEPLOYMENTS}/d/scale?dryRun=All&fieldManager=m"),
        value!({"spec": {"replicas": 5i64}}),
    )
    .await;
    for seen in &seen {
        let facts = ["operation", "resource", "subresource", "kind", "name", "namespace"]
            .map(|fact| seen.str_at(fact));
        assert_eq!(facts, ["UPDATE", "apps/v1/deployments", "scale", "autoscaling/v1/Scale", "d", "default"]);
        assert_eq!(seen.get("dryRun").as_bool(), Some(true));
        let options = value!({"kind": "UpdateOptions", "apiVersion": "meta.k8s.io/v1", "dryRun": ["All"], "fieldManager": "m"});
        assert_eq!(*seen.get("options"), options);
        assert_eq!(
            (seen.at("object.spec.replicas").as_i64(), seen.at("old.spec.replicas").as_i64()),
            (Some(5), Some(2))
        );
    }

    let binding = value!({"metadata": {"name": "p"}, "target": {"kind": "Node", "name": "n"}});
    let seen = request("POST", format!("{PODS}/p/binding"), binding).await;
    let facts = ["operation", "subresource", "kind"].map(|fact| seen[0].str_at(fact));
    assert_eq!(facts, ["CREATE", "binding", "/v1/Binding"]);
    assert_eq!((seen[1].str_at("object.target.name"), seen[1].get("old").is_null()), ("n", true));
    assert_eq!(seen[0].at("options.fieldManager").as_str(), Some("tool"), "the program's name");

    let deletion = value!({"kind": "DeleteOptions", "apiVersion": "v1", "gracePeriodSeconds": 7i64});
    let seen = request("DELETE", format!("{PODS}/p"), deletion).await;
    for seen in &seen {
        assert_eq!(seen.str_at("operation"), "DELETE");
        assert!(seen.get("object").is_null());
        assert_eq!(seen.str_at("old.spec.nodeName"), "n");
        let options =
            value!({"kind": "DeleteOptions", "apiVersion": "meta.k8s.io/v1", "gracePeriodSeconds": 7i64});
        assert_eq!(*seen.get("options"), options);
    }
    let review = value!({"spec": {"resourceAttributes": {"verb": "get", "resource": "pods"}}});
    let seen = request("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews".into(), review).await;
    assert_eq!(seen[0].str_at("kind"), "authorization.k8s.io/v1/SelfSubjectAccessReview");
}

/// Refuses to run shells, and has everything else run without a terminal.
struct NoShells;

#[async_trait]
impl Plugin for NoShells {
    fn name(&self) -> &'static str {
        "NoShells"
    }

    async fn admit(&self, what: &Attributes<'_>, object: &mut Value, _old: &Value) -> Result<(), Status> {
        if what.operation == Operation::Connect && what.is_part(GroupResource::PODS, "exec") {
            object.remove("tty");
        }
        Ok(())
    }

    async fn validate(&self, what: &Attributes<'_>, object: &Value, _old: &Value) -> Result<(), Status> {
        let is_exec = what.operation == Operation::Connect && what.is_part(GroupResource::PODS, "exec");
        let shell = object.get("command").items().any(|word| word.as_str() == Some("sh"));
        if is_exec && shell {
            assert_eq!((what.kind.kind, object.str_at("kind")), ("PodExecOptions", "PodExecOptions"));
            assert!(object.get("tty").is_null() && what.options.to_value().is_null());
            return Err(what.forbidden("no shells here"));
        }
        Ok(())
    }
}

#[tokio::test]
async fn a_plugin_refuses_connections_by_their_options() {
    let witness = Witness::default();
    let server = server_with(vec![Arc::new(NoShells), Arc::new(witness.clone())]).await;
    call(&server, "POST", PODS, &pod("p")).await.success();
    server.registry.hub.catch_up().await.unwrap();
    let upgrade = [("connection", "Upgrade"), ("upgrade", "SPDY/3.1")];
    let user = watched();
    let exec = |query: &'static str| {
        let path = format!("{PODS}/p/exec?{query}");
        let (server, user, upgrade) = (&server, &user, &upgrade);
        async move { send(server, Some(user), "POST", &path, upgrade, Bytes::new()).await }
    };
    let refused = exec("command=sh&tty=1").await;
    assert_eq!(refused.status(), (403, "Forbidden".into(), "pods \"p\" is forbidden: no shells here".into()));
    // The pod is on no node, so the request fails for that reason if the plugin lets it pass.
    let passed = exec("command=ls&stdin=1&tty=1").await;
    assert_eq!(passed.status().2, "pod p does not have a host assigned");
    let seen = witness.take();
    let expected = value!({"kind": "PodExecOptions", "apiVersion": "v1", "stdin": true, "command": ["ls"]});
    assert_eq!(
        (seen.last().unwrap().str_at("operation"), seen.last().unwrap().get("object")),
        ("CONNECT", &expected)
    );
    // Other connections are reported too.
    for (method, path, kind) in [
        ("POST", format!("{PODS}/p/attach"), "PodAttachOptions"),
        ("POST", format!("{PODS}/p/portforward?ports=80"), "PodPortForwardOptions"),
        ("GET", format!("{PODS}/p/proxy/a"), "PodProxyOptions"),
        ("GET", "/api/v1/namespaces/default/services/s/proxy/a".to_owned(), "ServiceProxyOptions"),
        ("GET", "/api/v1/nodes/n/proxy/a".to_owned(), "NodeProxyOptions"),
    ] {
        let headers: &[(&str, &str)] = if method == "POST" { &upgrade } else { &[] };
        send(&server, Some(&user), method, &path, headers, Bytes::new()).await;
        let kinds: Vec<String> =
            witness.take().iter().map(|seen| seen.str_at("object.kind").to_owned()).collect();
        assert_eq!(kinds, [kind, kind], "{path}");
    }
    send(&server, Some(&user), "GET", &format!("{PODS}/p/log"), &[], Bytes::new()).await;
    assert!(witness.take().is_empty(), "a log is read, not connected to");
}

/// Adds to every role the right to everything.
struct Generous;

#[async_trait]
impl Plugin for Generous {
    fn name(&self) -> &'static str {
        "Generous"
    }

    async fn admit(&self, what: &Attributes<'_>, object: &mut Value, _old: &Value) -> Result<(), Status> {
        if what.is(GroupResource::ROLES) && what.operation != Operation::Delete && what.user.name == "author"
        {
            object.set("rules", value!([{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}]));
        }
        Ok(())
    }
}

#[tokio::test]
async fn what_a_plugin_adds_to_a_role_its_author_must_hold() {
    let server = server_with(vec![Arc::new(Generous)]).await;
    let author = User::new("author", &[]);
    let base = "/apis/rbac.authorization.k8s.io/v1/namespaces/default";
    let role = value!({"metadata": {"name": "authors"}, "rules": [
        {"verbs": ["create"], "apiGroups": ["rbac.authorization.k8s.io"], "resources": ["roles"]}
    ]});
    call(&server, "POST", &format!("{base}/roles"), &role).await.success();
    let binding = value!({
        "metadata": {"name": "authors"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "authors"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "author"}]
    });
    call(&server, "POST", &format!("{base}/rolebindings"), &binding).await.success();
    server.registry.hub.catch_up().await.unwrap();
    let harmless = value!({"metadata": {"name": "r"}, "rules": []});
    let body = object::json::to_vec(&harmless);
    let headers = [("content-type", "application/json")];
    let path = format!("{base}/roles");
    let (code, _, message) = send(&server, Some(&author), "POST", &path, &headers, body).await.status();
    assert_eq!(code, 403);
    assert!(message.contains("attempting to grant RBAC permissions not currently held"), "{message}");
}

/// Keeps a list of the names of all ConfigMaps in the ConfigMap `list`.
struct Keeper;

#[async_trait]
impl Plugin for Keeper {
    fn name(&self) -> &'static str {
        "Keeper"
    }

    async fn validate(&self, what: &Attributes<'_>, _object: &Value, _old: &Value) -> Result<(), Status> {
        let maps = GroupResource::new("", "configmaps");
        if !what.is(maps) || what.operation != Operation::Create || what.name == "list" {
            return Ok(());
        }
        assert_ne!(what.user.name, "system:apiserver");
        let mut data = value!({});
        data.set(what.name.to_owned(), "");
        let list = value!({
            "apiVersion": "v1", "metadata": {"name": "list", "namespace": what.namespace}, "data": data
        });
        what.writer.create(maps, list).await.map(drop)
    }
}

#[tokio::test]
async fn what_a_plugin_writes_for_a_dry_run_is_a_dry_run() {
    let server = server_with(vec![Arc::new(Keeper)]).await;
    let dry = call(&server, "POST", &format!("{CONFIG_MAPS}?dryRun=All"), &config_map("m", &[])).await;
    dry.success();
    assert_eq!(get(&server, &format!("{CONFIG_MAPS}/list")).await.code, 404);
    call(&server, "POST", CONFIG_MAPS, &config_map("m", &[])).await.success();
    let list = get(&server, &format!("{CONFIG_MAPS}/list")).await.success();
    assert_eq!(list.at("data.m").as_str(), Some(""));
}

/// Wants reinvocation after changes by others, and counts its calls.
#[derive(Clone, Default)]
struct Counter(Arc<Mutex<Vec<String>>>);

#[async_trait]
impl Plugin for Counter {
    fn name(&self) -> &'static str {
        "Counter"
    }

    async fn admit(&self, what: &Attributes<'_>, object: &mut Value, _old: &Value) -> Result<(), Status> {
        if what.is(GroupResource::new("", "configmaps")) && what.user.name == "admin" {
            self.0.lock().push(object.str_at("data.changed").to_owned());
        }
        Ok(())
    }

    fn wants_reinvocation(&self) -> bool {
        true
    }
}

/// Changes objects that ask for it, as a webhook may.
struct Webhook;

#[async_trait]
impl Plugin for Webhook {
    fn name(&self) -> &'static str {
        "Webhook"
    }

    async fn admit(&self, _what: &Attributes<'_>, object: &mut Value, _old: &Value) -> Result<(), Status> {
        if object.str_at("data.change") == "yes" {
            object.entry("data").set("changed", "yes");
            object.entry("metadata").set("managedFields", value!([{"manager": "webhook"}]));
        }
        Ok(())
    }

    fn unsettles(&self, _what: &Attributes<'_>) -> bool {
        true
    }
}

#[tokio::test]
async fn plugins_before_one_that_changed_the_object_are_asked_once_more() {
    let (before, behind) = (Counter::default(), Counter::default());
    let server =
        server_with(vec![Arc::new(before.clone()), Arc::new(Webhook), Arc::new(behind.clone())]).await;
    let mut map = config_map("m", &[]);
    call(&server, "POST", CONFIG_MAPS, &map).await.success();
    assert_eq!(
        (before.0.lock().split_off(0), behind.0.lock().split_off(0)),
        (vec![String::new()], vec![String::new()])
    );
    map.entry("metadata").set("name", "n");
    map.entry("data").set("change", "yes");
    map.entry("metadata").set("managedFields", value!([{"manager": "client", "operation": "Update"}]));
    let reply = call(&server, "POST", CONFIG_MAPS, &map).await;
    assert!(reply.warnings()[0].contains(".metadata.managedFields was in an invalid state after admission"));
    let made = reply.success();
    let managers: Vec<&str> =
        made.at("metadata.managedFields").items().map(|entry| entry.str_at("operation")).collect();
    assert_eq!(managers, ["Update"], "neither the client nor a plugin writes managers that cannot be read");
    assert_eq!(before.0.lock().split_off(0), ["", "yes"]);
    assert_eq!(behind.0.lock().split_off(0), ["yes"], "it has seen the change already");
}

/// The file of `--admission-control-config-file`: defaults for what the labels of a namespace leave open, and exemptions.
#[tokio::test]
async fn a_file_configures_pod_security() {
    const FILE: &str = "
apiVersion: apiserver.config.k8s.io/v1
kind: AdmissionConfiguration
plugins:
- name: PodSecurity
  configuration:
    apiVersion: pod-security.admission.config.k8s.io/v1
    kind: PodSecurityConfiguration
    defaults: {enforce: baseline, enforce-version: v1.30, warn: restricted, warn-version: latest}
    exemptions: {usernames: [operator], namespaces: [exempt], runtimeClasses: [vm]}
";
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("admission.yaml");
    std::fs::write(&path, FILE).unwrap();
    let admission = Configuration::read(&path).unwrap();
    let server = TestServer::with(Extensions { admission, ..Extensions::default() }).await;
    let free = value!({"metadata": {"name": "free", "labels": {
        "pod-security.kubernetes.io/enforce": "privileged", "pod-security.kubernetes.io/warn": "privileged"
    }}});
    for namespace in [&free, &value!({"metadata": {"name": "exempt"}})] {
        call(&server, "POST", "/api/v1/namespaces", namespace).await.success();
    }
    for namespace in ["default", "free", "exempt"] {
        let account = value!({"metadata": {"name": "default"}});
        server.create("", "serviceaccounts", namespace, account).await.unwrap();
    }
    let class = value!({"metadata": {"name": "vm"}, "handler": "vm"});
    server.create("node.k8s.io", "runtimeclasses", "", class).await.unwrap();
    let post = async |user: &str, namespace: &str, spec: Value| {
        let spec = object::patch::merge_patch(value!({"containers": [{"name": "c", "image": "i"}]}), spec);
        let pod = value!({"metadata": {"generateName": "p-"}, "spec": spec.unwrap()});
        let path = format!("/api/v1/namespaces/{namespace}/pods");
        let user = User::new(user, &["system:masters"]);
        let json = [("content-type", "application/json")];
        let reply = send(&server, Some(&user), "POST", &path, &json, object::json::to_bytes(&pod)).await;
        let why = reply.json().str_at("message").to_owned();
        (reply.code, reply.warnings().join(" "), why)
    };
    let on_host = || value!({"hostNetwork": true});
    let (code, _, why) = post("user", "default", on_host()).await;
    assert_eq!(code, 403, "{why}");
    let refused = r#"violates PodSecurity "baseline:v1.30": host namespaces (hostNetwork=true)"#;
    assert!(why.ends_with(refused), "{why}");
    let (code, warned, why) = post("user", "default", value!({})).await;
    assert_eq!(code, 201, "{why}");
    assert!(warned.contains(r#"would violate PodSecurity \"restricted:latest\""#), "{warned}");
    for (user, namespace, spec) in [
        ("user", "free", on_host()),
        ("user", "exempt", on_host()),
        ("operator", "default", on_host()),
        ("user", "default", value!({"hostNetwork": true, "runtimeClassName": "vm"})),
    ] {
        let (code, warned, why) = post(user, namespace, spec).await;
        assert_eq!((code, warned.as_str()), (201, ""), "{user} {namespace} {why}");
    }
}
