//! Resources of containers and pods.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use object::field::{Error, Errors};
use object::{Quantity, Value, names, value};
use semantics::quota::is_extended;
pub(super) use semantics::quota::is_native;
use semantics::{Amount, View, container_totals, is_pod_level, pods};

use super::field::{Field, NEGATIVE, quantity};

const RESOURCES: &str = "io.k8s.api.core.v1.ResourceRequirements";

/// Amounts by the name of the resource.
pub(crate) type Amounts = BTreeMap<String, Quantity>;

/// The sum over all containers of a pod.
pub(crate) fn aggregate(spec: &Value, which: Amount) -> Amounts {
    let totals = container_totals(spec.as_field(), which);
    totals.iter().map(|(name, amount)| (name.to_owned(), amount.clone())).collect()
}

/// Whether every container and sidecar of a pod limits a resource.
pub(crate) fn all_limit(spec: &Value, name: &str) -> bool {
    let spec = spec.as_field();
    let mut containers = pods::running_containers(&spec);
    containers.all(|container| !container.field("resources").field("limits").field(name).is_absent())
}

pub(crate) fn is_huge_page(name: &str) -> bool {
    name.starts_with("hugepages-")
}

/// Whether nodes themselves have the resource, and pods use it up.
pub(super) fn is_node_resource(name: &str) -> bool {
    matches!(name, "cpu" | "memory" | "ephemeral-storage") || is_huge_page(name)
}

/// Whether requests may be lower than limits.
pub(super) fn may_overcommit(name: &str) -> bool {
    is_native(name) && !is_huge_page(name)
}

/// Whether amounts of the resource are whole numbers.
fn is_counted(name: &str) -> bool {
    const COUNTED: [&str; 9] = [
        "pods",
        "services",
        "replicationcontrollers",
        "resourcequotas",
        "secrets",
        "configmaps",
        "persistentvolumeclaims",
        "services.nodeports",
        "services.loadbalancers",
    ];
    COUNTED.contains(&name) || is_extended(name)
}

fn is_standard(name: &str) -> bool {
    const STANDARD: [&str; 19] = [
        "cpu",
        "memory",
        "ephemeral-storage",
        "requests.cpu",
        "requests.memory",
        "requests.ephemeral-storage",
        "limits.cpu",
        "limits.memory",
        "limits.ephemeral-storage",
        "pods",
        "resourcequotas",
        "services",
        "replicationcontrollers",
        "secrets",
        "configmaps",
        "persistentvolumeclaims",
        "storage",
        "requests.storage",
        "services.nodeports",
    ];
    STANDARD.contains(&name)
        || name == "services.loadbalancers"
        || is_huge_page(name)
        || name.strip_prefix("requests.").is_some_and(is_huge_page)
}

/// Whether a quota can limit a resource of Kubernetes' own.
pub(super) fn is_quota(name: &str) -> bool {
    is_standard(name) && name != "storage"
}

/// Whose resources are checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    Container,
    Pod,
    /// A quota.
    Quota,
    /// Anything that has resources.
    Any,
}

/// The amount of a resource must not be negative, and whole where the resource is counted.
pub(super) fn validate_amount(errors: &mut Errors, name: &str, amount: &Field<'_, '_>) {
    let value = amount.quantity();
    if value.sign() < 0 {
        errors.invalid(&amount.path, value.to_string(), NEGATIVE);
    }
    if is_counted(name) && value.milli_value() % 1000 != 0 {
        amount.invalid(errors, "must be an integer");
    }
}

/// The name of a resource must be one that its owner can have. `field` is the amount.
pub(super) fn validate_name(errors: &mut Errors, name: &str, field: &Field<'_, '_>, owner: Owner) {
    let wrong = names::is_qualified_name(name);
    let is_wrong = !wrong.is_empty();
    errors.invalid_each(&field.path, name, wrong);
    let plain = !name.contains('/');
    if !is_wrong && plain && !is_standard(name) {
        errors.invalid(&field.path, name, "must be a standard resource type or fully qualified");
        if owner == Owner::Pod {
            return;
        }
    } else if is_wrong && owner == Owner::Pod {
        return;
    }
    match owner {
        Owner::Pod if !is_pod_level(name) => {
            errors.not_supported(&field.path, name, &["cpu", "hugepages-", "memory"]);
        }
        Owner::Pod => {}
        Owner::Container if plain => {
            let of_containers = matches!(name, "cpu" | "memory" | "ephemeral-storage") || is_huge_page(name);
            if !of_containers {
                errors.invalid(&field.path, name, "must be a standard resource for containers");
            }
        }
        Owner::Container if !is_native(name) && !is_extended(name) => {
            errors.invalid(&field.path, name, "doesn't follow extended resource name standard");
        }
        Owner::Quota if plain && !is_quota(name) => {
            errors.invalid(&field.path, name, "must be a standard resource for quota");
        }
        Owner::Container | Owner::Quota | Owner::Any => {}
    }
}

fn validate_huge_page(errors: &mut Errors, name: &str, amount: &Field<'_, '_>) {
    let page = name.strip_prefix("hugepages-").and_then(|size| Quantity::parse(size).ok());
    let (value, page) = (amount.quantity(), page.unwrap_or_default());
    let divisible = page.sign() > 0 && value.sign() >= 0 && value.value() % page.value() == 0;
    if !divisible {
        let why = format!("{value} is not positive integer multiple of {name}");
        errors.invalid(&amount.path, value.to_string(), why);
    }
}

