//! Security settings: the container's, then the pod's.

use std::path::Path;

use k8s_openapi::api::core::v1::{
    AppArmorProfile, Container, PodSecurityContext, SELinuxOptions, SeccompProfile, SecurityContext,
};
use runtime::cri::{
    Capability, Image, LinuxContainerSecurityContext, LinuxSandboxSecurityContext, NamespaceMode,
    NamespaceOption, ProfileType, SeLinuxOption, SecurityProfile, SupplementalGroupsPolicy,
};

use super::SpecError;
use crate::pod::{PodContainer, PodInfo};

/// Paths of `/proc` and `/sys` that containers do not see.
const MASKED_PATHS: [&str; 12] = [
    "/proc/asound",
    "/proc/acpi",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
    "/sys/devices/virtual/powercap",
];
/// Paths of `/proc` that containers cannot write to.
const READONLY_PATHS: [&str; 5] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

fn pod_context(pod: &PodInfo) -> PodSecurityContext {
    pod.spec().security_context.clone().unwrap_or_default()
}

fn context(container: &Container) -> SecurityContext {
    container.security_context.clone().unwrap_or_default()
}

fn seccomp(profile: Option<&SeccompProfile>, directory: &Path) -> Option<SecurityProfile> {
    let profile = profile?;
    Some(match profile.type_.as_str() {
        "RuntimeDefault" => {
            SecurityProfile { profile_type: ProfileType::RuntimeDefault, ..Default::default() }
        }
        "Localhost" => SecurityProfile {
            profile_type: ProfileType::Localhost,
            localhost_ref: directory
                .join(profile.localhost_profile.as_deref().unwrap_or_default())
                .to_string_lossy()
                .into_owned(),
        },
        _ => SecurityProfile::default(),
    })
}

fn apparmor(profile: Option<&AppArmorProfile>) -> Option<SecurityProfile> {
    let profile = profile?;
    Some(match profile.type_.as_str() {
        "RuntimeDefault" => {
            SecurityProfile { profile_type: ProfileType::RuntimeDefault, ..Default::default() }
        }
        "Localhost" => SecurityProfile {
            profile_type: ProfileType::Localhost,
            localhost_ref: profile.localhost_profile.clone().unwrap_or_default(),
        },
        _ => SecurityProfile::default(),
    })
}

fn selinux(options: Option<&SELinuxOptions>) -> Option<SeLinuxOption> {
    let options = options?;
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    Some(SeLinuxOption {
        user: text(&options.user),
        role: text(&options.role),
        kind: text(&options.type_),
        level: text(&options.level),
    })
}

/// The pod's namespaces.
fn namespaces(pod: &PodInfo) -> NamespaceOption {
    let spec = pod.spec();
    let of_node =
        |flag: Option<bool>| if flag == Some(true) { NamespaceMode::Node } else { NamespaceMode::Pod };
    let pid = match (spec.host_pid, spec.share_process_namespace) {
        (Some(true), _) => NamespaceMode::Node,
        (_, Some(true)) => NamespaceMode::Pod,
        _ => NamespaceMode::Container,
    };
    NamespaceOption {
        network: of_node(spec.host_network),
        ipc: of_node(spec.host_ipc),
        pid,
        ..NamespaceOption::default()
    }
}

/// More groups of every process: the pod's and the group of its volumes.
fn groups(context: &PodSecurityContext) -> Vec<i64> {
    context.supplemental_groups.iter().flatten().copied().chain(context.fs_group).collect()
}

fn groups_policy(context: &PodSecurityContext) -> SupplementalGroupsPolicy {
    match context.supplemental_groups_policy.as_deref() {
        Some("Strict") => SupplementalGroupsPolicy::Strict,
        _ => SupplementalGroupsPolicy::Merge,
    }
}

pub(super) fn of_sandbox(pod: &PodInfo, seccomp_dir: &Path) -> LinuxSandboxSecurityContext {
    let of_pod = pod_context(pod);
    let is_privileged = |container: &PodContainer| context(&container.spec).privileged == Some(true);
    LinuxSandboxSecurityContext {
        namespace_options: namespaces(pod),
        selinux_options: selinux(of_pod.se_linux_options.as_ref()),
        run_as_user: of_pod.run_as_user,
        run_as_group: of_pod.run_as_group,
        supplemental_groups: groups(&of_pod),
        supplemental_groups_policy: groups_policy(&of_pod),
        privileged: pod.containers.iter().any(is_privileged),
        seccomp: seccomp(of_pod.seccomp_profile.as_ref(), seccomp_dir),
        apparmor: apparmor(of_pod.app_armor_profile.as_ref()),
        ..LinuxSandboxSecurityContext::default()
    }
}

