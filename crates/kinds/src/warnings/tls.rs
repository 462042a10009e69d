//! Secrets for TLS whose key is not that of their certificate (Go's `tls.X509KeyPair`, whose texts these are).
//!
//! Keys that do not tell their public part (those of Ed25519, and some of elliptic curves) are taken to fit.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use object::Value;
use x509_parser::oid_registry::OID_SIG_ED25519;
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::public_key::PublicKey;

use crate::validation::pem;

/// Warns about a Secret whose certificate or key cannot be used.
pub(crate) fn of_secret(secret: &Value) -> Vec<String> {
    if secret.str_at("type") != "kubernetes.io/tls" {
        return Vec::new();
    }
    // The decoder has already refused invalid base64.
    let bytes = |key: &str| STANDARD.decode(secret.at_path(&["data", key]).as_str().unwrap_or_default());
    let [certificate, key] = ["tls.crt", "tls.key"].map(|key| bytes(key).unwrap_or_default());
    check(&certificate, &key).err().into_iter().collect()
}

fn check(certificate: &[u8], key: &[u8]) -> Result<(), String> {
    let certificate = find(certificate, |label| label == "CERTIFICATE").map_err(|skipped| match skipped.as_slice() {
        [] => "tls: failed to find any PEM data in certificate input".to_owned(),
        [one] if one.ends_with("PRIVATE KEY") => "tls: failed to find certificate PEM data in certificate input, but did find a private key; PEM inputs may have been switched".to_owned(),
        _ => format!(
            "tls: failed to find \"CERTIFICATE\" PEM block in certificate input after skipping PEM blocks of the following types: [{}]",
            skipped.join(" ")
        ),
    })?;
    let is_key = |label: &str| label == "PRIVATE KEY" || label.ends_with(" PRIVATE KEY");
    let key = find(key, is_key).map_err(|skipped| match skipped.as_slice() {
        [] => "tls: failed to find any PEM data in key input".to_owned(),
        [one] if one == "CERTIFICATE" => {
            "tls: found a certificate rather than a key in the PEM for the private key".to_owned()
        }
        _ => format!(
            "tls: failed to find PEM block with type ending in \"PRIVATE KEY\" in key input after skipping PEM blocks of the following types: [{}]",
            skipped.join(" ")
        ),
    })?;
    let (_, certificate) =
        X509Certificate::from_der(&certificate).map_err(|_| "x509: malformed certificate".to_owned())?;
    let key = Key::read(&key).ok_or("tls: failed to parse private key")?;
    let public = certificate.public_key();
    let fits = match (&key, public.parsed()) {
        (Key::Rsa(modulus), Ok(PublicKey::RSA(rsa))) => without_zeros(modulus) == without_zeros(rsa.modulus),
        (Key::Elliptic(point), Ok(PublicKey::EC(_))) => {
            point.is_none_or(|point| point == &*public.subject_public_key.data)
        }
        (Key::Ed25519, _) if public.algorithm.algorithm == OID_SIG_ED25519 => true,
        _ => return Err("tls: private key type does not match public key type".into()),
    };
    if fits { Ok(()) } else { Err("tls: private key does not match public key".into()) }
}

/// The first block with such a label, or the labels of all others.
fn find(text: &[u8], is_wanted: impl Fn(&str) -> bool) -> Result<Vec<u8>, Vec<String>> {
    let mut skipped = Vec::new();
    for block in pem::blocks(text) {
        if is_wanted(&block.label) {
            return Ok(block.content);
        }
        skipped.push(block.label);
    }
    Err(skipped)
}

fn without_zeros(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    &number[zeros..]
}

