//! Typical network policies, with real pods. All cases of upstream's suite are truth tables in the crate `network`;
//! these tests cover what those cannot show: the path from an object to a pod's first packet.

use std::sync::Arc;

use libtest_mimic::Trial;
use testbed::{Agent, Host, Network, Server};

use crate::images;
use crate::support::{Cluster, LIMIT, Namespace, PROGRAM, SharedCluster, timed_trial, trial};

pub fn trials(shared: &Arc<SharedCluster>) -> Vec<Trial> {
    let trial = |name, test| trial(shared, "network_policy", name, test);
    vec![
        trial("isolates_and_lets_in_by_label", isolates_and_lets_in_by_label),
        trial("holds_from_the_first_packet", holds_from_the_first_packet),
        trial("limits_what_pods_reach", limits_what_pods_reach),
        timed_trial("network_policy::holds_between_hosts", || {
            holds_between_hosts();
            Ok(())
        }),
    ]
}

/// A server that must stay ready, its Service, and two clients.
const PODS: &str = r#"
apiVersion: v1
kind: Pod
metadata: {name: web, labels: {app: web}}
spec:
  containers:
  - name: nginx
    image: $NGINX
    ports: [{name: http, containerPort: 80}]
    readinessProbe: {httpGet: {path: /, port: http}, periodSeconds: 1, failureThreshold: 1}
---
apiVersion: v1
kind: Service
metadata: {name: site}
spec: {selector: {app: web}, ports: [{port: 8080, targetPort: http}]}
---
apiVersion: v1
kind: Pod
metadata: {name: friend, labels: {role: friend}}
spec: {containers: [{name: c, image: $BUSYBOX, command: [sleep, '1000']}]}
---
apiVersion: v1
kind: Pod
metadata: {name: stranger}
spec: {containers: [{name: c, image: $BUSYBOX, command: [sleep, '1000']}]}
"#;

const DENY_INGRESS: &str = r#"
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: deny}
spec: {podSelector: {}, policyTypes: [Ingress]}
"#;

const DENY_EGRESS: &str = r#"
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: deny}
spec: {podSelector: {}, policyTypes: [Egress]}
"#;

const ALLOW_FRIENDS: &str = r#"
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: friends}
spec:
  podSelector: {matchLabels: {app: web}}
  ingress:
  - from: [{podSelector: {matchExpressions: [{key: role, operator: In, values: [friend]}]}}]
    ports: [{port: http}]
"#;

fn pods(namespace: &Namespace) {
    namespace.apply(PODS);
    for pod in ["pod/web", "pod/friend", "pod/stranger"] {
        namespace.wait(pod, "condition=Ready");
    }
}

/// Whether a pod can reach a server: `reached`, or `lost` with the error.
fn sees(namespace: &Namespace, pod: &str, url: &str) -> String {
    let ask = format!("timeout 2 wget -q -O - {url} 2>&1 >/dev/null");
    namespace.exec(pod, &format!("said=$({ask}) && echo reached || echo lost $said"))
}

fn until_sees(namespace: &Namespace, pod: &str, url: &str, expected: &str) {
    namespace.until(&format!("{url} {expected} for {pod}"), || {
        let seen = sees(namespace, pod, url);
        if seen.starts_with(expected) { Ok(()) } else { Err(seen) }
    });
}

fn isolates_and_lets_in_by_label(namespace: &Namespace) {
    pods(namespace);
    let service = "http://site:8080/";
    let direct = format!("http://{}/", namespace.field("pod/web", ".status.podIP"));
    for pod in ["friend", "stranger", "web"] {
        until_sees(namespace, pod, service, "reached");
    }
    namespace.apply(DENY_INGRESS);
    let shown = namespace.run(&["get", "networkpolicies"]);
    assert!(shown.contains("POD-SELECTOR") && shown.contains("deny"), "{shown}");
    until_sees(namespace, "friend", service, "lost");
    assert!(sees(namespace, "stranger", &direct).starts_with("lost"));
    // Itself, through the Service, and the node: probes continue.
    assert!(sees(namespace, "web", service).starts_with("reached"));
    assert!(namespace.cluster.fetch(&namespace.field("pod/web", ".status.podIP")).is_ok());
    namespace.apply(ALLOW_FRIENDS);
    until_sees(namespace, "friend", service, "reached");
    assert!(sees(namespace, "friend", &direct).starts_with("reached"));
    assert!(sees(namespace, "stranger", service).starts_with("lost"));
    namespace.run(&["label", "pod", "stranger", "role=friend"]);
    until_sees(namespace, "stranger", service, "reached");
    namespace.run(&["label", "pod", "friend", "role-"]);
    until_sees(namespace, "friend", service, "lost");
    assert_eq!(namespace.field("pod/web", ".status.conditions[?(@.type==\"Ready\")].status"), "True");
    namespace.run(&["delete", "networkpolicy", "--all"]);
    until_sees(namespace, "friend", service, "reached");
}

