//! Access to other objects for plugins.

use std::sync::Arc;

use async_trait::async_trait;
use imbl::OrdMap;
use object::{Status, Value, Versioned};
use schema::GroupResource;

/// All objects of a resource at one moment, by `NAMESPACE/NAME`, or the name alone.
pub type Objects = OrdMap<Arc<str>, Versioned>;

/// Reads objects of the cluster from what the server has in memory.
#[async_trait]
pub trait Reader: Send + Sync {
    /// An object. It may be that the newest writes are not seen yet.
    fn get(&self, resource: GroupResource<'_>, namespace: &str, name: &str) -> Option<Versioned>;

    /// All objects of a resource. Taking them costs nothing, looking at them does.
    fn all(&self, resource: GroupResource<'_>) -> Objects;

    /// Waits until reads see every write that was acknowledged before.
    ///
    /// # Errors
    /// Why they do not.
    async fn catch_up(&self) -> Result<(), Status>;

    /// An object, also if it was made a moment ago.
    ///
    /// # Errors
    /// As [`Reader::catch_up`].
    async fn find(
        &self,
        resource: GroupResource<'_>,
        namespace: &str,
        name: &str,
    ) -> Result<Option<Versioned>, Status> {
        if let Some(found) = self.get(resource, namespace, name) {
            return Ok(Some(found));
        }
        self.catch_up().await?;
        Ok(self.get(resource, namespace, name))
    }
}

/// Writes objects of the cluster under the server's own identity. Such writes are requests like others: every guard and
/// plugin sees them. What is written for a dry run is a dry run too.
#[async_trait]
pub trait Writer: Send + Sync {
    /// Makes an object; it says its `apiVersion`.
    ///
    /// # Errors
    /// As any client is answered, for example 409 where it exists.
    async fn create(&self, resource: GroupResource<'_>, object: Value) -> Result<Value, Status>;

    /// Replaces an object; it says its `apiVersion`.
    ///
    /// # Errors
    /// As any client is answered.
    async fn update(&self, resource: GroupResource<'_>, object: Value) -> Result<Value, Status>;

    /// Deletes an object.
    ///
    /// # Errors
    /// As any client is answered, for example 404 where there is none.
    async fn delete(&self, resource: GroupResource<'_>, namespace: &str, name: &str) -> Result<(), Status>;
}
