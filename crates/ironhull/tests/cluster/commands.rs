//! kubectl's output and actions.

use std::io::{Read, Write};
use std::sync::Arc;

use libtest_mimic::Trial;
use testbed::output;

use crate::deployment::WEB;
use crate::support::{LIMIT, Namespace, SharedCluster, terminal, trial};

pub fn trials(shared: &Arc<SharedCluster>) -> Vec<Trial> {
    let trial = |name, test| trial(shared, "commands", name, test);
    vec![
        trial("get_and_describe", get_and_describe),
        trial("logs", logs),
        trial("exec", exec),
        trial("events_explain_and_delete", events_explain_and_delete),
        trial("port_forward_and_copy", port_forward_and_copy),
        trial("image_commands", image_commands),
    ]
}

/// A table that kubectl printed: the words of each line, headings first. Columns are separated by three spaces.
fn table(text: &str) -> Vec<Vec<String>> {
    text.lines()
        .map(|line| {
            line.split("   ").map(str::trim).filter(|cell| !cell.is_empty()).map(str::to_owned).collect()
        })
        .collect()
}

fn get_and_describe(namespace: &Namespace) {
    namespace.apply(WEB);
    namespace.run(&["rollout", "status", "deployment/web", LIMIT]);
    let deployments = table(&namespace.run(&["get", "deployments", "-o", "wide"]));
    let headings = ["NAME", "READY", "UP-TO-DATE", "AVAILABLE", "AGE", "CONTAINERS", "IMAGES", "SELECTOR"];
    assert_eq!(deployments[0], headings);
    assert_eq!(deployments[1][..4], ["web", "3/3", "3", "3"]);
    assert_eq!(deployments[1][5..], ["nginx", crate::images::NGINX_1, "app=web"]);

    let pods = table(&namespace.run(&["get", "pods", "-o", "wide"]));
    let headings =
        ["NAME", "READY", "STATUS", "RESTARTS", "AGE", "IP", "NODE", "NOMINATED NODE", "READINESS GATES"];
    assert_eq!(pods[0], headings);
    assert_eq!(pods.len(), 4);
    for pod in &pods[1..] {
        assert!(pod[0].starts_with("web-"), "{pod:?}");
        assert_eq!(pod[1..4], ["1/1", "Running", "0"], "{pod:?}");
        assert!(pod[5].starts_with("10.42."), "{pod:?}");
        assert_eq!(pod[6..], [namespace.cluster.host().name(), "<none>", "<none>"], "{pod:?}");
    }
    let services = table(&namespace.run(&["get", "service", "web"]));
    assert_eq!(services[0], ["NAME", "TYPE", "CLUSTER-IP", "EXTERNAL-IP", "PORT(S)", "AGE"]);
    assert_eq!((services[1][1].as_str(), services[1][3].as_str()), ("NodePort", "<none>"));
    let nodes = table(&namespace.run(&["get", "nodes", "-o", "wide"]));
    assert_eq!(nodes[1][..2], [namespace.cluster.host().name(), "Ready"]);
    assert!(nodes[1][4].starts_with("v1.37"), "{nodes:?}");
    assert!(nodes[1].contains(&testbed::HOST_ADDRESS.to_string()), "{nodes:?}");

    let described = namespace.run(&["describe", "deployment", "web"]);
    for expected in [
        "3 desired | 3 updated | 3 total | 3 available | 0 unavailable",
        "StrategyType:           RollingUpdate",
        "Available      True    MinimumReplicasAvailable",
        "Scaled up replica set web-",
    ] {
        assert!(described.contains(expected), "{expected:?} in\n{described}");
    }
    // Waiting is necessary: events are written asynchronously.
    let described = namespace.until_output(&["describe", "pod", &pods[1][0]], "Container started");
    for expected in [
        "Status:           Running",
        "Controlled By:  ReplicaSet/web-",
        "Ready:          True",
        "QoS Class:                   Burstable",
        "Successfully assigned",
        "Readiness:",
        "kube-api-access-",
        "node.kubernetes.io/not-ready:NoExecute op=Exists for 300s",
    ] {
        assert!(described.contains(expected), "{expected:?} in\n{described}");
    }
    let described = namespace.run(&["describe", "service", "web"]);
    let endpoints = described.lines().find(|line| line.starts_with("Endpoints:")).unwrap_or_default();
    assert_eq!(endpoints.matches(":80").count(), 3, "{described}");
    let described = namespace.run(&["describe", "node", namespace.cluster.host().name()]);
    for expected in ["KubeletReady", "Non-terminated Pods:", "Allocated resources:", "PodCIDR:"] {
        assert!(described.contains(expected), "{expected:?} in\n{described}");
    }
}

