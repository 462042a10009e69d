//! helm 4 with its defaults, which apply on the server's side: a chart with hooks and a test is installed, upgraded, rolled
//! back and uninstalled.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use libtest_mimic::Trial;
use testbed::{TestbedError, output};

use crate::images::{BUSYBOX, NGINX_1, NGINX_2};
use crate::support::{Namespace, SharedCluster, trial};

pub fn trials(shared: &Arc<SharedCluster>) -> Vec<Trial> {
    let trial = |name, test| trial(shared, "helm", name, test);
    vec![
        trial("a_chart_lives", a_chart_lives),
        trial("changes_of_others_are_conflicts", changes_of_others_are_conflicts),
    ]
}

const CHART: &str = "apiVersion: v2\nname: web\nversion: 0.1.0\nappVersion: '1'\n";

const TEMPLATES: [(&str, &str); 4] = [
    (
        "deployment.yaml",
        "
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ .Release.Name }}
  labels: {app.kubernetes.io/managed-by: '{{ .Release.Service }}', app.kubernetes.io/instance: '{{ .Release.Name }}'}
spec:
  replicas: {{ .Values.replicas }}
  selector: {matchLabels: {app.kubernetes.io/instance: '{{ .Release.Name }}'}}
  template:
    metadata: {labels: {app.kubernetes.io/instance: '{{ .Release.Name }}'}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - name: web
        image: {{ .Values.image }}
        ports: [{name: http, containerPort: 80}]
        envFrom: [{configMapRef: {name: '{{ .Release.Name }}'}}]
",
    ),
    (
        "service.yaml",
        "
apiVersion: v1
kind: Service
metadata: {name: '{{ .Release.Name }}'}
spec:
  selector: {app.kubernetes.io/instance: '{{ .Release.Name }}'}
  ports: [{name: http, port: 80, targetPort: http}]
",
    ),
    (
        "map.yaml",
        "
apiVersion: v1
kind: ConfigMap
metadata: {name: '{{ .Release.Name }}'}
data: {color: '{{ .Values.color }}'}
",
    ),
    (
        "hooks.yaml",
        "
apiVersion: v1
kind: Pod
metadata:
  name: '{{ .Release.Name }}-before'
  annotations: {helm.sh/hook: pre-install, helm.sh/hook-delete-policy: hook-succeeded}
spec:
  restartPolicy: Never
  containers: [{name: c, image: '{{ .Values.tool }}', command: [sh, -c, 'echo before']}]
---
apiVersion: v1
kind: Pod
metadata: {name: '{{ .Release.Name }}-test', annotations: {helm.sh/hook: test}}
spec:
  restartPolicy: Never
  containers: [{name: c, image: '{{ .Values.tool }}', command: [sh, -c, 'wget -q -O - http://{{ .Release.Name }}/']}]
",
    ),
];

/// Writes the chart, and returns its folder.
pub fn chart(namespace: &Namespace) -> String {
    let folder = namespace.cluster.host().directory().join(format!("chart-{}", namespace.name));
    std::fs::create_dir_all(folder.join("templates")).unwrap();
    std::fs::write(folder.join("Chart.yaml"), CHART).unwrap();
    let values = format!("replicas: 1\ncolor: red\nimage: '{NGINX_1}'\ntool: '{BUSYBOX}'\n");
    std::fs::write(folder.join("values.yaml"), values).unwrap();
    for (name, text) in TEMPLATES {
        std::fs::write(folder.join("templates").join(name), text).unwrap();
    }
    folder.to_str().unwrap().to_owned()
}

/// A helm command for a namespace.
pub fn command(namespace: &Namespace, arguments: &[&str]) -> Command {
    let server = &namespace.cluster.server;
    let clients = std::env::var_os("IRONHULL_CLIENTS").expect("`cargo xtask test` sets it");
    let mut command = server.host().command(Path::new(&clients).join("helm"));
    let home = server.host().directory().join(format!("helm-{}", namespace.name));
    command.args(["--namespace", &namespace.name]).args(arguments);
    command.env("KUBECONFIG", server.kubeconfig()).env("HOME", home);
    command
}

