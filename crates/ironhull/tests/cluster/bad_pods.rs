//! Pods that cannot run: the error is shown as users know it, and nothing else is affected.

use std::sync::Arc;

use libtest_mimic::Trial;

use crate::support::{LIMIT, Namespace, SharedCluster, trial};

pub fn trials(shared: &Arc<SharedCluster>) -> Vec<Trial> {
    let trial = |name, test| trial(shared, "bad_pods", name, test);
    vec![
        trial("containers_that_cannot_start", containers_that_cannot_start),
        trial("pods_that_fit_nowhere", pods_that_fit_nowhere),
        trial("pods_that_are_refused", pods_that_are_refused),
        trial(
            "pods_that_ask_for_more_isolation_than_there_is",
            pods_that_ask_for_more_isolation_than_there_is,
        ),
        trial("volumes_that_are_missing", volumes_that_are_missing),
    ]
}

/// A pod whose only container cannot start.
struct Bad {
    name: &'static str,
    /// The rest of the container, after its name.
    container: &'static str,
    /// The final output of `kubectl get pods`.
    status: &'static str,
    /// The beginning of the reason or message of an event.
    event: &'static str,
}

const BAD: [Bad; 9] = [
    Bad {
        name: "missing-image",
        container: "image: '127.0.0.1:5000/busybox:missing'",
        status: "ImagePullBackOff",
        event: "Failed to pull image \"127.0.0.1:5000/busybox:missing\"",
    },
    Bad {
        name: "missing-registry",
        container: "image: '127.0.0.1:5001/busybox:1'",
        status: "ImagePullBackOff",
        event: "Error: ErrImagePull",
    },
    Bad {
        name: "invalid-image",
        container: "image: 'BUSYBOX:1'",
        status: "InvalidImageName",
        event: "Failed to apply default image tag \"BUSYBOX:1\"",
    },
    Bad {
        name: "never-pulled",
        container: "image: '127.0.0.1:5000/never:1', imagePullPolicy: Never",
        status: "ErrImageNeverPull",
        event: "Container image \"127.0.0.1:5000/never:1\" is not present with pull policy of Never",
    },
    Bad {
        name: "missing-command",
        container: "image: $BUSYBOX, command: [/no/such/program]",
        status: "CrashLoopBackOff",
        event: "Back-off restarting failed container c in pod missing-command_",
    },
    Bad {
        name: "missing-configmap",
        container: "image: $BUSYBOX, command: [sleep, '1000'], envFrom: [{configMapRef: {name: nowhere}}]",
        status: "CreateContainerConfigError",
        event: "Error: configmap \"nowhere\" not found",
    },
    Bad {
        name: "missing-key",
        container: "image: $BUSYBOX, env: [{name: A, valueFrom: {secretKeyRef: {name: keys, key: nowhere}}}]",
        status: "CreateContainerConfigError",
        event: "Error: couldn't find key nowhere in Secret ",
    },
    Bad {
        name: "root-not-wanted",
        container: "image: $BUSYBOX, securityContext: {runAsNonRoot: true}",
        status: "CreateContainerConfigError",
        event: "Error: container has runAsNonRoot and image will run as root",
    },
    Bad {
        name: "ends-at-once",
        container: "image: $BUSYBOX, command: ['true']",
        status: "CrashLoopBackOff",
        event: "Back-off restarting failed container c in pod ends-at-once_",
    },
];

fn containers_that_cannot_start(namespace: &Namespace) {
    namespace.run(&["create", "secret", "generic", "keys", "--from-literal=a=b"]);
    for Bad { name, container, .. } in BAD {
        namespace.apply(&format!(
            "{{apiVersion: v1, kind: Pod, metadata: {{name: {name}}}, spec: {{containers: [{{name: c, {container}}}]}}}}"
        ));
    }
    for Bad { name, status, event, .. } in BAD {
        let line = namespace.until_output(&["get", "pod", name, "--no-headers"], status);
        assert!(line.contains("0/1"), "{line}");
        assert_eq!(
            namespace.field(&format!("pod/{name}"), ".status.phase"),
            if status == "CrashLoopBackOff" { "Running" } else { "Pending" },
            "{name}"
        );
        let about = format!("involvedObject.name={name}");
        namespace.until_output(&["get", "events", "--field-selector", &about], event);
    }
    let last = ".status.containerStatuses[0].lastState.terminated";
    assert_eq!(namespace.field("pod/missing-command", &format!("{last}.reason")), "StartError");
    assert_eq!(namespace.field("pod/missing-command", &format!("{last}.exitCode")), "128");
    let message = namespace.field("pod/missing-command", &format!("{last}.message"));
    assert!(message.contains("/no/such/program"), "{message}");
    // Once the cause is removed, the container starts.
    namespace.run(&["create", "configmap", "nowhere", "--from-literal=a=b"]);
    namespace.wait("pod/missing-configmap", "condition=Ready");
}

