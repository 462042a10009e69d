//! Where a webhook is (`apiserver/pkg/util/webhook/validation.go`).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use object::field::Errors;
use object::{Value, names};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::validation::field::Field;
use crate::validation::pem;

const FORM: &str = "; desired format: https://host[/path]";

/// Checks a `clientConfig`.
pub(in crate::validation) fn validate(errors: &mut Errors, client: &Field<'_, '_>) {
    let (url, service) = (client.child("url"), client.child("service"));
    match (url.is_set(), service.is_set()) {
        (true, false) => validate_url(errors, &url),
        (false, true) => validate_service(errors, &service),
        _ => client.required(errors, "exactly one of url or service is required"),
    }
}

fn validate_url(errors: &mut Errors, url: &Field<'_, '_>) {
    let text = url.text();
    if text.chars().any(|c| c.is_control() || c == ' ') {
        let why = format!("url must be a valid URL: parse {text:?}: net/url: invalid character in URL{FORM}");
        return url.required(errors, &why);
    }
    let (rest, fragment) = text.split_once('#').unwrap_or((text, ""));
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (scheme, rest) = match rest.split_once(':') {
        Some((scheme, rest)) if is_scheme(scheme) => (scheme, rest),
        _ => ("", rest),
    };
    let authority = rest.strip_prefix("//").map_or("", |rest| rest.split('/').next().unwrap_or_default());
    let (user, host) = match authority.rsplit_once('@') {
        Some((user, host)) => (Some(user), host),
        None => (None, authority),
    };
    if !has_valid_port(host) {
        let why = format!("url must be a valid URL: parse {text:?}: invalid port after host{FORM}");
        return url.required(errors, &why);
    }
    if !scheme.eq_ignore_ascii_case("https") {
        errors.invalid(&url.path, scheme, format!("'https' is the only allowed URL scheme{FORM}"));
    }
    if host.is_empty() {
        errors.invalid(&url.path, host, format!("host must be specified{FORM}"));
    }
    if let Some(user) = user {
        // Without a password, which it may contain.
        let user = user.split(':').next().unwrap_or_default();
        errors.invalid(&url.path, user, "user information is not permitted in the URL");
    }
    if !fragment.is_empty() {
        errors.invalid(&url.path, fragment, "fragments are not permitted in the URL");
    }
    if !query.is_empty() {
        errors.invalid(&url.path, query, "query parameters are not permitted in the URL");
    }
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
}

/// Whether the port of a host is a number, if it has one.
fn has_valid_port(host: &str) -> bool {
    let after_address = host.rsplit(']').next().unwrap_or_default();
    after_address.rsplit_once(':').is_none_or(|(_, port)| port.is_empty() || port.parse::<u16>().is_ok())
}

fn validate_service(errors: &mut Errors, service: &Field<'_, '_>) {
    // As upstream, which takes one for the other.
    for (member, named) in [("namespace", "name"), ("name", "namespace")] {
        if service.child(member).is_empty() {
            errors.required(&service.path.child(named), "");
        }
    }
    let port = service.child("port");
    let wrong = names::is_valid_port_num(port.number());
    if !wrong.is_empty() {
        errors.invalid(&port.path, port.number(), format!("port is not valid: {}", wrong.join(", ")));
    }
    validate_path(errors, &service.child("path"));
}

/// Checks a `caBundle`.
pub(in crate::validation) fn validate_bundle(errors: &mut Errors, bundle: &Field<'_, '_>) {
    if let Err(why) = read_bundle(bundle.value) {
        bundle.invalid(errors, format!("unable to load root certificates: {why}"));
    }
}

/// Whether a text in PEM contains a certificate that can be read; an empty text is valid.
pub(in crate::validation) fn read_bundle(bundle: &Value) -> Result<(), &'static str> {
    // The decoder has already refused invalid base64.
    let text = STANDARD.decode(bundle.as_str().unwrap_or_default()).unwrap_or_default();
    if text.is_empty() {
        return Ok(());
    }
    let mut blocks = pem::blocks(&text).peekable();
    if blocks.peek().is_none() {
        return Err("unable to parse bytes as PEM block");
    }
    let certificates = blocks.filter(|block| block.label == "CERTIFICATE" && !block.has_headers);
    let read: Vec<bool> =
        certificates.map(|block| X509Certificate::from_der(&block.content).is_ok()).collect();
    match (read.is_empty(), read.contains(&true)) {
        (_, true) => Ok(()),
        (false, false) => Err("failed to parse certificate: x509: malformed certificate"),
        (true, _) => Err("no valid certificate authority data seen"),
    }
}

fn validate_path(errors: &mut Errors, path: &Field<'_, '_>) {
    let text = path.text();
    match text {
        "" | "/" => return,
        "//" => return path.invalid(errors, "segment[0] may not be empty"),
        _ => {}
    }
    if !text.starts_with('/') {
        path.invalid(errors, "must start with a '/'");
    }
    // As upstream: the first character is left out whatever it is.
    let rest: String = text.chars().skip(1).collect();
    let rest = rest.strip_suffix('/').unwrap_or(&rest);
    for (i, step) in rest.split('/').enumerate() {
        if step.is_empty() {
            path.invalid(errors, format!("segment[{i}] may not be empty"));
            continue;
        }
        for why in names::is_dns1123_subdomain(step) {
            path.invalid(errors, format!("segment[{i}]: {why}"));
        }
    }
}
