//! Policies from files of the server (KEP-5793).

use std::path::Path;
use std::time::Duration;

use apiserver::Extensions;
use apiserver::admission::configuration::Configuration;
use apiserver::testing::TestServer;
use object::{Value, json, value};

use crate::support::*;

const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const GROUP: &str = "/apis/admissionregistration.k8s.io/v1";

/// The file of `--admission-control-config-file`, in which a plugin has a directory for its manifests.
pub fn configuration(plugin: &str, kind: &str, directory: &Path) -> Configuration {
    let file = tempfile::NamedTempFile::new().unwrap();
    let plugin = value!({"name": plugin, "configuration": {
        "apiVersion": "apiserver.config.k8s.io/v1", "kind": kind,
        "staticManifestsDir": (directory.to_str().unwrap())
    }});
    let document = value!({
        "apiVersion": "apiserver.config.k8s.io/v1", "kind": "AdmissionConfiguration", "plugins": [plugin]
    });
    std::fs::write(file.path(), json::to_vec(&document)).unwrap();
    Configuration::read(file.path()).unwrap()
}

pub async fn server(plugin: &str, kind: &str, directory: &Path) -> TestServer {
    let admission = configuration(plugin, kind, directory);
    TestServer::with(Extensions { admission, ..Extensions::default() }).await
}

async fn validating(directory: &Path) -> TestServer {
    server("ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyConfiguration", directory).await
}

/// Waits until a line of the metrics begins and ends so.
pub async fn measured(server: &TestServer, begin: &str, end: &str) {
    let found = async {
        loop {
            let reply = get(server, "/metrics").await;
            let text = String::from_utf8(reply.bytes.to_vec()).unwrap();
            if text.lines().any(|line| line.starts_with(begin) && line.ends_with(end)) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), found).await.expect("the files are followed");
}

const RELOADS: &str = "apiserver_manifest_admission_config_controller_automatic_reloads_total{status=";

fn policy(group: &str, resource: &str, spec: &str) -> String {
    format!(
        "apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {{name: keep.static.k8s.io}}
spec:
  matchConstraints:
    resourceRules:
    - {{apiGroups: ['{group}'], apiVersions: ['*'], operations: [CREATE, DELETE], resources: ['{resource}']}}
  validations: [{{{spec}}}]
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {{name: keep.static.k8s.io}}
spec: {{policyName: keep.static.k8s.io, validationActions: [Deny]}}
"
    )
}

/// The point of manifests: who may change the configurations of admission can be bound, too.
#[tokio::test(flavor = "multi_thread")]
async fn policies_from_files_protect_configurations_of_admission() {
    let directory = tempfile::tempdir().unwrap();
    let spec = "expression: '!request.name.startsWith(\"base-\")', message: keep it";
    let text = policy("admissionregistration.k8s.io", "*", spec);
    std::fs::write(directory.path().join("a.yaml"), text).unwrap();
    let server = validating(directory.path()).await;
    let binding = |name: &str| value!({"metadata": {"name": name}, "spec": {"policyName": "p", "validationActions": ["Deny"]}});
    let webhook = |name: &str| value!({"metadata": {"name": name}});
    let why = "ValidatingAdmissionPolicy 'keep.static.k8s.io' with binding 'keep.static.k8s.io' denied request: keep it";
    for (plural, object) in [
        ("validatingadmissionpolicybindings", &binding as &dyn Fn(&str) -> Value),
        ("validatingwebhookconfigurations", &webhook),
        ("mutatingwebhookconfigurations", &webhook),
    ] {
        let path = format!("{GROUP}/{plural}");
        let (code, _, message) = call(&server, "POST", &path, &object("base-a")).await.status();
        assert!(code == 422 && message.ends_with(why), "{plural}: {code} {message}");
        call(&server, "POST", &path, &object("other")).await.success();
        call(&server, "DELETE", &format!("{path}/other"), &Value::Null).await.success();
    }
    // What is in files is not in the API, and its names cannot be taken there.
    let bindings = format!("{GROUP}/validatingadmissionpolicybindings");
    assert_eq!(get(&server, &bindings).await.json().get("items").items().len(), 0);
    let (code, _, message) = call(&server, "POST", &bindings, &binding("a.static.k8s.io")).await.status();
    assert!(
        code == 422 && message.contains("reserved for static manifest-based configurations"),
        "{message}"
    );
    // The questions of authorization stay answered.
    let review = value!({"spec": {"nonResourceAttributes": {"path": "/", "verb": "get"}}});
    let reviews = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
    call(&server, "POST", reviews, &review).await.success();
}

