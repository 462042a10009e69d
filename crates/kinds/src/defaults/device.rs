//! Defaults of `resource.k8s.io` (`pkg/apis/resource/v1/defaults.go`).

use object::Value;

use super::{each, fill, gated, within};

/// Of a ResourceClaim, or of the spec of a ResourceClaimTemplate: each request is for one device.
pub fn default_resource_claim(claim: &mut Value) {
    if let Some(devices) = claim.at_mut("spec.devices") {
        each(devices, "requests", |request| {
            within(request, "exactly", default_wanted);
            each(request, "firstAvailable", default_wanted);
        });
    }
    gated::drop_from_claim_status(claim);
}

/// Of a ResourceSlice.
pub fn default_resource_slice(slice: &mut Value) {
    within(slice, "spec", gated::drop_from_slice);
}

fn default_wanted(wanted: &mut Value) {
    gated::drop_from_device_request(wanted);
    fill(wanted, "allocationMode", "ExactCount");
    if wanted.str_at("allocationMode") == "ExactCount" {
        fill(wanted, "count", 1);
    }
}
