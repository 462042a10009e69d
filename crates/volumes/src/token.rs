//! Service account tokens for pods, kept until they are due for renewal.

use std::collections::HashMap;

use client::{Client, ClientError};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{Pod, ServiceAccount};
use object::ObjectKey;
use parking_lot::Mutex;

/// A token is renewed when it is older than this, however long it is valid.
const AGE_MAX: SignedDuration = SignedDuration::from_hours(24);

/// A token and when to renew it.
#[derive(Clone, Debug)]
pub(crate) struct Token {
    pub(crate) text: String,
    pub(crate) renew_at: Timestamp,
    expires_at: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Wanted {
    pod_uid: String,
    audience: String,
    seconds: i64,
}

/// The tokens that were requested.
pub(crate) struct Tokens {
    client: Client,
    known: Mutex<HashMap<Wanted, Token>>,
}

impl Tokens {
    pub(crate) fn new(client: Client) -> Tokens {
        Tokens { client, known: Mutex::default() }
    }

    /// A token of the pod's service account, bound to the pod. `audience` is empty for the API server's own.
    pub(crate) async fn get(&self, pod: &Pod, audience: &str, seconds: i64) -> Result<Token, ClientError> {
        let now = self.client.clock().now();
        let pod_uid = pod.metadata.uid.clone().unwrap_or_default();
        let wanted = Wanted { pod_uid, audience: audience.to_owned(), seconds };
        let known = {
            let mut known = self.known.lock();
            known.retain(|_, token| token.expires_at > now);
            known.get(&wanted).cloned()
        };
        if let Some(token) = known.as_ref().filter(|token| token.renew_at > now) {
            return Ok(token.clone());
        }
        match (self.request(pod, &wanted).await, known) {
            (Ok(token), _) => {
                self.known.lock().insert(wanted, token.clone());
                Ok(token)
            }
            // It is still valid; the next renewal may succeed.
            (Err(error), Some(old)) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "cannot renew a service account token"
                );
                Ok(Token { renew_at: now + SignedDuration::from_secs(60), ..old })
            }
            (Err(error), None) => Err(error),
        }
    }

    async fn request(&self, pod: &Pod, wanted: &Wanted) -> Result<Token, ClientError> {
        let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
        let account = pod.spec.as_ref().and_then(|spec| spec.service_account_name.as_deref());
        let key =
            ObjectKey::namespaced(namespace, account.filter(|name| !name.is_empty()).unwrap_or("default"));
        let request = TokenRequest {
            spec: Some(TokenRequestSpec {
                audiences: Some(
                    Some(wanted.audience.clone()).filter(|a| !a.is_empty()).into_iter().collect(),
                ),
                bound_object_ref: Some(BoundObjectReference {
                    api_version: Some("v1".to_owned()),
                    kind: Some("Pod".to_owned()),
                    name: pod.metadata.name.clone(),
                    uid: Some(wanted.pod_uid.clone()),
                }),
                expiration_seconds: Some(wanted.seconds),
                ..TokenRequestSpec::default()
            }),
            ..TokenRequest::default()
        };
        let now = self.client.clock().now();
        let answer: TokenRequest =
            self.client.create_subresource::<ServiceAccount, _, _>(&key, "token", &request).await?;
        let status = answer.status.unwrap_or_default();
        let expires_at =
            status.expiration_timestamp.map_or(now + SignedDuration::from_secs(wanted.seconds), |t| t.0);
        let text = status.token.unwrap_or_default();
        Ok(Token { text, renew_at: renew_at(now, expires_at), expires_at })
    }
}

/// At four fifths of its life, or after a day.
fn renew_at(now: Timestamp, expires_at: Timestamp) -> Timestamp {
    let life = expires_at.duration_since(now);
    now + (life * 4 / 5).min(AGE_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_renewed_at_four_fifths_or_after_a_day() {
        let now = Timestamp::UNIX_EPOCH;
        for (life, after) in [(3600, 2880), (3607, 2885), (31_536_000, 86_400)] {
            let renew = renew_at(now, now + SignedDuration::from_secs(life));
            assert_eq!(renew.as_second(), after, "{life}");
        }
    }
}
