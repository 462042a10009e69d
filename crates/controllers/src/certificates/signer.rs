//! Creation of a certificate from an approved request.

use std::fmt;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::certificates::v1::CertificateSigningRequestSpec;
use rcgen::{CertificateParams, KeyPair, SigningKey};
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::prelude::FromDer;

use super::der;
use super::request::Request;
use super::rules::SignerName;

/// Certificates begin a little in the past, for peers whose clocks are behind (upstream's value).
const BACKDATE: SignedDuration = SignedDuration::from_mins(5);
/// Shorter lifetimes are counted from now, longer ones from the backdated beginning, as upstream does.
const SHORT: SignedDuration = SignedDuration::from_hours(8);
/// The shortest lifetime that can be requested; the signer's own may be shorter, as upstream's may.
const LIFETIME_MIN: SignedDuration = SignedDuration::from_mins(10);

/// The bits of usages of a key (RFC 5280, section 4.2.1.3).
const KEY_USAGES: [(&str, u8); 10] = [
    ("signing", 0),
    ("digital signature", 0),
    ("content commitment", 1),
    ("key encipherment", 2),
    ("data encipherment", 3),
    ("key agreement", 4),
    ("cert sign", 5),
    ("crl sign", 6),
    ("encipher only", 7),
    ("decipher only", 8),
];
/// The identifiers of extended usages.
const EXTENDED_USAGES: [(&str, &[u32]); 13] = [
    ("any", &[2, 5, 29, 37, 0]),
    ("server auth", &[1, 3, 6, 1, 5, 5, 7, 3, 1]),
    ("client auth", &[1, 3, 6, 1, 5, 5, 7, 3, 2]),
    ("code signing", &[1, 3, 6, 1, 5, 5, 7, 3, 3]),
    ("email protection", &[1, 3, 6, 1, 5, 5, 7, 3, 4]),
    ("s/mime", &[1, 3, 6, 1, 5, 5, 7, 3, 4]),
    ("ipsec end system", &[1, 3, 6, 1, 5, 5, 7, 3, 5]),
    ("ipsec tunnel", &[1, 3, 6, 1, 5, 5, 7, 3, 6]),
    ("ipsec user", &[1, 3, 6, 1, 5, 5, 7, 3, 7]),
    ("timestamping", &[1, 3, 6, 1, 5, 5, 7, 3, 8]),
    ("ocsp signing", &[1, 3, 6, 1, 5, 5, 7, 3, 9]),
    ("microsoft sgc", &[1, 3, 6, 1, 4, 1, 311, 10, 3, 3]),
    ("netscape sgc", &[2, 16, 840, 1, 113_730, 4, 1]),
];

/// Why an authority cannot be used, or a certificate cannot be created.
#[derive(Debug, thiserror::Error)]
pub enum SignerError {
    /// The authority's key cannot be used.
    #[error("the signing CA's key cannot be used")]
    Key(#[from] rcgen::Error),
    /// The authority's certificate is damaged.
    #[error("the signing CA's certificate is damaged")]
    Certificate,
    /// A request has an unknown usage.
    #[error("unrecognized usages: [{0}]")]
    Usage(String),
    /// The CA has expired.
    #[error("the signer has expired: NotAfter={0}")]
    Expired(Timestamp),
}

/// An authority that signs.
pub struct Signer {
    key: KeyPair,
    /// The algorithm of its signatures, as certificates name it (DER).
    algorithm: Vec<u8>,
    /// Its own subject (DER).
    issuer: Vec<u8>,
    /// The key identifier in the certificates that it signs; empty if its own certificate has none.
    key_id: Vec<u8>,
    not_after: Timestamp,
    /// The maximum lifetime, which is also the default.
    lifetime: SignedDuration,
}

/// The authorities of all signers.
#[derive(Clone, Debug)]
pub struct Signers {
    /// Signs for clients of the API server, and all requests that the other does not sign.
    pub client: Arc<Signer>,
    /// Signs for node APIs.
    pub kubelet_serving: Arc<Signer>,
}

impl Signers {
    pub(super) fn get(&self, name: SignerName) -> &Arc<Signer> {
        match name {
            SignerName::KubeletServing => &self.kubelet_serving,
            _ => &self.client,
        }
    }
}

impl Signer {
    /// A CA from its certificate and its key (PEM). The certificates that it signs are valid for `lifetime` (upstream:
    /// `--cluster-signing-duration`), or shorter if a request says so.
    ///
    /// # Errors
    /// [`SignerError`] if they cannot be used.
    pub fn new(certificate: &str, key: &str, lifetime: SignedDuration) -> Result<Signer, SignerError> {
        let key = KeyPair::from_pem(key)?;
        // A signature by the key names its algorithm, and the certificates must name the same.
        let probe = CertificateParams::default().serialize_request(&key)?;
        let (_, probe) =
            X509CertificationRequest::from_der(probe.der()).map_err(|_| SignerError::Certificate)?;
        let (_, pem) =
            x509_parser::pem::parse_x509_pem(certificate.as_bytes()).map_err(|_| SignerError::Certificate)?;
        let certificate = pem.parse_x509().map_err(|_| SignerError::Certificate)?;
        let key_id = certificate.iter_extensions().find_map(|extension| match extension.parsed_extension() {
            x509_parser::extensions::ParsedExtension::SubjectKeyIdentifier(id) => Some(id.0.to_vec()),
            _ => None,
        });
        let not_after = Timestamp::from_second(certificate.validity().not_after.timestamp());
        Ok(Signer {
            algorithm: algorithm_of(&probe)?,
            key,
            issuer: certificate.subject().as_raw().to_vec(),
            key_id: key_id.unwrap_or_default(),
            not_after: not_after.map_err(|_| SignerError::Certificate)?,
            lifetime,
        })
    }

