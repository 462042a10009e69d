//! Features that custom resources do not have: a protobuf form, and lists that merge according to the API definition.

use object::Status;

use super::Operation;
use crate::negotiate::Encoding;
use crate::registry::{ChangeKind, Endpoint, PatchKind};

/// Refuses bodies from which a custom resource cannot be decoded.
///
/// # Errors
/// 415
pub(super) fn check_media(endpoint: &Endpoint, operation: &Operation) -> Result<(), Status> {
    if !endpoint.is_custom() {
        return Ok(());
    }
    let content_type = operation.content_type.as_deref();
    match &*operation.info.verb {
        "patch" if PatchKind::of(content_type)? == PatchKind::Change(ChangeKind::StrategicMerge) => {
            Err(Status::unsupported_media_type(&[
                "application/json-patch+json",
                "application/merge-patch+json",
                "application/apply-patch+yaml",
            ]))
        }
        "create" | "update" if Encoding::of_body(content_type)? == Encoding::Protobuf => {
            Err(Status::unsupported_media_type(&["application/json", "application/yaml"]))
        }
        _ => Ok(()),
    }
}
