//! What a node does with pods: the `[sig-node]` tests of the conformance suite that other trials do not show. The table of all is
//! in `docs/sig-node.md`.

use std::sync::Arc;

use libtest_mimic::Trial;
use testbed::HOST_ADDRESS;

use crate::support::{LIMIT, Namespace, SharedCluster, trial};

pub fn trials(shared: &Arc<SharedCluster>) -> Vec<Trial> {
    let trial = |name, test| trial(shared, "pods", name, test);
    vec![
        trial("should_have_variables", should_have_variables),
        trial("should_run_with_the_expected_status", should_run_with_the_expected_status),
        trial("should_report_termination_messages", should_report_termination_messages),
        trial("should_execute_hooks", should_execute_hooks),
        trial("should_obey_probes", should_obey_probes),
        trial("should_run_as_the_user_that_is_asked_for", should_run_as_the_user_that_is_asked_for),
        trial("should_manage_the_hosts_file", should_manage_the_hosts_file),
        trial("should_be_changed_while_they_run", should_be_changed_while_they_run),
    ]
}

const STATUS: &str = ".status.containerStatuses[0]";

/// A pod of one container, of which the rest is given.
fn pod(namespace: &Namespace, name: &str, policy: &str, container: &str) {
    namespace.apply(&format!(
        "{{apiVersion: v1, kind: Pod, metadata: {{name: {name}, labels: {{name: {name}}}}}, spec: {{restartPolicy: {policy}, \
         terminationGracePeriodSeconds: 1, containers: [{{name: c, image: $BUSYBOX, {container}}}]}}}}"
    ));
}

