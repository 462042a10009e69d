//! Admission: what changes or refuses a write after its user was authorized.
//!
//! Plugins run in upstream's order; each sees the object after defaulting. Those that need other objects read
//! them from the watch cache.

use std::sync::Arc;

use async_trait::async_trait;
use object::{Status, Value};

use crate::registry::Endpoint;
use crate::user::User;

mod certificates;
mod namespace_lifecycle;
mod node_restriction;
mod pod_priority;
mod service_account;
#[cfg(test)]
mod tests;
mod toleration_seconds;

pub use certificates::Certificates;
pub use namespace_lifecycle::NamespaceLifecycle;
pub use node_restriction::NodeRestriction;
pub use pod_priority::PodPriority;
pub use service_account::ServiceAccountAdmission;
pub use toleration_seconds::DefaultTolerationSeconds;

/// What a write does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Makes an object.
    Create,
    /// Changes one.
    Update,
    /// Deletes one.
    Delete,
    /// Opens a connection (exec, attach, port-forward, proxy).
    Connect,
}

impl Operation {
    /// The name in the API.
    pub fn name(self) -> &'static str {
        match self {
            Operation::Create => "CREATE",
            Operation::Update => "UPDATE",
            Operation::Delete => "DELETE",
            Operation::Connect => "CONNECT",
        }
    }
}

/// What a plugin is told of a write.
pub struct Attributes<'a> {
    /// What it does.
    pub operation: Operation,
    /// The resource.
    pub endpoint: &'a Endpoint,
    /// The subresource; empty for the object itself.
    pub subresource: &'a str,
    /// The namespace; empty for objects of the cluster.
    pub namespace: &'a str,
    /// The name; empty where it is going to be generated.
    pub name: &'a str,
    /// Who writes.
    pub user: &'a User,
    /// Whether nothing is to be stored.
    pub dry_run: bool,
}

impl Attributes<'_> {
    /// Whether this is about objects of a resource themselves (not a subresource).
    pub fn is(&self, group: &str, plural: &str) -> bool {
        self.is_part(group, plural, "")
    }

    /// Whether this is about this subresource of a resource.
    pub fn is_part(&self, group: &str, plural: &str, subresource: &str) -> bool {
        self.subresource == subresource
            && self.endpoint.def.group == group
            && self.endpoint.def.plural == plural
    }
}

/// An admission plugin.
#[async_trait]
pub trait Plugin: Send + Sync + 'static {
    /// The name, as upstream calls it.
    fn name(&self) -> &'static str;

    /// May change the object; may refuse.
    async fn admit(&self, _what: &Attributes<'_>, _object: &mut Value) -> Result<(), Status> {
        Ok(())
    }

    /// May refuse, after all changes were made. `object` is null for deletions, `old` for creations.
    async fn validate(&self, _what: &Attributes<'_>, _object: &Value, _old: &Value) -> Result<(), Status> {
        Ok(())
    }
}

/// The plugins, in their order.
#[derive(Default)]
pub struct Chain(Vec<Arc<dyn Plugin>>);

impl Chain {
    /// A chain of these plugins.
    pub fn new(plugins: Vec<Arc<dyn Plugin>>) -> Chain {
        Chain(plugins)
    }

    /// Lets every plugin change the object.
    ///
    /// # Errors
    /// The first refusal.
    pub async fn admit(&self, what: &Attributes<'_>, object: &mut Value) -> Result<(), Status> {
        for plugin in &self.0 {
            plugin.admit(what, object).await?;
        }
        Ok(())
    }

    /// Asks every plugin whether the write may be.
    ///
    /// # Errors
    /// The first refusal.
    pub async fn validate(&self, what: &Attributes<'_>, object: &Value, old: &Value) -> Result<(), Status> {
        for plugin in &self.0 {
            plugin.validate(what, object, old).await?;
        }
        Ok(())
    }
}
