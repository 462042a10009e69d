//! The pods of the node, each with its worker.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use client::Change;
use k8s_openapi::api::core::v1::Pod;
use parking_lot::Mutex;
use tokio::sync::mpsc;
use volumes::ObjectId;

use crate::shared::Shared;
use crate::worker::{Eviction, WorkerHandle};

/// The workers, by their pods' UIDs.
#[derive(Default)]
pub(crate) struct Pods {
    workers: Mutex<HashMap<String, WorkerHandle>>,
}

impl Pods {
    /// The pods that the agent manages.
    pub(crate) fn list(&self) -> Vec<Arc<Pod>> {
        self.workers.lock().values().map(WorkerHandle::pod).collect()
    }

    /// The newest pod of this name.
    pub(crate) fn find(&self, namespace: &str, name: &str) -> Option<Arc<Pod>> {
        let pods = self.list();
        let same = pods.into_iter().filter(|pod| {
            pod.metadata.namespace.as_deref() == Some(namespace) && pod.metadata.name.as_deref() == Some(name)
        });
        same.max_by_key(|pod| pod.metadata.creation_timestamp.clone())
    }

    /// Makes a pod's worker evict it. Returns false if there is no worker, or if it is evicting the pod already.
    pub(crate) fn evict(&self, uid: &str, eviction: Eviction) -> bool {
        self.workers.lock().get(uid).is_some_and(|worker| worker.evict(eviction))
    }

    /// Whether nothing of a pod is running or will run, and its resources are released.
    pub(crate) fn is_cleaned_up(&self, uid: &str) -> bool {
        self.workers.lock().get(uid).is_none_or(WorkerHandle::is_cleaned_up)
    }

    pub(crate) fn object_changed(&self, id: &ObjectId) {
        self.workers.lock().values().for_each(|worker| worker.object_changed(id));
    }

    pub(crate) fn wake(&self, uid: &str) {
        if let Some(worker) = self.workers.lock().get(uid) {
            worker.wake();
        }
    }

    pub(crate) fn volume_lost(&self, uid: &str) {
        if let Some(worker) = self.workers.lock().get(uid) {
            worker.volume_lost();
        }
    }

    pub(crate) fn wake_all(&self) {
        self.workers.lock().values().for_each(WorkerHandle::wake);
    }

    /// Passes a change of a pod to its worker, which is created if necessary. The UIDs of pods that are completely
    /// removed are sent to `finished`.
    pub(crate) fn dispatch(
        &self,
        shared: &Arc<Shared>,
        change: &Change<Pod>,
        finished: &mpsc::UnboundedSender<String>,
    ) {
        let uid = |pod: &Arc<Pod>| pod.metadata.uid.clone().unwrap_or_default();
        let mut workers = self.workers.lock();
        if let Some(old) = &change.old
            && change.new.as_ref().is_none_or(|new| uid(new) != uid(old))
            && let Some(worker) = workers.get_mut(&uid(old))
        {
            worker.update(Arc::clone(old));
            // It must no longer count here, although its containers may still run for a while: for all others it is gone,
            // and the scheduler gives its resources to the next pod at once.
            shared.admitted.release(&uid(old));
            worker.removed();
        }
        if let Some(new) = &change.new {
            match workers.get_mut(&uid(new)) {
                Some(worker) => worker.update(Arc::clone(new)),
                None => {
                    let worker = WorkerHandle::start(Arc::clone(shared), Arc::clone(new), finished.clone());
                    workers.insert(uid(new), worker);
                }
            }
        }
    }

    /// Forgets a pod that is completely removed.
    pub(crate) fn forget(&self, uid: &str) {
        self.workers.lock().remove(uid);
    }

    /// The UIDs of all pods.
    pub(crate) fn uids(&self) -> BTreeSet<String> {
        self.workers.lock().keys().cloned().collect()
    }

    /// Stops all workers immediately. The pods keep running.
    pub(crate) fn abandon(&self) {
        self.workers.lock().values().for_each(WorkerHandle::abandon);
    }
}
