//! Authentication: client certificates, tokens, impersonation.

use std::collections::HashMap;
use std::sync::Arc;

use base64::Engine;
use clock::Clock;
use object::Status;
use sha2::{Digest, Sha256};

use crate::catalogue::LiveCatalogue;
use crate::tokens::TokenSigner;
use crate::user::User;

mod bootstrap_token;
mod impersonation;

pub use impersonation::Impersonation;

/// The prefix of the subprotocol in which browsers send a bearer token, because they cannot set headers.
pub(crate) const BEARER_PROTOCOL: &str = "base64url.bearer.authorization.k8s.io.";

/// How a request may be authenticated.
pub struct Authenticator {
    catalogue: Arc<LiveCatalogue>,
    /// Verifies the tokens of service accounts.
    signer: Arc<TokenSigner>,
    clock: Clock,
    /// Users by the SHA-256 digests of their tokens, so that the time of a lookup reveals nothing about others.
    tokens: HashMap<[u8; 32], User>,
    /// Whether a request without credentials is the anonymous user's; it is refused otherwise.
    anonymous: bool,
}

impl Authenticator {
    /// An authenticator that knows these static tokens and those of service accounts, which this signer has signed.
    pub fn new(
        catalogue: Arc<LiveCatalogue>,
        signer: Arc<TokenSigner>,
        clock: Clock,
        tokens: Vec<(String, User)>,
    ) -> Authenticator {
        let tokens = tokens.into_iter().map(|(token, user)| (Sha256::digest(token).into(), user)).collect();
        Authenticator { catalogue, signer, clock, tokens, anonymous: true }
    }

    /// The user of a request: by its bearer token, otherwise by the connection's certificate, otherwise anonymous.
    ///
    /// # Errors
    /// 401 for a token that is not good.
    pub fn authenticate(
        &self,
        headers: &http::HeaderMap,
        certificate_user: Option<&User>,
    ) -> Result<User, Status> {
        if let Some(user) = certificate_user {
            return Ok(user.clone());
        }
        let token = bearer_token(headers).map_err(|why| {
            tracing::debug!(why, "a bearer token was refused");
            Status::unauthorized("Unauthorized")
        })?;
        if let Some(token) = token {
            return self.authenticate_token(&token, &[]).map(|(user, _)| user);
        }
        if self.anonymous { Ok(User::anonymous()) } else { Err(Status::unauthorized("Unauthorized")) }
    }

    /// The user of a token, and which of the requested audiences it is valid for.
    ///
    /// # Errors
    /// 401 for a token that is not good.
    pub fn authenticate_token(
        &self,
        token: &str,
        audiences: &[String],
    ) -> Result<(User, Vec<String>), Status> {
        let digest: [u8; 32] = Sha256::digest(token).into();
        if let Some(user) = self.tokens.get(&digest) {
            return Ok((user.clone(), audiences.to_vec()));
        }
        let refuse = |why: &dyn std::fmt::Display| {
            tracing::debug!(%why, "a bearer token was refused");
            Status::unauthorized("Unauthorized")
        };
        if let Some(parts) = bootstrap_token::parts(token) {
            let name = format!("{}{}", bootstrap_token::NAME_PREFIX, parts.0);
            let secret = self.catalogue.built_in("secrets");
            let secret = secret.and_then(|secrets| secrets.get(bootstrap_token::NAMESPACE, &name));
            let secret = secret.ok_or_else(|| refuse(&"no bootstrap token has this ID"))?;
            let user = bootstrap_token::user(&secret.value(), parts, self.clock.now());
            return user.map(|user| (user, audiences.to_vec())).map_err(|why| refuse(&why));
        }
        let identity = self.signer.verify(token, audiences, &self.clock).map_err(|e| refuse(&e))?;
        let exists = |path: &str, namespace: &str, name: &str, uid: &str| {
            let found = self.catalogue.built_in(path).and_then(|collection| collection.get(namespace, name));
            found.is_some_and(|object| uid.is_empty() || object.uid().as_str() == uid)
        };
        if !exists("serviceaccounts", &identity.namespace, &identity.name, &identity.uid) {
            return Err(refuse(&"its service account is gone"));
        }
        let mut user = User::service_account(&identity.namespace, &identity.name, &identity.uid);
        let extra = &mut user.extra;
        extra.insert(
            "authentication.kubernetes.io/credential-id".into(),
            vec![format!("JTI={}", identity.token_id)],
        );
        if let Some(bound) = &identity.bound {
            let (path, namespace) = match bound.kind.as_str() {
                "Pod" => ("pods", identity.namespace.as_str()),
                "Secret" => ("secrets", identity.namespace.as_str()),
                _ => ("minions", ""),
            };
            if !exists(path, namespace, &bound.name, &bound.uid) {
                return Err(refuse(&"the object it is bound to is gone"));
            }
            if bound.kind == "Pod" {
                extra.insert("authentication.kubernetes.io/pod-name".into(), vec![bound.name.clone()]);
                extra.insert("authentication.kubernetes.io/pod-uid".into(), vec![bound.uid.clone()]);
                if let Some(node) = &bound.node {
                    extra.insert("authentication.kubernetes.io/node-name".into(), vec![node.clone()]);
                }
            }
        }
        Ok((user, identity.audiences))
    }
}

