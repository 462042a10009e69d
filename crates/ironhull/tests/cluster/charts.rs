//! helm with charts that bring hooks, definitions and passwords along.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use libtest_mimic::Trial;
use testbed::{TestbedError, output};

use crate::helm::{command, helm};
use crate::images::BUSYBOX;
use crate::support::{LIMIT, Namespace, SharedCluster, trial};

pub fn trials(shared: &Arc<SharedCluster>) -> Vec<Trial> {
    vec![
        trial(shared, "charts", "hooks_definitions_and_failures", hooks_definitions_and_failures),
        trial(shared, "charts", "what_helm_renders_is_applied_and_adopted", rendered_is_applied_and_adopted),
    ]
}

/// The folder of a chart among the tests.
fn chart(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/charts").join(name);
    folder.to_str().unwrap().to_owned()
}

/// A command for the chart of parts, with values.
fn parts(namespace: &Namespace, arguments: &[&str], values: &[&str]) -> Command {
    let (chart, tool) = (chart("parts"), format!("tool={BUSYBOX}"));
    let (action, flags) = arguments.split_first().expect("an action");
    let mut all = vec![*action, "parts", &chart, "--wait", "--timeout", "90s", "--set", &tool];
    all.extend(flags);
    values.iter().for_each(|value| all.extend(["--set", value]));
    command(namespace, &all)
}

fn traces(namespace: &Namespace) -> String {
    let path = "jsonpath={range .items[*]}{.metadata.name}={.data.revision} {end}";
    namespace
        .run(&["get", "configmaps", "-l", "trace=parts", "-o", path])
        .replace("trace-", "")
        .trim_end()
        .to_owned()
}

fn hooks_definitions_and_failures(namespace: &Namespace) {
    let run = |arguments: &[&str], values: &[&str]| output(&mut parts(namespace, arguments, values));
    let said = run(&["install"], &[]).unwrap();
    assert!(said.contains("STATUS: deployed"), "{said}");
    assert_eq!(traces(namespace), "post-install=1 pre-install=1");
    assert_eq!(namespace.field("part/own", ".spec.color"), "red");
    assert_eq!(namespace.run(&["get", "pod", "check", "--ignore-not-found"]), "");
    let password = namespace.field("secret/password", ".data.password");

    run(&["upgrade"], &["color=green"]).unwrap();
    assert_eq!(traces(namespace), "post-install=1 post-upgrade=2 pre-install=1 pre-upgrade=2");
    assert_eq!(namespace.field("part/own", ".spec.color"), "green");
    assert_eq!(namespace.field("secret/password", ".data.password"), password);

    // A hook that fails, an object that the server refuses, and a workload that does not come up: each is undone.
    // The limit of the last, which is waited for, is for its rollback too.
    let failures = [
        ("check=false", "90s", "pre-upgrade hooks failed"),
        ("color=pink", "90s", r#"spec.color: Unsupported value: "pink""#),
        ("ready=false", "30s", "worker"),
    ];
    for (value, limit, why) in failures {
        let failed = run(&["upgrade", "--rollback-on-failure", "--timeout", limit], &[value]);
        let Err(TestbedError::Failed { output: said, .. }) = failed else { panic!("{value}: {failed:?}") };
        assert!(said.contains(why), "{value}: {said}");
        assert_eq!(namespace.field("part/own", ".spec.color"), "green", "{value}");
        let template = ".spec.template.spec.containers[0].readinessProbe.exec.command[2]";
        assert_eq!(namespace.field("deployment/worker", template), "true", "{value}");
        let status = helm(namespace, &["status", "parts", "-o", "json"]);
        let status: serde_json::Value = serde_json::from_str(&status).unwrap();
        let info = &status["info"];
        assert_eq!(info["status"], "deployed", "{value}: {}", info["description"]);
    }
    helm(namespace, &["rollback", "parts", "1", "--wait", "--timeout", "90s"]);
    assert_eq!(namespace.field("part/own", ".spec.color"), "red");
    assert!(traces(namespace).contains("post-rollback="), "{}", traces(namespace));
    assert_eq!(namespace.field("secret/password", ".data.password"), password);

    helm(namespace, &["uninstall", "parts", "--wait", "--timeout", "90s"]);
    let left = traces(namespace);
    assert!(left.contains("pre-delete=") && left.contains("post-delete="), "{left}");
    // The definition stays, and a second release finds it there.
    assert_eq!(namespace.run(&["get", "parts", "-o", "name"]), "");
    run(&["install"], &["color=blue"]).unwrap();
    assert_eq!(namespace.field("part/own", ".spec.color"), "blue");
    assert_ne!(namespace.field("secret/password", ".data.password"), password);
    helm(namespace, &["uninstall", "parts", "--no-hooks"]);
    namespace.run(&["delete", "crd", "parts.parts.example.com", LIMIT]);
}

fn rendered_is_applied_and_adopted(namespace: &Namespace) {
    let chart = crate::helm::chart(namespace);
    let rendered = helm(namespace, &["template", "web", &chart, "--no-hooks", "--set", "replicas=1"]);
    let server = &namespace.cluster.server;
    let apply = ["--namespace", &namespace.name, "apply", "--server-side", "-f", "-"];
    // The second time changes nothing.
    let version = || namespace.field("configmap/web", ".metadata.resourceVersion");
    let said = server.kubectl_with_input(&apply, &rendered).unwrap();
    assert_eq!(said.matches("serverside-applied").count(), 3, "{said}");
    let first = version();
    server.kubectl_with_input(&apply, &rendered).unwrap();
    assert_eq!(version(), first);
    let mut diff = server.kubectl(&["--namespace", &namespace.name, "diff", "--server-side", "-f", "-"]);
    let file = namespace.cluster.host().directory().join(format!("rendered-{}.yaml", namespace.name));
    std::fs::write(&file, &rendered).unwrap();
    diff.stdin(std::fs::File::open(&file).unwrap());
    let found = diff.output().unwrap();
    assert!(found.status.success(), "{found:?}");

    let install = ["install", "web", &chart, "--set", "replicas=1", "--wait", "--timeout", "90s"];
    let refused = output(&mut command(namespace, &install));
    let Err(TestbedError::Failed { output: said, .. }) = refused else { panic!("{refused:?}") };
    assert!(said.contains("cannot be imported into the current release"), "{said}");
    let mut adopting = install.to_vec();
    adopting.push("--take-ownership");
    let said = helm(namespace, &adopting);
    assert!(said.contains("STATUS: deployed"), "{said}");
    let annotation = r".metadata.annotations.meta\.helm\.sh/release-name";
    assert_eq!(namespace.field("deployment/web", annotation), "web");
    helm(namespace, &["uninstall", "web", "--wait", "--timeout", "90s"]);
    assert_eq!(namespace.run(&["get", "configmap", "web", "--ignore-not-found"]), "");
}
