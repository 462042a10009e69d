//! The desired slices of a Service.

use std::collections::HashMap;
use std::fmt::Display;
use std::sync::Arc;

use client::{EventType, LeanPod, reference_to};
use k8s_openapi::api::core::v1::Node;
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointHints, EndpointSlice, ForNode, ForZone};
use semantics::EndpointState;

use super::endpoints::{self, Family};
use super::snapshot::{SERVICE_NAME, Snapshot, selector};
use super::spread::{ByPorts, Changes, Template, identity, key};
use super::topology::{self, Refusal};
use super::trigger;
use crate::framework::{Note, Plan, controller_of, controller_reference, labels::Labels};
use crate::pods;

/// Marks the manager of a slice.
pub(crate) const MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";
const MANAGER: &str = "endpointslice-controller.k8s.io";
/// Marks the slices of Services without an address.
const HEADLESS: &str = "service.kubernetes.io/headless";

pub(super) fn plan(snapshot: &Snapshot) -> Plan {
    let mut plan = Plan::default();
    if selector(&snapshot.service).is_none() || snapshot.service.metadata.deletion_timestamp.is_some() {
        return plan;
    }
    let uid = snapshot.service.metadata.uid.as_deref();
    // Slices of a Service of the same name before it are left to the garbage collector; those of others are
    // not this controller's.
    let (mine, strangers): (Vec<_>, Vec<_>) = snapshot
        .slices
        .iter()
        .filter(|slice| {
            label(slice, MANAGED_BY) == Some(MANAGER) && slice.metadata.deletion_timestamp.is_none()
        })
        .partition(|slice| controller_of(&slice.metadata).is_none_or(|owner| Some(owner.uid) == uid));
    let template = template(snapshot, &mine);
    let mut changes = Changes::new(&template);
    let mut notes = Notes::new(snapshot, &mine);
    let families = endpoints::families(&snapshot.service);
    for family in &families {
        let of_family = mine.iter().filter(|slice| slice.address_type == family.as_str());
        let of_family: Vec<_> = of_family.map(|slice| (**slice).clone()).collect();
        changes.reconcile(*family, wanted(snapshot, *family, &of_family), &of_family);
        if snapshot.topology.is_asked {
            let given = topology::hint(&mut changes.of_family(*family), &snapshot.topology.shares);
            notes.answer(*family, given);
        } else {
            notes.no_longer_asked(*family);
        }
    }
    for slice in mine {
        if families.iter().all(|family| family.as_str() != slice.address_type) {
            changes.delete(slice);
        }
    }
    strangers.into_iter().for_each(|slice| changes.delete(slice));
    changes.into_plan(&mut plan);
    notes.into_plan(&mut plan);
    plan
}

/// Events about topology hints.
struct Notes<'a> {
    snapshot: &'a Snapshot,
    /// Whether there were such hints before.
    hinted: bool,
    /// Reported at once.
    news: Vec<Note>,
    /// Reported along with a change, not at every plan.
    refusals: Vec<Note>,
}

impl<'a> Notes<'a> {
    fn new(snapshot: &'a Snapshot, slices: &[&Arc<EndpointSlice>]) -> Notes<'a> {
        let hinted = slices.iter().any(|slice| topology::is_hinted(slice));
        Notes { snapshot, hinted, news: Vec::new(), refusals: Vec::new() }
    }

    fn note(&self, kind: EventType, reason: &'static str, family: Family, text: impl Display) -> Note {
        let message = format!("{text}, addressType: {}", family.as_str());
        Note { about: reference_to(&*self.snapshot.service), kind, reason, message }
    }

    /// The Service asks for hints, and these are those of a family.
    fn answer(&mut self, family: Family, given: Result<(), Refusal>) {
        match given {
            Ok(()) if self.hinted => {}
            Ok(()) => {
                self.hinted = true;
                let text = "Topology Aware Hints has been enabled";
                self.news.push(self.note(EventType::Normal, "TopologyAwareHintsEnabled", family, text));
            }
            Err(refusal) => {
                let note = self.note(EventType::Warning, "TopologyAwareHintsDisabled", family, refusal);
                self.refusals.push(note);
            }
        }
    }

    fn no_longer_asked(&mut self, family: Family) {
        if std::mem::take(&mut self.hinted) && self.snapshot.topology.was_asked {
            let text = "Topology Aware Hints has been disabled";
            self.news.push(self.note(EventType::Warning, "TopologyAwareHintsDisabled", family, text));
        }
    }

    fn into_plan(self, plan: &mut Plan) {
        let asks_now = self.snapshot.topology.is_asked && !self.snapshot.topology.was_asked;
        let refusals = if asks_now || !plan.is_empty() { self.refusals } else { Vec::new() };
        self.news.into_iter().chain(refusals).for_each(|note| plan.record(note));
    }
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

/// The endpoints of a family by their ports. Topology hints are still the existing ones.
fn wanted(snapshot: &Snapshot, family: Family, slices: &[Arc<EndpointSlice>]) -> ByPorts {
    let mut wanted = ByPorts::new();
    let present = slices.iter().flat_map(|slice| slice.endpoints.iter().flatten());
    let present: HashMap<String, &Endpoint> = match snapshot.topology.is_asked {
        true => present.map(|endpoint| (identity(endpoint), endpoint)).collect(),
        false => HashMap::new(),
    };
    let spec = snapshot.service.spec.as_ref();
    let distribution = spec.and_then(|spec| spec.traffic_distribution.as_deref());
    for pod in &snapshot.pods {
        let node = snapshot.nodes.get(pods::node_name(pod)).map(|node| &**node);
        if !may_serve(pod, node) {
            continue;
        }
        if let Some(mut endpoint) = endpoints::endpoint(&snapshot.service, pod, node, family) {
            endpoint.hints = match snapshot.topology.is_asked {
                true => {
                    present.get(&identity(&endpoint)).and_then(|present| topology::keep(present, &endpoint))
                }
                false => hints(distribution, &endpoint),
            };
            let ports = endpoints::ports(&snapshot.service, pod);
            wanted.entry(key(&ports)).or_insert_with(|| (ports, Vec::new())).1.push(endpoint);
        }
    }
    if wanted.is_empty() {
        // An empty slice shows that the Service is known and has no endpoints.
        wanted.insert(key(&[]), (Vec::new(), Vec::new()));
    }
    wanted
}

/// The hints of an endpoint by `spec.trafficDistribution` (KEP-3015). Only ready endpoints have hints.
fn hints(distribution: Option<&str>, endpoint: &Endpoint) -> Option<EndpointHints> {
    let by_node = match distribution? {
        "PreferSameNode" => true,
        "PreferSameZone" | "PreferClose" => false,
        _ => return None,
    };
    if !EndpointState::of_endpoint(endpoint).ready {
        return None;
    }
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
fn may_serve(pod: &LeanPod, node: Option<&Node>) -> bool {
    node.is_some() || pods::node_name(pod).is_empty()
}

fn label<'a>(slice: &'a EndpointSlice, name: &str) -> Option<&'a str> {
    slice.metadata.labels.as_ref()?.get(name).map(String::as_str)
}
