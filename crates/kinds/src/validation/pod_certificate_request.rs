//! PodCertificateRequests (`pkg/apis/certificates/validation`).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use object::field::{Error, Errors};
use object::{Value, names};
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};
use x509_parser::public_key::PublicKey;

use super::certificates::validate_signer_name;
use super::conditions::validate_conditions;
use super::field::{Field, same};
use super::mail;
use super::metadata::validate_annotations;
use super::pem;

const REQUEST: &str = "io.k8s.api.certificates.v1.PodCertificateRequest";
const UID_BYTES_MAX: usize = 128;
const CHAIN_BYTES_MAX: usize = 100 * 1024;
/// For how long certificates may be asked for, in seconds: of any signer, and of Kubernetes' own.
const EXPIRATION_SECONDS_MIN: i64 = 3_600;
const EXPIRATION_SECONDS_MAX: i64 = 7_862_400;
const OWN_EXPIRATION_SECONDS_MAX: i64 = 86_400;
/// How long after its issue, and before its end, a certificate is renewed, in seconds.
const REFRESH_MARGIN_SECONDS: i64 = 600;
/// How far the time of issue may be from the present one, in seconds.
const ISSUE_SKEW_SECONDS: i64 = 300;
/// Upstream tells of durations in this unit.
const NANOSECONDS: i64 = 1_000_000_000;
const ENDS: [&str; 3] = ["Issued", "Denied", "Failed"];

/// Checks a PodCertificateRequest, except its metadata.
pub fn validate_pod_certificate_request(request: &Value) -> Errors {
    let mut errors = Errors::new();
    let root = Field::root(request, REQUEST);
    let spec = root.child("spec");
    let signer = spec.child("signerName");
    validate_signer_name(&mut errors, &signer);
    let annotations = spec.child("unverifiedUserAnnotations");
    validate_annotations(annotations.value, &annotations.path, &mut errors);
    for (key, _) in annotations.entries().filter(|(key, _)| !key.contains('/')) {
        errors.invalid(&annotations.path, key, "must be a domain-prefixed key (such as \"acme.io/foo\")");
    }
    for (name, uid) in
        [("podName", "podUID"), ("serviceAccountName", "serviceAccountUID"), ("nodeName", "nodeUID")]
    {
        let (name, uid) = (spec.child(name), spec.child(uid));
        name.check(&mut errors, names::is_dns1123_subdomain);
        if uid.is_empty() {
            errors.invalid(&uid.path, "", "must not be empty");
        }
        if uid.text().len() > UID_BYTES_MAX {
            errors.push_with(|| Error::too_long(&uid.path, UID_BYTES_MAX));
        }
    }
    let seconds = spec.child("maxExpirationSeconds");
    if !seconds.is_set() {
        seconds.required(&mut errors, "must be set");
        return errors;
    }
    let is_own = signer.text().split('/').next().is_some_and(|domain| domain.ends_with("kubernetes.io"));
    let max = if is_own { OWN_EXPIRATION_SECONDS_MAX } else { EXPIRATION_SECONDS_MAX };
    if !(EXPIRATION_SECONDS_MIN..=max).contains(&seconds.number()) {
        seconds.invalid(&mut errors, format!("must be in the range [{EXPIRATION_SECONDS_MIN}, {max}]"));
    }
    let stub = spec.child("stubPKCS10Request");
    if let Err(why) = check_stub(stub.value) {
        stub.invalid(&mut errors, why);
    }
    errors
}

fn bytes(base64: &Value) -> Vec<u8> {
    // The decoder has already refused invalid base64.
    STANDARD.decode(base64.as_str().unwrap_or_default()).unwrap_or_default()
}

/// Whether a request is signed by its key, and the key is of a kind that signers know.
fn check_stub(stub: &Value) -> Result<(), String> {
    let der = bytes(stub);
    let malformed = || "must be a valid PKCS#10 certificate signing request".to_owned();
    let (rest, request) = X509CertificationRequest::from_der(&der).map_err(|_| malformed())?;
    if !rest.is_empty() {
        return Err(malformed());
    }
    let key = &request.certification_request_info.subject_pki;
    match key.parsed() {
        Ok(PublicKey::RSA(rsa)) if !matches!(rsa.key_size(), 3072 | 4096) => {
            return Err("RSA keys must have modulus size 3072 or 4096".into());
        }
        Ok(PublicKey::EC(point)) if !matches!(point.key_size(), 256 | 384 | 520..=528) => {
            return Err("elliptic public keys must use curve P256, P384 or P521".into());
        }
        Ok(PublicKey::RSA(_) | PublicKey::EC(_)) => {}
        _ if key.algorithm.algorithm == x509_parser::oid_registry::OID_SIG_ED25519 => {}
        _ => return Err("unknown public key type; supported types are Ed25519, ECDSA, and RSA".into()),
    }
    request.verify_signature().map_err(|_| "could not verify the request's signature".to_owned())
}

