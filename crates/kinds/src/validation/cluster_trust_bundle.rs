//! ClusterTrustBundles (`pkg/apis/certificates/validation`).

use std::collections::HashMap;

use object::Value;
use object::field::{Error, Errors, Path};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::certificates::validate_signer_name;
use super::field::Field;
use super::pem;
use crate::NameRule;

const BUNDLE: &str = "io.k8s.api.certificates.v1.ClusterTrustBundle";
/// How long the text of a bundle may be.
const TEXT_BYTES_MAX: usize = 1 << 20;
/// Stands for the text in errors.
const OMITTED: &str = "<value omitted>";

/// Checks a ClusterTrustBundle, except its metadata other than the name.
pub fn validate_cluster_trust_bundle(bundle: &Value) -> Errors {
    validate(bundle, true)
}

/// Checks a change of a ClusterTrustBundle, except its metadata. A text that does not change is not read again: how
/// certificates are read may have become stricter.
pub fn validate_cluster_trust_bundle_update(bundle: &Value, old: &Value) -> Errors {
    let text = "spec.trustBundle";
    let mut errors = validate(bundle, bundle.str_at(text) != old.str_at(text));
    let root = Field::root(bundle, BUNDLE);
    root.child("spec").child("signerName").check_immutable(&mut errors, old.at("spec.signerName"));
    errors
}

fn validate(bundle: &Value, reads_text: bool) -> Errors {
    let mut errors = Errors::new();
    let root = Field::root(bundle, BUNDLE);
    let spec = root.child("spec");
    let signer = spec.child("signerName");
    validate_name(&mut errors, bundle.get("metadata"), signer.text());
    if !signer.is_empty() {
        validate_signer_name(&mut errors, &signer);
    }
    if reads_text {
        let text = spec.child("trustBundle");
        validate_text(&mut errors, &text.path, text.text());
    }
    errors
}

/// A bundle of a signer is named after it: `example.com:signer:name`.
fn validate_name(errors: &mut Errors, metadata: &Value, signer: &str) {
    let path = Path::root("metadata");
    for (member, is_prefix) in [("generateName", true), ("name", false)] {
        let name = metadata.str_at(member);
        // What cannot be a name at all is refused elsewhere.
        if name.is_empty() || !NameRule::PathSegment.check(name, is_prefix).is_empty() {
            continue;
        }
        errors.invalid_each(&path.child(member), name, wrong_name(name, is_prefix, signer));
    }
}

fn wrong_name(name: &str, is_prefix: bool, signer: &str) -> Vec<String> {
    if signer.is_empty() {
        if name.contains(':') {
            return vec!["ClusterTrustBundle without signer name must not have \":\" in its name".into()];
        }
        return NameRule::Subdomain.check(name, is_prefix);
    }
    let prefix = format!("{}:", signer.replace('/', ":"));
    match name.strip_prefix(&prefix) {
        Some(rest) => NameRule::Subdomain.check(rest, is_prefix),
        None => {
            vec![format!("ClusterTrustBundle for signerName {signer} must be named with prefix {prefix}")]
        }
    }
}

/// The text holds certificates of authorities, each once, and nothing but text between them.
fn validate_text(errors: &mut Errors, path: &Path<'_>, text: &str) {
    if text.len() > TEXT_BYTES_MAX {
        return errors.push_with(|| Error::too_long(path, TEXT_BYTES_MAX));
    }
    let before = errors.len();
    // The numbers of equal certificates, in the order of the first ones.
    let mut places: Vec<Vec<usize>> = Vec::new();
    let mut known = HashMap::new();
    for (number, block) in pem::blocks(text.as_bytes()).enumerate() {
        if let Some(why) = wrong_block(&block) {
            errors.invalid(path, OMITTED, format!("entry {number} {why}"));
            continue;
        }
        let place = *known.entry(block.content).or_insert(places.len());
        match places.get_mut(place) {
            Some(numbers) => numbers.push(number),
            None => places.push(vec![number]),
        }
    }
    if errors.len() > before {
        return;
    }
    if places.is_empty() {
        errors.invalid(path, OMITTED, "at least one trust anchor must be provided");
    }
    for numbers in places.iter().filter(|numbers| numbers.len() > 1) {
        let numbers: Vec<String> = numbers.iter().map(usize::to_string).collect();
        let why = format!("duplicate trust anchor (indices [{}])", numbers.join(" "));
        errors.invalid(path, OMITTED, why);
    }
}

fn wrong_block(block: &pem::Block) -> Option<String> {
    if block.label != "CERTIFICATE" {
        return Some(format!("has bad block type: {}", block.label));
    }
    if block.has_headers {
        return Some("has PEM block headers".into());
    }
    let Some((_, certificate)) =
        X509Certificate::from_der(&block.content).ok().filter(|(rest, _)| rest.is_empty())
    else {
        return Some("does not parse as X.509".into());
    };
    (!certificate.is_ca()).then(|| "does not have the CA bit set".into())
}
