//! The node's lease in `kube-node-lease`.

use client::ClientError;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta, OwnerReference};
use object::ObjectKey;

use crate::shared::Shared;

const NAMESPACE: &str = "kube-node-lease";
/// Without renewal for this long, the node counts as gone.
const DURATION_SECONDS: i32 = 40;

/// Renews the lease.
#[derive(Default)]
pub(super) struct Heartbeat {
    /// The server's version.
    known: Option<Lease>,
}

impl Heartbeat {
    pub(super) async fn renew(&mut self, shared: &Shared) -> Result<(), ClientError> {
        let result = self.try_renew(shared).await;
        if result.is_err() {
            // The server's current version is read before the next try.
            self.known = None;
        }
        result
    }

    async fn try_renew(&mut self, shared: &Shared) -> Result<(), ClientError> {
        let key = ObjectKey::namespaced(NAMESPACE, shared.config.node_name.as_str());
        let known = match self.known.take() {
            Some(lease) => Some(lease),
            None => shared.client.find::<Lease>(&key).await?,
        };
        let renewed = match known {
            Some(lease) => shared.client.update(&with_time(lease, shared)).await?,
            None => shared.client.create(&with_time(Lease::default(), shared)).await?,
        };
        self.known = Some(renewed);
        Ok(())
    }
}

fn with_time(mut lease: Lease, shared: &Shared) -> Lease {
    let name = shared.config.node_name.clone();
    let meta = &mut lease.metadata;
    if meta.owner_references.as_ref().is_none_or(Vec::is_empty)
        && let Some(uid) = shared.node().metadata.uid.clone()
    {
        meta.owner_references = Some(vec![OwnerReference {
            api_version: "v1".to_owned(),
            kind: "Node".to_owned(),
            name: name.clone(),
            uid,
            ..OwnerReference::default()
        }]);
    }
    lease.metadata = ObjectMeta {
        name: Some(name.clone()),
        namespace: Some(NAMESPACE.to_owned()),
        ..std::mem::take(meta)
    };
    let spec = lease.spec.take().unwrap_or_default();
    lease.spec = Some(LeaseSpec {
        holder_identity: Some(name),
        lease_duration_seconds: Some(DURATION_SECONDS),
        renew_time: Some(MicroTime(shared.clock.now())),
        ..spec
    });
    lease
}