/// Checks a change of a PodCertificateRequest, except its metadata: it asks for the same for ever.
pub fn validate_pod_certificate_request_update(request: &Value, old: &Value) -> Errors {
    let mut errors = Errors::new();
    Field::root(request, REQUEST).child("spec").check_immutable(&mut errors, old.get("spec"));
    errors
}

/// Checks a change of a PodCertificateRequest's status, except its metadata: it ends once, and stays as it ended.
pub fn validate_pod_certificate_request_status_update(request: &Value, old: &Value) -> Errors {
    let mut errors = Errors::new();
    let root = Field::root(request, REQUEST);
    let status = root.child("status");
    let conditions = status.child("conditions");
    let mut is_decided = false;
    for (index, condition) in conditions.items().enumerate() {
        // The paths are upstream's.
        let index = format!("[{index}]");
        let path = conditions.path.child(&index);
        let (kind, state) = (condition.value.str_at("type"), condition.value.str_at("status"));
        if !ENDS.contains(&kind) {
            errors.not_supported(&path.child("type"), kind, &ENDS);
            continue;
        }
        if std::mem::replace(&mut is_decided, true) {
            let why = r#"There may be at most one condition with type "Issued", "Denied", or "Failed""#;
            errors.invalid(&path.child("type"), kind, why);
        }
        if state != "True" {
            errors.not_supported(&path.child("status"), state, &["True"]);
        }
    }
    validate_conditions(&mut errors, &conditions);
    if !errors.is_empty() {
        return errors;
    }
    let end = |request: &Value| {
        request.at("status.conditions").items().next().map(|one| one.str_at("type").to_owned())
    };
    let mut conditions_only = Value::map();
    conditions_only.set("conditions", conditions.value.clone());
    let (fits, why) = match (end(old), end(request).as_deref()) {
        (Some(_), _) => (
            same(status.value, old.get("status")),
            "immutable after PodCertificateRequest is issued, denied, or failed",
        ),
        (None, Some("Issued")) => {
            validate_issued(&mut errors, request, &status);
            return errors;
        }
        (None, Some(_)) => (
            same(status.value, &conditions_only),
            "non-condition status fields must be empty when denying or failing the PodCertificateRequest",
        ),
        (None, None) => (
            same(status.value, old.get("status")),
            r#"status is immutable unless transitioning to "Issued", "Denied", or "Failed""#,
        ),
    };
    if !fits {
        errors.push_with(|| Error::invalid(&status.path, Value::Null, why).without_value());
    }
    errors
}

/// Checks that a certificate that is issued now, in a status that is valid otherwise, is valid from about now on.
pub fn validate_pod_certificate_request_issue(request: &Value, old: &Value, now: Timestamp) -> Errors {
    let mut errors = Errors::new();
    let is_issued = |request: &Value| {
        request.at("status.conditions").items().any(|condition| condition.str_at("type") == "Issued")
    };
    if is_issued(request) && !is_issued(old) {
        let root = Field::root(request, REQUEST);
        let status = root.child("status");
        let begin = status.child("notBefore");
        if seconds(&begin).abs_diff(now.as_second()) >= ISSUE_SKEW_SECONDS.unsigned_abs() {
            begin.invalid(&mut errors, "must be set to within 5 minutes of kube-apiserver's current time");
        }
    }
    errors
}

fn seconds(time: &Field<'_, '_>) -> i64 {
    time.text().parse::<Timestamp>().map_or(i64::MIN, Timestamp::as_second)
}

