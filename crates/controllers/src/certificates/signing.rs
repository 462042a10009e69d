//! Signs approved requests.

use std::sync::Arc;

use client::Informer;
use clock::Clock;
use jiff::Timestamp;
use k8s_openapi::ByteString;
use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use object::ObjectKey;

use super::request::Request;
use super::rules::SignerName;
use super::signer::{Signer, Signers};
use super::{has_condition, is_issued, status, with_condition};
use crate::framework::{Action, Controller, Look, Plan, Wiring};

pub(crate) struct CsrSigning {
    requests: Arc<Informer<CertificateSigningRequest>>,
    signers: Option<Signers>,
    clock: Clock,
}

/// The inputs of a decision about one request.
#[derive(Debug)]
pub(crate) struct Snapshot {
    pub(super) request: Arc<CertificateSigningRequest>,
    pub(super) name: SignerName,
    pub(super) signer: Arc<Signer>,
    /// The certificate's number.
    pub(super) serial: [u8; 16],
}

impl Controller for CsrSigning {
    const NAME: &'static str = "csrsigning";
    const ACCOUNT: &'static str = "certificate-controller";
    const QUEUE: &'static str = "csrsigning";
    const WORKERS: usize = 1;
    type Key = ObjectKey;
    type Snapshot = Snapshot;
    type Memory = ();

    fn wire(wiring: &mut Wiring<ObjectKey>) -> CsrSigning {
        let requests = wiring.informer::<CertificateSigningRequest>();
        wiring.wake_self(&requests);
        CsrSigning { requests, signers: wiring.config().signers.clone(), clock: wiring.clock().clone() }
    }

    fn observe(&self, key: &ObjectKey, _look: &mut Look<'_, ()>) -> Option<Snapshot> {
        let (Some(request), Some(signers)) = (self.requests.get(key), &self.signers) else { return None };
        let name = SignerName::of(&request.spec.signer_name)?;
        let mut serial = [0; 16];
        self.clock.fill_random(&mut serial);
        // Always positive and of full length.
        serial[0] = serial[0] & 0x7f | 0x40;
        Some(Snapshot { request, name, signer: Arc::clone(signers.get(name)), serial })
    }

    fn plan(snapshot: &Snapshot, now: Timestamp) -> Plan {
        let mut plan = Plan::default();
        let request = &*snapshot.request;
        let waits = has_condition(request, "Approved")
            && !has_condition(request, "Denied")
            && !has_condition(request, "Failed")
            && !is_issued(request);
        if !waits {
            return plan;
        }
        match snapshot.certificate(now) {
            Ok(certificate) => {
                let mut status = status(request);
                status.certificate = Some(ByteString(certificate.into_bytes()));
                let signed = CertificateSigningRequest { status: Some(status), ..request.clone() };
                plan.then(Action::update_status(signed));
            }
            Err(why) => {
                let failed = with_condition(request, "Failed", "SignerValidationFailure", why);
                plan.then(Action::update_status(failed));
            }
        }
        plan
    }
}

impl Snapshot {
    fn certificate(&self, now: Timestamp) -> Result<String, String> {
        let spec = &self.request.spec;
        let parsed = Request::parse(&spec.request.0).map_err(|error| error.to_string())?;
        self.name.check(&parsed, spec.usages.as_deref().unwrap_or_default())?;
        self.signer.sign(&parsed, spec, &self.serial, now).map_err(|error| error.to_string())
    }
}
