//! Ingresses and IngressClasses (`pkg/apis/networking/validation/validation.go`).

use std::collections::HashSet;

use object::field::{Error, Errors};
use object::{Value, names};

use super::field::Field;

const INGRESS: &str = "io.k8s.api.networking.v1.Ingress";
const CLASS: &str = "io.k8s.api.networking.v1.IngressClass";
/// The annotation that named the class before there was a field for it.
const CLASS_ANNOTATION: &str = "kubernetes.io/ingress.class";
const PATH_TYPES: [&str; 3] = ["Exact", "ImplementationSpecific", "Prefix"];
const SCOPES: [&str; 2] = ["Cluster", "Namespace"];
const CONTROLLER_BYTES_MAX: usize = 250;

/// Checks a new Ingress, except its metadata.
pub fn validate_ingress(ingress: &Value) -> Errors {
    let mut errors = validate_ingress_update(ingress, &Value::Null);
    let class = ingress.at("spec.ingressClassName").as_str();
    let annotation = ingress.get("metadata").get("annotations").get(CLASS_ANNOTATION).as_str();
    if let (Some(class), Some(annotation)) = (class, annotation)
        && class != annotation
    {
        let root = object::field::Path::root("annotations");
        let path = root.child(CLASS_ANNOTATION);
        errors.invalid(&path, annotation, "must match `ingressClassName` when both are specified");
    }
    errors
}

/// Checks a change of an Ingress, except its metadata. Names of secrets that were already invalid may stay.
pub fn validate_ingress_update(ingress: &Value, old: &Value) -> Errors {
    let mut errors = Errors::new();
    let root = Field::root(ingress, INGRESS);
    let spec = root.child("spec");
    let (backend, rules) = (spec.child("defaultBackend"), spec.child("rules"));
    if !backend.is_set() && rules.is_empty() {
        errors.invalid(
            &spec.path,
            rules.value.clone(),
            "either `defaultBackend` or `rules` must be specified",
        );
    }
    if backend.is_set() {
        validate_backend(&mut errors, &backend);
    }
    // Rules below a host with a wildcard were not always checked.
    let before = Field::root(old, INGRESS);
    let before = before.child("spec");
    let wildcards_wrong_before = before.child("rules").items().any(|rule| {
        let mut wrong = Errors::new();
        validate_paths(&mut wrong, &rule);
        is_wildcard(&rule) && !wrong.is_empty()
    });
    for rule in rules.items() {
        let host = rule.child("host");
        refuse_address(&mut errors, &host);
        host.check_set(&mut errors, host_name);
        if !(wildcards_wrong_before && is_wildcard(&rule)) {
            validate_paths(&mut errors, &rule);
        }
    }
    let wrong_before = old.at("spec.tls").items().any(|tls| {
        let name = tls.str_at("secretName");
        !name.is_empty() && !names::is_dns1123_subdomain(name).is_empty()
    });
    for tls in spec.child("tls").items() {
        for host in tls.child("hosts").items() {
            host.check(&mut errors, host_name);
        }
        if !wrong_before {
            tls.child("secretName").check_set(&mut errors, names::is_dns1123_subdomain);
        }
    }
    let class = spec.child("ingressClassName");
    if class.is_set() {
        class.check(&mut errors, names::is_dns1123_subdomain);
    }
    errors
}

/// Checks a change of an Ingress' status.
pub fn validate_ingress_status_update(ingress: &Value, old: &Value) -> Errors {
    let mut errors = Errors::new();
    let before: HashSet<&str> =
        old.at("status.loadBalancer.ingress").items().filter_map(|point| point.get("ip").as_str()).collect();
    let root = Field::root(ingress, INGRESS);
    let status = root.child("status");
    let balancer = status.child("loadBalancer");
    for point in balancer.child("ingress").items() {
        let (ip, name) = (point.child("ip"), point.child("hostname"));
        if !ip.is_empty() {
            errors.append(names::is_valid_ip_for_legacy_field(&ip.path, ip.text(), &before));
        }
        name.check_set(&mut errors, names::is_dns1123_subdomain);
        refuse_address(&mut errors, &name);
    }
    errors
}

fn host_name(host: &str) -> Vec<String> {
    match host.contains('*') {
        true => names::is_wildcard_dns1123_subdomain(host),
        false => names::is_dns1123_subdomain(host),
    }
}

fn refuse_address(errors: &mut Errors, name: &Field<'_, '_>) {
    if names::parse_ip_sloppy(name.text()).is_some() {
        name.invalid(errors, "must be a DNS name, not an IP address");
    }
}

fn is_wildcard(rule: &Field<'_, '_>) -> bool {
    rule.child("host").text().contains('*')
}

fn validate_paths(errors: &mut Errors, rule: &Field<'_, '_>) {
    let http = rule.child("http");
    if http.is_set() {
        let paths = http.child("paths");
        paths.check_present(errors);
        paths.items().for_each(|path| validate_path(errors, &path));
    }
}

