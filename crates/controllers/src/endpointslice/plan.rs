//! Spreads a Service's endpoints over slices.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointPort, EndpointSlice};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::endpoints::{self, Family};
use super::{SERVICE_NAME, Snapshot, selector};
use crate::framework::{Action, Plan, controller_of, controller_reference, labels::Labels};
use crate::pods;

/// Says who keeps a slice.
const MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";
const MANAGER: &str = "endpointslice-controller.k8s.io";
/// Marks the slices of Services without an address.
const HEADLESS: &str = "service.kubernetes.io/headless";
/// So many endpoints a slice.
const ENDPOINTS_MAX: usize = 100;

/// Ports in an order of their own, and the endpoints that have just these.
type ByPorts = BTreeMap<String, (Vec<EndpointPort>, Vec<Endpoint>)>;

pub(super) fn plan(snapshot: &Snapshot) -> Plan {
    let mut plan = Plan::default();
    if selector(&snapshot.service).is_none() || snapshot.service.metadata.deletion_timestamp.is_some() {
        return plan;
    }
    let uid = snapshot.service.metadata.uid.as_ref();
    // Slices of a Service of the same name before it are left to the garbage collector; those of others are
    // not this controller's.
    let (mine, strangers): (Vec<_>, Vec<_>) = snapshot
        .slices
        .iter()
        .filter(|slice| {
            label(slice, MANAGED_BY) == Some(MANAGER) && slice.metadata.deletion_timestamp.is_none()
        })
        .partition(|slice| controller_of(&slice.metadata).is_none_or(|owner| Some(&owner.uid) == uid));
    let mut changes = Changes::default();
    let families = endpoints::families(&snapshot.service);
    for family in &families {
        let of_family = mine.iter().filter(|slice| slice.address_type == family.as_str());
        changes.reconcile(snapshot, *family, &of_family.map(|slice| (**slice).clone()).collect::<Vec<_>>());
    }
    for slice in mine {
        if families.iter().all(|family| family.as_str() != slice.address_type) {
            changes.deletes.push(Action::delete(&**slice));
        }
    }
    changes.deletes.extend(strangers.into_iter().map(|slice| Action::delete(&**slice)));
    // New endpoints show before old ones go.
    plan.together(changes.creates);
    plan.together(changes.updates);
    plan.together(changes.deletes);
    plan
}

#[derive(Default)]
struct Changes {
    creates: Vec<Action>,
    updates: Vec<Action>,
    deletes: Vec<Action>,
}

/// A slice on its way from what it is to what it should be.
struct Draft {
    present: Arc<EndpointSlice>,
    endpoints: Vec<Endpoint>,
    changed: bool,
}

impl Changes {
    fn reconcile(&mut self, snapshot: &Snapshot, family: Family, slices: &[Arc<EndpointSlice>]) {
        let mut wanted = wanted(snapshot, family);
        if wanted.is_empty() {
            // An empty slice tells that the Service is known and nothing stands behind it.
            wanted.insert(key(&[]), (Vec::new(), Vec::new()));
        }
        let mut present: BTreeMap<String, Vec<Arc<EndpointSlice>>> = BTreeMap::new();
        for slice in slices {
            present
                .entry(key(slice.ports.as_deref().unwrap_or_default()))
                .or_default()
                .push(Arc::clone(slice));
        }
        for (ports_key, (ports, endpoints)) in wanted {
            let same_ports = present.remove(&ports_key).unwrap_or_default();
            self.spread(snapshot, family, ports, endpoints, same_ports);
        }
        for slice in present.into_values().flatten() {
            self.deletes.push(Action::delete(&*slice));
        }
    }

