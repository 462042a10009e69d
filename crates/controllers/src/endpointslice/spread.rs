//! Spreads endpoints over the slices of one owner with as few writes as possible.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use k8s_openapi::api::discovery::v1::{Endpoint, EndpointPort, EndpointSlice};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};

use super::endpoints::Family;
use crate::framework::{Action, Plan, controller_of, labels::Labels};

/// The maximum number of endpoints per slice.
pub(crate) const ENDPOINTS_MAX: usize = 100;
/// When the change happened that a slice reports, for those who measure how long that takes.
pub(crate) const TRIGGER_TIME: &str = "endpoints.kubernetes.io/last-change-trigger-time";

/// Ports in a canonical order, and the endpoints with exactly these ports.
pub(crate) type ByPorts = BTreeMap<String, (Vec<EndpointPort>, Vec<Endpoint>)>;

/// The common data of all slices of one owner.
pub(crate) struct Template {
    pub(crate) namespace: Option<String>,
    /// The owner's name, with which the names of slices begin.
    pub(crate) name: String,
    pub(crate) labels: Labels,
    /// The annotations of slices; `None` leaves those that a slice has.
    pub(crate) annotations: Option<Labels>,
    pub(crate) owner: OwnerReference,
    /// The value of [`TRIGGER_TIME`] of slices that are written.
    pub(crate) trigger_time: Option<String>,
}

impl Template {
    /// A slice's desired metadata; the trigger time is not changed.
    fn metadata(&self, present: &ObjectMeta) -> ObjectMeta {
        let mut meta = present.clone();
        meta.labels = Some(self.labels.clone());
        if let Some(annotations) = &self.annotations {
            let trigger_time =
                meta.annotations.as_mut().and_then(|present| present.remove_entry(TRIGGER_TIME));
            let wanted: Labels = annotations.clone().into_iter().chain(trigger_time).collect();
            meta.annotations = Some(wanted).filter(|annotations| !annotations.is_empty());
        }
        if controller_of(&meta).is_none() {
            meta.owner_references.get_or_insert_default().push(self.owner.clone());
        }
        meta
    }

    /// Like [`Template::metadata`], for a slice that is about to be written.
    fn written(&self, present: &ObjectMeta) -> ObjectMeta {
        let mut meta = self.metadata(present);
        let mut annotations = meta.annotations.take().unwrap_or_default();
        annotations.remove(TRIGGER_TIME);
        annotations.extend(self.trigger_time.iter().map(|time| (TRIGGER_TIME.to_owned(), time.clone())));
        meta.annotations = Some(annotations).filter(|annotations| !annotations.is_empty());
        meta
    }

    fn create(&self, family: Family, ports: Vec<EndpointPort>, endpoints: Vec<Endpoint>) -> Action {
        let meta = ObjectMeta {
            generate_name: Some(format!("{}-", self.name)),
            namespace: self.namespace.clone(),
            ..ObjectMeta::default()
        };
        Action::create(EndpointSlice {
            metadata: self.written(&meta),
            address_type: family.as_str().to_owned(),
            endpoints: Some(endpoints),
            ports: Some(ports),
        })
    }
}

/// Actions on the slices of one owner.
pub(crate) struct Changes<'a> {
    template: &'a Template,
    drafts: Vec<Draft>,
    deletes: Vec<Action>,
}

/// A slice with its actual state, if it exists, and its desired state.
pub(crate) struct Draft {
    family: Family,
    present: Option<Arc<EndpointSlice>>,
    /// The ports of a slice that does not exist yet.
    ports: Vec<EndpointPort>,
    endpoints: Vec<Endpoint>,
    changed: bool,
}

impl Draft {
    pub(super) fn endpoints(&self) -> &[Endpoint] {
        &self.endpoints
    }

    /// Whether the slice is to be written.
    pub(super) fn is_changed(&self) -> bool {
        self.changed
    }

    /// Changes the endpoints in their places.
    pub(super) fn change(&mut self, change: impl FnOnce(&mut [Endpoint])) {
        let before = self.endpoints.clone();
        change(&mut self.endpoints);
        self.changed |= self.endpoints != before;
    }

    fn action(self, template: &Template) -> Action {
        let Some(present) = self.present else {
            return template.create(self.family, self.ports, self.endpoints);
        };
        let mut slice = (*present).clone();
        slice.metadata = template.written(&slice.metadata);
        slice.endpoints = Some(self.endpoints);
        Action::update(slice)
    }
}

