//! The typed client.

use std::fmt::Debug;
use std::sync::Arc;

use clock::Clock;
use k8s_openapi::Resource;
use object::{ObjectKey, Versioned};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{
    ClientError, Connection, ContentType, DeleteOptions, ListOptions, ListPage, Object, Patch, Request,
    ResourceType, Response, Target, Verb, WatchOptions, WatchStream, key_of,
};

/// The objects of a collection, over all pages.
#[derive(Clone, Debug)]
pub struct List<K> {
    /// The objects.
    pub items: Vec<Arc<K>>,
    /// The collection's resource version.
    pub resource_version: String,
}

/// Reads and writes objects through a [`Connection`]. Cheap to clone.
///
/// Keys identify objects; those of cluster-wide kinds have no namespace. Every method returns [`ClientError::Api`] with
/// the server's status if the server refuses.
///
/// ```no_run
/// # async fn example(client: client::Client) -> Result<(), client::ClientError> {
/// use k8s_openapi::api::core::v1::Pod;
/// let key = object::ObjectKey::namespaced("default", "web");
/// let pod = client.get::<Pod>(&key).await?;
/// client.delete::<Pod>(&key, &client::DeleteOptions::of_uid(pod.metadata.uid.unwrap_or_default())).await?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Client {
    connection: Arc<dyn Connection>,
    clock: Clock,
}

impl Client {
    /// A client over `connection` that takes its time and randomness from `clock`.
    pub fn new(connection: Arc<dyn Connection>, clock: Clock) -> Client {
        Client { connection, clock }
    }

    /// The connection.
    pub fn connection(&self) -> &Arc<dyn Connection> {
        &self.connection
    }

    /// The clock.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Reads one object.
    pub async fn get<K: Object>(&self, key: &ObjectKey) -> Result<K, ClientError> {
        let response = self.send(Verb::Get, Target::object(ResourceType::of::<K>(), key)).await?;
        response.body.decode(K::KIND)
    }