fn validate_path(errors: &mut Errors, rule: &Field<'_, '_>) {
    let (kind, path) = (rule.child("pathType"), rule.child("path"));
    if !kind.is_set() {
        return kind.required(errors, "pathType must be specified");
    }
    let text = path.text();
    match kind.text() {
        "Exact" | "Prefix" => {
            if !text.starts_with('/') {
                path.invalid(errors, "must be an absolute path");
            }
            for part in ["//", "/./", "/../", "%2f", "%2F"].into_iter().filter(|part| text.contains(part)) {
                path.invalid(errors, format!("must not contain '{part}'"));
            }
            for end in ["/..", "/."].into_iter().filter(|end| text.ends_with(end)) {
                path.invalid(errors, format!("cannot end with '{end}'"));
            }
        }
        "ImplementationSpecific" if !text.is_empty() && !text.starts_with('/') => {
            path.invalid(errors, "must be an absolute path");
        }
        "ImplementationSpecific" => {}
        _ => kind.not_supported(errors, &PATH_TYPES),
    }
    validate_backend(errors, &rule.child("backend"));
}

fn validate_backend(errors: &mut Errors, backend: &Field<'_, '_>) {
    let (resource, service) = (backend.child("resource"), backend.child("service"));
    match (resource.is_set(), service.is_set()) {
        (true, true) => {
            errors.invalid(&backend.path, "", "cannot set both resource and service backends");
        }
        (true, false) => validate_reference(errors, &resource),
        (false, false) => errors.invalid(&backend.path, "", "resource or service backend is required"),
        (false, true) => {
            service.child("name").check_required(errors, names::is_dns1123_label);
            let port = service.child("port");
            let (name, number) = (port.child("name"), port.child("number"));
            match (name.is_empty(), number.is_empty()) {
                (false, false) => {
                    errors.invalid(&backend.path, "", "cannot set both port name & port number");
                }
                (false, true) => name.check(errors, names::is_valid_port_name),
                (true, false) => number.check_number(errors, names::is_valid_port_num),
                (true, true) => backend.required(errors, "port name or number is required"),
            }
        }
    }
}

fn validate_reference(errors: &mut Errors, reference: &Field<'_, '_>) {
    let group = reference.child("apiGroup");
    if group.is_set() {
        group.check(errors, names::is_dns1123_subdomain);
    }
    for (name, missing) in [("kind", "kind is required"), ("name", "name is required")] {
        let field = reference.child(name);
        match field.is_empty() {
            true => field.required(errors, missing),
            false => field.check(errors, names::is_path_segment_name),
        }
    }
}

/// Checks a new IngressClass, except its metadata.
pub fn validate_ingress_class(class: &Value) -> Errors {
    let mut errors = Errors::new();
    let root = Field::root(class, CLASS);
    let spec = root.child("spec");
    validate_controller(&mut errors, &spec.child("controller"));
    let parameters = spec.child("parameters");
    if !parameters.is_set() {
        return errors;
    }
    validate_reference(&mut errors, &parameters);
    let (scope, namespace) = (parameters.child("scope"), parameters.child("namespace"));
    if !scope.is_set() {
        scope.required(&mut errors, "");
        return errors;
    }
    match scope.text() {
        "Namespace" if !namespace.is_set() => {
            namespace.required(&mut errors, "`parameters.scope` is set to 'Namespace'");
        }
        "Namespace" => namespace.check(&mut errors, names::is_dns1123_label),
        "Cluster" if namespace.is_set() => {
            namespace.forbidden(&mut errors, "`parameters.scope` is set to 'Cluster'");
        }
        "Cluster" => {}
        _ => scope.not_supported(&mut errors, &SCOPES),
    }
    errors
}

/// Checks a change of an IngressClass, except its metadata.
pub fn validate_ingress_class_update(class: &Value, old: &Value) -> Errors {
    let mut errors = Errors::new();
    let root = Field::root(class, CLASS);
    let spec = root.child("spec");
    spec.child("controller").check_immutable(&mut errors, old.at("spec.controller"));
    errors.append(validate_ingress_class(class));
    errors
}

/// The name of a controller: a domain, and a path below it.
fn validate_controller(errors: &mut Errors, controller: &Field<'_, '_>) {
    let text = controller.text();
    if text.is_empty() {
        return controller.required(errors, "");
    }
    if text.len() > CONTROLLER_BYTES_MAX {
        errors.push(Error::too_long(&controller.path, CONTROLLER_BYTES_MAX));
    }
    controller.check_domain_path(errors);
}

#[cfg(test)]
mod tests {
    use object::value;

    use super::*;
    use crate::validation::tests::lines;

    fn path(path: Value) -> Vec<String> {
        let spec = value!({"rules": [{"host": "*.example.com", "http": {"paths": [(path)]}}]});
        lines(validate_ingress(&value!({"spec": (spec)})))
    }

