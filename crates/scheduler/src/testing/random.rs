//! Clusters that change at random, from a seed.

use std::collections::BTreeMap;
use std::sync::Arc;

use clock::Clock;
use k8s_openapi::api::core::v1::Node;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use object::{ObjectKey, Pairs, Selector};
use serde_json::{Value, json};

use super::{node, raw_pod};
use crate::state::{Cache, PodInfo, Selecting};

const APPS: [&str; 3] = ["a", "b", "c"];
const ZONE: &str = "topology.kubernetes.io/zone";
const KEYS: [&str; 3] = [ZONE, "kubernetes.io/hostname", "rack"];
const NAMES: [&str; 3] = ["one", "two", "three"];
const NODES_MAX: u64 = 12;

/// A cluster and the pods that run in it.
pub(crate) struct RandomCluster {
    pub(crate) cache: Cache,
    pub(crate) random: Clock,
    /// The pods, with the names of their nodes.
    pub(crate) pods: Vec<(Arc<PodInfo>, String)>,
    /// What selects pods.
    pub(crate) selectors: BTreeMap<(Selecting, ObjectKey), Selector>,
    named: u64,
}

impl RandomCluster {
    pub(crate) fn new(seed: u64) -> RandomCluster {
        let random = Clock::seeded(seed, "2026-01-01T00:00:00Z".parse().unwrap());
        let mut cluster = RandomCluster {
            cache: Cache::default(),
            random,
            pods: Vec::new(),
            selectors: BTreeMap::new(),
            named: 0,
        };
        for _ in 0..30 {
            cluster.step();
        }
        cluster
    }

    pub(crate) fn below(&self, bound: usize) -> usize {
        self.random.random_below(bound as u64) as usize
    }

    fn one_in(&self, many: usize) -> bool {
        self.below(many) == 0
    }

