//! The source of a claim's data: `dataSource` and its successor `dataSourceRef` (KEP-1495) are kept equal for clients
//! of either.

use object::{Value, value};

/// Drops a source that the older field cannot name, and copies either field to the other.
pub(super) fn normalize(claim: &mut Value, old: &Value) {
    let spec = claim.entry("spec");
    // A source in another namespace is a feature that is off (CrossNamespaceVolumeDataSource).
    let is_elsewhere = |spec: &Value| !spec.at("dataSourceRef.namespace").is_empty();
    if is_elsewhere(spec) && !is_elsewhere(old.get("spec")) {
        spec.remove("dataSourceRef");
    }
    let had_source = !old.at("spec.dataSource").is_null() || !old.at("spec.dataSourceRef").is_null();
    if !had_source && !is_claim_or_snapshot(spec.get("dataSource")) {
        spec.remove("dataSource");
    }
    let (source, reference) = (spec.get("dataSource").clone(), spec.get("dataSourceRef").clone());
    match (source.is_null(), reference.is_null()) {
        (false, true) => spec.set("dataSourceRef", names(&source)),
        // The older field has no namespace, and must not name a different object than the newer one.
        (true, false) if reference.get("namespace").is_empty() => spec.set("dataSource", names(&reference)),
        _ => {}
    }
}

fn is_claim_or_snapshot(source: &Value) -> bool {
    let kind = (source.str_at("apiGroup"), source.str_at("kind"));
    matches!(kind, ("", "PersistentVolumeClaim") | ("snapshot.storage.k8s.io", "VolumeSnapshot"))
}

fn names(reference: &Value) -> Value {
    let mut copy = value!({});
    for member in ["apiGroup", "kind", "name"] {
        if !reference.get(member).is_null() {
            copy.set(member, reference.get(member).clone());
        }
    }
    copy
}
