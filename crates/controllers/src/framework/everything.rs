//! Follows the objects of everything that the server serves, including resources that come later.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use client::{
    Change, Client, ClientError, Informer, Informers, Kin, ResourceType, ServedResource, Subscription, Work,
    WorkQueue,
};
use futures::StreamExt;
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{Notes, Wiring};

/// The pause after a failed discovery.
const RETRY_PAUSE: Duration = Duration::from_secs(5);
/// Changes of the served resources often occur together.
const SETTLE_PAUSE: Duration = Duration::from_secs(1);

/// The served resources, whose objects are followed until this is dropped.
pub(crate) struct Everything {
    served: Notes<Served>,
    _stop: DropGuard,
}

/// The resources of kinds, by group and kind.
type Served = HashMap<(String, String), ServedResource>;

/// Returns the keys that a change wakes.
type Wake<T> = dyn Fn(&Arc<ResourceType>, &Change<Kin>) -> Vec<T> + Send + Sync;

struct Task<T: Work> {
    client: Client,
    informers: Informers,
    queue: WorkQueue<T>,
    wanted: fn(&ServedResource) -> bool,
    wake: Arc<Wake<T>>,
    served: Notes<Served>,
    watched: BTreeMap<ResourceType, Watched>,
    synced: watch::Sender<bool>,
}

/// A resource whose changes wake keys.
struct Watched {
    informer: Arc<Informer<Kin>>,
    _subscription: Subscription,
}

impl Everything {
    /// The resource of a kind; `None` if it is not served.
    pub(crate) fn of_kind(&self, group: &str, kind: &str) -> Option<ServedResource> {
        self.served.read(|served| served.get(&(group.to_owned(), kind.to_owned())).cloned())
    }

    /// The resource of this plural name; `None` if it is not served.
    pub(crate) fn of_plural(&self, group: &str, plural: &str) -> Option<ServedResource> {
        let is_it =
            |served: &&ServedResource| served.resource.group == group && served.resource.plural == plural;
        self.served.read(|served| served.values().find(is_it).cloned())
    }
}

impl<T: Work> Wiring<T> {
    /// Follows all objects of the wanted resources: each change wakes the keys that `wake` returns for it. The controller
    /// begins when it has got everything that existed at the start.
    pub(crate) fn everything(
        &mut self,
        wanted: fn(&ServedResource) -> bool,
        wake: impl Fn(&Arc<ResourceType>, &Change<Kin>) -> Vec<T> + Send + Sync + 'static,
    ) -> Everything {
        let stop = CancellationToken::new();
        let (sender, mut synced) = watch::channel(false);
        let served = Notes::default();
        let task = Task {
            client: self.client().clone(),
            informers: self.informers().clone(),
            queue: self.queue().clone(),
            wanted,
            wake: Arc::new(wake),
            served: served.clone(),
            watched: BTreeMap::new(),
            synced: sender,
        };
        let stopped = stop.clone();
        tokio::spawn(async move { stopped.run_until_cancelled(task.run()).await });
        self.begin_after(async move {
            // The task ends only when its guard is dropped.
            let _ = synced.wait_for(|synced| *synced).await;
        });
        Everything { served, _stop: stop.drop_guard() }
    }
}

impl<T: Work> Task<T> {
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
        let watchable = discovered.resources.into_iter().filter(|served| {
            served.supports(&["delete", "list", "watch"])
                && !is_ignored(&served.resource)
                && (self.wanted)(served)
        });
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
        let (wake, queue) = (Arc::clone(&self.wake), self.queue.clone());
        let of = Arc::new(resource.clone());
        let subscription =
            informer.subscribe(move |change| wake(&of, change).into_iter().for_each(|key| queue.add(key)));
        self.watched.insert(resource, Watched { informer, _subscription: subscription });
    }
}

/// Events refer to objects and own nothing, and no quota counts them.
fn is_ignored(resource: &ResourceType) -> bool {
    resource.plural == "events" && matches!(&*resource.group, "" | "events.k8s.io")
}
