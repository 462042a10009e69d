//! Who may act for a signer of certificates, by publishing its trust bundle or by answering a pod's request (upstream:
//! the admission plugin `ClusterTrustBundleAttest`, and the status of `podcertificaterequest`). The admission plugin
//! `Certificates` handles approval and signing of CertificateSigningRequests.

use async_trait::async_trait;
use object::{Status, Value, field, quote};
use schema::GroupResource;

use super::{Guard, Guards, Server, WriteRequest};

const SIGNER: &str = "spec.signerName";

/// Only users who may attest for a signer can write its bundle, even if the write changes or removes the bundle's
/// signer.
pub(super) struct Attest;

#[async_trait]
impl Guard for Attest {
    fn concerns(&self, resource: GroupResource<'_>) -> bool {
        resource == GroupResource::CLUSTER_TRUST_BUNDLES
    }

    async fn check(
        &self,
        guards: &Guards,
        write: &WriteRequest<'_>,
        _server: &Server<'_>,
    ) -> Result<(), Status> {
        if write.changes_ownership_only() {
            return Ok(());
        }
        let signers = [&write.object, write.old].into_iter().map(|bundle| bundle.str_at(SIGNER));
        for signer in signers.filter(|signer| !signer.is_empty()) {
            if !guards.authorizer()?.may_for_signer(write.call.user, "attest", signer).await {
                let why = format!("user not permitted to attest for signerName {}", quote(signer));
                return Err(write.forbidden(&why));
            }
        }
        Ok(())
    }
}

/// Only users who may sign for the requested signer can answer a pod's request.
pub(super) struct Sign;

#[async_trait]
impl Guard for Sign {
    fn concerns(&self, resource: GroupResource<'_>) -> bool {
        resource == GroupResource::POD_CERTIFICATE_REQUESTS
    }

    async fn check(
        &self,
        guards: &Guards,
        write: &WriteRequest<'_>,
        _server: &Server<'_>,
    ) -> Result<(), Status> {
        let Some(old) = write.old() else { return Ok(()) };
        let status = |request: &Value| request.get("status").clone();
        if kinds::validation::same(&status(&write.object), &status(old)) {
            return Ok(());
        }
        let (user, signer) = (write.call.user, old.str_at(SIGNER));
        if guards.authorizer()?.may_for_signer(user, "sign", signer).await {
            return Ok(());
        }
        let spec = field::Path::root("spec");
        let why =
            format!("User {} is not permitted to \"sign\" for signer {}", quote(&user.name), quote(signer));
        let error = field::Error::forbidden(&spec.child("signerName"), why);
        let def = &write.endpoint.def;
        Err(Status::invalid(&def.group, &def.kind, write.call.name, &error.into()))
    }
}
