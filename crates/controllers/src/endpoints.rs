//! The Endpoints controller: the older form of the data in [`crate::endpointslice`], with one object per Service.
//!
//! It follows upstream's `pkg/controller/endpoint`.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use client::{Informer, LeanPod};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{EndpointAddress, EndpointPort, EndpointSubset, Endpoints, Node, Service};
use object::ObjectKey;

use crate::endpointslice::endpoints::{self, families};
use crate::endpointslice::spread::TRIGGER_TIME;
use crate::endpointslice::{selected, trigger, wake_services};
use crate::framework::{Action, Controller, Look, Plan, Wiring, labels::Labels};
use crate::pods;

#[cfg(test)]
mod tests;

/// The maximum number of addresses per object.
const ADDRESSES_MAX: usize = 1000;
/// Marks that there were more.
const OVER_CAPACITY: &str = "endpoints.kubernetes.io/over-capacity";
/// Marks the endpoints of Services without an address.
const HEADLESS: &str = "service.kubernetes.io/headless";
/// Marks the manager of the object.
const MANAGED_BY: &str = "endpoints.kubernetes.io/managed-by";

pub(crate) struct EndpointsController {
    services: Arc<Informer<Service>>,
    pods: Arc<Informer<LeanPod>>,
    endpoints: Arc<Informer<Endpoints>>,
}

/// The inputs of a decision about one Service.
#[derive(Clone, Debug)]
pub(crate) struct Snapshot {
    /// `None` if it is gone.
    service: Option<Arc<Service>>,
    /// The pods that it selects.
    pods: Vec<Arc<LeanPod>>,
    present: Option<Arc<Endpoints>>,
}

impl Controller for EndpointsController {
    const NAME: &'static str = "endpoint-controller";
    const ACCOUNT: &'static str = "endpoint-controller";
    const QUEUE: &'static str = "endpoint";
    type Key = ObjectKey;
    type Snapshot = Snapshot;
    type Memory = ();

    fn wire(wiring: &mut Wiring<ObjectKey>) -> EndpointsController {
        let services = wiring.informer::<Service>();
        let pods = wiring.informer::<LeanPod>();
        let nodes = wiring.informer::<Node>();
        let endpoints = wiring.informer::<Endpoints>();
        wake_services(wiring, &services, &pods, &nodes);
        wiring.wake_self(&endpoints);
        EndpointsController { services, pods, endpoints }
    }

    fn observe(&self, key: &ObjectKey, _look: &mut Look<'_, ()>) -> Option<Snapshot> {
        let service = self.services.get(key);
        let pods = service.as_ref().map(|service| selected(service, &self.pods)).unwrap_or_default();
        Some(Snapshot { service, pods, present: self.endpoints.get(key) })
    }

    fn plan(snapshot: &Snapshot, _now: Timestamp) -> Plan {
        plan(snapshot)
    }
}

fn plan(snapshot: &Snapshot) -> Plan {
    let mut plan = Plan::default();
    let Some(service) = &snapshot.service else {
        // Only objects created by this controller are deleted with the Service.
        let mine = snapshot.present.as_ref().filter(|present| label(present, MANAGED_BY).is_some());
        mine.into_iter().for_each(|present| plan.then(Action::delete(&**present)));
        return plan;
    };
    let spec = service.spec.clone().unwrap_or_default();
    if spec.selector.is_none_or(|labels| labels.is_empty()) || spec.type_.as_deref() == Some("ExternalName") {
        return plan;
    }
    let mut subsets = subsets(service, &snapshot.pods);
    let truncated = truncate(&mut subsets);
    let mut wanted = snapshot.present.as_deref().cloned().unwrap_or_default();
    wanted.metadata.name.clone_from(&service.metadata.name);
    wanted.metadata.namespace.clone_from(&service.metadata.namespace);
    wanted.metadata.labels = Some(handed_down(service));
    let mut annotations = wanted.metadata.annotations.take().unwrap_or_default();
    annotations.remove(OVER_CAPACITY);
    if truncated {
        annotations.insert(OVER_CAPACITY.into(), "truncated".into());
    }
    wanted.metadata.annotations = Some(annotations).filter(|annotations| !annotations.is_empty());
    wanted.subsets = Some(subsets).filter(|subsets| !subsets.is_empty());
    if snapshot.present.as_deref() == Some(&wanted) {
        return plan;
    }
    let annotations = wanted.metadata.annotations.get_or_insert_default();
    annotations.remove(TRIGGER_TIME);
    annotations.extend(trigger_time(snapshot, service).map(|time| (TRIGGER_TIME.to_owned(), time)));
    wanted.metadata.annotations = wanted.metadata.annotations.filter(|annotations| !annotations.is_empty());
    plan.then(if snapshot.present.is_some() { Action::update(wanted) } else { Action::create(wanted) });
    plan
}

