//! Watches the metadata of everything that can be deleted.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use client::{
    Change, ClientError, Informer, Informers, PartialObject, ResourceType, ServedResource, WorkQueue,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use object::{Status, Uid};
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::graph::{Graph, Node};

/// The pause after a failed discovery.
const RETRY_PAUSE: Duration = Duration::from_secs(5);
/// Changes of what is served often come together.
const SETTLE_PAUSE: Duration = Duration::from_secs(1);

/// What is watched.
pub(super) struct Monitor {
    served: Arc<Mutex<HashMap<(String, String), ServedResource>>>,
    synced: watch::Receiver<bool>,
    _stop: DropGuard,
}

struct Task {
    informers: Informers,
    queue: WorkQueue<Uid>,
    graph: Arc<Mutex<Graph>>,
    served: Arc<Mutex<HashMap<(String, String), ServedResource>>>,
    watched: HashMap<ResourceType, Arc<Informer<PartialObject>>>,
    synced: watch::Sender<bool>,
    /// Told when a custom or aggregated resource changes what is served.
    changed: Arc<Notify>,
}

impl Monitor {
    pub(super) fn start(informers: &Informers, queue: WorkQueue<Uid>, graph: Arc<Mutex<Graph>>) -> Monitor {
        let stop = CancellationToken::new();
        let (sender, synced) = watch::channel(false);
        let served = Arc::<Mutex<HashMap<_, _>>>::default();
        let task = Task {
            informers: informers.clone(),
            queue,
            graph,
            served: Arc::clone(&served),
            watched: HashMap::new(),
            synced: sender,
            changed: Arc::default(),
        };
        let stopped = stop.clone();
        tokio::spawn(async move { stopped.run_until_cancelled(task.run()).await });
        Monitor { served, synced, _stop: stop.drop_guard() }
    }

    /// Waits until the graph holds all that was there at the start.
    pub(super) async fn synced(&self) {
        // The task ends only when this is dropped.
        let _ = self.synced.clone().wait_for(|synced| *synced).await;
    }

    /// The resource of an owner's kind.
    pub(super) fn resource(&self, owner: &OwnerReference) -> Result<ServedResource, ClientError> {
        let group = owner.api_version.split_once('/').map_or("", |(group, _)| group);
        let served = self.served.lock().get(&(group.to_owned(), owner.kind.clone())).cloned();
        // It may be served again some day: the object stays until then.
        served.ok_or_else(|| Status::not_found(group, &owner.kind, &owner.name).into())
    }
}

impl Task {
    async fn run(mut self) {
        loop {
            match self.update().await {
                Ok(()) => {
                    for informer in self.watched.values() {
                        informer.synced().await;
                    }
                    self.synced.send_replace(true);
                    self.changed.notified().await;
                    tokio::time::sleep(SETTLE_PAUSE).await;
                }
                Err(error) => {
                    tracing::warn!(error = &error as &dyn std::error::Error, "cannot ask what is served");
                    tokio::time::sleep(RETRY_PAUSE).await;
                }
            }
        }
    }

    /// Watches what is newly served, and no longer what is not.
    async fn update(&mut self) -> Result<(), ClientError> {
        let discovered = self.informers.client().discover().await?;
        let by_kind = discovered.resources.iter().map(|served| {
            let resource = &served.resource;
            ((resource.group.to_string(), resource.kind.to_string()), served.clone())
        });
        *self.served.lock() = by_kind.collect();
        let watchable = discovered
            .resources
            .into_iter()
            .filter(|served| served.supports(&["delete", "list", "watch"]) && !is_ignored(&served.resource));
        let watchable: Vec<ResourceType> = watchable.map(|served| served.resource).collect();
        // What cannot be asked now is not gone.
        if discovered.stale.is_empty() {
            let gone: Vec<_> =
                self.watched.keys().filter(|known| !watchable.contains(known)).cloned().collect();
            for resource in gone {
                self.watched.remove(&resource);
                self.informers.forget_metadata(resource);
            }
        }
        for resource in watchable {
            if !self.watched.contains_key(&resource) {
                self.watch(resource);
            }
        }
        Ok(())
    }

    fn watch(&mut self, resource: ResourceType) {
        let informer = self.informers.metadata(resource.clone());
        let (graph, queue, changed) =
            (Arc::clone(&self.graph), self.queue.clone(), Arc::clone(&self.changed));
        let decides_what_is_served = matches!(&*resource.plural, "customresourcedefinitions" | "apiservices");
        let of = resource.clone();
        informer.subscribe(move |change| {
            let concerned = apply(&mut graph.lock(), &of, change);
            concerned.into_iter().for_each(|uid| queue.add(uid));
            if decides_what_is_served {
                changed.notify_one();
            }
        });
        self.watched.insert(resource, informer);
    }
}

/// Events tell of objects and own nothing.
fn is_ignored(resource: &ResourceType) -> bool {
    resource.plural == "events" && matches!(&*resource.group, "" | "events.k8s.io")
}

fn apply(graph: &mut Graph, resource: &ResourceType, change: &Change<PartialObject>) -> Vec<Uid> {
    let uid = |object: &Arc<PartialObject>| Uid::from(object.metadata.uid.as_deref().unwrap_or_default());
    let (old, new) = (change.old.as_ref().map(uid), change.new.as_ref().map(uid));
    let mut concerned = Vec::new();
    if let Some(old) = old.filter(|old| Some(old) != new.as_ref()) {
        concerned.extend(graph.remove(&old));
    }
    if let (Some(uid), Some(object)) = (new, &change.new) {
        concerned.extend(graph.put(&uid, Node::new(resource.clone(), &object.metadata)));
    }
    concerned
}