/// Checks a certificate, its chain, and the times that are told of it; the first mistake counts.
fn validate_issued(errors: &mut Errors, request: &Value, status: &Field<'_, '_>) {
    let chain = status.child("certificateChain");
    if chain.text().len() > CHAIN_BYTES_MAX {
        return errors.push_with(|| Error::too_long(&chain.path, CHAIN_BYTES_MAX));
    }
    let blocks: Vec<pem::Block> = pem::blocks(chain.text().as_bytes()).collect();
    let Some((leaf, others)) = blocks.split_first() else {
        return chain.invalid(errors, "issued certificate chain must contain at least one certificate");
    };
    if blocks.iter().any(|block| block.label != "CERTIFICATE") {
        return chain
            .invalid(errors, "issued certificate chain must consist entirely of CERTIFICATE PEM blocks");
    }
    let Some(certificate) = certificate(leaf) else {
        return chain.invalid(errors, "leaf certificate does not parse as valid X.509");
    };
    validate_names(errors, &chain, &certificate);
    let stub = bytes(request.at("spec.stubPKCS10Request"));
    let wanted = X509CertificationRequest::from_der(&stub).ok();
    let key = wanted.map(|(_, wanted)| wanted.certification_request_info.subject_pki.raw.to_vec());
    if key.as_deref() != Some(certificate.public_key().raw) {
        return chain.invalid(errors, "leaf certificate was not issued to the requested public key");
    }
    let validity = certificate.validity();
    let (from, to) = (validity.not_before.timestamp(), validity.not_after.timestamp());
    validate_times(errors, request, status, from, to);
    if errors.is_empty() && others.iter().any(|block| self::certificate(block).is_none()) {
        chain.invalid(errors, "intermediate certificate does not parse as valid X.509");
    }
}

/// Checks the domains and the addresses of mail that a certificate is for.
fn validate_names(errors: &mut Errors, chain: &Field<'_, '_>, certificate: &X509Certificate<'_>) {
    let names = certificate.subject_alternative_name().ok().flatten();
    for name in names.iter().flat_map(|names| &names.value.general_names) {
        let name = match name {
            GeneralName::DNSName(name) => name,
            GeneralName::RFC822Name(address) if !mail::is_address(address) => {
                let why = "leaf certificate should not contain invalid EmailAddress";
                errors.invalid(&chain.path, *address, why);
                continue;
            }
            _ => continue,
        };
        for (is_wrong, why) in [
            (name.is_empty(), "leaf certificate should not contain empty DNSName"),
            (name.contains(".."), "leaf certificate's DNSName should not contain '..'"),
            (
                name.starts_with('.') || name.ends_with('.'),
                "leaf certificate's DNSName should not start or end with '.'",
            ),
        ] {
            if is_wrong {
                errors.invalid(&chain.path, *name, why);
            }
        }
    }
}

fn certificate(block: &pem::Block) -> Option<X509Certificate<'_>> {
    X509Certificate::from_der(&block.content).ok().filter(|(rest, _)| rest.is_empty()).map(|(_, one)| one)
}

/// Checks the times of a certificate that is valid `from` and `to`, in seconds since 1970.
fn validate_times(errors: &mut Errors, request: &Value, status: &Field<'_, '_>, from: i64, to: i64) {
    let [begin, end, refresh] =
        ["notBefore", "notAfter", "beginRefreshAt"].map(|member| status.child(member));
    for time in [&begin, &end].into_iter().filter(|time| !time.is_set()) {
        time.required(errors, "must be present and consistent with the issued certificate");
    }
    if !refresh.is_set() {
        refresh.required(errors, "must be present and in the range [notbefore+10min, notafter-10min]");
    }
    if !errors.is_empty() {
        return;
    }
    let chain = status.child("certificateChain");
    let (lifetime, max) =
        (to.saturating_sub(from), request.at("spec.maxExpirationSeconds").as_i64().unwrap_or(0));
    let at = seconds(&refresh);
    if seconds(&begin) != from {
        begin.invalid(errors, "must be set to the NotBefore time encoded in the leaf certificate");
    } else if seconds(&end) != to {
        end.invalid(errors, "must be set to the NotAfter time encoded in the leaf certificate");
    } else if lifetime < EXPIRATION_SECONDS_MIN {
        errors.invalid(
            &chain.path,
            lifetime.saturating_mul(NANOSECONDS),
            "leaf certificate lifetime must be >= 1 hour",
        );
    } else if lifetime > max {
        let why = format!("leaf certificate lifetime must be <= spec.maxExpirationSeconds ({max})");
        errors.invalid(&chain.path, lifetime.saturating_mul(NANOSECONDS), why);
    } else if at < from.saturating_add(REFRESH_MARGIN_SECONDS) {
        refresh.invalid(errors, "must be at least 10 minutes after status.notBefore");
    } else if at > to.saturating_sub(REFRESH_MARGIN_SECONDS) {
        refresh.invalid(errors, "must be at least 10 minutes before status.notAfter");
    }
}
