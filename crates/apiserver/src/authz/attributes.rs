//! A requested action, as every authorizer sees it.

use object::{FieldSelector, Selector};

use crate::request::RequestInfo;
use crate::user::User;

/// The version of a resource in checks without a request: any.
pub const ANY_VERSION: &str = "*";

/// A requested action. It is parsed once from a request, or created by code that checks a right.
#[derive(Clone, Copy, Debug)]
pub struct Attributes<'a> {
    /// The user.
    pub user: &'a User,
    /// The verb.
    pub verb: &'a str,
    /// The target.
    pub target: Target<'a>,
    /// The requested objects of a collection: the same selector that is applied to the collection.
    pub fields: Option<&'a FieldSelector>,
    /// Likewise by labels.
    pub labels: Option<&'a Selector>,
}

impl<'a> Attributes<'a> {
    /// A user's verb on a target.
    pub fn new(user: &'a User, verb: &'a str, target: Target<'a>) -> Attributes<'a> {
        Attributes { user, verb, target, fields: None, labels: None }
    }

    /// The action of this user's request.
    pub fn of(user: &'a User, info: &'a RequestInfo) -> Attributes<'a> {
        let target = if info.is_resource {
            Target::Resource {
                group: &info.group,
                version: &info.version,
                resource: &info.resource,
                subresource: &info.subresource,
                namespace: &info.namespace,
                name: &info.name,
            }
        } else {
            Target::Path(&info.path)
        };
        Attributes {
            fields: info.authorized_fields(),
            labels: info.authorized_labels(),
            ..Attributes::new(user, &info.verb, target)
        }
    }
}

/// The target of a verb.
#[derive(Clone, Copy, Debug)]
pub enum Target<'a> {
    /// A resource.
    Resource {
        /// The group.
        group: &'a str,
        /// The version, or [`ANY_VERSION`].
        version: &'a str,
        /// The plural name.
        resource: &'a str,
        /// The subresource; empty for the object itself.
        subresource: &'a str,
        /// The namespace; empty for none.
        namespace: &'a str,
        /// The object's name; empty for none.
        name: &'a str,
    },
    /// Any other path.
    Path(&'a str),
}