fn pods_that_fit_nowhere(namespace: &Namespace) {
    namespace.apply(
        r#"
apiVersion: v1
kind: Pod
metadata: {name: holder}
spec: {containers: [{name: c, image: $NGINX, ports: [{containerPort: 80, hostPort: 8099}]}]}
"#,
    );
    namespace.wait("pod/holder", "condition=Ready");
    let pods = [
        (
            "taken-port",
            "containers: [{name: c, image: $NGINX, ports: [{containerPort: 80, hostPort: 8099}]}]",
            "0/1 nodes are available: 1 node(s) didn't have free ports for the requested pod ports.",
        ),
        (
            "too-big",
            "containers: [{name: c, image: $NGINX, resources: {requests: {cpu: '1000', memory: 100Ti}}}]",
            "0/1 nodes are available: 1 Insufficient cpu, 1 Insufficient memory.",
        ),
        (
            "elsewhere",
            "nodeSelector: {disk: fast}, containers: [{name: c, image: $NGINX}]",
            "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector.",
        ),
    ];
    for (name, spec, _) in pods {
        namespace
            .apply(&format!("{{apiVersion: v1, kind: Pod, metadata: {{name: {name}}}, spec: {{{spec}}}}}"));
    }
    for (name, _, message) in pods {
        let pod = format!("pod/{name}");
        let condition = r#".status.conditions[?(@.type=="PodScheduled")]"#;
        namespace.wait(&pod, "condition=PodScheduled=false");
        assert_eq!(namespace.field(&pod, &format!("{condition}.reason")), "Unschedulable", "{name}");
        let said = namespace.field(&pod, &format!("{condition}.message"));
        assert!(said.starts_with(message), "{name}: {said}");
        let about = format!("involvedObject.name={name}");
        let events =
            namespace.until_output(&["get", "events", "--field-selector", &about], "FailedScheduling");
        assert!(events.contains(message), "{events}");
        let line = namespace.run(&["get", "pod", name, "--no-headers"]);
        assert!(line.contains("Pending") && line.contains("0/1"), "{line}");
    }
    // The pod in the way is deleted, and the next one takes its place.
    namespace.run(&["delete", "pod", "holder"]);
    namespace.wait("pod/taken-port", "condition=Ready");
    let node = namespace.cluster.host().name().to_owned();
    namespace.run(&["label", "node", &node, "disk=fast"]);
    namespace.wait("pod/elsewhere", "condition=Ready");
    namespace.run(&["label", "node", &node, "disk-"]);
}

fn pods_that_are_refused(namespace: &Namespace) {
    let table = [
        ("spec: {containers: []}", "The Pod \"bad\" is invalid: spec.containers: Required value"),
        (
            "spec: {containers: [{name: Bad_Name, image: $BUSYBOX}]}",
            "spec.containers[0].name: Invalid value: \"Bad_Name\": a lowercase RFC 1123 label must consist of",
        ),
        (
            "spec: {serviceAccountName: nobody, containers: [{name: c, image: $BUSYBOX}]}",
            "error looking up service account pods-that-are-refused/nobody: serviceaccount \"nobody\" not found",
        ),
        (
            "spec: {containers: [{name: c, image: $BUSYBOX, resources: {requests: {cpu: 2}, limits: {cpu: 1}}}]}",
            "spec.containers[0].resources.requests: Invalid value: \"2\": must be less than or equal to cpu limit of 1",
        ),
        (
            "spec: {containers: [{name: c, image: $BUSYBOX, colour: red}]}",
            "unknown field \"spec.containers[0].colour\"",
        ),
        (
            "spec: {restartPolicy: Sometimes, containers: [{name: c, image: $BUSYBOX}]}",
            "spec.restartPolicy: Unsupported value: \"Sometimes\": supported values: \"Always\", \"OnFailure\", \"Never\"",
        ),
        (
            "spec: {containers: [{name: c, image: $BUSYBOX, volumeMounts: [{name: v, mountPath: /v}]}]}",
            "spec.containers[0].volumeMounts[0].name: Not found: \"v\"",
        ),
    ];
    for (spec, expected) in table {
        let result =
            namespace.try_apply(&format!("{{apiVersion: v1, kind: Pod, metadata: {{name: bad}}, {spec}}}"));
        let said = result.expect_err(spec).to_string();
        assert!(said.contains(expected), "{spec}: {said}");
    }
    assert_eq!(namespace.run(&["get", "pods"]), "");
}

