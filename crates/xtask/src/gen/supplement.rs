//! Fields of the release that came after the newest public snapshot of the API definitions.
//!
//! `k8s-openapi` has their names and types. Their numbers follow upstream's rule, the next free number of the message
//! in the order of declaration. Once the checkouts contain a field, the generator fails if it is still listed here, so
//! that this list can only shrink.

/// Members to add to one type of some packages, in Go's notation; a type that is not there yet is created.
pub(crate) struct Supplement {
    pub(crate) packages: &'static [&'static str],
    pub(crate) ty: &'static str,
    pub(crate) members: &'static str,
}

const RESOURCE_NEWER: &[&str] = &["k8s.io/api/resource/v1", "k8s.io/api/resource/v1beta2"];
const RESOURCE_BETA1: &[&str] = &["k8s.io/api/resource/v1beta1"];
const RESOURCE: &[&str] =
    &["k8s.io/api/resource/v1", "k8s.io/api/resource/v1beta1", "k8s.io/api/resource/v1beta2"];

/// All supplements of the release.
pub(crate) const SUPPLEMENTS: &[Supplement] = &[
    Supplement {
        packages: &["k8s.io/api/core/v1"],
        ty: "NodeSystemInfo",
        members: "RunningInUserNamespace *bool `json:\"runningInUserNamespace,omitempty\" protobuf:\"varint,12\"`",
    },
    Supplement {
        packages: RESOURCE,
        ty: "DeviceCounterConsumption",
        members: "CompatibilityGroups []string `json:\"compatibilityGroups,omitempty\" protobuf:\"bytes,3\"`",
    },
    Supplement {
        packages: RESOURCE,
        ty: "DeviceDerivedAttribute",
        members: "Name string `json:\"name\" protobuf:\"bytes,1\"`
                  Expression string `json:\"expression\" protobuf:\"bytes,2\"`",
    },
    Supplement { packages: RESOURCE_NEWER, ty: "DeviceSubRequest", members: DERIVED_8 },
    Supplement {
        packages: RESOURCE_BETA1,
        ty: "DeviceSubRequest",
        members: "DerivedAttributes []DeviceDerivedAttribute `json:\"derivedAttributes,omitempty\" protobuf:\"bytes,9\"`",
    },
    Supplement { packages: RESOURCE_NEWER, ty: "ExactDeviceRequest", members: DERIVED_8 },
    Supplement {
        packages: RESOURCE_BETA1,
        ty: "DeviceRequest",
        members: "DerivedAttributes []DeviceDerivedAttribute `json:\"derivedAttributes,omitempty\" protobuf:\"bytes,10\"`",
    },
];

const DERIVED_8: &str =
    "DerivedAttributes []DeviceDerivedAttribute `json:\"derivedAttributes,omitempty\" protobuf:\"bytes,8\"`";
