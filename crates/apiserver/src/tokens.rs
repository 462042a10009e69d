//! Tokens of service accounts: JWTs bound to an account and, usually, to a pod (upstream: KEP-1205).

use clock::Clock;
use jiff::Timestamp;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};

/// Signs and verifies tokens.
pub struct TokenSigner {
    issuer: String,
    audience: String,
    key_id: String,
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
    /// The token cannot be signed.
    #[error("cannot sign a token")]
    Sign(#[source] jsonwebtoken::errors::Error),
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
    /// A signer with an EC key (P-256). `private` is its PKCS#8 PEM, `public` the PEM of its public half.
    ///
    /// # Errors
    /// [`TokenError::Key`] if the PEM holds no such key.
    pub fn new(
        issuer: &str,
        audience: &str,
        key_id: &str,
        private: &[u8],
        public: &[u8],
    ) -> Result<TokenSigner, TokenError> {
        Ok(TokenSigner {
            issuer: issuer.to_owned(),
            audience: audience.to_owned(),
            key_id: key_id.to_owned(),
            encoding: EncodingKey::from_ec_pem(private).map_err(TokenError::Key)?,
            decoding: DecodingKey::from_ec_pem(public).map_err(TokenError::Key)?,
        })
    }

    /// The issuer that tokens name.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Signs a token.
    ///
    /// # Errors
    /// [`TokenError::Sign`]
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
        let header = Header { kid: Some(self.key_id.clone()), ..Header::new(Algorithm::ES256) };
        let token = jsonwebtoken::encode(&header, &claims, &self.encoding).map_err(TokenError::Sign)?;
        let expires = Timestamp::from_second(expires).unwrap_or(Timestamp::MAX);
        Ok(Signed { token, expires, audiences })
    }

    /// Checks a token's signature, time and audience. Whether its account and its bound object still exist is
    /// the caller's to look up.
    ///
    /// # Errors
    /// Why the token is refused.
    pub fn verify(&self, token: &str, audiences: &[String], clock: &Clock) -> Result<Identity, TokenError> {
        let mut validation = Validation::new(Algorithm::ES256);
        // Times are checked below, by the injected clock.
        validation.validate_exp = false;
        validation.validate_aud = false;
        validation.set_issuer(&[&self.issuer]);
        let claims = jsonwebtoken::decode::<Claims>(token, &self.decoding, &validation);
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
