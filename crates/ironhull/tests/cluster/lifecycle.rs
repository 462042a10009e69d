//! The life of pods: init containers, restarts, probes, hooks, grace periods.

use std::sync::Arc;

use libtest_mimic::Trial;

use crate::support::{Namespace, SharedCluster, trial};

pub fn trials(shared: &Arc<SharedCluster>) -> Vec<Trial> {
    let trial = |name, test| trial(shared, "lifecycle", name, test);
    vec![
        trial("containers_crash_and_back_off", containers_crash_and_back_off),
        trial("probes_decide", probes_decide),
        trial("init_containers_come_first", init_containers_come_first),
        trial("sidecars_last_as_long_as_the_pod", sidecars_last_as_long_as_the_pod),
        trial("pods_end_as_told", pods_end_as_told),
        trial("hooks_and_grace", hooks_and_grace),
    ]
}

const STATUS: &str = ".status.containerStatuses[0]";

fn init_containers_come_first(namespace: &Namespace) {
    namespace.apply(
        r#"
apiVersion: v1
kind: Pod
metadata: {name: steps}
spec:
  restartPolicy: Never
  initContainers:
  - {name: one, image: $BUSYBOX, command: [sh, -c, 'echo one >> /work/steps'], volumeMounts: [&work {name: work, mountPath: /work}]}
  - {name: two, image: $BUSYBOX, command: [sh, -c, 'echo two >> /work/steps'], volumeMounts: [*work]}
  containers:
  - {name: main, image: $BUSYBOX, command: [cat, /work/steps], volumeMounts: [*work]}
  volumes: [{name: work, emptyDir: {medium: Memory, sizeLimit: 1Mi}}]
---
apiVersion: v1
kind: Pod
metadata: {name: stuck}
spec:
  restartPolicy: Never
  initContainers: [{name: fails, image: $BUSYBOX, command: [sh, -c, 'exit 4']}]
  containers: [{name: main, image: $BUSYBOX, command: [sleep, '1000']}]
"#,
    );
    assert_eq!(namespace.output_of("steps"), "one\ntwo\n");
    let line = namespace.run(&["get", "pod", "steps", "--no-headers"]);
    assert!(line.contains("0/1") && line.contains("Completed"), "{line}");
    namespace.wait("pod/stuck", "jsonpath={.status.phase}=Failed");
    let line = namespace.run(&["get", "pod", "stuck", "--no-headers"]);
    assert!(line.contains("Init:Error"), "{line}");
    let init = ".status.initContainerStatuses[0].state.terminated";
    assert_eq!(namespace.field("pod/stuck", &format!("{init}.exitCode")), "4");
    assert_eq!(namespace.field("pod/stuck", &format!("{STATUS}.state.waiting.reason")), "PodInitializing");
}

fn sidecars_last_as_long_as_the_pod(namespace: &Namespace) {
    namespace.apply(
        r#"
apiVersion: v1
kind: Pod
metadata: {name: helped}
spec:
  restartPolicy: Never
  initContainers:
  - name: side
    image: $BUSYBOX
    restartPolicy: Always
    command: [sh, -c, 'trap "echo ended; exit 0" TERM; echo ready > /work/ready; while :; do sleep 0.1; done']
    startupProbe: {exec: {command: [test, -e, /work/ready]}, periodSeconds: 1}
    volumeMounts: [&work {name: work, mountPath: /work}]
  containers:
  - {name: main, image: $BUSYBOX, command: [cat, /work/ready], volumeMounts: [*work]}
  volumes: [{name: work, emptyDir: {}}]
"#,
    );
    namespace.wait("pod/helped", "jsonpath={.status.phase}=Succeeded");
    assert_eq!(namespace.run(&["logs", "helped", "-c", "main"]), "ready\n");
    assert_eq!(namespace.run(&["logs", "helped", "-c", "side"]), "ended\n");
}

