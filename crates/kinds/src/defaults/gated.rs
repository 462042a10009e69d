//! Fields of features that are off in a server without feature gates, as alpha features are: upstream drops them from
//! what clients send.

use object::{Map, Value};

use super::{each, within};

const CONTAINERS: [&str; 3] = ["containers", "initContainers", "ephemeralContainers"];

/// Drops them from the spec of a pod or a template. What is stored never has them, so that no change can bring them in.
pub(super) fn drop_from_pod(spec: &mut Value) {
    // EvictionRequestAPI, GenericWorkload
    spec.remove("evictionResponders");
    spec.remove("schedulingGroup");
    each(spec, "volumes", drop_from_volume);
    for name in CONTAINERS {
        each(spec, name, drop_from_container);
    }
}

/// Drops them from the status of a pod.
pub(super) fn drop_from_pod_status(status: &mut Value) {
    // CSIVolumeHealth, DRANodeAllocatableResources
    status.remove("volumeHealth");
    status.remove("nodeAllocatableResourceClaimStatuses");
}

fn drop_from_volume(volume: &mut Value) {
    // EmptyDirVolumeMode
    within(volume, "emptyDir", |source| drop(source.remove("mode")));
    for name in ["secret", "configMap", "downwardAPI"] {
        within(volume, name, drop_owners);
    }
    within(volume, "projected", |source| {
        drop_owners(source);
        each(source, "sources", |source| {
            for name in ["secret", "configMap", "downwardAPI"] {
                within(source, name, drop_owners);
            }
            for name in ["serviceAccountToken", "clusterTrustBundle", "podCertificate"] {
                within(source, name, |source| drop(source.remove("user")));
            }
        });
    });
}

/// AtomicWriteVolumeUserFields
fn drop_owners(source: &mut Value) {
    source.remove("defaultUser");
    each(source, "items", |item| drop(item.remove("user")));
}

fn drop_from_container(container: &mut Value) {
    // VolumeBindMountOptions
    each(container, "volumeMounts", |mount| drop(mount.remove("bindMountOptions")));
    for name in ["livenessProbe", "readinessProbe", "startupProbe"] {
        within(container, name, drop_from_handler);
    }
    within(container, "lifecycle", |lifecycle| {
        for name in ["postStart", "preStop"] {
            within(lifecycle, name, drop_from_handler);
        }
    });
}

/// H2CContainerProbe, GRPCContainerProbeTLS
fn drop_from_handler(handler: &mut Value) {
    within(handler, "httpGet", |action| drop(action.remove("protocol")));
    within(handler, "grpc", |action| drop(action.remove("mode")));
}

/// Drops them from a request for devices.
pub(super) fn drop_from_device_request(request: &mut Value) {
    // DRADerivedAttributes
    request.remove("derivedAttributes");
}

/// Drops them from the status of a claim for devices.
pub(super) fn drop_from_claim_status(claim: &mut Value) {
    // DRAOptionalNodeOperations
    if let Some(allocated) = claim.at_mut("status.allocation.devices") {
        each(allocated, "results", |result| drop(result.remove("skipNodeOperations")));
    }
}

/// Drops them from the spec of a ResourceSlice.
pub(super) fn drop_from_slice(spec: &mut Value) {
    // DRAOptionalNodeOperations
    spec.remove("skipNodeOperations");
    each(spec, "devices", |device| {
        // DRANodeAllocatableResources
        device.remove("nodeAllocatableResources");
        // DRAListTypeAttributes
        let attributes = device.get_mut("attributes").and_then(Value::as_map_mut);
        for (_, attribute) in attributes.into_iter().flat_map(Map::iter_mut) {
            for list in ["ints", "bools", "strings", "versions"] {
                attribute.remove(list);
            }
        }
        // DRADeviceCompatibilityGroups
        each(device, "consumesCounters", |consumed| drop(consumed.remove("compatibilityGroups")));
    });
}