fn logs(namespace: &Namespace) {
    namespace.apply(
        r#"
apiVersion: v1
kind: Pod
metadata: {name: counter}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - name: counter
    image: $BUSYBOX
    command: [sh, -c, 'for i in 1 2 3; do echo line $i; done; echo to stderr >&2; read next < /tmp/fifo; echo $next; sleep 1000']
    volumeMounts: [{name: tmp, mountPath: /tmp}]
  - {name: other, image: $BUSYBOX, command: [sh, -c, 'echo other; sleep 1000']}
  initContainers:
  - {name: first, image: $BUSYBOX, command: [sh, -c, 'mkfifo /tmp/fifo; echo made'], volumeMounts: [{name: tmp, mountPath: /tmp}]}
  volumes: [{name: tmp, emptyDir: {}}]
"#,
    );
    namespace.wait("pod/counter", "condition=Ready");
    assert_eq!(namespace.run(&["logs", "counter", "-c", "first"]), "made\n");
    namespace.until_output(&["logs", "counter", "-c", "other"], "other\n");
    let following = namespace.follow(&["logs", "-f", "counter", "-c", "counter"]);
    following.until("to stderr\n");
    namespace.exec("counter", "echo appended > /tmp/fifo");
    let seen = following.until("appended\n");
    assert_eq!(seen, "line 1\nline 2\nline 3\nto stderr\nappended\n");
    assert_eq!(namespace.run(&["logs", "counter", "-c", "counter", "--tail=2"]), "to stderr\nappended\n");
    assert_eq!(namespace.run(&["logs", "counter", "-c", "counter", "--limit-bytes=6"]), "line 1");
    let stamped = namespace.run(&["logs", "counter", "-c", "counter", "--timestamps", "--tail=1"]);
    assert!(stamped.starts_with("20") && stamped.ends_with("Z appended\n"), "{stamped}");
    assert_eq!(namespace.run(&["logs", "counter", "-c", "counter", "--since=24h"]), seen);
    namespace.until("a second without a line", || {
        let recent = namespace.run(&["logs", "counter", "-c", "counter", "--since=1s"]);
        if recent.is_empty() { Ok(()) } else { Err(recent) }
    });
    let all = namespace.run(&["logs", "counter", "--all-containers", "--prefix"]);
    assert!(
        all.contains("[pod/counter/other] other\n") && all.contains("[pod/counter/first] made\n"),
        "{all}"
    );
    // A follower ends with the pod.
    namespace.run(&["delete", "pod", "counter"]);
    following.end();
    let said = namespace.fails(&["logs", "counter"]);
    assert!(said.contains("pods \"counter\" not found"), "{said}");
}

