//! CertificateSigningRequests, and the names of signers.

use std::collections::HashSet;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use object::field::{Error, Errors, Path};
use object::{Value, names, quote};
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::error::X509Error;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::field::{Field, same};
use super::pem;

const REQUEST: &str = "io.k8s.api.certificates.v1.CertificateSigningRequest";

/// The possible usages of certificates, sorted.
const USAGES: [&str; 23] = [
    "any",
    "cert sign",
    "client auth",
    "code signing",
    "content commitment",
    "crl sign",
    "data encipherment",
    "decipher only",
    "digital signature",
    "email protection",
    "encipher only",
    "ipsec end system",
    "ipsec tunnel",
    "ipsec user",
    "key agreement",
    "key encipherment",
    "microsoft sgc",
    "netscape sgc",
    "ocsp signing",
    "s/mime",
    "server auth",
    "signing",
    "timestamping",
];

/// The signer of requests from before requests named their signer.
const LEGACY_SIGNER: &str = "kubernetes.io/legacy-unknown";
const EXPIRATION_SECONDS_MIN: i64 = 600;
const DOMAIN_MAX: usize = 253;
/// A domain, a slash, and a name in a namespace.
const SIGNER_MAX: usize = DOMAIN_MAX + 1 + 63 + 1 + 253;

const APPROVED: &str = "Approved";
const DENIED: &str = "Denied";
const FAILED: &str = "Failed";

/// Checks a CertificateSigningRequest, except its metadata.
pub fn validate_certificate_signing_request(request: &Value) -> Errors {
    validate(request, &Tolerated::default())
}

/// Checks a change of the request itself. Approval and certificate are not changed this way.
pub fn validate_certificate_signing_request_update(request: &Value, old: &Value) -> Errors {
    let mut errors = validate_change(request, old);
    validate_decided(&mut errors, request, old);
    if request.at("status.certificate") != old.at("status.certificate") {
        certificate_forbidden(&mut errors, "updates may not set certificate content");
    }
    errors
}

/// Checks a change of `status`, by which a signer brings the certificate.
pub fn validate_certificate_signing_request_status_update(request: &Value, old: &Value) -> Errors {
    let mut errors = validate_change(request, old);
    validate_decided(&mut errors, request, old);
    let before = old.at("status.certificate");
    if !before.is_empty() && request.at("status.certificate") != before {
        certificate_forbidden(&mut errors, "updates may not modify existing certificate content");
    }
    errors
}

/// Checks a change of `approval`, which adds conditions.
pub fn validate_certificate_signing_request_approval(request: &Value, old: &Value) -> Errors {
    let mut errors = validate_change(request, old);
    if request.at("status.certificate") != old.at("status.certificate") {
        certificate_forbidden(&mut errors, "updates may not set certificate content");
    }
    errors
}

fn certificate_forbidden(errors: &mut Errors, why: &str) {
    errors.forbidden(&Path::root("status").child("certificate"), why);
}

/// Properties of stored objects that are not allowed in new ones.
#[derive(Default)]
struct Tolerated {
    approved_and_denied: bool,
    legacy_signer: bool,
    duplicate_conditions: bool,
    untyped_conditions: bool,
    certificate: bool,
    duplicate_usages: bool,
    unknown_usages: bool,
}

impl Tolerated {
    fn of(old: &Value, request: &Value) -> Tolerated {
        let types: Vec<&str> = old.at("status.conditions").items().map(|c| c.str_at("type")).collect();
        let usages: Vec<&str> = old.at("spec.usages").items().filter_map(Value::as_str).collect();
        let certificate = old.at("status.certificate");
        Tolerated {
            approved_and_denied: types.contains(&APPROVED) && types.contains(&DENIED),
            legacy_signer: old.str_at("spec.signerName") == LEGACY_SIGNER,
            duplicate_conditions: has_duplicates(&types),
            untyped_conditions: types.contains(&""),
            certificate: request.at("status.certificate") == certificate
                || check_certificates(certificate).is_err(),
            duplicate_usages: has_duplicates(&usages),
            unknown_usages: usages.iter().any(|usage| !USAGES.contains(usage)),
        }
    }
}