/// A policy and, at the same time, a pod that sends requests as soon as it runs.
fn holds_from_the_first_packet(namespace: &Namespace) {
    pods(namespace);
    let address = namespace.field("pod/web", ".status.podIP");
    let asks = |name: &str| {
        format!(
            r#"
---
apiVersion: v1
kind: Pod
metadata: {{name: {name}}}
spec:
  restartPolicy: Never
  containers:
  - name: c
    image: $BUSYBOX
    command: [sh, -c, 'timeout 1 wget -q -O /dev/null http://{address}/ && echo reached || echo lost']
"#
        )
    };
    namespace.apply(&asks("before"));
    assert!(namespace.output_of("before").starts_with("reached"));
    let many: String = (0..5).map(|number| asks(&format!("after-{number}"))).collect();
    namespace.apply(&format!("{DENY_EGRESS}{many}"));
    for number in 0..5 {
        let said = namespace.output_of(&format!("after-{number}"));
        assert!(said.lines().any(|line| line.starts_with("lost")), "after-{number}: {said}");
    }
}

fn limits_what_pods_reach(namespace: &Namespace) {
    pods(namespace);
    let service = "http://site:8080/";
    until_sees(namespace, "friend", service, "reached");
    namespace.apply(DENY_EGRESS);
    until_sees(namespace, "friend", service, "lost");
    // Upstream's contract: a pod always reaches its own node, and with it the node's DNS.
    let name = format!("site.{}.svc.cluster.local", namespace.name);
    assert!(namespace.exec("friend", &format!("nslookup {name}")).contains(&name));
    let address = namespace.field("pod/web", ".status.podIP");
    namespace.apply(&format!(
        r#"
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {{name: one-server}}
spec:
  podSelector: {{matchLabels: {{role: friend}}}}
  policyTypes: [Egress]
  egress:
  - to: [{{ipBlock: {{cidr: {address}/32}}}}]
    ports: [{{port: 80, endPort: 90}}]
"#
    ));
    until_sees(namespace, "friend", service, "reached");
    assert!(sees(namespace, "stranger", service).starts_with("lost"));
    let wrong = r#"
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: wrong}
spec:
  podSelector: {}
  ingress:
  - from: [{ipBlock: {cidr: 10.0.0.0/8, except: [192.168.0.0/16]}}]
    ports: [{port: 90, endPort: 80}]
"#;
    let refused = namespace.try_apply(wrong).unwrap_err().to_string();
    for part in ["spec.ingress[0].from[0].ipBlock.except[0]", "spec.ingress[0].ports[0].endPort"] {
        assert!(refused.contains(part), "{part}: {refused}");
    }
}

/// Like [`PODS`], with the server on one host and its clients on the other.
fn holds_between_hosts() {
    let network = Network::new().unwrap();
    let host = |name| Arc::new(Host::on(&network, name).unwrap());
    let (first, second) = (host("node-1"), host("node-2"));
    let _registry = images::start_registry(&second);
    let registry = images::start_registry(&first);
    let server = Server::start(&first, PROGRAM, &[]).unwrap_or_else(|error| panic!("{error:?}"));
    let token = std::fs::read_to_string(server.data_dir().join("agent-token")).unwrap();
    let agent = Agent::start(&second, PROGRAM, &server.url(), token.trim(), &[]).unwrap();
    server.wait_node("node-2").unwrap_or_else(|error| panic!("{error:?}\n--- agent\n{}", agent.log()));
    let cluster = Arc::new(Cluster::of(server, registry));
    let namespace = Namespace::new(&cluster, "hosts");
    let on = |pods: &str, pod: &str, node: &str| {
        // The spec's first member names the node.
        let (head, tail) = pods.split_once(&format!("metadata: {{name: {pod}")).unwrap();
        let spec = tail.find("spec:").unwrap();
        let place = match tail[spec..].starts_with("spec: {") {
            true => tail[spec..].replacen("spec: {", &format!("spec: {{nodeName: {node}, "), 1),
            false => tail[spec..].replacen("spec:\n", &format!("spec:\n  nodeName: {node}\n"), 1),
        };
        format!("{head}metadata: {{name: {pod}{}{place}", &tail[..spec])
    };
    let placed = on(&on(&on(PODS, "web", "node-1"), "friend", "node-2"), "stranger", "node-2");
    namespace.apply(&placed);
    namespace.run(&["wait", "pod", "--all", "--for=condition=Ready", LIMIT]);
    let service = "http://site:8080/";
    until_sees(&namespace, "stranger", service, "reached");
    namespace.apply(ALLOW_FRIENDS);
    until_sees(&namespace, "stranger", service, "lost");
    assert!(sees(&namespace, "friend", service).starts_with("reached"));
    forged_packets_do_not_pass(&namespace);
    // The agent enforces the policies of its own pods.
    namespace.apply(DENY_EGRESS);
    until_sees(
        &namespace,
        "friend",
        &format!("http://{}/", namespace.field("pod/web", ".status.podIP")),
        "lost",
    );
}

