//! What somebody wants to do, as every authorizer sees it.

use object::{FieldSelector, Selector};

use crate::request::RequestInfo;
use crate::user::User;

/// The version of a resource for questions that no request asks: any.
pub const ANY_VERSION: &str = "*";

/// What somebody wants to do. It is read once from a request, or made by code that asks about a right.
#[derive(Clone, Copy, Debug)]
pub struct Attributes<'a> {
    /// Who.
    pub user: &'a User,
    /// The verb.
    pub verb: &'a str,
    /// The target.
    pub target: Target<'a>,
    /// Which objects of a collection are asked for: the very selector that the collection obeys.
    pub fields: Option<&'a FieldSelector>,
    /// The same by labels.
    pub labels: Option<&'a Selector>,
}

impl<'a> Attributes<'a> {
    /// A user's verb on a target.
    pub fn new(user: &'a User, verb: &'a str, target: Target<'a>) -> Attributes<'a> {
        Attributes { user, verb, target, fields: None, labels: None }
    }

    /// What a request of this user asks for.
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

/// What a verb is about.
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
        /// The subresource, or nothing.
        subresource: &'a str,
        /// The namespace, or nothing.
        namespace: &'a str,
        /// The object's name, or nothing.
        name: &'a str,
    },
    /// Any other path.
    Path(&'a str),
}