    /// The certificate (PEM) for a request whose signer allows it.
    pub(super) fn sign(
        &self,
        request: &Request,
        spec: &CertificateSigningRequestSpec,
        serial: &[u8; 16],
        now: Timestamp,
    ) -> Result<String, SignerError> {
        let extensions = self.extensions(request, spec.usages.as_deref().unwrap_or_default())?;
        let (not_before, not_after) = self.validity(spec.expiration_seconds, now)?;
        let to_be_signed = der::sequence(&[
            // Version 3.
            &der::element(0xa0, &der::integer(&[2])),
            &der::integer(serial),
            &self.algorithm,
            &self.issuer,
            &der::sequence(&[&der::time(not_before), &der::time(not_after)]),
            &request.subject,
            &request.public_key,
            &der::element(0xa3, &extensions),
        ]);
        let signature = self.key.sign(&to_be_signed)?;
        let certificate = der::sequence(&[&to_be_signed, &self.algorithm, &der::bit_string(0, &signature)]);
        Ok(pem("CERTIFICATE", &certificate))
    }

    fn validity(&self, seconds: Option<i32>, now: Timestamp) -> Result<(Timestamp, Timestamp), SignerError> {
        if now >= self.not_after {
            return Err(SignerError::Expired(self.not_after));
        }
        let lifetime = match seconds.map(|seconds| SignedDuration::from_secs(seconds.into())) {
            Some(asked) if asked <= self.lifetime => asked.max(LIFETIME_MIN),
            _ => self.lifetime,
        };
        let not_before = now.saturating_sub(BACKDATE).unwrap_or(now);
        let start = if lifetime < SHORT { now } else { not_before };
        let not_after = start.saturating_add(lifetime).unwrap_or(self.not_after);
        Ok((not_before, not_after.min(self.not_after)))
    }

    fn extensions(&self, request: &Request, usages: &[String]) -> Result<Vec<u8>, SignerError> {
        let (mut bits, mut identifiers, mut unknown) = (0u16, Vec::new(), Vec::new());
        for usage in usages {
            let bit = KEY_USAGES.iter().find(|(name, _)| name == usage);
            let identifier = EXTENDED_USAGES.iter().find(|(name, _)| name == usage);
            match (bit, identifier) {
                (Some((_, bit)), _) => bits |= 0x8000 >> bit,
                (None, Some((_, arcs))) => identifiers.push(der::oid(arcs)),
                (None, None) => unknown.push(usage.as_str()),
            }
        }
        if !unknown.is_empty() {
            return Err(SignerError::Usage(unknown.join(" ")));
        }
        identifiers.sort();
        identifiers.dedup();
        let mut extensions = Vec::new();
        if bits != 0 {
            let bytes = bits.to_be_bytes();
            let bytes = if bytes[1] == 0 { &bytes[..1] } else { &bytes[..] };
            let unused = bytes[bytes.len() - 1].trailing_zeros() as u8;
            extensions.push(der::extension(&[2, 5, 29, 15], true, &der::bit_string(unused, bytes)));
        }
        if !identifiers.is_empty() {
            let value = der::element(der::SEQUENCE, &identifiers.concat());
            extensions.push(der::extension(&[2, 5, 29, 37], false, &value));
        }
        // Not an authority itself.
        extensions.push(der::extension(&[2, 5, 29, 19], true, &der::sequence(&[])));
        if !self.key_id.is_empty() {
            let value = der::sequence(&[&der::element(0x80, &self.key_id)]);
            extensions.push(der::extension(&[2, 5, 29, 35], false, &value));
        }
        if !request.alternative_names.is_empty() {
            // Critical if the names appear only here (RFC 5280, section 4.2.1.6).
            let is_critical = request.subject == der::sequence(&[]);
            extensions.push(der::extension(&[2, 5, 29, 17], is_critical, &request.alternative_names));
        }
        Ok(der::element(der::SEQUENCE, &extensions.concat()))
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer").field("not_after", &self.not_after).finish_non_exhaustive()
    }
}

/// The algorithm of a request's signature, copied unchanged: the second to last element of the whole.
fn algorithm_of(request: &X509CertificationRequest<'_>) -> Result<Vec<u8>, SignerError> {
    let whole = request.as_raw();
    // The length of the outer header is that of the whole minus its three elements.
    let info = request.certification_request_info.raw;
    let start = info.as_ptr().addr() - whole.as_ptr().addr() + info.len();
    let (rest, _) = x509_parser::x509::AlgorithmIdentifier::from_der(&whole[start..])
        .map_err(|_| SignerError::Certificate)?;
    Ok(whole[start..whole.len() - rest.len()].to_vec())
}

/// A PEM block, in lines of 64 characters.
pub(super) fn pem(label: &str, der: &[u8]) -> String {
    use base64::Engine;
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let lines: Vec<&str> =
        text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap_or_default()).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}
