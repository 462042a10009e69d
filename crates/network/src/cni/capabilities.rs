//! The capability arguments of a sandbox: those of the conventions that Kubernetes has values for, and the annotations,
//! under containerd's name.

use ipnet::IpNet;
use serde_json::{Value, json};

use super::Sandbox;

/// The capability of plugins that take ranges of addresses from the runtime.
pub(super) const IP_RANGES: &str = "ipRanges";
/// "No limit" of a bucket's size, in bits, as upstream's runtimes pass it.
const BURST_UNLIMITED: i64 = i32::MAX as i64;

/// The values of all capabilities, by name. A plugin gets those that it declares.
pub(super) fn of(sandbox: &Sandbox<'_>, pod_subnets: &[IpNet]) -> Value {
    let mut capabilities = json!({"io.kubernetes.cri.pod-annotations": sandbox.annotations});
    if !sandbox.host_ports.is_empty() {
        let ports = sandbox.host_ports.iter().map(|port| {
            let protocol = json!(port.protocol).as_str().unwrap_or_default().to_lowercase();
            let host_ip = port.host_ip.map(|ip| ip.to_string()).unwrap_or_default();
            json!({
                "hostPort": port.host_port, "containerPort": port.container_port,
                "protocol": protocol, "hostIP": host_ip,
            })
        });
        capabilities["portMappings"] = ports.collect();
    }
    let mut bandwidth = json!({});
    for (direction, rate) in [("ingress", sandbox.ingress_rate), ("egress", sandbox.egress_rate)] {
        if let Some(rate) = rate {
            bandwidth[format!("{direction}Rate")] = json!(rate);
            bandwidth[format!("{direction}Burst")] = json!(BURST_UNLIMITED);
        }
    }
    if bandwidth != json!({}) {
        capabilities["bandwidth"] = bandwidth;
    }
    if let Some([servers, searches, options]) = sandbox.dns {
        capabilities["dns"] = json!({"servers": servers, "searches": searches, "options": options});
    }
    if !sandbox.cgroup.is_empty() {
        capabilities["cgroupPath"] = json!(sandbox.cgroup);
    }
    if !pod_subnets.is_empty() {
        // One address of each, from a list of one range.
        capabilities[IP_RANGES] = pod_subnets.iter().map(|subnet| json!([{"subnet": subnet}])).collect();
    }
    capabilities
}
