//! Networks and addresses of Services (`pkg/apis/networking/validation/validation.go`).

use object::field::Errors;
use object::{Value, names};

use super::field::Field;

const ADDRESS: &str = "io.k8s.api.networking.v1.IPAddress";
const CIDR: &str = "io.k8s.api.networking.v1.ServiceCIDR";
const IMMUTABLE: &str = "field is immutable";

/// Checks a new IPAddress, except its metadata.
pub fn validate_ip_address(address: &Value) -> Errors {
    let mut errors = Errors::new();
    let root = Field::root(address, ADDRESS);
    let spec = root.child("spec");
    let parent = spec.child("parentRef");
    if !parent.is_set() {
        parent.required(&mut errors, "");
        return errors;
    }
    // The core group is the empty text.
    let group = parent.child("group");
    if !group.is_empty() {
        group.check(&mut errors, names::is_dns1123_subdomain);
    }
    for name in ["resource", "name"] {
        let field = parent.child(name);
        match field.is_empty() {
            true => field.required(&mut errors, ""),
            false => field.check(&mut errors, names::is_path_segment_name),
        }
    }
    let namespace = parent.child("namespace");
    if !namespace.is_empty() {
        namespace.check(&mut errors, names::is_path_segment_name);
    }
    errors
}

/// Checks a change of an IPAddress, except its metadata.
pub fn validate_ip_address_update(address: &Value, old: &Value) -> Errors {
    let mut errors = Errors::new();
    let root = Field::root(address, ADDRESS);
    let spec = root.child("spec");
    spec.child("parentRef").check_constant(&mut errors, old.at("spec.parentRef"));
    errors
}

/// Checks a new ServiceCIDR, except its metadata.
pub fn validate_service_cidr(cidr: &Value) -> Errors {
    let mut errors = Errors::new();
    let root = Field::root(cidr, CIDR);
    let spec = root.child("spec");
    let cidrs = spec.child("cidrs");
    let texts: Vec<&str> = cidrs.value.items().filter_map(Value::as_str).collect();
    // Upstream shows the whole of its internal type.
    let shown = || object::value!({"CIDRs": (cidrs.value.clone())});
    match texts.as_slice() {
        [] => cidrs.required(&mut errors, "at least one CIDR required"),
        [_] => {}
        [a, b] if a.contains(':') != b.contains(':') => {}
        [_, _] => errors.invalid(
            &cidrs.path,
            shown(),
            "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64",
        ),
        _ => errors.invalid(&cidrs.path, shown(), "may only hold up to 2 values"),
    }
    if errors.is_empty() {
        for item in cidrs.items() {
            errors.append(names::is_valid_cidr(&item.path, item.text()));
        }
    }
    errors
}

/// Checks a change of a ServiceCIDR, except its metadata: a second family may be added, nothing else may change.
pub fn validate_service_cidr_update(cidr: &Value, old: &Value) -> Errors {
    let mut errors = Errors::new();
    let root = Field::root(cidr, CIDR);
    let spec = root.child("spec");
    let cidrs = spec.child("cidrs");
    let before: Vec<&Value> = old.at("spec.cidrs").items().collect();
    let may_change = match (before.len(), cidrs.len()) {
        (old, new) if old == new => true,
        (1, 2) => true,
        _ => false,
    };
    if !may_change {
        cidrs.invalid(&mut errors, IMMUTABLE);
        return errors;
    }
    for (item, _) in cidrs.items().zip(&before).filter(|(item, before)| item.value != **before) {
        item.invalid(&mut errors, IMMUTABLE);
    }
    if cidrs.len() > before.len() {
        errors.append(validate_service_cidr(cidr));
    }
    errors
}

#[cfg(test)]
mod tests {
    use object::value;

    use super::*;
    use crate::validation::tests::lines;

    const NONE: [&str; 0] = [];

    #[test]
    fn networks_of_services() {
        let wrong = |cidrs: Value| lines(validate_service_cidr(&value!({"spec": {"cidrs": cidrs}})));
        assert_eq!(wrong(value!(["10.0.0.0/16"])), NONE);
        assert_eq!(wrong(value!(["fd00::/112", "10.0.0.0/16"])), NONE);
        assert_eq!(wrong(value!([])), ["spec.cidrs: Required value: at least one CIDR required"]);
        assert_eq!(
            wrong(value!(["10.0.0.0/16", "10.1.0.0/16"])),
            [
                r#"spec.cidrs: Invalid value: {"CIDRs":["10.0.0.0/16","10.1.0.0/16"]}: may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64"#
            ]
        );
        assert_eq!(
            wrong(value!(["a", "b", "c"])),
            [r#"spec.cidrs: Invalid value: {"CIDRs":["a","b","c"]}: may only hold up to 2 values"#]
        );
        assert_eq!(
            wrong(value!(["10.0.0.1/16"])),
            [
                r#"spec.cidrs[0]: Invalid value: "10.0.0.1/16": must not have bits set beyond the prefix length"#
            ]
        );
    }

    #[test]
    fn a_second_family_may_come() {
        let cidr = |cidrs: Value| value!({"spec": {"cidrs": cidrs}});
        let wrong = |new: Value, old: Value| lines(validate_service_cidr_update(&cidr(new), &cidr(old)));
        let one = || value!(["10.0.0.0/16"]);
        let both = || value!(["10.0.0.0/16", "fd00::/112"]);
        assert_eq!(wrong(one(), one()), NONE);
        assert_eq!(wrong(both(), one()), NONE);
        assert_eq!(
            wrong(value!(["10.1.0.0/16"]), one()),
            [r#"spec.cidrs[0]: Invalid value: "10.1.0.0/16": field is immutable"#]
        );
        assert_eq!(
            wrong(value!(["10.1.0.0/16", "fd00::/112"]), one()),
            [r#"spec.cidrs[0]: Invalid value: "10.1.0.0/16": field is immutable"#]
        );
        assert_eq!(
            wrong(one(), both()),
            [r#"spec.cidrs: Invalid value: ["10.0.0.0/16"]: field is immutable"#]
        );
        assert_eq!(
            wrong(value!(["10.0.0.0/16", "fd00::1/112"]), one()),
            [
                r#"spec.cidrs[1]: Invalid value: "fd00::1/112": must not have bits set beyond the prefix length"#
            ]
        );
    }

    #[test]
    fn addresses_have_an_owner() {
        let wrong = |parent: Value| lines(validate_ip_address(&value!({"spec": {"parentRef": parent}})));
        assert_eq!(wrong(value!({"resource": "services", "namespace": "default", "name": "web"})), NONE);
        assert_eq!(wrong(Value::Null), ["spec.parentRef: Required value"]);
        assert_eq!(
            wrong(value!({"group": "A", "resource": "a/b", "namespace": ".."})),
            [
                "spec.parentRef.group: Invalid value: \"A\": a lowercase RFC 1123 subdomain must consist of lower case \
                 alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. \
                 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')",
                "spec.parentRef.resource: Invalid value: \"a/b\": may not contain '/'",
                "spec.parentRef.name: Required value",
                "spec.parentRef.namespace: Invalid value: \"..\": may not be '..'",
            ]
        );
        let address = |name: &str| value!({"spec": {"parentRef": {"resource": "services", "name": name}}});
        assert_eq!(lines(validate_ip_address_update(&address("a"), &address("a"))), NONE);
        assert_eq!(
            lines(validate_ip_address_update(&address("b"), &address("a"))),
            ["spec.parentRef: Invalid value: null: field is immutable"]
        );
    }
}