/// Checks `resources`; `claims` are the names of the pod's resource claims.
pub(super) fn validate_resources(
    errors: &mut Errors,
    resources: &Field<'_, '_>,
    owner: Owner,
    claims: &BTreeSet<&str>,
) {
    let (limits, requests) = (resources.child("limits"), resources.child("requests"));
    for (name, amount) in limits.entries() {
        validate_name(errors, name, &amount, owner);
        validate_amount(errors, name, &amount);
        if is_huge_page(name) {
            validate_huge_page(errors, name, &amount);
        }
    }
    for (name, amount) in requests.entries() {
        validate_name(errors, name, &amount, owner);
        validate_amount(errors, name, &amount);
        validate_request(errors, name, &amount, &requests, &limits);
        if is_huge_page(name) {
            validate_huge_page(errors, name, &amount);
        }
    }
    let names = || limits.value.entries().chain(requests.value.entries()).map(|(name, _)| name);
    if names().any(is_huge_page) && !names().any(|name| matches!(name, "cpu" | "memory")) {
        resources.forbidden(errors, "HugePages require cpu or memory");
    }
    validate_claims(errors, &resources.child("claims"), claims);
}

/// Checks what a pod needs beyond its containers. The rules, and with them the paths, are those of a container's limits.
pub(super) fn validate_overhead(errors: &mut Errors, overhead: &Field<'_, '_>, amounts: &Value) {
    let limits = value!({"limits": (amounts.clone())});
    let resources = Field::root(&limits, RESOURCES).named(overhead.path);
    validate_resources(errors, &resources, Owner::Container, &BTreeSet::new());
}

fn validate_request(
    errors: &mut Errors,
    name: &str,
    amount: &Field<'_, '_>,
    requests: &Field<'_, '_>,
    limits: &Field<'_, '_>,
) {
    let request = amount.quantity();
    match limits.value.get(name) {
        Value::Null if may_overcommit(name) => {}
        Value::Null => limits.required(errors, "Limit must be set for non overcommitable resources"),
        limit => {
            let limit = quantity(limit);
            let why = if request != limit && !may_overcommit(name) {
                format!("must be equal to {name} limit of {limit}")
            } else if request > limit {
                format!("must be less than or equal to {name} limit of {limit}")
            } else {
                return;
            };
            errors.invalid(&requests.path, request.to_string(), why);
        }
    }
}

/// Claims of a container must be the pod's, and none may stand twice, as a whole or by request.
fn validate_claims(errors: &mut Errors, claims: &Field<'_, '_>, known: &BTreeSet<&str>) {
    // The claims as a whole or by request, and how many requests of each.
    let (mut seen, mut requests) = (HashSet::new(), HashMap::<&str, usize>::new());
    for claim in claims.items() {
        let (name, request) = (claim.child("name"), claim.child("request"));
        let name = name.text();
        if name.is_empty() {
            claim.required(errors, "");
            continue;
        }
        if seen.contains(&(name, "")) {
            errors.duplicate(&claim.path, name);
        } else {
            request.check_set(errors, names::is_dns1123_label);
            let key = match request.text() {
                "" => name.to_owned(),
                request => format!("{name}/{request}"),
            };
            let parts = requests.get(name).copied().unwrap_or_default();
            if seen.contains(&(name, request.text())) {
                errors.duplicate(&claim.path, key.as_str());
            } else if request.text().is_empty() {
                (0..parts).for_each(|_| errors.duplicate(&claim.path, name));
            }
            seen.insert((name, request.text()));
            if !request.is_empty() {
                *requests.entry(name).or_default() += 1;
            }
        }
        if !known.contains(name) {
            errors.push_with(|| unknown_claim(&claim, known));
        }
    }
}

fn unknown_claim(claim: &Field<'_, '_>, known: &BTreeSet<&str>) -> Error {
    let mut error = Error::not_found(&claim.path, claim.child("name").text());
    let sorted: Vec<&str> = known.iter().copied().collect();
    error.detail = match sorted.as_slice() {
        [] => "must be one of the names in pod.spec.resourceClaims which is empty".into(),
        sorted => format!("must be one of the names in pod.spec.resourceClaims: {}", sorted.join(", ")),
    };
    error
}

/// Checks the resources of a pod as a whole against those of its containers.
pub(super) fn validate_pod_resources(errors: &mut Errors, spec: &Field<'_, '_>, claims: &BTreeSet<&str>) {
    let resources = spec.child("resources");
    if !resources.is_set() {
        return;
    }
    let own_claims = resources.child("claims");
    if own_claims.is_set() {
        own_claims.forbidden(errors, "claims cannot be set for Resources at pod-level");
    }
    validate_resources(errors, &resources, Owner::Pod, claims);
    let requests = resources.child("requests");
    for (name, needed) in aggregate(spec.value, Amount::Requests) {
        let requested = quantity(requests.value.get(&name));
        if needed > requested && is_pod_level(&name) {
            let why = format!("must be greater than or equal to aggregate container requests of {needed}");
            errors.invalid(&requests.path.key(&name), requested.to_string(), why);
        }
    }
    let limits = resources.child("limits");
    let containers = resources.path.child("containers");
    for (i, container) in spec.value.get("containers").items().enumerate() {
        for (name, limit) in container.at("resources.limits").entries() {
            let pod_limit = limits.value.get(name);
            if !pod_limit.is_null() && quantity(limit) > quantity(pod_limit) {
                let why = format!("must be less than or equal to pod limits of {}", quantity(pod_limit));
                let (index, value) = (containers.index(i), quantity(limit).to_string());
                errors.invalid(&index.key(name).child("limits"), value, why);
            }
        }
    }
}
