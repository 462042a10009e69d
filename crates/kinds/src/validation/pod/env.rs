//! Environment variables of containers.

use object::field::Errors;
use object::names;

use super::paths::local_path;
use crate::validation::field::Field;

const CONTAINER_RESOURCES: [&str; 6] = [
    "limits.cpu",
    "limits.ephemeral-storage",
    "limits.memory",
    "requests.cpu",
    "requests.ephemeral-storage",
    "requests.memory",
];

/// The pod fields that a variable may refer to, sorted.
const ENV_FIELDS: [&str; 9] = [
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
];

pub(super) fn validate_env(errors: &mut Errors, env: &Field<'_, '_>) {
    for variable in env.items() {
        variable.child("name").check_required(errors, names::is_env_var_name);
        let source = variable.child("valueFrom");
        if source.is_set() {
            validate_source(errors, &source, !variable.child("value").text().is_empty());
        }
    }
}

fn validate_source(errors: &mut Errors, source: &Field<'_, '_>, has_value: bool) {
    let mut sources = 0;
    let mut count = |field: &Field<'_, '_>| {
        sources += usize::from(field.is_set());
        field.is_set()
    };
    let field = source.child("fieldRef");
    if count(&field) {
        validate_field_ref(errors, &field, &ENV_FIELDS);
    }
    let resource = source.child("resourceFieldRef");
    if count(&resource) {
        validate_resource_ref(errors, &resource, false);
    }
    for name in ["configMapKeyRef", "secretKeyRef"] {
        let selector = source.child(name);
        if count(&selector) {
            selector.child("name").check(errors, names::is_dns1123_subdomain);
            selector.child("key").check_required(errors, names::is_config_map_key);
        }
    }
    let file = source.child("fileKeyRef");
    if count(&file) {
        file.child("key").check_required(errors, names::is_env_var_name);
        file.child("volumeName").check_required(errors, names::is_dns1123_label);
        let path = file.child("path");
        path.check_present(errors);
        local_path(errors, &path);
    }
    let why = match sources {
        0 => {
            "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`"
        }
        _ if has_value => "may not be specified when `value` is not empty",
        1 => return,
        _ => "may not have more than one field specified at a time",
    };
    errors.invalid(&source.path, "", why);
}

/// `path['key']` taken apart.
fn subscripted(path: &str) -> Option<(&str, &str)> {
    path.strip_suffix("']")?.split_once("['").filter(|(path, _)| !path.is_empty())
}

/// Checks a reference to a field of the pod itself; `known` are those without a subscript, sorted.
pub(super) fn validate_field_ref(errors: &mut Errors, field: &Field<'_, '_>, known: &[&str]) {
    let (version, path) = (field.child("apiVersion"), field.child("fieldPath"));
    if version.is_empty() {
        return version.required(errors, "");
    }
    if path.is_empty() {
        return path.required(errors, "");
    }
    let text = path.text();
    let unsupported = match subscripted(text) {
        _ if version.text() != "v1" => format!("unsupported pod version: {}", version.text()),
        Some(("metadata.annotations", key)) => {
            return errors.invalid_each(
                &field.path,
                key.to_lowercase(),
                names::is_qualified_name(&key.to_lowercase()),
            );
        }
        Some(("metadata.labels", key)) => {
            return errors.invalid_each(&field.path, key, names::is_qualified_name(key));
        }
        Some(_) => format!("field label does not support subscript: {text}"),
        None if text == "spec.host" || known.contains(&text) => return,
        None if is_downward(text) => return path.not_supported(errors, known),
        None => format!("field label not supported: {text}"),
    };
    path.invalid(errors, format!("error converting fieldPath: {unsupported}"));
}

/// Whether some place, if not this one, may refer to the field.
fn is_downward(path: &str) -> bool {
    let more = [
        "metadata.annotations",
        "metadata.labels",
        "spec.restartPolicy",
        "spec.schedulerName",
        "status.phase",
    ];
    ENV_FIELDS.contains(&path) || more.contains(&path)
}

/// Checks a reference to a resource of a container, which files must name and variables need not.
pub(super) fn validate_resource_ref(errors: &mut Errors, reference: &Field<'_, '_>, names_container: bool) {
    let (container, resource) = (reference.child("containerName"), reference.child("resource"));
    let name = resource.text();
    let is_huge_page = name.starts_with("requests.hugepages-") || name.starts_with("limits.hugepages-");
    if names_container && container.is_empty() {
        container.required(errors, "");
    } else if resource.is_empty() {
        resource.required(errors, "");
    } else if !CONTAINER_RESOURCES.contains(&name) && !is_huge_page {
        resource.not_supported(errors, &CONTAINER_RESOURCES);
    }
    validate_divisor(errors, reference, name, is_huge_page);
}

fn validate_divisor(errors: &mut Errors, reference: &Field<'_, '_>, name: &str, is_huge_page: bool) {
    const BYTES: [&str; 13] =
        ["1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei"];
    let divisor = reference.child("divisor");
    let amount = divisor.quantity();
    if amount.is_zero() {
        return;
    }
    let amount = amount.to_string();
    let (known, resource): (&[&str], &str) = match name {
        "limits.cpu" | "requests.cpu" => (&["1m", "1"], "cpu"),
        "limits.memory" | "requests.memory" => (&BYTES, "memory"),
        "limits.ephemeral-storage" | "requests.ephemeral-storage" => (&BYTES, "local ephemeral storage"),
        _ if is_huge_page => (&BYTES, "hugepages"),
        _ => return,
    };
    if !known.contains(&amount.as_str()) {
        let values = if resource == "cpu" { "1m and 1".into() } else { known.join(", ") };
        let why = format!("only divisor's values {values} are supported with the {resource} resource");
        errors.invalid(&divisor.path, name, why);
    }
}

pub(super) fn validate_env_from(errors: &mut Errors, sources: &Field<'_, '_>) {
    for source in sources.items() {
        source.child("prefix").check_set(errors, names::is_env_var_name);
        let (config_map, secret) = (source.child("configMapRef"), source.child("secretRef"));
        for reference in [&config_map, &secret].into_iter().filter(|reference| reference.is_set()) {
            reference
                .child("name")
                .check_required(errors, |name| crate::NameRule::Subdomain.check(name, true));
        }
        let why = match (config_map.is_set(), secret.is_set()) {
            (false, false) => "must specify one of: `configMapRef` or `secretRef`",
            (true, true) => "may not have more than one field specified at a time",
            _ => continue,
        };
        errors.invalid(&sources.path, "", why);
    }
}
