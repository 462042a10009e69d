//! kubectl's ways to show, change and await objects.

use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use libtest_mimic::Trial;
use testbed::output;

use crate::images::BUSYBOX;
use crate::support::{Following, LIMIT, Namespace, SharedCluster, trial};

pub fn trials(shared: &Arc<SharedCluster>) -> Vec<Trial> {
    let trial = |name, test| trial(shared, "kubectl_forms", name, test);
    vec![
        trial("objects_are_shown_in_every_form", objects_are_shown_in_every_form),
        trial("objects_are_applied_both_ways", objects_are_applied_both_ways),
        trial("objects_are_edited_and_patched", objects_are_edited_and_patched),
        trial("objects_are_awaited", objects_are_awaited),
    ]
}

fn file(namespace: &Namespace, name: &str, text: &str) -> String {
    let path = namespace.cluster.host().directory().join(format!("{}-{name}", namespace.name));
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

fn objects_are_shown_in_every_form(namespace: &Namespace) {
    namespace.run(&["create", "configmap", "one", "--from-literal=color=red"]);
    let path = file(namespace, "path", "{.data.color}");
    let template = file(namespace, "template", "{{.data.color}}");
    let columns = file(namespace, "columns", "NAME COLOR\n.metadata.name .data.color\n");
    let forms = [
        ("name".to_owned(), "configmap/one\n"),
        ("jsonpath={.data.color}".to_owned(), "red"),
        ("jsonpath-as-json={.data.color}".to_owned(), "[\n    \"red\"\n]\n"),
        (format!("jsonpath-file={path}"), "red"),
        ("go-template={{.data.color}}".to_owned(), "red"),
        ("template={{.data.color}}".to_owned(), "red"),
        (format!("go-template-file={template}"), "red"),
        (format!("templatefile={template}"), "red"),
        ("custom-columns=NAME:.metadata.name,COLOR:.data.color".to_owned(), "NAME   COLOR\none    red\n"),
        (format!("custom-columns-file={columns}"), "NAME   COLOR\none    red\n"),
    ];
    for (form, expected) in &forms {
        assert_eq!(namespace.run(&["get", "configmap", "one", "-o", form]), *expected, "{form}");
    }
    let json: serde_json::Value =
        serde_json::from_str(&namespace.run(&["get", "configmap", "one", "-o", "json"])).unwrap();
    assert_eq!((&json["kind"], &json["data"]["color"]), (&"ConfigMap".into(), &"red".into()));
    assert_eq!(json["metadata"].get("managedFields"), None);
    for form in ["yaml", "kyaml"] {
        let shown = namespace.run(&["get", "configmap", "one", "-o", form, "--show-managed-fields"]);
        assert!(shown.contains("managedFields"), "{form}: {shown}");
        // What is shown can be applied again.
        let color = namespace.field("configmap/one", ".data.color");
        let shown = namespace.run(&["get", "configmap", "one", "-o", form]).replace(&color, form);
        let replace = ["--namespace", &namespace.name, "replace", "-f", "-"];
        namespace.cluster.server.kubectl_with_input(&replace, &shown).unwrap();
        assert_eq!(namespace.field("configmap/one", ".data.color"), form);
    }
    for (form, columns) in [("wide", "NAME DATA AGE"), ("custom-columns=A:.kind", "A")] {
        let table = namespace.run(&["get", "configmaps", "-o", form, "--sort-by=.metadata.name"]);
        let heads: Vec<&str> = table.lines().next().unwrap().split_whitespace().collect();
        assert_eq!(heads.join(" "), columns, "{form}");
    }
    let several = namespace.run(&["get", "configmap/one", "serviceaccount/default", "-o", "name"]);
    assert_eq!(several, "configmap/one\nserviceaccount/default\n");
    let fields = namespace.run(&["explain", "deployment", "--recursive"]);
    for field in
        ["progressDeadlineSeconds", "matchExpressions", "preferredDuringSchedulingIgnoredDuringExecution"]
    {
        assert!(fields.contains(field), "{field}");
    }
    let fields = namespace.run(&["explain", "customresourcedefinitions.spec.versions", "--recursive"]);
    assert!(fields.contains("x-kubernetes-validations"), "{fields}");
    let one = namespace.run(&["explain", "hpa.spec.metrics", "--api-version=autoscaling/v2"]);
    assert!(one.contains("containerResource"), "{one}");
}

fn map(data: &str) -> String {
    format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: one, labels: {{of: forms}}}}\ndata: {{{data}}}\n"
    )
}

