//! A load of attacks in parallel with a normal workload: the workload is hardly affected, and afterwards our processes
//! are as before.
//!
//! It takes a minute by default, or `IRONHULL_ATTACK_SECONDS` (`cargo xtask test-long attacks`).

#[path = "attacks/flood.rs"]
mod flood;
#[path = "attacks/measure.rs"]
mod measure;

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::{ObjectMeta, PostParams};
use libtest_mimic::Trial;
use rustls::ClientConfig;
use testbed::{Host, until};

use crate::kube_rs::with_client_within;
use crate::support::{Cluster, LIMIT, Namespace, PATIENCE, timed_trial};
use flood::{Attack, Clients, Flood};
use measure::{Questions, memory};

/// The default duration of the attack.
const ATTACK_SECONDS: u64 = 60;
/// The number of requests to the Service before the attack.
const QUESTIONS_BEFORE: usize = 300;
/// How long everything is attacked before the first measurement, so that one-time allocations are done.
const WARM_UP: Duration = Duration::from_secs(15);
/// The factor by which the 99th percentile of answers may grow.
const SLOWER_MAX: u32 = 3;
/// How much more memory than before a process may have, in percent.
const GROWTH_MAX: u64 = 10;

/// A response time that is always accepted, whatever it was before.
struct Margins {
    /// Answers within this time.
    answer: Duration,
    /// Memory of a process, in KiB.
    growth: u64,
    /// The time within which memory is back.
    back_within: Duration,
}

/// If nothing else runs on the machine.
const ALONE: Margins =
    Margins { answer: Duration::from_millis(20), growth: 4 << 10, back_within: Duration::from_secs(60) };
/// In parallel with other tests, and with a tenth of the time.
const BESIDE_OTHERS: Margins =
    Margins { answer: Duration::from_millis(500), growth: 64 << 10, back_within: Duration::from_secs(300) };

/// How often objects change for watchers, and their size.
const NEWS_EVERY: Duration = Duration::from_millis(200);
const NEWS_BYTES: usize = 50_000;
/// As much as the store keeps as history, written at once in pieces of this size.
const HISTORY_BYTES: usize = 80 << 20;
const LONG_NEWS_BYTES: usize = 500_000;

pub fn trials() -> Vec<Trial> {
    vec![timed_trial("attacks::a_workload_goes_on_and_memory_comes_back", || {
        a_workload_goes_on_and_memory_comes_back();
        Ok(())
    })]
}

/// The workload that must not be affected: it has a share of the processors, and a pod on each host.
const WORKLOAD: &str = r#"
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: web}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - name: nginx
        image: $NGINX
        resources: {requests: {cpu: 500m, memory: 64Mi}}
        readinessProbe: {httpGet: {path: /, port: 80}, periodSeconds: 2, timeoutSeconds: 5}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{port: 80}]}
"#;

/// Pods that use as much as they can, each in its own way.
const GREEDY: [(&str, &str, &str); 6] = [
    ("logs", "{}", "while :; do head -c 500000 /dev/zero | tr '\\0' x; echo; sleep 0.2; done"),
    ("disk", "{}", "while :; do dd if=/dev/zero of=/data/file bs=1M count=32; sleep 5; done"),
    ("message", "{}", "head -c 20000000 /dev/zero >/dev/termination-log; exit 1"),
    ("memory", "{limits: {memory: 32Mi}}", "head -c 200000000 /dev/zero | tail"),
    ("processes", "{}", "for n in $(seq 150); do sleep 1000 & done; wait"),
    ("processors", "{}", "while :; do :; done & while :; do :; done"),
];

fn greedy_pods() -> String {
    let pod = |(name, resources, script): &(&str, &str, &str)| {
        let script = serde_json::to_string(script).unwrap();
        format!(
            r#"
---
apiVersion: v1
kind: Pod
metadata: {{name: {name}}}
spec:
  terminationGracePeriodSeconds: 0
  volumes: [{{name: data, emptyDir: {{sizeLimit: 16Mi}}}}]
  containers:
  - name: c
    image: $BUSYBOX
    command: [sh, -c, {script}]
    resources: {resources}
    volumeMounts: [{{name: data, mountPath: /data}}]
    securityContext: {{allowPrivilegeEscalation: false, capabilities: {{drop: [ALL]}}}}
"#
        )
    };
    GREEDY.iter().map(pod).collect()
}

