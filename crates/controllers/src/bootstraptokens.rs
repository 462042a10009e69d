//! Bootstrap tokens (upstream: `pkg/controller/bootstrap`): the cleaner deletes those that have expired; the signer
//! signs `kube-public/cluster-info` with each token that allows signing, so that the holder of a token can recognize an
//! authentic copy.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use client::{Informer, Selection};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use object::ObjectKey;

use crate::framework::{Action, Controller, Look, Plan, Wiring};

#[cfg(test)]
mod tests;

/// The namespace, the type and the name prefix of tokens' Secrets.
const NAMESPACE: &str = "kube-system";
const SECRET_TYPE: &str = "bootstrap.kubernetes.io/token";
const NAME_PREFIX: &str = "bootstrap-token-";
/// The signed content, and the prefix of the names of the signatures.
const INFO: (&str, &str) = ("kube-public", "cluster-info");
const KUBECONFIG: &str = "kubeconfig";
const SIGNATURE_PREFIX: &str = "jws-kubeconfig-";

/// Deletes tokens that have expired.
pub(crate) struct TokenCleaner {
    secrets: Arc<Informer<Secret>>,
}

impl Controller for TokenCleaner {
    const NAME: &'static str = "token-cleaner";
    const ACCOUNT: &'static str = "token-cleaner";
    const QUEUE: &'static str = "token_cleaner";
    const WORKERS: usize = 1;
    type Key = ObjectKey;
    type Snapshot = Arc<Secret>;
    type Memory = ();

    fn wire(wiring: &mut Wiring<ObjectKey>) -> TokenCleaner {
        let secrets = wiring.selected::<Secret>(tokens());
        wiring.wake_self(&secrets);
        TokenCleaner { secrets }
    }

    fn observe(&self, key: &ObjectKey, _look: &mut Look<'_, ()>) -> Option<Arc<Secret>> {
        self.secrets.get(key)
    }

    fn plan(secret: &Arc<Secret>, now: Timestamp) -> Plan {
        let mut plan = Plan::default();
        match expiry(secret) {
            Expiry::Never => {}
            Expiry::At(end) if end > now => {
                let left = now.duration_until(end).as_secs().unsigned_abs() + 1;
                plan.requeue_after(Duration::from_secs(left));
            }
            Expiry::At(_) | Expiry::Unreadable => plan.then(Action::delete(&**secret)),
        }
        plan
    }
}

/// Signs the cluster's description with tokens.
pub(crate) struct BootstrapSigner {
    secrets: Arc<Informer<Secret>>,
    maps: Arc<Informer<ConfigMap>>,
}

/// The signed content, and the tokens that sign it.
#[derive(Debug)]
pub(crate) struct Snapshot {
    info: Arc<ConfigMap>,
    tokens: Vec<Arc<Secret>>,
}

impl Controller for BootstrapSigner {
    const NAME: &'static str = "bootstrap-signer";
    const ACCOUNT: &'static str = "bootstrap-signer";
    const QUEUE: &'static str = "bootstrap_signer_queue";
    const WORKERS: usize = 1;
    type Key = ObjectKey;
    type Snapshot = Snapshot;
    type Memory = ();

    fn wire(wiring: &mut Wiring<ObjectKey>) -> BootstrapSigner {
        let secrets = wiring.selected::<Secret>(tokens());
        let (namespace, name) = INFO;
        let maps = wiring.selected::<ConfigMap>(Selection {
            namespace: namespace.to_owned(),
            ..Selection::fields::<ConfigMap>(format!("metadata.name={name}"))
        });
        let key = ObjectKey::namespaced(namespace, name);
        wiring.wake(&secrets, move |_| [key.clone()]);
        wiring.wake_self(&maps);
        BootstrapSigner { secrets, maps }
    }

    fn observe(&self, key: &ObjectKey, _look: &mut Look<'_, ()>) -> Option<Snapshot> {
        let info = self.maps.get(key)?;
        Some(Snapshot { info, tokens: self.secrets.list() })
    }

    fn plan(snapshot: &Snapshot, now: Timestamp) -> Plan {
        let mut plan = Plan::default();
        let mut data = snapshot.info.data.clone().unwrap_or_default();
        let Some(text) = data.get(KUBECONFIG).cloned() else { return plan };
        let tokens = snapshot.tokens.iter().filter_map(|secret| signing_token(secret, now));
        let wanted: BTreeMap<String, String> = tokens
            .filter_map(|(id, key)| Some((format!("{SIGNATURE_PREFIX}{id}"), sign(&text, &id, &key)?)))
            .collect();
        data.retain(|name, _| !name.starts_with(SIGNATURE_PREFIX));
        data.extend(wanted);
        if snapshot.info.data.as_ref() != Some(&data) {
            plan.then(Action::update(ConfigMap { data: Some(data), ..(*snapshot.info).clone() }));
        }
        plan
    }
}

/// The Secrets that are tokens.
fn tokens() -> Selection {
    Selection {
        namespace: NAMESPACE.to_owned(),
        ..Selection::fields::<Secret>(format!("type={SECRET_TYPE}"))
    }
}

fn entry(secret: &Secret, name: &str) -> String {
    let bytes = secret.data.as_ref().and_then(|data| data.get(name));
    bytes.and_then(|bytes| String::from_utf8(bytes.0.clone()).ok()).unwrap_or_default()
}

/// When a token expires.
enum Expiry {
    Never,
    At(Timestamp),
    /// It is unknown, so the token is not accepted.
    Unreadable,
}

fn expiry(secret: &Secret) -> Expiry {
    let text = entry(secret, "expiration");
    if text.is_empty() {
        return Expiry::Never;
    }
    text.parse().map_or(Expiry::Unreadable, Expiry::At)
}

/// ID and secret of a token that signs.
fn signing_token(secret: &Secret, now: Timestamp) -> Option<(String, String)> {
    let is_good = match expiry(secret) {
        Expiry::Never => true,
        Expiry::At(end) => end > now,
        Expiry::Unreadable => false,
    };
    let (id, key) = (entry(secret, "token-id"), entry(secret, "token-secret"));
    let name = secret.metadata.name.as_deref().unwrap_or_default();
    let fits = name.strip_prefix(NAME_PREFIX) == Some(&id) && !key.is_empty();
    (is_good && fits && entry(secret, "usage-bootstrap-signing") == "true").then_some((id, key))
}

/// A JWS without its content (RFC 7515, appendix F): HMAC by the token's secret, named by the token's ID.
fn sign(text: &str, id: &str, key: &str) -> Option<String> {
    use base64::Engine;
    let base64 = base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let header = base64.encode(format!(r#"{{"alg":"HS256","kid":"{id}"}}"#));
    let message = format!("{header}.{}", base64.encode(text));
    let key = jsonwebtoken::EncodingKey::from_secret(key.as_bytes());
    let mac = jsonwebtoken::crypto::sign(message.as_bytes(), &key, jsonwebtoken::Algorithm::HS256).ok()?;
    Some(format!("{header}..{mac}"))
}