fn objects_are_applied_both_ways(namespace: &Namespace) {
    let apply = |arguments: &[&str], text: &str| {
        let mut all = vec!["--namespace", namespace.name.as_str(), "apply"];
        all.extend(arguments);
        all.extend(["-f", "-"]);
        namespace.cluster.server.kubectl_with_input(&all, text)
    };
    let data = || namespace.field("configmap/one", ".data");
    // The client's way: what was applied once and no longer is goes; what others wrote stays.
    assert!(apply(&[], &map("a: '1', b: '1'")).unwrap().contains("created"));
    namespace.run(&["patch", "configmap", "one", "-p", r#"{"data": {"c": "1"}}"#]);
    assert!(apply(&[], &map("a: '2'")).unwrap().contains("configured"));
    assert_eq!(data(), r#"{"a":"2","c":"1"}"#);
    assert!(apply(&[], &map("a: '2'")).unwrap().contains("unchanged"));
    assert!(namespace.run(&["apply", "view-last-applied", "configmap/one"]).contains("a: \"2\""));
    // The server's way takes over.
    assert!(apply(&["--server-side"], &map("a: '3'")).unwrap().contains("serverside-applied"));
    let managers = ".metadata.managedFields[*]['manager', 'operation']";
    assert!(namespace.field("configmap/one", managers).contains("kubectl"));
    assert_eq!(data(), r#"{"a":"3","c":"1"}"#);
    let conflict =
        apply(&["--server-side", "--field-manager=other"], &map("a: '4'")).unwrap_err().to_string();
    assert!(conflict.contains("conflict with \"kubectl\": .data.a"), "{conflict}");
    apply(&["--server-side", "--field-manager=other", "--force-conflicts"], &map("a: '4'")).unwrap();
    assert_eq!(data(), r#"{"a":"4","c":"1"}"#);
    // And back again.
    assert!(apply(&[], &map("a: '5'")).unwrap().contains("configured"));
    assert_eq!(data(), r#"{"a":"5","c":"1"}"#);
    for way in [&["--dry-run=server"][..], &["--server-side", "--dry-run=server", "--force-conflicts"]] {
        apply(way, &map("a: '6'")).unwrap();
        assert_eq!(data(), r#"{"a":"5","c":"1"}"#);
    }
    for way in [&["diff", "-f"][..], &["diff", "--server-side", "--force-conflicts", "-f"]] {
        let mut diff = way.to_vec();
        let wanted = file(namespace, "wanted.yaml", &map("a: '6'"));
        diff.push(&wanted);
        let found = namespace.kubectl(&diff).output().unwrap();
        let text = String::from_utf8_lossy(&found.stdout);
        assert_eq!(found.status.code(), Some(1), "{found:?}");
        assert!(text.contains("-  a: \"5\"") && text.contains("+  a: \"6\""), "{text}");
    }
    // Whatever is not in the file any more goes.
    let two = map("a: '1'").replace("name: one", "name: two");
    let prune = ["--prune", "-l", "of=forms", "--prune-allowlist=core/v1/ConfigMap"];
    let said = apply(&prune, &two).unwrap();
    assert!(said.contains("configmap/one pruned"), "{said}");
}

/// kubectl with an editor that is a line of shell, in which `$1` is the file.
fn edit(namespace: &Namespace, arguments: &[&str], script: &str) -> Result<String, String> {
    let editor = file(namespace, "editor", &format!("#!/bin/sh\n{script}\n"));
    std::fs::set_permissions(&editor, std::fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = namespace.kubectl(arguments);
    // What cannot be saved is left there.
    command.env("KUBE_EDITOR", &editor).env("TMPDIR", namespace.cluster.host().directory());
    output(&mut command).map_err(|error| error.to_string())
}

fn objects_are_edited_and_patched(namespace: &Namespace) {
    namespace.run(&["create", "deployment", "web", &format!("--image={BUSYBOX}"), "--replicas=0"]);
    let said =
        edit(namespace, &["edit", "deployment", "web"], "sed -i 's/replicas: 0/paused: true/' $1").unwrap();
    assert!(said.contains("deployment.apps/web edited"), "{said}");
    assert_eq!(namespace.field("deployment/web", ".spec['replicas', 'paused']"), "1 true");
    let version = || namespace.field("deployment/web", ".metadata.generation");
    let before = version();
    edit(namespace, &["edit", "deployment", "web", "-o", "json"], "true").unwrap();
    assert_eq!(version(), before);
    // A wrong value is shown again with the reason; whoever leaves it so has not changed anything.
    let shown = file(namespace, "shown", "");
    let script =
        format!("grep '^# .*Invalid value' $1 > {shown} && exit; sed -i 's/maxSurge: .*/maxSurge: -1/' $1");
    let said = edit(namespace, &["edit", "deployment", "web"], &script).unwrap_err();
    assert!(said.contains("deployments.apps \"web\" is invalid"), "{said}");
    let shown = std::fs::read_to_string(shown).unwrap();
    assert!(shown.contains("spec.strategy.rollingUpdate.maxSurge: Invalid value: -1"), "{shown}");
    assert_eq!(namespace.field("deployment/web", ".spec.strategy.rollingUpdate.maxSurge"), "25%");
    let status = "sed -i 's/^  observedGeneration: .*/  observedGeneration: 9/' $1";
    edit(namespace, &["edit", "deployment", "web", "--subresource=status"], status).unwrap();

    let patch = |arguments: &[&str]| {
        let mut all = vec!["patch", "deployment", "web"];
        all.extend(arguments);
        namespace.run(&all)
    };
    let environment =
        || namespace.field("deployment/web", ".spec.template.spec.containers[*].env[*]['name', 'value']");
    let containers = |container: &str| {
        format!(r#"{{"spec": {{"template": {{"spec": {{"containers": [{container}]}}}}}}}}"#)
    };
    patch(&["-p", &containers(r#"{"name": "busybox", "env": [{"name": "A", "value": "1"}]}"#)]);
    patch(&[
        "--type=strategic",
        "-p",
        &containers(r#"{"name": "busybox", "env": [{"name": "B", "value": "2"}]}"#),
    ]);
    assert_eq!(environment(), "B A 2 1");
    let gone = r#"{"name": "busybox", "env": [{"name": "A", "$patch": "delete"}]}"#;
    patch(&["-p", &containers(gone)]);
    assert_eq!(environment(), "B 2");
    let whole = format!(r#"{{"name": "other", "image": "{BUSYBOX}"}}"#);
    patch(&["--type=merge", "-p", &containers(&whole)]);
    assert_eq!(namespace.field("deployment/web", ".spec.template.spec.containers[*].name"), "other");
    let operations = file(
        namespace,
        "operations",
        "- {op: test, path: /spec/template/spec/containers/0/name, value: other}\n\
         - {op: add, path: /spec/template/spec/containers/0/env, value: [{name: C, value: '3'}]}\n",
    );
    patch(&["--type=json", "--patch-file", &operations]);
    assert_eq!(environment(), "C 3");
    let wrong = r#"[{"op": "test", "path": "/spec/replicas", "value": 7}]"#;
    let said = namespace.fails(&["patch", "deployment", "web", "--type=json", "-p", wrong]);
    assert!(said.contains("testing value /spec/replicas failed"), "{said}");
    patch(&["--subresource=scale", "--type=merge", "-p", r#"{"spec": {"replicas": 0}}"#]);
    assert_eq!(namespace.field("deployment/web", ".spec.replicas"), "0");
    namespace.run(&["set", "env", "deployment/web", "D=4", "C-"]);
    namespace.run(&["set", "resources", "deployment/web", "--limits=memory=64Mi"]);
    assert_eq!(environment(), "D 4");
    let limit = ".spec.template.spec.containers[0].resources.limits.memory";
    assert_eq!(namespace.field("deployment/web", limit), "64Mi");
}

fn objects_are_awaited(namespace: &Namespace) {
    let wait = |condition: &str| -> Following {
        namespace.follow(&["wait", "configmap/late", &format!("--for={condition}"), LIMIT])
    };
    let created = wait("create");
    namespace.run(&["create", "configmap", "late", "--from-literal=color=red"]);
    assert!(created.end().contains("condition met"));
    let [value, any, nested] =
        ["jsonpath={.data.color}=green", "jsonpath={.metadata.labels.new}", "jsonpath={.data.list}=[1]"]
            .map(wait);
    let two = r#"{"data": {"color": "green", "list": "[1]"}, "metadata": {"labels": {"new": "yes"}}}"#;
    namespace.run(&["patch", "configmap", "late", "-p", two]);
    for waiting in [value, any, nested] {
        assert!(waiting.end().contains("condition met"));
    }
    let held = |finalizers: &str| format!(r#"{{"metadata": {{"finalizers": {finalizers}}}}}"#);
    namespace.run(&["patch", "configmap", "late", "-p", &held(r#"["example.com/held"]"#)]);
    namespace.run(&["delete", "configmap", "late", "--wait=false"]);
    let late = namespace.fails(&["wait", "configmap/late", "--for=delete", "--timeout=1s"]);
    assert!(late.contains("timed out waiting for the condition"), "{late}");
    namespace.run(&["patch", "configmap", "late", "--type=merge", "-p", &held("null")]);
    namespace.run(&["wait", "configmap/late", "--for=delete", LIMIT]);
    assert_eq!(namespace.run(&["get", "configmap", "late", "--ignore-not-found"]), "");
    let late = namespace.fails(&["wait", "serviceaccount/default", "--for=jsonpath={.x}=1", "--timeout=1s"]);
    assert!(late.contains("timed out waiting for the condition"), "{late}");
}
