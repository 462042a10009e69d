//! Pods (`pkg/apis/core/validation/validation.go`).
//!
//! The spec is the same in pods and in the templates of workloads, except for a few rules that apply only to pods.

use std::collections::BTreeSet;

use object::Value;
use object::field::{Errors, Path};
use object::names;

use super::field::Field;
use super::metadata::{validate_annotations, validate_labels};
use super::resources::{validate_overhead, validate_pod_resources};
use crate::NameRule;

mod affinity;
mod annotations;
mod container;
mod dns;
mod each;
mod env;
mod handlers;
mod items;
mod mounts;
mod network_volumes;
mod paths;
mod projected;
mod resize;
mod scheduling;
mod security;
mod status;
mod update;
mod volumes;
mod windows;

pub(super) use affinity::validate_node_selector;
pub(super) use container::PROTOCOLS;
pub(super) use handlers::validate_port;
pub(super) use network_volumes::{
    ISCSI_NAME_TOO_LONG, is_iscsi_name_too_long, validate_csi_driver_name, validate_iscsi_initiator,
    validate_iscsi_target, validate_network_source,
};
pub(super) use paths::path_without_backsteps;
pub use resize::validate_pod_resize;
pub(super) use scheduling::{validate_taints, validate_tolerations};
pub use status::validate_pod_status_update;
pub use update::{validate_ephemeral_containers_update, validate_pod_update};
pub(super) use volumes::validate_host_path;

const POD: &str = "io.k8s.api.core.v1.Pod";

/// Facts about the whole pod spec that its parts need.
struct Context<'a> {
    /// The valid volumes.
    volumes: mounts::Volumes<'a>,
    /// The names of the resource claims.
    claims: BTreeSet<&'a str>,
    restart_policy: &'a str,
    /// How long the containers get to end; `None` if the pod does not say.
    grace_seconds: Option<i64>,
    /// Whether users in the pod are those of the host.
    host_users: bool,
}

/// Checks a new Pod, except its metadata.
pub fn validate_pod(pod: &Value) -> Errors {
    let mut errors = validate_any(pod);
    let root = Field::root(pod, POD);
    let spec = root.child("spec");
    let ephemeral = spec.child("ephemeralContainers");
    if !ephemeral.is_empty() {
        ephemeral.forbidden(&mut errors, "cannot be set on create");
    }
    let node = spec.child("nodeName");
    if !node.is_empty() && !spec.child("schedulingGates").is_empty() {
        node.forbidden(&mut errors, "cannot be set until all schedulingGates have been cleared");
    }
    let notes = pod.at("metadata.annotations");
    security::validate_seccomp_annotations(&mut errors, notes, &spec);
    annotations::validate_app_armor_matches(&mut errors, notes, &spec);
    errors
}

/// Rules for both new and changed pods.
fn validate_any(pod: &Value) -> Errors {
    let mut errors = Errors::new();
    let root = Field::root(pod, POD);
    let metadata = root.child("metadata");
    let spec = root.child("spec");
    annotations::validate_pod_annotations(&mut errors, &metadata.child("annotations"), &spec);
    validate_pod_spec(&mut errors, &spec, Some(pod.str_at("metadata.name")));
    if spec.child("serviceAccountName").is_empty() {
        for volume in spec.child("volumes").items() {
            let projected = volume.child("projected");
            for source in projected.child("sources").items() {
                let token = source.child("serviceAccountToken");
                if token.is_set() {
                    token.forbidden(&mut errors, "must not be specified when serviceAccountName is not set");
                }
            }
        }
    }
    for name in ["containers", "initContainers"] {
        let containers = spec.child(name);
        containers
            .items()
            .for_each(|container| container::validate_image_is_trimmed(&mut errors, &container));
    }
    errors
}

/// Checks the pod template of a workload. `template` is the PodTemplateSpec.
pub(super) fn validate_pod_template(errors: &mut Errors, template: &Field<'_, '_>) {
    let metadata = template.child("metadata");
    // The paths of these errors lack the metadata upstream, too.
    validate_labels(metadata.value.get("labels"), &template.path.child("labels"), errors);
    let notes = metadata.child("annotations");
    let notes = notes.named(template.path.child("annotations"));
    validate_annotations(notes.value, &notes.path, errors);
    let spec = template.child("spec");
    annotations::validate_pod_annotations(errors, &notes, &spec);
    validate_pod_spec(errors, &spec, None);
    security::validate_seccomp_annotations(errors, notes.value, &spec);
    annotations::validate_app_armor_matches(errors, notes.value, &spec);
    let ephemeral = spec.child("ephemeralContainers");
    if !ephemeral.is_empty() {
        ephemeral.forbidden(errors, "ephemeral containers not allowed in pod template");
    }
}