impl<'a> Changes<'a> {
    pub(crate) fn new(template: &'a Template) -> Changes<'a> {
        Changes { template, drafts: Vec::new(), deletes: Vec::new() }
    }

    pub(crate) fn delete(&mut self, slice: &EndpointSlice) {
        self.deletes.push(Action::delete(slice));
    }

    /// The slices of a family that are kept or added.
    pub(super) fn of_family(&mut self, family: Family) -> Vec<&mut Draft> {
        self.drafts.iter_mut().filter(|draft| draft.family == family).collect()
    }

    /// Adds the steps to a plan: new endpoints appear before old ones are removed.
    pub(crate) fn into_plan(self, plan: &mut Plan) {
        let written = self.drafts.into_iter().filter(|draft| draft.changed);
        let (updates, creates): (Vec<_>, Vec<_>) = written.partition(|draft| draft.present.is_some());
        for drafts in [creates, updates] {
            plan.together(drafts.into_iter().map(|draft| draft.action(self.template)).collect());
        }
        plan.together(self.deletes);
    }

    /// Brings the slices of one family to their desired state. Ports without endpoints keep one empty slice.
    pub(crate) fn reconcile(&mut self, family: Family, wanted: ByPorts, slices: &[Arc<EndpointSlice>]) {
        let mut present: BTreeMap<String, Vec<Arc<EndpointSlice>>> = BTreeMap::new();
        for slice in slices {
            present
                .entry(key(slice.ports.as_deref().unwrap_or_default()))
                .or_default()
                .push(Arc::clone(slice));
        }
        for (ports_key, (ports, endpoints)) in wanted {
            let same_ports = present.remove(&ports_key).unwrap_or_default();
            self.spread(family, ports, endpoints, same_ports);
        }
        for slice in present.into_values().flatten() {
            self.deletes.push(Action::delete(&*slice));
        }
    }

    /// Keeps each endpoint in its slice, fills up slices that change anyway, then the fullest slice that has room for
    /// all the rest, and puts the remainder into new ones.
    fn spread(
        &mut self,
        family: Family,
        ports: Vec<EndpointPort>,
        endpoints: Vec<Endpoint>,
        mut slices: Vec<Arc<EndpointSlice>>,
    ) {
        slices.sort_by(|a, b| a.metadata.name.cmp(&b.metadata.name));
        let placeholder = endpoints.is_empty();
        let order: HashMap<String, usize> =
            endpoints.iter().enumerate().map(|(index, endpoint)| (identity(endpoint), index)).collect();
        let mut missing: Vec<Option<Endpoint>> = endpoints.into_iter().map(Some).collect();
        let mut drafts: Vec<Draft> = Vec::with_capacity(slices.len());
        for slice in slices {
            let kept = slice.endpoints.iter().flatten();
            let kept = kept.filter_map(|endpoint| missing[*order.get(&identity(endpoint))?].take());
            let endpoints: Vec<_> = kept.collect();
            let same = endpoints[..] == slice.endpoints.as_deref().unwrap_or_default()[..];
            let changed = !same || self.template.metadata(&slice.metadata) != slice.metadata;
            drafts.push(Draft { family, present: Some(slice), ports: Vec::new(), endpoints, changed });
        }
        let mut missing: Vec<Endpoint> = missing.into_iter().flatten().collect();
        for draft in drafts.iter_mut().filter(|draft| draft.changed && !draft.endpoints.is_empty()) {
            let room = ENDPOINTS_MAX.saturating_sub(draft.endpoints.len()).min(missing.len());
            draft.endpoints.extend(missing.drain(..room));
        }
        let fits = |draft: &&mut Draft| draft.endpoints.len() + missing.len() <= ENDPOINTS_MAX;
        if !missing.is_empty()
            && let Some(draft) = drafts.iter_mut().filter(fits).max_by_key(|draft| draft.endpoints.len())
        {
            draft.changed = true;
            draft.endpoints.append(&mut missing);
        }
        let mut kept_one = false;
        for draft in drafts {
            if draft.endpoints.is_empty() && (!placeholder || kept_one) {
                self.deletes.extend(draft.present.as_deref().map(Action::delete));
                continue;
            }
            kept_one = true;
            self.drafts.push(draft);
        }
        let empty = (placeholder && !kept_one).then(Vec::new);
        for endpoints in empty.into_iter().chain(missing.chunks(ENDPOINTS_MAX).map(<[Endpoint]>::to_vec)) {
            let ports = ports.clone();
            self.drafts.push(Draft { family, present: None, ports, endpoints, changed: true });
        }
    }
}

/// The identity of an endpoint: the pod and its addresses.
pub(super) fn identity(endpoint: &Endpoint) -> String {
    let pod = endpoint.target_ref.as_ref().and_then(|target| target.uid.as_deref()).unwrap_or_default();
    format!("{pod} {}", endpoint.addresses.join(" "))
}

/// Orders and distinguishes lists of ports.
pub(crate) fn key(ports: &[EndpointPort]) -> String {
    let mut lines: Vec<String> = ports.iter().map(|port| format!("{port:?}")).collect();
    lines.sort();
    lines.concat()
}
