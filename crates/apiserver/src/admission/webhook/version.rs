//! The versions of AdmissionReviews.

use object::Value;

/// A version of reviews.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    V1,
    V1Beta1,
}

impl Version {
    /// Reads a version that this server understands.
    pub(super) fn read(version: &Value) -> Option<Version> {
        match version.as_str()? {
            "v1" => Some(Version::V1),
            "v1beta1" => Some(Version::V1Beta1),
            _ => None,
        }
    }

    /// The `apiVersion` of reviews.
    pub(super) fn api_version(self) -> &'static str {
        match self {
            Version::V1 => "admission.k8s.io/v1",
            Version::V1Beta1 => "admission.k8s.io/v1beta1",
        }
    }
}