/// Checks a pod spec. `pod` is the name of the pod; `None` for a template.
fn validate_pod_spec(errors: &mut Errors, spec: &Field<'_, '_>, pod: Option<&str>) {
    let grace = spec.child("terminationGracePeriodSeconds");
    if !grace.is_set() {
        grace.required(errors, "");
    }
    let volumes = spec.child("volumes");
    let valid = volumes::validate_volumes(errors, &volumes, pod.unwrap_or_default(), pod.is_some());
    let claims = spec.child("resourceClaims");
    let context = Context {
        volumes: valid,
        claims: claims
            .value
            .items()
            .map(|claim| claim.str_at("name"))
            .filter(|name| !name.is_empty())
            .collect(),
        restart_policy: spec.value.str_at("restartPolicy"),
        grace_seconds: grace.value.as_i64(),
        host_users: !spec.child("hostUsers").is_false(),
    };
    validate_claims(errors, &claims);
    container::validate_containers(errors, &spec.child("containers"), &context);
    container::validate_init_containers(errors, spec, &context);
    container::validate_ephemeral_containers(errors, spec, &context);
    validate_pod_resources(errors, spec, &context.claims);
    validate_host_network_ports(errors, spec, pod.is_some());
    spec.child("restartPolicy").check_one_of(errors, &["Always", "OnFailure", "Never"]);
    let policies = ["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"];
    spec.child("dnsPolicy").check_one_of(errors, &policies);
    let selector = spec.child("nodeSelector");
    validate_labels(selector.value, &selector.path, errors);
    security::validate_pod_security_context(errors, spec);
    affinity::validate_affinity(errors, &spec.child("affinity"));
    dns::validate_dns_config(errors, spec);
    for gate in spec.child("readinessGates").items() {
        gate.child("conditionType").check(errors, names::is_qualified_name);
    }
    scheduling::validate_gates(errors, &spec.child("schedulingGates"));
    scheduling::validate_topology(errors, &spec.child("topologySpreadConstraints"));
    windows::validate_host_process(errors, spec);
    security::validate_host_users(errors, spec);
    validate_names(errors, spec);
    scheduling::validate_tolerations(errors, &spec.child("tolerations"));
    dns::validate_host_aliases(errors, &spec.child("hostAliases"));
    let preemption = spec.child("preemptionPolicy");
    if preemption.is_set() {
        preemption.check_one_of(errors, &["PreemptLowerPriority", "Never"]);
    }
    let overhead = spec.child("overhead");
    validate_overhead(errors, &overhead, overhead.value);
    windows::validate_os(errors, spec);
}

fn validate_names(errors: &mut Errors, spec: &Field<'_, '_>) {
    let subdomain = |name: &str| NameRule::Subdomain.check(name, false);
    spec.child("serviceAccountName").check_set(errors, subdomain);
    spec.child("nodeName").check_set(errors, subdomain);
    let deadline = spec.child("activeDeadlineSeconds");
    deadline.check_number(errors, |seconds| names::is_in_range(seconds, 1, i32::MAX.into()));
    dns::validate_host_names(errors, spec);
    spec.child("priorityClassName").check_set(errors, subdomain);
    let runtime = spec.child("runtimeClassName");
    if runtime.is_set() {
        runtime.check(errors, subdomain);
    }
}

fn validate_claims(errors: &mut Errors, claims: &Field<'_, '_>) {
    let mut seen = std::collections::HashSet::new();
    for claim in claims.items() {
        let name = claim.child("name");
        if name.is_empty() {
            name.required(errors, "");
        } else if !seen.insert(name.text()) {
            name.duplicate(errors);
        } else {
            name.check(errors, names::is_dns1123_label);
        }
        let (claim_name, template) =
            (claim.child("resourceClaimName"), claim.child("resourceClaimTemplateName"));
        match (claim_name.is_set(), template.is_set()) {
            (true, true) => claim.invalid(
                errors,
                "at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified",
            ),
            (false, false) => {
                claim
                    .invalid(errors, "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`");
            }
            _ => {}
        }
        for name in [claim_name, template].into_iter().filter(Field::is_set) {
            name.check(errors, |name| NameRule::Subdomain.check(name, false));
        }
    }
}

/// On the host's network a container's port is the host's. Templates may leave it to the pod's defaults.
fn validate_host_network_ports(errors: &mut Errors, spec: &Field<'_, '_>, is_pod: bool) {
    if !spec.child("hostNetwork").is_true() {
        return;
    }
    for container in spec.child("containers").items() {
        for port in container.child("ports").items() {
            let (host, own) = (port.child("hostPort"), port.child("containerPort"));
            if (is_pod || host.number() != 0) && host.number() != own.number() {
                let why = "must match `containerPort` when `hostNetwork` is true";
                errors.invalid(&host.path, host.number(), why);
            }
        }
    }
}

/// Checks a Binding of a pod to a node.
pub fn validate_binding(binding: &Value) -> Errors {
    let mut errors = Errors::new();
    let target = Path::root("target");
    let kind = binding.str_at("target.kind");
    if !matches!(kind, "" | "Node") {
        errors.not_supported(&target.child("kind"), kind, &["Node", "<empty>"]);
    }
    if binding.str_at("target.name").is_empty() {
        errors.required(&target.child("name"), "");
    }
    errors
}