/// The administrator's connection to the API server, for the test's own clients.
fn administrator(namespace: &Namespace) -> Arc<ClientConfig> {
    let field = |path: &str| -> String {
        let text = namespace.run(&["config", "view", "--raw", "-o", &format!("jsonpath={{{path}}}")]);
        String::from_utf8(STANDARD.decode(text).unwrap()).unwrap()
    };
    let identity = tls::Identity::from_pem(
        &field(".users[0].user.client-certificate-data"),
        &field(".users[0].user.client-key-data"),
    );
    let authority = field(".clusters[0].cluster.certificate-authority-data");
    Arc::new(tls::client(&authority, Some(identity.unwrap())).unwrap())
}

fn news(number: usize, bytes: usize) -> ConfigMap {
    let text = format!("{number} {}", "x".repeat(bytes));
    ConfigMap {
        metadata: ObjectMeta { name: Some("news".to_owned()), ..ObjectMeta::default() },
        data: Some([("text".to_owned(), text)].into()),
        ..ConfigMap::default()
    }
}

/// Ports with a listener on a host, except on loopback: TCP or UDP.
fn open_ports(pid: i32, protocol: &str) -> BTreeSet<SocketAddr> {
    let table = std::fs::read_to_string(format!("/proc/{pid}/net/{protocol}")).unwrap();
    let listens = if protocol == "tcp" { "0A" } else { "07" };
    let address = |line: &str| -> Option<SocketAddr> {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (address, port) = fields.get(1)?.split_once(':')?;
        let address = u32::from_str_radix(address, 16).ok()?.to_ne_bytes();
        (fields.get(3) == Some(&listens)).then_some(())?;
        Some(SocketAddr::new(address.into(), u16::from_str_radix(port, 16).ok()?))
    };
    table.lines().skip(1).filter_map(address).filter(|at| !at.ip().is_loopback()).collect()
}

/// The attackers of one host: from outside on its reachable ports, and from the host itself on those that only it and
/// its pods can reach.
fn attackers(host: &Host, pid: i32) -> [(std::path::PathBuf, Vec<Clients>); 2] {
    let reached = |at: SocketAddr| match at.ip().is_unspecified() {
        true => SocketAddr::new(host.address(), at.port()),
        false => at,
    };
    let [tcp, udp] =
        ["tcp", "udp"].map(|p| open_ports(pid, p).into_iter().map(reached).collect::<BTreeSet<_>>());
    let is_outward = |at: &SocketAddr| at.ip() == host.address();
    let clients =
        |attack: &Attack, target: SocketAddr, count| Clients { attack: attack.clone(), target, count };
    let mut outside = Vec::new();
    for target in tcp.iter().copied().filter(is_outward) {
        outside.extend([clients(&Attack::Idle, target, 50), clients(&Attack::Garbage, target, 4)]);
        if matches!(target.port(), 6443 | 10250) {
            let secure = [
                (Attack::HalfHello, 40),
                (Attack::HalfHeaders, 15),
                (Attack::HalfBody, 15),
                (Attack::SlowFrames, 15),
                (Attack::Resets, 2),
            ];
            outside.extend(secure.iter().map(|(attack, count)| clients(attack, target, *count)));
        }
    }
    let inside = tcp.iter().copied().filter(|at| !is_outward(at));
    let mut inside: Vec<Clients> = inside
        .flat_map(|target| [clients(&Attack::Idle, target, 50), clients(&Attack::Garbage, target, 4)])
        .collect();
    for target in udp {
        let clients = clients(&Attack::Datagrams, target, 1);
        if is_outward(&target) { outside.push(clients) } else { inside.push(clients) }
    }
    [(host.network().network_namespace(), outside), (host.network_namespace(), inside)]
}

/// A whole attack, from its begin to its end.
struct Attacks<'c> {
    cluster: &'c Arc<Cluster>,
    pids: Vec<i32>,
    watchers: Clients,
}

