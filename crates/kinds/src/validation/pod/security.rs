//! Security contexts of pods and containers.

use std::collections::HashSet;

use object::field::{Error, Errors};
use object::names::SysctlNamespace;
use object::{Value, names};

use super::annotations::{SECCOMP_POD, SECCOMP_PREFIX, of_containers};
use super::each::each_container;
use super::paths::descending_path;
use super::windows::validate_windows_options;
use crate::validation::field::Field;

const SYSCTL_NAME_MAX: usize = 253;
/// The longest path, less the byte that ends it.
const PROFILE_PATH_MAX: usize = 4095;

/// Checks the security context of a container.
pub(super) fn validate_security_context(errors: &mut Errors, context: &Field<'_, '_>, host_users: bool) {
    if !context.is_set() {
        return;
    }
    context.child("runAsUser").check_number(errors, names::is_valid_user_id);
    context.child("runAsGroup").check_number(errors, names::is_valid_group_id);
    let proc_mount = context.child("procMount");
    if proc_mount.is_set() {
        proc_mount.check_known(errors, &["Default", "Unmasked"]);
        if host_users && proc_mount.text() == "Unmasked" {
            proc_mount.invalid(errors, "`hostUsers` must be false to use `Unmasked`");
        }
    }
    validate_seccomp_profile(errors, &context.child("seccompProfile"));
    if context.child("allowPrivilegeEscalation").is_false() {
        if context.child("privileged").is_true() {
            context
                .invalid(errors, "cannot set `allowPrivilegeEscalation` to false and `privileged` to true");
        }
        let added = context.value.at("capabilities.add");
        for _ in added.items().filter(|capability| capability.as_str() == Some("CAP_SYS_ADMIN")) {
            let why = "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN";
            context.invalid(errors, why);
        }
    }
    validate_windows_options(errors, &context.child("windowsOptions"));
    validate_app_armor_profile(errors, &context.child("appArmorProfile"));
}

/// Checks the security context of a pod.
pub(super) fn validate_pod_security_context(errors: &mut Errors, spec: &Field<'_, '_>) {
    let context = spec.child("securityContext");
    if !context.is_set() {
        return;
    }
    context.child("fsGroup").check_number(errors, names::is_valid_group_id);
    context.child("runAsUser").check_number(errors, names::is_valid_user_id);
    context.child("runAsGroup").check_number(errors, names::is_valid_group_id);
    for group in context.child("supplementalGroups").items() {
        group.check_number(errors, names::is_valid_group_id);
    }
    let shares = spec.child("shareProcessNamespace");
    if shares.is_true() && spec.child("hostPID").is_true() {
        let path = context.path.child("shareProcessNamespace");
        shares.named(path).invalid(errors, "ShareProcessNamespace and HostPID cannot both be enabled");
    }
    validate_sysctls(errors, &context.child("sysctls"), spec);
    context.child("fsGroupChangePolicy").check_known(errors, &["Always", "OnRootMismatch"]);
    validate_seccomp_profile(errors, &context.child("seccompProfile"));
    validate_windows_options(errors, &context.child("windowsOptions"));
    validate_app_armor_profile(errors, &context.child("appArmorProfile"));
    context.child("supplementalGroupsPolicy").check_known(errors, &["Merge", "Strict"]);
    context.child("seLinuxChangePolicy").check_known(errors, &["MountOption", "Recursive"]);
}

fn validate_seccomp_profile(errors: &mut Errors, profile: &Field<'_, '_>) {
    if !profile.is_set() {
        return;
    }
    let (kind, local) = (profile.child("type"), profile.child("localhostProfile"));
    match kind.text() {
        "Localhost" | "RuntimeDefault" | "Unconfined" => {}
        "" => kind.required(errors, "type is required when seccompProfile is set"),
        _ => kind.not_supported(errors, &["Localhost", "RuntimeDefault", "Unconfined"]),
    }
    match (kind.text() == "Localhost", local.is_set()) {
        (true, true) => descending_path(errors, &local),
        (true, false) => local.required(errors, "must be set when seccomp type is Localhost"),
        (false, true) => {
            let why = "can only be set when seccomp type is Localhost";
            errors.invalid(&local.path, profile.value.clone(), why);
        }
        (false, false) => {}
    }
}

