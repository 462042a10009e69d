//! The address families of a Service (upstream: `initIPFamilyFields`).
//!
//! `ipFamilyPolicy` says how many families a Service has, `ipFamilies` which ones, starting with the primary one;
//! `clusterIPs` has one address of each in the same order. Fields that a client leaves unset are filled in from the
//! others and from the families of the cluster.

use kinds::validation::validate_cluster_ips;
use object::field::{Errors, Path};
use object::{Value, value};

/// An address family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    V4,
    V6,
}

impl Family {
    /// The name in the API.
    pub(super) fn name(self) -> &'static str {
        match self {
            Family::V4 => "IPv4",
            Family::V6 => "IPv6",
        }
    }

    /// The family of an address or network in text form.
    pub(super) fn of(text: &str) -> Family {
        if text.contains(':') { Family::V6 } else { Family::V4 }
    }

    fn other(name: &str) -> Family {
        if name == Family::V4.name() { Family::V6 } else { Family::V4 }
    }
}

const POLICY: &str = "ipFamilyPolicy";
const SINGLE: &str = "SingleStack";
const PREFER: &str = "PreferDualStack";
const REQUIRE: &str = "RequireDualStack";

/// Whether the change leaves a Service that prefers two families unchanged: it neither gains nor loses one
/// automatically when the cluster's families have changed.
pub(super) fn keeps_preferred(service: &Value, old: Option<&Value>) -> bool {
    let Some(old) = old else { return false };
    let same = |path: &str| service.at(path) == old.at(path);
    let prefers = |service: &Value| service.str_at("spec.ipFamilyPolicy") == PREFER;
    let has_addresses = matches!(service.str_at("spec.type"), "ClusterIP" | "NodePort" | "LoadBalancer");
    let before = old.str_at("spec.ipFamilyPolicy");
    has_addresses
        && same("spec.type")
        && prefers(service)
        && (before.is_empty() || prefers(old))
        && same("spec.clusterIPs")
        && same("spec.ipFamilies")
}

/// Determines `ipFamilyPolicy` and `ipFamilies` of a Service other than ExternalName, on a cluster with these families;
/// the first is the cluster's primary one.
pub(super) fn settle(service: &mut Value, old: Option<&Value>, cluster: &[Family]) -> Result<(), Errors> {
    settle_policy(service, old);
    let errors = validate_cluster_ips(service);
    if !errors.is_empty() {
        return Err(errors);
    }
    let mut errors = Errors::new();
    if let Some(old) = old {
        trim(service, old, &mut errors);
    }
    check_single(service, &mut errors);
    infer_families(service, cluster, &mut errors);
    if !errors.is_empty() {
        return Err(errors);
    }
    let families = names(service, "ipFamilies");
    let wants_two = service.str_at("spec.ipFamilyPolicy") != SINGLE;
    let headless = is_headless(service) && service.at("spec.selector").is_empty();
    if !headless {
        check_cluster(service, cluster, &mut errors);
        if !errors.is_empty() {
            return Err(errors);
        }
    }
    let primary = cluster.first().map_or("IPv4", |family| family.name());
    let mut families = if families.is_empty() { vec![primary.to_owned()] } else { families };
    // Manually written Endpoints may be of both families, whatever the cluster's are.
    if families.len() == 1 && wants_two && (headless || cluster.len() == 2) {
        families.push(Family::other(&families[0]).name().to_owned());
    }
    set_names(service, "ipFamilies", &families);
    Ok(())
}

fn settle_policy(service: &mut Value, old: Option<&Value>) {
    if !service.str_at("spec.ipFamilyPolicy").is_empty() {
        return;
    }
    let before = old.map(|old| old.str_at("spec.ipFamilyPolicy")).unwrap_or_default();
    let policy = match before {
        "" if is_headless(service) && service.at("spec.selector").is_empty() => REQUIRE,
        "" => SINGLE,
        before => before,
    };
    service.entry("spec").set(POLICY, policy);
}

/// A change to one family releases the second address and family if the client left them unchanged; under any other
/// policy their number may not decrease.
fn trim(service: &mut Value, old: &Value, errors: &mut Errors) {
    let single = service.str_at("spec.ipFamilyPolicy") == SINGLE;
    for (list, what) in [("clusterIPs", "cluster IP"), ("ipFamilies", "IP family")] {
        let (now, before) = (names(service, list), names(old, list));
        if single {
            if now == before && now.len() > 1 {
                set_names(service, list, &now[..1]);
            }
        } else if before.len() == 2 && now.len() == 1 && now[0] == before[0] {
            let why = format!("must be 'SingleStack' to release the secondary {what}");
            invalid(errors, service, POLICY, &why);
        }
    }
}

fn check_single(service: &Value, errors: &mut Errors) {
    if service.str_at("spec.ipFamilyPolicy") != SINGLE {
        return;
    }
    for (list, what) in [("clusterIPs", "cluster IPs"), ("ipFamilies", "IP families")] {
        if names(service, list).len() == 2 {
            let why =
                format!("must be 'RequireDualStack' or 'PreferDualStack' when multiple {what} are specified");
            invalid(errors, service, POLICY, &why);
        }
    }
}

/// Families that the client did not name are those of the addresses that it did.
fn infer_families(service: &mut Value, cluster: &[Family], errors: &mut Errors) {
    let ips = names(service, "clusterIPs");
    let mut families = names(service, "ipFamilies");
    for (i, ip) in ips.iter().enumerate().take_while(|(_, ip)| *ip != "None") {
        let family = Family::of(ip);
        if i < families.len() {
            continue;
        }
        if cluster.contains(&family) {
            families.push(family.name().to_owned());
        } else {
            let (root, why) =
                (Path::root("spec"), format!("{} is not configured on this cluster", family.name()));
            errors.invalid(&root.child("clusterIPs").index(i), service.at("spec.clusterIPs").clone(), why);
        }
    }
    if !families.is_empty() {
        set_names(service, "ipFamilies", &families);
    }
}

fn check_cluster(service: &Value, cluster: &[Family], errors: &mut Errors) {
    if service.str_at("spec.ipFamilyPolicy") == REQUIRE && cluster.len() < 2 {
        invalid(errors, service, POLICY, "this cluster is not configured for dual-stack services");
    }
    let root = Path::root("spec");
    for (i, family) in names(service, "ipFamilies").iter().enumerate() {
        if !cluster.iter().any(|known| known.name() == family) {
            let path = root.child("ipFamilies");
            errors.invalid(&path.index(i), family.as_str(), "not configured on this cluster");
        }
    }
}

fn invalid(errors: &mut Errors, service: &Value, member: &str, why: &str) {
    let root = Path::root("spec");
    errors.invalid(&root.child(member), service.get("spec").get(member).clone(), why);
}

fn is_headless(service: &Value) -> bool {
    service.str_at("spec.clusterIP") == "None"
}

/// The texts of a list of the spec.
pub(super) fn names(service: &Value, list: &str) -> Vec<String> {
    service.get("spec").get(list).items().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// Sets a list of the spec to these texts.
pub(super) fn set_names(service: &mut Value, list: &'static str, texts: &[String]) {
    let items: Vec<Value> = texts.iter().map(|text| value!(text.as_str())).collect();
    service.entry("spec").set(list, Value::from(items));
}

#[cfg(test)]
mod tests;
