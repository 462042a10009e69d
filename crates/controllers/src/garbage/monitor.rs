//! Watches the metadata of everything that can be deleted.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use client::{
    Change, Client, ClientError, Informer, Informers, Kin, ResourceType, ServedResource, Subscription,
    WorkQueue,
};
use futures::StreamExt;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use object::Uid;
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::graph::{Graph, Node};
use crate::framework::{Notes, Wiring};

/// The pause after a failed discovery.
const RETRY_PAUSE: Duration = Duration::from_secs(5);
/// Changes of the served resources often occur together.
const SETTLE_PAUSE: Duration = Duration::from_secs(1);

/// The watched resources.
pub(super) struct Monitor {
    graph: Notes<Graph>,
    served: Notes<Served>,
    _stop: DropGuard,
}

/// The resources of kinds, by group and kind.
type Served = HashMap<(String, String), ServedResource>;

struct Task {
    client: Client,
    informers: Informers,
    queue: WorkQueue<Uid>,
    graph: Notes<Graph>,
    served: Notes<Served>,
    watched: BTreeMap<ResourceType, Watched>,
    synced: watch::Sender<bool>,
}

/// A resource whose changes reach the graph.
struct Watched {
    informer: Arc<Informer<Kin>>,
    _subscription: Subscription,
}

impl Monitor {
    /// Starts to watch. The controller begins when the graph contains everything that existed at the start.
    pub(super) fn start(wiring: &mut Wiring<Uid>) -> Monitor {
        let stop = CancellationToken::new();
        let (sender, mut synced) = watch::channel(false);
        let (graph, served) = (Notes::default(), Notes::default());
        let task = Task {
            client: wiring.client().clone(),
            informers: wiring.informers().clone(),
            queue: wiring.queue().clone(),
            graph: graph.clone(),
            served: served.clone(),
            watched: BTreeMap::new(),
            synced: sender,
        };
        let stopped = stop.clone();
        tokio::spawn(async move { stopped.run_until_cancelled(task.run()).await });
        wiring.begin_after(async move {
            // The task ends only when the monitor is dropped.
            let _ = synced.wait_for(|synced| *synced).await;
        });
        Monitor { graph, served, _stop: stop.drop_guard() }
    }

    /// Owners and their dependents.
    pub(super) fn graph<R>(&self, read: impl FnOnce(&Graph) -> R) -> R {
        self.graph.read(read)
    }

    /// The resource of an owner's kind; `None` if it is not served.
    pub(super) fn resource(&self, owner: &OwnerReference) -> Option<ServedResource> {
        let group = owner.api_version.split_once('/').map_or("", |(group, _)| group);
        self.served.read(|served| served.get(&(group.to_owned(), owner.kind.clone())).cloned())
    }
}

impl Task {
    async fn run(mut self) {
        loop {
            if let Err(error) = self.follow().await {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "cannot discover the served resources"
                );
            }
            tokio::time::sleep(RETRY_PAUSE).await;
        }
    }

    /// Follows what is served until the connection ends.
    async fn follow(&mut self) -> Result<(), ClientError> {
        // What changes from here on, the stream tells.
        let mut changes = self.client.connection().follow_served().await?;
        loop {
            self.update().await?;
            for watched in self.watched.values() {
                watched.informer.synced().await;
            }
            self.synced.send_replace(true);
            if changes.next().await.is_none() {
                return Ok(());
            }
            tokio::time::sleep(SETTLE_PAUSE).await;
        }
    }

    /// Starts watching new resources, and stops watching those that are gone.
    async fn update(&mut self) -> Result<(), ClientError> {
        let discovered = self.client.discover().await?;
        let by_kind = discovered.resources.iter().map(|served| {
            let resource = &served.resource;
            ((resource.group.to_string(), resource.kind.to_string()), served.clone())
        });
        self.served.write(|served| *served = by_kind.collect());
        let watchable = discovered
            .resources
            .into_iter()
            .filter(|served| served.supports(&["delete", "list", "watch"]) && !is_ignored(&served.resource));
        let watchable: Vec<ResourceType> = watchable.map(|served| served.resource).collect();
        // A group that cannot be discovered at the moment is not gone.
        if discovered.stale.is_empty() {
            let gone: Vec<_> =
                self.watched.keys().filter(|known| !watchable.contains(known)).cloned().collect();
            for resource in gone {
                self.watched.remove(&resource);
                self.informers.forget_kin(resource);
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
        let informer = self.informers.kin(resource.clone());
        let (graph, queue) = (self.graph.clone(), self.queue.clone());
        let of = Arc::new(resource.clone());
        let subscription = informer.subscribe(move |change| {
            let concerned = graph.write(|graph| apply(graph, &of, change));
            concerned.into_iter().for_each(|uid| queue.add(uid));
        });
        self.watched.insert(resource, Watched { informer, _subscription: subscription });
    }
}

/// Events refer to objects and own nothing.
fn is_ignored(resource: &ResourceType) -> bool {
    resource.plural == "events" && matches!(&*resource.group, "" | "events.k8s.io")
}

fn apply(graph: &mut Graph, resource: &Arc<ResourceType>, change: &Change<Kin>) -> Vec<Uid> {
    let uid = |kin: &Arc<Kin>| kin.uid.clone();
    let (old, new) = (change.old.as_ref().map(uid), change.new.as_ref().map(uid));
    let mut concerned = Vec::new();
    if let Some(old) = old.filter(|old| Some(old) != new.as_ref()) {
        concerned.extend(graph.remove(&old));
    }
    if let Some(kin) = &change.new {
        concerned.extend(graph.put(Node { resource: Arc::clone(resource), kin: Arc::clone(kin) }));
    }
    concerned
}
