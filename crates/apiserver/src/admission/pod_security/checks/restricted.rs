//! Checks of the level `restricted`.

use object::Value;

use super::baseline::added_beyond;
use super::{containers, plural, quoted, setters, sorted};
use crate::admission::pod_security::pod::{Finding, Pod};

/// Sources of volumes that give no access to the host.
const VOLUMES: [&str; 9] = [
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "image",
    "persistentVolumeClaim",
    "projected",
    "secret",
];
/// All other sources, in the order in which they are checked.
const OTHER_VOLUMES: [&str; 21] = [
    "hostPath",
    "gcePersistentDisk",
    "awsElasticBlockStore",
    "gitRepo",
    "nfs",
    "iscsi",
    "glusterfs",
    "rbd",
    "flexVolume",
    "cinder",
    "cephfs",
    "flocker",
    "fc",
    "azureFile",
    "vsphereVolume",
    "quobyte",
    "azureDisk",
    "photonPersistentDisk",
    "portworxVolume",
    "scaleIO",
    "storageos",
];

/// No process may gain more privileges than its parent.
pub(super) fn privilege_escalation(pod: Pod<'_>) -> Option<Finding> {
    let bad = pod
        .names(|container| container.at("securityContext.allowPrivilegeEscalation").as_bool() != Some(false));
    (!bad.is_empty()).then(|| Finding {
        reason: "allowPrivilegeEscalation != false",
        detail: format!("{} must set securityContext.allowPrivilegeEscalation=false", containers(&bad)),
    })
}

/// Windows does not have this.
pub(super) fn privilege_escalation_v25(pod: Pod<'_>) -> Option<Finding> {
    if pod.is_windows() { None } else { privilege_escalation(pod) }
}

/// All capabilities dropped, and none added except the one to listen on low ports.
pub(super) fn capabilities(pod: Pod<'_>) -> Option<Finding> {
    let drops_all = |container: &Value| {
        let dropped = container.at("securityContext.capabilities.drop");
        dropped.items().any(|name| name.as_str() == Some("ALL"))
    };
    let keeping = pod.names(|container| !drops_all(container));
    let dropped = (!keeping.is_empty())
        .then(|| format!(r#"{} must set securityContext.capabilities.drop=["ALL"]"#, containers(&keeping)));
    let added = added_beyond(pod, &["NET_BIND_SERVICE"]);
    let details: Vec<String> = dropped.into_iter().chain(added).collect();
    (!details.is_empty()).then(|| Finding { reason: "unrestricted capabilities", detail: details.join("; ") })
}

/// Windows has no capabilities.
pub(super) fn capabilities_v25(pod: Pod<'_>) -> Option<Finding> {
    if pod.is_windows() { None } else { capabilities(pod) }
}

/// No volumes that give access to the host.
pub(super) fn volumes(pod: Pod<'_>) -> Option<Finding> {
    let has = |volume: &Value, sources: &[&'static str]| {
        sources.iter().find(|source| !volume.get(source).is_null()).copied()
    };
    let bad: Vec<&Value> =
        pod.spec.get("volumes").items().filter(|volume| has(volume, &VOLUMES).is_none()).collect();
    let kinds = sorted(bad.iter().map(|volume| has(volume, &OTHER_VOLUMES).unwrap_or("unknown")));
    (!bad.is_empty()).then(|| {
        let names = quoted(bad.iter().map(|volume| volume.str_at("name")));
        let (who, uses) = (plural("volume", "volumes", bad.len()), plural("uses", "use", bad.len()));
        let what = plural("restricted volume type", "restricted volume types", kinds.len());
        Finding {
            reason: "restricted volume types",
            detail: format!("{who} {names} {uses} {what} {}", quoted(kinds)),
        }
    })
}

/// Every container, or the pod for all of them, declares that it does not run as root.
pub(super) fn run_as_non_root(pod: Pod<'_>) -> Option<Finding> {
    let stated = |of: &Value| of.at("securityContext.runAsNonRoot").as_bool();
    let is_root = |of: &Value| stated(of) == Some(false);
    let who = setters(is_root(pod.spec), &pod.names(is_root));
    if !who.is_empty() {
        let detail = format!("{who} must not set securityContext.runAsNonRoot=false");
        return Some(Finding { reason: "runAsNonRoot != true", detail });
    }
    let silent = pod.names(|container| stated(container).is_none() && stated(pod.spec) != Some(true));
    (!silent.is_empty()).then(|| Finding {
        reason: "runAsNonRoot != true",
        detail: format!("pod or {} must set securityContext.runAsNonRoot=true", containers(&silent)),
    })
}

/// In a pod with a user namespace, root is an unprivileged user on the host.
pub(super) fn run_as_non_root_v35(pod: Pod<'_>) -> Option<Finding> {
    if pod.has_own_users() { None } else { run_as_non_root(pod) }
}

/// No container requests root.
pub(super) fn run_as_user(pod: Pod<'_>) -> Option<Finding> {
    let is_root = |of: &Value| of.at("securityContext.runAsUser").as_i64() == Some(0);
    let who = setters(is_root(pod.spec), &pod.names(is_root));
    (!who.is_empty())
        .then(|| Finding { reason: "runAsUser=0", detail: format!("{who} must not set runAsUser=0") })
}

/// Like [`run_as_non_root_v35`].
pub(super) fn run_as_user_v35(pod: Pod<'_>) -> Option<Finding> {
    if pod.has_own_users() { None } else { run_as_user(pod) }
}
