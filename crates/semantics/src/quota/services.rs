//! What Services use.

use super::{ResourceList, number, one};
use crate::{Field, View};

const NODE_PORTS: &str = "services.nodeports";
const LOAD_BALANCERS: &str = "services.loadbalancers";

pub(super) fn measures(name: &str) -> bool {
    matches!(name, "services" | NODE_PORTS | LOAD_BALANCERS)
}

pub(super) fn add_usage(usage: &mut ResourceList, service: &dyn View) {
    let spec = service.field("spec");
    let ports = || spec.field("ports").items();
    let has_node_port = |port: &Field<'_>| port.field("nodePort").as_integer().is_some_and(|port| port != 0);
    let (node_ports, balancers) = match spec.field("type").text() {
        "NodePort" => (ports().count(), 0),
        // Without allocation, only ports count that were asked for.
        "LoadBalancer" if matches!(spec.field("allocateLoadBalancerNodePorts"), Field::Flag(false)) => {
            (ports().filter(has_node_port).count(), 1)
        }
        "LoadBalancer" => (ports().count(), 1),
        _ => (0, 0),
    };
    usage.set("services", one());
    usage.set(NODE_PORTS, number(i64::try_from(node_ports).unwrap_or(i64::MAX)));
    usage.set(LOAD_BALANCERS, number(balancers));
}