    fn pick<'t>(&self, from: &[&'t str]) -> &'t str {
        from[self.below(from.len())]
    }

    /// Lets something happen.
    pub(crate) fn step(&mut self) {
        match self.below(14) {
            0..=2 => drop(self.cache.set_node(self.random_node())),
            3 => self.cache.remove_node(&format!("n{}", self.random.random_below(NODES_MAX))),
            4 => {
                let labels = [("team".to_owned(), self.pick(&["x", "y"]).to_owned())];
                let labels = (!self.one_in(4)).then(|| labels.into_iter().collect());
                self.cache.set_namespace(self.pick(&["default", "other"]), labels);
            }
            5 | 6 => self.change_selector(),
            7 if !self.pods.is_empty() => {
                let (pod, _) = self.pods.swap_remove(self.below(self.pods.len()));
                self.cache.remove_pod(&pod.uid);
            }
            8 if !self.pods.is_empty() => {
                // A pod in a newer version: other labels, or its deletion has begun.
                let at = self.below(self.pods.len());
                let (old, node) = &self.pods[at];
                let mut raw = old.pod().as_ref().clone();
                raw.metadata.labels = self.labels();
                if self.one_in(3) {
                    raw.metadata.deletion_timestamp =
                        serde_json::from_value(json!("2026-01-01T00:00:00Z")).unwrap();
                }
                let pod = Arc::new(PodInfo::new(Arc::new(raw)));
                self.cache.set_pod(Arc::clone(&pod), node);
                self.pods[at].0 = pod;
            }
            _ => {
                let node = format!("n{}", self.random.random_below(NODES_MAX));
                let pod = self.random_pod();
                self.cache.set_pod(Arc::clone(&pod), &node);
                self.pods.push((pod, node));
            }
        }
    }

    fn namespace(&self) -> &'static str {
        self.pick(&["default", "default", "other"])
    }

    fn labels(&self) -> Pairs {
        let app = ("app", self.pick(&APPS));
        let tier = self.one_in(2).then(|| ("tier", self.pick(&["front", "back"])));
        std::iter::once(app).chain(tier).collect()
    }

    /// A Service or a controller comes, changes or goes.
    fn change_selector(&mut self) {
        let kinds = [
            Selecting::Service,
            Selecting::Service,
            Selecting::ReplicationController,
            Selecting::ReplicaSet,
            Selecting::StatefulSet,
        ];
        let kind = kinds[self.below(kinds.len())];
        let key = ObjectKey::namespaced(self.namespace(), self.pick(&NAMES));
        let selector = match kind {
            _ if self.one_in(4) => None,
            Selecting::Service | Selecting::ReplicationController => {
                Some(Selector::from_labels(self.labels().iter()))
            }
            Selecting::ReplicaSet | Selecting::StatefulSet => {
                let typed: LabelSelector = serde_json::from_value(self.selector()).unwrap();
                Some(semantics::selector(&typed))
            }
        };
        self.cache.set_selector(kind, &key, selector.clone().map(Arc::new).as_ref());
        match selector {
            Some(selector) => self.selectors.insert((kind, key), selector),
            None => self.selectors.remove(&(kind, key)),
        };
    }

    fn random_node(&self) -> Arc<Node> {
        let name = format!("n{}", self.random.random_below(NODES_MAX));
        let mut labels = json!({});
        for (key, values) in
            [(ZONE, ["1", "2", "3"]), ("rack", ["r", "s", "t"]), ("disk", ["ssd", "hdd", ""])]
        {
            if !self.one_in(4) {
                labels[key] = self.pick(&values).into();
            }
        }
        let taints = if self.one_in(3) { json!([{"key": "k", "effect": "NoSchedule"}]) } else { json!([]) };
        node(&name, json!({"metadata": {"labels": labels}, "spec": {"taints": taints}}))
    }

    fn selector(&self) -> Value {
        match self.below(4) {
            0 => json!({"matchExpressions": [{"key": "app", "operator": "In", "values": ["a", "b", "a"]}]}),
            1 => json!({"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["a"]}]}),
            _ => json!({"matchLabels": {"app": self.pick(&APPS)}}),
        }
    }

    fn term(&self) -> Value {
        let mut term = json!({"topologyKey": self.pick(&KEYS), "labelSelector": self.selector()});
        if self.one_in(4) {
            term["namespaceSelector"] = json!({"matchLabels": {"team": "x"}});
        }
        if self.one_in(4) {
            term["namespaces"] = json!(["other"]);
        }
        term
    }

    fn terms(&self) -> Value {
        let required = |terms: Vec<Value>| match terms.is_empty() {
            true => json!({}),
            false => json!({"requiredDuringSchedulingIgnoredDuringExecution": terms}),
        };
        let mut kinds = ["podAffinity", "podAntiAffinity"].map(|_| {
            let mut kind = required((0..self.below(3)).map(|_| self.term()).collect());
            if self.one_in(3) {
                kind["preferredDuringSchedulingIgnoredDuringExecution"] =
                    json!([{"weight": 1 + self.below(9), "podAffinityTerm": self.term()}]);
            }
            kind
        });
        json!({"podAffinity": kinds[0].take(), "podAntiAffinity": kinds[1].take()})
    }

    fn constraint(&self) -> Value {
        json!({
            "maxSkew": 1 + self.below(2), "topologyKey": self.pick(&KEYS),
            "whenUnsatisfiable": self.pick(&["DoNotSchedule", "ScheduleAnyway"]),
            "labelSelector": self.selector(),
            "nodeAffinityPolicy": self.pick(&["Honor", "Ignore"]),
            "nodeTaintsPolicy": self.pick(&["Honor", "Ignore"]),
        })
    }

    /// A pod that says this and that about nodes and other pods.
    pub(crate) fn random_pod(&mut self) -> Arc<PodInfo> {
        self.named += 1;
        let mut spec = json!({"priority": self.below(3)});
        if self.one_in(2) {
            spec["affinity"] = self.terms();
        }
        if self.one_in(2) {
            spec["topologySpreadConstraints"] = (0..1 + self.below(2)).map(|_| self.constraint()).collect();
        }
        if self.one_in(4) {
            spec["nodeSelector"] = json!({"disk": "ssd"});
        }
        if self.one_in(3) {
            spec["tolerations"] = json!([{"operator": "Exists"}]);
        }
        let mut container = json!({"name": "main", "image": "app:1",
            "resources": {"requests": {"cpu": format!("{}m", 100 * self.below(20))}}});
        if self.one_in(4) {
            container["ports"] = json!([{"containerPort": 80, "hostPort": 80 + self.below(2)}]);
        }
        spec["containers"] = json!([container]);
        let mut raw = raw_pod(&format!("p{}", self.named), spec);
        raw.metadata.labels = self.labels();
        raw.metadata.key = ObjectKey::namespaced(self.namespace(), raw.metadata.name());
        if self.one_in(2) {
            let (api_version, kind) = [
                ("v1", "ReplicationController"),
                ("apps/v1", "ReplicaSet"),
                ("apps/v1", "StatefulSet"),
                ("example.com/v1", "ReplicaSet"),
            ][self.below(4)];
            let name = self.pick(&NAMES);
            let owner = json!([{"apiVersion": api_version, "kind": kind, "name": name, "uid": name,
                "controller": !self.one_in(8)}]);
            raw.metadata.owner_references = serde_json::from_value(owner).unwrap();
        }
        Arc::new(PodInfo::new(Arc::new(raw)))
    }
}
