//! Changes of a pod's status.

use std::collections::{HashMap, HashSet};

use object::field::{Errors, Path};
use object::{Value, names};

use super::POD;
use super::update::validate_annotation_changes;
use crate::NameRule;
use crate::validation::field::Field;

/// Checks a change of a Pod's status, except its metadata.
pub fn validate_pod_status_update(pod: &Value, old: &Value) -> Errors {
    let mut errors = Errors::new();
    let root = Field::root(pod, POD);
    validate_annotation_changes(&mut errors, &root, old);
    let status = root.child("status");
    validate_conditions(&mut errors, &status.child("conditions"));
    if pod.at("spec.nodeName") != old.at("spec.nodeName") {
        errors.forbidden(&status.path.child("nodeName"), "may not be changed directly");
    }
    let nominated = status.child("nominatedNodeName");
    if nominated.value != old.at("status.nominatedNodeName") {
        nominated.check_set(&mut errors, |name| NameRule::Subdomain.check(name, false));
    }
    status.child("qosClass").check_immutable(&mut errors, old.at("status.qosClass"));
    validate_transitions(&mut errors, &status, old);
    validate_claim_statuses(&mut errors, &status, pod);
    validate_addresses(&mut errors, &status.child("podIPs"), old.at("status.podIPs"));
    let hosts = status.child("hostIPs");
    if let Some(first) = hosts.items().next().map(|first| first.value.str_at("ip").to_owned())
        && first != status.child("hostIP").text()
    {
        errors.invalid(&hosts.path.index(0).child("ip"), first, "must be equal to `hostIP`");
    }
    validate_addresses(&mut errors, &hosts, old.at("status.hostIPs"));
    validate_users(&mut errors, &status, pod);
    validate_health(&mut errors, &status, pod);
    errors
}

fn validate_conditions(errors: &mut Errors, conditions: &Field<'_, '_>) {
    let metadata = Path::root("metadata");
    let shown = metadata.child("conditions");
    for (i, condition) in conditions.items().enumerate() {
        let kind = condition.child("type");
        if !matches!(kind.text(), "PodScheduled" | "Ready" | "Initialized") {
            // The path is upstream's.
            errors.invalid_each(
                &shown.index(i).child("Type"),
                kind.text(),
                names::is_qualified_name(kind.text()),
            );
        }
    }
}

/// Containers that have terminated must not restart.
fn validate_transitions(errors: &mut Errors, status: &Field<'_, '_>, old: &Value) {
    let spec = old.get("spec");
    let policy = spec.str_at("restartPolicy");
    let restarting = restarting(spec);
    for (name, policy) in [
        ("containerStatuses", policy),
        ("initContainerStatuses", policy),
        ("ephemeralContainerStatuses", "Never"),
    ] {
        if policy == "Always" {
            continue;
        }
        let statuses = status.child(name);
        let mut running: HashMap<&str, usize> = HashMap::new();
        for now in statuses.value.items().filter(|now| now.at("state.terminated").is_null()) {
            *running.entry(now.str_at("name")).or_default() += 1;
        }
        for (i, before) in old.get("status").get(name).items().enumerate() {
            let ended = before.at("state.terminated");
            let failed = ended.get("exitCode").as_i64().unwrap_or_default() != 0;
            let container = before.str_at("name");
            if ended.is_null() || failed && policy == "OnFailure" || restarting.contains(container) {
                continue;
            }
            for _ in 0..running.get(container).copied().unwrap_or_default() {
                let why = "may not be transitioned to non-terminated state";
                errors.forbidden(&statuses.path.index(i).child("state"), why);
            }
        }
    }
}

/// The containers with their own restart policy that allows restarts.
fn restarting(spec: &Value) -> HashSet<&str> {
    let containers = spec.get("initContainers").items().chain(spec.get("containers").items());
    let restarts = containers.filter(|container| {
        let own = matches!(container.str_at("restartPolicy"), "Always" | "OnFailure");
        own || !container.get("restartPolicyRules").is_empty()
    });
    restarts.map(|container| container.str_at("name")).collect()
}

fn validate_claim_statuses(errors: &mut Errors, status: &Field<'_, '_>, pod: &Value) {
    let mut seen = HashSet::new();
    let known: HashSet<&str> =
        pod.at("spec.resourceClaims").items().map(|claim| claim.str_at("name")).collect();
    for claim in status.child("resourceClaimStatuses").items() {
        let name = claim.child("name");
        if !known.contains(name.text()) {
            name.invalid(errors, "must match the name of an entry in `spec.resourceClaims`");
        }
        if !seen.insert(name.text()) {
            name.duplicate(errors);
        }
        let made = claim.child("resourceClaimName");
        if made.is_set() {
            made.named(name.path).check(errors, |name| NameRule::Subdomain.check(name, false));
        }
    }
}

