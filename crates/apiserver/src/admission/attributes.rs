//! The attributes of a request that plugins see.

use object::Value;
use schema::GroupResource;
use tokio::time::Instant;

use super::{AllRounds, GroupVersionKind, GroupVersionResource, Reader, Shapes, Takings, Warnings, Writer};
use crate::options::{DeleteOptions, WriteOptions};
use crate::user::User;

/// The operation of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Creates an object.
    Create,
    /// Updates one.
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

/// The options of a request, as the server has read them.
#[derive(Clone, Copy, Debug)]
pub enum Options<'a> {
    /// `CreateOptions`
    Create(&'a WriteOptions),
    /// `UpdateOptions`, also of patches
    Update(&'a WriteOptions),
    /// `DeleteOptions`
    Delete(&'a DeleteOptions),
    /// None: the options of a connection are its object.
    Connect,
}

impl Options<'_> {
    /// The options as an object of the API; null if there are none.
    pub fn to_value(self) -> Value {
        match self {
            Options::Create(options) => options.to_value("CreateOptions"),
            Options::Update(options) => options.to_value("UpdateOptions"),
            Options::Delete(options) => options.to_value(),
            Options::Connect => Value::Null,
        }
    }
}

/// The attributes of a request that a plugin sees, and the access it gets.
#[derive(Clone, Copy)]
pub struct Attributes<'a> {
    /// The operation.
    pub operation: Operation,
    /// The resource of the path.
    pub resource: GroupVersionResource<'a>,
    /// The subresource; empty for the object itself.
    pub subresource: &'a str,
    /// The kind of the object; a subresource may have its own.
    pub kind: GroupVersionKind<'a>,
    /// The namespace; empty for objects of the cluster.
    pub namespace: &'a str,
    /// The name; empty if there is none.
    pub name: &'a str,
    /// The user who sent the request.
    pub user: &'a User,
    /// Identifies this request.
    pub uid: &'a str,
    /// When the request is over: all phases of admission together end before that.
    pub deadline: Instant,
    /// Whether this is a dry run.
    pub dry_run: bool,
    /// The options.
    pub options: Options<'a>,
    /// Reads other objects.
    pub reader: &'a dyn Reader,
    /// Writes other objects.
    pub writer: &'a dyn Writer,
    /// Converts objects to other versions.
    pub shapes: &'a dyn Shapes,
    /// What webhooks have done with the request.
    pub rounds: &'a AllRounds,
    /// Warnings for the client in addition to the response.
    pub warnings: &'a Warnings,
    /// What plugins take for the write while they validate it.
    pub takings: &'a Takings,
}

impl Attributes<'_> {
    /// The resource, whatever its version.
    pub fn group_resource(&self) -> GroupResource<'_> {
        GroupResource::new(self.resource.group, self.resource.plural)
    }

    /// Whether this concerns objects of a resource (not a subresource).
    pub fn is(&self, resource: GroupResource<'_>) -> bool {
        self.is_part(resource, "")
    }

    /// Whether this concerns this subresource of a resource.
    pub fn is_part(&self, resource: GroupResource<'_>, subresource: &str) -> bool {
        // The plural name tells most resources apart.
        self.resource.plural == resource.plural
            && self.resource.group == resource.group
            && self.subresource == subresource
    }

    /// The refusal of this request.
    pub fn forbidden(&self, why: &str) -> object::Status {
        object::Status::forbidden(self.resource.group, self.resource.plural, self.name, why)
    }
}