    fn backend(backend: Value) -> Vec<String> {
        lines(validate_ingress(&value!({"spec": {"defaultBackend": (backend)}})))
    }

    #[test]
    fn paths_and_backends() {
        let service = || value!({"service": {"name": "web", "port": {"number": 80}}});
        assert!(path(value!({"path": "/a", "pathType": "Prefix", "backend": (service())})).is_empty());
        assert!(
            backend(value!({"resource": {"apiGroup": "g.io", "kind": "Bucket", "name": "b"}})).is_empty()
        );
        let at = "spec.rules[0].http.paths[0]";
        let cases = [
            (
                value!({"path": "/a", "backend": (service())}),
                ".pathType: Required value: pathType must be specified",
            ),
            (
                value!({"path": "a", "pathType": "Exact", "backend": (service())}),
                ".path: Invalid value: \"a\": must be an absolute path",
            ),
            (
                value!({"path": "/a/..", "pathType": "Prefix", "backend": (service())}),
                ".path: Invalid value: \"/a/..\": cannot end with '/..'",
            ),
            (
                value!({"path": "/", "pathType": "Other", "backend": (service())}),
                ".pathType: Unsupported value: \"Other\": supported values: \"Exact\", \"ImplementationSpecific\", \"Prefix\"",
            ),
            (
                value!({"path": "/", "pathType": "Prefix", "backend": {}}),
                ".backend: Invalid value: \"\": resource or service backend is required",
            ),
        ];
        for (object, expected) in cases {
            assert_eq!(path(object), [format!("{at}{expected}")]);
        }
        assert_eq!(
            backend(value!({"service": {"name": "web"}})),
            ["spec.defaultBackend: Required value: port name or number is required"]
        );
        assert_eq!(
            backend(value!({"service": {"name": "web", "port": {"number": 80, "name": "http"}}})),
            ["spec.defaultBackend: Invalid value: \"\": cannot set both port name & port number"]
        );
    }

    #[test]
    fn references_and_what_was_wrong_before() {
        assert_eq!(
            backend(value!({"resource": {"apiGroup": "g.io"}})),
            [
                "spec.defaultBackend.resource.kind: Required value: kind is required",
                "spec.defaultBackend.resource.name: Required value: name is required"
            ]
        );
        assert_eq!(
            backend(value!({"service": {"name": "a.b", "port": {"number": 70000}}})),
            [
                "spec.defaultBackend.service.name: Invalid value: \"a.b\": must not contain dots",
                "spec.defaultBackend.service.port.number: Invalid value: 70000: must be between 1 and 65535, inclusive"
            ]
        );
        let ingress = |host: &str, paths: Value| value!({"spec": {"rules": [{"host": host, "http": {"paths": paths}}], "tls": [{"secretName": "A"}]}});
        let wrong = ingress("*.example", value!([]));
        assert_eq!(lines(validate_ingress(&wrong)).len(), 2);
        assert!(lines(validate_ingress_update(&wrong, &wrong)).is_empty());
        // Only below wildcards.
        let plain = ingress("a.example", value!([]));
        assert_eq!(
            lines(validate_ingress_update(&plain, &plain)),
            ["spec.rules[0].http.paths: Required value"]
        );
    }

    #[test]
    fn hosts_classes_and_status() {
        assert_eq!(lines(validate_ingress(&value!({"spec": {}}))).len(), 1);
        let of_host = |host: &str| {
            let backend = value!({"service": {"name": "web", "port": {"number": 80}}});
            let rules = value!([{"host": (host)}]);
            lines(validate_ingress(&value!({"spec": {"rules": (rules), "defaultBackend": (backend)}})))
        };
        assert!(of_host("a.example").is_empty());
        assert!(
            of_host("10.0.0.1").iter().any(|line| line.ends_with("must be a DNS name, not an IP address"))
        );
        assert_eq!(of_host("a.*.example").len(), 1);
        let status =
            value!({"status": {"loadBalancer": {"ingress": [{"ip": "1.2.3"}, {"hostname": "lb.example"}]}}});
        assert_eq!(lines(validate_ingress_status_update(&status, &Value::Null)).len(), 1);
        let class = |spec: Value| lines(validate_ingress_class(&value!({"spec": (spec)})));
        assert!(class(value!({"controller": "example.com/a"})).is_empty());
        assert_eq!(class(value!({})), ["spec.controller: Required value"]);
        assert_eq!(class(value!({"controller": "example.com"})).len(), 1);
        let parameters = value!({"kind": "K", "name": "n", "scope": "Namespace"});
        assert_eq!(
            class(value!({"controller": "e.com/a", "parameters": (parameters)})),
            ["spec.parameters.namespace: Required value: `parameters.scope` is set to 'Namespace'"]
        );
        let (one, two) =
            (value!({"spec": {"controller": "e.com/a"}}), value!({"spec": {"controller": "e.com/b"}}));
        assert_eq!(lines(validate_ingress_class_update(&one, &two)).len(), 1);
    }
}
