//! VolumeAttachments (`pkg/apis/storage/validation`).

use object::Value;
use object::field::{Error, Errors};
use object::names;

use super::field::{Field, same};
use super::persistent_volume::validate_inline_volume;

const ATTACHMENT: &str = "io.k8s.api.storage.v1.VolumeAttachment";
/// How long the name of a driver may be.
const DRIVER_CHARS_MAX: usize = 63;
/// How long the names and values of what a driver returns may be together.
const METADATA_BYTES_MAX: usize = 256 << 10;
/// How long the message of an error may be.
const MESSAGE_BYTES_MAX: usize = 1024;

/// Checks a VolumeAttachment, except its metadata.
pub fn validate_volume_attachment(attachment: &Value) -> Errors {
    let mut errors = validate_volume_attachment_status(attachment);
    let root = Field::root(attachment, ATTACHMENT);
    let spec = root.child("spec");
    validate_source(&mut errors, &spec.child("source"));
    spec.child("nodeName").check(&mut errors, names::is_dns1123_subdomain);
    let attacher = spec.child("attacher");
    match attacher.text() {
        "" => attacher.required(&mut errors, ""),
        name => {
            attacher.check(&mut errors, names::is_dns1123_subdomain_in_any_case);
            if name.chars().nth(DRIVER_CHARS_MAX).is_some() {
                errors.push_with(|| Error::too_long_characters(&attacher.path, DRIVER_CHARS_MAX));
            }
        }
    }
    errors
}

/// What is attached is a PersistentVolume, or a volume of a pod that a driver takes care of.
fn validate_source(errors: &mut Errors, source: &Field<'_, '_>) {
    const ONE: &str = "must specify exactly one of inlineVolumeSpec and persistentVolumeName";
    let (inline, name) = (source.child("inlineVolumeSpec"), source.child("persistentVolumeName"));
    match (inline.is_set(), name.is_set()) {
        (false, false) => source.required(errors, ONE),
        (true, true) => source.forbidden(errors, ONE),
        (true, false) => validate_inline_volume(errors, &inline),
        (false, true) => {
            name.check_present_with(errors, "must specify non empty persistentVolumeName");
            name.check(errors, names::is_dns1123_subdomain);
        }
    }
}

/// Checks a change of a VolumeAttachment, except its metadata: it is deleted and made anew to attach something else.
pub fn validate_volume_attachment_update(attachment: &Value, old: &Value) -> Errors {
    // What was wrong with it before is not told again.
    let mut errors = match same(attachment.get("spec"), old.get("spec")) {
        true => validate_volume_attachment_status(attachment),
        false => validate_volume_attachment(attachment),
    };
    Field::root(attachment, ATTACHMENT).child("spec").check_constant(&mut errors, old.get("spec"));
    errors
}

/// Checks a change of a VolumeAttachment's status, except its metadata.
pub fn validate_volume_attachment_status_update(attachment: &Value, old: &Value) -> Errors {
    validate_volume_attachment_update(attachment, old)
}

fn validate_volume_attachment_status(attachment: &Value) -> Errors {
    let mut errors = Errors::new();
    let root = Field::root(attachment, ATTACHMENT);
    let status = root.child("status");
    let metadata = status.child("attachmentMetadata");
    let bytes: usize =
        metadata.value.entries().map(|(name, value)| name.len() + value.as_str().map_or(0, str::len)).sum();
    if bytes > METADATA_BYTES_MAX {
        errors.push_with(|| Error::too_long(&metadata.path, METADATA_BYTES_MAX));
    }
    for name in ["attachError", "detachError"] {
        let error = status.child(name);
        let (message, code) = (error.child("message"), error.child("errorCode"));
        if message.text().len() > MESSAGE_BYTES_MAX {
            // The number in the message is upstream's.
            errors.push_with(|| Error::too_long(&message.path, METADATA_BYTES_MAX));
        }
        if code.number() < 0 {
            code.check_number(&mut errors, |code| names::is_in_range(code, 0, i64::from(i32::MAX)));
        }
    }
    errors
}
