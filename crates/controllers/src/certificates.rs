//! Certificates for CertificateSigningRequests (upstream: `pkg/controller/certificates`).
//!
//! | module | contents |
//! | --- | --- |
//! | `request` | the content of a PKCS#10 request |
//! | `rules` | the requests that each signer accepts |
//! | `approving` | approves requests from nodes, after an access check |
//! | `signing` | signs approved requests |
//! | `signer`, `der` | create a certificate |
//! | `cleaner` | removes old requests |

use k8s_openapi::api::certificates::v1::{
    CertificateSigningRequest, CertificateSigningRequestCondition, CertificateSigningRequestStatus,
};
use semantics::conditions;

mod approving;
mod cleaner;
mod der;
mod request;
mod rules;
mod signer;
mod signing;
#[cfg(test)]
pub(crate) mod tests;

pub(crate) use approving::CsrApproving;
pub(crate) use cleaner::CsrCleaner;
pub use signer::{Signer, SignerError, Signers};
pub(crate) use signing::CsrSigning;

/// The annotation of a Node with the digest of its key: SHA-256 of the public key (SubjectPublicKeyInfo, DER) in
/// hexadecimal digits. A node that has joined can join again with this key alone.
pub const NODE_KEY_ANNOTATION: &str = "ironhull.io/node-key";

fn status(request: &CertificateSigningRequest) -> CertificateSigningRequestStatus {
    request.status.clone().unwrap_or_default()
}

fn has_condition(request: &CertificateSigningRequest, kind: &str) -> bool {
    request.status.as_ref().is_some_and(|status| conditions::find(&status.conditions, kind).is_some())
}

fn is_issued(request: &CertificateSigningRequest) -> bool {
    request
        .status
        .as_ref()
        .and_then(|status| status.certificate.as_ref())
        .is_some_and(|pem| !pem.0.is_empty())
}

/// The request with one more condition, which is true.
fn with_condition(
    request: &CertificateSigningRequest,
    kind: &str,
    reason: &str,
    message: impl Into<String>,
) -> CertificateSigningRequest {
    let mut status = status(request);
    status.conditions.get_or_insert_default().push(CertificateSigningRequestCondition {
        type_: kind.to_owned(),
        status: conditions::TRUE.to_owned(),
        reason: Some(reason.to_owned()),
        message: Some(message.into()),
        ..CertificateSigningRequestCondition::default()
    });
    CertificateSigningRequest { status: Some(status), ..request.clone() }
}
