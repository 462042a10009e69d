//! Ends that are final: once the API server knows that a container has ended and may not restart, it accepts no other
//! state of it (`ValidateContainerStateTransition`, `validation.go`).
//!
//! A container may run again all the same: its engine did not know how it had ended, or init containers run once more in
//! a new sandbox. The end that the server knows then stays until there is another one. Upstream keeps the whole status
//! back (`checkContainerStateTransition`, `status_manager.go`).

use k8s_openapi::api::core::v1::{Container, ContainerStatus, PodSpec, PodStatus};

/// Keeps those ends in a status that are final in the status that the server has.
pub(crate) fn keep(status: &mut PodStatus, known: &PodStatus, spec: &PodSpec) {
    let policy = spec.restart_policy.as_deref();
    let init = spec.init_containers.as_deref().unwrap_or_default();
    for (list, known, containers, policy) in [
        (&mut status.init_container_statuses, &known.init_container_statuses, init, policy),
        (&mut status.container_statuses, &known.container_statuses, &spec.containers, policy),
        (&mut status.ephemeral_container_statuses, &known.ephemeral_container_statuses, &[], Some("Never")),
    ] {
        for status in list.iter_mut().flatten().filter(|status| exit_code(status).is_none()) {
            let Some(known) = known.iter().flatten().find(|known| known.name == status.name) else {
                continue;
            };
            let container = containers.iter().find(|container| container.name == status.name);
            if exit_code(known).is_some_and(|code| is_final(policy, container, code)) {
                status.clone_from(known);
            }
        }
    }
}

fn exit_code(status: &ContainerStatus) -> Option<i32> {
    Some(status.state.as_ref()?.terminated.as_ref()?.exit_code)
}

/// Whether the server considers the end of a container final. It does not look at the details of a container's own
/// rules.
fn is_final(policy: Option<&str>, container: Option<&Container>, exit_code: i32) -> bool {
    let may_restart = container.is_some_and(|container| {
        matches!(container.restart_policy.as_deref(), Some("Always" | "OnFailure"))
            || container.restart_policy_rules.as_ref().is_some_and(|rules| !rules.is_empty())
    });
    match policy {
        _ if may_restart => false,
        Some("Never") => true,
        Some("OnFailure") => exit_code == 0,
        _ => false,
    }
}
