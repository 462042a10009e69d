//! ServiceAccount: gives every pod a service account, and mounts its token where programs look for it.

use std::sync::Arc;

use async_trait::async_trait;
use clock::Clock;
use object::{Status, Value, value};
use schema::GroupResource;

use super::{Attributes, Operation, Plugin};

mod secrets;
#[cfg(test)]
mod tests;

/// The directory where programs in pods look for their credentials.
const MOUNT_PATH: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
/// The requested lifetime of a pod's token, in seconds: an hour, plus seven seconds that distinguish such tokens from
/// others.
const TOKEN_SECONDS: i64 = 3607;
/// Static pods have this annotation; they may not use the API.
const MIRROR_ANNOTATION: &str = "kubernetes.io/config.mirror";

/// The plugin.
pub struct ServiceAccountAdmission {
    /// Names the volumes.
    pub clock: Clock,
}

#[async_trait]
impl Plugin for ServiceAccountAdmission {
    fn name(&self) -> &'static str {
        "ServiceAccount"
    }

    fn wants_reinvocation(&self) -> bool {
        true
    }

    async fn admit(&self, what: &Attributes<'_>, object: &mut Value, _old: &Value) -> Result<(), Status> {
        if !what.is(GroupResource::PODS) || what.operation != Operation::Create {
            return Ok(());
        }
        if is_mirror(object) {
            return Ok(());
        }
        if object.str_at("spec.serviceAccountName").is_empty() {
            object.entry("spec").set("serviceAccountName", "default");
        }
        let name = object.str_at("spec.serviceAccountName").to_owned();
        object.entry("spec").set("serviceAccount", name.as_str());
        let account = account_of(what, &name).await?;
        if wants_token(object, &account) {
            self.mount_token(object);
        }
        let secrets = account.get("imagePullSecrets");
        if object.at("spec.imagePullSecrets").is_empty() && !secrets.is_empty() {
            object.entry("spec").set("imagePullSecrets", secrets.clone());
        }
        Ok(())
    }

    async fn validate(&self, what: &Attributes<'_>, object: &Value, _old: &Value) -> Result<(), Status> {
        let refuse = |why: String| what.forbidden(&why);
        let name = object.str_at("spec.serviceAccountName");
        if what.is_part(GroupResource::PODS, "ephemeralcontainers") && what.operation == Operation::Update {
            let account = account_of(what, name).await?;
            return secrets::check_ephemeral(&account, object).map_err(refuse);
        }
        if !what.is(GroupResource::PODS) || what.operation != Operation::Create {
            return Ok(());
        }
        if is_mirror(object) {
            return secrets::check_mirror(object).map_err(refuse);
        }
        let account = account_of(what, name).await?;
        secrets::check_pod(&account, object).map_err(refuse)
    }
}

/// Whether a pod is a mirror pod: a node got it from a source other than the API.
fn is_mirror(pod: &Value) -> bool {
    !pod.at_path(&["metadata", "annotations", MIRROR_ANNOTATION]).is_null()
}

async fn account_of(what: &Attributes<'_>, name: &str) -> Result<Arc<Value>, Status> {
    let account = what.reader.find(GroupResource::SERVICE_ACCOUNTS, what.namespace, name).await?;
    account.map(|account| account.tree()).ok_or_else(|| {
        what.forbidden(&format!(
            "error looking up service account {}/{name}: serviceaccount \"{name}\" not found",
            what.namespace
        ))
    })
}

impl ServiceAccountAdmission {
    /// Adds the projected volume and mounts it into every container that has nothing there yet.
    fn mount_token(&self, object: &mut Value) {
        let existing = object.at("spec.volumes").items().find_map(|volume| {
            let name = volume.str_at("name");
            name.starts_with("kube-api-access-").then(|| name.to_owned())
        });
        let name =
            existing.clone().unwrap_or_else(|| format!("kube-api-access-{}", self.clock.name_suffix(5)));
        let mut mounted = false;
        for list in ["initContainers", "containers"] {
            let Some(containers) = object.entry("spec").get_mut(list) else { continue };
            for container in containers.items_mut() {
                let taken =
                    container.get("volumeMounts").items().any(|m| m.str_at("mountPath") == MOUNT_PATH);
                if !taken {
                    push(
                        container.entry("volumeMounts"),
                        value!({"name": name.as_str(), "readOnly": true, "mountPath": MOUNT_PATH}),
                    );
                    mounted = true;
                }
            }
        }
        if mounted && existing.is_none() {
            push(object.entry("spec").entry("volumes"), token_volume(&name));
        }
    }
}

fn push(list: &mut Value, item: Value) {
    match list.as_list_mut() {
        Some(list) => list.push(item),
        None => *list = Value::from(vec![item]),
    }
}

/// Token, CA certificate and namespace as files.
fn token_volume(name: &str) -> Value {
    value!({
        "name": name,
        "projected": {
            "defaultMode": 0o644,
            "sources": [
                {"serviceAccountToken": {"path": "token", "expirationSeconds": TOKEN_SECONDS}},
                {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
                {"downwardAPI": {"items": [{
                    "path": "namespace",
                    "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}
                }]}}
            ]
        }
    })
}

/// The pod's setting takes precedence over the account's; the default is yes.
fn wants_token(pod: &Value, account: &Value) -> bool {
    let pod = pod.at("spec.automountServiceAccountToken").as_bool();
    pod.or(account.get("automountServiceAccountToken").as_bool()).unwrap_or(true)
}