/// "[sig-node] Pods should contain environment variables for services [NodeConformance] [Conformance]"; "[sig-node] ConfigMap
/// should be consumable as environment variable names with various prefixes", and the same of Secrets; "[sig-node] Downward
/// API should provide ..." (all); "[sig-node] Variable Expansion should allow substituting values in a container's command",
/// "... args"; "[sig-node] Containers should be able to override the image's default arguments" and its siblings.
fn should_have_variables(namespace: &Namespace) {
    namespace.run(&["create", "service", "clusterip", "fooservice", "--tcp=8765:8080"]);
    namespace.run(&["create", "configmap", "config", "--from-literal=data_1=value-1"]);
    namespace.run(&["create", "secret", "generic", "secret", "--from-literal=data_1=value-2"]);
    pod(
        namespace,
        "variables",
        "Never",
        r#"command: [env], resources: {requests: {cpu: 250m, memory: 32Mi}, limits: {cpu: 1250m, memory: 64Mi}},
        envFrom: [{prefix: "p-_.!#", configMapRef: {name: config}}, {prefix: "$_-1;@", secretRef: {name: secret}}],
        env: [{name: NAME, valueFrom: {fieldRef: {fieldPath: metadata.name}}},
          {name: PLACE, valueFrom: {fieldRef: {fieldPath: metadata.namespace}}},
          {name: UID, valueFrom: {fieldRef: {fieldPath: metadata.uid}}},
          {name: IP, valueFrom: {fieldRef: {fieldPath: status.podIP}}},
          {name: HOST_IP, valueFrom: {fieldRef: {fieldPath: status.hostIP}}},
          {name: HOST_IPS, valueFrom: {fieldRef: {fieldPath: status.hostIPs}}},
          {name: CPU_LIMIT, valueFrom: {resourceFieldRef: {resource: limits.cpu}}},
          {name: CPU_REQUEST, valueFrom: {resourceFieldRef: {resource: requests.cpu}}},
          {name: MEMORY_LIMIT, valueFrom: {resourceFieldRef: {resource: limits.memory}}},
          {name: MEMORY_REQUEST, valueFrom: {resourceFieldRef: {resource: requests.memory}}},
          {name: ONE, value: one}, {name: COMPOSED, value: "$(ONE);;$(NAME)"}]"#,
    );
    pod(
        namespace,
        "without-limits",
        "Never",
        "command: [env], env: [{name: CPU_LIMIT, valueFrom: {resourceFieldRef: {resource: limits.cpu}}}, \
         {name: MEMORY_LIMIT, valueFrom: {resourceFieldRef: {resource: limits.memory}}}]",
    );
    let arguments = [
        ("defaults", "stdin: false", ""),
        ("arguments", "args: [echo, override, arguments]", "override arguments\n"),
        ("command", "command: [echo, \"$(GREETING)\"], env: [{name: GREETING, value: hello}]", "hello\n"),
        (
            "both",
            "command: [sh, -c], args: [\"echo $(GREETING) $GREETING\"], env: [{name: GREETING, value: hello}]",
            "hello hello\n",
        ),
    ];
    for (name, container, _) in arguments {
        pod(namespace, name, "Never", container);
    }
    let seen = namespace.output_of("variables");
    let address = namespace.field("service/fooservice", ".spec.clusterIP");
    let own = |path: &str| namespace.field("pod/variables", path);
    let (memory_limit, memory_request) = (64 << 20, 32 << 20);
    for expected in [
        format!("FOOSERVICE_SERVICE_HOST={address}"),
        "FOOSERVICE_SERVICE_PORT=8765".to_owned(),
        format!("FOOSERVICE_PORT=tcp://{address}:8765"),
        "FOOSERVICE_PORT_8765_TCP_PORT=8765".to_owned(),
        "FOOSERVICE_PORT_8765_TCP_PROTO=tcp".to_owned(),
        format!("FOOSERVICE_PORT_8765_TCP=tcp://{address}:8765"),
        format!("FOOSERVICE_PORT_8765_TCP_ADDR={address}"),
        "p-_.!#data_1=value-1".to_owned(),
        "$_-1;@data_1=value-2".to_owned(),
        "NAME=variables".to_owned(),
        format!("PLACE={}", namespace.name),
        format!("UID={}", own(".metadata.uid")),
        format!("IP={}", own(".status.podIP")),
        format!("HOST_IP={HOST_ADDRESS}"),
        format!("HOST_IPS={HOST_ADDRESS}"),
        "CPU_LIMIT=2".to_owned(),
        "CPU_REQUEST=1".to_owned(),
        format!("MEMORY_LIMIT={memory_limit}"),
        format!("MEMORY_REQUEST={memory_request}"),
        "COMPOSED=one;;variables".to_owned(),
    ] {
        assert!(seen.lines().any(|line| line == expected), "{expected} in\n{seen}");
    }
    assert_eq!(own(".status.hostIP"), HOST_ADDRESS.to_string());
    let node = format!("node/{}", namespace.cluster.host().name());
    let cpu = crate::volumes::whole_cpus(&namespace.field(&node, ".status.allocatable.cpu"));
    let memory = crate::volumes::bytes(&namespace.field(&node, ".status.allocatable.memory"));
    let seen = namespace.output_of("without-limits");
    for expected in [format!("CPU_LIMIT={cpu}\n"), format!("MEMORY_LIMIT={memory}\n")] {
        assert!(seen.contains(&expected), "{expected} in\n{seen}");
    }
    for (name, _, expected) in arguments {
        assert_eq!(namespace.output_of(name), expected, "{name}");
    }
}

