//! Hosts that are cut off, killed, or tampered with: pods are replaced only when they must be, and everything is as
//! before when the host is back.

use std::sync::Arc;
use std::time::Duration;

use libtest_mimic::Trial;
use testbed::{Cut, Host, output};
use tokio::time::Instant;

use crate::support::{Cluster, Load, Namespace, timed_trial};

pub fn trials() -> Vec<Trial> {
    let trial = |name: &'static str, test: fn(&Namespace)| {
        timed_trial(format!("faults::{name}"), move || {
            let cluster = Arc::new(Cluster::of_hosts(1));
            test(&Namespace::new(&cluster, "faults"));
            Ok(())
        })
    };
    vec![
        trial("pods_of_a_host_that_is_cut_off_for_10_s_stay", pods_of_a_host_that_is_cut_off_for_10_s_stay),
        trial(
            "pods_of_a_host_that_is_cut_off_for_long_are_replaced",
            pods_of_a_host_that_is_cut_off_for_long_are_replaced,
        ),
        trial(
            "a_killed_host_returns_also_with_another_address",
            a_killed_host_returns_also_with_another_address,
        ),
        trial("a_killed_agent_and_flushed_rules_are_healed", a_killed_agent_and_flushed_rules_are_healed),
        trial("waves_of_pods_leave_nothing", waves_of_pods_leave_nothing),
        trial("a_drained_node_is_empty_and_can_be_deleted", a_drained_node_is_empty_and_can_be_deleted),
    ]
}

/// Web servers that prefer the second host, and leave it soon when it is unreachable.
const WEB: &str = r#"
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 2
      affinity:
        nodeAffinity:
          preferredDuringSchedulingIgnoredDuringExecution:
          - weight: 100
            preference: {matchExpressions: [{key: kubernetes.io/hostname, operator: In, values: [node-2]}]}
      tolerations:
      - {key: node.kubernetes.io/not-ready, operator: Exists, effect: NoExecute, tolerationSeconds: $SECONDS}
      - {key: node.kubernetes.io/unreachable, operator: Exists, effect: NoExecute, tolerationSeconds: $SECONDS}
      containers:
      - name: nginx
        image: $NGINX
        ports: [{name: http, containerPort: 80}]
        readinessProbe: {httpGet: {path: /, port: http}, periodSeconds: 1, timeoutSeconds: 5}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{port: 80, targetPort: http}]}
"#;

/// Deploys web servers on the second host; returns the address of their Service.
fn deploy(namespace: &Namespace, toleration_seconds: u32) -> String {
    namespace.apply(&WEB.replace("$SECONDS", &toleration_seconds.to_string()));
    namespace.run(&["rollout", "status", "deployment/web", crate::support::LIMIT]);
    let nodes = namespace.run(&["get", "pods", "-o", "jsonpath={.items[*].spec.nodeName}"]);
    assert_eq!(nodes, "node-2 node-2");
    let address = namespace.field("service/web", ".spec.clusterIP");
    until_served(namespace, &address);
    address
}

/// Waits until the Service answers on both hosts.
fn until_served(namespace: &Namespace, address: &str) {
    for host in namespace.cluster.hosts() {
        namespace.until(&format!("a page on {}", host.name()), || {
            let mut curl = host.command("curl");
            output(curl.args(["-sSf", "-m", "5", &format!("http://{address}/")]))
                .map_err(|error| error.to_string())
        });
    }
}

fn other(namespace: &Namespace) -> &Arc<Host> {
    namespace.cluster.agents[0].host()
}

/// Data that show whether pods are still the same and have never restarted.
fn identities(namespace: &Namespace) -> String {
    let path =
        r#"jsonpath={range .items[*]}{.metadata.uid} {.status.containerStatuses[0].restartCount}{"\n"}{end}"#;
    namespace.run(&["get", "pods", "-o", path])
}

