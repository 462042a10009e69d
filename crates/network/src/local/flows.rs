//! Connection tracking entries of deleted pods.
//!
//! A flow outlives its endpoints. When an address is given to another pod, an old flow would deliver packets to it that
//! were meant for the previous one, bypassing the rules that check only a flow's first packet, or translate its own
//! packets like those of the previous one.

use std::collections::BTreeSet;
use std::mem;
use std::net::IpAddr;

use hostnet::conntrack::{self, ConntrackError, Flow, PROTOCOL_UDP};
use parking_lot::Mutex;

use crate::host_port::{HostPort, Protocol};

/// Deletes flows. Those of pods that end at the same time are deleted in one pass over the kernel's table.
#[derive(Debug, Default)]
pub(super) struct Flows {
    waiting: Mutex<BTreeSet<IpAddr>>,
    /// Held during a pass.
    pass: tokio::sync::Mutex<()>,
}

impl Flows {
    /// Deletes the flows of addresses that are no longer in use. If the kernel refuses, the flows end by themselves,
    /// later.
    pub(super) async fn end(&self, addresses: Vec<IpAddr>) {
        self.waiting.lock().extend(addresses);
        let _alone = self.pass.lock().await;
        let addresses = mem::take(&mut *self.waiting.lock());
        if addresses.is_empty() {
            // The previous pass included them.
            return;
        }
        let done = tokio::task::spawn_blocking(move || conntrack::end_of_addresses(&addresses)).await;
        match done.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic())) {
            Ok(0) => {}
            Ok(flows) => tracing::debug!(flows, "deleted flows of pods that are gone"),
            Err(error) => tracing::warn!(
                error = &error as &dyn std::error::Error,
                "cannot delete the flows of pods that are gone"
            ),
        }
    }
}

/// The UDP flows that are older than a pod's host ports: whoever goes on sending on one would never reach the pod.
#[derive(Debug)]
pub(super) struct Older {
    pod: Vec<IpAddr>,
    ports: Vec<HostPort>,
    /// The host's own addresses.
    host: BTreeSet<IpAddr>,
}

impl Older {
    /// `None` if the pod has no such ports.
    pub(super) fn new(pod: &[IpAddr], ports: &[HostPort], host: BTreeSet<IpAddr>) -> Option<Older> {
        let ports: Vec<_> = ports.iter().filter(|port| port.protocol == Protocol::Udp).cloned().collect();
        (!ports.is_empty()).then(|| Older { pod: pod.to_vec(), ports, host })
    }

    /// Ends them. A kernel that refuses is no hindrance.
    pub(super) async fn end(self) {
        let done = tokio::task::spawn_blocking(move || self.end_blocking()).await;
        match done.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic())) {
            Ok(0) => {}
            Ok(flows) => tracing::debug!(flows, "ended flows that are older than a pod's host ports"),
            Err(error) => tracing::warn!(
                error = &error as &dyn std::error::Error,
                "cannot end flows that are older than a pod's host ports"
            ),
        }
    }

    fn end_blocking(&self) -> Result<usize, ConntrackError> {
        let has = |is_family: fn(&IpAddr) -> bool| self.pod.iter().any(is_family);
        conntrack::end(has(IpAddr::is_ipv4), has(IpAddr::is_ipv6), |flow| self.contains(flow))
    }

    fn contains(&self, flow: &Flow) -> bool {
        let asked = flow.original.destination;
        let is_host = asked.ip().is_loopback() || self.host.contains(&asked.ip());
        let leads = |port: &HostPort| {
            let is_address = port.host_ip.is_none_or(|ip| ip.is_unspecified() || ip == asked.ip());
            is_address && port.host_port == asked.port()
        };
        flow.original.protocol == PROTOCOL_UDP
            && is_host
            && self.ports.iter().any(leads)
            && !self.pod.contains(&flow.reply.source.ip())
    }
}

#[cfg(test)]
mod tests;
