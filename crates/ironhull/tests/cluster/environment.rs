//! The environment of containers: variables, volumes, names, networks, identities.

use std::sync::Arc;

use libtest_mimic::Trial;
use testbed::{HOST_ADDRESS, OUTSIDE_ADDRESS};

use crate::support::{Namespace, SharedCluster, trial};

pub fn trials(shared: &Arc<SharedCluster>) -> Vec<Trial> {
    let trial = |name, test| trial(shared, "environment", name, test);
    vec![
        trial("variables", variables),
        trial("volumes", volumes),
        trial("tokens_open_the_api", tokens_open_the_api),
        trial("resolv_conf_by_dns_policy", resolv_conf_by_dns_policy),
        trial("pods_reach_other_networks", pods_reach_other_networks),
        trial("users_and_capabilities", users_and_capabilities),
        trial("limits_are_cgroups", limits_are_cgroups),
    ]
}

fn variables(namespace: &Namespace) {
    namespace.run(&["create", "configmap", "settings", "--from-literal=COLOR=red", "--from-literal=SIZE=9"]);
    namespace.run(&["create", "secret", "generic", "keys", "--from-literal=KEY=secret value"]);
    namespace.apply(
        r#"
apiVersion: v1
kind: Pod
metadata: {name: env, labels: {tier: front}, annotations: {note: hello}}
spec:
  restartPolicy: Never
  containers:
  - name: c
    image: $BUSYBOX
    command: [sh, -c, 'env | grep -v _SERVICE_ | grep -v _PORT | sort']
    args: [$(LITERAL)]
    resources: {limits: {cpu: 1500m, memory: 32Mi}}
    envFrom:
    - {configMapRef: {name: settings}}
    - {prefix: P_, secretRef: {name: keys}}
    - {configMapRef: {name: absent, optional: true}}
    env:
    - {name: LITERAL, value: plain}
    - {name: COMPOSED, value: "$(LITERAL)-$(COLOR)-$(UNKNOWN)-$$(LITERAL)"}
    - {name: ONE, valueFrom: {configMapKeyRef: {name: settings, key: SIZE}}}
    - {name: TWO, valueFrom: {secretKeyRef: {name: keys, key: KEY}}}
    - {name: NONE, valueFrom: {secretKeyRef: {name: keys, key: absent, optional: true}}}
    - {name: POD, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
    - {name: TIER, valueFrom: {fieldRef: {fieldPath: "metadata.labels['tier']"}}}
    - {name: NOTE, valueFrom: {fieldRef: {fieldPath: "metadata.annotations['note']"}}}
    - {name: NODE_IP, valueFrom: {fieldRef: {fieldPath: status.hostIP}}}
    - {name: ACCOUNT, valueFrom: {fieldRef: {fieldPath: spec.serviceAccountName}}}
    - {name: CPUS, valueFrom: {resourceFieldRef: {resource: limits.cpu}}}
    - {name: MEMORY_MI, valueFrom: {resourceFieldRef: {resource: limits.memory, divisor: 1Mi}}}
"#,
    );
    let seen = namespace.output_of("env");
    let expected = format!(
        "ACCOUNT=default\nCOLOR=red\nCOMPOSED=plain-red-$(UNKNOWN)-$(LITERAL)\nCPUS=2\nHOME=/root\nHOSTNAME=env\n\
         LITERAL=plain\nMEMORY_MI=32\nNODE_IP={HOST_ADDRESS}\nNOTE=hello\nONE=9\n\
         PATH=/usr/sbin:/usr/bin:/sbin:/bin\nPOD=env\nPWD=/\nP_KEY=secret value\nSHLVL=1\nSIZE=9\nTIER=front\n\
         TWO=secret value\n"
    );
    assert_eq!(seen, expected);
    // Variables contain the API server's address too.
    namespace.run(&[
        "run",
        "service",
        &format!("--image={}", crate::images::BUSYBOX),
        "--restart=Never",
        "--",
        "env",
    ]);
    let seen = namespace.output_of("service");
    for expected in ["KUBERNETES_SERVICE_HOST=10.43.0.1\n", "KUBERNETES_SERVICE_PORT=443\n"] {
        assert!(seen.contains(expected), "{expected} in {seen}");
    }
}

fn volumes(namespace: &Namespace) {
    namespace.run(&["create", "configmap", "files", "--from-literal=a.txt=A", "--from-literal=b.txt=B"]);
    namespace.run(&["create", "secret", "generic", "keys", "--from-literal=key=K"]);
    namespace.apply(
        r#"
apiVersion: v1
kind: Pod
metadata: {name: volumes, labels: {tier: back}}
spec:
  restartPolicy: Never
  securityContext: {fsGroup: 1000}
  containers:
  - name: c
    image: $BUSYBOX
    command: [sh, -ec]
    args:
    - |
      cat /files/a.txt /files/b.txt /items/renamed /single /keys/key; echo
      ls /items
      cat /all/labels /all/config/a.txt /all/secret/key; echo
      stat -L -c '%a %g' /keys/key /scratch
      echo kept > /scratch/file; cat /part/file
      touch /files/c.txt 2>&1 || true
      mount | grep ' /memory ' | cut -d' ' -f5
      test -w /host-etc && echo writable
      cat /host/marker
    volumeMounts:
    - {name: files, mountPath: /files}
    - {name: items, mountPath: /items}
    - {name: files, mountPath: /single, subPath: b.txt}
    - {name: keys, mountPath: /keys}
    - {name: all, mountPath: /all}
    - {name: scratch, mountPath: /scratch}
    - {name: scratch, mountPath: /part, readOnly: true}
    - {name: memory, mountPath: /memory}
    - {name: host, mountPath: /host, readOnly: true}
    - {name: made, mountPath: /host-etc}
  volumes:
  - {name: files, configMap: {name: files}}
  - {name: items, configMap: {name: files, items: [{key: a.txt, path: renamed}]}}
  - {name: keys, secret: {secretName: keys, defaultMode: 0440}}
  - name: all
    projected:
      sources:
      - {configMap: {name: files, items: [{key: a.txt, path: config/a.txt}]}}
      - {secret: {name: keys, items: [{key: key, path: secret/key}]}}
      - {downwardAPI: {items: [{path: labels, fieldRef: {fieldPath: metadata.labels}}]}}
  - {name: scratch, emptyDir: {}}
  - {name: memory, emptyDir: {medium: Memory}}
  - {name: host, hostPath: {path: $HOST_DIRECTORY, type: Directory}}
  - {name: made, hostPath: {path: $HOST_DIRECTORY/made, type: DirectoryOrCreate}}
"#
        .replace("$HOST_DIRECTORY", &host_directory(namespace))
        .as_str(),
    );
    let seen = namespace.output_of("volumes");
    let expected = "ABABK\nrenamed\ntier=\"back\"AK\n440 1000\n2777 1000\nkept\n\
                    touch: /files/c.txt: Read-only file system\ntmpfs\nwritable\nfrom the host\n";
    assert_eq!(seen, expected);
}

/// A directory of the host with a file.
fn host_directory(namespace: &Namespace) -> String {
    let directory = namespace.cluster.host().directory().join("shared");
    std::fs::create_dir_all(&directory).unwrap();
    std::fs::write(directory.join("marker"), "from the host\n").unwrap();
    directory.display().to_string()
}

fn tokens_open_the_api(namespace: &Namespace) {
    namespace.run(&["create", "serviceaccount", "reader"]);
    namespace.run(&["create", "role", "reader", "--verb=get,list", "--resource=pods"]);
    let account = format!("--serviceaccount={}:reader", namespace.name);
    namespace.run(&["create", "rolebinding", "reader", "--role=reader", &account]);
    // curl is the host's, since Debian's busybox speaks no verified TLS: the pod brings token and authority.
    namespace.apply(
        r#"
apiVersion: v1
kind: Pod
metadata: {name: reader}
spec:
  serviceAccountName: reader
  containers: [{name: c, image: $BUSYBOX, command: [sleep, '1000']}]
---
apiVersion: v1
kind: Pod
metadata: {name: closed}
spec:
  automountServiceAccountToken: false
  containers: [{name: c, image: $BUSYBOX, command: [sleep, '1000']}]
"#,
    );
    namespace.wait("pod/reader", "condition=Ready");
    let secrets = "/var/run/secrets/kubernetes.io/serviceaccount";
    assert_eq!(namespace.exec("reader", &format!("cat {secrets}/namespace")), namespace.name);
    let token = namespace.exec("reader", &format!("cat {secrets}/token"));
    let authority = namespace.exec("reader", &format!("cat {secrets}/ca.crt"));
    let directory = namespace.cluster.host().directory();
    std::fs::write(directory.join("reader.crt"), authority).unwrap();
    let ask = |path: &str| {
        let mut curl = namespace.cluster.host().command("curl");
        curl.args(["-sS", "-m", "10", "-o", "/dev/stderr", "-w", "%{http_code}", "--cacert"])
            .arg(directory.join("reader.crt"))
            .args(["-H", &format!("Authorization: Bearer {token}"), &format!("https://10.43.0.1{path}")]);
        let output = curl.output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (text(&output.stdout), text(&output.stderr))
    };
    let place = &namespace.name;
    let (code, body) = ask(&format!("/api/v1/namespaces/{place}/pods/reader"));
    assert_eq!(code, "200", "{body}");
    let (code, body) = ask(&format!("/api/v1/namespaces/{place}/secrets"));
    assert_eq!(code, "403", "{body}");
    let who = format!("system:serviceaccount:{place}:reader");
    assert!(body.contains(&format!("User \\\"{who}\\\" cannot list resource \\\"secrets\\\"")), "{body}");
    let (code, body) = ask("/api/v1/namespaces");
    assert_eq!(code, "403", "{body}");
    // From within a pod the API answers at its name; without TLS it reports that it requires it.
    let said = namespace.exec("reader", "nc -w 5 kubernetes.default.svc 443 < /dev/null && echo open");
    assert_eq!(said, "open\n");
    namespace.wait("pod/closed", "condition=Ready");
    namespace.exec("closed", &format!("test ! -e {secrets}"));
    // A token is bound to its pod: without the pod it is invalid.
    namespace.run(&["delete", "pod", "reader", "--grace-period=0", "--force"]);
    namespace.until("the token's end", || match ask(&format!("/api/v1/namespaces/{place}/pods")) {
        (code, _) if code == "401" => Ok(()),
        answer => Err(format!("{answer:?}")),
    });
}

fn resolv_conf_by_dns_policy(namespace: &Namespace) {
    namespace.apply(
        r#"
apiVersion: v1
kind: Pod
metadata: {name: first}
spec: {restartPolicy: Never, containers: [{name: c, image: $BUSYBOX, command: [cat, /etc/resolv.conf]}]}
---
apiVersion: v1
kind: Pod
metadata: {name: default}
spec: {restartPolicy: Never, dnsPolicy: Default, containers: [{name: c, image: $BUSYBOX, command: [cat, /etc/resolv.conf]}]}
---
apiVersion: v1
kind: Pod
metadata: {name: none}
spec:
  restartPolicy: Never
  dnsPolicy: None
  dnsConfig: {nameservers: [192.0.2.1], searches: [a.test], options: [{name: ndots, value: "2"}, {name: edns0}]}
  containers: [{name: c, image: $BUSYBOX, command: [cat, /etc/resolv.conf]}]
---
apiVersion: v1
kind: Pod
metadata: {name: host}
spec: {restartPolicy: Never, hostNetwork: true, containers: [{name: c, image: $BUSYBOX, command: [cat, /etc/resolv.conf]}]}
---
apiVersion: v1
kind: Pod
metadata: {name: both}
spec:
  restartPolicy: Never
  hostNetwork: true
  dnsPolicy: ClusterFirstWithHostNet
  containers: [{name: c, image: $BUSYBOX, command: [cat, /etc/resolv.conf]}]
"#,
    );
    let place = &namespace.name;
    let cluster = format!(
        "search {place}.svc.cluster.local svc.cluster.local cluster.local outside.test\nnameserver 10.43.0.10\n\
         options ndots:5\n"
    );
    let host = "search outside.test\nnameserver 203.0.113.1\n";
    let none = "search a.test\nnameserver 192.0.2.1\noptions ndots:2 edns0\n";
    for (pod, expected) in
        [("first", &*cluster), ("default", host), ("none", none), ("host", host), ("both", &*cluster)]
    {
        assert_eq!(sorted(&namespace.output_of(pod)), sorted(expected), "{pod}");
    }
}

/// The order of the lines of resolv.conf does not matter.
fn sorted(text: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    lines
}

fn pods_reach_other_networks(namespace: &Namespace) {
    let host = namespace.cluster.host();
    let directory = host.directory().join("outside-pages");
    std::fs::create_dir_all(&directory).unwrap();
    std::fs::write(directory.join("index.html"), "from outside\n").unwrap();
    let mut serve = host.command_outside("busybox");
    serve.args(["httpd", "-f", "-p", "80", "-h"]).arg(&directory);
    let _server = host.start("outside", serve).unwrap();
    namespace.apply(
        r#"
apiVersion: v1
kind: Pod
metadata: {name: pod}
spec: {containers: [{name: c, image: $BUSYBOX, command: [sleep, '1000']}]}
---
apiVersion: v1
kind: Pod
metadata: {name: on-host}
spec: {hostNetwork: true, containers: [{name: c, image: $BUSYBOX, command: [sleep, '1000']}]}
---
apiVersion: v1
kind: Pod
metadata: {name: with-port}
spec:
  containers:
  - name: c
    image: $NGINX
    ports: [{containerPort: 80, hostPort: 8088}]
    readinessProbe: {httpGet: {port: 80}, periodSeconds: 1}
"#,
    );
    for pod in ["pod", "on-host", "with-port"] {
        namespace.wait(&format!("pod/{pod}"), "condition=Ready");
    }
    let fetch = format!("timeout 5 wget -q -O - http://{OUTSIDE_ADDRESS}/");
    for pod in ["pod", "on-host"] {
        // The server outside may still be starting.
        let page = namespace.until("a page from outside", || {
            let mut exec = namespace.kubectl(&["exec", pod, "--", "sh", "-c", &fetch]);
            testbed::output(&mut exec).map_err(|error| error.to_string())
        });
        assert_eq!(page, "from outside\n", "{pod}");
    }
    // The node can reach its pods, and external clients can reach a pod's host port.
    let address = namespace.field("pod/with-port", ".status.podIP");
    assert_eq!(namespace.cluster.fetch(&address).unwrap(), "with-port version 1\n");
    let mut neighbour = host.command_outside("curl");
    let page = testbed::output(neighbour.args(["-sS", "-m", "5", &format!("http://{HOST_ADDRESS}:8088/")]));
    assert_eq!(page.unwrap(), "with-port version 1\n");
    assert_eq!(namespace.field("pod/on-host", ".status.podIP"), HOST_ADDRESS.to_string());
    let names = namespace.exec("pod", "cat /etc/hosts");
    assert!(names.contains(&format!("{}\tpod\n", namespace.field("pod/pod", ".status.podIP"))), "{names}");
}

fn users_and_capabilities(namespace: &Namespace) {
    namespace.apply(
        r#"
apiVersion: v1
kind: Pod
metadata: {name: user}
spec:
  restartPolicy: Never
  securityContext: {runAsUser: 1000, runAsGroup: 1001, supplementalGroups: [1002], runAsNonRoot: true}
  containers:
  - name: c
    image: $BUSYBOX
    workingDir: /tmp
    securityContext: {readOnlyRootFilesystem: true, allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}
    command:
    - sh
    - -c
    - id -u; id -G | tr ' ' '\n' | sort | xargs; pwd; touch /x 2>&1; grep -E 'CapEff|NoNewPrivs' /proc/self/status
---
apiVersion: v1
kind: Pod
metadata: {name: root}
spec:
  restartPolicy: Never
  securityContext: {seccompProfile: {type: RuntimeDefault}}
  containers:
  - {name: c, image: $BUSYBOX, command: [sh, -c, "id -u; mount -t tmpfs x /mnt 2>&1; grep -E 'CapEff|Seccomp:' /proc/self/status"]}
"#,
    );
    let seen = namespace.output_of("user");
    let expected = "1000\n1001 1002\n/tmp\ntouch: /x: Read-only file system\nCapEff:\t0000000000000000\n\
                    NoNewPrivs:\t1\n";
    assert_eq!(seen, expected);
    let seen = namespace.output_of("root");
    // The fourteen capabilities that engines leave to root.
    assert!(
        seen.starts_with("0\nmount: ") && seen.ends_with("CapEff:\t00000000a80425fb\nSeccomp:\t2\n"),
        "{seen}"
    );
}

fn limits_are_cgroups(namespace: &Namespace) {
    namespace.apply(
        r#"
apiVersion: v1
kind: Pod
metadata: {name: limited}
spec:
  containers:
  - name: c
    image: $BUSYBOX
    command: [sleep, '1000']
    resources: {requests: {cpu: 250m, memory: 16Mi}, limits: {cpu: 500m, memory: 32Mi}}
"#,
    );
    namespace.wait("pod/limited", "condition=Ready");
    assert_eq!(namespace.field("pod/limited", ".status.qosClass"), "Burstable");
    let first = |paths: &str| {
        namespace.exec("limited", &format!("for f in {paths}; do [ -e $f ] && cat $f && exit; done"))
    };
    // Of cgroup v1 or v2.
    let memory = first("/sys/fs/cgroup/memory.max /sys/fs/cgroup/memory/memory.limit_in_bytes");
    assert_eq!(memory.trim(), (32 << 20).to_string());
    let cpu = first("/sys/fs/cgroup/cpu.max /sys/fs/cgroup/cpu/cpu.cfs_quota_us");
    assert_eq!(cpu.split_whitespace().next(), Some("50000"), "{cpu}");
}
