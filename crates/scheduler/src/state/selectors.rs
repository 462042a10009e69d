//! The Services that select a pod and the controller that owns it, and the pods that are selected in the same way.
//!
//! A pod without topology spread constraints is spread over its like: the pods that all Services select which select it,
//! and its controller too. Services are found by the pod's labels, the controller by its owner reference; what they
//! select together is worked out once and kept, because the pods of a controller ask for the same.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use object::{ObjectKey, Operator, Requirement, Selector};
use parking_lot::Mutex;

use super::label_index::LabelIndex;
use super::{PodInfo, PodQuery, PodSelection};

/// The maximum number of combinations kept. When there are more, all are worked out again.
const COMBINATIONS_MAX: usize = 16 * 1024;

/// A kind whose objects select pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Selecting {
    /// Services; the others are controllers.
    Service,
    /// ReplicationControllers.
    ReplicationController,
    /// ReplicaSets.
    ReplicaSet,
    /// StatefulSets.
    StatefulSet,
}

impl Selecting {
    /// The kind of a controller that counts.
    fn of_controller(api_version: &str, kind: &str) -> Option<Selecting> {
        match (api_version, kind) {
            ("v1", "ReplicationController") => Some(Selecting::ReplicationController),
            ("apps/v1", "ReplicaSet") => Some(Selecting::ReplicaSet),
            ("apps/v1", "StatefulSet") => Some(Selecting::StatefulSet),
            _ => None,
        }
    }
}

/// The like of a pod.
#[derive(Clone, Debug)]
pub struct Like {
    /// The living pods of its namespace that are selected in the same way.
    pub query: Arc<PodQuery>,
    /// Their labels; it has at least one requirement.
    pub selector: Arc<Selector>,
}

/// The Services and controllers of the cluster, as far as they select pods.
#[derive(Debug, Default)]
pub(super) struct Selectors {
    services: Services,
    controllers: BTreeMap<Selecting, ByName>,
    /// The number of the newest selector.
    newest: u64,
    /// What selectors select together, by their numbers.
    combinations: Mutex<HashMap<Box<[u64]>, Like>>,
}

/// Selectors by namespace and name.
type ByName = HashMap<Arc<str>, HashMap<Arc<str>, Selects>>;

/// A selector with at least one requirement, under a number that no other ever had.
#[derive(Clone, Debug)]
struct Selects {
    number: u64,
    selector: Arc<Selector>,
}

impl Selectors {
    /// Sets the selector of an object; `None` if it is gone.
    pub(super) fn set(&mut self, kind: Selecting, key: &ObjectKey, selector: Option<&Arc<Selector>>) {
        // One that demands nothing, or that nothing fulfils, adds nothing to others.
        let selector = selector.filter(|selector| selector.requirements().is_some_and(|all| !all.is_empty()));
        let known = match kind {
            Selecting::Service => self.services.get(key),
            _ => self.controller(kind, key.namespace(), &key.name),
        };
        if known.map(|known| &known.selector) == selector {
            return;
        }
        let selects = selector.map(|selector| {
            self.newest += 1;
            Selects { number: self.newest, selector: Arc::clone(selector) }
        });
        match kind {
            Selecting::Service => self.services.set(key, selects),
            _ => self.set_controller(kind, key, selects),
        }
    }

    /// How many Services are compared with a pod, and how many select it.
    #[cfg(test)]
    pub(super) fn services_of(&self, pod: &PodInfo) -> (usize, usize) {
        let compared = self.services.index.candidates(pod.key.namespace(), pod.labels()).len();
        (compared, self.services.of(pod).count())
    }

    fn controller(&self, kind: Selecting, namespace: &str, name: &str) -> Option<&Selects> {
        self.controllers.get(&kind)?.get(namespace)?.get(name)
    }

    fn set_controller(&mut self, kind: Selecting, key: &ObjectKey, selects: Option<Selects>) {
        let namespaces = self.controllers.entry(kind).or_default();
        match selects {
            Some(selects) => {
                let named = namespaces.entry(key.namespace().into()).or_default();
                named.insert(Arc::clone(&key.name), selects);
            }
            None => {
                let Some(named) = namespaces.get_mut(key.namespace()) else { return };
                named.remove(&key.name);
                if named.is_empty() {
                    namespaces.remove(key.namespace());
                }
            }
        }
    }

