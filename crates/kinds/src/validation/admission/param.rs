//! The parameters of policies.

use object::field::Errors;
use object::names;

use crate::validation::field::Field;

const EXCLUSIVE: &str = "name and selector are mutually exclusive";

/// Checks the kind of a policy's parameters, if it has any.
pub(in crate::validation) fn validate_param_kind(errors: &mut Errors, kind: &Field<'_, '_>) {
    if !kind.is_set() {
        return;
    }
    let (version, kind) = (kind.child("apiVersion"), kind.child("kind"));
    match version.is_empty() {
        true => version.required(errors, ""),
        false => validate_api_version(errors, &version),
    }
    // A kind is a label with capitals.
    let wrong = names::is_dns1035_label(&kind.text().to_lowercase());
    if kind.is_empty() {
        kind.required(errors, "");
    } else if !wrong.is_empty() {
        let why = wrong.join(",");
        kind.invalid(errors, format!("may have mixed case, but should otherwise match: {why}"));
    }
}

fn validate_api_version(errors: &mut Errors, api_version: &Field<'_, '_>) {
    let text = api_version.text();
    let (group, version) = text.split_once('/').unwrap_or(("", text));
    if version.contains('/') {
        return api_version.invalid(errors, format!("unexpected GroupVersion string: {text}"));
    }
    let joined = |wrong: Vec<String>| Some(wrong.join(",")).filter(|why| !why.is_empty());
    if let Some(why) = joined(names::is_dns1123_subdomain(group)).filter(|_| !group.is_empty()) {
        errors.invalid(&api_version.path, group, why);
    }
    if version.is_empty() {
        api_version.invalid(errors, "version must be specified");
    } else if let Some(why) = joined(names::is_dns1035_label(version)) {
        errors.invalid(&api_version.path, version, why);
    }
}

/// Checks which parameters a binding uses, if it does.
pub(in crate::validation) fn validate_param_ref(errors: &mut Errors, reference: &Field<'_, '_>) {
    if !reference.is_set() {
        return;
    }
    let (name, selector) = (reference.child("name"), reference.child("selector"));
    name.check_set(errors, names::is_path_segment_name);
    match (!name.is_empty(), selector.is_set()) {
        (true, true) => {
            name.forbidden(errors, EXCLUSIVE);
            errors.append(selector.selector().validate(&selector.path, false));
            selector.forbidden(errors, EXCLUSIVE);
        }
        (false, true) => errors.append(selector.selector().validate(&selector.path, false)),
        (true, false) => {}
        (false, false) => reference.required(errors, "one of name or selector must be specified"),
    }
    reference.child("parameterNotFoundAction").check_one_of(errors, &["Deny", "Allow"]);
}