fn has_duplicates(names: &[&str]) -> bool {
    names.iter().collect::<HashSet<_>>().len() < names.len()
}

fn validate_change(request: &Value, old: &Value) -> Errors {
    let mut errors = validate(request, &Tolerated::of(old, request));
    let status = Path::root("status");
    let conditions = status.child("conditions");
    for kind in [APPROVED, DENIED, FAILED] {
        if of_type(request, kind).len() < of_type(old, kind).len() {
            errors.forbidden(
                &conditions,
                format!("updates may not remove a condition of type {}", quote(kind)),
            );
        }
    }
    errors
}

/// Only an approval decides.
fn validate_decided(errors: &mut Errors, request: &Value, old: &Value) {
    let status = Path::root("status");
    let conditions = status.child("conditions");
    for kind in [APPROVED, DENIED] {
        let (before, after) = (of_type(old, kind), of_type(request, kind));
        let verb = match after.len().cmp(&before.len()) {
            std::cmp::Ordering::Greater => "add",
            std::cmp::Ordering::Equal if before.iter().zip(&after).any(|(a, b)| !same(a, b)) => "modify",
            _ => continue,
        };
        errors.forbidden(&conditions, format!("updates may not {verb} a condition of type {}", quote(kind)));
    }
}

fn of_type<'v>(request: &'v Value, kind: &str) -> Vec<&'v Value> {
    request.at("status.conditions").items().filter(|condition| condition.str_at("type") == kind).collect()
}

fn validate(request: &Value, tolerated: &Tolerated) -> Errors {
    let mut errors = Errors::new();
    let root = Field::root(request, REQUEST);
    let (spec, status) = (root.child("spec"), root.child("status"));
    let pem = spec.child("request");
    if let Err(why) = check_request(pem.value) {
        pem.invalid(&mut errors, why);
    }
    validate_usages(&mut errors, &spec.child("usages"), tolerated);
    let signer = spec.child("signerName");
    if signer.text() == LEGACY_SIGNER && !tolerated.legacy_signer {
        signer.invalid(&mut errors, "the legacy signerName is not allowed via this API version");
    } else {
        validate_signer_name(&mut errors, &signer);
    }
    let seconds = spec.child("expirationSeconds");
    if seconds.is_set() && seconds.number() < EXPIRATION_SECONDS_MIN {
        seconds.invalid(&mut errors, "may not specify a duration less than 600 seconds (10 minutes)");
    }
    validate_conditions(&mut errors, &status.child("conditions"), tolerated);
    let certificate = status.child("certificate");
    if !tolerated.certificate
        && let Err(why) = check_certificates(certificate.value)
    {
        errors.invalid(&certificate.path, "<certificate data>", why);
    }
    errors
}

fn validate_usages(errors: &mut Errors, usages: &Field<'_, '_>, tolerated: &Tolerated) {
    usages.check_present(errors);
    if !tolerated.unknown_usages {
        for usage in usages.items().filter(|usage| !USAGES.contains(&usage.text())) {
            usage.not_supported(errors, &USAGES);
        }
    }
    if !tolerated.duplicate_usages {
        let mut seen = HashSet::new();
        for usage in usages.items().filter(|usage| !seen.insert(usage.text())) {
            usage.duplicate(errors);
        }
    }
}

fn validate_conditions(errors: &mut Errors, conditions: &Field<'_, '_>, tolerated: &Tolerated) {
    let mut seen = HashSet::new();
    for condition in conditions.items() {
        let (kind, status) = (condition.child("type"), condition.child("status"));
        if kind.is_empty() && !tolerated.untyped_conditions {
            kind.required(errors, "");
        }
        let decides = [APPROVED, DENIED, FAILED].contains(&kind.text());
        status.check_one_of(errors, if decides { &["True"] } else { &["False", "True", "Unknown"] });
        let opposite = match kind.text() {
            APPROVED => Some(DENIED),
            DENIED => Some(APPROVED),
            _ => None,
        };
        if !tolerated.approved_and_denied && opposite.is_some_and(|opposite| seen.contains(opposite)) {
            kind.invalid(errors, "Approved and Denied conditions are mutually exclusive");
        }
        if !seen.insert(kind.text()) && !tolerated.duplicate_conditions {
            kind.duplicate(errors);
        }
    }
}

