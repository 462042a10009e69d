//! Tokens that let a machine join.

use std::collections::BTreeMap;
use std::fmt::Write;

use clock::Clock;
use jiff::Timestamp;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use object::ObjectKey;
use sha2::{Digest, Sha256};

/// The beginning of a token that is prefixed with the digest of the CA.
const PREFIX: &str = "K10";
/// The letters of bootstrap tokens.
const ALPHABET: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";

/// A token as it is given to `--token`: `SECRET`, or `K10<digest>::SECRET`.
#[derive(Clone, PartialEq, Eq)]
pub struct JoinToken {
    /// SHA-256 of the cluster's CA certificate, in PEM as `cluster-info` has it, in hexadecimal digits.
    pub ca_digest: Option<String>,
    /// The bearer token: a bootstrap token, or the server's own.
    pub secret: String,
}

/// Why a text is not a token. The message does not contain the text, which may be a secret.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// It is empty.
    #[error("the token is empty")]
    Empty,
    /// It begins like one with a digest, but the rest is malformed.
    #[error(
        "after K10, a token must continue with 64 hexadecimal digits, two colons and a secret: this one may \
            be truncated"
    )]
    Digest,
    /// It has characters that no token has.
    #[error("the token contains spaces or characters that cannot be sent: it may be damaged")]
    Characters,
}

impl JoinToken {
    /// Reads a token.
    ///
    /// # Errors
    /// [`TokenError`]
    pub fn parse(text: &str) -> Result<JoinToken, TokenError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(TokenError::Empty);
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(TokenError::Characters);
        }
        let Some(rest) = text.strip_prefix(PREFIX) else {
            return Ok(JoinToken { ca_digest: None, secret: text.to_owned() });
        };
        let (digest, secret) = rest.split_once("::").ok_or(TokenError::Digest)?;
        if secret.is_empty() || !is_digest(digest) {
            return Err(TokenError::Digest);
        }
        Ok(JoinToken { ca_digest: Some(digest.to_ascii_lowercase()), secret: secret.to_owned() })
    }

    /// The text that [`JoinToken::parse`] reads.
    pub fn text(&self) -> String {
        match &self.ca_digest {
            Some(digest) => format!("{PREFIX}{digest}::{}", self.secret),
            None => self.secret.clone(),
        }
    }
}

/// Whether a text is a SHA-256 in hexadecimal digits.
pub fn is_digest(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// The digest with which a token identifies a CA certificate (PEM).
pub fn ca_digest(pem: &str) -> String {
    hex(&Sha256::digest(pem))
}

/// Bytes as hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The usages of bootstrap tokens: signing the information about the cluster's CA, and authentication.
pub const USAGES: [&str; 2] = ["signing", "authentication"];
/// The prefix of the entries with the allowed usages of a token.
pub const USAGE_PREFIX: &str = "usage-bootstrap-";

/// On which terms a bootstrap token is given out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Terms {
    /// The description.
    pub description: String,
    /// Of [`USAGES`].
    pub usages: Vec<String>,
    /// More groups of the bearer.
    pub groups: Vec<String>,
    /// When it expires; `None` means never.
    pub expires: Option<Timestamp>,
}

/// A bootstrap token: `ID.SECRET`.
#[derive(Clone, PartialEq, Eq)]
pub struct BootstrapToken {
    /// Names the token; no secret.
    pub id: String,
    secret: String,
}

impl BootstrapToken {
    /// Parses a token; `None` if the text is not one.
    pub fn parse(text: &str) -> Option<BootstrapToken> {
        let (id, secret) = text.split_once('.')?;
        let fits = |text: &str, length| text.len() == length && text.bytes().all(|b| ALPHABET.contains(&b));
        (fits(id, 6) && fits(secret, 16))
            .then(|| BootstrapToken { id: id.to_owned(), secret: secret.to_owned() })
    }