/// The user that a client certificate names: the common name and, as groups, the organizations. The
/// certificate's chain was verified when the connection was made.
pub fn certificate_user(der: &[u8]) -> Option<User> {
    let (_, certificate) = x509_parser::parse_x509_certificate(der).ok()?;
    let subject = certificate.subject();
    let name = subject.iter_common_name().next()?.as_str().ok()?;
    let groups: Vec<&str> =
        subject.iter_organization().filter_map(|organization| organization.as_str().ok()).collect();
    Some(User::new(name, &groups))
}

/// When a certificate expires.
pub fn certificate_end(der: &[u8]) -> Option<jiff::Timestamp> {
    let (_, certificate) = x509_parser::parse_x509_certificate(der).ok()?;
    jiff::Timestamp::from_second(certificate.validity().not_after.timestamp()).ok()
}

/// The token of an `Authorization` header, or of the subprotocol by which browsers send one.
///
/// # Errors
/// Why the subprotocol carries no usable token; the client does not learn it.
fn bearer_token(headers: &http::HeaderMap) -> Result<Option<String>, &'static str> {
    let header = headers.get(http::header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    if let Some((scheme, token)) = header.and_then(|value| value.trim().split_once(' '))
        && scheme.eq_ignore_ascii_case("bearer")
        && !token.trim().is_empty()
    {
        return Ok(Some(token.trim().to_owned()));
    }
    if is_websocket(headers) { protocol_token(headers) } else { Ok(None) }
}

fn is_websocket(headers: &http::HeaderMap) -> bool {
    let has = |name, wanted: &str| {
        let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
        values.flat_map(|value| value.split(',')).any(|part| part.trim().eq_ignore_ascii_case(wanted))
    };
    has(http::header::CONNECTION, "upgrade") && has(http::header::UPGRADE, "websocket")
}

/// The token among the offered subprotocols. There must be a further one, for the server to choose.
fn protocol_token(headers: &http::HeaderMap) -> Result<Option<String>, &'static str> {
    let offered = headers.get_all(http::header::SEC_WEBSOCKET_PROTOCOL).iter();
    let offered = offered.filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(','));
    let (mut token, mut others) = (None, 0);
    for protocol in offered.map(str::trim) {
        let Some(encoded) = protocol.strip_prefix(BEARER_PROTOCOL) else {
            others += 1;
            continue;
        };
        if token.is_some() {
            return Err("multiple base64.bearer.authorization tokens specified");
        }
        let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(encoded);
        let bytes = bytes.map_err(|_| "invalid base64.bearer.authorization token encoding")?;
        token = Some(String::from_utf8(bytes).map_err(|_| "invalid base64.bearer.authorization token")?);
    }
    match token.filter(|token| !token.is_empty()) {
        Some(_) if others == 0 => Err("missing additional subprotocol"),
        token => Ok(token),
    }
}

/// Namespace and name in a service account's user name; `None` for other users, even if their name begins like one.
pub fn service_account_name(user: &str) -> Option<(&str, &str)> {
    let (namespace, name) = user.strip_prefix("system:serviceaccount:")?.split_once(':')?;
    let is_valid = object::names::is_dns1123_label(namespace).is_empty()
        && object::names::is_dns1123_subdomain(name).is_empty();
    is_valid.then_some((namespace, name))
}