/// "[sig-node] Container Runtime blackbox test when starting a container that exits should run with the expected status
/// [NodeConformance] [Conformance]"; the four tests of InitContainer; "[sig-node] Kubelet when scheduling a busybox command
/// that always fails in a pod should have an terminated reason", "... should be possible to delete".
fn should_run_with_the_expected_status(namespace: &Namespace) {
    // Fails once, then ends well; under Always it goes on being started.
    let script = "command: [sh, -c, 'test -e /work/again && exit 0; touch /work/again; exit 1'], volumeMounts: [{name: work, mountPath: /work}]";
    for policy in ["Always", "OnFailure", "Never"] {
        let name = format!("policy-{}", policy.to_lowercase());
        namespace.apply(&format!(
            "{{apiVersion: v1, kind: Pod, metadata: {{name: {name}}}, spec: {{restartPolicy: {policy}, \
             containers: [{{name: c, image: $BUSYBOX, {script}}}], volumes: [{{name: work, emptyDir: {{}}}}]}}}}"
        ));
    }
    pod(namespace, "fails", "Always", "command: ['false']");
    namespace.apply(
        r#"
apiVersion: v1
kind: Pod
metadata: {name: begins}
spec:
  terminationGracePeriodSeconds: 1
  initContainers:
  - {name: one, image: $BUSYBOX, command: ['true']}
  - {name: two, image: $BUSYBOX, command: ['true']}
  containers: [{name: c, image: $BUSYBOX, command: [sleep, '1000']}]
---
apiVersion: v1
kind: Pod
metadata: {name: never-begins}
spec:
  terminationGracePeriodSeconds: 1
  initContainers:
  - {name: one, image: $BUSYBOX, command: ['false']}
  - {name: two, image: $BUSYBOX, command: ['true']}
  containers: [{name: c, image: $BUSYBOX, command: [sleep, '1000']}]
"#,
    );
    let field = |pod: &str, path: &str| namespace.field(&format!("pod/{pod}"), path);
    namespace.wait("pod/policy-onfailure", "jsonpath={.status.phase}=Succeeded");
    namespace.wait("pod/policy-never", "jsonpath={.status.phase}=Failed");
    namespace.wait("pod/policy-always", &format!("jsonpath={{{STATUS}.restartCount}}=2"));
    assert_eq!(field("policy-onfailure", &format!("{STATUS}.restartCount")), "1");
    assert_eq!(field("policy-never", &format!("{STATUS}.restartCount")), "0");
    assert_eq!(field("policy-never", &format!("{STATUS}.state.terminated.reason")), "Error");
    assert_eq!(field("policy-always", ".status.phase"), "Running");

    namespace.wait("pod/fails", &format!("jsonpath={{{STATUS}.lastState.terminated.reason}}=Error"));
    namespace.run(&["delete", "pod", "fails", LIMIT]);
    namespace.wait("pod/begins", "condition=Ready");
    let reasons = field("begins", ".status.initContainerStatuses[*].state.terminated.reason");
    assert_eq!(reasons, "Completed Completed");
    assert_eq!(field("begins", r#".status.conditions[?(@.type=="Initialized")].status"#), "True");
    let init = ".status.initContainerStatuses";
    namespace.wait("pod/never-begins", &format!("jsonpath={{{init}[0].restartCount}}=2"));
    assert_eq!(field("never-begins", ".status.phase"), "Pending");
    for waiting in [format!("{init}[1].state.waiting.reason"), format!("{STATUS}.state.waiting.reason")] {
        assert_eq!(field("never-begins", &waiting), "PodInitializing");
    }
}

/// "[sig-node] Container Runtime blackbox test on terminated container should report termination message if
/// TerminationMessagePath is set as non-root user and at a non-default path [NodeConformance] [Conformance]", and the three
/// others about FallbackToLogsOnError.
fn should_report_termination_messages(namespace: &Namespace) {
    let fallback = "terminationMessagePolicy: FallbackToLogsOnError";
    let table = [
        (
            "own-path",
            "terminationMessagePath: /dev/termination-custom-log, securityContext: {runAsUser: 1000}, \
             command: [sh, -c, 'printf DONE > /dev/termination-custom-log']"
                .to_owned(),
            "Succeeded DONE",
        ),
        ("from-log", format!("{fallback}, command: [sh, -c, 'printf DONE; exit 1']"), "Failed DONE"),
        ("empty", format!("{fallback}, command: [sh, -c, 'printf DONE']"), "Succeeded "),
        (
            "from-file",
            format!("{fallback}, command: [sh, -c, 'printf LOG; printf OK > /dev/termination-log']"),
            "Succeeded OK",
        ),
    ];
    for (name, container, _) in &table {
        pod(namespace, name, "Never", container);
    }
    for (name, _, expected) in table {
        let path = format!("jsonpath={{.status.phase}} {{{STATUS}.state.terminated.message}}");
        namespace.until(&format!("the end of {name}"), || {
            let seen = namespace.run(&["get", "pod", name, "-o", &path]);
            if seen == expected { Ok(()) } else { Err(seen) }
        });
    }
}

/// "[sig-node] Container Lifecycle Hook when create a pod with lifecycle hook should execute poststart http hook properly
/// [NodeConformance] [Conformance]" and its three siblings; "[sig-node] PreStop should call prestop when killing a pod
/// [Conformance]".
fn should_execute_hooks(namespace: &Namespace) {
    // It writes down who asks for what.
    pod(namespace, "server", "Always", "command: [httpd, -f, -vv, -p, '8080']");
    namespace.wait("pod/server", "condition=Ready");
    let address = namespace.field("pod/server", ".status.podIP");
    let exec = |what: &str| {
        format!("exec: {{command: [sh, -c, 'wget -q -O - http://{address}:8080/{what}; true']}}")
    };
    let http = |what: &str| format!("httpGet: {{host: {address}, port: 8080, path: /{what}}}");
    let sleeps = "command: [sh, -c, 'trap \"exit 0\" TERM; while :; do sleep 0.1; done']";
    let hooks = format!("postStart: {{{}}}, preStop: {{{}}}", exec("exec-start"), exec("exec-stop"));
    pod(namespace, "by-exec", "Always", &format!("{sleeps}, lifecycle: {{{hooks}}}"));
    let hooks = format!("postStart: {{{}}}, preStop: {{{}}}", http("http-start"), http("http-stop"));
    pod(namespace, "by-http", "Always", &format!("{sleeps}, lifecycle: {{{hooks}}}"));
    for pod in ["by-exec", "by-http"] {
        namespace.wait(&format!("pod/{pod}"), "condition=Ready");
    }
    let log = || namespace.run(&["logs", "server"]);
    for expected in ["url:/exec-start", "url:/http-start"] {
        namespace.until_output(&["logs", "server"], expected);
    }
    assert!(!log().contains("-stop"), "{}", log());
    namespace.run(&["delete", "pod", "by-exec", "by-http", LIMIT]);
    for expected in ["url:/exec-stop", "url:/http-stop"] {
        namespace.until_output(&["logs", "server"], expected);
    }
}

/// "[sig-node] Probing container should be restarted with a /healthz http liveness probe [NodeConformance] [Conformance]",
/// "... should *not* be restarted with a /healthz http liveness probe", "... tcp:8080", "... exec "cat /tmp/health"", "should
/// have monotonically increasing restart count", "with readiness probe should not be ready before initial delay and never
/// restart", and "with readiness probe that fails should never be ready and never restart".
fn should_obey_probes(namespace: &Namespace) {
    let http = "httpGet: {path: /healthz, port: 8080}, periodSeconds: 1, failureThreshold: 2";
    let serves = |first: &str| {
        format!("command: [sh, -c, 'mkdir /www; cd /www; echo ok > healthz; {first} exec httpd -f -p 8080']")
    };
    let table = [
        // Its answer is 404 from some moment on, again after every start.
        ("sickens", format!("{}, livenessProbe: {{{http}}}", serves("(sleep 3; rm healthz) &"))),
        ("healthy", format!("{}, livenessProbe: {{{http}}}", serves(""))),
        (
            "open",
            format!(
                "{}, livenessProbe: {{tcpSocket: {{port: 8080}}, periodSeconds: 1}}",
                serves("(sleep 3; rm healthz) &")
            ),
        ),
        (
            "file",
            "command: [sh, -c, 'echo ok > /tmp/health; exec sleep 1000'], \
             livenessProbe: {exec: {command: [cat, /tmp/health]}, periodSeconds: 1}"
                .to_owned(),
        ),
        (
            "delayed",
            format!(
                "{}, readinessProbe: {{httpGet: {{path: /healthz, port: 8080}}, initialDelaySeconds: 8, periodSeconds: 1}}",
                serves("")
            ),
        ),
        (
            "unready",
            "command: [sleep, '1000'], readinessProbe: {exec: {command: ['false']}, periodSeconds: 1}"
                .to_owned(),
        ),
    ];
    for (name, container) in &table {
        pod(namespace, name, "Always", container);
    }
    let field = |pod: &str, path: &str| namespace.field(&format!("pod/{pod}"), path);
    let mut last = 0;
    namespace.until("three restarts", || {
        let count: u32 = field("sickens", &format!("{STATUS}.restartCount")).parse().unwrap_or(0);
        assert!(count >= last, "{count} after {last}");
        last = count;
        if count >= 3 { Ok(()) } else { Err(count.to_string()) }
    });
    namespace.wait("pod/delayed", "condition=Ready");
    let started = time(&field("delayed", &format!("{STATUS}.state.running.startedAt")));
    let ready = time(&field("delayed", r#".status.conditions[?(@.type=="Ready")].lastTransitionTime"#));
    assert!(ready.duration_since(started) >= jiff::SignedDuration::from_secs(7), "{started} {ready}");
    // By now each has been probed a dozen times.
    for name in ["healthy", "open", "file", "delayed", "unready"] {
        let path = format!("{STATUS}.restartCount");
        assert_eq!(field(name, &path), "0", "{name}");
        let ready = if name == "unready" { "false" } else { "true" };
        assert_eq!(field(name, &format!("{STATUS}.ready")), ready, "{name}");
    }
}

fn time(text: &str) -> jiff::Timestamp {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// "[sig-node] Security Context When creating a container with runAsUser should run the container with uid 65534 [LinuxOnly]
/// [NodeConformance] [Conformance]", "... with readOnlyRootFilesystem should run the container with writable rootfs when
/// readOnlyRootFilesystem=false", "... with privileged should run the container as unprivileged when false", "should support
/// container.SecurityContext.RunAsUser And container.SecurityContext.RunAsGroup", "... pod.Spec.SecurityContext ...", "...
/// AllowPrivilegeEscalation should not allow privilege escalation when false"; "[sig-node] Sysctls should support sysctls".
fn should_run_as_the_user_that_is_asked_for(namespace: &Namespace) {
    let table = [
        ("nobody", "{}", "{runAsUser: 65534}", "id -u", "65534\n"),
        ("writable", "{}", "{readOnlyRootFilesystem: false}", "echo written > /file; cat /file", "written\n"),
        (
            "unprivileged",
            "{}",
            "{privileged: false}",
            "ip link add dummy0 type dummy 2> /dev/null || echo refused",
            "refused\n",
        ),
        (
            "by-container",
            "{runAsUser: 1}",
            "{runAsUser: 1001, runAsGroup: 2002}",
            "id -u; id -g",
            "1001\n2002\n",
        ),
        ("by-pod", "{runAsUser: 1001, runAsGroup: 2002}", "{}", "id -u; id -g", "1001\n2002\n"),
        (
            "no-escalation",
            "{}",
            "{runAsUser: 1000, allowPrivilegeEscalation: false}",
            "id -u; grep NoNewPrivs /proc/self/status",
            "1000\nNoNewPrivs:\t1\n",
        ),
        (
            "sysctls",
            "{sysctls: [{name: kernel.shm_rmid_forced, value: '1'}]}",
            "{}",
            "cat /proc/sys/kernel/shm_rmid_forced",
            "1\n",
        ),
    ];
    for (name, of_pod, of_container, script, _) in table {
        namespace.apply(&format!(
            "{{apiVersion: v1, kind: Pod, metadata: {{name: {name}}}, spec: {{restartPolicy: Never, securityContext: {of_pod}, \
             containers: [{{name: c, image: $BUSYBOX, securityContext: {of_container}, command: [sh, -c, '{script}']}}]}}}}"
        ));
    }
    for (name, _, _, _, expected) in table {
        let seen = namespace.output_of(name);
        assert!(seen.ends_with(expected), "{name}: {seen}");
    }
}

/// "[sig-node] KubeletManagedEtcHosts should test kubelet managed /etc/hosts file [NodeConformance] [Conformance]".
fn should_manage_the_hosts_file(namespace: &Namespace) {
    namespace.apply(
        r#"
apiVersion: v1
kind: Pod
metadata: {name: own}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - {name: managed, image: $BUSYBOX, command: [sleep, '1000']}
  - {name: mounted, image: $BUSYBOX, command: [sleep, '1000'], volumeMounts: [{name: hosts, mountPath: /etc/hosts}]}
  volumes: [{name: hosts, hostPath: {path: /etc/hosts, type: File}}]
---
apiVersion: v1
kind: Pod
metadata: {name: of-host}
spec:
  hostNetwork: true
  terminationGracePeriodSeconds: 1
  containers: [{name: c, image: $BUSYBOX, command: [sleep, '1000']}]
"#,
    );
    namespace.wait("pod/own", "condition=Ready");
    namespace.wait("pod/of-host", "condition=Ready");
    let read = |pod: &str, container: &str| {
        namespace.run(&["exec", pod, "-c", container, "--", "cat", "/etc/hosts"])
    };
    let first = "# Kubernetes-managed hosts file.\n";
    assert!(read("own", "managed").starts_with(first));
    assert!(!read("own", "mounted").contains("Kubernetes-managed hosts file"));
    // Upstream writes this one too, from the host's.
    assert!(!read("of-host", "c").starts_with(first));
}

/// "[sig-node] Pods should be submitted and removed [NodeConformance] [Conformance]", "should be updated", "should allow
/// activeDeadlineSeconds to be updated", "should patch a pod status", "should delete a collection of pods", "should run through
/// the lifecycle of Pods and PodStatus"; "[sig-node] Pods Extended (pod generation) Pod Generation pod generation should start
/// at 1 and increment per update", "custom-set generation on new pods and graceful delete"; "Pods Set QOS Class should be set
/// on Pods with matching resource requests and limits for memory and cpu".
fn should_be_changed_while_they_run(namespace: &Namespace) {
    let watched = namespace.follow(&[
        "get",
        "pods",
        "-l",
        "time=1",
        "--watch",
        "--output-watch-events",
        "--no-headers",
    ]);
    namespace.apply(
        r#"
apiVersion: v1
kind: Pod
metadata: {name: one, generation: 100, labels: {time: "1"}}
spec:
  containers:
  - name: c
    image: $BUSYBOX
    command: [sh, -c, 'trap "sleep 1; exit 0" TERM; while :; do sleep 0.1; done']
    resources: {requests: {cpu: 100m, memory: 20Mi}, limits: {cpu: 100m, memory: 20Mi}}
---
apiVersion: v1
kind: Pod
metadata: {name: two, labels: {type: Testing}}
spec: {terminationGracePeriodSeconds: 1, containers: [{name: c, image: $BUSYBOX, command: [sleep, '1000']}]}
"#,
    );
    namespace.wait("pod/one", "condition=Ready");
    let field = |path: &str| namespace.field("pod/one", path);
    assert_eq!(field(".status.qosClass"), "Guaranteed");
    assert_eq!(field(".metadata.generation"), "1");
    namespace.wait("pod/one", "jsonpath={.status.observedGeneration}=1");
    namespace.run(&["label", "pod", "one", "more=updated"]);
    assert_eq!(namespace.run(&["get", "pods", "-l", "more=updated", "-o", "name"]), "pod/one\n");
    assert_eq!(field(".metadata.generation"), "1", "labels are not the spec");
    for (generation, seconds) in [("2", "1000"), ("3", "500")] {
        let patch = format!(r#"{{"spec": {{"activeDeadlineSeconds": {seconds}}}}}"#);
        namespace.run(&["patch", "pod", "one", "-p", &patch]);
        assert_eq!(field(".metadata.generation"), generation);
        namespace.wait("pod/one", &format!("jsonpath={{.status.observedGeneration}}={generation}"));
    }
    let status = r#"{"status": {"message": "Patched by a test", "reason": "Test"}}"#;
    let patched = namespace.run(&[
        "patch",
        "pod",
        "one",
        "--subresource=status",
        "-p",
        status,
        "-o",
        "jsonpath={.status.message}",
    ]);
    assert_eq!(patched, "Patched by a test");

    namespace.run(&["delete", "pod", "one", "--wait=false"]);
    assert_eq!(field(".metadata.generation"), "4", "a graceful deletion is a change");
    assert_eq!(field(".metadata.deletionGracePeriodSeconds"), "30");
    namespace.run(&["wait", "pod/one", "--for=delete", LIMIT]);
    let seen = watched.until("DELETED");
    assert!(seen.starts_with("ADDED") && seen.contains("Running") && seen.contains("Terminating"), "{seen}");
    assert_eq!(namespace.run(&["get", "pods", "-l", "time=1", "-o", "name"]), "");

    // A deadline that comes later ends the pod that runs.
    namespace.wait("pod/two", "condition=Ready");
    namespace.run(&["patch", "pod", "two", "-p", r#"{"spec": {"activeDeadlineSeconds": 1}}"#]);
    namespace.wait("pod/two", "jsonpath={.status.reason}=DeadlineExceeded");
    namespace.run(&["label", "pod", "two", "type=Gone", "--overwrite"]);
    namespace.run(&["delete", "pods", "-l", "type=Gone", LIMIT]);
    assert_eq!(namespace.run(&["get", "pods", "-l", "type=Gone", "-o", "name"]), "");
}
