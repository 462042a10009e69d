//! Removes old requests (upstream: `pkg/controller/certificates/cleaner`).

use std::sync::Arc;
use std::time::Duration;

use client::Informer;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use object::ObjectKey;

use super::is_issued;
use crate::framework::{Action, Controller, Look, Plan, Wiring};

/// How long requests stay that are issued, or denied or failed.
const DECIDED: SignedDuration = SignedDuration::from_hours(1);
/// How long undecided requests are kept.
const OPEN: SignedDuration = SignedDuration::from_hours(24);

pub(crate) struct CsrCleaner {
    requests: Arc<Informer<CertificateSigningRequest>>,
}

impl Controller for CsrCleaner {
    const NAME: &'static str = "csrcleaner";
    const ACCOUNT: &'static str = "certificate-controller";
    const QUEUE: &'static str = "csrcleaner";
    const WORKERS: usize = 1;
    type Key = ObjectKey;
    type Snapshot = Arc<CertificateSigningRequest>;
    type Memory = ();

    fn wire(wiring: &mut Wiring<ObjectKey>) -> CsrCleaner {
        let requests = wiring.informer::<CertificateSigningRequest>();
        wiring.wake_self(&requests);
        CsrCleaner { requests }
    }

    fn observe(&self, key: &ObjectKey, _look: &mut Look<'_, ()>) -> Option<Self::Snapshot> {
        self.requests.get(key)
    }

    fn plan(request: &Self::Snapshot, now: Timestamp) -> Plan {
        let mut plan = Plan::default();
        let Some(end) = end_of(request) else { return plan };
        if now >= end {
            plan.then(Action::delete(&**request));
        } else {
            // One second more than the rest, because times are truncated to seconds.
            let left = now.duration_until(end).as_secs().unsigned_abs() + 1;
            plan.requeue_after(Duration::from_secs(left));
        }
        plan
    }
}

/// When a request can be removed; `None` while that is unknown.
pub(super) fn end_of(request: &CertificateSigningRequest) -> Option<Timestamp> {
    let conditions = request.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let mut ends: Vec<Timestamp> = Vec::new();
    let mut is_decided = false;
    for condition in conditions {
        is_decided = true;
        let counts = match condition.type_.as_str() {
            "Approved" => is_issued(request),
            "Denied" | "Failed" => true,
            _ => false,
        };
        if counts && let Some(time) = &condition.last_update_time {
            ends.push(time.0.saturating_add(DECIDED).unwrap_or(Timestamp::MAX));
        }
    }
    if !is_decided && let Some(time) = &request.metadata.creation_timestamp {
        ends.push(time.0.saturating_add(OPEN).unwrap_or(Timestamp::MAX));
    }
    ends.extend(certificate_end(request));
    ends.into_iter().min()
}

/// When the certificate of a request expires.
fn certificate_end(request: &CertificateSigningRequest) -> Option<Timestamp> {
    let certificate = request.status.as_ref()?.certificate.as_ref()?;
    let (_, pem) = x509_parser::pem::parse_x509_pem(&certificate.0).ok()?;
    Timestamp::from_second(pem.parse_x509().ok()?.validity().not_after.timestamp()).ok()
}
