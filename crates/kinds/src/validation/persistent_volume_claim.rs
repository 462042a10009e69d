//! PersistentVolumeClaims (`pkg/apis/core/validation/validation.go`).

use object::field::{Errors, Path};
use object::{Quantity, Value, names};

use super::field::{Field, IMMUTABLE, NOT_POSITIVE, differences, quantity, same};
use super::resources::{is_native, validate_amount};

const CLAIM: &str = "io.k8s.api.core.v1.PersistentVolumeClaim";
/// The annotation that named the class before `storageClassName` was a field.
const CLASS_ANNOTATION: &str = "volume.beta.kubernetes.io/storage-class";
const MODES: [&str; 4] = ["ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"];
const RESIZE_STATES: [&str; 5] = [
    "ControllerResizeInProgress",
    "ControllerResizeInfeasible",
    "NodeResizeInProgress",
    "NodeResizeInfeasible",
    "NodeResizePending",
];

/// Checks a PersistentVolumeClaim, its metadata aside.
pub fn validate_persistent_volume_claim(claim: &Value) -> Errors {
    let mut errors = Errors::new();
    validate_claim_spec(&mut errors, &Field::root(claim, CLAIM).child("spec"), false);
    errors
}

/// Checks the spec of a claim, or of a template for claims. Groups of data sources that are no domains may stay.
pub(super) fn validate_claim_spec(errors: &mut Errors, spec: &Field<'_, '_>, any_group: bool) {
    validate_modes(errors, &spec.child("accessModes"), "at least 1 access mode is required");
    let selector = spec.child("selector");
    if selector.is_set() {
        errors.append(selector.selector().validate(&selector.path, false));
    }
    let resources = spec.child("resources");
    let size = resources.value.at("requests.storage");
    let size = resources.child("requests").with(size).named(resources.path.key("storage"));
    if !size.is_set() {
        size.required(errors, "");
    } else if size.quantity().sign() <= 0 {
        errors.invalid(&size.path, size.quantity().to_string(), NOT_POSITIVE);
    } else {
        validate_amount(errors, "storage", &size);
    }
    spec.child("storageClassName").check_set(errors, names::is_dns1123_subdomain);
    spec.child("volumeMode").check_known(errors, &["Block", "Filesystem"]);
    let (source, reference) = (spec.child("dataSource"), spec.child("dataSourceRef"));
    for source in [&source, &reference].into_iter().filter(|source| source.is_set()) {
        validate_source(errors, source, any_group);
    }
    let namespace = reference.value.get("namespace");
    if !namespace.is_empty() {
        reference.child("namespace").check(errors, names::is_dns1123_label);
    }
    if source.is_set() && reference.is_set() {
        let shown = source.path.to_string();
        if !namespace.is_empty() {
            let why = "may not be specified when dataSourceRef.namespace is specified";
            errors.invalid(&spec.path, shown, why);
        } else if ["apiGroup", "kind", "name"]
            .iter()
            .any(|name| source.value.get(name) != reference.value.get(name))
        {
            errors.invalid(&spec.path, shown, "must match dataSourceRef");
        }
    }
    spec.child("volumeAttributesClassName").check_set(errors, names::is_dns1123_subdomain);
}

/// Checks how a volume can be mounted. `why` is what its owner says where there is nothing.
pub(super) fn validate_modes(errors: &mut Errors, modes: &Field<'_, '_>, why: &str) {
    if modes.is_empty() {
        modes.required(errors, why);
    }
    let (mut alone, mut others) = (false, false);
    for mode in modes.value.items().filter_map(Value::as_str) {
        match mode {
            "ReadWriteOncePod" => alone = true,
            mode if MODES.contains(&mode) => others = true,
            mode => errors.not_supported(&modes.path, mode, &MODES),
        }
    }
    if alone && others {
        modes.forbidden(errors, "may not use ReadWriteOncePod with other access modes");
    }
}

fn validate_source(errors: &mut Errors, source: &Field<'_, '_>, any_group: bool) {
    let (kind, group) = (source.child("kind"), source.child("apiGroup"));
    source.child("name").check_present(errors);
    kind.check_present(errors);
    if group.is_empty() && kind.text() != "PersistentVolumeClaim" {
        let why = "must be 'PersistentVolumeClaim' when referencing the default apiGroup";
        errors.invalid(&source.path, kind.text(), why);
    }
    if !any_group {
        group.check_set(errors, names::is_dns1123_subdomain);
    }
}

