//! Access to other objects for plugins.

use std::sync::Arc;

use async_trait::async_trait;
use imbl::OrdMap;
use object::{Status, Value, Versioned};
use schema::{GroupResource, TypeRef};

use super::{GroupVersionKind, GroupVersionResource, Shape};

/// All objects of a resource at one moment, by `NAMESPACE/NAME`, or the name alone.
pub type Objects = OrdMap<Arc<str>, Versioned>;

/// Reads objects of the cluster from the server's cache.
#[async_trait]
pub trait Reader: Send + Sync {
    /// An object; possibly without the newest writes.
    fn get(&self, resource: GroupResource<'_>, namespace: &str, name: &str) -> Option<Versioned>;

    /// All objects of a resource. Taking them is free, iterating over them is not.
    fn all(&self, resource: GroupResource<'_>) -> Objects;

    /// The objects of a resource in a namespace, in the order of their names. It costs next to nothing where there are
    /// none, whatever other namespaces hold.
    fn in_namespace(&self, resource: GroupResource<'_>, namespace: &str) -> Vec<Versioned>;

    /// Waits until reads include every write that was acknowledged before.
    ///
    /// # Errors
    /// Why they do not.
    async fn catch_up(&self) -> Result<(), Status>;

    /// An object, even if it was created a moment ago.
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

/// Writes objects of the cluster under the server's own identity. Such writes are ordinary requests: every guard and
/// plugin sees them. Writes during a dry run are dry runs too.
#[async_trait]
pub trait Writer: Send + Sync {
    /// Creates an object, which must contain its `apiVersion`.
    ///
    /// # Errors
    /// As any client is answered, for example 409 if it exists.
    async fn create(&self, resource: GroupResource<'_>, object: Value) -> Result<Value, Status>;

    /// Replaces an object, which must contain its `apiVersion`.
    ///
    /// # Errors
    /// As any client is answered.
    async fn update(&self, resource: GroupResource<'_>, object: Value) -> Result<Value, Status>;

    /// Replaces an object's status. The object must contain its `apiVersion`, and its version as the condition.
    ///
    /// # Errors
    /// As any client is answered.
    async fn update_status(&self, resource: GroupResource<'_>, object: Value) -> Result<Value, Status>;

    /// Deletes an object.
    ///
    /// # Errors
    /// The same as for any client, for example 404 if the object does not exist.
    async fn delete(&self, resource: GroupResource<'_>, namespace: &str, name: &str) -> Result<(), Status>;
}

/// A kind as it is served.
pub struct Served {
    /// The resource and the kind.
    pub shape: Shape,
    /// Whether its objects live in namespaces.
    pub is_namespaced: bool,
}

/// The versions in which the API shows objects, for plugins that show them to somebody else.
#[async_trait]
pub trait Shapes: Send + Sync {
    /// All resources that show the same objects as this one, itself included, as far as they have the subresource.
    fn equivalents(&self, resource: GroupVersionResource<'_>, subresource: &str) -> Vec<Shape>;

    /// The resource of a kind.
    fn of_kind(&self, kind: GroupVersionKind<'_>) -> Option<Served>;

    /// The type of a shape's objects, or of one of its subresources.
    fn type_of(&self, shape: &Shape, subresource: &str) -> Option<TypeRef>;

    /// An object as it is stored, in this shape.
    ///
    /// # Errors
    /// It cannot be converted.
    async fn present(&self, object: Value, shape: &Shape) -> Result<Value, Status>;

    /// An object of one shape in another one with the same objects.
    ///
    /// # Errors
    /// It cannot be converted.
    async fn convert(&self, object: Value, from: &Shape, to: &Shape) -> Result<Value, Status>;

    /// Reads a tree that came from outside as an object of this shape, and fills in defaults. Fields that the type does
    /// not have are dropped.
    ///
    /// # Errors
    /// It is not such an object.
    fn complete(&self, object: Value, shape: &Shape, subresource: &str) -> Result<Value, Status>;
}
