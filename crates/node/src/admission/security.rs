//! Whether the node can provide the isolation that a pod requests.

use crate::host::HostSecurity;
use crate::pod::PodInfo;
use crate::rejection::Rejection;
use crate::spec::apparmor_profile;

/// Refuses a pod for another operating system, and one whose AppArmor profiles cannot be enforced, as upstream does
/// (`pkg/kubelet/lifecycle/predicate.go`, `pkg/security/apparmor`).
pub(crate) fn check_security(pod: &PodInfo, host: HostSecurity) -> Result<(), Rejection> {
    if pod.spec().os.as_ref().is_some_and(|os| os.name != "linux") {
        let message = "Failed to admit pod as the OS field doesn't match node OS".to_owned();
        return Err(Rejection { reason: "PodOSNotSupported", message });
    }
    let fails =
        |why: &str| Err(Rejection { reason: "AppArmor", message: format!("Cannot enforce AppArmor: {why}") });
    for container in &pod.containers {
        match apparmor_profile(pod, &container.spec) {
            None => {}
            Some(profile) if profile.type_ == "Unconfined" => {}
            Some(_) if !host.apparmor => return fails("AppArmor is not enabled on the host"),
            // The engine has no default profile, so none can be promised.
            Some(profile) if profile.type_ == "RuntimeDefault" => {
                return fails(
                    "the node has no default profile (type RuntimeDefault): load a profile and name it (type Localhost)",
                );
            }
            Some(_) => {}
        }
    }
    Ok(())
}
