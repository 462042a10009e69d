//! After `ironhull reset` the host is as it was.

use std::sync::Arc;

use libtest_mimic::Trial;
use testbed::{Host, output};

use crate::support::{Cluster, LIMIT, Namespace, timed_trial};

pub fn trials() -> Vec<Trial> {
    vec![
        timed_trial("clean_up::reset_leaves_the_host_as_it_was", || {
            reset_leaves_the_host_as_it_was();
            Ok(())
        }),
        timed_trial("clean_up::a_second_server_is_refused", || {
            a_second_server_is_refused();
            Ok(())
        }),
    ]
}

/// The state of a host, one command for each part.
const PARTS: [(&str, &str); 8] = [
    ("interfaces", "ip -o link show | cut -d: -f2"),
    ("addresses", "ip -o addr show | awk '{ print $2, $3, $4 }'"),
    ("routes", "ip route show table all; ip -6 route show | grep -v fe80; ip rule"),
    ("packet rules", "nft list ruleset"),
    ("mounts", "awk '{ print $2, $3 }' /proc/mounts | sort"),
    ("cgroups", "find -L /sys/fs/cgroup -mindepth 1 -type d 2>/dev/null | sort"),
    (
        "processes",
        "for p in /proc/[0-9]*; do tr '\\0' ' ' < $p/cmdline; echo; done | grep -Ev '^(sh -c for p|grep|sort)' | sort",
    ),
    (
        "settings",
        "sysctl -a --pattern 'ip_forward|forwarding|bridge-nf|rp_filter|route_localnet' 2>/dev/null | grep -v 'uplink\\|neigh' | sort",
    ),
];

fn snapshot(host: &Host) -> Vec<(&'static str, String)> {
    let look = |script: &str| output(host.command("sh").args(["-c", &format!("{script}; true")])).unwrap();
    let mut parts: Vec<_> = PARTS.iter().map(|(name, script)| (*name, look(script))).collect();
    parts.push(("files", host.changed_files().unwrap()));
    parts
}

fn reset_leaves_the_host_as_it_was() {
    let host = Arc::new(Host::new().unwrap());
    let registry = crate::images::start_registry(&host);
    let before = snapshot(&host);
    assert!(
        before.iter().all(|(name, text)| matches!(*name, "packet rules" | "files") || !text.is_empty()),
        "{before:?}"
    );
    let server = testbed::Server::start(&host, crate::support::PROGRAM, &[])
        .unwrap_or_else(|error| panic!("{error:?}"));
    let cluster = Arc::new(Cluster::of(server, registry));
    let namespace = Namespace::new(&cluster, "clean-up");
    namespace.apply(crate::deployment::WEB);
    namespace.apply(
        r#"
apiVersion: v1
kind: Pod
metadata: {name: volumes}
spec:
  containers:
  - name: c
    image: $BUSYBOX
    command: [sleep, '1000']
    ports: [{containerPort: 80, hostPort: 8077}]
    resources: {limits: {memory: 32Mi}}
    volumeMounts: [{name: memory, mountPath: /memory}, {name: disk, mountPath: /disk, subPath: part}]
  volumes: [{name: memory, emptyDir: {medium: Memory}}, {name: disk, emptyDir: {}}]
---
apiVersion: v1
kind: Pod
metadata: {name: broken}
spec: {containers: [{name: c, image: $BUSYBOX, command: ['false']}]}
"#,
    );
    namespace.wait("pod/volumes", "condition=Ready");
    namespace.run(&["rollout", "status", "deployment/web", LIMIT]);
    let during = snapshot(&host);
    for ((name, before), (_, during)) in before.iter().zip(&during) {
        let is_used = !matches!(*name, "settings" | "files" | "addresses");
        assert!(!is_used || before != during, "{name} would not show what pods do: {during}");
    }
    // Neither a clean exit nor a crash leaves more than reset can remove.
    cluster.server.kill().unwrap();
    cluster.server.start_again().unwrap();
    cluster.server.wait_ready().unwrap();
    cluster.server.stop().unwrap();
    let said = cluster.server.reset().unwrap_or_else(|error| panic!("{error:?}"));
    assert!(said.contains("removed"), "{said}");
    for ((name, before), (_, after)) in before.iter().zip(snapshot(&host)) {
        assert_eq!(*before, after, "{name}");
    }
    assert!(!cluster.server.data_dir().exists());
    // A second reset is not an error, and the host can be used for another cluster.
    cluster.server.reset().unwrap();
    cluster.server.start_again().unwrap();
    cluster.server.wait_ready().unwrap_or_else(|error| panic!("{error:?}"));
}

fn a_second_server_is_refused() {
    let cluster = Cluster::without_images();
    // Another port and another directory, but the same host network.
    let directory = cluster.host().directory().join("second");
    let mut second = cluster.host().command(crate::support::PROGRAM);
    second
        .args(["server", "--https-listen-port=7443", "--kubelet-port=20250", "--data-dir"])
        .arg(directory)
        .env("IRONHULL_CONFIG", cluster.host().directory().join("no-config"));
    let mut second = cluster.host().start("second", second).unwrap();
    let status =
        second.wait(crate::support::PATIENCE).unwrap_or_else(|error| panic!("{error:?}\n{}", second.log()));
    assert_eq!(status.code(), Some(1), "{}", second.log());
    assert!(
        second.log().contains("another instance of ironhull is running on this host network"),
        "{}",
        second.log()
    );
    // It ends before it says that it serves.
    let greeting = "serves the Kubernetes API";
    assert!(!second.log().contains(greeting) && cluster.server.log().contains(greeting), "{}", second.log());
    testbed::output(&mut cluster.server.kubectl(&["get", "--raw", "/readyz"])).unwrap();
}