/// What a private key tells of its public one.
enum Key<'d> {
    /// The modulus.
    Rsa(&'d [u8]),
    /// The point, where it is told.
    Elliptic(Option<&'d [u8]>),
    Ed25519,
}

const INTEGER: u8 = 0x02;
const BITS: u8 = 0x03;
const BYTES: u8 = 0x04;
const OBJECT: u8 = 0x06;
const SEQUENCE: u8 = 0x30;
/// The part `[1]` of a key of an elliptic curve.
const POINT: u8 = 0xa1;
const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
const ELLIPTIC: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
const ED25519: &[u8] = &[0x2b, 0x65, 0x70];

impl<'d> Key<'d> {
    /// Reads PKCS #1 (RFC 8017), PKCS #8 (RFC 5958) and SEC 1 (RFC 5915).
    fn read(der: &'d [u8]) -> Option<Key<'d>> {
        let (tag, content, _) = part(der)?;
        let parts = parts(content).filter(|_| tag == SEQUENCE)?;
        match parts.as_slice() {
            [(INTEGER, _), (SEQUENCE, algorithm), (BYTES, key), ..] => {
                match self::parts(algorithm)?.first()? {
                    (OBJECT, RSA) => Key::read(key).filter(|key| matches!(key, Key::Rsa(_))),
                    (OBJECT, ELLIPTIC) => Key::read(key).filter(|key| matches!(key, Key::Elliptic(_))),
                    (OBJECT, ED25519) => Some(Key::Ed25519),
                    _ => None,
                }
            }
            [(INTEGER, _), (BYTES, _), rest @ ..] => {
                let point = rest.iter().find(|(tag, _)| *tag == POINT).and_then(|(_, bits)| part(bits));
                // The first byte counts the bits at the end that are not used: none.
                let point = point.filter(|(tag, ..)| *tag == BITS).and_then(|(_, bits, _)| bits.get(1..));
                Some(Key::Elliptic(point))
            }
            [(INTEGER, _), (INTEGER, modulus), numbers @ ..] if numbers.len() >= 7 => Some(Key::Rsa(modulus)),
            _ => None,
        }
    }
}

/// The parts of a sequence: tags with contents.
fn parts(mut der: &[u8]) -> Option<Vec<(u8, &[u8])>> {
    let mut parts = Vec::new();
    while !der.is_empty() {
        let (tag, content, rest) = part(der)?;
        parts.push((tag, content));
        der = rest;
    }
    Some(parts)
}

/// The first part: its tag, its content, and what follows.
fn part(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (tag, rest) = der.split_first()?;
    let (first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(*first), rest),
        0x81..=0x84 => {
            let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            (digits.iter().fold(0, |length, digit| length << 8 | usize::from(*digit)), rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((*tag, content, rest))
}

#[cfg(test)]
mod tests {
    use object::value;
    use rcgen::{CertificateParams, KeyPair};

    use super::*;

    fn secret(certificate: &str, key: &str) -> Vec<String> {
        let encoded = |text: &str| STANDARD.encode(text);
        of_secret(&value!({
            "type": "kubernetes.io/tls",
            "data": {"tls.crt": (encoded(certificate)), "tls.key": (encoded(key))}
        }))
    }

    fn certificate(key: &KeyPair) -> String {
        CertificateParams::default().self_signed(key).unwrap().pem()
    }

    #[test]
    fn keys_fit_their_certificates() {
        let [one, other] = [(); 2].map(|()| KeyPair::generate().unwrap());
        let edwards = KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
        for key in [&one, &edwards] {
            assert!(secret(&certificate(key), &key.serialize_pem()).is_empty());
        }
        assert_eq!(
            secret(&certificate(&one), &other.serialize_pem()),
            ["tls: private key does not match public key"]
        );
        assert_eq!(
            secret(&certificate(&one), &edwards.serialize_pem()),
            ["tls: private key type does not match public key type"]
        );
        let other_type = value!({"type": "Opaque", "data": {"tls.crt": "eA=="}});
        assert!(of_secret(&other_type).is_empty());
    }

    #[test]
    fn what_is_not_there_is_named() {
        let key = KeyPair::generate().unwrap();
        let (certificate, key) = (certificate(&key), key.serialize_pem());
        let odd = "-----BEGIN ODD-----\nYQ==\n-----END ODD-----\n";
        let cases = [
            ("", &*key, "tls: failed to find any PEM data in certificate input"),
            (
                &*key,
                &*certificate,
                "tls: failed to find certificate PEM data in certificate input, but did find a private key; PEM inputs may have been switched",
            ),
            (
                odd,
                &*key,
                "tls: failed to find \"CERTIFICATE\" PEM block in certificate input after skipping PEM blocks of the following types: [ODD]",
            ),
            (&*certificate, "", "tls: failed to find any PEM data in key input"),
            (
                &*certificate,
                &*certificate,
                "tls: found a certificate rather than a key in the PEM for the private key",
            ),
            (
                &*certificate,
                odd,
                "tls: failed to find PEM block with type ending in \"PRIVATE KEY\" in key input after skipping PEM blocks of the following types: [ODD]",
            ),
            (
                &*certificate,
                "-----BEGIN PRIVATE KEY-----\nYQ==\n-----END PRIVATE KEY-----\n",
                "tls: failed to parse private key",
            ),
            (
                "-----BEGIN CERTIFICATE-----\nYQ==\n-----END CERTIFICATE-----\n",
                &*key,
                "x509: malformed certificate",
            ),
        ];
        for (certificate, key, why) in cases {
            assert_eq!(secret(certificate, key), [why]);
        }
    }
}
