//! Containers.

use std::collections::HashSet;

use object::field::{Error, Errors};
use object::names;

use super::Context;
use super::env::{validate_env, validate_env_from};
use super::handlers::validate_handlers;
use super::mounts::{validate_devices, validate_mounts};
use super::security::validate_security_context;
use crate::validation::field::Field;
use crate::validation::resources::{Owner, validate_resources};

pub(crate) const PROTOCOLS: [&str; 3] = ["SCTP", "TCP", "UDP"];
/// How many rules for its restart a container may have.
const RESTART_RULES_MAX: usize = 20;
/// How many exit codes such a rule may name.
const EXIT_CODES_MAX: usize = 255;

/// Checks the regular containers of a pod.
pub(super) fn validate_containers(errors: &mut Errors, containers: &Field<'_, '_>, context: &Context<'_>) {
    if containers.is_empty() {
        return containers.required(errors, "");
    }
    let mut seen = HashSet::new();
    for container in containers.items() {
        validate_common(errors, &container, context);
        let name = container.child("name");
        if !seen.insert(name.text()) {
            name.duplicate(errors);
        }
        validate_handlers(errors, &container, context.grace_seconds);
        validate_restart_policy(errors, &container);
    }
    validate_host_ports(errors, containers.items(), &mut HashSet::new());
}

/// Checks the init containers and sidecars of a pod.
pub(super) fn validate_init_containers(errors: &mut Errors, spec: &Field<'_, '_>, context: &Context<'_>) {
    let containers = spec.child("initContainers");
    let mut seen: HashSet<&str> = names_of(spec, "containers");
    for container in containers.items() {
        validate_common(errors, &container, context);
        validate_restart_policy(errors, &container);
        let name = container.child("name");
        if seen.contains(name.text()) {
            name.duplicate(errors);
        } else if !name.is_empty() {
            seen.insert(name.text());
        }
        // One runs after the other, so that each is alone with its ports.
        validate_host_ports(errors, std::iter::once(container), &mut HashSet::new());
        if container.child("restartPolicy").text() == "Always" {
            validate_handlers(errors, &container, context.grace_seconds);
            continue;
        }
        for name in ["lifecycle", "livenessProbe", "readinessProbe", "startupProbe"] {
            let handler = container.child(name);
            if handler.is_set() {
                handler.forbidden(errors, "may not be set for init containers without restartPolicy=Always");
            }
        }
    }
}

fn names_of<'a>(spec: &Field<'a, '_>, list: &str) -> HashSet<&'a str> {
    spec.value.get(list).items().map(|container| container.str_at("name")).collect()
}

/// Checks the ephemeral containers of a pod, which may have less than others.
pub(super) fn validate_ephemeral_containers(
    errors: &mut Errors,
    spec: &Field<'_, '_>,
    context: &Context<'_>,
) {
    const FORBIDDEN: [&str; 9] = [
        "ports",
        "resources",
        "resizePolicy",
        "restartPolicy",
        "restartPolicyRules",
        "livenessProbe",
        "readinessProbe",
        "startupProbe",
        "lifecycle",
    ];
    const WHY: &str = "cannot be set for an Ephemeral Container";
    let mut others = names_of(spec, "containers");
    others.extend(names_of(spec, "initContainers"));
    let mut seen = others.clone();
    for container in spec.child("ephemeralContainers").items() {
        validate_common(errors, &container, context);
        validate_image_is_trimmed(errors, &container);
        let (name, target) = (container.child("name"), container.child("targetContainerName"));
        if !seen.insert(name.text()) {
            name.duplicate(errors);
        }
        if !target.is_empty() && !others.contains(target.text()) {
            target.not_found(errors);
        }
        for name in FORBIDDEN {
            let field = container.child(name);
            if !field.is_empty() {
                field.forbidden(errors, WHY);
            }
        }
        for mount in container.child("volumeMounts").items() {
            for name in ["subPath", "subPathExpr"] {
                let path = mount.child(name);
                if !path.is_empty() {
                    path.forbidden(errors, WHY);
                }
            }
        }
    }
}

/// Images in templates may have spaces around them, those in pods may not.
pub(super) fn validate_image_is_trimmed(errors: &mut Errors, container: &Field<'_, '_>) {
    let image = container.child("image");
    if image.text().trim() != image.text() {
        image.invalid(errors, "must not have leading or trailing whitespace");
    }
}

