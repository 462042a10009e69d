//! A handle to a worker, for sending it updates.

use std::collections::BTreeSet;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use volumes::ObjectId;

use super::Worker;
use super::inbox::{Eviction, Inbox, InboxState};
use crate::shared::Shared;

/// A pod's worker, from outside.
pub(crate) struct WorkerHandle {
    inbox: Arc<Inbox>,
    task: JoinHandle<()>,
    references: BTreeSet<ObjectId>,
}

impl WorkerHandle {
    /// Starts the worker of a pod. Its UID is sent to `finished` when the pod is completely removed.
    pub(crate) fn start(
        shared: Arc<Shared>,
        pod: Arc<Pod>,
        finished: mpsc::UnboundedSender<String>,
    ) -> WorkerHandle {
        let references = volumes::references(&pod);
        let state = InboxState {
            pod: Arc::clone(&pod),
            removed: false,
            refresh: false,
            eviction: None,
            cleaned_up: false,
        };
        let inbox = Arc::new(Inbox { state: Mutex::new(state), wake: Arc::default() });
        let worker = Worker::new(shared, pod, Arc::clone(&inbox));
        let task = tokio::spawn(async move {
            let uid = worker.pod.uid.clone();
            worker.run().await;
            // The agent may be gone already.
            let _ = finished.send(uid);
        });
        WorkerHandle { inbox, task, references }
    }

    /// Sends the worker a newer version of its pod.
    pub(crate) fn update(&mut self, pod: Arc<Pod>) {
        self.references = volumes::references(&pod);
        self.inbox.state.lock().pod = pod;
        self.wake();
    }

    /// Notifies the worker that the pod was deleted from the API server.
    pub(crate) fn removed(&self) {
        self.inbox.state.lock().removed = true;
        self.wake();
    }

    /// Notifies the worker that a ConfigMap or a Secret changed, if its pod uses it.
    pub(crate) fn object_changed(&self, id: &ObjectId) {
        if self.references.contains(id) {
            self.inbox.state.lock().refresh = true;
            self.wake();
        }
    }

    /// Notifies the worker that a volume of its pod is no longer mounted.
    pub(crate) fn volume_lost(&self) {
        self.inbox.state.lock().refresh = true;
        self.wake();
    }

    /// Makes the worker evict its pod. Returns false if it is evicting it already.
    pub(crate) fn evict(&self, eviction: Eviction) -> bool {
        let mut state = self.inbox.state.lock();
        if state.eviction.is_some() {
            return false;
        }
        state.eviction = Some(eviction);
        drop(state);
        self.wake();
        true
    }

    /// Whether nothing of the pod is running any more, and its resources are released.
    pub(crate) fn is_cleaned_up(&self) -> bool {
        self.inbox.state.lock().cleaned_up
    }

    /// Makes the worker check again.
    pub(crate) fn wake(&self) {
        self.inbox.wake.notify_one();
    }

    /// The pod as last sent to the worker.
    pub(crate) fn pod(&self) -> Arc<Pod> {
        Arc::clone(&self.inbox.state.lock().pod)
    }

    /// Stops the worker immediately. The pod keeps running.
    pub(crate) fn abandon(&self) {
        self.task.abort();
    }
}
