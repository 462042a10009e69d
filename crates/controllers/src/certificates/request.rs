//! The content of a PKCS#10 request.

use std::net::IpAddr;

use sha2::{Digest, Sha256};
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::FromDer;

/// The extension with a subject's other names.
const SUBJECT_ALT_NAME: [u32; 4] = [2, 5, 29, 17];

/// A parsed request. Its signature is valid, so its author has the key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) common_name: String,
    pub(super) organizations: Vec<String>,
    pub(super) dns_names: Vec<String>,
    pub(super) ip_addresses: Vec<IpAddr>,
    pub(super) has_emails: bool,
    pub(super) has_uris: bool,
    /// The subject, unchanged.
    pub(super) subject: Vec<u8>,
    /// The public key with its algorithm, unchanged.
    pub(super) public_key: Vec<u8>,
    /// The subject's other names, unchanged; empty if there are none.
    pub(super) alternative_names: Vec<u8>,
}

/// Why a request cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RequestError {
    /// The text is not a PEM block with a request.
    Pem,
    /// The block does not contain a request.
    Malformed,
    /// Its signature is not by its key.
    Signature,
}

impl std::fmt::Display for RequestError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            RequestError::Pem => "PEM block type must be CERTIFICATE REQUEST",
            RequestError::Malformed => "the request is malformed",
            RequestError::Signature => "the request's signature does not match its key",
        })
    }
}

impl Request {
    /// Reads a request in PEM.
    pub(super) fn parse(pem: &[u8]) -> Result<Request, RequestError> {
        let (_, block) = x509_parser::pem::parse_x509_pem(pem).map_err(|_| RequestError::Pem)?;
        if block.label != "CERTIFICATE REQUEST" {
            return Err(RequestError::Pem);
        }
        let (_, parsed) =
            X509CertificationRequest::from_der(&block.contents).map_err(|_| RequestError::Malformed)?;
        parsed.verify_signature().map_err(|_| RequestError::Signature)?;
        let info = &parsed.certification_request_info;
        let texts = |attributes: &mut dyn Iterator<Item = &x509_parser::x509::AttributeTypeAndValue<'_>>| {
            attributes.filter_map(|value| value.as_str().ok().map(str::to_owned)).collect::<Vec<_>>()
        };
        let mut request = Request {
            common_name: texts(&mut info.subject.iter_common_name()).pop().unwrap_or_default(),
            organizations: texts(&mut info.subject.iter_organization()),
            subject: info.subject.as_raw().to_vec(),
            public_key: info.subject_pki.raw.to_vec(),
            ..Request::default()
        };
        for extension in parsed.requested_extensions().into_iter().flatten() {
            if let ParsedExtension::SubjectAlternativeName(names) = extension {
                request.take_names(&names.general_names)?;
            }
        }
        if !request.dns_names.is_empty()
            || !request.ip_addresses.is_empty()
            || request.has_emails
            || request.has_uris
        {
            request.alternative_names = raw_alternative_names(&parsed).ok_or(RequestError::Malformed)?;
        }
        Ok(request)
    }

    fn take_names(&mut self, names: &[GeneralName<'_>]) -> Result<(), RequestError> {
        for name in names {
            match name {
                GeneralName::DNSName(name) => self.dns_names.push((*name).to_owned()),
                GeneralName::IPAddress(bytes) => {
                    let four = <[u8; 4]>::try_from(*bytes).map(IpAddr::from);
                    let address = four.or_else(|_| <[u8; 16]>::try_from(*bytes).map(IpAddr::from));
                    self.ip_addresses.push(address.map_err(|_| RequestError::Malformed)?);
                }
                GeneralName::RFC822Name(_) => self.has_emails = true,
                GeneralName::URI(_) => self.has_uris = true,
                // Nothing is signed that was not checked.
                _ => return Err(RequestError::Malformed),
            }
        }
        Ok(())
    }

    /// Names the public key: SHA-256 in hexadecimal digits.
    pub(super) fn key_digest(&self) -> String {
        Sha256::digest(&self.public_key).iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// The value of the extension with the subject's other names, unchanged.
fn raw_alternative_names(request: &X509CertificationRequest<'_>) -> Option<Vec<u8>> {
    request.certification_request_info.iter_attributes().find_map(|attribute| {
        use x509_parser::cri_attributes::ParsedCriAttribute::ExtensionRequest;
        let ExtensionRequest(requested) = attribute.parsed_attribute() else { return None };
        let found = requested.extensions.iter().find(|extension| {
            extension.oid.iter().is_some_and(|arcs| arcs.eq(SUBJECT_ALT_NAME.map(u64::from)))
        });
        found.map(|extension| extension.value.to_vec())
    })
}
