//! Served resources.

use std::borrow::Cow;

use crate::TypeRef;

/// One served resource of one group version.
#[derive(Clone, Debug)]
pub struct ResourceDef {
    /// The API group; empty for the core group.
    pub group: Cow<'static, str>,
    /// The version, for example `v1`.
    pub version: Cow<'static, str>,
    /// The kind, for example `Pod`.
    pub kind: Cow<'static, str>,
    /// The plural name, as in URLs.
    pub plural: Cow<'static, str>,
    /// The singular name.
    pub singular: Cow<'static, str>,
    /// The kind of a list of it; empty if the resource cannot be listed.
    pub list_kind: Cow<'static, str>,
    /// Namespaced or cluster-wide.
    pub scope: Scope,
    /// The verbs of the resource itself.
    pub verbs: Cow<'static, [Verb]>,
    /// Short names, as kubectl knows them.
    pub short_names: Cow<'static, [Cow<'static, str>]>,
    /// Categories such as `all`.
    pub categories: Cow<'static, [Cow<'static, str>]>,
    /// The subresources, by name.
    pub subresources: Cow<'static, [SubresourceDef]>,
    /// The type of the object.
    pub ty: TypeRef,
}

impl ResourceDef {
    /// The subresource with this name.
    pub fn subresource(&self, name: &str) -> Option<&SubresourceDef> {
        self.subresources.iter().find(|subresource| subresource.name == name)
    }

    /// Whether the resource itself, not a subresource, supports the verb.
    pub fn supports(&self, verb: Verb) -> bool {
        self.verbs.contains(&verb)
    }
}

/// One subresource, for example `pods/status`.
#[derive(Clone, Debug)]
pub struct SubresourceDef {
    /// The name behind the slash.
    pub name: Cow<'static, str>,
    /// The group of the kind in bodies and answers; it may differ from the resource's.
    pub group: Cow<'static, str>,
    /// The version of that kind.
    pub version: Cow<'static, str>,
    /// The kind of bodies and answers; of connections the kind of their options, as discovery shows it.
    pub kind: Cow<'static, str>,
    /// The verbs.
    pub verbs: Cow<'static, [Verb]>,
    /// The type of the body; `None` for connections and plain text (exec, log, proxy).
    pub ty: Option<TypeRef>,
}

/// Whether a resource lives in namespaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// In a namespace.
    Namespaced,
    /// Cluster-wide.
    Cluster,
}

/// A verb of the API, as authorization and discovery name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Verb {
    /// `create`
    Create,
    /// `delete`
    Delete,
    /// `deletecollection`
    DeleteCollection,
    /// `get`
    Get,
    /// `list`
    List,
    /// `patch`
    Patch,
    /// `update`
    Update,
    /// `watch`
    Watch,
}

impl Verb {
    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Verb::Create => "create",
            Verb::Delete => "delete",
            Verb::DeleteCollection => "deletecollection",
            Verb::Get => "get",
            Verb::List => "list",
            Verb::Patch => "patch",
            Verb::Update => "update",
            Verb::Watch => "watch",
        }
    }
}