    /// Keeps each endpoint in the slice that it is in, fills up slices that change anyhow, then the fullest slice
    /// that takes all the rest, and puts what is left into new ones.
    fn spread(
        &mut self,
        snapshot: &Snapshot,
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
            let changed = !same || metadata(snapshot, &slice.metadata) != slice.metadata;
            drafts.push(Draft { present: slice, endpoints, changed });
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
                self.deletes.push(Action::delete(&*draft.present));
                continue;
            }
            kept_one = true;
            if draft.changed {
                let mut slice = (*draft.present).clone();
                slice.metadata = metadata(snapshot, &slice.metadata);
                slice.endpoints = Some(draft.endpoints);
                self.updates.push(Action::update(slice));
            }
        }
        if placeholder && !kept_one {
            self.creates.push(create(snapshot, family, &ports, Vec::new()));
        }
        for chunk in missing.chunks(ENDPOINTS_MAX) {
            self.creates.push(create(snapshot, family, &ports, chunk.to_vec()));
        }
    }
}

/// The endpoints of a family by their ports.
fn wanted(snapshot: &Snapshot, family: Family) -> ByPorts {
    let mut wanted = ByPorts::new();
    for pod in &snapshot.pods {
        let node = snapshot.nodes.get(pods::node_name(pod)).map(|node| &**node);
        if !may_serve(pod, node) {
            continue;
        }
        if let Some(endpoint) = endpoints::endpoint(&snapshot.service, pod, node, family) {
            let ports = endpoints::ports(&snapshot.service, pod);
            wanted.entry(key(&ports)).or_insert_with(|| (ports, Vec::new())).1.push(endpoint);
        }
    }
    wanted
}

/// A pod whose node does not exist (any more) is left out; it will be collected.
fn may_serve(pod: &Pod, node: Option<&Node>) -> bool {
    node.is_some() || pods::node_name(pod).is_empty()
}

/// What makes an endpoint the same one: the pod and its addresses.
fn identity(endpoint: &Endpoint) -> String {
    let pod = endpoint.target_ref.as_ref().and_then(|target| target.uid.as_deref()).unwrap_or_default();
    format!("{pod} {}", endpoint.addresses.join(" "))
}

fn key(ports: &[EndpointPort]) -> String {
    let mut lines: Vec<String> = ports.iter().map(|port| format!("{port:?}")).collect();
    lines.sort();
    lines.concat()
}

fn create(snapshot: &Snapshot, family: Family, ports: &[EndpointPort], endpoints: Vec<Endpoint>) -> Action {
    let service = &snapshot.service;
    let name = service.metadata.name.as_deref().unwrap_or_default();
    let mut meta = ObjectMeta {
        generate_name: Some(format!("{name}-")),
        namespace: service.metadata.namespace.clone(),
        owner_references: Some(vec![controller_reference(&**service)]),
        ..ObjectMeta::default()
    };
    meta = metadata(snapshot, &meta);
    Action::create(EndpointSlice {
        metadata: meta,
        address_type: family.as_str().to_owned(),
        endpoints: Some(endpoints),
        ports: Some(ports.to_vec()),
    })
}

/// A slice's metadata with the labels that its Service hands down.
fn metadata(snapshot: &Snapshot, present: &ObjectMeta) -> ObjectMeta {
    let service = &snapshot.service.metadata;
    let mut labels: Labels = service.labels.clone().unwrap_or_default();
    labels.retain(|name, _| ![SERVICE_NAME, MANAGED_BY, HEADLESS].contains(&name.as_str()));
    labels.insert(SERVICE_NAME.into(), service.name.clone().unwrap_or_default());
    labels.insert(MANAGED_BY.into(), MANAGER.into());
    if endpoints::is_headless(&snapshot.service) {
        labels.insert(HEADLESS.into(), String::new());
    }
    let mut meta = present.clone();
    meta.labels = Some(labels);
    if controller_of(&meta).is_none() {
        meta.owner_references.get_or_insert_default().push(controller_reference(&*snapshot.service));
    }
    meta
}

fn label<'a>(slice: &'a EndpointSlice, name: &str) -> Option<&'a str> {
    slice.metadata.labels.as_ref()?.get(name).map(String::as_str)
}
