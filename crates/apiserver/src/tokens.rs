//! Tokens of service accounts: JWTs bound to an account and, usually, to a pod (upstream: KEP-1205).
//!
//! They are signed with an RSA key (RS256) or, until a new cluster has one, with an EC key (ES256). Both keys verify, and
//! both are published (KEP-1393).

use std::sync::OnceLock;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clock::Clock;
use jiff::Timestamp;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use object::{Value, value};
use serde::{Deserialize, Serialize};

use crate::pki::ServiceAccountKey;

mod rsa_key;
#[cfg(test)]
mod tests;

pub use rsa_key::{KeyRejected, RsaKey, RsaKeyError};

/// Signs and verifies tokens.
pub struct TokenSigner {
    issuer: String,
    audience: String,
    elliptic: EllipticKey,
    rsa: OnceLock<RsaKey>,
}

struct EllipticKey {
    id: String,
    /// The public key's point, uncompressed.
    point: Vec<u8>,
    encoding: EncodingKey,
    decoding: DecodingKey,
}

/// The parameters of a requested token.
#[derive(Clone, Debug, Default)]
pub struct TokenRequest {
    /// The account's namespace.
    pub namespace: String,
    /// The account's name.
    pub name: String,
    /// The account's UID.
    pub uid: String,
    /// For whom the token is; the API server where empty.
    pub audiences: Vec<String>,
    /// How long it holds, in seconds.
    pub seconds: i64,
    /// What it ends with.
    pub bound: Option<Bound>,
}

/// The object that a token is bound to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bound {
    /// `Pod`, `Secret` or `Node`.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Its UID.
    pub uid: String,
    /// The node of a pod.
    pub node: Option<String>,
}

/// A signed token.
pub struct Signed {
    /// The token; never to be logged.
    pub token: String,
    /// When it ends.
    pub expires: Timestamp,
    /// For whom it is.
    pub audiences: Vec<String>,
}

/// Whom a good token names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The account's namespace.
    pub namespace: String,
    /// The account's name.
    pub name: String,
    /// The account's UID.
    pub uid: String,
    /// What the token is bound to.
    pub bound: Option<Bound>,
    /// For whom it is.
    pub audiences: Vec<String>,
    /// The token's own identity.
    pub token_id: String,
}