fn containers_crash_and_back_off(namespace: &Namespace) {
    namespace.apply(
        r#"
apiVersion: v1
kind: Pod
metadata: {name: crasher}
spec:
  containers:
  - {name: bad, image: $BUSYBOX, command: [sh, -c, 'echo run; echo why > /dev/termination-log; exit 5']}
  - {name: good, image: $BUSYBOX, command: [sleep, '1000']}
---
apiVersion: v1
kind: Pod
metadata: {name: retried}
spec:
  restartPolicy: OnFailure
  containers:
  - name: c
    image: $BUSYBOX
    command: [sh, -c, 'test -e /work/again && exit 0; touch /work/again; exit 1']
    volumeMounts: [{name: work, mountPath: /work}]
  volumes: [{name: work, emptyDir: {}}]
"#,
    );
    let pods = namespace.until_output(&["get", "pod", "crasher"], "CrashLoopBackOff");
    assert!(pods.contains("1/2"), "{pods}");
    // After a first restart at once, the second waits: 10 s, then 20 s.
    namespace.wait("pod/crasher", &format!("jsonpath={{{STATUS}.restartCount}}=2"));
    let waiting = namespace.until("the longer wait", || {
        let message = namespace.field("pod/crasher", &format!("{STATUS}.state.waiting.message"));
        if message.contains("back-off 20s restarting failed container=bad pod=crasher_") {
            Ok(message)
        } else {
            Err(message)
        }
    });
    assert!(waiting.ends_with(')'), "{waiting}");
    let last = format!("{STATUS}.lastState.terminated");
    assert_eq!(namespace.field("pod/crasher", &format!("{last}.exitCode")), "5");
    assert_eq!(namespace.field("pod/crasher", &format!("{last}.message")), "why\n");
    assert_eq!(namespace.run(&["logs", "crasher", "-c", "bad", "--previous"]), "run\n");
    let ready = r#".status.conditions[?(@.type=="Ready")]"#;
    assert_eq!(namespace.field("pod/crasher", &format!("{ready}.reason")), "ContainersNotReady");
    assert_eq!(
        namespace.field("pod/crasher", &format!("{ready}.message")),
        "containers with unready status: [bad]"
    );
    namespace.until_output(&["get", "events"], "Back-off restarting failed container bad in pod crasher_");
    assert_eq!(namespace.field("pod/crasher", ".status.containerStatuses[1].restartCount"), "0");

    namespace.wait("pod/retried", "jsonpath={.status.phase}=Succeeded");
    assert_eq!(namespace.field("pod/retried", &format!("{STATUS}.restartCount")), "1");
}

fn probes_decide(namespace: &Namespace) {
    namespace.apply(
        r#"
apiVersion: v1
kind: Pod
metadata: {name: ready}
spec:
  containers:
  - name: c
    image: $NGINX
    readinessProbe: {exec: {command: [test, -e, /tmp/ready]}, periodSeconds: 1}
    startupProbe: {tcpSocket: {port: 80}, periodSeconds: 1}
---
apiVersion: v1
kind: Pod
metadata: {name: alive}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - name: c
    image: $BUSYBOX
    command: [sh, -c, 'touch /tmp/alive; exec sleep 1000']
    livenessProbe: {exec: {command: [cat, /tmp/alive]}, periodSeconds: 1, failureThreshold: 2}
---
apiVersion: v1
kind: Pod
metadata: {name: slow}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - name: c
    image: $BUSYBOX
    command: [sleep, '1000']
    startupProbe: {httpGet: {path: /, port: 8080}, periodSeconds: 1, failureThreshold: 2}
    livenessProbe: {exec: {command: ['true']}, periodSeconds: 1}
---
apiVersion: v1
kind: Service
metadata: {name: ready}
spec: {selector: {app: ready}, ports: [{port: 80}]}
"#,
    );
    namespace.run(&["label", "pod", "ready", "app=ready"]);
    namespace.wait("pod/ready", &format!("jsonpath={{{STATUS}.started}}=true"));
    let address = namespace.field("service/ready", ".spec.clusterIP");
    // Running, but not ready: it gets no traffic.
    assert_eq!(namespace.field("pod/ready", &format!("{STATUS}.ready")), "false");
    namespace.cluster.is_refused(&address).unwrap();
    namespace.until_output(&["get", "events"], "Readiness probe failed");
    namespace.exec("ready", "touch /tmp/ready");
    namespace.wait("pod/ready", "condition=Ready");
    namespace.until("the page", || namespace.cluster.fetch(&address));
    namespace.exec("ready", "rm /tmp/ready");
    namespace.wait("pod/ready", "condition=Ready=false");
    namespace.until("a refusal", || namespace.cluster.is_refused(&address));
    assert_eq!(namespace.field("pod/ready", &format!("{STATUS}.restartCount")), "0");

    namespace.wait("pod/alive", "condition=Ready");
    namespace.exec("alive", "rm /tmp/alive");
    namespace.wait("pod/alive", &format!("jsonpath={{{STATUS}.restartCount}}=1"));
    let events =
        namespace.until_output(&["get", "events"], "Container c failed liveness probe, will be restarted");
    assert!(events.contains("Liveness probe failed: cat: can't open '/tmp/alive'"), "{events}");

    namespace.until_output(&["get", "events"], "Container c failed startup probe, will be restarted");
}