fn pods_of_a_host_that_is_cut_off_for_10_s_stay(namespace: &Namespace) {
    let address = deploy(namespace, 3);
    let before = identities(namespace);
    for cut in [Cut::Both, Cut::Sent, Cut::Received] {
        let start = Instant::now();
        other(namespace).cut(cut).unwrap();
        namespace.until("10 s", || {
            let ready = namespace.field("node/node-2", r#".status.conditions[?(@.type=="Ready")].status"#);
            assert_eq!(ready, "True");
            if start.elapsed() >= Duration::from_secs(10) { Ok(()) } else { Err(ready) }
        });
        other(namespace).reconnect().unwrap();
        until_served(namespace, &address);
        // Nothing is replaced, and the node continues and receives changes.
        assert_eq!(identities(namespace), before);
        namespace.run(&[
            "run",
            "new",
            &format!("--image={}", crate::images::BUSYBOX),
            "--overrides",
            r#"{"spec": {"nodeName": "node-2"}}"#,
            "--",
            "sleep",
            "1000",
        ]);
        namespace.wait("pod/new", "condition=Ready");
        namespace.run(&["delete", "pod", "new", "--grace-period=0", "--force"]);
    }
}

fn pods_of_a_host_that_is_cut_off_for_long_are_replaced(namespace: &Namespace) {
    let address = deploy(namespace, 3);
    let old = identities(namespace);
    other(namespace).cut(Cut::Both).unwrap();
    namespace.wait("node/node-2", "condition=Ready=Unknown");
    namespace.until("the taint", || {
        let taints = namespace.field("node/node-2", ".spec.taints[*].key");
        if taints.contains("node.kubernetes.io/unreachable") { Ok(()) } else { Err(taints) }
    });
    namespace.until("two pods in place of those", || {
        let path = r#"jsonpath={range .items[?(@.spec.nodeName=="node-1")]}{.status.phase} {end}"#;
        let phases = namespace.run(&["get", "pods", "-o", path]);
        if phases == "Running Running " { Ok(()) } else { Err(phases) }
    });
    namespace.until("a page", || namespace.cluster.fetch(&address));
    // The old pods keep running where they cannot be stopped, and their objects show that.
    let pods = namespace.run(&["get", "pods", "-o", "wide"]);
    assert_eq!(
        pods.lines().filter(|line| line.contains("Terminating") && line.contains("node-2")).count(),
        2,
        "{pods}"
    );

    other(namespace).reconnect().unwrap();
    namespace.wait("node/node-2", "condition=Ready");
    namespace.until("the end of the old pods", || {
        let now = identities(namespace);
        let is_new = now.lines().count() == 2 && now.lines().all(|line| !old.contains(line));
        if is_new { Ok(()) } else { Err(now) }
    });
    namespace.until("no web server on the old host", || {
        let mut list = other(namespace).command("sh");
        let script = "for process in /proc/[0-9]*; do tr '\\0' ' ' < $process/cmdline; echo; done | grep -a '^nginx: ' || true";
        let text = output(list.args(["-c", script])).map_err(|error| error.to_string())?;
        if text.is_empty() { Ok(()) } else { Err(text) }
    });
    namespace.until("no taints", || {
        let taints = namespace.field("node/node-2", ".spec.taints[*].key");
        if taints.is_empty() { Ok(()) } else { Err(taints) }
    });
    until_served(namespace, &address);
}

fn a_killed_host_returns_also_with_another_address(namespace: &Namespace) {
    let address = deploy(namespace, 300);
    let agent = &namespace.cluster.agents[0];
    let host = other(namespace);
    let uids = |text: String| -> Vec<String> {
        text.lines().map(|line| line.split(' ').next().unwrap_or_default().to_owned()).collect()
    };
    let before = uids(identities(namespace));
    for is_moved in [false, true] {
        host.power_off();
        if is_moved {
            host.change_address().unwrap();
        }
        host.power_on().unwrap();
        agent.start_again().unwrap();
        // The same pods, with containers of this boot.
        namespace.until("the node's address", || {
            let path = r#".status.addresses[?(@.type=="InternalIP")].address"#;
            let seen = namespace.field("node/node-2", path);
            if seen == host.address().to_string() { Ok(()) } else { Err(seen) }
        });
        namespace.until("pods that run again", || {
            let pods = namespace.run(&[
                "get",
                "pods",
                "-o",
                "jsonpath={.items[*].status.containerStatuses[0].restartCount}",
            ]);
            let count = if is_moved { "2 2" } else { "1 1" };
            if pods == count { Ok(()) } else { Err(pods) }
        });
        namespace.wait("deployment/web", "condition=Available");
        until_served(namespace, &address);
        assert_eq!(uids(identities(namespace)), before);
        namespace.run(&["logs", "deployment/web"]);
    }
}

fn a_killed_agent_and_flushed_rules_are_healed(namespace: &Namespace) {
    let address = deploy(namespace, 300);
    let agent = &namespace.cluster.agents[0];
    // A program on the host of the agent that looks a name up each time. It speaks a different protocol than the server
    // that it finds, so its error shows whether it found one. Without its pauses it would ask while the agent is dying,
    // when queries are lost in any case.
    namespace.apply(
        r#"
apiVersion: v1
kind: Pod
metadata: {name: asking}
spec:
  nodeName: node-2
  terminationGracePeriodSeconds: 0
  dnsConfig: {options: [{name: attempts, value: '2'}, {name: timeout, value: '10'}]}
  containers:
  - name: c
    image: $REDIS
    command:
    - sh
    - -c
    - |
      while true; do
        said=$(redis-cli -h web -p 80 ping 2>&1)
        case $said in *'Could not connect'*) echo "bad: $said";; *) echo good; sleep 0.2;; esac
      done
"#,
    );
    let lookups = namespace.until_output(&["logs", "asking"], "good");
    let before = identities(namespace);
    let load = Load::start(namespace.cluster.host(), &format!("{address}:80"));
    agent.kill().unwrap();
    // Long enough for some lookup to find no server.
    let start = Instant::now();
    namespace.until("a pause", || {
        if start.elapsed() > Duration::from_secs(2) { Ok(()) } else { Err("not yet".into()) }
    });
    agent.start_again().unwrap();
    // It is back when it runs a new pod.
    namespace.run(&[
        "run",
        "new",
        &format!("--image={}", crate::images::BUSYBOX),
        "--overrides",
        r#"{"spec": {"nodeName": "node-2"}}"#,
        "--",
        "sleep",
        "1000",
    ]);
    namespace.wait("pod/new", "condition=Ready");
    let (pages, failures) = load.stop();
    assert_eq!(failures, Vec::<String>::new(), "besides {} pages", pages.len());
    assert_eq!(identities(namespace).lines().filter(|line| before.contains(line)).count(), 3);
    let lines = |text: &str| text.lines().count();
    let said = namespace.until("lookups", || {
        let said = namespace.run(&["logs", "asking"]);
        if lines(&said) > lines(&lookups) + 10 { Ok(said) } else { Err(said) }
    });
    assert!(!said.contains("bad"), "{said}");
    namespace.run(&["delete", "pod", "asking"]);
    for host in namespace.cluster.hosts() {
        output(host.command("nft").args(["flush", "ruleset"])).unwrap();
    }
    until_served(namespace, &address);
    namespace.until("a page in a pod", || {
        let mut exec =
            namespace.kubectl(&["exec", "new", "--", "timeout", "5", "wget", "-q", "-O", "-", "http://web/"]);
        output(&mut exec).map_err(|error| error.to_string())
    });
}

