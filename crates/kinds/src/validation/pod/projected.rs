//! Projected volumes.

use std::collections::HashSet;

use object::field::Errors;
use object::names;

use super::items::{validate_downward_file, validate_key_to_path};
use super::paths::{file_mode, local_path};
use crate::validation::certificates::validate_signer_name;
use crate::validation::field::Field;

const TOKEN_SECONDS_MIN: i64 = 10 * 60;
const TOKEN_SECONDS_MAX: i64 = 1 << 32;
const CERTIFICATE_SECONDS_MIN: i64 = 60 * 60;
const CERTIFICATE_SECONDS_MAX: i64 = 91 * 24 * 60 * 60;
const KEY_TYPES: [&str; 6] = ["ECDSAP256", "ECDSAP384", "ECDSAP521", "ED25519", "RSA3072", "RSA4096"];
const CONFLICT: &str = "conflicting duplicate paths";

pub(super) fn validate_projected(errors: &mut Errors, volume: &Field<'_, '_>) {
    file_mode(errors, &volume.child("defaultMode"));
    let mut paths = HashSet::new();
    for source in volume.child("sources").items() {
        let mut sources = 0;
        for name in [
            "secret",
            "configMap",
            "downwardAPI",
            "serviceAccountToken",
            "clusterTrustBundle",
            "podCertificate",
        ] {
            let projection = source.child(name);
            if !projection.is_set() {
                continue;
            }
            sources += 1;
            match name {
                "secret" | "configMap" => validate_keyed(errors, volume, &projection, &mut paths),
                "downwardAPI" => {
                    for file in projection.child("items").items() {
                        validate_downward_file(errors, &file.named(projection.path));
                        let path = file.child("path").text();
                        take_path(errors, volume, &mut paths, path, path);
                    }
                }
                "serviceAccountToken" => validate_token(errors, volume, &projection),
                "clusterTrustBundle" => validate_trust_bundle(errors, volume, &projection, &mut paths),
                _ => validate_certificate(errors, volume, &projection, &mut paths),
            }
        }
        if sources > 1 {
            source.forbidden(errors, "may not specify more than 1 volume type per source");
        }
    }
}

/// No two files may have the same path; `shown` appears in the error.
fn take_path(
    errors: &mut Errors,
    volume: &Field<'_, '_>,
    paths: &mut HashSet<String>,
    path: &str,
    shown: &str,
) {
    if !path.is_empty() && !paths.insert(path.to_owned()) {
        errors.invalid(&volume.path, shown, CONFLICT);
    }
}

fn validate_keyed(
    errors: &mut Errors,
    volume: &Field<'_, '_>,
    projection: &Field<'_, '_>,
    paths: &mut HashSet<String>,
) {
    let name = projection.child("name");
    name.check_present(errors);
    for item in projection.child("items").items() {
        validate_key_to_path(errors, &item);
        take_path(errors, volume, paths, item.child("path").text(), name.text());
    }
}

fn validate_token(errors: &mut Errors, volume: &Field<'_, '_>, token: &Field<'_, '_>) {
    let seconds = token.child("expirationSeconds");
    if seconds.number() < TOKEN_SECONDS_MIN {
        errors.invalid(&seconds.path, seconds.number(), "may not specify a duration less than 10 minutes");
    }
    if seconds.number() > TOKEN_SECONDS_MAX {
        seconds.invalid(errors, "may not specify a duration larger than 2^32 seconds");
    }
    let path = token.child("path");
    let path = path.named(volume.path.child("path"));
    path.check_present(errors);
    local_path(errors, &path);
}

fn validate_trust_bundle(
    errors: &mut Errors,
    volume: &Field<'_, '_>,
    bundle: &Field<'_, '_>,
    paths: &mut HashSet<String>,
) {
    let (name, signer, selector) =
        (bundle.child("name"), bundle.child("signerName"), bundle.child("labelSelector"));
    match (name.is_set(), signer.is_set()) {
        (true, true) => bundle.invalid(errors, "only one of name and signerName may be used"),
        (true, false) => {
            if name.is_empty() {
                name.required(errors, "must be a valid object name");
            }
            // Bundles of a signer are named after it: `example.com:signer:name`.
            let last = name.text().rsplit(':').next().unwrap_or_default();
            for message in names::is_dns1123_subdomain(last) {
                name.invalid(errors, format!("not a valid clustertrustbundlename: {message}"));
            }
            if selector.is_set() {
                selector.invalid(errors, "labelSelector must be unset if name is specified");
            }
        }
        (false, true) => {
            if signer.is_empty() {
                signer.required(errors, "must be a valid signer name");
            }
            validate_signer_name(errors, &signer);
            errors.append(selector.selector().validate(&selector.path, false));
        }
        (false, false) => bundle.required(errors, "either name or signerName must be specified"),
    }
    let path = bundle.child("path");
    path.check_present(errors);
    local_path(errors, &path);
    if !paths.insert(path.text().to_owned()) {
        errors.invalid(&volume.path, path.text(), CONFLICT);
    }
}

fn validate_certificate(
    errors: &mut Errors,
    volume: &Field<'_, '_>,
    certificate: &Field<'_, '_>,
    paths: &mut HashSet<String>,
) {
    validate_signer_name(errors, &certificate.child("signerName"));
    certificate.child("keyType").check_one_of(errors, &KEY_TYPES);
    let seconds = certificate.child("maxExpirationSeconds");
    seconds.check_number(errors, |n| names::is_in_range(n, CERTIFICATE_SECONDS_MIN, CERTIFICATE_SECONDS_MAX));
    let mut files = 0;
    for name in ["credentialBundlePath", "keyPath", "certificateChainPath"] {
        let path = certificate.child(name);
        if !path.is_empty() {
            files += 1;
            local_path(errors, &path);
            take_path(errors, volume, paths, path.text(), path.text());
        }
    }
    if files == 0 {
        let why = "specify at least one of credentialBundlePath, keyPath, and certificateChainPath";
        certificate.required(errors, why);
    }
}
