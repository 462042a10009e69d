//! Fields that only Windows pods may have, and fields that they may not.

use object::field::Errors;
use object::names;

use super::each::each_container;
use crate::validation::field::Field;

const CREDENTIAL_SPEC_KIB_MAX: usize = 64;
const DOMAIN_MAX: usize = 256;
const USER_MAX: usize = 104;

pub(super) fn validate_windows_options(errors: &mut Errors, options: &Field<'_, '_>) {
    let (name, spec) = (options.child("gmsaCredentialSpecName"), options.child("gmsaCredentialSpec"));
    if name.is_set() {
        name.check(errors, names::is_dns1123_subdomain);
    }
    if spec.is_set() && spec.is_empty() {
        spec.invalid(errors, "gmsaCredentialSpec cannot be an empty string");
    } else if spec.text().len() > CREDENTIAL_SPEC_KIB_MAX << 10 {
        spec.invalid(errors, format!("gmsaCredentialSpec size must be under {CREDENTIAL_SPEC_KIB_MAX} KiB"));
    }
    let user = options.child("runAsUserName");
    if user.is_set() {
        validate_user_name(errors, &user);
    }
}

fn validate_user_name(errors: &mut Errors, name: &Field<'_, '_>) {
    let text = name.text();
    if text.is_empty() {
        return name.invalid(errors, "runAsUserName cannot be an empty string");
    }
    if text.bytes().any(|b| b.is_ascii_control()) {
        return name.invalid(errors, "runAsUserName cannot contain control characters");
    }
    if text.matches('\\').count() > 1 {
        return name.invalid(errors, "runAsUserName cannot contain more than one backslash");
    }
    let (domain, user) = text.split_once('\\').map_or((None, text), |(domain, user)| (Some(domain), user));
    if domain.is_some_and(|domain| domain.len() >= DOMAIN_MAX) {
        name.invalid(errors, format!("runAsUserName's Domain length must be under {DOMAIN_MAX} characters"));
    }
    if domain.is_some_and(|domain| !(is_net_bios(domain) || is_dns(domain))) {
        name.invalid(errors, "runAsUserName's Domain doesn't match the NetBios nor the DNS format");
    }
    if user.is_empty() {
        name.invalid(errors, "runAsUserName's User cannot be empty");
    } else if user.len() > USER_MAX {
        name.invalid(
            errors,
            format!("runAsUserName's User length must not be longer than {USER_MAX} characters"),
        );
    }
    if !user.is_empty() && user.bytes().all(|b| b == b'.' || b == b' ') {
        name.invalid(errors, "runAsUserName's User cannot contain only periods or spaces");
    }
    if user.contains(['"', '/', '\\', ':', ';', '|', '=', ',', '+', '*', '?', '<', '>', '@', '[', ']']) {
        let why = r#"runAsUserName's User cannot contain the following characters: "/\:;|=,+*?<>@[]"#;
        name.invalid(errors, why);
    }
}

fn is_net_bios(domain: &str) -> bool {
    let length = domain.chars().count();
    (1..=15).contains(&length)
        && !domain.starts_with('.')
        && !domain.contains(['\\', '/', ':', '*', '?', '"', '<', '>', '|'])
}

fn is_dns(domain: &str) -> bool {
    domain.split('.').all(|label| {
        let edges = label.starts_with(|c: char| c.is_ascii_alphanumeric())
            && label.ends_with(|c: char| c.is_ascii_alphanumeric());
        edges && label.len() <= 63 && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    })
}

/// Containers that are processes of the host are so all together, and use its network.
pub(super) fn validate_host_process(errors: &mut Errors, spec: &Field<'_, '_>) {
    let pod = spec.value.at("securityContext.windowsOptions.hostProcess").as_bool();
    let (mut count, mut host) = (0, 0);
    each_container(spec, |container| {
        count += 1;
        let context = container.child("securityContext");
        let options = context.child("windowsOptions");
        let own = options.child("hostProcess");
        if let (Some(pod), Some(value)) = (pod, own.value.as_bool())
            && pod != value
        {
            own.invalid(
                errors,
                format!("pod hostProcess value must be identical if both are specified, was {pod}"),
            );
        }
        host += usize::from(own.value.as_bool().or(pod) == Some(true));
    });
    if host == 0 {
        return;
    }
    if host != count {
        let why =
            "If pod contains any hostProcess containers then all containers must be HostProcess containers";
        errors.invalid(&spec.path, "", why);
    }
    let network = spec.child("hostNetwork");
    if !network.is_true() {
        errors.invalid(
            &network.path,
            false,
            "hostNetwork must be true if pod contains any hostProcess containers",
        );
    }
}

/// Checks `os`, and that the pod asks for nothing that its operating system lacks.
pub(super) fn validate_os(errors: &mut Errors, spec: &Field<'_, '_>) {
    let os = spec.child("os");
    if !os.is_set() {
        return;
    }
    let name = os.child("name");
    match name.text() {
        "" => name.required(errors, "cannot be empty"),
        "linux" => validate_linux(errors, spec),
        "windows" => validate_windows(errors, spec),
        other => errors.not_supported(&os.path, other, &["linux", "windows"]),
    }
}

fn validate_linux(errors: &mut Errors, spec: &Field<'_, '_>) {
    let mut check = |holder: &Field<'_, '_>| {
        let context = holder.child("securityContext");
        let options = context.child("windowsOptions");
        if options.is_set() {
            options.forbidden(errors, "windows options cannot be set for a linux pod");
        }
    };
    check(spec);
    each_container(spec, check);
}

fn validate_windows(errors: &mut Errors, spec: &Field<'_, '_>) {
    const OF_POD: [&str; 11] = [
        "appArmorProfile",
        "seLinuxOptions",
        "seccompProfile",
        "fsGroup",
        "fsGroupChangePolicy",
        "sysctls",
        "runAsUser",
        "runAsGroup",
        "supplementalGroups",
        "supplementalGroupsPolicy",
        "seLinuxChangePolicy",
    ];
    const OF_CONTAINER: [&str; 10] = [
        "appArmorProfile",
        "seLinuxOptions",
        "seccompProfile",
        "capabilities",
        "readOnlyRootFilesystem",
        "privileged",
        "allowPrivilegeEscalation",
        "procMount",
        "runAsUser",
        "runAsGroup",
    ];
    let mut forbid = |holder: &Field<'_, '_>, names: &[&str]| {
        for name in names {
            let field = holder.child(name);
            if field.is_set() {
                field.forbidden(errors, "cannot be set for a windows pod");
            }
        }
    };
    forbid(&spec.child("securityContext"), &OF_POD);
    forbid(spec, &["hostUsers", "shareProcessNamespace"]);
    let shared = ["hostPID", "hostIPC"].into_iter().filter(|name| spec.child(name).is_true());
    forbid(spec, &shared.collect::<Vec<_>>());
    each_container(spec, |container| forbid(&container.child("securityContext"), &OF_CONTAINER));
}