#[tokio::test(flavor = "multi_thread")]
async fn changed_files_are_in_force_at_once_and_wrong_ones_never() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("policy.yaml");
    let requires = |label: &str| {
        policy(
            "",
            "configmaps",
            &format!("expression: 'has(object.metadata.labels) && \"{label}\" in object.metadata.labels'"),
        )
        .replace(", DELETE", "")
    };
    std::fs::write(&file, requires("one")).unwrap();
    let server = validating(directory.path()).await;
    let create = async |label: &'static str| {
        let mut map = value!({"metadata": {"generateName": "m-"}});
        map.set_path(&["metadata", "labels", label], Value::from("x"));
        call(&server, "POST", MAPS, &map).await.code
    };
    assert_eq!((create("one").await, create("two").await), (201, 422));
    let plugin = "plugin=\"ValidatingAdmissionPolicy\"";
    let count = |status: &str| format!("{RELOADS}\"{status}\",{plugin}");
    measured(&server, &count("success"), " 1").await;

    std::fs::write(&file, requires("two")).unwrap();
    measured(&server, &count("success"), " 2").await;
    assert_eq!((create("one").await, create("two").await), (422, 201));

    std::fs::write(&file, requires("three").replace("has(", "hasnot(")).unwrap();
    measured(&server, &count("failure"), " 1").await;
    assert_eq!((create("three").await, create("two").await), (422, 201), "the last good state stays");

    // As editors and mounted ConfigMaps do it.
    let new = directory.path().join("new");
    std::fs::write(&new, requires("three")).unwrap();
    std::fs::rename(&new, &file).unwrap();
    measured(&server, &count("success"), " 3").await;
    assert_eq!((create("three").await, create("two").await), (201, 422));

    std::fs::remove_file(&file).unwrap();
    measured(&server, &count("success"), " 4").await;
    assert_eq!(create("none").await, 201);
}

#[tokio::test(flavor = "multi_thread")]
async fn policies_from_files_change_objects_before_those_of_the_api() {
    let directory = tempfile::tempdir().unwrap();
    let spec = |label: &str, value: &str| {
        let expression = format!("Object{{metadata: Object.metadata{{labels: {{'{label}': {value}}}}}}}");
        value!({
            "reinvocationPolicy": "Never",
            "matchConstraints": {"resourceRules": [{
                "apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["configmaps"]
            }]},
            "mutations": [{
                "patchType": "ApplyConfiguration", "applyConfiguration": {"expression": expression}
            }]
        })
    };
    let objects = |name: &str, spec: Value| {
        let object = |kind: &str, spec: Value| {
            value!({
                "apiVersion": "admissionregistration.k8s.io/v1", "kind": kind, "metadata": {"name": name},
                "spec": spec
            })
        };
        let binding = value!({"policyName": name});
        [object("MutatingAdmissionPolicy", spec), object("MutatingAdmissionPolicyBinding", binding)]
    };
    for object in objects("z.static.k8s.io", spec("file", "'seen'")) {
        let file = directory.path().join(format!("{}.json", object.str_at("kind")));
        std::fs::write(file, json::to_vec(&object)).unwrap();
    }
    let kind = "MutatingAdmissionPolicyConfiguration";
    let server = server("MutatingAdmissionPolicy", kind, directory.path()).await;
    let [policy, binding] = objects("a", spec("api", "object.metadata.labels['file']"));
    call(&server, "POST", &format!("{GROUP}/mutatingadmissionpolicies"), &policy).await.success();
    call(&server, "POST", &format!("{GROUP}/mutatingadmissionpolicybindings"), &binding).await.success();
    server.registry.hub.catch_up().await.unwrap();
    let map = call(&server, "POST", MAPS, &config_map("m", &[])).await.success();
    assert_eq!(map.at("metadata.labels"), &value!({"api": "seen", "file": "seen"}));
}

#[tokio::test]
async fn a_server_does_not_start_with_wrong_manifests() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("a.yaml"), "kind: ConfigMap\napiVersion: v1\n").unwrap();
    let kind = "ValidatingAdmissionPolicyConfiguration";
    let admission = configuration("ValidatingAdmissionPolicy", kind, directory.path());
    let start = |extensions: Extensions| TestServer::try_with(extensions);
    let error =
        start(Extensions { admission: admission.clone(), ..Extensions::default() }).await.err().unwrap();
    let chain = causes::chain(&error);
    let expected = "a.yaml: unsupported resource type ConfigMap of \"v1\"";
    assert!(
        chain.starts_with("cannot load the manifests of admission: ") && chain.ends_with(expected),
        "{chain}"
    );
    // A plugin that is off reads nothing.
    let off = ["ValidatingAdmissionPolicy".to_owned()];
    let selection = apiserver::admission::Selection::read(&[], &off).unwrap();
    assert!(start(Extensions { admission, selection, ..Extensions::default() }).await.is_ok());
}