fn exec(namespace: &Namespace) {
    namespace.apply(
        "{apiVersion: v1, kind: Pod, metadata: {name: box}, \
         spec: {containers: [{name: c, image: $BUSYBOX, command: [sleep, '1000']}]}}",
    );
    namespace.wait("pod/box", "condition=Ready");
    // Output, errors and the exit code are returned separately.
    let mut command = namespace.kubectl(&["exec", "box", "--", "sh", "-c", "echo out; echo err >&2; exit 7"]);
    let result = command.output().unwrap();
    assert_eq!(result.stdout, b"out\n");
    let errors = String::from_utf8_lossy(&result.stderr);
    assert!(errors.starts_with("err\n") && errors.contains("exit code 7"), "{errors}");
    assert_eq!(result.status.code(), Some(7));
    // Input is received, and so is its end.
    let counted = namespace.cluster.server.kubectl_with_input(
        &["-n", &namespace.name, "exec", "-i", "box", "--", "wc", "-c"],
        &"x".repeat(100_000),
    );
    assert_eq!(counted.unwrap().trim(), "100000");
    let said = namespace.fails(&["exec", "box", "--", "no-such-program"]);
    assert!(said.contains("no-such-program"), "{said}");
    let said = namespace.fails(&["exec", "box", "-c", "none", "--", "true"]);
    assert!(
        said.contains("container not found (\"none\")") || said.contains("container none is not valid"),
        "{said}"
    );

    // A shell in a terminal: it echoes, has a size, and exits when told to.
    let mut shell = terminal(&namespace.kubectl(&["exec", "-it", "box", "--", "sh"]));
    let mut input = shell.stdin.take().unwrap();
    input.write_all(b"test -t 0 && test -t 1 && echo a term''inal\nexit 3\n").unwrap();
    let mut text = String::new();
    shell.stdout.take().unwrap().read_to_string(&mut text).unwrap();
    let status = shell.wait().unwrap();
    drop(input);
    assert!(text.contains("a terminal\r\n"), "{text:?}");
    assert_eq!(status.code(), Some(3), "{text:?}");
}

fn events_explain_and_delete(namespace: &Namespace) {
    namespace.apply(
        "{apiVersion: v1, kind: Pod, metadata: {name: box}, \
         spec: {containers: [{name: c, image: $BUSYBOX, command: [sleep, '1000']}]}}",
    );
    namespace.wait("pod/box", "condition=Ready");
    let events = namespace.until_output(&["get", "events"], "Started");
    assert_eq!(table(&events)[0], ["LAST SEEN", "TYPE", "REASON", "OBJECT", "MESSAGE"]);
    for reason in ["Scheduled", "Created", "Started"] {
        let line = events.lines().find(|line| line.contains(reason));
        assert!(
            line.is_some_and(|line| line.contains("Normal") && line.contains("pod/box")),
            "{reason}: {events}"
        );
    }
    assert!(events.contains("Pulled") || events.contains("Pulling"), "{events}");
    let events = namespace.run(&["events", "--for", "pod/box"]);
    assert!(events.contains("Pod/box"), "{events}");

    let explained = namespace.run(&["explain", "deployment.spec.strategy"]);
    for expected in
        ["GROUP:      apps", "KIND:       Deployment", "VERSION:    v1", "rollingUpdate\t<", "FIELDS:"]
    {
        assert!(explained.contains(expected), "{expected:?} in\n{explained}");
    }
    let explained = namespace.run(&["explain", "pod.spec.containers.ports", "--recursive"]);
    assert!(explained.contains("containerPort\t<integer> -required-"), "{explained}");
    let said = namespace.fails(&["explain", "pod.spec.nothing"]);
    assert!(said.contains("field \"nothing\" does not exist"), "{said}");

    // Deletion waits for the pod to be gone, and terminates it gracefully.
    let said = namespace.run(&["delete", "pod", "box", "--grace-period=1"]);
    assert_eq!(said, format!("pod \"box\" deleted from {} namespace\n", namespace.name));
    let said = namespace.fails(&["get", "pod", "box"]);
    assert_eq!(said, "Error from server (NotFound): pods \"box\" not found\n");
    let said = namespace.run(&["get", "pods"]);
    assert_eq!(said, "");
    // Deleting a Deployment deletes its objects, and deleting a namespace everything.
    namespace.apply(WEB);
    namespace.run(&["rollout", "status", "deployment/web", LIMIT]);
    let said = namespace.run(&["delete", "deployment,service", "web", "--cascade=foreground"]);
    let place = &namespace.name;
    let expected = format!(
        "deployment.apps \"web\" deleted from {place} namespace\nservice \"web\" deleted from {place} namespace\n"
    );
    assert_eq!(said, expected);
    for kind in ["replicasets", "pods", "endpointslices"] {
        let left = namespace.until(&format!("the end of the {kind}"), || {
            let left = namespace.run(&["get", kind, "-o", "name"]);
            if left.is_empty() { Ok(left) } else { Err(left) }
        });
        assert_eq!(left, "");
    }
    let other = format!("{place}-more");
    namespace.run(&["create", "namespace", &other]);
    namespace.run(&["-n", &other, "create", "configmap", "c", "--from-literal=a=b"]);
    let mut delete = namespace.cluster.server.kubectl(&["delete", "namespace", &other]);
    assert_eq!(output(&mut delete).unwrap(), format!("namespace \"{other}\" deleted\n"));
    namespace.fails(&["get", "namespace", &other]);
}

