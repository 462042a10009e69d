//! Pods on two hosts, and how packets travel between them.

use std::time::Duration;

use libtest_mimic::Trial;
use testbed::{Capture, Cluster, ClusterOptions, Frame, Host, Network, output, until};

use crate::images::{self, BUSYBOX};
use crate::support::{PATIENCE, PROGRAM, timed_trial};

pub fn trials() -> Vec<Trial> {
    vec![timed_trial("overlay::pods_of_two_hosts_talk_over_each_backend", || {
        pods_of_two_hosts_talk_over_each_backend();
        Ok(())
    })]
}

/// A server on each node.
const PODS: &str = "\
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: web}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 0
      containers:
      - name: web
        image: $BUSYBOX
        command: [nc, -ll, -p, '80', -e, echo, hello]
";

/// A pod that serves.
struct Pod {
    name: String,
    address: String,
}

fn kubectl(cluster: &Cluster, arguments: &[&str]) -> String {
    output(&mut cluster.server.kubectl(arguments)).unwrap_or_else(|error| panic!("{error:?}"))
}

fn pods(cluster: &Cluster) -> [Pod; 2] {
    ["node-1", "node-2"].map(|node| {
        until(&format!("the pod on {node}"), PATIENCE, || {
            let columns =
                "jsonpath={.items[0].metadata.name} {.items[0].status.podIP} {.items[0].status.phase}";
            let selector = format!("spec.nodeName={node}");
            let arguments = ["get", "pods", "-l", "app=web", "--field-selector", &selector, "-o", columns];
            let text = output(&mut cluster.server.kubectl(&arguments)).map_err(|error| error.to_string())?;
            match text.split(' ').collect::<Vec<_>>()[..] {
                [name, address, "Running"] => Ok(Pod { name: name.to_owned(), address: address.to_owned() }),
                _ => Err(text),
            }
        })
        .unwrap_or_else(|error| panic!("{error:?}"))
    })
}

/// Each pod asks the other until it answers.
fn talk(cluster: &Cluster, pods: &[Pod; 2]) {
    for (from, to) in [(&pods[0], &pods[1]), (&pods[1], &pods[0])] {
        until(&format!("{} reaches {}", from.name, to.name), PATIENCE, || {
            let ask = format!("nc -w 3 {} 80 </dev/null | grep hello", to.address);
            let mut command = cluster.server.kubectl(&["exec", &from.name, "--", "sh", "-c", &ask]);
            output(&mut command).map_err(|error| error.to_string())
        })
        .unwrap_or_else(|error| panic!("{error:?}"));
    }
}

/// Whether a frame carries a packet from one pod to the other, in the wrapping of this backend.
fn carries(frame: &Frame, backend: &str, pods: &[Pod; 2]) -> bool {
    let octets = |text: &str| -> Vec<u8> { text.split('.').map(|part| part.parse().unwrap()).collect() };
    let ends = [octets(&pods[0].address), octets(&pods[1].address)].concat();
    // Where the inner IPv4 header begins: Ethernet, IPv4, UDP, VXLAN, Ethernet.
    let (start, port) = match backend {
        "vxlan" => (14 + 20 + 8 + 8 + 14, Some(8472u16)),
        "udp" => (14 + 20 + 8, Some(8285)),
        _ => (14, None),
    };
    let is_to_port = port.is_none_or(|port| frame.bytes.get(36..38) == Some(&port.to_be_bytes()[..]));
    is_to_port && frame.bytes.get(start + 12..start + 20) == Some(&ends[..])
}

fn see(capture: &Capture, backend: &str, pods: &[Pod; 2]) {
    let seen = capture.until(backend, Duration::from_secs(20), |frame| carries(frame, backend, pods));
    seen.unwrap_or_else(|error| panic!("{error:?}"));
}

fn links(host: &Host) -> String {
    output(host.command("ip").args(["-o", "link", "show"])).unwrap_or_else(|error| panic!("{error:?}"))
}

fn pods_of_two_hosts_talk_over_each_backend() {
    let network = Network::new().unwrap();
    let options = ClusterOptions { agents: 1, ..ClusterOptions::default() };
    let cluster = Cluster::start(&network, PROGRAM, &options).unwrap_or_else(|error| panic!("{error:?}"));
    let _registries: Vec<_> = cluster.hosts().map(|host| images::start_registry(host)).collect();
    let yaml = PODS.replace("$BUSYBOX", BUSYBOX);
    cluster
        .server
        .kubectl_with_input(&["apply", "-f", "-"], &yaml)
        .unwrap_or_else(|error| panic!("{error:?}"));
    let pods = pods(&cluster);
    for (backend, mtu) in [("vxlan", 1450), ("host-gw", 1500), ("udp", 1472), ("vxlan", 1450)] {
        let now = kubectl(&cluster, &["get", "node", "node-2", "-o", "jsonpath={.metadata.annotations}"]);
        if !now.contains(&format!(r#""ironhull.io/backend-type":"{backend}""#)) {
            // The other node follows the cluster's settings; its agent is not touched.
            cluster.server.stop().unwrap();
            cluster.server.set_flags(&["--flannel-backend", backend]);
            cluster.server.start_again().unwrap_or_else(|error| panic!("{error:?}"));
        }
        for host in cluster.hosts() {
            until(&format!("{backend} on {}", host.name()), PATIENCE, || {
                let links = links(host);
                let device = ["ih-vxlan", "ih-udp"].map(|device| links.contains(device));
                let pods_fit = links
                    .lines()
                    .filter(|line| line.contains(" ihv"))
                    .all(|line| line.contains(&format!("mtu {mtu} ")));
                if device == [backend == "vxlan", backend == "udp"] && pods_fit { Ok(()) } else { Err(links) }
            })
            .unwrap_or_else(|error| panic!("{error:?}"));
        }
        let capture = cluster.agents[0].host().capture().unwrap();
        talk(&cluster, &pods);
        see(&capture, backend, &pods);
        let restarts = kubectl(
            &cluster,
            &["get", "pods", "-o", "jsonpath={.items[*].status.containerStatuses[0].restartCount}"],
        );
        assert_eq!(restarts, "0 0", "pods live on");
    }
}
