//! The checks, in the order in which messages name them, each with its variants in versions of Kubernetes.

use std::collections::BTreeSet;

use super::level::Version;
use super::pod::{Finding, Pod};

mod baseline;
mod profiles;
mod restricted;

/// Finds violations of a check.
pub(super) type Find = fn(Pod<'_>) -> Option<Finding>;

/// A check.
pub(super) struct Check {
    /// Its name.
    pub(super) id: &'static str,
    /// Its variants, each with the minor version from which it applies, in ascending order.
    pub(super) forms: &'static [(u32, Find)],
    /// The name of the check of the lower level that this one replaces; empty if there is none.
    pub(super) overrides: &'static str,
}

impl Check {
    /// The variant of the check for a version; `None` if the version does not have it yet.
    pub(super) fn at(&self, version: Version) -> Option<Find> {
        let counts = |minor: u32| version >= Version::Minor(minor);
        self.forms.iter().rev().find(|(minor, _)| counts(*minor)).map(|(_, find)| *find)
    }
}

const fn check(id: &'static str, forms: &'static [(u32, Find)]) -> Check {
    Check { id, forms, overrides: "" }
}

/// The checks of the level `baseline`.
pub(super) const BASELINE: [Check; 12] = [
    check("appArmorProfile", &[(0, profiles::app_armor)]),
    check("capabilities_baseline", &[(0, baseline::capabilities)]),
    check("hostNamespaces", &[(0, baseline::host_namespaces)]),
    check("hostPathVolumes", &[(0, baseline::host_paths)]),
    check("hostPorts", &[(0, baseline::host_ports)]),
    check("hostProbesAndHostLifecycle", &[(34, baseline::hosts_of_handlers)]),
    check("privileged", &[(0, baseline::privileged)]),
    check("procMount", &[(0, baseline::proc_mount), (35, baseline::proc_mount_v35)]),
    check("seLinuxOptions", &[(0, profiles::se_linux), (31, profiles::se_linux_v31)]),
    check("seccompProfile_baseline", &[(0, profiles::seccomp_annotations), (19, profiles::seccomp)]),
    check(
        "sysctls",
        &[
            (0, baseline::sysctls),
            (27, baseline::sysctls_v27),
            (29, baseline::sysctls_v29),
            (32, baseline::sysctls_v32),
            (37, baseline::sysctls_v37),
        ],
    ),
    check("windowsHostProcess", &[(0, baseline::windows_host_process)]),
];

/// The additional checks of the level `restricted`.
pub(super) const RESTRICTED: [Check; 7] = [
    check(
        "allowPrivilegeEscalation",
        &[(8, restricted::privilege_escalation), (25, restricted::privilege_escalation_v25)],
    ),
    Check {
        id: "capabilities_restricted",
        forms: &[(22, restricted::capabilities), (25, restricted::capabilities_v25)],
        overrides: "capabilities_baseline",
    },
    // From 1.35 on, the lower level allows pods with a user namespace any mount of `/proc`; this one does not.
    Check { id: "procMount_restricted", forms: &[(35, baseline::proc_mount)], overrides: "procMount" },
    Check { id: "restrictedVolumes", forms: &[(0, restricted::volumes)], overrides: "hostPathVolumes" },
    check("runAsNonRoot", &[(0, restricted::run_as_non_root), (35, restricted::run_as_non_root_v35)]),
    check("runAsUser", &[(23, restricted::run_as_user), (35, restricted::run_as_user_v35)]),
    Check {
        id: "seccompProfile_restricted",
        forms: &[(19, profiles::seccomp_restricted), (25, profiles::seccomp_restricted_v25)],
        overrides: "seccompProfile_baseline",
    },
];

/// `"a", "b"`
fn quoted<'a>(items: impl IntoIterator<Item = &'a str>) -> String {
    let items: Vec<&str> = items.into_iter().collect();
    format!("\"{}\"", items.join("\", \""))
}

fn plural<'a>(one: &'a str, many: &'a str, count: usize) -> &'a str {
    if count == 1 { one } else { many }
}

/// `container "a"` or `containers "a", "b"`
fn containers(names: &[&str]) -> String {
    format!("{} {}", plural("container", "containers", names.len()), quoted(names.iter().copied()))
}

/// The pod if it violates the check itself, and the containers that do; empty if there is no violation.
fn setters(pod_does: bool, names: &[&str]) -> String {
    let pod = pod_does.then(|| "pod".to_owned());
    let named = (!names.is_empty()).then(|| containers(names));
    pod.into_iter().chain(named).collect::<Vec<_>>().join(" and ")
}

/// The forbidden values of containers, sorted.
fn sorted<'a>(values: impl IntoIterator<Item = &'a str>) -> BTreeSet<&'a str> {
    values.into_iter().collect()
}
