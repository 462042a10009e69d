//! Changes of a pod's status.

use std::collections::HashSet;

use object::field::{Errors, Path};
use object::{Value, names};

use super::POD;
use super::update::validate_annotation_changes;
use crate::NameRule;
use crate::validation::field::Field;

/// Checks a change of a Pod's status, its metadata aside.
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
    validate_addresses(&mut errors, &status.child("podIPs"));
    let hosts = status.child("hostIPs");
    if let Some(first) = hosts.items().next().map(|first| first.value.str_at("ip").to_owned())
        && first != status.child("hostIP").text()
    {
        errors.invalid(&hosts.path.index(0).child("ip"), first, "must be equal to `hostIP`");
    }
    validate_addresses(&mut errors, &hosts);
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

/// Containers that ended for good do not come back.
fn validate_transitions(errors: &mut Errors, status: &Field<'_, '_>, old: &Value) {
    let spec = old.get("spec");
    let policy = spec.str_at("restartPolicy");
    for (name, policy) in [
        ("containerStatuses", policy),
        ("initContainerStatuses", policy),
        ("ephemeralContainerStatuses", "Never"),
    ] {
        if policy == "Always" {
            continue;
        }
        let statuses = status.child(name);
        for (i, before) in old.get("status").get(name).items().enumerate() {
            let ended = before.at("state.terminated");
            let failed = ended.get("exitCode").as_i64().unwrap_or_default() != 0;
            let container = before.str_at("name");
            if ended.is_null() || failed && policy == "OnFailure" || restarts_itself(spec, container) {
                continue;
            }
            for now in statuses.value.items().filter(|now| now.str_at("name") == container) {
                if now.at("state.terminated").is_null() {
                    let why = "may not be transitioned to non-terminated state";
                    errors.forbidden(&statuses.path.index(i).child("state"), why);
                }
            }
        }
    }
}

/// Whether a container has a policy of its own by which it may start again.
fn restarts_itself(spec: &Value, name: &str) -> bool {
    let mut containers = spec.get("initContainers").items().chain(spec.get("containers").items());
    containers.any(|container| {
        let own = matches!(container.str_at("restartPolicy"), "Always" | "OnFailure");
        container.str_at("name") == name && (own || !container.get("restartPolicyRules").is_empty())
    })
}

fn validate_claim_statuses(errors: &mut Errors, status: &Field<'_, '_>, pod: &Value) {
    let mut seen = HashSet::new();
    for claim in status.child("resourceClaimStatuses").items() {
        let name = claim.child("name");
        if !pod.at("spec.resourceClaims").items().any(|known| known.str_at("name") == name.text()) {
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

/// One address of each family at most.
fn validate_addresses(errors: &mut Errors, addresses: &Field<'_, '_>) {
    let ips: Vec<&str> = addresses.value.items().map(|address| address.str_at("ip")).collect();
    for (address, ip) in addresses.items().zip(&ips) {
        errors.append(names::is_valid_ip_for_legacy_field(&address.path, ip, &[]));
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
        for container in status.child(name).items() {
            let spec = pod.get("spec").get(list).items();
            let spec = spec.into_iter().find(|spec| spec.str_at("name") == container.value.str_at("name"));
            for resource in container.child("allocatedResourcesStatus").items() {
                if let Some(spec) = spec {
                    validate_allocated(errors, &resource.child("name"), spec);
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

fn validate_allocated(errors: &mut Errors, name: &Field<'_, '_>, container: &Value) {
    let resources = container.get("resources");
    let (found, why) = match name.text().strip_prefix("claim:") {
        Some(wanted) => {
            let is_it = |claim: &Value| match claim.str_at("request") {
                "" => claim.str_at("name") == wanted,
                request => wanted.split_once('/') == Some((claim.str_at("name"), request)),
            };
            let why = "must match one of the container's resource claims in a format \
                       'claim:<claimName>/<request>' or 'claim:<claimName>' if request is empty";
            (resources.get("claims").items().any(is_it), why)
        }
        None => {
            let found = !resources.get("requests").get(name.text()).is_null();
            (found, "must match one of the container's resource requests")
        }
    };
    if !found {
        name.invalid(errors, why);
    }
}
