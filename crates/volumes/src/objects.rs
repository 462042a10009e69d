//! The ConfigMaps and Secrets that this node's pods use.
//!
//! A node may read only those objects that its pods refer to, each by name. [`ObjectCache`] follows each such object
//! with a separate watch for as long as a [`Handle`] to it exists.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Weak};
use std::time::Duration;

use client::{Client, Informer, Informers, Object, Selection};
use k8s_openapi::api::core::v1::{ConfigMap, Container, Pod, Secret, Volume};
use object::ObjectKey;
use parking_lot::Mutex;

use crate::VolumeError;

/// How long a pod waits for the first answer about an object.
const SYNC_LIMIT: Duration = Duration::from_secs(5);

/// Which kind of object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ObjectKind {
    /// A ConfigMap.
    ConfigMap,
    /// A Secret.
    Secret,
}

impl ObjectKind {
    /// The name in messages.
    pub fn as_str(self) -> &'static str {
        match self {
            ObjectKind::ConfigMap => "configmap",
            ObjectKind::Secret => "secret",
        }
    }
}

/// Which object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectId {
    /// Its kind.
    pub kind: ObjectKind,
    /// Where it is.
    pub key: ObjectKey,
}

/// One object that is followed.
struct Followed<K> {
    id: ObjectId,
    informer: Arc<Informer<K>>,
}

impl<K: Object> Followed<K> {
    fn start(client: &Client, id: &ObjectId, changed: &OnChange) -> Followed<K> {
        let selection = Selection {
            namespace: id.key.namespace().to_owned(),
            ..Selection::fields::<K>(format!("metadata.name={}", id.key.name))
        };
        let informer = Informers::new(client.clone()).select::<K>(selection);
        let (told, changed) = (id.clone(), Arc::clone(changed));
        // The informer is this one's own.
        informer.subscribe(move |_| changed(&told)).forever();
        Followed { id: id.clone(), informer }
    }

    async fn get(&self) -> Result<Arc<K>, VolumeError> {
        let kind = self.id.kind.as_str();
        tokio::time::timeout(SYNC_LIMIT, self.informer.synced())
            .await
            .map_err(|_| VolumeError::NotSynced { kind })?;
        let found = self.informer.get(&self.id.key);
        found.ok_or_else(|| VolumeError::NotFound { kind, name: self.id.key.name.to_string() })
    }
}

#[derive(Clone)]
enum Either {
    ConfigMap(Arc<Followed<ConfigMap>>),
    Secret(Arc<Followed<Secret>>),
}

/// The object is followed as long as this exists.
#[derive(Clone)]
pub struct Handle(Either);

impl std::fmt::Debug for Handle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let id = match &self.0 {
            Either::ConfigMap(followed) => &followed.id,
            Either::Secret(followed) => &followed.id,
        };
        f.debug_tuple("Handle").field(id).finish()
    }
}

enum Known {
    ConfigMap(Weak<Followed<ConfigMap>>),
    Secret(Weak<Followed<Secret>>),
}

impl Known {
    fn upgrade(&self) -> Option<Either> {
        match self {
            Known::ConfigMap(weak) => weak.upgrade().map(Either::ConfigMap),
            Known::Secret(weak) => weak.upgrade().map(Either::Secret),
        }
    }
}

type OnChange = Arc<dyn Fn(&ObjectId) + Send + Sync>;

/// Follows the ConfigMaps and Secrets for which there is a [`Handle`].
pub struct ObjectCache {
    client: Client,
    changed: OnChange,
    known: Mutex<HashMap<ObjectId, Known>>,
}

impl ObjectCache {
    /// A cache that calls `changed` for every change of an object it follows, and when it first sees one. The
    /// call must be quick.
    pub fn new(client: Client, changed: impl Fn(&ObjectId) + Send + Sync + 'static) -> ObjectCache {
        ObjectCache { client, changed: Arc::new(changed), known: Mutex::default() }
    }

