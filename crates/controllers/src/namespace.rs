//! The namespace controller: empties a deleted namespace, then removes its finalizer.
//!
//! Pods are deleted first, because they may need the other objects while they shut down. It follows upstream's
//! `pkg/controller/namespace`.

use std::sync::Arc;
use std::time::Duration;

use client::{Informer, LeanPod};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Namespace;
use object::ObjectKey;

use crate::framework::{Controller, Failure, Look, Plan, Wiring};

mod content;
mod plan;
#[cfg(test)]
pub(crate) mod tests;

use content::{FINALIZER, Remaining, Snapshot, Unlisted};

pub(crate) struct NamespaceController {
    namespaces: Arc<Informer<Namespace>>,
}

/// Whether it is being deleted.
pub(crate) fn is_ending(namespace: &Namespace) -> bool {
    let phase = namespace.status.as_ref().and_then(|status| status.phase.as_deref());
    namespace.metadata.deletion_timestamp.is_some() || phase == Some("Terminating")
}

impl Controller for NamespaceController {
    const NAME: &'static str = "namespace-controller";
    const ACCOUNT: &'static str = "namespace-controller";
    const QUEUE: &'static str = "namespace";
    const WORKERS: usize = 10;
    /// Emptying a namespace takes an answer about every resource, so it fails often where something is wrong.
    const RETRY_MAX: Duration = Duration::from_secs(60);
    type Key = ObjectKey;
    type Snapshot = Snapshot;
    type Memory = ();

    fn wire(wiring: &mut Wiring<ObjectKey>) -> NamespaceController {
        let namespaces = wiring.informer::<Namespace>();
        let pods = wiring.informer::<LeanPod>();
        wiring.wake_self(&namespaces);
        let all = Arc::clone(&namespaces);
        wiring.wake(&pods, move |change| {
            let namespace = ObjectKey::cluster(change.key.namespace());
            let ending = all.get(&namespace).is_some_and(|namespace| is_ending(&namespace));
            (change.new.is_none() && ending).then_some(namespace)
        });
        NamespaceController { namespaces }
    }

    fn observe(&self, key: &ObjectKey, look: &mut Look<'_, ()>) -> Option<Snapshot> {
        let namespace = self.namespaces.get(key)?;
        let finalizers = namespace.spec.as_ref().and_then(|spec| spec.finalizers.as_ref());
        let mine = finalizers.into_iter().flatten().any(|finalizer| finalizer == FINALIZER);
        if namespace.metadata.deletion_timestamp.is_none() || !mine {
            return None;
        }
        let served = look.live.served()?;
        let emptied = served
            .resources
            .iter()
            .filter(|resource| resource.namespaced && resource.supports(&["list", "delete"]));
        // All questions are asked at once.
        let found: Vec<_> = emptied
            .map(|resource| (resource, look.live.metadata_in(&resource.resource, &key.name)))
            .collect();
        let (mut remaining, mut unlisted) = (Vec::new(), Vec::new());
        for (resource, objects) in found {
            match objects? {
                Ok(objects) if objects.is_empty() => {}
                Ok(objects) => remaining.push(Remaining { resource: resource.clone(), objects }),
                Err(why) => unlisted.push(Unlisted { resource: resource.resource.clone(), why }),
            }
        }
        Some(Snapshot { namespace, remaining, unlisted, undiscovered: served.stale.clone() })
    }

    fn plan(snapshot: &Snapshot, now: Timestamp) -> Plan {
        plan::plan(snapshot, now)
    }

    fn recover(snapshot: &Snapshot, failures: &[Failure], now: Timestamp) -> Plan {
        plan::recover(snapshot, failures, now)
    }
}