    /// Reads one object; `None` if it does not exist.
    pub async fn find<K: Object>(&self, key: &ObjectKey) -> Result<Option<K>, ClientError> {
        match self.get(key).await {
            Ok(object) => Ok(Some(object)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Reads a collection, page after page if `options` sets a limit: in one namespace, or in all (`""`).
    pub async fn list<K: Object>(
        &self,
        namespace: &str,
        options: &ListOptions,
    ) -> Result<List<K>, ClientError> {
        let (objects, resource_version) = self.list_all(&ResourceType::of::<K>(), namespace, options).await?;
        let typed = |object: Versioned| {
            object.decode::<K>().map(Arc::new).map_err(|error| ClientError::decode(K::KIND, error))
        };
        Ok(List { items: objects.into_iter().map(typed).collect::<Result<_, _>>()?, resource_version })
    }

    /// Creates an object in the namespace of its metadata.
    pub async fn create<K: Object>(&self, object: &K) -> Result<K, ClientError> {
        let namespace = object.metadata().namespace.as_deref().unwrap_or_default();
        let target = Target::collection(ResourceType::of::<K>(), namespace);
        self.write(Verb::Create, target, object).await
    }

    /// Replaces an object. With a resource version in its metadata the write fails with a conflict if the
    /// object has changed since.
    pub async fn update<K: Object>(&self, object: &K) -> Result<K, ClientError> {
        self.write(Verb::Update, Target::object(ResourceType::of::<K>(), &key_of(object)), object).await
    }

    /// Replaces only an object's status.
    pub async fn update_status<K: Object>(&self, object: &K) -> Result<K, ClientError> {
        let target = Target::object(ResourceType::of::<K>(), &key_of(object)).subresource("status");
        self.write(Verb::Update, target, object).await
    }

    /// Changes parts of an object, or of its subresource (`status`, `scale`) if one is named.
    pub async fn patch<K: Object>(
        &self,
        key: &ObjectKey,
        subresource: &str,
        patch: &Patch,
    ) -> Result<K, ClientError> {
        let target = Target::object(ResourceType::of::<K>(), key).subresource(subresource);
        self.connection.call(patch.request(target)?).await?.body.decode(K::KIND)
    }

    /// Deletes an object, or begins to.
    pub async fn delete<K: Object>(
        &self,
        key: &ObjectKey,
        options: &DeleteOptions,
    ) -> Result<(), ClientError> {
        self.delete_object(&ResourceType::of::<K>(), key, options).await
    }

    /// Creates a subresource of an object: `binding` and `eviction` of pods, `token` of service accounts.
    pub async fn create_subresource<K, B, R>(
        &self,
        key: &ObjectKey,
        subresource: &str,
        body: &B,
    ) -> Result<R, ClientError>
    where
        K: Resource,
        B: Serialize,
        R: DeserializeOwned,
    {
        let target = Target::object(ResourceType::of::<K>(), key).subresource(subresource);
        self.write(Verb::Create, target, body).await
    }

    /// Reads a collection of any resource, page after page if `options` sets a limit, and its resource version. If a
    /// list takes so long that its pages expire, it is restarted once, in one page.
    pub async fn list_all(
        &self,
        resource: &ResourceType,
        namespace: &str,
        options: &ListOptions,
    ) -> Result<(Vec<Versioned>, String), ClientError> {
        let mut options = options.clone();
        let mut objects = Vec::new();
        loop {
            let first = options.continue_token.is_empty();
            match self.list_page(resource, namespace, &options).await {
                Ok(page) => {
                    objects.extend(page.items);
                    if page.continue_token.is_empty() {
                        return Ok((objects, page.resource_version));
                    }
                    options.continue_token = page.continue_token;
                    // Later pages have the version in the token.
                    options.resource_version.clear();
                }
                Err(error) if error.is_expired() && !first => {
                    objects.clear();
                    options = ListOptions { continue_token: String::new(), limit: 0, ..options };
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Reads one page of a collection of any resource.
    pub async fn list_page(
        &self,
        resource: &ResourceType,
        namespace: &str,
        options: &ListOptions,
    ) -> Result<ListPage, ClientError> {
        let target = Target::collection(resource.clone(), namespace);
        self.connection.list(options.apply(Request::new(Verb::List, target))).await
    }

    /// Reads one page of the metadata of a collection of any resource. A connection to which the rest is no cost returns
    /// whole objects.
    pub async fn metadata_page(
        &self,
        resource: &ResourceType,
        options: &ListOptions,
    ) -> Result<ListPage, ClientError> {
        let mut request = Request::new(Verb::List, Target::collection(resource.clone(), ""));
        request.metadata_only = true;
        self.connection.list(options.apply(request)).await
    }

    /// Follows a collection of any resource. Components should share an [`Informer`](crate::Informer) instead.
    pub async fn watch(
        &self,
        resource: &ResourceType,
        namespace: &str,
        options: &WatchOptions,
    ) -> Result<WatchStream, ClientError> {
        let target = Target::collection(resource.clone(), namespace);
        self.connection.watch(options.apply(Request::new(Verb::Watch, target))).await
    }

    /// Reads one object of any resource as a tree of type `T`.
    pub async fn get_object<T: DeserializeOwned>(
        &self,
        resource: &ResourceType,
        key: &ObjectKey,
    ) -> Result<T, ClientError> {
        let response = self.send(Verb::Get, Target::object(resource.clone(), key)).await?;
        response.body.decode(&resource.kind)
    }

    /// Changes parts of an object of any resource. The response body is ignored.
    pub async fn patch_object(
        &self,
        resource: &ResourceType,
        key: &ObjectKey,
        subresource: &str,
        patch: &Patch,
    ) -> Result<(), ClientError> {
        let target = Target::object(resource.clone(), key).subresource(subresource);
        self.connection.call(patch.request(target)?).await.map(drop)
    }

    /// Deletes an object of any resource, or begins to.
    pub async fn delete_object(
        &self,
        resource: &ResourceType,
        key: &ObjectKey,
        options: &DeleteOptions,
    ) -> Result<(), ClientError> {
        let request = Request::new(Verb::Delete, Target::object(resource.clone(), key));
        self.connection.call(request.body(ContentType::Json, options.body())).await.map(drop)
    }

    /// Deletes all objects of a collection.
    pub async fn delete_collection(
        &self,
        resource: &ResourceType,
        namespace: &str,
        options: &DeleteOptions,
        which: &ListOptions,
    ) -> Result<(), ClientError> {
        let request = Request::new(Verb::DeleteCollection, Target::collection(resource.clone(), namespace));
        self.connection.call(which.apply(request).body(ContentType::Json, options.body())).await.map(drop)
    }

    async fn send(&self, verb: Verb, target: Target) -> Result<Response, ClientError> {
        self.connection.call(Request::new(verb, target)).await
    }

    async fn write<B: Serialize, R: DeserializeOwned>(
        &self,
        verb: Verb,
        target: Target,
        body: &B,
    ) -> Result<R, ClientError> {
        let what = target.resource.kind.clone();
        let body = object::to_value(body).map_err(|error| ClientError::decode(&*what, error))?;
        let request = Request::new(verb, target).body(ContentType::Json, body);
        self.connection.call(request).await?.body.decode(&what)
    }
}

impl Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}
