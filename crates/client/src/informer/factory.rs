//! One informer per collection and process.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::sync::Arc;

use object::Selector;
use parking_lot::Mutex;

use super::shared::Decode;
use super::{Informer, Selection};
use crate::lean::read_selector;
use crate::{Client, Extract, Form, Identified, Kin, ResourceType, SelectsPods};

/// Makes and shares informers. Clones share them too. An informer runs until the last clone is gone, and longer if it
/// is held itself.
///
/// ```no_run
/// # async fn example(client: client::Client) {
/// use k8s_openapi::api::core::v1::Pod;
/// let informers = client::Informers::new(client);
/// let pods = informers.get::<Pod>();
/// let queue = client::WorkQueue::new();
/// let woken = queue.clone();
/// let _woken = pods.subscribe(move |change| woken.add(change.key.clone()));
/// pods.synced().await;
/// # }
/// ```
#[derive(Clone)]
pub struct Informers {
    shared: Arc<Shared>,
}

struct Shared {
    client: Client,
    running: Mutex<HashMap<Identity, Arc<dyn Any + Send + Sync>>>,
}

type Identity = (Selection, TypeId);

impl Informers {
    /// Informers over `client`. The methods that make them must be called inside a tokio runtime.
    pub fn new(client: Client) -> Informers {
        Informers { shared: Arc::new(Shared { client, running: Mutex::default() }) }
    }

    /// The client.
    pub fn client(&self) -> &Client {
        &self.shared.client
    }

    /// The informer of all objects of a kind.
    pub fn get<K: Form>(&self) -> Arc<Informer<K>> {
        self.select(Selection::all(ResourceType::of::<K>()))
    }

    /// The informer of the selected objects of a kind, in the form that [`Form::read`] gives them.
    pub fn select<K: Form>(&self, selection: Selection) -> Arc<Informer<K>> {
        self.start(selection, false, K::read)
    }

    /// The informer of who owns the objects of any resource.
    pub fn kin(&self, resource: ResourceType) -> Arc<Informer<Kin>> {
        self.start(Selection::all(resource), true, Kin::read)
    }

    /// The informer of the pods that the objects of a kind select.
    pub fn selectors<K: SelectsPods>(&self) -> Arc<Informer<Extract<Arc<Selector>>>> {
        self.start(Selection::all(ResourceType::of::<K>()), false, read_selector::<K>)
    }

    /// Lets go of [that informer](Informers::kin), of a resource that is no longer served. It stops with its last holder.
    pub fn forget_kin(&self, resource: ResourceType) {
        let identity = (Selection::all(resource), TypeId::of::<Kin>());
        self.shared.running.lock().remove(&identity);
    }

    fn start<K: Identified>(
        &self,
        selection: Selection,
        metadata_only: bool,
        decode: Decode<K>,
    ) -> Arc<Informer<K>> {
        let mut running = self.shared.running.lock();
        let identity = (selection.clone(), TypeId::of::<K>());
        if let Some(found) = running.get(&identity) {
            let informer = Arc::clone(found).downcast();
            return informer.expect("the type is part of the identity");
        }
        let informer =
            Arc::new(Informer::start(self.shared.client.clone(), selection, metadata_only, decode));
        running.insert(identity, Arc::clone(&informer) as _);
        informer
    }
}

impl std::fmt::Debug for Informers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Informers").field("running", &self.shared.running.lock().len()).finish()
    }
}
