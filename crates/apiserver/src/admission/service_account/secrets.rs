//! The secrets that a pod may refer to: none in a mirror pod, and only those of its account if the account requires
//! that.

use object::Value;

/// With this annotation, a service account's pods can use only the secrets that the account itself lists.
const ENFORCED: &str = "kubernetes.io/enforce-mountable-secrets";
/// The lists of containers in a new pod, each with the word for one of them in messages.
const WITH_THE_POD: [(&str, &str); 2] = [("initContainers", "init container"), ("containers", "container")];
/// The list of containers that are added later.
const LATER: [(&str, &str); 1] = [("ephemeralContainers", "ephemeral container")];

/// Whether an account restricts the secrets of its pods. The annotation is a boolean as Go reads one.
fn is_enforced(account: &Value) -> bool {
    let value = account.at_path(&["metadata", "annotations", ENFORCED]);
    matches!(value.as_str(), Some("1" | "t" | "T" | "true" | "TRUE" | "True"))
}

/// Refuses a new pod that names a secret which its account does not list.
///
/// # Errors
/// Why, in upstream's words.
pub(super) fn check_pod(account: &Value, pod: &Value) -> Result<(), String> {
    if !is_enforced(account) {
        return Ok(());
    }
    let account_name = account.str_at("metadata.name");
    for volume in pod.at("spec.volumes").items().filter(|volume| !volume.get("secret").is_null()) {
        let secret = volume.at("secret").str_at("secretName");
        if !lists(account.get("secrets"), secret) {
            return Err(format!(
                "volume with secret.secretName=\"{secret}\" is not allowed because service account {account_name} does not reference that secret"
            ));
        }
    }
    check_containers(account, pod, &WITH_THE_POD)?;
    for (index, secret) in pod.at("spec.imagePullSecrets").items().enumerate() {
        let secret = secret.str_at("name");
        if !lists(account.get("imagePullSecrets"), secret) {
            return Err(format!(
                "imagePullSecrets[{index}].name=\"{secret}\" is not allowed because service account {account_name} does not reference that imagePullSecret"
            ));
        }
    }
    Ok(())
}

/// The same for containers that are added to an existing pod (CVE-2023-2728).
///
/// # Errors
/// Why, in upstream's words.
pub(super) fn check_ephemeral(account: &Value, pod: &Value) -> Result<(), String> {
    if is_enforced(account) { check_containers(account, pod, &LATER) } else { Ok(()) }
}

fn check_containers(account: &Value, pod: &Value, lists_of: &[(&str, &str)]) -> Result<(), String> {
    let account_name = account.str_at("metadata.name");
    let refuse = |what: &str, secret: &str| {
        Err(format!(
            "{what} referencing secret.secretName=\"{secret}\" is not allowed because service account {account_name} does not reference that secret"
        ))
    };
    for (list, word) in lists_of {
        for container in pod.get("spec").get(list).items() {
            let name = container.str_at("name");
            for variable in container.get("env").items() {
                let reference = variable.at("valueFrom.secretKeyRef");
                if !reference.is_null() && !lists(account.get("secrets"), reference.str_at("name")) {
                    let what = format!("{word} {name} with envVar {}", variable.str_at("name"));
                    return refuse(&what, reference.str_at("name"));
                }
            }
            // Whole secrets as environment too (CVE-2024-3177).
            for source in container.get("envFrom").items() {
                let reference = source.get("secretRef");
                if !reference.is_null() && !lists(account.get("secrets"), reference.str_at("name")) {
                    return refuse(&format!("{word} {name} with envFrom"), reference.str_at("name"));
                }
            }
        }
    }
    Ok(())
}

fn lists(references: &Value, name: &str) -> bool {
    references.items().any(|reference| reference.str_at("name") == name)
}

/// Refuses a mirror pod that would give its node access to objects of the API.
///
/// # Errors
/// Why, in upstream's words.
pub(super) fn check_mirror(pod: &Value) -> Result<(), String> {
    let spec = pod.get("spec");
    if !spec.str_at("serviceAccountName").is_empty() {
        return Err("a mirror pod may not reference service accounts".to_owned());
    }
    if crate::authz::node::names_secret(pod) {
        return Err("a mirror pod may not reference secrets".to_owned());
    }
    let mut sources = spec.get("volumes").items().flat_map(|volume| volume.at("projected.sources").items());
    if sources.any(|source| !source.get("serviceAccountToken").is_null()) {
        return Err("a mirror pod may not use ServiceAccountToken volume projections".to_owned());
    }
    Ok(())
}