/// Rules for each container.
fn validate_common(errors: &mut Errors, container: &Field<'_, '_>, context: &Context<'_>) {
    container.child("name").check_required(errors, names::is_dns1123_label);
    container.child("image").check_present(errors);
    container.child("terminationMessagePolicy").check_one_of(errors, &["File", "FallbackToLogsOnError"]);
    validate_ports(errors, &container.child("ports"));
    validate_env(errors, &container.child("env"));
    validate_env_from(errors, &container.child("envFrom"));
    validate_mounts(errors, container, &context.volumes);
    validate_devices(errors, container, &context.volumes);
    validate_pull_policy(errors, &container.child("imagePullPolicy"));
    validate_resources(errors, &container.child("resources"), Owner::Container, &context.claims);
    validate_resize_policy(errors, &container.child("resizePolicy"), context.restart_policy);
    validate_security_context(errors, &container.child("securityContext"), context.host_users);
}

pub(super) fn validate_pull_policy(errors: &mut Errors, policy: &Field<'_, '_>) {
    policy.check_one_of(errors, &["Always", "IfNotPresent", "Never"]);
}

fn validate_ports(errors: &mut Errors, ports: &Field<'_, '_>) {
    let mut seen = HashSet::new();
    for port in ports.items() {
        let name = port.child("name");
        let before = errors.len();
        name.check_set(errors, names::is_valid_port_name);
        if errors.len() == before && !name.is_empty() && !seen.insert(name.text()) {
            name.duplicate(errors);
        }
        let (number, host) = (port.child("containerPort"), port.child("hostPort"));
        match number.number() {
            0 => number.required(errors, ""),
            _ => number.check_number(errors, names::is_valid_port_num),
        }
        if host.number() != 0 {
            host.check_number(errors, names::is_valid_port_num);
        }
        port.child("protocol").check_one_of(errors, &PROTOCOLS);
    }
}

/// No two containers may claim the same port of the host.
fn validate_host_ports<'a>(
    errors: &mut Errors,
    containers: impl Iterator<Item = Field<'a, 'a>>,
    taken: &mut HashSet<String>,
) {
    for container in containers {
        for port in container.child("ports").items() {
            let host = port.child("hostPort");
            if host.number() == 0 {
                continue;
            }
            let (protocol, ip) = (port.child("protocol").text(), port.child("hostIP").text());
            let key = format!("{protocol}/{ip}/{}", host.number());
            if taken.contains(&key) {
                errors.duplicate(&host.path, key);
            } else {
                taken.insert(key);
            }
        }
    }
}

fn validate_resize_policy(errors: &mut Errors, policies: &Field<'_, '_>, pod_restart_policy: &str) {
    let mut seen = HashSet::new();
    for policy in policies.items() {
        let (resource, restart) = (policy.child("resourceName"), policy.child("restartPolicy"));
        if !seen.insert(resource.text()) {
            errors.duplicate(&policy.path, resource.text());
        }
        resource.named(policies.path).check_one_of(errors, &["cpu", "memory"]);
        restart.named(policies.path).check_one_of(errors, &["NotRequired", "RestartContainer"]);
        if pod_restart_policy == "Never" && restart.text() != "NotRequired" {
            let why = "must be 'NotRequired' when `restartPolicy` is 'Never'";
            restart.named(policies.path).invalid(errors, why);
        }
    }
}

/// Checks the restart policy that a container has for itself, with its rules.
fn validate_restart_policy(errors: &mut Errors, container: &Field<'_, '_>) {
    let (policy, rules) = (container.child("restartPolicy"), container.child("restartPolicyRules"));
    policy.check_known(errors, &["Always", "Never", "OnFailure"]);
    if rules.is_empty() {
        return;
    }
    if !policy.is_set() {
        policy.required(errors, "must specify restartPolicy when restart rules are used");
    }
    if rules.len() > RESTART_RULES_MAX {
        errors.push(Error::too_many(&rules.path, rules.len(), RESTART_RULES_MAX));
    }
    for rule in rules.items() {
        let (action, codes) = (rule.child("action"), rule.child("exitCodes"));
        if !matches!(action.text(), "Restart" | "RestartAllContainers") {
            action.not_supported(errors, &["Restart", "RestartAllContainers"]);
        }
        if !codes.is_set() {
            codes.required(errors, "must be specified");
            continue;
        }
        let (operator, values) = (codes.child("operator"), codes.child("values"));
        if !matches!(operator.text(), "In" | "NotIn") {
            operator.not_supported(errors, &["In", "NotIn"]);
        }
        if values.len() > EXIT_CODES_MAX {
            errors.push(Error::too_many(&values.path, values.len(), EXIT_CODES_MAX));
        }
        let mut seen = HashSet::new();
        for value in values.items().filter(|value| !seen.insert(value.number())) {
            value.duplicate(errors);
        }
    }
}