fn validate_app_armor_profile(errors: &mut Errors, profile: &Field<'_, '_>) {
    if !profile.is_set() {
        return;
    }
    let (kind, local) = (profile.child("type"), profile.child("localhostProfile"));
    match kind.text() {
        "Localhost" => {
            let text = local.text();
            if text.trim() != text {
                local.invalid(errors, "must not be padded with whitespace");
            } else if text.is_empty() {
                local.required(errors, "must be set when AppArmor type is Localhost");
            }
            if text.len() > PROFILE_PATH_MAX {
                errors.push(Error::too_long(&local.path, PROFILE_PATH_MAX));
            }
        }
        "RuntimeDefault" | "Unconfined" if local.is_set() => {
            local.invalid(errors, "can only be set when AppArmor type is Localhost");
        }
        "RuntimeDefault" | "Unconfined" => {}
        "" => kind.required(errors, "type is required when appArmorProfile is set"),
        _ => kind.not_supported(errors, &["Localhost", "RuntimeDefault", "Unconfined"]),
    }
}

fn validate_sysctls(errors: &mut Errors, sysctls: &Field<'_, '_>, spec: &Field<'_, '_>) {
    let mut seen = HashSet::new();
    for sysctl in sysctls.items() {
        let name = sysctl.child("name");
        let text = name.text();
        if text.is_empty() {
            name.required(errors, "");
        } else if !is_sysctl_name(text) {
            let segment = "[a-z0-9]([-_a-z0-9]*[a-z0-9])?";
            let why = format!(
                r"must have at most {SYSCTL_NAME_MAX} characters and match regex ^({segment}[\./])*{segment}$"
            );
            name.invalid(errors, why);
        } else if seen.contains(text) {
            name.duplicate(errors);
        }
        match names::sysctl_namespace(&names::normalize_sysctl(text)) {
            Some(SysctlNamespace::Network) if spec.child("hostNetwork").is_true() => {
                name.invalid(errors, "may not be specified when 'hostNetwork' is true");
            }
            Some(SysctlNamespace::Ipc) if spec.child("hostIPC").is_true() => {
                name.invalid(errors, "may not be specified when 'hostIPC' is true");
            }
            _ => {}
        }
        seen.insert(text);
    }
}

fn is_sysctl_name(name: &str) -> bool {
    let edge = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let segment = |part: &str| match part.as_bytes() {
        bytes @ [first, .., last] | bytes @ [first @ last] => {
            edge(first) && edge(last) && bytes.iter().all(|b| edge(b) || b"-_".contains(b))
        }
        [] => false,
    };
    name.len() <= SYSCTL_NAME_MAX && name.split(['.', '/']).all(segment)
}

/// Pods with a user namespace cannot share other namespaces with the host.
pub(super) fn validate_host_users(errors: &mut Errors, spec: &Field<'_, '_>) {
    if !spec.child("hostUsers").is_false() {
        return;
    }
    const WHY: &str = "when `pod.Spec.HostUsers` is false";
    // The words of the paths are upstream's.
    for (name, shown) in [("hostPID", "HostPID"), ("hostIPC", "HostIPC")] {
        let field = spec.child(name);
        if field.is_true() {
            field.named(spec.path.child(shown)).forbidden(errors, WHY);
        }
    }
}

/// Checks that seccomp annotations, which older clients set, agree with the fields.
pub(super) fn validate_seccomp_annotations(errors: &mut Errors, annotations: &Value, spec: &Field<'_, '_>) {
    let check = |errors: &mut Errors, annotation: Option<&str>, profile: &Field<'_, '_>| {
        let Some(annotation) = annotation.filter(|_| profile.is_set()) else { return };
        let (kind, local) = (profile.child("type"), profile.child("localhostProfile"));
        let matches = match kind.text() {
            "Unconfined" => annotation == "unconfined",
            "RuntimeDefault" => matches!(annotation, "runtime/default" | "docker/default"),
            "Localhost" => annotation.starts_with("localhost/"),
            _ => true,
        };
        if !matches {
            kind.forbidden(errors, "seccomp type in annotation and field must match");
        } else if kind.text() == "Localhost" && annotation.strip_prefix("localhost/") != Some(local.text()) {
            local.forbidden(errors, "seccomp profile in annotation and field must match");
        }
    };
    let context = spec.child("securityContext");
    check(errors, annotations.get(SECCOMP_POD).as_str(), &context.child("seccompProfile"));
    let of_containers = of_containers(annotations, SECCOMP_PREFIX);
    each_container(spec, |container| {
        let annotation = of_containers.get(container.child("name").text()).copied();
        let context = container.child("securityContext");
        check(errors, annotation, &context.child("seccompProfile"));
    });
}
