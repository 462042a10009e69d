//! The attributes of a request that plugins see.

use object::Value;
use schema::GroupResource;

use super::{Reader, Warnings, Writer};
use crate::options::{DeleteOptions, WriteOptions};
use crate::user::User;

/// What a request does.
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

/// A resource of one version of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupVersionResource<'a> {
    /// The group; empty for the core group.
    pub group: &'a str,
    /// The version.
    pub version: &'a str,
    /// The plural name.
    pub plural: &'a str,
}

/// A kind of one version of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupVersionKind<'a> {
    /// The group; empty for the core group.
    pub group: &'a str,
    /// The version.
    pub version: &'a str,
    /// The kind.
    pub kind: &'a str,
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
    /// None: those of a connection are its object.
    Connect,
}

impl Options<'_> {
    /// The options as an object of the API; null where there are none.
    pub fn to_value(self) -> Value {
        match self {
            Options::Create(options) => options.to_value("CreateOptions"),
            Options::Update(options) => options.to_value("UpdateOptions"),
            Options::Delete(options) => options.to_value(),
            Options::Connect => Value::Null,
        }
    }
}

/// What a plugin is told of a request, and what it may use.
#[derive(Clone, Copy)]
pub struct Attributes<'a> {
    /// What the request does.
    pub operation: Operation,
    /// The resource of the path.
    pub resource: GroupVersionResource<'a>,
    /// The subresource; empty for the object itself.
    pub subresource: &'a str,
    /// The kind of the object, which a subresource may have of its own.
    pub kind: GroupVersionKind<'a>,
    /// The namespace; empty for objects of the cluster.
    pub namespace: &'a str,
    /// The name; empty where there is none.
    pub name: &'a str,
    /// Who asks.
    pub user: &'a User,
    /// Tells this request from all others.
    pub uid: &'a str,
    /// Whether nothing is to be stored.
    pub dry_run: bool,
    /// The options.
    pub options: Options<'a>,
    /// Reads other objects.
    pub reader: &'a dyn Reader,
    /// Writes other objects.
    pub writer: &'a dyn Writer,
    /// What the client is told besides the answer.
    pub warnings: &'a Warnings,
}

impl Attributes<'_> {
    /// The resource, whatever its version.
    pub fn group_resource(&self) -> GroupResource<'_> {
        GroupResource::new(self.resource.group, self.resource.plural)
    }

    /// Whether this is about objects of a resource themselves (not a subresource).
    pub fn is(&self, resource: GroupResource<'_>) -> bool {
        self.is_part(resource, "")
    }

    /// Whether this is about this subresource of a resource.
    pub fn is_part(&self, resource: GroupResource<'_>, subresource: &str) -> bool {
        self.subresource == subresource && self.group_resource() == resource
    }

    /// The refusal of this request.
    pub fn forbidden(&self, why: &str) -> object::Status {
        object::Status::forbidden(self.resource.group, self.resource.plural, self.name, why)
    }
}
