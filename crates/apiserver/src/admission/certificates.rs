//! CertificateApproval, CertificateSigning and CertificateSubjectRestriction: users who approve or sign must be allowed
//! to do so for the signer, and no certificate is issued for the group that may do everything (upstream:
//! `plugin/pkg/admission/certificates`).

use std::sync::Arc;

use async_trait::async_trait;
use base64::Engine;
use object::{Status, Value};
use schema::GroupResource;

use super::{Attributes, Operation, Plugin};
use crate::authz::Chain;
use crate::user::GROUP_MASTERS;

/// The signer of clients of the API server.
const CLIENT_SIGNER: &str = "kubernetes.io/kube-apiserver-client";

/// The three plugins.
pub struct Certificates {
    /// Authorizes users.
    pub authorizer: Arc<Chain>,
}

#[async_trait]
impl Plugin for Certificates {
    fn name(&self) -> &'static str {
        "CertificateApproval"
    }

    async fn validate(&self, what: &Attributes<'_>, object: &Value, old: &Value) -> Result<(), Status> {
        if what.group_resource() != GroupResource::CERTIFICATE_SIGNING_REQUESTS {
            return Ok(());
        }
        let result = match (what.operation, what.subresource) {
            (Operation::Create, "") => check_subject(object),
            (Operation::Update, "approval") => self.check_signer(what, "approve", old).await,
            (Operation::Update, "status") if differ(object, old) => {
                self.check_signer(what, "sign", old).await
            }
            _ => Ok(()),
        };
        result.map_err(|why| what.forbidden(&why))
    }
}

impl Certificates {
    /// Whether the user may do this for the signer itself, or for all of the signer's domain.
    async fn check_signer(&self, what: &Attributes<'_>, verb: &str, request: &Value) -> Result<(), String> {
        let signer = request.str_at("spec.signerName");
        if self.authorizer.may_for_signer(what.user, verb, signer).await {
            return Ok(());
        }
        Err(format!("user not permitted to {verb} requests with signerName {signer:?}"))
    }
}

/// Whether a change of status is a signer's: of the certificate or of the conditions.
fn differ(object: &Value, old: &Value) -> bool {
    ["certificate", "conditions"]
        .iter()
        .any(|member| object.get("status").get(member) != old.get("status").get(member))
}

fn check_subject(request: &Value) -> Result<(), String> {
    if request.str_at("spec.signerName") != CLIENT_SIGNER {
        return Ok(());
    }
    let pem = base64::engine::general_purpose::STANDARD.decode(request.str_at("spec.request"));
    // An invalid request has no subject; the signer will refuse it.
    let groups = pem.ok().and_then(|pem| crate::pki::request_organizations(&pem)).unwrap_or_default();
    if groups.iter().any(|group| group == GROUP_MASTERS) {
        return Err(format!("use of {CLIENT_SIGNER} signer with {GROUP_MASTERS} group is not allowed"));
    }
    Ok(())
}
