//! Validation of access reviews (`pkg/apis/authorization/validation`).

use object::field::{Errors, Path};
use object::{Value, names};

/// Checks a review of one of the three kinds that ask for access.
pub(super) fn validate(kind: &str, review: &Value) -> Errors {
    let mut errors = Errors::new();
    let root = Path::root("spec");
    let (resource, path) = (review.at("spec.resourceAttributes"), review.at("spec.nonResourceAttributes"));
    match (resource.is_null(), path.is_null()) {
        (false, false) => {
            let why = "cannot be specified in combination with resourceAttributes";
            errors.invalid(&root.child("nonResourceAttributes"), path.clone(), why);
        }
        (true, true) => {
            let why = "exactly one of nonResourceAttributes or resourceAttributes must be specified";
            errors.invalid(&root.child("resourceAttributes"), Value::Null, why);
        }
        _ => {}
    }
    let spec = review.get("spec");
    if kind != "SelfSubjectAccessReview" && spec.str_at("user").is_empty() && spec.get("groups").is_empty() {
        errors.invalid(&root.child("user"), "", "at least one of user or group must be specified");
    }
    let attributes = root.child("resourceAttributes");
    for (name, check) in
        [("fieldSelector", check_field as fn(&mut Errors, &Path<'_>, &Value)), ("labelSelector", check_label)]
    {
        let selector = resource.get(name);
        if !selector.is_null() {
            validate_selector(&mut errors, &attributes.child(name), selector, check);
        }
    }
    validate_metadata(&mut errors, kind, review);
    errors
}

fn validate_metadata(errors: &mut Errors, kind: &str, review: &Value) {
    let is_local = kind == "LocalSubjectAccessReview";
    let metadata = review.get("metadata");
    let is_ours = |name: &str| name == "managedFields" || is_local && name == "namespace";
    if metadata.entries().any(|(name, value)| !is_ours(name) && !value.is_empty()) {
        let why = if is_local { "must be empty except for namespace" } else { "must be empty" };
        errors.invalid(&Path::root("metadata"), metadata.clone(), why);
    }
    if !is_local {
        return;
    }
    let (resource, path) = (review.at("spec.resourceAttributes"), review.at("spec.nonResourceAttributes"));
    let namespace = resource.str_at("namespace");
    if !resource.is_null() && namespace != metadata.str_at("namespace") {
        let place = Path::root("spec.resourceAttributes.namespace");
        errors.invalid(&place, namespace, "must match metadata.namespace");
    }
    if !path.is_null() {
        let place = Path::root("spec.nonResourceAttributes");
        errors.invalid(&place, path.clone(), "disallowed on this kind of request");
    }
}

fn validate_selector(
    errors: &mut Errors,
    path: &Path<'_>,
    selector: &Value,
    check: fn(&mut Errors, &Path<'_>, &Value),
) {
    let (raw, requirements) = (selector.str_at("rawSelector"), selector.get("requirements"));
    match (raw.is_empty(), requirements.is_empty()) {
        (false, false) => {
            let why = "may not specified at the same time as requirements";
            errors.invalid(&path.child("rawSelector"), raw, why);
        }
        (true, true) => {
            let why = format!("when {path} is specified, requirements or rawSelector is required");
            errors.required(&path.child("requirements"), why);
        }
        _ => {}
    }
    let place = path.child("requirements");
    for (i, requirement) in requirements.items().enumerate() {
        check(errors, &place.index(i), requirement);
    }
}

/// Operators that this server does not know are allowed: newer clients may, and the requirement is ignored then.
fn check_values(errors: &mut Errors, path: &Path<'_>, requirement: &Value) {
    let has_values = !requirement.get("values").is_empty();
    match requirement.str_at("operator") {
        "In" | "NotIn" if !has_values => {
            errors.required(&path.child("values"), "must be specified when `operator` is 'In' or 'NotIn'");
        }
        "Exists" | "DoesNotExist" if has_values => {
            let why = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
            errors.forbidden(&path.child("values"), why);
        }
        _ => {}
    }
}

fn check_field(errors: &mut Errors, path: &Path<'_>, requirement: &Value) {
    if requirement.str_at("key").is_empty() {
        errors.required(&path.child("key"), "must be specified");
    }
    check_values(errors, path, requirement);
}

fn check_label(errors: &mut Errors, path: &Path<'_>, requirement: &Value) {
    check_values(errors, path, requirement);
    let key = requirement.str_at("key");
    errors.invalid_each(&path.child("key"), key, names::is_qualified_name(key));
    for (i, value) in requirement.get("values").items().enumerate() {
        let value = value.as_str().unwrap_or_default();
        errors.invalid_each(&path.child("values").index(i), value, names::is_valid_label_value(value));
    }
}

#[cfg(test)]
mod tests {
    use object::{Value, value};

    use super::*;

    fn check(kind: &str, spec: Value, expected: &[&str]) {
        let review = value!({"spec": spec, "metadata": {"namespace": "default"}});
        let mut review = review.clone();
        if kind != "LocalSubjectAccessReview" {
            review.remove("metadata");
        }
        let errors: Vec<String> = validate(kind, &review).iter().map(ToString::to_string).collect();
        assert_eq!(errors, expected, "{review:?}");
    }

    #[test]
    fn a_review_asks_one_question_about_somebody() {
        let resource = || value!({"verb": "get", "resource": "pods", "namespace": "default"});
        let both =
            value!({"user": "u", "resourceAttributes": (resource()), "nonResourceAttributes": {"path": "/"}});
        let neither = "spec.resourceAttributes: Invalid value: null: exactly one of nonResourceAttributes or resourceAttributes must be specified";
        let combined = r#"spec.nonResourceAttributes: Invalid value: {"path":"/"}: cannot be specified in combination with resourceAttributes"#;
        let nobody = r#"spec.user: Invalid value: "": at least one of user or group must be specified"#;
        for kind in ["SubjectAccessReview", "SelfSubjectAccessReview"] {
            check(kind, value!({"user": "u"}), &[neither]);
            check(kind, both.clone(), &[combined]);
            check(kind, value!({"groups": ["g"], "resourceAttributes": (resource())}), &[]);
        }
        check("SubjectAccessReview", value!({}), &[neither, nobody]);
        check("SelfSubjectAccessReview", value!({"resourceAttributes": {}}), &[]);
        let local = "LocalSubjectAccessReview";
        check(local, value!({"user": "u", "resourceAttributes": (resource())}), &[]);
        let elsewhere =
            r#"spec.resourceAttributes.namespace: Invalid value: "": must match metadata.namespace"#;
        check(local, value!({"user": "u", "resourceAttributes": {}}), &[elsewhere]);
        let disallowed =
            r#"spec.nonResourceAttributes: Invalid value: {"path":"/"}: disallowed on this kind of request"#;
        check(local, value!({"user": "u", "nonResourceAttributes": {"path": "/"}}), &[disallowed]);
        let named = value!({"metadata": {"name": "a"}, "spec": {"user": "u", "resourceAttributes": {}}});
        let errors = validate("SubjectAccessReview", &named).to_string();
        assert_eq!(errors, r#"metadata: Invalid value: {"name":"a"}: must be empty"#);
    }

    #[test]
    fn selectors_have_one_form() {
        let ask = |selector: &'static str, value: Value, expected: &[&str]| {
            let mut attributes = Value::map();
            attributes.set(selector, value);
            check("SelfSubjectAccessReview", value!({"resourceAttributes": attributes}), expected);
        };
        for (selector, path) in [
            ("fieldSelector", "spec.resourceAttributes.fieldSelector"),
            ("labelSelector", "spec.resourceAttributes.labelSelector"),
        ] {
            let one = || value!([{"key": "a", "operator": "Exists"}]);
            ask(selector, value!({"rawSelector": "a=b"}), &[]);
            ask(selector, value!({"requirements": (one())}), &[]);
            let both = format!(
                r#"{path}.rawSelector: Invalid value: "a=b": may not specified at the same time as requirements"#
            );
            ask(selector, value!({"rawSelector": "a=b", "requirements": (one())}), &[&both]);
            let neither = format!(
                "{path}.requirements: Required value: when {path} is specified, requirements or rawSelector is required"
            );
            ask(selector, value!({}), &[&neither]);
            let missing = format!(
                "{path}.requirements[0].values: Required value: must be specified when `operator` is 'In' or 'NotIn'"
            );
            ask(selector, value!({"requirements": [{"key": "a", "operator": "In"}]}), &[&missing]);
            let useless = format!(
                "{path}.requirements[0].values: Forbidden: may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
            );
            let given = value!([{"key": "a", "operator": "DoesNotExist", "values": ["b"]}]);
            ask(selector, value!({"requirements": given}), &[&useless]);
            // What a newer client may mean.
            ask(selector, value!({"requirements": [{"key": "a", "operator": "Near", "values": ["b"]}]}), &[]);
        }
        let keyless =
            "spec.resourceAttributes.fieldSelector.requirements[0].key: Required value: must be specified";
        ask("fieldSelector", value!({"requirements": [{"operator": "Exists"}]}), &[keyless]);
        let requirement = value!([{"key": "a", "operator": "In", "values": ["b", "-"]}]);
        let errors =
            value!({"spec": {"resourceAttributes": {"labelSelector": {"requirements": requirement}}}});
        let errors = validate("SelfSubjectAccessReview", &errors).to_string();
        let place = "spec.resourceAttributes.labelSelector.requirements[0].values[1]: Invalid value: \"-\": a valid label must be";
        assert!(errors.starts_with(place), "{errors}");
    }
}
