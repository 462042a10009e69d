//! kubectl's commands, as the `[sig-cli]` tests of the conformance suite use them. `docs/sig-cli.md` has the table of both.

use std::sync::Arc;

use libtest_mimic::Trial;
use testbed::output;

use crate::images::{BUSYBOX, NGINX_1, NGINX_2};
use crate::support::{LIMIT, Namespace, SharedCluster, trial};

pub fn trials(shared: &Arc<SharedCluster>) -> Vec<Trial> {
    let trial = |name, test| trial(shared, "kubectl", name, test);
    vec![
        trial("should_tell_about_the_server", should_tell_about_the_server),
        trial("should_change_pods", should_change_pods),
        trial("should_manage_a_replication_controller", should_manage_a_replication_controller),
        trial("should_run_a_guestbook", should_run_a_guestbook),
        trial("should_be_a_proxy", should_be_a_proxy),
    ]
}

/// "[sig-cli] Kubectl client Kubectl api-versions should check if v1 is in available api versions [Conformance]",
/// "[sig-cli] Kubectl client Kubectl cluster-info should check if Kubernetes control plane services is included in
/// cluster-info [Conformance]", "[sig-cli] Kubectl client Kubectl version should check is all data is printed [Conformance]".
fn should_tell_about_the_server(namespace: &Namespace) {
    let versions = namespace.run(&["api-versions"]);
    assert!(versions.lines().any(|line| line == "v1"), "{versions}");
    let info = namespace.run(&["cluster-info"]);
    assert!(info.contains("Kubernetes control plane") && info.contains("is running at"), "{info}");
    let version = namespace.run(&["version"]);
    for line in ["Client Version: v1.", "Server Version: v1.37."] {
        assert!(version.lines().any(|found| found.starts_with(line)), "{line} in {version}");
    }
    let version: serde_json::Value =
        serde_json::from_str(&namespace.run(&["get", "--raw", "/version"])).unwrap();
    assert!(version["goVersion"].as_str().is_some_and(|version| version.starts_with("rust1.")), "{version}");
    let parts = namespace.run(&["get", "componentstatuses", "--no-headers"]);
    let parts: Vec<Vec<&str>> = parts.lines().map(|line| line.split_whitespace().collect()).collect();
    let healthy = ["controller-manager", "scheduler", "etcd-0"].map(|name| vec![name, "Healthy", "ok"]);
    assert_eq!(parts, healthy);
}

/// "[sig-cli] Kubectl client Kubectl run pod should create a pod from an image when restart is Never [Conformance]", "...
/// Kubectl label should update the label on a resource", "... Kubectl replace should update a single-container pod's image",
/// "... Kubectl server-side dry-run should check if kubectl can dry-run update Pods", "... Kubectl diff should check if kubectl
/// diff finds a difference for Deployments".
fn should_change_pods(namespace: &Namespace) {
    let image = format!("--image={NGINX_1}");
    namespace.run(&["run", "web", &image, "--restart=Never", "--labels=run=web"]);
    let field = |path: &str| namespace.field("pod/web", path);
    assert_eq!(field(".spec.restartPolicy"), "Never");
    assert_eq!(field(".spec.containers[*].image"), NGINX_1);
    namespace.wait("pod/web", "condition=Ready");

    namespace.run(&["label", "pods", "web", "testing-label=testing-label-value"]);
    assert!(namespace.run(&["get", "pod", "web", "-L", "testing-label"]).contains("testing-label-value"));
    assert_eq!(namespace.run(&["get", "pod", "-l", "testing-label", "-o", "name"]), "pod/web\n");
    namespace.run(&["label", "pods", "web", "testing-label-"]);
    assert!(!namespace.run(&["get", "pod", "web", "-L", "testing-label"]).contains("testing-label-value"));
    assert_eq!(namespace.run(&["get", "pod", "-l", "testing-label", "-o", "name"]), "");

    let patch = format!(r#"{{"spec": {{"containers": [{{"name": "web", "image": "{NGINX_2}"}}]}}}}"#);
    let said = namespace.run(&["patch", "pod", "web", "-p", &patch, "--dry-run=server", "-o", "yaml"]);
    assert!(said.contains(NGINX_2), "{said}");
    assert_eq!(field(".spec.containers[0].image"), NGINX_1, "a dry run changes nothing");
    let live = namespace.run(&["get", "pod", "web", "-o", "json"]);
    let changed = live.replace(NGINX_1, NGINX_2);
    let replace = ["--namespace", &namespace.name, "replace", "-f", "-"];
    let said = namespace.cluster.server.kubectl_with_input(&replace, &changed).unwrap();
    assert_eq!(said, "pod/web replaced\n");
    assert_eq!(field(".spec.containers[0].image"), NGINX_2);
    // By force it is another pod.
    let uid = field(".metadata.uid");
    let force = ["--namespace", &namespace.name, "replace", "--force", "--grace-period=0", "-f", "-"];
    namespace.cluster.server.kubectl_with_input(&force, &live).unwrap();
    assert_ne!(field(".metadata.uid"), uid);
    assert_eq!(field(".spec.containers[0].image"), NGINX_1);
    namespace.run(&["delete", "pod", "web", "--grace-period=1"]);

    let deployment = |image: &str| {
        format!(
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: web}}\nspec: {{replicas: 0, selector: {{matchLabels: \
             {{app: web}}}}, template: {{metadata: {{labels: {{app: web}}}}, spec: {{containers: [{{name: c, image: '{image}'}}]}}}}}}\n"
        )
    };
    namespace.apply(&deployment(NGINX_1));
    let file = namespace.cluster.host().directory().join("declared.yaml");
    std::fs::write(&file, deployment(BUSYBOX)).unwrap();
    let found = namespace.kubectl(&["diff", "-f", file.to_str().unwrap()]).output().unwrap();
    let text = String::from_utf8_lossy(&found.stdout);
    assert_eq!(found.status.code(), Some(1), "{found:?}");
    for (sign, image) in [('-', NGINX_1), ('+', BUSYBOX)] {
        let differs = |line: &str| line.starts_with(sign) && line.ends_with(&format!("image: {image}"));
        assert!(text.lines().any(differs), "{sign} {image} in\n{text}");
    }
    assert_eq!(namespace.field("deployment/web", ".spec.template.spec.containers[0].image"), NGINX_1);
}

