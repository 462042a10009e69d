//! APIServices (`kube-aggregator/pkg/apis/apiregistration/validation`).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use object::field::{Errors, Path};
use object::{Value, names, quote};

use super::field::Field;

const SERVICE: &str = "io.k8s.kube-aggregator.pkg.apis.apiregistration.v1.APIService";
const GROUP_PRIORITY_MAX: i64 = 20_000;
const VERSION_PRIORITY_MAX: i64 = 1000;

/// Checks an APIService, except its metadata other than the name.
pub fn validate_api_service(service: &Value) -> Errors {
    let mut errors = Errors::new();
    let root = Field::root(service, SERVICE);
    let spec = root.child("spec");
    let (group, version) = (spec.child("group"), spec.child("version"));
    validate_name(&mut errors, service, &format!("{}.{}", version.text(), group.text()));
    if group.is_empty() && version.text() != "v1" {
        group.required(&mut errors, "only v1 may have an empty group and it better be legacy kube");
    }
    group.check_set(&mut errors, names::is_dns1123_subdomain);
    version.check(&mut errors, names::is_dns1035_label);
    for (name, max) in
        [("groupPriorityMinimum", GROUP_PRIORITY_MAX), ("versionPriority", VERSION_PRIORITY_MAX)]
    {
        let priority = spec.child(name);
        if !(1..=max).contains(&priority.number()) {
            let why = format!("must be positive and less than {max}");
            errors.invalid(&priority.path, priority.number(), why);
        }
    }
    validate_backend(&mut errors, &spec);
    errors
}

/// The name follows from group and version. Whether it can be a name at all is checked elsewhere.
fn validate_name(errors: &mut Errors, service: &Value, needed: &str) {
    let metadata = Path::root("metadata");
    for (member, check) in [
        ("generateName", names::is_path_segment_prefix as fn(&str) -> Vec<String>),
        ("name", names::is_path_segment_name),
    ] {
        let name = service.get("metadata").str_at(member);
        if !name.is_empty() && name != needed && check(name).is_empty() {
            let why = format!("must be `spec.version+\".\"+spec.group`: {}", quote(needed));
            errors.invalid(&metadata.child(member), name, why);
        }
    }
}

/// Checks who serves the group, and how that is authenticated.
fn validate_backend(errors: &mut Errors, spec: &Field<'_, '_>) {
    let (service, bundle) = (spec.child("service"), spec.child("caBundle"));
    let insecure = spec.child("insecureSkipTLSVerify");
    if !service.is_set() {
        if !bundle.is_empty() {
            // The decoder has already refused invalid base64.
            let bytes = STANDARD.decode(bundle.text()).unwrap_or_default().len();
            let why = "local APIServices may not have a caBundle";
            errors.invalid(&bundle.path, format!("{bytes} bytes"), why);
        }
        if insecure.is_true() {
            insecure.invalid(errors, "local APIServices may not have insecureSkipTLSVerify");
        }
        return;
    }
    for name in ["namespace", "name"] {
        service.child(name).check_present(errors);
    }
    let port = service.child("port");
    let wrong = names::is_valid_port_num(port.number());
    if !wrong.is_empty() {
        let why = format!("port is not valid: {}", wrong.join(", "));
        errors.invalid(&port.path, port.number(), why);
    }
    if insecure.is_true() && !bundle.is_empty() {
        insecure.invalid(errors, "may not be true if caBundle is present");
    }
}

/// Checks a change of an APIService's status, except its metadata.
pub fn validate_api_service_status_update(service: &Value, _old: &Value) -> Errors {
    let mut errors = Errors::new();
    let root = Field::root(service, SERVICE);
    for condition in root.child("status").child("conditions").items() {
        let status = condition.child("status");
        if !["True", "False", "Unknown"].contains(&status.text()) {
            status.not_supported(&mut errors, &["True", "False", "Unknown"]);
        }
    }
    errors
}