/// Checks a change of a PersistentVolumeClaim, its metadata aside: a claim stays what it is, but for its volume, which is
/// named once, the size of a bound claim, and the class of the volume's attributes.
pub fn validate_persistent_volume_claim_update(claim: &Value, old: &Value) -> Errors {
    let mut errors = Errors::new();
    let root = Field::root(claim, CLAIM);
    let spec = root.child("spec");
    let before = old.get("spec");
    let any_group =
        ["dataSource", "dataSourceRef"].iter().any(|name| !before.get(name).get("apiGroup").is_null());
    validate_claim_spec(&mut errors, &spec, any_group);
    let mut fixed = before.clone();
    if before.str_at("volumeName").is_empty() {
        take(&mut fixed, spec.value, "volumeName");
    }
    take(&mut fixed, spec.value, "volumeAttributesClassName");
    if old.str_at("status.phase") == "Bound" && !spec.value.at("resources.requests").is_null() {
        take(fixed.entry("resources").entry("requests"), spec.value.at("resources.requests"), "storage");
    }
    if may_name_class(&mut errors, claim, old) {
        take(&mut fixed, spec.value, "storageClassName");
    }
    if !same(spec.value, &fixed) {
        let why = "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims";
        spec.forbidden(&mut errors, format!("{why}\n{}", differences(&fixed, spec.value)));
    }
    validate_size(&mut errors, &spec, old);
    let mode = spec.child("volumeMode");
    if mode.value != before.get("volumeMode") {
        errors.invalid(&Path::root("volumeMode"), mode.value.clone(), IMMUTABLE);
    }
    validate_attributes_class(&mut errors, &spec.child("volumeAttributesClassName"), before);
    errors
}

fn take(into: &mut Value, from: &Value, name: &'static str) {
    match from.get(name) {
        Value::Null => drop(into.remove(name)),
        value => into.set(name, value.clone()),
    }
}

/// Whether the class may be set: it was not, or an annotation named it. The annotation itself stays, unless the field
/// takes its place.
fn may_name_class(errors: &mut Errors, claim: &Value, old: &Value) -> bool {
    let annotation = |claim: &Value| {
        claim.at_path(&["metadata", "annotations", CLASS_ANNOTATION]).as_str().map(str::to_owned)
    };
    let (noted, was_noted) = (annotation(claim), annotation(old));
    let class = claim.at("spec.storageClassName").as_str();
    let is_new = class.is_some() && old.at("spec.storageClassName").is_null();
    let replaces = is_new
        && was_noted.is_some()
        && class == was_noted.as_deref()
        && (noted.is_none() || noted == was_noted);
    if !replaces && noted.unwrap_or_default() != was_noted.clone().unwrap_or_default() {
        let metadata = Path::root("metadata");
        let annotations = metadata.child("annotations");
        let value =
            claim.at_path(&["metadata", "annotations", CLASS_ANNOTATION]).as_str().unwrap_or_default();
        errors.invalid(&annotations.key(CLASS_ANNOTATION), value, IMMUTABLE);
    }
    is_new && (was_noted.is_none() || class == was_noted.as_deref())
}

/// A claim does not shrink, but for taking back a growth that has not come about.
fn validate_size(errors: &mut Errors, spec: &Field<'_, '_>, old: &Value) {
    let requests = spec.child("resources");
    let requests = requests.child("requests");
    let (now, before) =
        (quantity(requests.value.get("storage")), quantity(old.at("spec.resources.requests.storage")));
    if now < before && now <= quantity(old.at("status.capacity.storage")) {
        errors.forbidden(&requests.path.child("storage"), "field can not be less than status.capacity");
    }
}

fn validate_attributes_class(errors: &mut Errors, class: &Field<'_, '_>, before: &Value) {
    if before.get("volumeAttributesClassName").is_null() {
        return;
    }
    match class.value.as_str() {
        None => class.forbidden(errors, "update from non-nil value to nil is forbidden"),
        Some("") if !before.str_at("volumeAttributesClassName").is_empty() => {
            class.forbidden(errors, "update from non-nil value to an empty string is forbidden");
        }
        Some(_) => {}
    }
}

/// Checks a change of a PersistentVolumeClaim's status, its metadata aside.
pub fn validate_persistent_volume_claim_status_update(claim: &Value, _old: &Value) -> Errors {
    let mut errors = Errors::new();
    let root = Field::root(claim, CLAIM);
    if claim.at("spec.accessModes").is_empty() {
        errors.required(&Path::root("Spec").child("accessModes"), "");
    }
    let status = root.child("status");
    for (_, amount) in status.child("capacity").entries() {
        validate_basic(&mut errors, &amount);
    }
    let states = status.child("allocatedResourceStatuses");
    // Upstream names the field so.
    let states = states.named(status.path.child("allocatedResourceStatus"));
    for (name, state) in states.entries() {
        validate_resource_name(&mut errors, &states, name);
        if !RESIZE_STATES.contains(&state.text()) {
            let mut sorted = RESIZE_STATES;
            sorted.sort_unstable();
            errors.not_supported(&states.path, name, &sorted);
        }
    }
    let allocated = status.child("allocatedResources");
    for (name, amount) in allocated.entries() {
        if validate_resource_name(&mut errors, &allocated, name) && validate_basic(&mut errors, &amount) {
            validate_amount(&mut errors, "storage", &amount);
        }
    }
    errors
}

pub(super) fn validate_basic(errors: &mut Errors, amount: &Field<'_, '_>) -> bool {
    let is_good = amount.quantity() >= Quantity::ZERO;
    if !is_good {
        errors.invalid(&amount.path, amount.quantity().value(), "must be a valid resource quantity");
    }
    is_good
}

/// Of Kubernetes' own resources a claim has storage alone.
fn validate_resource_name(errors: &mut Errors, field: &Field<'_, '_>, name: &str) -> bool {
    let before = errors.len();
    errors.invalid_each(&field.path, name, names::is_qualified_name(name));
    if errors.len() == before && is_native(name) && name != "storage" {
        errors.not_supported(&field.path, name, &["storage"]);
    }
    errors.len() == before
}
