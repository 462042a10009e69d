//! A pod and the data computed from it once.

use std::collections::BTreeMap;
use std::sync::Arc;

use client::{LeanPod, LeanPodSpec};
use object::{ObjectKey, Uid};
use semantics::{NodeTerms, Toleration, conditions};

use super::requests::{self, Missing};
use super::{Namespaces, PodQuery, PodTerms, Resources};

/// A host port of a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPort {
    /// The address; empty for all.
    pub ip: String,
    /// `TCP`, `UDP` or `SCTP`
    pub protocol: String,
    /// The number, above 0.
    pub port: i32,
}

impl HostPort {
    /// Whether two containers cannot have these on one host.
    pub fn conflicts_with(&self, other: &HostPort) -> bool {
        let any = |ip: &str| ip.is_empty() || ip == "0.0.0.0";
        self.port == other.port
            && self.protocol == other.protocol
            && (any(&self.ip) || any(&other.ip) || self.ip == other.ip)
    }
}

/// A claim that a pod uses, in the pod's namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimName {
    /// The name of the PersistentVolumeClaim.
    pub name: String,
    /// Whether it is made for this pod alone (an ephemeral volume).
    pub ephemeral: bool,
}

/// A pod and the data computed from it once. It never changes; a newer version of the pod makes a new one.
#[derive(Debug)]
pub struct PodInfo {
    /// Namespace and name.
    pub key: ObjectKey,
    /// The UID.
    pub uid: Uid,
    /// `spec.priority`
    pub priority: i32,
    /// Its total requests.
    pub requests: Resources,
    /// CPU, in thousandths of a core, with containers without requests counted as a little.
    pub cpu_milli_nonzero: i64,
    /// Memory in bytes, counted in the same way.
    pub memory_nonzero: i64,
    /// The host ports of its containers, including sidecars.
    pub host_ports: Vec<HostPort>,
    /// The claims that its volumes name.
    pub claims: Vec<ClaimName>,
    /// Its terms about nodes.
    pub node_terms: NodeTerms,
    /// Its terms about other pods. Pods without any share the same.
    pub pod_terms: Arc<PodTerms>,
    tolerations: Vec<Toleration>,
    pod: Arc<LeanPod>,
}

impl PodInfo {
    /// Works everything out.
    pub fn new(pod: Arc<LeanPod>) -> PodInfo {
        let spec = pod.spec.as_ref();
        let nonzero = requests::of_pod(&pod, Missing::Default);
        PodInfo {
            key: client::key_of(&*pod),
            uid: Uid::from(pod.metadata.uid.as_deref().unwrap_or_default()),
            priority: spec.and_then(|spec| spec.priority).unwrap_or(0),
            requests: requests::of_pod(&pod, Missing::Zero),
            cpu_milli_nonzero: nonzero.cpu_milli,
            memory_nonzero: nonzero.memory,
            host_ports: spec.map(host_ports).unwrap_or_default(),
            claims: claims(&pod),
            node_terms: NodeTerms::new(&pod.spec),
            pod_terms: PodTerms::of(&pod),
            tolerations: semantics::tolerations(&pod),
            pod,
        }
    }

    /// The pod.
    pub fn pod(&self) -> &Arc<LeanPod> {
        &self.pod
    }

    /// Its spec, if it has one: the API server admits no pod without one.
    pub fn spec(&self) -> Option<&LeanPodSpec> {
        self.pod.spec.as_ref()
    }

    /// Whether a query means it.
    pub fn is_meant_by(&self, query: &PodQuery, namespaces: &Namespaces) -> bool {
        query.matches(self.key.namespace(), self.labels(), self.is_deleting(), namespaces)
    }

    /// Its labels.
    pub fn labels(&self) -> &BTreeMap<String, String> {
        static NONE: BTreeMap<String, String> = BTreeMap::new();
        self.pod.metadata.labels.as_ref().unwrap_or(&NONE)
    }

    /// Its tolerations.
    pub fn tolerations(&self) -> &[Toleration] {
        &self.tolerations
    }

    /// The node that it is bound to.
    pub fn node_name(&self) -> Option<&str> {
        self.spec()?.node_name.as_deref().filter(|name| !name.is_empty())
    }

    /// The node on which room is made for it.
    pub fn nominated_node_name(&self) -> Option<&str> {
        let status = self.pod.status.as_ref()?;
        status.nominated_node_name.as_deref().filter(|name| !name.is_empty())
    }

    /// The scheduler that is to bind it.
    pub fn scheduler_name(&self) -> &str {
        self.spec().and_then(|spec| spec.scheduler_name.as_deref()).unwrap_or("default-scheduler")
    }

    /// Whether its deletion has begun.
    pub fn is_deleting(&self) -> bool {
        self.pod.metadata.deletion_timestamp.is_some()
    }

    /// Whether a scheduler preempted it.
    pub fn is_preempted(&self) -> bool {
        conditions::holds(&self.pod, "DisruptionTarget")
            && conditions::of(&self.pod, "DisruptionTarget").field("reason").text() == "PreemptionByScheduler"
    }

    /// When it started, in seconds since 1970.
    pub fn start_seconds(&self) -> Option<i64> {
        Some(self.pod.status.as_ref()?.start_time.as_ref()?.0.as_second())
    }

    /// Whether it has terminated and holds no resources any more.
    pub fn is_terminal(&self) -> bool {
        semantics::pods::is_terminal(&self.pod)
    }

    /// The images that it needs, one a container, init containers included.
    pub fn images(&self) -> impl Iterator<Item = &str> {
        let spec = self.spec();
        let init = spec.and_then(|spec| spec.init_containers.as_deref()).unwrap_or_default();
        let containers = spec.map(|spec| spec.containers.as_slice()).unwrap_or_default();
        init.iter().chain(containers).map(|container| container.image.as_deref().unwrap_or_default())
    }
}

fn claims(pod: &LeanPod) -> Vec<ClaimName> {
    let volumes = pod.spec.as_ref().and_then(|spec| spec.volumes.as_deref()).unwrap_or_default();
    let claims = volumes.iter().filter_map(|volume| {
        if let Some(claim) = &volume.persistent_volume_claim {
            return Some(ClaimName { name: claim.claim_name.clone(), ephemeral: false });
        }
        volume.ephemeral.as_ref()?;
        let pod = pod.metadata.name.as_deref().unwrap_or_default();
        Some(ClaimName { name: format!("{pod}-{}", volume.name), ephemeral: true })
    });
    claims.collect()
}

fn host_ports(spec: &LeanPodSpec) -> Vec<HostPort> {
    let sidecars = spec.init_containers.iter().flatten();
    let sidecars = sidecars.filter(|container| semantics::pods::is_sidecar(container));
    let ports = sidecars.chain(&spec.containers).flat_map(|container| container.ports.iter().flatten());
    ports
        .filter_map(|port| {
            Some(HostPort {
                port: port.host_port.filter(|port| *port > 0)?,
                ip: port.host_ip.as_deref().unwrap_or_default().to_owned(),
                protocol: port.protocol.as_deref().unwrap_or("TCP").to_owned(),
            })
        })
        .collect()
}