/// A server on one host that only friends may reach, and on the other host a friend and a pod without any capability.
const VAULT: &str = r#"
apiVersion: v1
kind: Pod
metadata: {name: vault, labels: {app: vault}}
spec: {nodeName: node-1, containers: [{name: c, image: $BUSYBOX, command: [sleep, '1000']}]}
---
apiVersion: v1
kind: Pod
metadata: {name: confidant, labels: {role: friend}}
spec: {nodeName: node-2, containers: [{name: c, image: $NGINX, command: [sleep, '1000']}]}
---
apiVersion: v1
kind: Pod
metadata: {name: forger}
spec:
  nodeName: node-2
  containers:
  - name: c
    image: $NGINX
    command: [sleep, '1000']
    securityContext: {runAsUser: 1000, allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: vault}
spec:
  podSelector: {matchLabels: {app: vault}}
  ingress:
  - from: [{podSelector: {matchLabels: {role: friend}}}]
    ports: [{port: 9, protocol: UDP}]
"#;

/// Packets from a friend's address, which a pod wraps as nodes do and sends to the nodes' tunnel ports.
fn forged_packets_do_not_pass(namespace: &Namespace) {
    namespace.apply(VAULT);
    namespace.run(&["wait", "pod", "vault", "confidant", "forger", "--for=condition=Ready", LIMIT]);
    let address = |pod: &str| -> Vec<u8> {
        let text = namespace.field(&format!("pod/{pod}"), ".status.podIP");
        text.split('.').map(|part| part.parse().unwrap()).collect()
    };
    let (friend, vault) = (address("confidant"), address("vault"));
    // There is no listener: the kernel counts the packets received.
    let came = || -> u32 {
        let counts = namespace.exec("vault", "grep Udp: /proc/net/snmp | tail -n 1");
        counts.split_whitespace().nth(2).unwrap().parse().unwrap()
    };
    let send = |pod: &str, to: &str, port: u16, bytes: &[u8]| {
        let bytes: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let to = to.replace('.', ",");
        namespace.exec(
            pod,
            &format!(
                "perl -e 'socket(S, 2, 2, 17) or die; \
                 send(S, pack(\"H*\", \"{bytes}\"), 0, pack(\"SnC4x8\", 2, {port}, {to})) or die $!'"
            ),
        );
    };
    let ask = |pod: &str| send(pod, &namespace.field("pod/vault", ".status.podIP"), 9, b"hello");
    namespace.until("the friend is let in", || {
        let before = came();
        ask("confidant");
        if came() > before { Ok(()) } else { Err("nothing came".to_owned()) }
    });
    let before = came();
    ask("forger");
    assert_eq!(came(), before, "the policy keeps the forger out");
    for node in ["node-1", "node-2"] {
        let address = namespace.field(&format!("node/{node}"), ".status.addresses[0].address");
        let data =
            namespace.field(&format!("node/{node}"), r".metadata.annotations.ironhull\.io/backend-data");
        let mac = data.split('"').find(|text| text.len() == 17).unwrap();
        let mac: Vec<u8> = mac.split(':').map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect();
        let udp = [0x30, 0x39, 0, 9, 0, 8, 0, 0];
        let ip = [&[0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0][..], &friend, &vault].concat();
        let sum: u32 = ip.chunks(2).map(|word| u32::from(word[0]) * 256 + u32::from(word[1])).sum();
        let sum = !((sum & 0xffff) + (sum >> 16));
        let mut frame = [&[8, 0, 0, 0, 0, 0, 1, 0][..], &mac, &[6, 0, 0, 0, 0, 1, 8, 0], &ip, &udp].concat();
        let place = frame.len() - 8 - 10;
        frame[place..place + 2].copy_from_slice(&sum.to_be_bytes()[2..]);
        (0..3).for_each(|_| send("forger", &address, 8472, &frame));
    }
    ask("confidant");
    namespace.until("the friend's datagram", || {
        let now = came();
        if now > before { Ok(()) } else { Err(now.to_string()) }
    });
    assert_eq!(came(), before + 1, "nothing but the friend's own datagram came");
}
