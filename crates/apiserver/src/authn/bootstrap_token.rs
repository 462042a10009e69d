//! Bootstrap tokens: the credentials of a machine that has no identity yet (upstream:
//! `plugin/pkg/auth/authenticator/token/bootstrap`).
//!
//! A token is `ID.SECRET`. It is stored in a Secret in `kube-system` named `bootstrap-token-ID`; its bearer is
//! `system:bootstrap:ID` in `system:bootstrappers` and in the groups that the Secret adds.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use object::Value;
use sha2::{Digest, Sha256};

use crate::user::{GROUP_BOOTSTRAPPERS, User};

/// The namespace of tokens' Secrets.
pub(super) const NAMESPACE: &str = "kube-system";
/// The prefix of their names.
pub(super) const NAME_PREFIX: &str = "bootstrap-token-";
/// Their type.
const SECRET_TYPE: &str = "bootstrap.kubernetes.io/token";

/// ID and secret of a token, if the text looks like one: six and sixteen lower-case letters and digits.
pub(super) fn parts(token: &str) -> Option<(&str, &str)> {
    let (id, secret) = token.split_once('.')?;
    let fits = |text: &str, length: usize| {
        text.len() == length && text.bytes().all(|byte| byte.is_ascii_digit() || byte.is_ascii_lowercase())
    };
    (fits(id, 6) && fits(secret, 16)).then_some((id, secret))
}

/// The user of a token by its Secret.
///
/// # Errors
/// Why the token is not valid, for the server's log: the client does not learn the reason.
pub(super) fn user(secret: &Value, (id, shown): (&str, &str), now: Timestamp) -> Result<User, &'static str> {
    if !secret.at("metadata.deletionTimestamp").is_null() {
        return Err("its Secret is being deleted");
    }
    if secret.str_at("type") != SECRET_TYPE {
        return Err("its Secret is of another type");
    }
    let entry = |name: &str| -> String {
        let bytes = STANDARD.decode(secret.get("data").str_at(name)).unwrap_or_default();
        String::from_utf8(bytes).unwrap_or_default()
    };
    // Digests are compared, so that the time it takes reveals nothing about the secret.
    if Sha256::digest(entry("token-secret")) != Sha256::digest(shown) {
        return Err("its secret is wrong");
    }
    if entry("token-id") != id {
        return Err("its Secret belongs to another token");
    }
    if has_expired(&entry("expiration"), now) {
        return Err("it has expired");
    }
    if entry("usage-bootstrap-authentication") != "true" {
        return Err("it cannot be used for authentication");
    }
    let extra = entry("auth-extra-groups");
    let groups: Vec<&str> = extra.split(',').filter(|group| !group.is_empty()).collect();
    if !groups.iter().all(|group| is_group(group)) {
        return Err("its groups are not groups of bootstrap tokens");
    }
    let groups: Vec<&str> = groups.into_iter().chain([GROUP_BOOTSTRAPPERS]).collect();
    Ok(User::new(format!("system:bootstrap:{id}"), &groups))
}

/// Whether a time is past. A token without one never expires; an invalid one counts as past.
fn has_expired(text: &str, now: Timestamp) -> bool {
    !text.is_empty() && text.parse::<Timestamp>().map_or(true, |time| time <= now)
}

/// Whether a token may add this group: `system:bootstrappers:` and lower-case words.
fn is_group(group: &str) -> bool {
    let rest = group.strip_prefix(GROUP_BOOTSTRAPPERS).and_then(|rest| rest.strip_prefix(':'));
    rest.is_some_and(|rest| {
        let inner = |byte: u8| byte.is_ascii_digit() || byte.is_ascii_lowercase();
        rest.len() <= 256
            && rest.bytes().all(|byte| inner(byte) || matches!(byte, b':' | b'-'))
            && rest.bytes().next().is_some_and(inner)
            && rest.bytes().next_back().is_some_and(inner)
    })
}

#[cfg(test)]
mod tests {
    use object::value;

    use super::*;

    fn secret(change: (&'static str, &'static str)) -> Value {
        let mut secret = value!({"metadata": {}, "type": SECRET_TYPE, "data": {}});
        let entries = [
            ("token-id", "abcdef"),
            ("token-secret", "0123456789abcdef"),
            ("usage-bootstrap-authentication", "true"),
            ("auth-extra-groups", "system:bootstrappers:a:b-c"),
            ("expiration", "2030-01-01T00:00:00Z"),
            change,
        ];
        for (name, text) in entries {
            secret.entry("data").set(name, STANDARD.encode(text));
        }
        secret
    }

    #[test]
    fn tokens_have_a_form() {
        assert_eq!(parts("abcdef.0123456789abcdef"), Some(("abcdef", "0123456789abcdef")));
        for wrong in
            ["abcdef", "abcdeF.0123456789abcdef", "abcde.0123456789abcdef", "abcdef.0123456789abcde", "."]
        {
            assert_eq!(parts(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_secret_says_who_shows_its_token() {
        let now = "2029-01-01T00:00:00Z".parse().unwrap();
        let shown = ("abcdef", "0123456789abcdef");
        let good = user(&secret(("description", "x")), shown, now).unwrap();
        assert_eq!(good.name, "system:bootstrap:abcdef");
        assert_eq!(
            good.groups,
            ["system:bootstrappers:a:b-c", "system:bootstrappers", "system:authenticated"]
        );
        let cases = [
            ("token-secret", "0123456789abcdeg"),
            ("token-id", "abcdeg"),
            ("usage-bootstrap-authentication", "yes"),
            ("auth-extra-groups", "system:masters"),
            ("auth-extra-groups", "system:bootstrappers:"),
            ("expiration", "2028-01-01T00:00:00Z"),
            ("expiration", "soon"),
        ];
        for change in cases {
            assert!(user(&secret(change), shown, now).is_err(), "{change:?}");
        }
        let mut other = secret(("description", "x"));
        other.set("type", "Opaque");
        assert!(user(&other, shown, now).is_err());
        let mut going = secret(("description", "x"));
        going.entry("metadata").set("deletionTimestamp", "2028-01-01T00:00:00Z");
        assert!(user(&going, shown, now).is_err());
    }
}
