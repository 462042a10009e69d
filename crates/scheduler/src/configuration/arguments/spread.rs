//! The arguments of PodTopologySpread.

use k8s_openapi::api::core::v1::TopologySpreadConstraint;
use object::field::{Errors, Path};
use object::names;
use serde::Deserialize;

const HARD: &str = "DoNotSchedule";
const SOFT: &str = "ScheduleAnyway";

#[derive(Deserialize)]
#[serde(default, rename_all = "camelCase")]
#[derive(Default)]
pub(super) struct SpreadArgs {
    default_constraints: Vec<TopologySpreadConstraint>,
    defaulting_type: String,
}

pub(super) fn read(
    args: SpreadArgs,
    path: &Path<'_>,
    into: &mut Option<Vec<TopologySpreadConstraint>>,
    errors: &mut Errors,
) {
    let defaulting = path.child("defaultingType");
    match args.defaulting_type.as_str() {
        "" | "System" if !args.default_constraints.is_empty() => {
            errors.invalid(&defaulting, "System", "when .defaultConstraints are not empty");
        }
        "" | "System" | "List" => {}
        other => errors.not_supported(&defaulting, other, &["System", "List"]),
    }
    validate(&args.default_constraints, &path.child("defaultConstraints"), errors);
    *into = (args.defaulting_type == "List").then_some(args.default_constraints);
}

/// Appends what is wrong with a list, in upstream's words.
fn validate(constraints: &[TopologySpreadConstraint], root: &Path<'_>, errors: &mut Errors) {
    for (at, constraint) in constraints.iter().enumerate() {
        let (path, key) = (root.index(at), constraint.topology_key.as_str());
        if constraint.max_skew <= 0 {
            errors.invalid(
                &path.child("maxSkew"),
                i64::from(constraint.max_skew),
                "not in valid range (0, inf)",
            );
        }
        match key {
            "" => errors.required(&path.child("topologyKey"), "can not be empty"),
            _ => errors.invalid_each(&path.child("topologyKey"), key, names::is_qualified_name(key)),
        }
        let when = constraint.when_unsatisfiable.as_str();
        match when {
            "" => errors.required(&path.child("whenUnsatisfiable"), "can not be empty"),
            HARD | SOFT => {}
            _ => errors.not_supported(&path.child("whenUnsatisfiable"), when, &[HARD, SOFT]),
        }
        if constraint.label_selector.is_some() {
            let why = "constraint must not define a selector, as they deduced for each pod";
            errors.forbidden(&path.child("labelSelector"), why);
        }
        let same =
            |other: &TopologySpreadConstraint| other.topology_key == key && other.when_unsatisfiable == when;
        if constraints[..at].iter().any(same) {
            errors.duplicate(&path, format!("{{{key}, {when}}}"));
        }
    }
}
