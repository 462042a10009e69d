//! What the pods of one template need, computed once.

use std::hash::{Hash, Hasher};
use std::sync::{Arc, OnceLock};

use client::{LeanAffinity, LeanPod, LeanRunning, LeanTemplate, Said};
use object::{Pairs, Part, Shared, Table, Word};
use semantics::{NodeTerms, Toleration};

use super::requests::{self, Missing};
use super::{HostPort, PodTerms, Resources};

/// What a pod needs.
#[derive(Debug)]
pub struct PodNeeds {
    /// Its total requests.
    pub requests: Resources,
    /// CPU, in thousandths of a core, with containers without requests counted as a little.
    pub cpu_milli_nonzero: i64,
    /// Memory in bytes, counted in the same way.
    pub memory_nonzero: i64,
    /// The host ports of its containers, including sidecars.
    pub host_ports: Vec<HostPort>,
    /// Its terms about nodes.
    pub node_terms: NodeTerms,
    /// Its terms about other pods.
    pub pod_terms: Arc<PodTerms>,
    /// Its tolerations.
    pub tolerations: Vec<Toleration>,
    /// The features that its node must have declared.
    pub node_features: Vec<&'static str>,
}

impl PodNeeds {
    fn new(pod: &LeanPod) -> PodNeeds {
        let nonzero = requests::of_pod(pod, Missing::Default);
        PodNeeds {
            requests: requests::of_pod(pod, Missing::Zero),
            cpu_milli_nonzero: nonzero.cpu_milli,
            memory_nonzero: nonzero.memory,
            host_ports: pod.spec.as_ref().map(HostPort::all_of).unwrap_or_default(),
            node_terms: NodeTerms::new(&pod.spec),
            pod_terms: PodTerms::of(pod),
            tolerations: semantics::tolerations(pod),
            node_features: node_features(pod),
        }
    }
}

/// Upstream's features that a pod may need for more than a change of it.
fn node_features(pod: &LeanPod) -> Vec<&'static str> {
    let Some(spec) = &pod.spec else { return Vec::new() };
    let containers = spec.init_containers.iter().flatten().chain(&spec.containers);
    let mut rules = containers.flat_map(|container| container.restart_policy_rules.iter().flatten());
    let restarts_all = rules.any(|rule| &*rule.action == "RestartAllContainers");
    let maps_users = spec.host_network == Some(true) && spec.host_users == Some(false);
    let features = [
        ("RestartAllContainersOnContainerExits", restarts_all),
        ("UserNamespacesHostNetworkSupport", maps_users),
    ];
    features.into_iter().filter(|(_, is_needed)| *is_needed).map(|(name, _)| name).collect()
}

/// The needs of pods that have all of this alike.
pub(super) struct Alike {
    template: Option<Shared<LeanTemplate>>,
    affinity: Option<Shared<LeanAffinity>>,
    running: Option<Shared<LeanRunning>>,
    /// Whether amounts in the status count depends on this condition.
    resize: Option<Shared<Said>>,
    /// Where terms about other pods refer to them, or else empty.
    namespace: Word,
    labels: Pairs,
    needs: OnceLock<PodNeeds>,
}

impl Alike {
    /// What a pod has in common with others; its needs are those of the first of them.
    pub(super) fn of(pod: &LeanPod) -> Shared<Alike> {
        let (spec, status) = (pod.spec.as_ref(), pod.status.as_ref());
        let affinity = spec.and_then(|spec| spec.affinity.clone());
        let spread = spec.and_then(|spec| spec.topology_spread_constraints.as_ref());
        let resizing = |condition: &&client::LeanCondition| &*condition.type_ == "PodResizePending";
        let alike = Alike {
            template: spec.map(|spec| spec.template.clone()),
            running: status.map(|status| status.running.clone()),
            resize: status.and_then(|status| Some(status.conditions.iter().find(resizing)?.said.clone())),
            namespace: match affinity.is_some() || spread.is_some() {
                true => Word::from(pod.metadata.namespace()),
                false => Word::default(),
            },
            labels: spread.map(|_| pod.metadata.labels.clone()).unwrap_or_default(),
            affinity,
            needs: OnceLock::new(),
        };
        let shared = Shared::from(alike);
        shared.needs.get_or_init(|| PodNeeds::new(pod));
        shared
    }

    /// The needs.
    pub(super) fn needs(&self) -> &PodNeeds {
        self.needs.get().expect("whoever shares this has put the needs in")
    }

    /// The parts by which they are told apart: parts that are equal are the same ones.
    fn parts(&self) -> ([Option<usize>; 4], &Word, &Pairs) {
        let parts = [
            self.template.as_ref().map(Shared::address),
            self.affinity.as_ref().map(Shared::address),
            self.running.as_ref().map(Shared::address),
            self.resize.as_ref().map(Shared::address),
        ];
        (parts, &self.namespace, &self.labels)
    }
}

impl PartialEq for Alike {
    fn eq(&self, other: &Alike) -> bool {
        self.parts() == other.parts()
    }
}

impl Eq for Alike {}

impl Hash for Alike {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.parts().hash(state);
    }
}

impl Part for Alike {
    fn table() -> &'static Table<Alike> {
        static TABLE: Table<Alike> = Table::new();
        &TABLE
    }
}

impl std::fmt::Debug for Alike {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.needs.fmt(f)
    }
}
