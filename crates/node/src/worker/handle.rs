//! A handle to a worker, for sending it updates.

use std::collections::BTreeSet;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;
use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;
use volumes::ObjectId;

use super::Worker;
use crate::shared::Shared;

/// What a worker is told.
pub(super) struct Inbox {
    pub(super) state: Mutex<InboxState>,
    pub(super) wake: Arc<Notify>,
}

pub(super) struct InboxState {
    pub(super) pod: Arc<Pod>,
    pub(super) removed: bool,
    pub(super) refresh: bool,
    /// The node wants the pod to end.
    pub(super) eviction: Option<Eviction>,
    /// What the worker says: nothing of the pod runs any more, and what it used is given back.
    pub(super) cleaned_up: bool,
}

/// Why a pod must leave its node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Eviction {
    /// For people.
    pub(crate) message: String,
    /// The time that its containers have to end, in seconds; less if the pod itself gives them less.
    pub(crate) grace_seconds: i64,
    /// It could not help it: the node runs short.
    pub(crate) is_disruption: bool,
}

/// A pod's worker, from outside.
pub(crate) struct WorkerHandle {
    inbox: Arc<Inbox>,
    task: JoinHandle<()>,
    references: BTreeSet<ObjectId>,
}

impl WorkerHandle {
    /// Starts the worker of a pod. Its UID is sent to `finished` when nothing is left of the pod.
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

    /// Tells the worker of a newer version of its pod.
    pub(crate) fn update(&mut self, pod: Arc<Pod>) {
        self.references = volumes::references(&pod);
        self.inbox.state.lock().pod = pod;
        self.wake();
    }

    /// Tells the worker that the API server has the pod no more.
    pub(crate) fn removed(&self) {
        self.inbox.state.lock().removed = true;
        self.wake();
    }

    /// Tells the worker that a ConfigMap or a Secret changed, if its pod uses it.
    pub(crate) fn object_changed(&self, id: &ObjectId) {
        if self.references.contains(id) {
            self.inbox.state.lock().refresh = true;
            self.wake();
        }
    }

    /// Tells the worker that a volume of its pod is not mounted any more.
    pub(crate) fn volume_lost(&self) {
        self.inbox.state.lock().refresh = true;
        self.wake();
    }

    /// Tells the worker to end its pod for the node's sake. False if it was told already.
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

    /// Whether nothing of the pod runs any more, and what it used is given back.
    pub(crate) fn is_cleaned_up(&self) -> bool {
        self.inbox.state.lock().cleaned_up
    }

    /// Lets the worker look again.
    pub(crate) fn wake(&self) {
        self.inbox.wake.notify_one();
    }

    /// The pod as the worker was last told.
    pub(crate) fn pod(&self) -> Arc<Pod> {
        Arc::clone(&self.inbox.state.lock().pod)
    }

    /// Ends the worker where it stands. The pod lives on.
    pub(crate) fn abandon(&self) {
        self.task.abort();
    }
}
