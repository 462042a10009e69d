//! The messages of a [`Connection`](crate::Connection): requests, answers, pages and watch events.

use std::borrow::Cow;
use std::fmt::{self, Write};

use bytes::Bytes;
use http::Method;
use object::{ObjectKey, Value, Versioned};
use serde::de::DeserializeOwned;

use crate::ClientError;

/// A verb of the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verb {
    /// Reads one object or subresource.
    Get,
    /// Reads a collection.
    List,
    /// Follows a collection.
    Watch,
    /// Creates an object, or a subresource such as a binding.
    Create,
    /// Replaces an object.
    Update,
    /// Changes parts of an object.
    Patch,
    /// Deletes one object.
    Delete,
    /// Deletes a collection.
    DeleteCollection,
}

impl Verb {
    /// The HTTP method that carries the verb.
    pub fn method(self) -> Method {
        match self {
            Verb::Get | Verb::List | Verb::Watch => Method::GET,
            Verb::Create => Method::POST,
            Verb::Update => Method::PUT,
            Verb::Patch => Method::PATCH,
            Verb::Delete | Verb::DeleteCollection => Method::DELETE,
        }
    }

    /// The name, as authorization knows it.
    pub fn as_str(self) -> &'static str {
        match self {
            Verb::Get => "get",
            Verb::List => "list",
            Verb::Watch => "watch",
            Verb::Create => "create",
            Verb::Update => "update",
            Verb::Patch => "patch",
            Verb::Delete => "delete",
            Verb::DeleteCollection => "deletecollection",
        }
    }
}

/// A served resource of one group version, known at compile time or found by discovery.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ResourceType {
    /// The API group; empty for the core group.
    pub group: Cow<'static, str>,
    /// The version, for example `v1`.
    pub version: Cow<'static, str>,
    /// The plural name, as in URLs.
    pub plural: Cow<'static, str>,
    /// The kind.
    pub kind: Cow<'static, str>,
}

impl ResourceType {
    /// The resource of a typed kind.
    pub const fn of<K: k8s_openapi::Resource>() -> ResourceType {
        ResourceType {
            group: Cow::Borrowed(K::GROUP),
            version: Cow::Borrowed(K::VERSION),
            plural: Cow::Borrowed(K::URL_PATH_SEGMENT),
            kind: Cow::Borrowed(K::KIND),
        }
    }

    /// The `apiVersion`: `v1` or `GROUP/VERSION`.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.to_string()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }
}

impl fmt::Display for ResourceType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.group.is_empty() {
            write!(f, "{}/{}", self.plural, self.version)
        } else {
            write!(f, "{}.{}/{}", self.plural, self.group, self.version)
        }
    }
}

/// The target of a request: a collection, an object or a subresource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The resource.
    pub resource: ResourceType,
    /// The namespace; empty for resources of the cluster and for collections over all namespaces.
    pub namespace: String,
    /// The name; empty for collections.
    pub name: String,
    /// The subresource; empty for the object itself.
    pub subresource: String,
}

impl Target {
    /// A collection, in one namespace or in all (`""`).
    pub fn collection(resource: ResourceType, namespace: &str) -> Target {
        Target { resource, namespace: namespace.to_owned(), name: String::new(), subresource: String::new() }
    }

    /// One object.
    pub fn object(resource: ResourceType, key: &ObjectKey) -> Target {
        Target { name: key.name.to_string(), ..Target::collection(resource, key.namespace()) }
    }

    /// The same object's subresource; an empty name means the object itself.
    pub fn subresource(mut self, name: &str) -> Target {
        name.clone_into(&mut self.subresource);
        self
    }

    /// The URL path.
    pub fn path(&self) -> String {
        let ResourceType { group, version, plural, .. } = &self.resource;
        let mut path =
            if group.is_empty() { format!("/api/{version}") } else { format!("/apis/{group}/{version}") };
        if !self.namespace.is_empty() {
            path.push_str("/namespaces/");
            encode_into(&mut path, &self.namespace);
        }
        path.push('/');
        path.push_str(plural);
        for part in [&self.name, &self.subresource] {
            if !part.is_empty() {
                path.push('/');
                encode_into(&mut path, part);
            }
        }
        path
    }
}

/// The media type of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContentType {
    /// An object as JSON.
    Json,
    /// A list of operations (RFC 6902).
    JsonPatch,
    /// A partial object (RFC 7386).
    MergePatch,
    /// A partial object whose lists merge by the keys of the API definition.
    StrategicMergePatch,
    /// The fields that a manager wants to own (server-side apply).
    ApplyPatch,
}

impl ContentType {
    /// The value of the `Content-Type` header.
    pub fn as_str(self) -> &'static str {
        match self {
            ContentType::Json => "application/json",
            ContentType::JsonPatch => "application/json-patch+json",
            ContentType::MergePatch => "application/merge-patch+json",
            ContentType::StrategicMergePatch => "application/strategic-merge-patch+json",
            ContentType::ApplyPatch => "application/apply-patch+yaml",
        }
    }
}

/// One request.
#[derive(Clone, Debug)]
pub struct Request {
    /// The verb.
    pub verb: Verb,
    /// The target.
    pub target: Target,
    /// The query parameters, not yet percent-encoded.
    pub query: Vec<(Cow<'static, str>, String)>,
    /// The media type of the body.
    pub content_type: ContentType,
    /// The body, `null` where the verb has none. A connection across a network encodes it; one in the server's own
    /// process hands it over as it is.
    pub body: Value,
    /// The caller reads only the metadata of objects. A connection to which the rest is a cost may omit it
    /// (`PartialObjectMetadata`); one that shares whole objects need not.
    pub metadata_only: bool,
}

impl Request {
    /// A request without query and body.
    pub fn new(verb: Verb, target: Target) -> Request {
        Request {
            verb,
            target,
            query: Vec::new(),
            content_type: ContentType::Json,
            body: Value::Null,
            metadata_only: false,
        }
    }