/// The host's entries for its own and other hosts' pods, counted. Chains for a number of endpoints are kept, one for
/// each number, for the next Service with the same number.
fn counts(host: &Host) -> String {
    let script = "echo links $(ip -o link | wc -l)
        echo routes $(ip route show table all | wc -l) $(ip -6 route show table all | grep -vc ' fe80\\|^fe80\\|multicast')
        echo fdb $(bridge fdb | wc -l)
        echo permanent neighbours $(ip neigh show nud permanent | wc -l)
        echo rules $(nft list ruleset | grep -v counter | grep -v numgen | grep -v 'chain service_' | grep -c '[a-z]')
        echo namespaces $(grep -c ' nsfs ' /proc/1/mountinfo)
        echo shims $(grep -al 'ironhull.shim' /proc/[0-9]*/cmdline | wc -l)";
    output(host.command("sh").args(["-c", script])).unwrap()
}

fn waves_of_pods_leave_nothing(namespace: &Namespace) {
    let address = deploy(namespace, 300);
    let before: Vec<(String, String)> =
        namespace.cluster.hosts().map(|host| (counts(host), rules(host))).collect();
    let load = Load::start(namespace.cluster.host(), &format!("{address}:80"));
    let wave = r#"
apiVersion: apps/v1
kind: Deployment
metadata: {name: wave}
spec:
  replicas: 200
  selector: {matchLabels: {app: wave}}
  template:
    metadata: {labels: {app: wave}}
    spec:
      terminationGracePeriodSeconds: 0
      containers: [{name: c, image: $BUSYBOX, command: [sleep, '1000']}]
---
apiVersion: v1
kind: Service
metadata: {name: wave}
spec: {selector: {app: wave}, ports: [{port: 80}]}
"#;
    // A thousand pods, as many at once as fit on two nodes.
    let limit = "--timeout=300s";
    for _ in 0..5 {
        namespace.apply(wave);
        namespace.run(&["rollout", "status", "deployment/wave", limit]);
        namespace.run(&["delete", "deployment/wave", "service/wave", "--cascade=foreground", limit]);
    }
    let (pages, failures) = load.stop();
    assert_eq!(failures, Vec::<String>::new(), "besides {} pages", pages.len());
    for (host, (before, rules)) in namespace.cluster.hosts().zip(&before) {
        namespace.until(&format!("{} as before:\n{before}", host.name()), || {
            let now = counts(host);
            if now == *before { Ok(()) } else { Err(now + &new_rules(host, rules)) }
        });
    }
}