/// "[sig-cli] Kubectl client Update Demo should create and stop a replication controller [Conformance]", "... should scale a
/// replication controller", "[sig-cli] Kubectl client Kubectl expose should create services for rc [Conformance]", "... Kubectl
/// patch should add annotations for pods in rc", "... Kubectl describe should check if kubectl describe prints relevant
/// information for rc and pods".
fn should_manage_a_replication_controller(namespace: &Namespace) {
    namespace.apply(
        r#"
apiVersion: v1
kind: ReplicationController
metadata: {name: demo, labels: {app: demo}}
spec:
  replicas: 2
  selector: {app: demo}
  template:
    metadata: {labels: {app: demo}}
    spec: {terminationGracePeriodSeconds: 1, containers: [{name: web, image: $NGINX, ports: [{name: http, containerPort: 80}]}]}
"#,
    );
    let pods = || {
        let path = "jsonpath={range .items[?(@.status.phase==\"Running\")]}{.metadata.name} {end}";
        let text = namespace.run(&["get", "pods", "-l", "app=demo", "-o", path]);
        text.split_whitespace().map(str::to_owned).collect::<Vec<_>>()
    };
    let are = |count: usize| {
        namespace.until(&format!("{count} pods"), || {
            let pods = pods();
            if pods.len() == count { Ok(pods) } else { Err(format!("{pods:?}")) }
        })
    };
    are(2);
    for count in [1, 2] {
        namespace.run(&["scale", "rc", "demo", &format!("--replicas={count}"), "--timeout=5m"]);
        are(count);
    }
    namespace.wait("rc/demo", "jsonpath={.status.readyReplicas}=2");
    let names = are(2);
    for name in &names {
        namespace.run(&["patch", "pod", name, "-p", r#"{"metadata": {"annotations": {"x": "y"}}}"#]);
        assert_eq!(namespace.field(&format!("pod/{name}"), ".metadata.annotations.x"), "y");
    }
    namespace.run(&["expose", "rc", "demo", "--name=rm2", "--port=1234", "--target-port=80"]);
    namespace.run(&["expose", "service", "rm2", "--name=rm3", "--port=2345", "--target-port=80"]);
    for (service, port) in [("rm2", "1234"), ("rm3", "2345")] {
        let address = namespace.field(&format!("service/{service}"), ".spec.clusterIP");
        namespace.until("the page", || namespace.cluster.fetch(&format!("{address}:{port}")));
        namespace
            .until_output(&["get", "endpoints", service, "-o", "jsonpath={.subsets[*].ports[*].port}"], "80");
    }
    let node = namespace.cluster.host().name();
    let place = &namespace.name;
    let described: [(&[&str], &[&str]); 5] = [
        (
            &["describe", "pod", &names[0]],
            &[
                "Name:",
                "Namespace:",
                "Node:",
                "Labels:",
                "app=demo",
                "Status:",
                "Running",
                "IP:",
                "Controlled By:",
                "ReplicationController/demo",
                "Image:",
                "State:",
                "QoS Class:",
            ],
        ),
        (
            &["describe", "rc", "demo"],
            &[
                "Name:",
                "demo",
                "Namespace:",
                place,
                "Selector:",
                "app=demo",
                "Labels:",
                "Annotations:",
                "Replicas:",
                "2 current",
                "2 desired",
                "Pods Status:",
                "2 Running",
                "Pod Template:",
                "Image:",
                "Events:",
            ],
        ),
        (
            &["describe", "service", "rm2"],
            &[
                "Name:",
                "rm2",
                "Namespace:",
                "Labels:",
                "app=demo",
                "Selector:",
                "app=demo",
                "Type:",
                "ClusterIP",
                "IP:",
                "Port:",
                "<unset>",
                "1234/TCP",
                "Endpoints:",
                "Session Affinity:",
            ],
        ),
        (
            &["describe", "node", node],
            &[
                "Name:",
                "Labels:",
                "Annotations:",
                "CreationTimestamp:",
                "Conditions:",
                "Type",
                "Status",
                "LastHeartbeatTime",
                "LastTransitionTime",
                "Reason",
                "Message",
                "Addresses:",
                "Capacity:",
                "Version:",
                "Container Runtime Version",
                "Kubelet Version:",
                "Pods:",
            ],
        ),
        (&["describe", "namespace", place], &["Name:", "Labels:", "Annotations:", "Status:", "Active"]),
    ];
    for (command, parts) in described {
        let text = namespace.run(command);
        for part in parts {
            assert!(text.contains(part), "{part} in {command:?}\n{text}");
        }
    }
    namespace.run(&["delete", "rc", "demo", LIMIT]);
    namespace.until("the end of the pods", || {
        let left = namespace.run(&["get", "pods", "-l", "app=demo", "-o", "name"]);
        if left.is_empty() { Ok(()) } else { Err(left) }
    });
}

/// "[sig-cli] Kubectl client Guestbook application should create and stop a working application [Conformance]", with the
/// database and a shell in place of the suite's own program: what one writes to the primary comes back from the replicas.
fn should_run_a_guestbook(namespace: &Namespace) {
    let deployment = |name: &str, replicas: u32, command: &str| {
        format!(
            "---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: {name}, labels: {{app: guestbook}}}}\nspec:\n  replicas: {replicas}\n  \
             selector: {{matchLabels: {{part: {name}}}}}\n  template:\n    metadata: {{labels: {{part: {name}}}}}\n    spec:\n      \
             terminationGracePeriodSeconds: 1\n      containers:\n      - {{name: c, image: $REDIS, command: {command}, ports: [{{containerPort: 6379}}]}}\n\
             ---\napiVersion: v1\nkind: Service\nmetadata: {{name: {name}, labels: {{app: guestbook}}}}\nspec: {{selector: {{part: {name}}}, \
             ports: [{{port: 6379}}]}}\n"
        )
    };
    namespace.apply(&deployment("primary", 1, "[redis-server, --protected-mode, 'no']"));
    namespace.apply(&deployment(
        "replica",
        2,
        "[redis-server, --protected-mode, 'no', --replicaof, primary, '6379']",
    ));
    namespace.apply(&deployment("frontend", 3, "[sleep, '1000']"));
    for name in ["primary", "replica", "frontend"] {
        namespace.run(&["rollout", "status", &format!("deployment/{name}"), LIMIT]);
    }
    let ask = |host: &str, command: &str| {
        let script = format!("redis-cli -h {host} {command}");
        output(&mut namespace.kubectl(&["exec", "deployment/frontend", "--", "sh", "-c", &script]))
    };
    namespace.until("an entry", || match ask("primary", "set entry TestEntry") {
        Ok(answer) if answer == "OK\n" => Ok(()),
        other => Err(format!("{other:?}")),
    });
    namespace.until("the entry at the replicas", || match ask("replica", "get entry") {
        Ok(answer) if answer == "TestEntry\n" => Ok(()),
        other => Err(format!("{other:?}")),
    });
    namespace.run(&["delete", "deployment,service", "-l", "app=guestbook", LIMIT]);
    assert_eq!(namespace.run(&["get", "deployments,services", "-l", "app=guestbook", "-o", "name"]), "");
}

/// "[sig-cli] Kubectl client Proxy server should support proxy with --port 0 [Conformance]", "... --unix-socket=/path".
fn should_be_a_proxy(namespace: &Namespace) {
    let host = namespace.cluster.host();
    let proxy = namespace.follow(&["proxy", "--port=0"]);
    let said = proxy.until("Starting to serve on 127.0.0.1:");
    let address =
        said.split("Starting to serve on ").nth(1).and_then(|rest| rest.split_whitespace().next()).unwrap();
    let socket = host.directory().join("proxy.sock");
    let by_path = namespace.follow(&["proxy", &format!("--unix-socket={}", socket.display())]);
    by_path.until("Starting to serve on ");
    let mut through_port = host.command("curl");
    through_port.args(["-sS", "-f", "-m", "10", &format!("http://{address}/api/")]);
    let mut through_socket = host.command("curl");
    through_socket.args(["-sS", "-f", "-m", "10", "--unix-socket"]).arg(&socket).arg("http://localhost/api/");
    for mut curl in [through_port, through_socket] {
        let answer: serde_json::Value = serde_json::from_str(&output(&mut curl).unwrap()).unwrap();
        assert_eq!(answer["versions"][0], "v1", "{answer}");
    }
}