/// The earliest of the changes that the current object does not show.
fn trigger_time(snapshot: &Snapshot, service: &Service) -> Option<String> {
    let mut reported: HashMap<&str, bool> = HashMap::new();
    for subset in snapshot.present.iter().flat_map(|present| present.subsets.iter().flatten()) {
        for (addresses, ready) in [(&subset.addresses, true), (&subset.not_ready_addresses, false)] {
            let targets = addresses.iter().flatten().filter_map(|address| address.target_ref.as_ref());
            reported.extend(targets.filter_map(|target| Some((target.uid.as_deref()?, ready))));
        }
    }
    let family = families(service)[0];
    let is_new = |pod: &&LeanPod| {
        let uid = pod.metadata.uid.as_str();
        !endpoints::addresses(pod, family).is_empty() && reported.get(uid) != Some(&pods::is_ready(pod))
    };
    let changed = snapshot.pods.iter().map(|pod| &**pod).filter(is_new);
    trigger::earliest(snapshot.present.is_none().then_some(service), changed)
}

/// One address under one port.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Member {
    ready: bool,
    ip: String,
    pod: usize,
}

/// The addresses under each port, by its name, number and protocol; `None` means no port at all.
type Members = BTreeMap<Option<(String, i32, String)>, (Option<EndpointPort>, Vec<Member>)>;

/// Ports with the same addresses share a subset.
fn subsets(service: &Service, pods: &[Arc<LeanPod>]) -> Vec<EndpointSubset> {
    let family = families(service)[0];
    let early = endpoints::publishes_not_ready(service);
    let mut members = Members::new();
    for (index, pod) in pods.iter().enumerate() {
        let ending = pod.metadata.deletion_timestamp.is_some() && !early;
        let Some(ip) = endpoints::addresses(pod, family).into_iter().next() else { continue };
        if pods::is_terminal(pod) || ending {
            continue;
        }
        let member = Member { ready: early || pods::is_ready(pod), ip, pod: index };
        let ports = service.spec.as_ref().and_then(|spec| spec.ports.as_ref());
        let ports = ports.into_iter().flatten().filter_map(|port| {
            let protocol = endpoints::protocol(port.protocol.as_ref()).to_owned();
            Some(EndpointPort {
                name: port.name.clone().filter(|name| !name.is_empty()),
                port: endpoints::target_port(port, pod)?,
                protocol: Some(protocol),
                app_protocol: port.app_protocol.clone(),
            })
        });
        let mut ports: Vec<Option<EndpointPort>> = ports.map(Some).collect();
        if ports.is_empty() && endpoints::is_headless(service) {
            ports.push(None);
        }
        for port in ports {
            let key = port.as_ref().map(|port| {
                (port.name.clone().unwrap_or_default(), port.port, port.protocol.clone().unwrap_or_default())
            });
            members.entry(key).or_insert_with(|| (port, Vec::new())).1.push(member.clone());
        }
    }
    let mut by_members: BTreeMap<Vec<Member>, Vec<EndpointPort>> = BTreeMap::new();
    for (port, mut members) in members.into_values() {
        members.sort();
        by_members.entry(members).or_default().extend(port);
    }
    let subset = |(members, ports): (Vec<Member>, Vec<EndpointPort>)| {
        let addresses = |ready: bool| {
            let members = members.iter().filter(|member| member.ready == ready);
            let addresses: Vec<_> =
                members.map(|member| address(service, &pods[member.pod], member.ip.clone())).collect();
            Some(addresses).filter(|addresses| !addresses.is_empty())
        };
        EndpointSubset {
            addresses: addresses(true),
            not_ready_addresses: addresses(false),
            ports: Some(ports).filter(|ports| !ports.is_empty()),
        }
    };
    by_members.into_iter().map(subset).collect()
}

fn address(service: &Service, pod: &LeanPod, ip: String) -> EndpointAddress {
    EndpointAddress {
        ip,
        hostname: endpoints::hostname(service, pod),
        node_name: pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()).map(str::to_owned),
        target_ref: Some(endpoints::target(pod)),
    }
}

/// Drops addresses beyond the maximum of an object, starting with those that are not ready.
fn truncate(subsets: &mut [EndpointSubset]) -> bool {
    let mut left = ADDRESSES_MAX;
    let mut truncated = false;
    let mut cut = |addresses: &mut Option<Vec<EndpointAddress>>| {
        let Some(mut all) = addresses.take() else { return };
        truncated |= all.len() > left;
        all.truncate(left);
        left -= all.len();
        *addresses = Some(all).filter(|all| !all.is_empty());
    };
    subsets.iter_mut().for_each(|subset| cut(&mut subset.addresses));
    subsets.iter_mut().for_each(|subset| cut(&mut subset.not_ready_addresses));
    truncated
}

fn handed_down(service: &Service) -> Labels {
    let mut labels = service.metadata.labels.clone().unwrap_or_default();
    labels.insert(MANAGED_BY.into(), "endpoint-controller".into());
    if endpoints::is_headless(service) {
        labels.insert(HEADLESS.into(), String::new());
    } else {
        labels.remove(HEADLESS);
    }
    labels
}

fn label<'a>(endpoints: &'a Endpoints, name: &str) -> Option<&'a str> {
    endpoints.metadata.labels.as_ref()?.get(name).map(String::as_str)
}
