//! The namespace controller: empties a namespace that is deleted, then lets it go.
//!
//! Pods go first, as they may need what else there is while they end. It follows upstream's
//! `pkg/controller/namespace`.

use std::sync::Arc;

use client::{Client, ClientError, Informer, PartialObject, Request, ServedResource, Target, Verb};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Namespace, Pod};
use object::ObjectKey;

use crate::framework::{Controller, Failure, Plan, Wiring};

mod plan;
#[cfg(test)]
pub(crate) mod tests;

/// The finalizer that this controller serves.
const FINALIZER: &str = "kubernetes";

pub(crate) struct NamespaceController {
    namespaces: Arc<Informer<Namespace>>,
    client: Client,
}

/// What a decision about one namespace is made from; asked from the server, not from caches, as nothing must
/// be overlooked.
#[derive(Debug)]
pub(crate) struct Snapshot {
    namespace: Arc<Namespace>,
    /// What is left, by resource.
    remaining: Vec<Remaining>,
    /// Group versions whose server does not answer.
    undiscovered: Vec<String>,
}

/// What is left of a resource.
#[derive(Debug)]
struct Remaining {
    resource: ServedResource,
    objects: Vec<PartialObject>,
}

/// Whether it is being deleted.
pub(crate) fn is_ending(namespace: &Namespace) -> bool {
    let phase = namespace.status.as_ref().and_then(|status| status.phase.as_deref());
    namespace.metadata.deletion_timestamp.is_some() || phase == Some("Terminating")
}

impl Controller for NamespaceController {
    const NAME: &'static str = "namespace-controller";
    const WORKERS: usize = 10;
    type Key = ObjectKey;
    type Snapshot = Snapshot;

    fn wire(wiring: &mut Wiring<ObjectKey>) -> NamespaceController {
        let namespaces = wiring.informer::<Namespace>();
        let pods = wiring.informer::<Pod>();
        wiring.wake_self(&namespaces);
        let all = Arc::clone(&namespaces);
        wiring.wake(&pods, move |change| {
            let namespace = ObjectKey::cluster(change.key.namespace());
            let ending = all.get(&namespace).is_some_and(|namespace| is_ending(&namespace));
            (change.new.is_none() && ending).then_some(namespace)
        });
        NamespaceController { namespaces, client: wiring.informers().client().clone() }
    }

    async fn observe(&self, key: &ObjectKey) -> Result<Option<Snapshot>, ClientError> {
        let Some(namespace) = self.namespaces.get(key) else { return Ok(None) };
        let finalizers = namespace.spec.as_ref().and_then(|spec| spec.finalizers.as_ref());
        let mine = finalizers.into_iter().flatten().any(|finalizer| finalizer == FINALIZER);
        if namespace.metadata.deletion_timestamp.is_none() || !mine {
            return Ok(None);
        }
        let discovered = self.client.discover().await?;
        let mut remaining = Vec::new();
        for resource in discovered.resources {
            if resource.namespaced && resource.supports(&["list", "delete"]) {
                let objects = self.remaining(&resource, &key.name).await?;
                if !objects.is_empty() {
                    remaining.push(Remaining { resource, objects });
                }
            }
        }
        Ok(Some(Snapshot { namespace, remaining, undiscovered: discovered.stale }))
    }

    fn plan(snapshot: &Snapshot, now: Timestamp) -> Plan {
        plan::plan(snapshot, now)
    }

    fn recover(snapshot: &Snapshot, failures: &[Failure], now: Timestamp) -> Plan {
        plan::recover(snapshot, failures, now)
    }
}

impl NamespaceController {
    async fn remaining(
        &self,
        resource: &ServedResource,
        namespace: &str,
    ) -> Result<Vec<PartialObject>, ClientError> {
        let target = Target::collection(resource.resource.clone(), namespace);
        let mut request = Request::new(Verb::List, target);
        request.metadata_only = true;
        let page = match self.client.connection().list(request).await {
            Ok(page) => page,
            // A resource may vanish between discovery and now.
            Err(error) if error.is_not_found() || error.is_method_not_supported() => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let decode = |object: &object::Versioned| {
            serde_json::from_slice(&object.json()).map_err(|error| ClientError::decode(object.kind(), error))
        };
        page.items.iter().map(decode).collect()
    }
}
