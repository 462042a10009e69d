//! Networks and addresses of Services (`pkg/apis/networking/validation/validation.go`).

use object::field::Errors;
use object::{Value, names};

use super::field::Field;

const ADDRESS: &str = "io.k8s.api.networking.v1.IPAddress";
const CIDR: &str = "io.k8s.api.networking.v1.ServiceCIDR";
const IMMUTABLE: &str = "field is immutable";

/// Checks a new IPAddress, its metadata aside.
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

/// Checks a change of an IPAddress, its metadata aside.
pub fn validate_ip_address_update(address: &Value, old: &Value) -> Errors {
    let mut errors = Errors::new();
    let root = Field::root(address, ADDRESS);
    let spec = root.child("spec");
    let parent = spec.child("parentRef");
    if parent.value != old.at("spec.parentRef") {
        parent.invalid(&mut errors, IMMUTABLE);
    }
    errors
}

/// Checks a new ServiceCIDR, its metadata aside.
pub fn validate_service_cidr(cidr: &Value) -> Errors {
    let mut errors = Errors::new();
    let root = Field::root(cidr, CIDR);
    let spec = root.child("spec");
    let cidrs = spec.child("cidrs");
    let texts: Vec<&str> = cidrs.value.items().filter_map(Value::as_str).collect();
    match texts.as_slice() {
        [] => cidrs.required(&mut errors, "at least one CIDR required"),
        [_] => {}
        [a, b] if a.contains(':') != b.contains(':') => {}
        [_, _] => cidrs.invalid(
            &mut errors,
            "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64",
        ),
        _ => cidrs.invalid(&mut errors, "may only hold up to 2 values"),
    }
    if errors.is_empty() {
        for item in cidrs.items() {
            errors.append(names::is_valid_cidr(&item.path, item.text()));
        }
    }
    errors
}

/// Checks a change of a ServiceCIDR, its metadata aside: a second family may come, all else stays.
pub fn validate_service_cidr_update(cidr: &Value, old: &Value) -> Errors {
    let mut errors = Errors::new();
    let root = Field::root(cidr, CIDR);
    let spec = root.child("spec");
    let cidrs = spec.child("cidrs");
    let now: Vec<&Value> = cidrs.value.items().collect();
    let before: Vec<&Value> = old.at("spec.cidrs").items().collect();
    if now == before {
        return errors;
    }
    if (before.len(), now.len()) != (1, 2) {
        cidrs.invalid(&mut errors, IMMUTABLE);
        return errors;
    }
    errors.append(validate_service_cidr(cidr));
    if now[0] != before[0] {
        errors.invalid(&cidrs.path.index(0), now[0].clone(), "primary CIDR can not be changed");
    }
    errors
}