/// Why a token is refused or could not be made.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The key cannot be used.
    #[error("the key of service account tokens cannot be used")]
    Key(#[source] jsonwebtoken::errors::Error),
    /// The token cannot be signed with the EC key, or encoded.
    #[error("cannot sign a token")]
    Sign(#[source] jsonwebtoken::errors::Error),
    /// The token cannot be signed with the RSA key.
    #[error("cannot sign a token with the RSA key")]
    SignRsa,
    /// The token is not ours, was changed, or is over.
    #[error("invalid bearer token")]
    Invalid(#[source] jsonwebtoken::errors::Error),
    /// The token is for another audience.
    #[error("invalid bearer token: token audiences {0:?} is invalid for the target audiences")]
    Audience(Vec<String>),
    /// The token names no service account.
    #[error("invalid bearer token: the token does not name a service account")]
    NoAccount,
    /// The token is not used yet or no longer.
    #[error("invalid bearer token: service account token has expired")]
    Expired,
}

#[derive(Serialize, Deserialize)]
struct Claims {
    aud: Vec<String>,
    exp: i64,
    iat: i64,
    iss: String,
    jti: String,
    nbf: i64,
    sub: String,
    #[serde(rename = "kubernetes.io")]
    kubernetes: KubernetesClaims,
}

#[derive(Serialize, Deserialize)]
struct KubernetesClaims {
    namespace: String,
    serviceaccount: Reference,
    #[serde(skip_serializing_if = "Option::is_none")]
    pod: Option<Reference>,
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<Reference>,
    #[serde(skip_serializing_if = "Option::is_none")]
    node: Option<Reference>,
}

#[derive(Serialize, Deserialize)]
struct Reference {
    name: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    uid: String,
}

impl TokenSigner {
    /// A signer with the cluster's EC key (P-256).
    ///
    /// # Errors
    /// [`TokenError::Key`] if it is not such a key.
    pub fn new(issuer: &str, audience: &str, key: &ServiceAccountKey) -> Result<TokenSigner, TokenError> {
        let elliptic = EllipticKey {
            id: key.id.clone(),
            point: key.point.clone(),
            encoding: EncodingKey::from_ec_pem(key.private.as_bytes()).map_err(TokenError::Key)?,
            decoding: DecodingKey::from_ec_pem(key.public.as_bytes()).map_err(TokenError::Key)?,
        };
        Ok(TokenSigner {
            issuer: issuer.to_owned(),
            audience: audience.to_owned(),
            elliptic,
            rsa: OnceLock::new(),
        })
    }

    /// Signs with this key from now on. Only the first such key is used.
    pub fn sign_with(&self, key: RsaKey) {
        // One that is there already signs.
        drop(self.rsa.set(key));
    }

    /// Whether there is an RSA key.
    pub fn has_rsa_key(&self) -> bool {
        self.rsa.get().is_some()
    }

    /// The public keys, as a JSON Web Key Set (RFC 7517).
    pub fn key_set(&self) -> Value {
        let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let EllipticKey { id, point, .. } = &self.elliptic;
        // The first byte of the point is its encoding.
        let (x, y) = point[1..].split_at(point.len() / 2);
        let elliptic = value!({
            "use": "sig", "kty": "EC", "kid": id.as_str(), "crv": "P-256", "alg": "ES256",
            "x": text(x), "y": text(y)
        });
        let rsa = self.rsa.get().map(|key| {
            value!({
                "use": "sig", "kty": "RSA", "kid": key.id.as_str(), "alg": "RS256",
                "n": text(&key.modulus), "e": text(&key.exponent)
            })
        });
        let keys: Vec<Value> = rsa.into_iter().chain([elliptic]).collect();
        value!({ "keys": keys })
    }

    /// The algorithms of the public keys, in alphabetical order.
    pub fn algorithms(&self) -> Vec<Value> {
        let rsa = self.has_rsa_key().then_some("RS256");
        ["ES256"].into_iter().chain(rsa).map(Value::from).collect()
    }

    /// The issuer that tokens name.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Signs a token.
    ///
    /// # Errors
    /// [`TokenError::Sign`], [`TokenError::SignRsa`]
    pub fn sign(&self, request: TokenRequest, clock: &Clock) -> Result<Signed, TokenError> {
        let now = clock.now().as_second();
        let expires = now.saturating_add(request.seconds);
        let audiences =
            if request.audiences.is_empty() { vec![self.audience.clone()] } else { request.audiences };
        let mut kubernetes = KubernetesClaims {
            namespace: request.namespace.clone(),
            serviceaccount: Reference { name: request.name.clone(), uid: request.uid },
            pod: None,
            secret: None,
            node: None,
        };
        if let Some(bound) = request.bound {
            let reference = Some(Reference { name: bound.name, uid: bound.uid });
            match bound.kind.as_str() {
                "Pod" => kubernetes.pod = reference,
                "Secret" => kubernetes.secret = reference,
                _ => kubernetes.node = reference,
            }
            if let Some(node) = bound.node {
                kubernetes.node = Some(Reference { name: node, uid: String::new() });
            }
        }
        let claims = Claims {
            aud: audiences.clone(),
            exp: expires,
            iat: now,
            iss: self.issuer.clone(),
            jti: clock.uid(),
            nbf: now,
            sub: format!("system:serviceaccount:{}:{}", request.namespace, request.name),
            kubernetes,
        };
        let token = match self.rsa.get() {
            Some(key) => encode_rsa(key, &claims)?,
            None => {
                let key = &self.elliptic;
                let header = Header { kid: Some(key.id.clone()), ..Header::new(Algorithm::ES256) };
                jsonwebtoken::encode(&header, &claims, &key.encoding).map_err(TokenError::Sign)?
            }
        };
        let expires = Timestamp::from_second(expires).unwrap_or(Timestamp::MAX);
        Ok(Signed { token, expires, audiences })
    }

    /// Checks a token's signature, time and audience. Whether its account and its bound object still exist is
    /// the caller's to look up.
    ///
    /// # Errors
    /// Why the token is refused.
    pub fn verify(&self, token: &str, audiences: &[String], clock: &Clock) -> Result<Identity, TokenError> {
        let algorithm = jsonwebtoken::decode_header(token).map_err(TokenError::Invalid)?.alg;
        let key = match (algorithm, self.rsa.get()) {
            (Algorithm::ES256, _) => &self.elliptic.decoding,
            (Algorithm::RS256, Some(key)) => &key.decoding,
            _ => return Err(TokenError::Invalid(ErrorKind::InvalidAlgorithm.into())),
        };
        let mut validation = Validation::new(algorithm);
        // Times are checked below, by the injected clock.
        validation.validate_exp = false;
        validation.validate_aud = false;
        validation.set_issuer(&[&self.issuer]);
        let claims = jsonwebtoken::decode::<Claims>(token, key, &validation);
        let claims = claims.map_err(TokenError::Invalid)?.claims;
        let now = clock.now().as_second();
        if claims.exp <= now || claims.nbf > now.saturating_add(60) {
            return Err(TokenError::Expired);
        }
        let own = std::slice::from_ref(&self.audience);
        let wanted = if audiences.is_empty() { own } else { audiences };
        let audiences: Vec<String> = claims.aud.iter().filter(|aud| wanted.contains(aud)).cloned().collect();
        if audiences.is_empty() {
            return Err(TokenError::Audience(claims.aud));
        }
        let KubernetesClaims { namespace, serviceaccount, pod, secret, node } = claims.kubernetes;
        if claims.sub != format!("system:serviceaccount:{namespace}:{}", serviceaccount.name) {
            return Err(TokenError::NoAccount);
        }
        let node_name = node.as_ref().map(|node| node.name.clone());
        let bound = [("Pod", pod, node_name), ("Secret", secret, None), ("Node", node, None)]
            .into_iter()
            .find_map(|(kind, reference, node)| {
                let Reference { name, uid } = reference?;
                Some(Bound { kind: kind.to_owned(), name, uid, node })
            });
        Ok(Identity {
            namespace,
            name: serviceaccount.name,
            uid: serviceaccount.uid,
            bound,
            audiences,
            token_id: claims.jti,
        })
    }
}

/// A token in the compact serialization (RFC 7515), signed with RS256.
fn encode_rsa(key: &RsaKey, claims: &Claims) -> Result<String, TokenError> {
    let header = Header { kid: Some(key.id.clone()), ..Header::new(Algorithm::RS256) };
    let header = serde_json::to_vec(&header).map_err(|error| TokenError::Sign(error.into()))?;
    let claims = serde_json::to_vec(claims).map_err(|error| TokenError::Sign(error.into()))?;
    let mut token = URL_SAFE_NO_PAD.encode(header);
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(claims, &mut token);
    let signature = key.sign(token.as_bytes()).map_err(|ring::error::Unspecified| TokenError::SignRsa)?;
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(signature, &mut token);
    Ok(token)
}