    /// A new token.
    pub fn generate(clock: &Clock) -> BootstrapToken {
        let draw = |length: usize| -> String {
            (0..length).map(|_| char::from(ALPHABET[clock.random_below(36) as usize])).collect()
        };
        BootstrapToken { id: draw(6), secret: draw(16) }
    }

    /// The text that [`BootstrapToken::parse`] reads; a secret.
    pub fn text(&self) -> String {
        format!("{}.{}", self.id, self.secret)
    }

    /// The secret part.
    pub fn secret(&self) -> &str {
        &self.secret
    }

    /// The name of the token's Secret.
    pub fn secret_key(&self) -> ObjectKey {
        ObjectKey::namespaced("kube-system", format!("bootstrap-token-{}", self.id))
    }

    /// The content of the token's Secret.
    pub fn secret_object(&self, terms: &Terms) -> Secret {
        let mut data: BTreeMap<String, String> =
            [("token-id", &self.id), ("token-secret", &self.secret), ("description", &terms.description)]
                .map(|(name, text)| (name.to_owned(), text.clone()))
                .into();
        for usage in &terms.usages {
            data.insert(format!("{USAGE_PREFIX}{usage}"), "true".to_owned());
        }
        data.insert("auth-extra-groups".to_owned(), terms.groups.join(","));
        if let Some(expires) = terms.expires {
            data.insert("expiration".to_owned(), expires.to_string());
        }
        data.retain(|_, text| !text.is_empty());
        let key = self.secret_key();
        Secret {
            metadata: ObjectMeta {
                name: Some(key.name.to_string()),
                namespace: Some(key.namespace().to_owned()),
                ..ObjectMeta::default()
            },
            type_: Some("bootstrap.kubernetes.io/token".to_owned()),
            data: Some(data.into_iter().map(|(name, text)| (name, ByteString(text.into_bytes()))).collect()),
            ..Secret::default()
        }
    }
}

impl std::fmt::Debug for JoinToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JoinToken").field("ca_digest", &self.ca_digest).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for BootstrapToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BootstrapToken").field("id", &self.id).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_read_with_and_without_a_digest() {
        let digest = ca_digest("PEM");
        let whole = format!(" K10{digest}::abcdef.0123456789abcdef\n");
        let token = JoinToken::parse(&whole).unwrap();
        assert_eq!(token.ca_digest.as_deref(), Some(&*digest));
        assert_eq!(token.secret, "abcdef.0123456789abcdef");
        assert_eq!(token.text(), whole.trim());
        assert_eq!(JoinToken::parse("secret").unwrap().ca_digest, None);
        let wrong = [
            ("", TokenError::Empty),
            ("K10", TokenError::Digest),
            ("K10abc::secret", TokenError::Digest),
            (whole.trim().strip_suffix("abcdef.0123456789abcdef").unwrap(), TokenError::Digest),
            ("two words", TokenError::Characters),
        ];
        for (text, error) in wrong {
            assert_eq!(JoinToken::parse(text), Err(error), "{text}");
        }
        assert!(!format!("{token:?}").contains("0123456789abcdef"));
    }

    #[test]
    fn generated_tokens_are_read_again() {
        let token = BootstrapToken::generate(&Clock::system());
        assert_eq!(BootstrapToken::parse(&token.text()), Some(token.clone()));
        let terms = Terms { usages: USAGES.map(str::to_owned).into(), ..Terms::default() };
        let secret = token.secret_object(&terms);
        assert_eq!(secret.metadata.name.unwrap(), format!("bootstrap-token-{}", token.id));
        let data = secret.data.unwrap();
        assert_eq!(data["token-secret"].0, token.secret().as_bytes());
        let names: Vec<&str> = data.keys().map(String::as_str).collect();
        let usages = ["usage-bootstrap-authentication", "usage-bootstrap-signing"];
        assert_eq!(names, [&["token-id", "token-secret"][..], &usages].concat());
        assert_eq!(BootstrapToken::parse("abcdef.short"), None);
    }
}