    /// The same request with a body. An object to be created has no resource version yet.
    pub fn body(mut self, content_type: ContentType, body: Value) -> Request {
        debug_assert!(
            self.verb != Verb::Create
                || !self.target.subresource.is_empty()
                || body.str_at("metadata.resourceVersion").is_empty(),
            "the server refuses to create {}: it has a resource version",
            self.target.path()
        );
        self.content_type = content_type;
        self.body = body;
        self
    }

    /// Adds a query parameter unless its value is empty.
    pub fn query(mut self, name: &'static str, value: impl Into<String>) -> Request {
        let value = value.into();
        if !value.is_empty() {
            self.query.push((Cow::Borrowed(name), value));
        }
        self
    }

    /// The URL path and the percent-encoded query.
    pub fn path_and_query(&self) -> String {
        let mut text = self.target.path();
        let watch = (self.verb == Verb::Watch).then_some(("watch", "true"));
        let query = self.query.iter().map(|(name, value)| (&**name, value.as_str()));
        for (index, (name, value)) in watch.into_iter().chain(query).enumerate() {
            text.push(if index == 0 { '?' } else { '&' });
            encode_into(&mut text, name);
            text.push('=');
            encode_into(&mut text, value);
        }
        text
    }
}

/// Percent-encodes all characters except those that are unreserved in URLs (RFC 3986, 2.3).
fn encode_into(text: &mut String, part: &str) {
    for byte in part.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            text.push(char::from(byte));
        } else {
            write!(text, "%{byte:02X}").expect("writing to a string cannot fail");
        }
    }
}

/// A successful answer.
#[derive(Clone, Debug, Default)]
pub struct Response {
    /// The HTTP status code: 200, 201 or 202.
    pub code: u16,
    /// The body.
    pub body: Content,
    /// The texts of the `Warning` headers.
    pub warnings: Vec<String>,
}

/// What an answer holds, as its connection has it.
#[derive(Clone, Debug)]
pub enum Content {
    /// Text: JSON unless the request asked for something else.
    Text(Bytes),
    /// An object that the server's watch cache shares with its clients in the same process.
    Version(Versioned),
    /// A tree: what is not stored, such as a status or a scale.
    Tree(Value),
}

impl Default for Content {
    fn default() -> Content {
        Content::Text(Bytes::new())
    }
}

impl Content {
    /// The text, put together now if the answer came in another form.
    pub fn text(&self) -> Bytes {
        match self {
            Content::Text(text) => text.clone(),
            Content::Version(version) => version.json(),
            Content::Tree(tree) => object::json::to_bytes(tree),
        }
    }

    /// The object, decoded as a `T`; `what` names it in the error.
    ///
    /// # Errors
    /// [`ClientError::Decode`] if it is not a `T`.
    pub fn decode<T: DeserializeOwned>(&self, what: &str) -> Result<T, ClientError> {
        match self {
            Content::Text(text) => {
                serde_json::from_slice(text).map_err(|error| ClientError::decode(what, error))
            }
            Content::Version(version) => version.decode().map_err(|error| ClientError::decode(what, error)),
            Content::Tree(tree) => object::from_value(tree).map_err(|error| ClientError::decode(what, error)),
        }
    }
}

/// One page of a collection.
#[derive(Clone, Debug, Default)]
pub struct ListPage {
    /// The objects.
    pub items: Vec<Versioned>,
    /// The collection's resource version, from which a watch may follow.
    pub resource_version: String,
    /// The token of the next page; empty on the last.
    pub continue_token: String,
}

/// One event of a watch.
#[derive(Clone, Debug)]
pub enum WatchEvent {
    /// The object was created, or started to match the selectors.
    Added(Versioned),
    /// The object changed.
    Modified(Versioned),
    /// The object was deleted, or no longer matches; this is its last state, at the version of the deletion.
    Deleted(Versioned),
    /// Nothing that matches changed up to this version.
    Bookmark {
        /// The version from which a new watch can continue.
        resource_version: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::apps::v1::Deployment;
    use k8s_openapi::api::core::v1::{Namespace, Pod};

    #[test]
    fn paths_follow_group_scope_and_subresource() {
        let web = ObjectKey::namespaced("default", "web");
        let cases = [
            (Target::collection(ResourceType::of::<Pod>(), ""), "/api/v1/pods"),
            (Target::collection(ResourceType::of::<Pod>(), "a"), "/api/v1/namespaces/a/pods"),
            (
                Target::object(ResourceType::of::<Namespace>(), &ObjectKey::cluster("a")),
                "/api/v1/namespaces/a",
            ),
            (
                Target::object(ResourceType::of::<Deployment>(), &web).subresource("status"),
                "/apis/apps/v1/namespaces/default/deployments/web/status",
            ),
            (
                Target::object(ResourceType::of::<Pod>(), &ObjectKey::namespaced("a", "b/c")),
                "/api/v1/namespaces/a/pods/b%2Fc",
            ),
        ];
        for (target, path) in cases {
            assert_eq!(target.path(), path);
        }
    }

    #[test]
    fn queries_are_encoded_and_empty_values_left_out() {
        let request = Request::new(Verb::Watch, Target::collection(ResourceType::of::<Pod>(), ""))
            .query("labelSelector", "app in (a,b)")
            .query("fieldSelector", "");
        assert_eq!(request.path_and_query(), "/api/v1/pods?watch=true&labelSelector=app%20in%20%28a%2Cb%29");
    }
}