    /// The like of a pod; `None` if nothing selects it.
    pub(super) fn like(&self, pod: &PodInfo) -> Option<Like> {
        let services: Vec<&Selects> = self.services.of(pod).collect();
        let controller = self.controller_of(pod);
        let mut numbers: Vec<u64> = services.iter().map(|selects| selects.number).collect();
        numbers.sort_unstable();
        numbers.extend(controller.map(|(_, selects)| selects.number));
        if numbers.is_empty() {
            return None;
        }
        let mut combinations = self.combinations.lock();
        if let Some(known) = combinations.get(&*numbers) {
            return Some(known.clone());
        }
        if combinations.len() >= COMBINATIONS_MAX {
            combinations.clear();
        }
        let like = combine(pod.key.namespace(), &services, controller);
        combinations.insert(numbers.into(), like.clone());
        Some(like)
    }

    /// The controller of a pod, by name as upstream finds it.
    fn controller_of(&self, pod: &PodInfo) -> Option<(Selecting, &Selects)> {
        let owner = semantics::controller_of(&pod.pod().metadata)?;
        let kind = Selecting::of_controller(owner.api_version, owner.kind)?;
        Some((kind, self.controller(kind, pod.key.namespace(), owner.name)?))
    }
}

/// The pods that all of these select. A label that a ReplicationController names differently counts as that names it:
/// upstream merges the maps.
fn combine(namespace: &str, services: &[&Selects], controller: Option<(Selecting, &Selects)>) -> Like {
    let mut labels: BTreeMap<&str, &Requirement> = BTreeMap::new();
    let mut further: Vec<&Requirement> = Vec::new();
    let maps = services.iter().copied().map(|selects| (Selecting::Service, selects));
    for (kind, selects) in maps.chain(controller) {
        for requirement in selects.selector.requirements().into_iter().flatten() {
            match kind {
                Selecting::Service | Selecting::ReplicationController => {
                    labels.insert(requirement.key(), requirement);
                }
                Selecting::ReplicaSet | Selecting::StatefulSet => further.push(requirement),
            }
        }
    }
    further.retain(|one| {
        let is_equality = matches!(one.operator(), Operator::In | Operator::Equals | Operator::DoubleEquals);
        !(is_equality && labels.get(one.key()).is_some_and(|other| other.values() == one.values()))
    });
    let selector = Selector::new(labels.into_values().chain(further).cloned());
    let selection = PodSelection {
        namespaces: vec![namespace.to_owned()],
        namespace_selector: Selector::nothing(),
        selector: selector.clone(),
    };
    Like { query: Arc::new(PodQuery::new(vec![selection], true)), selector: Arc::new(selector) }
}

/// The Services with selectors, found by the labels that they demand.
#[derive(Debug, Default)]
struct Services {
    places: HashMap<ObjectKey, usize>,
    all: Vec<Option<Service>>,
    free: Vec<usize>,
    index: LabelIndex,
}

#[derive(Debug)]
struct Service {
    namespace: Arc<str>,
    query: PodQuery,
    selects: Selects,
}

impl Services {
    fn get(&self, key: &ObjectKey) -> Option<&Selects> {
        self.all[*self.places.get(key)?].as_ref().map(|service| &service.selects)
    }

    fn set(&mut self, key: &ObjectKey, selects: Option<Selects>) {
        if let Some(place) = self.places.remove(key) {
            let service = self.all[place].take().expect("names lead to Services");
            self.index.remove(&service.query, place);
            self.free.push(place);
        }
        let Some(selects) = selects else { return };
        let place = self.free.pop().unwrap_or_else(|| {
            self.all.push(None);
            self.all.len() - 1
        });
        let selection = PodSelection {
            namespaces: vec![key.namespace().to_owned()],
            namespace_selector: Selector::nothing(),
            selector: Selector::clone(&selects.selector),
        };
        let query = PodQuery::new(vec![selection], false);
        self.index.insert(&query, place);
        self.all[place] = Some(Service { namespace: key.namespace().into(), query, selects });
        self.places.insert(key.clone(), place);
    }

    /// The Services that select a pod.
    fn of(&self, pod: &PodInfo) -> impl Iterator<Item = &Selects> {
        let candidates = self.index.candidates(pod.key.namespace(), pod.labels()).into_iter();
        let services = candidates.filter_map(|place| self.all[place].as_ref());
        services
            .filter(|service| {
                *service.namespace == *pod.key.namespace() && service.selects.selector.matches(pod.labels())
            })
            .map(|service| &service.selects)
    }
}
