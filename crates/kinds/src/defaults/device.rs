//! Defaults of `resource.k8s.io` (`pkg/apis/resource/v1/defaults.go`).

use object::Value;

use super::{each, fill, within};

/// Of a ResourceClaim, or of the spec of a ResourceClaimTemplate: each request is for one device.
pub fn default_resource_claim(claim: &mut Value) {
    let Some(devices) = claim.at_mut("spec.devices") else { return };
    each(devices, "requests", |request| {
        within(request, "exactly", default_wanted);
        each(request, "firstAvailable", default_wanted);
    });
}

fn default_wanted(wanted: &mut Value) {
    fill(wanted, "allocationMode", "ExactCount");
    if wanted.str_at("allocationMode") == "ExactCount" {
        fill(wanted, "count", 1);
    }
}
