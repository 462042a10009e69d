//! Security settings: the container's, then the pod's.

use std::path::Path;

use cri::{
    Capability, Image, LinuxContainerSecurityContext, LinuxSandboxSecurityContext, NamespaceMode,
    NamespaceOption, ProfileType, SeLinuxOption, SecurityProfile, SupplementalGroupsPolicy, UserNamespace,
    UserNamespaceMode,
};
use k8s_openapi::api::core::v1::{
    AppArmorProfile, Container, PodSecurityContext, SELinuxOptions, SeccompProfile, SecurityContext,
};

use super::SpecError;
use crate::host::HostSecurity;
use crate::pod::{PodContainer, PodInfo};

#[cfg(test)]
mod tests;

/// The prefix of the annotations with which older clients name AppArmor profiles.
const APP_ARMOR_ANNOTATION: &str = "container.apparmor.security.beta.kubernetes.io/";

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

/// The AppArmor profile of a container: its own, that of an annotation, or the pod's.
pub(crate) fn apparmor_profile(pod: &PodInfo, container: &Container) -> Option<AppArmorProfile> {
    let own = container.security_context.as_ref().and_then(|context| context.app_armor_profile.clone());
    own.or_else(|| annotated_profile(pod, &container.name)).or_else(|| pod_context(pod).app_armor_profile)
}

fn annotated_profile(pod: &PodInfo, container: &str) -> Option<AppArmorProfile> {
    let annotations = pod.pod.metadata.annotations.as_ref()?;
    let text = annotations.get(&format!("{APP_ARMOR_ANNOTATION}{container}"))?;
    let of = |kind: &str, name: Option<&str>| AppArmorProfile {
        type_: kind.to_owned(),
        localhost_profile: name.map(str::to_owned),
    };
    match text.as_str() {
        "" => None,
        "runtime/default" => Some(of("RuntimeDefault", None)),
        "unconfined" => Some(of("Unconfined", None)),
        text => Some(of("Localhost", Some(text.strip_prefix("localhost/").unwrap_or(text)))),
    }
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
    let options = options.filter(|options| **options != SELinuxOptions::default())?;
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
        // The engine refuses this if it does not support it; otherwise the pod's users would be the host's.
        userns: (spec.host_users == Some(false))
            .then(|| UserNamespace { mode: UserNamespaceMode::Pod, ..UserNamespace::default() }),
        ..NamespaceOption::default()
    }
}

/// Supplementary groups of every process: the pod's and the group of its volumes.
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

/// `target` is the ID of the container whose processes an ephemeral one should see.
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
    // `procMount: Unmasked` is refused while user namespaces are not supported.
    let paths = |list: &[&str]| {
        let hidden = list.iter().filter(|_| !privileged);
        hidden.map(|path| (*path).to_owned()).collect()
    };
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
        // The image's user, because the engine cannot know which user belongs to the group.
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
        apparmor: apparmor(apparmor_profile(pod, container).as_ref()),
    }
}

/// Refuses a pod whose sandbox cannot provide the requested isolation.
pub(crate) fn check_sandbox(pod: &PodInfo) -> Result<(), SpecError> {
    if pod.spec().host_users != Some(false) {
        return Ok(());
    }
    let class = pod.spec().runtime_class_name.clone().filter(|name| !name.is_empty());
    Err(class.map_or(SpecError::NoUserNamespaces, SpecError::NoUserNamespacesOfClass))
}

/// Refuses a container that cannot get the requested isolation.
pub(crate) fn check_container(
    pod: &PodInfo,
    container: &Container,
    host: HostSecurity,
) -> Result<(), SpecError> {
    let (of_pod, own) = (pod_context(pod), context(container));
    let refused = |field, why| {
        Err(SpecError::CannotApply { field, why, pod: pod.display(), container: container.name.clone() })
    };
    let windows = [own.windows_options, of_pod.windows_options].into_iter().flatten();
    if windows.into_iter().any(|options| options != Default::default()) {
        return refused("windowsOptions", "the node runs Linux");
    }
    if own.proc_mount.as_deref() == Some("Unmasked") {
        return Err(SpecError::Unmasked);
    }
    match labels(pod, container) {
        Some(field) if host.selinux => {
            refused(field, "SELinux is enabled on the node, but the engine does not label containers")
        }
        _ => Ok(()),
    }
}

/// The field with which a container requests SELinux labels.
fn labels(pod: &PodInfo, container: &Container) -> Option<&'static str> {
    let (of_pod, own) = (pod_context(pod), context(container));
    let mut options = [own.se_linux_options, of_pod.se_linux_options].into_iter().flatten();
    if options.any(|options| options != Default::default()) {
        return Some("seLinuxOptions");
    }
    of_pod.se_linux_change_policy.map(|_| "seLinuxChangePolicy")
}

/// Warnings for a pod that runs differently from its spec, because the kernel does not support a feature.
pub(crate) fn warning(pod: &PodInfo, host: HostSecurity) -> Option<String> {
    let field = pod.containers.iter().find_map(|container| labels(pod, &container.spec))?;
    (!host.selinux).then(|| format!("{field} has no effect: SELinux is not enabled on the node"))
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