    /// Follows an object until the handle, with all its clones, is dropped. Must be called inside a tokio
    /// runtime.
    pub fn follow(&self, id: &ObjectId) -> Handle {
        let mut known = self.known.lock();
        if let Some(either) = known.get(id).and_then(Known::upgrade) {
            return Handle(either);
        }
        known.retain(|_, known| known.upgrade().is_some());
        let (either, weak) = match id.kind {
            ObjectKind::ConfigMap => {
                let followed = Arc::new(Followed::start(&self.client, id, &self.changed));
                let weak = Arc::downgrade(&followed);
                (Either::ConfigMap(followed), Known::ConfigMap(weak))
            }
            ObjectKind::Secret => {
                let followed = Arc::new(Followed::start(&self.client, id, &self.changed));
                let weak = Arc::downgrade(&followed);
                (Either::Secret(followed), Known::Secret(weak))
            }
        };
        known.insert(id.clone(), weak);
        Handle(either)
    }

    /// The ConfigMap as last seen.
    ///
    /// # Errors
    /// [`VolumeError::NotFound`] if there is none, [`VolumeError::NotSynced`] if the server does not answer.
    pub async fn config_map(&self, namespace: &str, name: &str) -> Result<Arc<ConfigMap>, VolumeError> {
        let key = ObjectKey::namespaced(namespace, name);
        match self.follow(&ObjectId { kind: ObjectKind::ConfigMap, key }).0 {
            Either::ConfigMap(followed) => followed.get().await,
            Either::Secret(_) => unreachable!("the kind is part of the identity"),
        }
    }

    /// The Secret as last seen.
    ///
    /// # Errors
    /// [`VolumeError::NotFound`] if there is none, [`VolumeError::NotSynced`] if the server does not answer.
    pub async fn secret(&self, namespace: &str, name: &str) -> Result<Arc<Secret>, VolumeError> {
        let key = ObjectKey::namespaced(namespace, name);
        match self.follow(&ObjectId { kind: ObjectKind::Secret, key }).0 {
            Either::Secret(followed) => followed.get().await,
            Either::ConfigMap(_) => unreachable!("the kind is part of the identity"),
        }
    }
}

impl std::fmt::Debug for ObjectCache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ObjectCache").field("known", &self.known.lock().len()).finish_non_exhaustive()
    }
}

/// The ConfigMaps and Secrets that a pod refers to: in volumes, environments and for pulling images.
pub fn references(pod: &Pod) -> BTreeSet<ObjectId> {
    let mut names = BTreeSet::new();
    if let Some(spec) = &pod.spec {
        let pull =
            spec.image_pull_secrets.iter().flatten().map(|secret| (ObjectKind::Secret, secret.name.clone()));
        names.extend(pull);
        spec.volumes.iter().flatten().for_each(|volume| of_volume(volume, &mut names));
        let containers = spec.containers.iter().chain(spec.init_containers.iter().flatten());
        containers.for_each(|container| of_container(container, &mut names));
    }
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    let id =
        |(kind, name): (ObjectKind, String)| ObjectId { kind, key: ObjectKey::namespaced(namespace, name) };
    names.into_iter().filter(|(_, name)| !name.is_empty()).map(id).collect()
}

type Names = BTreeSet<(ObjectKind, String)>;

fn of_volume(volume: &Volume, names: &mut Names) {
    use ObjectKind::{ConfigMap, Secret};
    names.extend(volume.config_map.iter().map(|source| (ConfigMap, source.name.clone())));
    names.extend(volume.secret.iter().filter_map(|source| Some((Secret, source.secret_name.clone()?))));
    for source in volume.projected.iter().flat_map(|projected| projected.sources.iter().flatten()) {
        names.extend(source.config_map.iter().map(|source| (ConfigMap, source.name.clone())));
        names.extend(source.secret.iter().map(|source| (Secret, source.name.clone())));
    }
}

fn of_container(container: &Container, names: &mut Names) {
    use ObjectKind::{ConfigMap, Secret};
    for source in container.env_from.iter().flatten() {
        names.extend(source.config_map_ref.iter().map(|source| (ConfigMap, source.name.clone())));
        names.extend(source.secret_ref.iter().map(|source| (Secret, source.name.clone())));
    }
    for source in container.env.iter().flatten().filter_map(|variable| variable.value_from.as_ref()) {
        names.extend(source.config_map_key_ref.iter().map(|source| (ConfigMap, source.name.clone())));
        names.extend(source.secret_key_ref.iter().map(|source| (Secret, source.name.clone())));
    }
}
