//! Connects a controller to its informers, which wake its keys.

use std::collections::BTreeMap;
use std::sync::Arc;

use client::{
    Change, Client, Form, Identified, Informer, Informers, ResourceType, Selection, Subscription, Work,
    WorkQueue,
};
use clock::Clock;
use futures::future::BoxFuture;
use jiff::Timestamp;

use super::Notes;
use super::executor::{Effect, Pending};
use crate::{Config, Metrics};

/// The parts that a controller is wired with.
pub(crate) struct Wiring<T: Work> {
    informers: Informers,
    client: Client,
    queue: WorkQueue<T>,
    config: Arc<Config>,
    metrics: Metrics,
    pub(super) views: Views,
    pub(super) subscriptions: Vec<Subscription>,
    pub(super) begins_after: Vec<BoxFuture<'static, ()>>,
}

/// The informers that a controller reads, by resource.
#[derive(Clone, Default)]
pub(super) struct Views(BTreeMap<ResourceType, Arc<dyn View>>);

/// The framework's view of an informer of any type.
trait View: Send + Sync {
    fn synced(&self) -> BoxFuture<'_, ()>;
    fn shows<'a>(&'a self, effect: &'a Effect) -> BoxFuture<'a, ()>;
}

impl<K: Identified> View for Informer<K> {
    fn synced(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.synced())
    }

    fn shows<'a>(&'a self, effect: &'a Effect) -> BoxFuture<'a, ()> {
        match effect {
            Effect::Version(version) => Box::pin(self.caught_up(*version)),
            Effect::LetGo(key, uid) => Box::pin(self.let_go(key, uid)),
        }
    }
}

impl Views {
    pub(super) async fn synced(&self) {
        for view in self.0.values() {
            view.synced().await;
        }
    }

    /// Waits until the informers show all these writes. Writes to resources that the controller does not read are
    /// ignored.
    pub(super) async fn show(&self, writes: &[Pending]) {
        for write in writes {
            if let Some(view) = self.0.get(&write.resource) {
                view.shows(&write.effect).await;
            }
        }
    }
}

impl<T: Work> Wiring<T> {
    pub(super) fn new(
        informers: Informers,
        client: Client,
        queue: WorkQueue<T>,
        config: Arc<Config>,
        metrics: Metrics,
    ) -> Wiring<T> {
        let (views, subscriptions, begins_after) = (Views::default(), Vec::new(), Vec::new());
        Wiring { informers, client, queue, config, metrics, views, subscriptions, begins_after }
    }

    /// The options of all controllers.
    pub(crate) fn config(&self) -> &Arc<Config> {
        &self.config
    }

    /// The metrics of all controllers.
    pub(crate) fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// The process's informers, for controllers that choose theirs at run time.
    pub(crate) fn informers(&self) -> &Informers {
        &self.informers
    }

    /// The controller's own client, for work outside its plans.
    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    /// Time and randomness.
    pub(crate) fn clock(&self) -> &Clock {
        self.client.clock()
    }

    /// The queue, for controllers that wake keys by other means than changes.
    pub(crate) fn queue(&self) -> &WorkQueue<T> {
        &self.queue
    }

    /// The shared informer of a kind. The controller starts when it is synced.
    pub(crate) fn informer<K: Form>(&mut self) -> Arc<Informer<K>> {
        self.selected(Selection::all(ResourceType::of::<K>()))
    }

    /// The shared informer of some objects of a kind, for controllers to which all others mean nothing. What the
    /// controller writes must be among them.
    pub(crate) fn selected<K: Form>(&mut self, selection: Selection) -> Arc<Informer<K>> {
        let informer = self.informers.select::<K>(selection);
        self.views.0.insert(ResourceType::of::<K>(), Arc::clone(&informer) as _);
        informer
    }

    /// The controller starts when this is done too.
    pub(crate) fn begin_after(&mut self, done: impl Future<Output = ()> + Send + 'static) {
        self.begins_after.push(Box::pin(done));
    }

    /// Each change wakes the keys that `keys` returns for it, for as long as the controller runs.
    pub(crate) fn wake<K, I>(
        &mut self,
        informer: &Informer<K>,
        keys: impl Fn(&Change<K>) -> I + Send + 'static,
    ) where
        K: Identified,
        I: IntoIterator<Item = T>,
    {
        let queue = self.queue.clone();
        let woken = informer.subscribe(move |change| keys(change).into_iter().for_each(|key| queue.add(key)));
        self.subscriptions.push(woken);
    }

    /// Each change is recorded, and then wakes the keys that `note` returns for it.
    pub(crate) fn note<K, N, I>(
        &mut self,
        informer: &Informer<K>,
        notes: &Notes<N>,
        note: impl Fn(&mut N, &Change<K>, Timestamp) -> I + Send + 'static,
    ) where
        K: Identified,
        N: Send + Sync + 'static,
        I: IntoIterator<Item = T>,
    {
        let (notes, clock) = (notes.clone(), self.clock().clone());
        self.wake(informer, move |change| notes.write(|notes| note(notes, change, clock.now())));
    }
}

impl Wiring<object::ObjectKey> {
    /// Each change wakes the key of the object itself.
    pub(crate) fn wake_self<K: Form>(&mut self, informer: &Informer<K>) {
        self.wake(informer, |change| [change.key.clone()]);
    }
}
