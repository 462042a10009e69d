//! Checks of the profiles that confine processes: AppArmor, SELinux, seccomp.

use std::collections::BTreeSet;

use object::{Value, quote};

use super::{containers, plural, quoted, setters, sorted};
use crate::admission::pod_security::pod::{Finding, Pod};

const APP_ARMOR: &str = "container.apparmor.security.beta.kubernetes.io/";
const SECCOMP_POD: &str = "seccomp.security.alpha.kubernetes.io/pod";
const SECCOMP_CONTAINER: &str = "container.seccomp.security.alpha.kubernetes.io/";
/// The SELinux types of processes in containers; the last one was added in 1.31.
const SE_LINUX: [&str; 5] = ["", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"];

/// The profile of a pod or a container, if it is neither the runtime's nor one of the node.
fn bad_profile<'a>(of: &'a Value, path: &str) -> Option<&'a str> {
    let profile = of.at(path);
    let kind = profile.str_at("type");
    (!profile.is_null() && !matches!(kind, "RuntimeDefault" | "Localhost")).then_some(kind)
}

/// Only AppArmor profiles of the runtime and of the node.
pub(super) fn app_armor(pod: Pod<'_>) -> Option<Finding> {
    const PATH: &str = "securityContext.appArmorProfile";
    let of_pod = bad_profile(pod.spec, PATH);
    let bad = pod.names(|container| bad_profile(container, PATH).is_some());
    let values = of_pod.into_iter().chain(pod.containers().filter_map(|c| bad_profile(c, PATH)));
    let mut values: Vec<String> = sorted(values).into_iter().map(str::to_owned).collect();
    let mut who = setters(of_pod.is_some(), &bad);
    let is_allowed =
        |profile: &str| matches!(profile, "" | "runtime/default") || profile.starts_with("localhost/");
    let notes = pod.metadata.get("annotations").entries();
    let notes = notes
        .filter(|(key, value)| key.starts_with(APP_ARMOR) && !is_allowed(value.as_str().unwrap_or_default()));
    let mut notes: Vec<String> =
        notes.map(|(key, value)| format!("{key}={}", quote(value.as_str().unwrap_or_default()))).collect();
    if !notes.is_empty() {
        notes.sort();
        let noted = plural("annotation", "annotations", notes.len());
        who = if who.is_empty() { noted.to_owned() } else { format!("{who} and {noted}") };
        values.append(&mut notes);
    }
    (!who.is_empty()).then(|| Finding {
        reason: plural("forbidden AppArmor profile", "forbidden AppArmor profiles", values.len()),
        detail: format!(
            "{who} must not set AppArmor profile type to {}",
            quoted(values.iter().map(String::as_str))
        ),
    })
}

/// The violations in SELinux options of pod and containers.
#[derive(Default)]
struct SeLinux<'a> {
    types: BTreeSet<&'a str>,
    sets_user: bool,
    sets_role: bool,
}

impl<'a> SeLinux<'a> {
    fn is_bad(&mut self, of: &'a Value, allowed: &[&str]) -> bool {
        let options = of.at("securityContext.seLinuxOptions");
        let kind = options.str_at("type");
        let (user, role) = (!options.str_at("user").is_empty(), !options.str_at("role").is_empty());
        let type_is_bad = !allowed.contains(&kind);
        if type_is_bad {
            self.types.insert(kind);
        }
        self.sets_user |= user;
        self.sets_role |= role;
        type_is_bad || user || role
    }
}

fn se_linux_but(pod: Pod<'_>, allowed: &[&str]) -> Option<Finding> {
    let mut found = SeLinux::default();
    let pod_is_bad = found.is_bad(pod.spec, allowed);
    let mut bad = Vec::new();
    for container in pod.containers() {
        if found.is_bad(container, allowed) {
            bad.push(container.str_at("name"));
        }
    }
    let who = setters(pod_is_bad, &bad);
    if who.is_empty() {
        return None;
    }
    let mut what = Vec::new();
    if !found.types.is_empty() {
        let types = plural("type", "types", found.types.len());
        what.push(format!("{types} {}", quoted(found.types)));
    }
    what.extend(found.sets_user.then(|| "user may not be set".to_owned()));
    what.extend(found.sets_role.then(|| "role may not be set".to_owned()));
    Some(Finding {
        reason: "seLinuxOptions",
        detail: format!("{who} set forbidden securityContext.seLinuxOptions: {}", what.join("; ")),
    })
}

/// Only the SELinux types that processes in containers have anyway, and no users or roles.
pub(super) fn se_linux(pod: Pod<'_>) -> Option<Finding> {
    se_linux_but(pod, &SE_LINUX[..4])
}

pub(super) fn se_linux_v31(pod: Pod<'_>) -> Option<Finding> {
    se_linux_but(pod, &SE_LINUX)
}

/// Before there was a field for seccomp profiles, annotations named them.
pub(super) fn seccomp_annotations(pod: Pod<'_>) -> Option<Finding> {
    let notes = pod.metadata.get("annotations");
    let of_containers = pod.containers().map(|c| format!("{SECCOMP_CONTAINER}{}", c.str_at("name")));
    let mut bad = BTreeSet::new();
    for key in [SECCOMP_POD.to_owned()].into_iter().chain(of_containers) {
        let Some(profile) = notes.get(&key).as_str() else { continue };
        if !matches!(profile, "runtime/default" | "docker/default") && !profile.starts_with("localhost/") {
            bad.insert(format!("{key}={}", quote(profile)));
        }
    }
    (!bad.is_empty()).then(|| {
        let (noted, list) = (plural("annotation", "annotations", bad.len()), Vec::from_iter(bad).join(", "));
        Finding { reason: "seccompProfile", detail: format!("forbidden {noted} {list}") }
    })
}

const SECCOMP: &str = "securityContext.seccompProfile";

/// Only seccomp profiles of the runtime and of the node.
pub(super) fn seccomp(pod: Pod<'_>) -> Option<Finding> {
    let of_pod = bad_profile(pod.spec, SECCOMP);
    let bad = pod.names(|container| bad_profile(container, SECCOMP).is_some());
    let values = of_pod.into_iter().chain(pod.containers().filter_map(|c| bad_profile(c, SECCOMP)));
    let (who, values) = (setters(of_pod.is_some(), &bad), quoted(sorted(values)));
    (!who.is_empty()).then(|| Finding {
        reason: "seccompProfile",
        detail: format!("{who} must not set securityContext.seccompProfile.type to {values}"),
    })
}

/// Every container has such a profile, its own or the pod's.
pub(super) fn seccomp_restricted(pod: Pod<'_>) -> Option<Finding> {
    if let Some(finding) = seccomp(pod) {
        return Some(finding);
    }
    let has_profile = |of: &Value| !of.at(SECCOMP).is_null();
    let bare = pod.names(|container| !has_profile(pod.spec) && !has_profile(container));
    (!bare.is_empty()).then(|| Finding {
        reason: "seccompProfile",
        detail: format!(
            r#"pod or {} must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost""#,
            containers(&bare)
        ),
    })
}

/// Windows has no such profiles.
pub(super) fn seccomp_restricted_v25(pod: Pod<'_>) -> Option<Finding> {
    if pod.is_windows() { None } else { seccomp_restricted(pod) }
}