/// One address of each family at most. Those of the old status are let pass, however they are written.
fn validate_addresses(errors: &mut Errors, addresses: &Field<'_, '_>, old: &Value) {
    let known: HashSet<&str> = old.items().map(|address| address.str_at("ip")).collect();
    let ips: Vec<&str> = addresses.value.items().map(|address| address.str_at("ip")).collect();
    for (address, ip) in addresses.items().zip(&ips) {
        errors.append(names::is_valid_ip_for_legacy_field(&address.path, ip, &known));
    }
    if ips.len() < 2 {
        return;
    }
    let is_v6 = |ip: &&&str| ip.contains(':');
    let families =
        usize::from(ips.iter().any(|ip| is_v6(&ip))) + usize::from(!ips.iter().all(|ip| is_v6(&ip)));
    if families < 2 || ips.len() > 2 {
        addresses.invalid(errors, "may specify no more than one IP for each IP family");
    }
    let mut seen = HashSet::new();
    for (address, _) in addresses.items().zip(&ips).filter(|(_, ip)| !seen.insert(**ip)) {
        address.duplicate(errors);
    }
}

fn validate_users(errors: &mut Errors, status: &Field<'_, '_>, pod: &Value) {
    let windows = pod.str_at("spec.os.name") == "windows";
    for name in ["containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses"] {
        for container in status.child(name).items() {
            let user = container.child("user");
            let linux = user.child("linux");
            let linux = linux.named(container.path.child("linux"));
            if !linux.is_set() {
                continue;
            }
            if windows {
                linux.forbidden(errors, "cannot be set for a windows pod");
                continue;
            }
            linux.child("uid").check_number(errors, names::is_valid_user_id);
            linux.child("gid").check_number(errors, names::is_valid_group_id);
            for group in linux.child("supplementalGroups").items() {
                group.check_number(errors, names::is_valid_group_id);
            }
        }
    }
}

/// The health of devices that containers use.
fn validate_health(errors: &mut Errors, status: &Field<'_, '_>, pod: &Value) {
    for (name, list) in [("containerStatuses", "containers"), ("initContainerStatuses", "initContainers")] {
        let mut specs: HashMap<&str, &Value> = HashMap::new();
        for spec in pod.get("spec").get(list).items() {
            specs.entry(spec.str_at("name")).or_insert(spec);
        }
        for container in status.child(name).items() {
            let spec = specs.get(container.value.str_at("name")).copied();
            let known = spec.map(|spec| Allocatable::of(spec.get("resources")));
            for resource in container.child("allocatedResourcesStatus").items() {
                if let Some(known) = &known {
                    known.check(errors, &resource.child("name"));
                }
                let mut seen = HashSet::new();
                for device in resource.child("resources").items() {
                    let (health, id) = (device.child("health"), device.child("resourceID"));
                    if !matches!(health.text(), "Healthy" | "Unhealthy" | "Unknown") {
                        health.not_supported(errors, &["Healthy", "Unhealthy", "Unknown"]);
                    }
                    if !seen.insert(id.text()) {
                        id.duplicate(errors);
                    }
                }
            }
        }
    }
    for container in status.child("ephemeralContainerStatuses").items() {
        let allocated = container.child("allocatedResourcesStatus");
        if !allocated.is_empty() {
            allocated.forbidden(errors, "must not be specified in container status");
        }
    }
}

/// The resources of a container that may have a health status.
struct Allocatable<'a> {
    /// Claims with their requests; the request is empty if the claim is meant as a whole.
    claims: HashSet<(&'a str, &'a str)>,
    requests: HashSet<&'a str>,
}

impl<'a> Allocatable<'a> {
    fn of(resources: &'a Value) -> Allocatable<'a> {
        let claims = resources.get("claims").items();
        let requests = resources.get("requests").entries().filter(|(_, amount)| !amount.is_null());
        Allocatable {
            claims: claims.map(|claim| (claim.str_at("name"), claim.str_at("request"))).collect(),
            requests: requests.map(|(name, _)| name).collect(),
        }
    }

    fn check(&self, errors: &mut Errors, name: &Field<'_, '_>) {
        let (found, why) = match name.text().strip_prefix("claim:") {
            Some(wanted) => {
                let by_request = wanted.split_once('/').filter(|(_, request)| !request.is_empty());
                let found = self.claims.contains(&(wanted, ""))
                    || by_request.is_some_and(|request| self.claims.contains(&request));
                let why = "must match one of the container's resource claims in a format \
                           'claim:<claimName>/<request>' or 'claim:<claimName>' if request is empty";
                (found, why)
            }
            None => {
                let found = self.requests.contains(name.text());
                (found, "must match one of the container's resource requests")
            }
        };
        if !found {
            name.invalid(errors, why);
        }
    }
}