fn port_forward_and_copy(namespace: &Namespace) {
    namespace.apply(
        "{apiVersion: v1, kind: Pod, metadata: {name: box}, spec: {containers: [{name: c, image: $NGINX, \
         readinessProbe: {httpGet: {port: 80}, periodSeconds: 1}}]}}",
    );
    namespace.wait("pod/box", "condition=Ready");
    let forward = namespace.follow(&["port-forward", "pod/box", "18080:80"]);
    forward.until("Forwarding from 127.0.0.1:18080 -> 80");
    for _ in 0..3 {
        assert_eq!(namespace.cluster.fetch("127.0.0.1:18080").unwrap(), "box version 1\n");
    }
    drop(forward);
    let file = namespace.cluster.host().directory().join("copied");
    std::fs::write(&file, "carried over\n".repeat(1000)).unwrap();
    namespace.run(&["cp", file.to_str().unwrap(), "box:/tmp/copied"]);
    assert_eq!(namespace.exec("box", "wc -l < /tmp/copied").trim(), "1000");
}

/// `ironhull image ...` beside a server that runs.
fn image_commands(namespace: &Namespace) {
    let server = &namespace.cluster.server;
    let run = |arguments: &[&str], input: &[u8]| {
        let mut command = server.ironhull(&[&["image"], arguments].concat());
        // A file, so that nothing has to be written while the command runs.
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(input).unwrap();
        std::io::Seek::rewind(&mut file).unwrap();
        let result = command.stdin(file).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (result.status.code(), text(result.stdout), text(result.stderr))
    };
    let fails = |arguments: &[&str], input: &[u8], expected: &str| {
        let (code, said, errors) = run(arguments, input);
        assert_eq!((code, said.as_str()), (Some(1), ""), "{errors}");
        assert_eq!(errors, format!("{expected}\n"));
    };
    fails(
        &["rm", "nope"],
        b"",
        "ironhull: there is no image nope on this machine (`ironhull image list` shows them)",
    );
    let secret = b"secret text ".repeat(100);
    fails(&["import", "-"], &secret, "ironhull: cannot import -: it is not a tar archive");
    let file = namespace.cluster.host().directory().join("garbage.tar");
    std::fs::write(&file, &secret).unwrap();
    let file = file.to_str().unwrap();
    fails(&["import", file], b"", &format!("ironhull: cannot import {file}: it is not a tar archive"));

    let archive = namespace.cluster.host().directory().join("small.tar");
    let mut image = runtime::images::build::ImageBuilder::new();
    image.add_file("/hello", "hello\n", 0o644);
    image.build().write_docker_archive(&archive, &["example.org/small:1"]).unwrap();
    let (code, said, errors) = run(&["import", "-"], &std::fs::read(&archive).unwrap());
    assert_eq!(code, Some(0), "{errors}");
    assert!(said.starts_with("imported sha256:"), "{said}");
    let listed = || run(&["list"], b"").1;
    assert!(listed().contains("example.org/small:1 "), "{}", listed());
    let (_, said, errors) = run(&["rm", "example.org/small:1"], b"");
    assert_eq!(said, "removed example.org/small:1\n", "{errors}");
    assert!(!listed().contains("example.org/small:1 "));
}