/// `target` is the id of the container whose processes an ephemeral one shall see.
pub(super) fn of_container(
    pod: &PodInfo,
    container: &Container,
    image: &Image,
    target: Option<String>,
    seccomp_dir: &Path,
) -> LinuxContainerSecurityContext {
    let (of_pod, own) = (pod_context(pod), context(container));
    let mut namespace_options = namespaces(pod);
    if let Some(target) = target {
        namespace_options.pid = NamespaceMode::Target;
        namespace_options.target_id = target;
    }
    let privileged = own.privileged == Some(true);
    let masks = !privileged && own.proc_mount.as_deref() != Some("Unmasked");
    let paths =
        |list: &[&str]| if masks { list.iter().map(|path| (*path).to_owned()).collect() } else { Vec::new() };
    let user = own.run_as_user.or(of_pod.run_as_user);
    let capabilities = own.capabilities.unwrap_or_default();
    LinuxContainerSecurityContext {
        capabilities: Capability {
            add_capabilities: capabilities.add.unwrap_or_default(),
            drop_capabilities: capabilities.drop.unwrap_or_default(),
            ..Capability::default()
        },
        privileged,
        namespace_options,
        selinux_options: selinux(own.se_linux_options.as_ref().or(of_pod.se_linux_options.as_ref())),
        // The image's user, as the engine cannot know which of them counts with a group.
        run_as_user: user.or(image.uid),
        run_as_group: own.run_as_group.or(of_pod.run_as_group),
        run_as_username: if user.is_none() && image.uid.is_none() {
            image.username.clone()
        } else {
            String::new()
        },
        readonly_rootfs: own.read_only_root_filesystem == Some(true),
        supplemental_groups: groups(&of_pod),
        supplemental_groups_policy: groups_policy(&of_pod),
        no_new_privs: own.allow_privilege_escalation == Some(false),
        masked_paths: paths(&MASKED_PATHS),
        readonly_paths: paths(&READONLY_PATHS),
        seccomp: match privileged {
            true => None,
            false => seccomp(own.seccomp_profile.as_ref().or(of_pod.seccomp_profile.as_ref()), seccomp_dir),
        },
        apparmor: apparmor(own.app_armor_profile.as_ref().or(of_pod.app_armor_profile.as_ref())),
    }
}

/// Refuses a container that must not run as root but would, or might.
pub(crate) fn check_non_root(pod: &PodInfo, container: &Container, image: &Image) -> Result<(), SpecError> {
    let (of_pod, own) = (pod_context(pod), context(container));
    if own.run_as_non_root.or(of_pod.run_as_non_root) != Some(true) {
        return Ok(());
    }
    let (pod, container) = (pod.display(), container.name.clone());
    match (own.run_as_user.or(of_pod.run_as_user), image.uid) {
        (Some(0), _) => Err(SpecError::UserIsRoot { pod, container }),
        (Some(_), _) => Ok(()),
        (None, Some(0)) => Err(SpecError::ImageIsRoot { pod, container }),
        (None, Some(_)) => Ok(()),
        (None, None) if image.username.is_empty() => Err(SpecError::ImageIsRoot { pod, container }),
        (None, None) => Err(SpecError::ImageUserIsName { user: image.username.clone(), pod, container }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::sync::Arc;

    #[test]
    fn root_is_refused_where_it_must_not_be() {
        let root = Image::default();
        let numeric = Image { uid: Some(1000), ..Image::default() };
        let named = Image { username: "app".into(), ..Image::default() };
        let cases = [
            (json!({}), json!({}), &root, None),
            (json!({"runAsNonRoot": true}), json!({}), &root, Some("image will run as root")),
            (json!({"runAsNonRoot": true}), json!({"runAsUser": 5}), &root, None),
            (
                json!({"runAsNonRoot": true}),
                json!({"runAsUser": 0}),
                &root,
                Some("runAsUser breaks non-root policy"),
            ),
            (json!({"runAsNonRoot": true}), json!({"runAsNonRoot": false}), &root, None),
            (json!({}), json!({"runAsNonRoot": true}), &numeric, None),
            (json!({}), json!({"runAsNonRoot": true}), &named, Some("non-numeric user (app)")),
        ];
        for (of_pod, own, image, message) in cases {
            let pod = json!({"metadata": {"name": "p", "namespace": "a", "uid": "u"},
                "spec": {"securityContext": of_pod, "containers": [{"name": "c", "securityContext": own}]}});
            let pod = PodInfo::new(Arc::new(serde_json::from_value(pod).unwrap()));
            let result = check_non_root(&pod, &pod.containers[0].spec, image);
            match message {
                None => assert!(result.is_ok()),
                Some(part) => assert!(result.unwrap_err().to_string().contains(part)),
            }
        }
    }
}