/// The output of helm, which must succeed.
pub fn helm(namespace: &Namespace, arguments: &[&str]) -> String {
    output(&mut command(namespace, arguments)).unwrap_or_else(|error| panic!("{error:?}"))
}

fn a_chart_lives(namespace: &Namespace) {
    let chart = chart(namespace);
    let wait = ["--wait", "--timeout", "90s"];
    let with = |arguments: &[&'static str], more: &[&str]| {
        let mut all: Vec<String> = arguments.iter().map(|text| (*text).to_owned()).collect();
        all.extend(more.iter().chain(&wait).map(|text| (*text).to_owned()));
        let all: Vec<&str> = all.iter().map(String::as_str).collect();
        helm(namespace, &all)
    };
    let said = with(&["install", "web"], &[&chart]);
    assert!(said.contains("STATUS: deployed"), "{said}");
    // What is ready for helm is ready; its hook has run and gone.
    assert_eq!(namespace.field("deployment/web", ".status.readyReplicas"), "1");
    assert_eq!(namespace.run(&["get", "pods", "web-before", "--ignore-not-found"]), "");
    let managers = ".metadata.managedFields[*]['manager', 'operation']";
    assert!(namespace.field("configmap/web", managers).contains("helm"));
    assert!(namespace.field("configmap/web", managers).contains("Apply"));
    let said = helm(namespace, &["test", "web", "--timeout", "90s"]);
    assert!(said.contains("Succeeded"), "{said}");

    let image = format!("image={NGINX_2}");
    with(&["upgrade", "web"], &[&chart, "--set", "replicas=2,color=green", "--set", &image]);
    assert_eq!(namespace.field("deployment/web", ".spec.template.spec.containers[0].image"), NGINX_2);
    assert_eq!(namespace.field("deployment/web", ".status.updatedReplicas"), "2");
    assert_eq!(namespace.field("configmap/web", ".data.color"), "green");
    with(&["rollback", "web"], &["1"]);
    assert_eq!(namespace.field("deployment/web", ".spec.template.spec.containers[0].image"), NGINX_1);
    assert_eq!(namespace.field("deployment/web", ".spec.replicas"), "1");
    assert_eq!(namespace.field("configmap/web", ".data.color"), "red");
    let history = helm(namespace, &["history", "web", "-o", "json"]);
    let history: serde_json::Value = serde_json::from_str(&history).unwrap();
    assert_eq!(history.as_array().unwrap().len(), 3);
    let listed = helm(namespace, &["list", "-q"]);
    assert_eq!(listed, "web\n");
    with(&["uninstall", "web"], &[]);
    assert_eq!(
        namespace.run(&[
            "get",
            "deployments,services,configmaps",
            "-l",
            "app.kubernetes.io/instance=web",
            "-o",
            "name"
        ]),
        ""
    );
}

fn changes_of_others_are_conflicts(namespace: &Namespace) {
    let chart = chart(namespace);
    helm(namespace, &["install", "web", &chart, "--set", "replicas=0"]);
    namespace.run(&[
        "patch",
        "configmap",
        "web",
        "-p",
        r#"{"data": {"color": "blue"}}"#,
        "--field-manager=somebody",
    ]);
    let upgrade = ["upgrade", "web", &chart, "--set", "replicas=0,color=green"];
    let refused = output(&mut command(namespace, &upgrade));
    let Err(TestbedError::Failed { output: said, .. }) = refused else { panic!("{refused:?}") };
    assert!(said.contains(r#"conflict with "somebody" using v1"#), "{said}");
    assert_eq!(namespace.field("configmap/web", ".data.color"), "blue");
    let mut forced = upgrade.to_vec();
    forced.push("--force-conflicts");
    helm(namespace, &forced);
    assert_eq!(namespace.field("configmap/web", ".data.color"), "green");
    helm(namespace, &["uninstall", "web"]);
}
