//! The time of the change that slices are about to report.
//!
//! Upstream remembers between two passes which changes it has reported. Here that is read from the slices themselves: a
//! change that they do not contain yet has not been reported.

use std::collections::HashMap;
use std::sync::Arc;

use client::LeanPod;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use semantics::conditions;

use super::endpoints;
use super::snapshot::Snapshot;
use crate::pods;

/// The trigger time of a Service's slices, for the annotation: the earliest of the changes that `slices` do not show,
/// `None` if none of them has a time.
pub(super) fn of_slices(snapshot: &Snapshot, slices: &[&Arc<EndpointSlice>]) -> Option<String> {
    let mut reported: HashMap<&str, bool> = HashMap::new();
    for endpoint in slices.iter().flat_map(|slice| slice.endpoints.iter().flatten()) {
        let uid = endpoint.target_ref.as_ref().and_then(|target| target.uid.as_deref()).unwrap_or_default();
        let ready = endpoint.conditions.as_ref().and_then(|conditions| conditions.serving);
        reported.insert(uid, ready.unwrap_or(false));
    }
    let is_new = |pod: &&Arc<LeanPod>| {
        let uid = pod.metadata.uid.as_str();
        let has_address = endpoints::families(&snapshot.service)
            .into_iter()
            .any(|family| !endpoints::addresses(pod, family).is_empty());
        has_address && reported.get(uid) != Some(&pods::is_ready(pod))
    };
    let changed = snapshot.pods.iter().filter(is_new).map(|pod| &**pod);
    earliest(slices.is_empty().then_some(&*snapshot.service), changed)
}

/// The earliest time of: the creation of a Service that is new, and the last change of readiness of `pods`.
pub(crate) fn earliest<'a>(new: Option<&Service>, pods: impl Iterator<Item = &'a LeanPod>) -> Option<String> {
    let created = new.and_then(|service| service.metadata.creation_timestamp.as_ref()).map(|time| time.0);
    let earliest: Option<Timestamp> = pods.filter_map(readiness_changed).chain(created).min();
    earliest.map(|time| time.to_string())
}

fn readiness_changed(pod: &LeanPod) -> Option<Timestamp> {
    conditions::of(pod, "Ready").field("lastTransitionTime").as_time()
}