/// Unsupported or forbidden features are reported where users look.
fn pods_that_ask_for_more_isolation_than_there_is(namespace: &Namespace) {
    let host = || std::fs::read_to_string("/proc/sys/kernel/core_pattern").expect("the host's parameter");
    let before = host();
    let apply = |name: &str, spec: &str| {
        namespace
            .apply(&format!("{{apiVersion: v1, kind: Pod, metadata: {{name: {name}}}, spec: {{{spec}}}}}"));
    };
    let sysctls = "containers: [{name: c, image: $BUSYBOX, command: [sleep, '1000']}]";
    apply(
        "parameter",
        &format!("securityContext: {{sysctls: [{{name: kernel.core_pattern, value: x}}]}}, {sysctls}"),
    );
    apply(
        "by-slash",
        &format!("securityContext: {{sysctls: [{{name: vm/swappiness, value: '1'}}]}}, {sysctls}"),
    );
    apply("users", &format!("hostUsers: false, {sysctls}"));
    let over = "containers: [{name: c, image: $BUSYBOX, command: [sleep, '1000'], \
                volumeMounts: [{name: v, mountPath: /proc/sys}]}], volumes: [{name: v, emptyDir: {}}]";
    apply("over-proc", over);
    let event = |name: &str, reason: &str, message: &str| {
        let selector = format!("involvedObject.name={name},reason={reason}");
        let output = "jsonpath={.items[*].message}";
        namespace.until_output(&["get", "events", "--field-selector", &selector, "-o", output], message);
    };
    event("parameter", "SysctlForbidden", "forbidden sysctl: \"kernel.core_pattern\" not allowlisted");
    event("by-slash", "SysctlForbidden", "forbidden sysctl: \"vm.swappiness\" not allowlisted");
    event(
        "users",
        "FailedCreatePodSandBox",
        "can't set `spec.hostUsers: false`, runtime does not support user namespaces",
    );
    event("over-proc", "Failed", "\"/proc/sys\" cannot be mounted because it is inside /proc");
    for (name, path, expected) in [
        ("parameter", "{.status.phase} {.status.reason}", "Failed SysctlForbidden"),
        ("by-slash", "{.status.phase} {.status.reason}", "Failed SysctlForbidden"),
        ("users", "{.status.phase}", "Pending"),
    ] {
        let status = namespace.run(&["get", "pod", name, "-o", &format!("jsonpath={path}")]);
        assert_eq!(status, expected, "{name}");
    }
    assert_eq!(host(), before);
}

fn volumes_that_are_missing(namespace: &Namespace) {
    namespace.apply(
        r#"
apiVersion: v1
kind: Pod
metadata: {name: waits}
spec:
  containers: [{name: c, image: $BUSYBOX, command: [cat, /v/a], volumeMounts: [{name: v, mountPath: /v}]}]
  restartPolicy: Never
  volumes: [{name: v, configMap: {name: later}}]
---
apiVersion: v1
kind: Pod
metadata: {name: wrong}
spec:
  containers: [{name: c, image: $BUSYBOX, volumeMounts: [{name: v, mountPath: /v}]}]
  volumes: [{name: v, hostPath: {path: /no/such/directory, type: Directory}}]
"#,
    );
    let expected = "MountVolume.SetUp failed for volume \"v\" : configmap \"later\" not found";
    namespace.until_output(&["get", "events"], expected);
    let line = namespace.run(&["get", "pod", "waits", "--no-headers"]);
    assert!(line.contains("ContainerCreating"), "{line}");
    let expected = "MountVolume.SetUp failed for volume \"v\" : hostPath type check failed: /no/such/directory is not a directory";
    namespace.until_output(&["get", "events"], expected);
    namespace.run(&["create", "configmap", "later", "--from-literal=a=came"]);
    assert_eq!(namespace.output_of("waits"), "came");
    namespace.run(&["delete", "pod", "wrong", LIMIT]);
}
