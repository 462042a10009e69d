//! What slices a Service should have.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointHints, EndpointSlice, ForNode, ForZone};

use super::endpoints::{self, Family};
use super::spread::{ByPorts, Changes, Template, key};
use super::{SERVICE_NAME, Snapshot, selector, trigger};
use crate::framework::{Plan, controller_of, controller_reference, labels::Labels};
use crate::pods;

/// Says who keeps a slice.
pub(crate) const MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";
const MANAGER: &str = "endpointslice-controller.k8s.io";
/// Marks the slices of Services without an address.
const HEADLESS: &str = "service.kubernetes.io/headless";

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
    let template = template(snapshot, &mine);
    let mut changes = Changes::new(&template);
    let families = endpoints::families(&snapshot.service);
    for family in &families {
        let of_family = mine.iter().filter(|slice| slice.address_type == family.as_str());
        let of_family: Vec<_> = of_family.map(|slice| (**slice).clone()).collect();
        changes.reconcile(*family, wanted(snapshot, *family), &of_family);
    }
    for slice in mine {
        if families.iter().all(|family| family.as_str() != slice.address_type) {
            changes.delete(slice);
        }
    }
    strangers.into_iter().for_each(|slice| changes.delete(slice));
    changes.into_plan(&mut plan);
    plan
}

fn template(snapshot: &Snapshot, slices: &[&Arc<EndpointSlice>]) -> Template {
    let service = &snapshot.service.metadata;
    let mut labels: Labels = service.labels.clone().unwrap_or_default();
    labels.retain(|name, _| ![SERVICE_NAME, MANAGED_BY, HEADLESS].contains(&name.as_str()));
    labels.insert(SERVICE_NAME.into(), service.name.clone().unwrap_or_default());
    labels.insert(MANAGED_BY.into(), MANAGER.into());
    if endpoints::is_headless(&snapshot.service) {
        labels.insert(HEADLESS.into(), String::new());
    }
    Template {
        namespace: service.namespace.clone(),
        name: service.name.clone().unwrap_or_default(),
        labels,
        annotations: None,
        owner: controller_reference(&*snapshot.service),
        trigger_time: trigger::of_slices(snapshot, slices),
    }
}

/// The endpoints of a family by their ports.
fn wanted(snapshot: &Snapshot, family: Family) -> ByPorts {
    let mut wanted = ByPorts::new();
    let spec = snapshot.service.spec.as_ref();
    let distribution = spec.and_then(|spec| spec.traffic_distribution.as_deref());
    for pod in &snapshot.pods {
        let node = snapshot.nodes.get(pods::node_name(pod)).map(|node| &**node);
        if !may_serve(pod, node) {
            continue;
        }
        if let Some(mut endpoint) = endpoints::endpoint(&snapshot.service, pod, node, family) {
            endpoint.hints = hints(distribution, &endpoint);
            let ports = endpoints::ports(&snapshot.service, pod);
            wanted.entry(key(&ports)).or_insert_with(|| (ports, Vec::new())).1.push(endpoint);
        }
    }
    if wanted.is_empty() {
        // An empty slice tells that the Service is known and nothing stands behind it.
        wanted.insert(key(&[]), (Vec::new(), Vec::new()));
    }
    wanted
}

/// For whom an endpoint is meant first, by `spec.trafficDistribution` (KEP-3015). Only ready endpoints are meant for
/// anybody.
fn hints(distribution: Option<&str>, endpoint: &Endpoint) -> Option<EndpointHints> {
    let by_node = match distribution? {
        "PreferSameNode" => true,
        "PreferSameZone" | "PreferClose" => false,
        _ => return None,
    };
    endpoint.conditions.as_ref()?.ready.filter(|ready| *ready)?;
    let zone = endpoint.zone.iter().map(|name| ForZone { name: name.clone() });
    let node = endpoint.node_name.iter().filter(|_| by_node).map(|name| ForNode { name: name.clone() });
    let (zones, nodes): (Vec<_>, Vec<_>) = (zone.collect(), node.collect());
    let hints = EndpointHints {
        for_zones: Some(zones).filter(|zones| !zones.is_empty()),
        for_nodes: Some(nodes).filter(|nodes| !nodes.is_empty()),
    };
    (hints != EndpointHints::default()).then_some(hints)
}

/// A pod whose node does not exist (any more) is left out; it will be collected.
fn may_serve(pod: &Pod, node: Option<&Node>) -> bool {
    node.is_some() || pods::node_name(pod).is_empty()
}

fn label<'a>(slice: &'a EndpointSlice, name: &str) -> Option<&'a str> {
    slice.metadata.labels.as_ref()?.get(name).map(String::as_str)
}
