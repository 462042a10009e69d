//! What a LimitRange forbids.
//!
//! What an update leaves as it was is not checked again: it was accepted when it came.

use object::{Quantity, QuantityFormat, Value};
use semantics::quota::ResourceList;
use semantics::{Amount, Amounts, View, container_totals};

/// The amounts of pods as a whole that take the place of their containers' sums here.
const POD_LEVEL: [&str; 2] = ["cpu", "memory"];
/// Ratios are compared exactly to so many decimal places: quantities have no more.
const PLACES: i32 = 9;

/// Requests and limits of a container or a pod.
#[derive(Default)]
struct Needs {
    requests: ResourceList,
    limits: ResourceList,
}

/// A constraint: its message if it is violated.
type Constraint = fn(&Limit<'_>, &Needs) -> Option<String>;

/// The amount that a LimitRange sets for a resource.
struct Limit<'a> {
    kind: &'a str,
    resource: &'a str,
    enforced: Quantity,
}

/// The violations of a pod. `old` is null if it is new.
pub(super) fn of_pod(range: &Value, pod: &Value, old: &Value) -> Vec<String> {
    const ALL: [(&str, Constraint); 3] = [
        ("min", |limit, needs| limit.minimum(needs)),
        ("max", |limit, needs| limit.maximum(needs)),
        ("maxLimitRequestRatio", |limit, needs| limit.ratio(needs)),
    ];
    let mut violations = Vec::new();
    for limit in range.at("spec.limits").items() {
        let kind = limit.str_at("type");
        match kind {
            "Container" => {
                for list in ["containers", "initContainers"] {
                    for container in pod.get("spec").get(list).items() {
                        let before = container_named(old.get("spec").get(list), container.str_at("name"));
                        let (needs, before) =
                            (Needs::of_container(container), before.map(Needs::of_container));
                        let is_unchanged = |name: &str| needs.has_same(before.as_ref(), name);
                        check(limit, kind, &ALL, &needs, is_unchanged, &mut violations);
                    }
                }
            }
            "Pod" => {
                let before = (!old.is_null()).then(|| Needs::of_pod(old));
                let needs = Needs::of_pod(pod);
                let is_unchanged = |name: &str| needs.has_same(before.as_ref(), name);
                check(limit, kind, &ALL, &needs, is_unchanged, &mut violations);
            }
            _ => {}
        }
    }
    violations
}

/// The violations of a claim, of which only requests count. `old` is null if it is new.
pub(super) fn of_claim(range: &Value, claim: &Value, old: &Value) -> Vec<String> {
    const ALL: [(&str, Constraint); 2] =
        [("min", |limit, needs| limit.minimum(needs)), ("max", |limit, needs| limit.maximum_request(needs))];
    let needs = |claim: &Value| Needs {
        requests: ResourceList::read(claim.at("spec.resources.requests").as_field()),
        limits: ResourceList::default(),
    };
    let mut violations = Vec::new();
    for limit in range.at("spec.limits").items() {
        let kind = limit.str_at("type");
        if kind == "PersistentVolumeClaim" {
            let (needs, before) = (needs(claim), needs(old));
            let is_unchanged = |name: &str| {
                let request = needs.requests.get(name);
                request.is_some() && request == before.requests.get(name)
            };
            check(limit, kind, &ALL, &needs, is_unchanged, &mut violations);
        }
    }
    violations
}

fn container_named<'a>(containers: &'a Value, name: &str) -> Option<&'a Value> {
    containers.items().find(|container| container.str_at("name") == name)
}

/// Checks the constraints of all resources that have one and that are not as before.
fn check(
    limit: &Value,
    kind: &str,
    constraints: &[(&str, Constraint)],
    needs: &Needs,
    is_unchanged: impl Fn(&str) -> bool,
    violations: &mut Vec<String>,
) {
    for (member, constraint) in constraints {
        for (resource, enforced) in Amounts::read(limit.get(member).as_field()).iter() {
            if is_unchanged(resource) {
                continue;
            }
            let limit = Limit { kind, resource, enforced: enforced.clone() };
            violations.extend(constraint(&limit, needs));
        }
    }
}

