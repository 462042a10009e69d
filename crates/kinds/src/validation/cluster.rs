//! Nodes, Namespaces and Leases.

use std::collections::HashSet;

use object::field::{Errors, Path};
use object::{Value, names};

use super::field::Field;
use super::pod::validate_taints;
use super::resources::validate_amount;

const NODE: &str = "io.k8s.api.core.v1.Node";
const NAMESPACE: &str = "io.k8s.api.core.v1.Namespace";
const LEASE: &str = "io.k8s.api.coordination.v1.Lease";

/// Checks a Node, except its metadata.
pub fn validate_node(node: &Value) -> Errors {
    let mut errors = Errors::new();
    let root = Field::root(node, NODE);
    let spec = root.child("spec");
    validate_node_taints(&mut errors, &spec);
    validate_amounts(&mut errors, &root);
    validate_gated(&mut errors, &spec);
    let ranges = spec.child("podCIDRs");
    for range in ranges.items() {
        errors.append(names::is_valid_cidr_for_legacy_field(&range.path, range.text(), &HashSet::new()));
    }
    if ranges.len() > 1 {
        let families: HashSet<bool> =
            ranges.value.items().map(|r| r.as_str().is_some_and(|r| r.contains(':'))).collect();
        if families.len() < 2 || ranges.len() > 2 {
            ranges.invalid(&mut errors, "may specify no more than one CIDR for each IP family");
        }
        let mut seen = HashSet::new();
        for range in ranges.items().filter(|range| !seen.insert(range.text())) {
            range.duplicate(&mut errors);
        }
    }
    errors
}

fn validate_node_taints(errors: &mut Errors, spec: &Field<'_, '_>) {
    let metadata = Path::root("metadata");
    // The path is upstream's.
    let taints = spec.child("taints");
    validate_taints(errors, &taints.named(metadata.child("taints")));
}

/// A field of a feature that is off (InPlacePodVerticalScalingSchedulerPreemption).
fn validate_gated(errors: &mut Errors, spec: &Field<'_, '_>) {
    let policy = spec.child("podPreemptionPolicy");
    if policy.is_set() {
        policy.forbidden(errors, "");
    }
}

fn validate_amounts(errors: &mut Errors, node: &Field<'_, '_>) {
    let status = node.child("status");
    for what in ["capacity", "allocatable"] {
        let amounts = status.child(what);
        for (name, amount) in amounts.entries() {
            validate_amount(errors, name, &amount.named(amounts.path.child(name)));
        }
    }
}

/// Checks a change of a Node or its status, except its metadata.
pub fn validate_node_update(node: &Value, old: &Value) -> Errors {
    let mut errors = Errors::new();
    let root = Field::root(node, NODE);
    let (spec, status) = (root.child("spec"), root.child("status"));
    validate_amounts(&mut errors, &root);
    let mut seen = HashSet::new();
    for address in status.child("addresses").items() {
        if !seen.insert((address.value.str_at("type"), address.value.str_at("address"))) {
            address.duplicate(&mut errors);
        }
    }
    let before: Vec<&Value> = old.at("spec.podCIDRs").items().collect();
    let ranges = spec.child("podCIDRs");
    if !before.is_empty() && !ranges.value.items().eq(before) {
        ranges.forbidden(&mut errors, "node updates may not change podCIDR except from \"\" to valid");
    }
    let (provider, before) = (spec.child("providerID"), old.str_at("spec.providerID"));
    if !before.is_empty() && before != provider.text() {
        provider.forbidden(&mut errors, "node updates may not change providerID except from \"\" to valid");
    }
    validate_node_taints(&mut errors, &spec);
    let external = spec.child("externalID");
    if external.text() != old.str_at("spec.externalID") {
        external.forbidden(&mut errors, "may not be updated");
    }
    errors
}

/// Checks a Namespace, except its metadata.
pub fn validate_namespace(namespace: &Value) -> Errors {
    let mut errors = Errors::new();
    let root = Field::root(namespace, NAMESPACE);
    let spec = root.child("spec");
    let finalizers = spec.child("finalizers");
    for finalizer in finalizers.items() {
        validate_finalizer(&mut errors, &finalizer.named(finalizers.path));
    }
    errors
}

/// Checks a change of a Namespace's status, except its metadata.
pub fn validate_namespace_status_update(namespace: &Value, _old: &Value) -> Errors {
    let mut errors = Errors::new();
    let phase = namespace.str_at("status.phase");
    let deleted = !namespace.at("metadata.deletionTimestamp").is_null();
    let status = Path::root("status");
    // The path is upstream's.
    let path = status.child("Phase");
    match deleted {
        false if phase != "Active" => {
            errors.invalid(&path, phase, "may only be 'Active' if `deletionTimestamp` is empty");
        }
        true if phase != "Terminating" => {
            errors.invalid(&path, phase, "may only be 'Terminating' if `deletionTimestamp` is not empty");
        }
        _ => {}
    }
    errors
}

/// Checks a change of a Namespace's finalizers (the `finalize` subresource), except its metadata.
pub fn validate_namespace_finalize(namespace: &Value) -> Errors {
    let mut errors = Errors::new();
    let root = Field::root(namespace, NAMESPACE);
    let spec = root.child("spec");
    spec.child("finalizers").items().for_each(|finalizer| validate_finalizer(&mut errors, &finalizer));
    errors
}

fn validate_finalizer(errors: &mut Errors, finalizer: &Field<'_, '_>) {
    finalizer.check(errors, names::is_qualified_name);
    validate_finalizer_is_known(errors, &finalizer.path, finalizer.text());
}

/// Checks the finalizers of a kind of the core group, beyond their form.
pub fn validate_core_finalizers(metadata: &Value, path: &Path<'_>) -> Errors {
    let mut errors = Errors::new();
    let path = path.child("finalizers");
    for finalizer in metadata.get("finalizers").items().filter_map(Value::as_str) {
        validate_finalizer_is_known(&mut errors, &path, finalizer);
    }
    errors
}

/// Finalizers without a domain are Kubernetes' own. Holds for the metadata of the core group's kinds, too.
pub(crate) fn validate_finalizer_is_known(errors: &mut Errors, path: &Path<'_>, name: &str) {
    let standard = matches!(name, "kubernetes" | "orphan" | "foregroundDeletion");
    if !name.contains('/') && !standard {
        errors.invalid(path, name, "name is neither a standard finalizer name nor is it fully qualified");
    }
}

/// Checks a Lease, except its metadata.
pub fn validate_lease(lease: &Value) -> Errors {
    let mut errors = Errors::new();
    let root = Field::root(lease, LEASE);
    let spec = root.child("spec");
    let (duration, transitions) = (spec.child("leaseDurationSeconds"), spec.child("leaseTransitions"));
    if duration.is_set() && duration.number() <= 0 {
        duration.invalid(&mut errors, "must be greater than 0");
    }
    transitions.check_not_negative(&mut errors);
    let strategy = spec.child("strategy");
    if strategy.is_set() {
        // The path is upstream's.
        let strategy = strategy.named(strategy.path.child("strategy"));
        match strategy.text() {
            "OldestEmulationVersion" => {}
            text if text.contains('/') => strategy.check(&mut errors, names::is_qualified_name),
            _ => strategy.not_supported(&mut errors, &["OldestEmulationVersion"]),
        }
    }
    let preferred = spec.child("preferredHolder");
    if !preferred.is_empty() && strategy.is_empty() {
        preferred.forbidden(&mut errors, "may only be specified if `strategy` is defined");
    }
    errors
}