impl Attacks<'_> {
    /// Attacks for this long. `first` is 1 the first time, and 0 afterwards.
    fn go_on_for(&self, time: Duration, first: usize) {
        let namespace = Namespace::new(self.cluster, "attacks");
        namespace.apply(&greedy_pods());
        let mut floods: Vec<Flood> = Vec::new();
        for (host, pid) in self.cluster.hosts().zip(&self.pids) {
            for (place, clients) in attackers(host, *pid) {
                assert!(!clients.is_empty(), "nothing to attack at {}", place.display());
                floods.push(Flood::start(&place, clients));
            }
        }
        floods.push(Flood::start(
            &self.cluster.host().network().network_namespace(),
            vec![self.watchers.clone()],
        ));
        with_client_within(&namespace, time + PATIENCE, |client| async move {
            let maps: Api<ConfigMap> = Api::namespaced(client, "attacks");
            maps.create(&PostParams::default(), &news(0, 0)).await.unwrap();
            // History is kept for a while, up to a number of bytes, and does not grow from there.
            for number in 0..HISTORY_BYTES / LONG_NEWS_BYTES * first {
                maps.replace("news", &PostParams::default(), &news(number, LONG_NEWS_BYTES)).await.unwrap();
            }
            // Data that watchers would have to read.
            let end = tokio::time::Instant::now() + time;
            let mut pace = tokio::time::interval(NEWS_EVERY);
            for number in 0.. {
                if pace.tick().await > end {
                    break;
                }
                maps.replace("news", &PostParams::default(), &news(number, NEWS_BYTES)).await.unwrap();
            }
        });
        drop(floods);
        namespace.run(&["delete", "pods", "--all", "--wait=true", "--timeout=180s"]);
        namespace.run(&["delete", "namespace", "attacks", "--wait=true", "--timeout=180s"]);
    }
}

fn a_workload_goes_on_and_memory_comes_back() {
    let seconds = std::env::var("IRONHULL_ATTACK_SECONDS").ok().map(|text| text.parse().unwrap());
    let margins = if seconds.is_some() { ALONE } else { BESIDE_OTHERS };
    let time = Duration::from_secs(seconds.unwrap_or(ATTACK_SECONDS));
    serve::raise_descriptors();
    let cluster = Arc::new(Cluster::of_hosts(1));
    let namespace = Namespace::new(&cluster, "workload");
    namespace.apply(WORKLOAD);
    namespace.run(&["rollout", "status", "daemonset/web", LIMIT]);
    let server = cluster.server.pid().unwrap();
    let pids = vec![server, cluster.agents[0].pid().unwrap()];
    let api = SocketAddr::new(cluster.host().address(), 6443);
    let path = "/api/v1/configmaps?watch=true".to_owned();
    let watchers =
        Clients { attack: Attack::DeafWatch(administrator(&namespace), path), target: api, count: 40 };
    let attacks = Attacks { cluster: &cluster, pids: pids.clone(), watchers };

    attacks.go_on_for(WARM_UP, 1);
    let service: IpAddr = namespace.field("service/web", ".spec.clusterIP").parse().unwrap();
    let address = SocketAddr::new(service, 80).to_string();
    let questions = Questions::start(cluster.host(), &address);
    questions.wait_for(QUESTIONS_BEFORE);
    let before = questions.stop();
    assert_eq!(before.failures, [""; 0], "before the attack");
    let hosts: Vec<&Host> = cluster.hosts().map(Arc::as_ref).collect();
    let memory_before = memory(&hosts, &pids);

    let questions = Questions::start(cluster.host(), &address);
    attacks.go_on_for(time, 0);
    let during = questions.stop();
    println!("before the attack: {before}\nduring it: {during}");
    assert_eq!(during.failures, [""; 0], "during the attack");
    let limit = (before.percentile(99) * SLOWER_MAX).max(margins.answer);
    assert!(during.percentile(99) < limit, "slower than {limit:?}");

    let back = until("memory to come back", margins.back_within, || {
        let now = memory(&hosts, &pids);
        let mut grown = String::new();
        for (pid, (role, before)) in &memory_before {
            let Some((_, now)) = now.get(pid) else { return Ok(Err(format!("the {role} has ended"))) };
            if now.all > before.all + (before.all * GROWTH_MAX / 100).max(margins.growth) {
                grown += &format!("{role}: {now}; before {before}\n");
            }
        }
        if grown.is_empty() { Ok(Ok(now)) } else { Err(grown) }
    });
    let now = back.unwrap_or_else(|error| panic!("{error:?}")).unwrap_or_else(|error| panic!("{error}"));
    for (pid, (role, before)) in memory_before {
        println!("{role} ({pid}): {before} before; {} after", now[&pid].1);
    }
}