impl Needs {
    fn of_container(container: &Value) -> Needs {
        let list = |which| ResourceList::read(container.get("resources").get(which).as_field());
        Needs { requests: list("requests"), limits: list("limits") }
    }

    /// The needs of a pod according to its spec, without its overhead.
    fn of_pod(pod: &Value) -> Needs {
        let spec = pod.get("spec");
        let total = |which: Amount| {
            let mut total = ResourceList::from(&container_totals(spec.as_field(), which));
            for name in POD_LEVEL {
                let own = Amounts::read(spec.get("resources").get(which.as_str()).as_field());
                if let Some(own) = own.get(name) {
                    total.set(name, own.clone());
                }
            }
            total
        };
        Needs { requests: total(Amount::Requests), limits: total(Amount::Limits) }
    }

    /// Whether request and limit are as before, if there was anything before.
    fn has_same(&self, before: Option<&Needs>, resource: &str) -> bool {
        before.is_some_and(|before| {
            self.requests.get(resource) == before.requests.get(resource)
                && self.limits.get(resource) == before.limits.get(resource)
        })
    }
}

impl Limit<'_> {
    fn minimum(&self, needs: &Needs) -> Option<String> {
        let Limit { kind, resource, enforced } = self;
        let rule = format!("minimum {resource} usage per {kind} is {enforced}");
        let (request, limit) = (needs.requests.get(resource), needs.limits.get(resource));
        match (request, limit) {
            (None, _) => Some(format!("{rule}.  No request is specified")),
            (Some(request), _) if request < enforced => Some(format!("{rule}, but request is {request}")),
            (_, Some(limit)) if limit < enforced => Some(format!("{rule}, but limit is {limit}")),
            _ => None,
        }
    }

    fn maximum(&self, needs: &Needs) -> Option<String> {
        let Limit { kind, resource, enforced } = self;
        let rule = format!("maximum {resource} usage per {kind} is {enforced}");
        let (request, limit) = (needs.requests.get(resource), needs.limits.get(resource));
        match (request, limit) {
            (_, None) => Some(format!("{rule}.  No limit is specified")),
            (_, Some(limit)) if limit > enforced => Some(format!("{rule}, but limit is {limit}")),
            (Some(request), _) if request > enforced => Some(format!("{rule}, but request is {request}")),
            _ => None,
        }
    }

    fn maximum_request(&self, needs: &Needs) -> Option<String> {
        let Limit { kind, resource, enforced } = self;
        let rule = format!("maximum {resource} usage per {kind} is {enforced}");
        match needs.requests.get(resource) {
            None => Some(format!("{rule}.  No request is specified")),
            Some(request) if request > enforced => Some(format!("{rule}, but request is {request}")),
            Some(_) => None,
        }
    }

    fn ratio(&self, needs: &Needs) -> Option<String> {
        let Limit { kind, resource, enforced } = self;
        let rule = format!("{resource} max limit to request ratio per {kind} is {enforced}");
        let given =
            |amounts: &ResourceList| amounts.get(resource).filter(|amount| !amount.is_zero()).cloned();
        let Some(request) = given(&needs.requests) else {
            return Some(format!("{rule}, but no request is specified or request is 0"));
        };
        let Some(limit) = given(&needs.limits) else {
            return Some(format!("{rule}, but no limit is specified or limit is 0"));
        };
        if !exceeds(&limit, &request, enforced) {
            return None;
        }
        let ratio = limit.as_f64() / request.as_f64();
        Some(format!("{rule}, but provided ratio is {ratio:.6}"))
    }
}

/// Whether a limit is more than a multiple of a request.
fn exceeds(limit: &Quantity, request: &Quantity, ratio: &Quantity) -> bool {
    let unit = Quantity::scaled(1, -PLACES, QuantityFormat::DecimalSi);
    let units = unit.mul(ratio.scaled_value(-PLACES)).filter(|whole| whole == ratio);
    let exact = units.and_then(|_| {
        let allowed = request.mul(ratio.scaled_value(-PLACES))?;
        Some(limit.mul(10i64.pow(PLACES.unsigned_abs()))? > allowed)
    });
    // Beyond 38 digits.
    exact.unwrap_or_else(|| limit.as_f64() > request.as_f64() * ratio.as_f64())
}
