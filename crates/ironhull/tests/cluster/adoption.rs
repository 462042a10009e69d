//! The server is killed, and finds the containers still running after its restart.

use std::sync::Arc;

use libtest_mimic::Trial;

use crate::support::{Cluster, LIMIT, Load, Namespace, timed_trial};

pub fn trials() -> Vec<Trial> {
    vec![timed_trial("adoption::containers_outlive_the_server", || {
        containers_outlive_the_server();
        Ok(())
    })]
}

const PODS: &str = r#"
apiVersion: v1
kind: Pod
metadata: {name: counter}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - name: c
    image: $BUSYBOX
    command: [sh, -c, 'i=0; while :; do echo $i; i=$((i + 1)); sleep 0.05; done']
---
apiVersion: v1
kind: Pod
metadata: {name: ends}
spec:
  restartPolicy: Never
  containers: [{name: c, image: $BUSYBOX, command: [sh, -c, 'until [ -e /tmp/go ]; do sleep 0.1; done; exit 9']}]
---
apiVersion: v1
kind: Pod
metadata: {name: web, labels: {app: web}}
spec:
  containers:
  - name: nginx
    image: $NGINX
    readinessProbe: {httpGet: {path: /, port: 80}, periodSeconds: 1}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{port: 80}]}
"#;

fn containers_outlive_the_server() {
    let cluster = Arc::new(Cluster::start());
    let namespace = Namespace::new(&cluster, "adoption");
    namespace.apply(PODS);
    namespace.run(&["wait", "pod", "--all", "--for=condition=Ready", LIMIT]);
    let address = namespace.field("service/web", ".spec.clusterIP");
    namespace.until("the page", || cluster.fetch(&address));
    let containers = || {
        let path = "jsonpath={range .items[*].status.containerStatuses[*]}{.containerID} {.restartCount} {.state.running.startedAt}{\"\\n\"}{end}";
        namespace.run(&["get", "pods", "counter", "web", "-o", path])
    };
    let processes = || {
        let pids =
            testbed::output(cluster.host().command("sh").args(["-c", "pidof nginx | xargs -r -n1 | sort"]));
        pids.unwrap()
    };
    let (before, nginx) = (containers(), processes());
    let load = Load::start(cluster.host(), &format!("{address}:80"));

    cluster.server.kill().unwrap();
    assert!(cluster.fetch(&address).unwrap().ends_with(" version 1\n"), "Services serve without the server");
    // One container exits while there is no agent.
    let script = "for process in /proc/[0-9]*; do
          if tr '\\0' ' ' < $process/cmdline | grep -q 'exit 9$\\|exit 9 $'; then touch $process/root/tmp/go; fi
        done";
    testbed::output(cluster.host().command("sh").args(["-c", script])).unwrap();

    cluster.server.start_again().unwrap();
    cluster.server.wait_ready().unwrap();
    namespace.wait("pod/ends", "jsonpath={.status.phase}=Failed");
    assert_eq!(namespace.field("pod/ends", ".status.containerStatuses[0].state.terminated.exitCode"), "9");
    // Killed again, and then stopped cleanly.
    cluster.server.kill().unwrap();
    cluster.server.start_again().unwrap();
    cluster.server.wait_ready().unwrap();
    cluster.server.stop().unwrap();
    cluster.server.start_again().unwrap();
    cluster.server.wait_ready().unwrap();

    assert_eq!(containers(), before);
    assert_eq!(processes(), nginx);
    let (pages, failures) = load.stop();
    assert_eq!(failures, Vec::<String>::new(), "besides {} pages", pages.len());
    // Logs have no gap, and continue.
    let lines = || -> Vec<u64> {
        namespace.run(&["logs", "counter"]).lines().map(|line| line.parse().unwrap()).collect()
    };
    let seen = lines();
    assert_eq!(seen, (0..seen.len() as u64).collect::<Vec<_>>());
    namespace.until("the next line", || {
        let now = lines();
        if now.len() > seen.len() { Ok(()) } else { Err(format!("{} lines", now.len())) }
    });
    // The pods work like new ones: commands run, probes count, new pods have addresses, and all of them can be stopped.
    assert_eq!(namespace.exec("counter", "echo here"), "here\n");
    namespace.run(&["run", "new", &format!("--image={}", crate::images::BUSYBOX), "--", "sleep", "1000"]);
    namespace.wait("pod/new", "condition=Ready");
    let addresses =
        namespace.run(&["get", "pods", "counter", "web", "new", "-o", "jsonpath={.items[*].status.podIP}"]);
    let mut addresses: Vec<&str> = addresses.split(' ').collect();
    addresses.dedup();
    assert_eq!(addresses.len(), 3, "{addresses:?}");
    namespace.run(&["delete", "pod", "--all", "--grace-period=1", "--timeout=60s"]);
    assert_eq!(processes(), "");
}
