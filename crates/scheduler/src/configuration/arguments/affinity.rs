//! The arguments of NodeAffinity.

use object::field::{Error, Errors, Path};
use object::{Operator, Requirement, Value, value};
use semantics::NodeTerms;

pub(super) fn read(args: &Value, path: &Path<'_>, into: &mut NodeTerms, errors: &mut Errors) {
    let added = args.get("addedAffinity");
    let path = path.child("addedAffinity");
    let required_path = path.child("requiredDuringSchedulingIgnoredDuringExecution");
    let terms_path = required_path.child("nodeSelectorTerms");
    let terms = added.at("requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms").items();
    for (at, term) in terms.enumerate() {
        check_term(term, &terms_path.index(at), errors);
    }
    let preferred_path = path.child("preferredDuringSchedulingIgnoredDuringExecution");
    let preferred = added.at("preferredDuringSchedulingIgnoredDuringExecution").items();
    for (at, weighted) in preferred.enumerate() {
        check_term(weighted.get("preference"), &preferred_path.index(at), errors);
    }
    *into = NodeTerms::new(&value!({"affinity": {"nodeAffinity": (added.clone())}}));
}

fn check_term(term: &Value, path: &Path<'_>, errors: &mut Errors) {
    let list = path.child("matchExpressions");
    for (at, expression) in term.at("matchExpressions").items().enumerate() {
        check_expression(expression, &list.index(at), errors);
    }
    let list = path.child("matchFields");
    for (at, requirement) in term.at("matchFields").items().enumerate() {
        let path = list.index(at);
        let values = requirement.get("values");
        match requirement.str_at("operator") {
            "In" | "NotIn" if values.items().count() == 1 => {}
            "In" | "NotIn" => errors.invalid(&path.child("values"), values.clone(), "must have one element"),
            other => errors.not_supported(&path.child("operator"), other, &["In", "NotIn"]),
        }
    }
}

fn check_expression(expression: &Value, path: &Path<'_>, errors: &mut Errors) {
    let operator = match expression.str_at("operator") {
        "In" => Operator::In,
        "NotIn" => Operator::NotIn,
        "Exists" => Operator::Exists,
        "DoesNotExist" => Operator::DoesNotExist,
        "Gt" => Operator::GreaterThan,
        "Lt" => Operator::LessThan,
        other => {
            let known = ["In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"];
            return errors.not_supported(&path.child("operator"), other, &known);
        }
    };
    let values = expression.get("values").items().filter_map(Value::as_str).map(str::to_owned).collect();
    if let Err(found) = Requirement::new(expression.str_at("key"), operator, values) {
        let below = |error: Error| Error { path: format!("{path}.{}", error.path), ..error };
        errors.extend(found.into_iter().map(below));
    }
}