fn pods_end_as_told(namespace: &Namespace) {
    namespace.apply(
        r#"
apiVersion: v1
kind: Pod
metadata: {name: failed}
spec: {restartPolicy: Never, containers: [{name: c, image: $BUSYBOX, command: [sh, -c, 'exit 3']}]}
---
apiVersion: v1
kind: Pod
metadata: {name: late}
spec: {restartPolicy: Never, activeDeadlineSeconds: 2, terminationGracePeriodSeconds: 1, containers: [{name: c, image: $BUSYBOX, command: [sleep, '1000']}]}
---
apiVersion: v1
kind: Pod
metadata: {name: crowd}
spec:
  restartPolicy: Never
  shareProcessNamespace: true
  containers:
  - {name: a, image: $BUSYBOX, command: [sh, -c, 'until pidof httpd; do sleep 0.1; done; pidof httpd | xargs kill -9']}
  - {name: b, image: $BUSYBOX, command: [httpd, -f, -p, '8080']}
"#,
    );
    namespace.wait("pod/failed", "jsonpath={.status.phase}=Failed");
    let line = namespace.run(&["get", "pod", "failed", "--no-headers"]);
    assert!(line.contains("Error"), "{line}");
    assert_eq!(namespace.field("pod/failed", &format!("{STATUS}.state.terminated.exitCode")), "3");
    namespace.wait("pod/late", "jsonpath={.status.reason}=DeadlineExceeded");
    namespace.wait("pod/late", "jsonpath={.status.phase}=Failed");
    namespace.wait("pod/crowd", "jsonpath={.status.phase}=Failed");
    let codes = namespace.field("pod/crowd", ".status.containerStatuses[*].state.terminated.exitCode");
    assert_eq!(codes, "0 137");
}

fn hooks_and_grace(namespace: &Namespace) {
    namespace.apply(
        r#"
apiVersion: v1
kind: Pod
metadata: {name: polite}
spec:
  terminationGracePeriodSeconds: 30
  containers:
  - name: c
    image: $BUSYBOX
    command: [sh, -c, 'trap "echo asked; exit 0" TERM; while :; do sleep 0.1; done']
    lifecycle:
      postStart: {exec: {command: [sh, -c, 'echo started > /tmp/started']}}
      preStop: {exec: {command: [sh, -c, 'echo stopping > /proc/1/fd/1']}}
---
apiVersion: v1
kind: Pod
metadata: {name: deaf}
spec:
  terminationGracePeriodSeconds: 2
  containers:
  - {name: c, image: $BUSYBOX, command: [sh, -c, 'trap "" TERM; while :; do sleep 0.1; done']}
"#,
    );
    namespace.wait("pod/polite", "condition=Ready");
    namespace.wait("pod/deaf", "condition=Ready");
    assert_eq!(namespace.exec("polite", "cat /tmp/started"), "started\n");
    let following = namespace.follow(&["logs", "-f", "polite"]);
    namespace.run(&["delete", "pod", "polite", "deaf", "--timeout=60s"]);
    // Its termination message can still be read.
    assert_eq!(following.end(), "stopping\nasked\n");
    namespace.until_output(&["get", "events"], "Stopping container c");
}