/// The name of a signer: a domain, a slash and a name, `example.com/my-signer`.
pub(in crate::validation) fn validate_signer_name(errors: &mut Errors, signer: &Field<'_, '_>) {
    if signer.is_empty() {
        return signer.required(errors, "");
    }
    let Some((domain, path)) = signer.text().split_once('/').filter(|(_, path)| !path.contains('/')) else {
        let why = "must be a fully qualified domain and path of the form 'example.com/signer-name'";
        return signer.invalid(errors, why);
    };
    if domain.len() > DOMAIN_MAX {
        errors.push(Error::too_long(&signer.path, DOMAIN_MAX));
    }
    check_labels(errors, signer, domain, names::is_dns1123_label);
    if !domain.contains('.') {
        let why = "should be a domain with at least two segments separated by dots";
        errors.invalid(&signer.path, domain, why);
    }
    check_labels(errors, signer, path, names::is_dns1123_subdomain);
    if signer.text().len() > SIGNER_MAX {
        errors.push(Error::too_long(&signer.path, SIGNER_MAX));
    }
}

/// Reports only the first invalid label of a part of the name, because the other errors would be the same.
fn check_labels(errors: &mut Errors, signer: &Field<'_, '_>, part: &str, check: fn(&str) -> Vec<String>) {
    let wrong = part.split('.').map(|label| (label, check(label))).find(|(_, messages)| !messages.is_empty());
    let (label, messages) = wrong.unwrap_or_default();
    let messages = messages.into_iter().map(|why| format!("validating label {}: {why}", quote(label)));
    errors.invalid_each(&signer.path, part, messages);
}

fn bytes(base64: &Value) -> Vec<u8> {
    // The decoder has already refused invalid base64.
    STANDARD.decode(base64.as_str().unwrap_or_default()).unwrap_or_default()
}

/// Whether a text in PEM is a request that its own key has signed.
fn check_request(text: &Value) -> Result<(), &'static str> {
    let block = pem::blocks(&bytes(text)).next().filter(|block| block.label == "CERTIFICATE REQUEST");
    let block = block.ok_or("PEM block type must be CERTIFICATE REQUEST")?;
    let (rest, request) = X509CertificationRequest::from_der(&block.content)
        .map_err(|_| "x509: malformed certificate request")?;
    if !rest.is_empty() {
        return Err("asn1: syntax error: trailing data");
    }
    request.verify_signature().map_err(|error| match error {
        X509Error::SignatureUnsupportedAlgorithm => "x509: cannot verify signature: algorithm unimplemented",
        _ => "x509: the signature is not by the request's key",
    })
}

/// Whether a text in PEM contains only certificates; an empty text is valid.
fn check_certificates(text: &Value) -> Result<(), String> {
    let text = bytes(text);
    if text.is_empty() {
        return Ok(());
    }
    let mut blocks = pem::blocks(&text).peekable();
    if blocks.peek().is_none() {
        return Err("must contain at least one CERTIFICATE PEM block".into());
    }
    for block in blocks {
        if block.label != "CERTIFICATE" {
            return Err(format!("only CERTIFICATE PEM blocks are allowed, found {}", quote(&block.label)));
        }
        if block.has_headers {
            return Err("no PEM block headers are permitted".into());
        }
        if block.content.is_empty() {
            return Err("found CERTIFICATE PEM block containing 0 certificates".into());
        }
        let mut rest = &*block.content;
        while !rest.is_empty() {
            rest = X509Certificate::from_der(rest).map_err(|_| "x509: malformed certificate")?.0;
        }
    }
    Ok(())
}