/// All packet rules of a host.
fn rules(host: &Host) -> String {
    output(host.command("nft").args(["list", "ruleset"])).unwrap()
}

/// Rules that were not there before.
fn new_rules(host: &Host, before: &str) -> String {
    let now = rules(host);
    let is_new = |line: &&str| !before.lines().any(|old| old == *line);
    now.lines().filter(is_new).take(60).map(|line| format!("{line}\n")).collect()
}

fn a_drained_node_is_empty_and_can_be_deleted(namespace: &Namespace) {
    let address = deploy(namespace, 300);
    let said = namespace.run(&[
        "drain",
        "node-2",
        "--ignore-daemonsets",
        "--delete-emptydir-data",
        crate::support::LIMIT,
    ]);
    assert!(said.contains("node/node-2 drained"), "{said}");
    let nodes = namespace.run(&["get", "pods", "-o", "jsonpath={.items[*].spec.nodeName}"]);
    assert!(!nodes.contains("node-2"), "{nodes}");
    namespace.wait("deployment/web", "condition=Available");
    namespace.cluster.agents[0].stop().unwrap();
    namespace.run(&["delete", "node", "node-2"]);
    namespace.until("a page", || namespace.cluster.fetch(&address));
    // No trace of it is left on the other host.
    namespace.until("no way to the deleted node", || {
        let mut links = namespace.cluster.host().command("sh");
        let text = output(links.args(["-c", "ip route; bridge fdb | grep 198.51.100.3 || true"]))
            .map_err(|e| e.to_string())?;
        if text.contains("10.42.1.0/24") || text.contains("198.51.100.3") { Err(text) } else { Ok(()) }
    });
}
