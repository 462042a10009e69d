//! One version of one stored object, shared by everything in the process.
//!
//! The watch cache and all informers hold the same [`Versioned`]: the canonical JSON, the facts needed for keys and
//! selectors, and further forms (typed, protobuf) that are made on first use and then shared. A version never changes;
//! a write makes a new one.
//!
//! A store keeps objects without a resource version, because that is the store's own revision. So that both need the
//! text only once, a [`Versioned`] made from a store holds the store's [`Text`] and inserts the resource version when it
//! writes it.

use std::any::Any;
use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, OnceLock};

use bytes::{BufMut, Bytes, BytesMut};
use schema::TypeDef;
use serde::de::DeserializeOwned;
use texts::Text;

use crate::{Pairs, Value, Word, json, protobuf};

mod facts;
mod fields;
#[cfg(test)]
mod tests;

use facts::Facts;
pub use fields::FieldValues;

/// A namespaced name, which identifies an object in work queues, indexes and references.
///
/// ```
/// use object::ObjectKey;
/// let key: ObjectKey = "default/web".parse().unwrap();
/// assert_eq!(key, ObjectKey::namespaced("default", "web"));
/// assert_eq!(ObjectKey::cluster("node-1").to_string(), "node-1");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectKey {
    /// The namespace; `None` for objects of the cluster.
    pub namespace: Option<Arc<str>>,
    /// The name.
    pub name: Arc<str>,
}

impl ObjectKey {
    /// The key of an object in a namespace. An empty namespace means none.
    pub fn namespaced(namespace: impl Into<Arc<str>>, name: impl Into<Arc<str>>) -> ObjectKey {
        let namespace = Some(namespace.into()).filter(|namespace| !namespace.is_empty());
        ObjectKey { namespace, name: name.into() }
    }

    /// The key of an object of the cluster.
    pub fn cluster(name: impl Into<Arc<str>>) -> ObjectKey {
        ObjectKey { namespace: None, name: name.into() }
    }

    /// The key of an object by its `metadata`. The objects of a namespace share its name.
    pub fn of(object: &Value) -> ObjectKey {
        let namespace = Word::from(object.str_at("metadata.namespace"));
        ObjectKey::namespaced(namespace, object.str_at("metadata.name"))
    }

    /// The namespace; `""` for objects of the cluster.
    pub fn namespace(&self) -> &str {
        self.namespace.as_deref().unwrap_or_default()
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(f, "{namespace}/{}", self.name),
            None => f.write_str(&self.name),
        }
    }
}

/// Text that is no `namespace/name` and no `name`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unexpected key format: {0:?}")]
pub struct KeyError(String);

impl FromStr for ObjectKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<ObjectKey, KeyError> {
        match text.split_once('/') {
            None if !text.is_empty() => Ok(ObjectKey::cluster(text)),
            Some((namespace, name)) if !namespace.is_empty() && !name.is_empty() && !name.contains('/') => {
                Ok(ObjectKey::namespaced(namespace, name))
            }
            _ => Err(KeyError(text.to_owned())),
        }
    }
}

/// The `metadata.uid` of an object: it distinguishes objects that had the same name one after the other.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Uid(Arc<str>);

impl Uid {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Uid {
    fn from(uid: &str) -> Uid {
        Uid(uid.into())
    }
}

impl fmt::Display for Uid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The `apiVersion` and `kind` of objects; one value is shared by all objects of a cache.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TypeMeta {
    /// `v1` or `GROUP/VERSION`
    pub api_version: Box<str>,
    /// For example `Pod`
    pub kind: Box<str>,
}

impl TypeMeta {
    /// The names of a kind.
    pub fn new(api_version: &str, kind: &str) -> Arc<TypeMeta> {
        Arc::new(TypeMeta { api_version: api_version.into(), kind: kind.into() })
    }
}

/// Why an object could not become, or be turned into another form of, a [`Versioned`].
#[derive(Debug, thiserror::Error)]
pub enum VersionedError {
    /// The stored bytes are not a JSON object.
    #[error("stored object")]
    Json(#[from] json::JsonError),
    /// The resource version is not a decimal number.
    #[error("invalid resource version {0:?}")]
    ResourceVersion(String),
    /// The object does not fit the typed form.
    #[error("typed form of {key}")]
    Typed {
        /// Which object
        key: ObjectKey,
        /// What does not fit
        source: serde_json::Error,
    },
    /// The object cannot be encoded as protobuf.
    #[error("protobuf form of {key}")]
    Protobuf {
        /// Which object
        key: ObjectKey,
        /// What does not fit
        source: protobuf::EncodeError,
    },
}

/// One version of one object. Cheap to clone: clones share everything.
///
/// ```
/// use object::{TypeMeta, Versioned, value};
/// let pod = value!({"metadata": {"name": "web", "namespace": "default", "resourceVersion": "7"}});
/// let fields = [("spec.nodeName", "n1")].into_iter().collect();
/// let pod = Versioned::from_value(TypeMeta::new("v1", "Pod"), &pod, fields).unwrap();
/// assert_eq!(pod.key().to_string(), "default/web");
/// assert_eq!((pod.resource_version(), pod.field("spec.nodeName")), (7, Some("n1")));
/// ```
#[derive(Clone)]
pub struct Versioned(Arc<Inner>);

struct Inner {
    type_meta: Arc<TypeMeta>,
    facts: Arc<Facts>,
    resource_version: u64,
    json: Json,
    /// Few versions are asked for one.
    forms: OnceLock<Box<Forms>>,
}

/// Forms that are made on first use.
#[derive(Default)]
struct Forms {
    typed: OnceLock<Arc<dyn Any + Send + Sync>>,
    protobuf: OnceLock<Bytes>,
}

/// The text of a version.
#[derive(Clone)]
enum Json {
    /// All of it.
    Whole(Bytes),
    /// The stored form, which shares this text: everything except the resource version, which belongs at this
    /// position, after the brace that opens `metadata`.
    Stored { text: Text, metadata_at: usize },
}

impl Versioned {
    /// A version from its tree, which is encoded once, here. `fields` are the values of the kind's
    /// registered field selectors; `metadata.name` and `metadata.namespace` need not be among them.
    pub fn from_value(
        type_meta: Arc<TypeMeta>,
        object: &Value,
        fields: FieldValues,
    ) -> Result<Versioned, VersionedError> {
        Versioned::whole(type_meta, object, json::to_bytes(object), fields)
    }

    /// A version from its canonical JSON, which is kept as it is. `fields` returns the values of the kind's registered
    /// field selectors.
    pub fn from_json(
        type_meta: Arc<TypeMeta>,
        json: Bytes,
        fields: impl FnOnce(&Value) -> FieldValues,
    ) -> Result<Versioned, VersionedError> {
        let object = json::parse(&json)?;
        let fields = fields(&object);
        Versioned::whole(type_meta, &object, json, fields)
    }

    /// A version from its stored form: its JSON without the resource version, which is the store's revision.
    /// `metadata_at` is the offset after the brace that opens `metadata`. The text is shared, not copied.
    pub fn from_stored(
        type_meta: Arc<TypeMeta>,
        text: Text,
        metadata_at: usize,
        resource_version: u64,
        fields: impl FnOnce(&Value) -> FieldValues,
    ) -> Result<Versioned, VersionedError> {
        let object = json::parse(&text.to_cow())?;
        let fields = fields(&object);
        let json = Json::Stored { text, metadata_at };
        Ok(Versioned::new(type_meta, Facts::of(&object, fields, None), resource_version, json))
    }

    /// An object that is about to be stored, of resource version 0: `text` is `object` as JSON, and `metadata_at` as
    /// in [`Versioned::from_stored`]. Once it is stored, [`Versioned::at_version`] makes its version. What is equal in an
    /// earlier version of the object is shared with that.
    pub fn draft(
        type_meta: Arc<TypeMeta>,
        object: &Value,
        text: Text,
        metadata_at: usize,
        fields: FieldValues,
        previous: Option<&Versioned>,
    ) -> Versioned {
        let facts = Facts::of(object, fields, previous.map(|previous| &previous.0.facts));
        Versioned::new(type_meta, facts, 0, Json::Stored { text, metadata_at })
    }

    fn whole(
        type_meta: Arc<TypeMeta>,
        object: &Value,
        json: Bytes,
        fields: FieldValues,
    ) -> Result<Versioned, VersionedError> {
        let resource_version = match object.get("metadata").str_at("resourceVersion") {
            "" => 0,
            text => text.parse().map_err(|_| VersionedError::ResourceVersion(text.to_owned()))?,
        };
        Ok(Versioned::new(type_meta, Facts::of(object, fields, None), resource_version, Json::Whole(json)))
    }

    fn new(type_meta: Arc<TypeMeta>, facts: Arc<Facts>, resource_version: u64, json: Json) -> Versioned {
        Versioned(Arc::new(Inner { type_meta, facts, resource_version, json, forms: OnceLock::new() }))
    }

    /// The same object with another resource version.
    #[must_use]
    pub fn at_version(&self, resource_version: u64) -> Versioned {
        let json = match &self.0.json {
            Json::Stored { .. } => self.0.json.clone(),
            Json::Whole(_) => {
                let mut object = self.value();
                object.entry("metadata").set("resourceVersion", resource_version.to_string());
                Json::Whole(json::to_bytes(&object))
            }
        };
        let (type_meta, facts) = (Arc::clone(&self.0.type_meta), Arc::clone(&self.0.facts));
        Versioned::new(type_meta, facts, resource_version, json)
    }

    /// The `apiVersion`.
    pub fn api_version(&self) -> &str {
        &self.0.type_meta.api_version
    }

    /// The `kind`.
    pub fn kind(&self) -> &str {
        &self.0.type_meta.kind
    }

    /// Both, shared.
    pub fn type_meta(&self) -> &Arc<TypeMeta> {
        &self.0.type_meta
    }

    /// Namespace and name.
    pub fn key(&self) -> &ObjectKey {
        &self.0.facts.key
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.0.facts.key.name
    }

    /// The namespace; `""` for objects of the cluster.
    pub fn namespace(&self) -> &str {
        self.0.facts.key.namespace()
    }

    /// The UID; empty if the object had none.
    pub fn uid(&self) -> &Uid {
        &self.0.facts.uid
    }

    /// The resource version; 0 if the object had none.
    pub fn resource_version(&self) -> u64 {
        self.0.resource_version
    }

    /// Whether the object is being deleted (`metadata.deletionTimestamp` is set).
    pub fn is_deleting(&self) -> bool {
        self.0.facts.deleting
    }

    /// The labels.
    pub fn labels(&self) -> &Pairs {
        &self.0.facts.labels
    }

    /// The value of a label.
    pub fn label(&self, name: &str) -> Option<&str> {
        self.0.facts.labels.get(name)
    }

    /// The value of a field selector; `None` if the kind has not registered the field.
    pub fn field(&self, path: &str) -> Option<&str> {
        match path {
            "metadata.name" => Some(self.name()),
            "metadata.namespace" => Some(self.namespace()),
            _ => self.0.facts.fields.get(path),
        }
    }

    /// The canonical JSON, put together now where the store's bytes are shared.
    pub fn json(&self) -> Bytes {
        match &self.0.json {
            Json::Whole(text) => text.clone(),
            Json::Stored { .. } => {
                let mut json = BytesMut::with_capacity(self.json_len());
                self.write_json(&mut json);
                json.freeze()
            }
        }
    }

    /// The length of the canonical JSON.
    pub fn json_len(&self) -> usize {
        match &self.0.json {
            Json::Whole(text) => text.len(),
            Json::Stored { text, .. } if self.0.resource_version == 0 => text.len(),
            Json::Stored { text, metadata_at } => {
                let digits = self.0.resource_version.ilog10() as usize + 1;
                text.len() + VERSION_OPEN.len() + digits + version_close(text.byte(*metadata_at)).len()
            }
        }
    }

    /// Appends the canonical JSON.
    pub fn write_json(&self, out: &mut impl BufMut) {
        match &self.0.json {
            Json::Whole(text) => out.put_slice(text),
            Json::Stored { text, .. } if self.0.resource_version == 0 => {
                text.chunks().for_each(|chunk| out.put_slice(chunk));
            }
            Json::Stored { text, metadata_at } => self.write_stored(text, *metadata_at, out),
        }
    }

    /// Appends a stored form, with the resource version.
    fn write_stored(&self, text: &Text, metadata_at: usize, out: &mut impl BufMut) {
        // How far the place of the resource version is.
        let mut left = Some(metadata_at);
        for chunk in text.chunks() {
            match left {
                Some(before) if before < chunk.len() => {
                    let (head, rest) = chunk.split_at(before);
                    out.put_slice(head);
                    out.put_slice(VERSION_OPEN);
                    out.put_slice(itoa::Buffer::new().format(self.0.resource_version).as_bytes());
                    out.put_slice(version_close(rest.first().copied()));
                    out.put_slice(rest);
                    left = None;
                }
                before => {
                    left = before.map(|before| before - chunk.len());
                    out.put_slice(chunk);
                }
            }
        }
    }

    /// The stored form of this version; `None` if it was not made for a store.
    pub fn stored(&self) -> Option<&Text> {
        match &self.0.json {
            Json::Whole(_) => None,
            Json::Stored { text, .. } => Some(text),
        }
    }

    /// The tree, parsed now and not kept.
    pub fn value(&self) -> Value {
        json::parse(&self.json()).expect("the constructors parsed or wrote this JSON")
    }

    /// The typed form, decoded now and not kept: for those who keep it themselves, as informers do.
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T, VersionedError> {
        let typed = serde_json::from_slice(&self.json());
        typed.map_err(|source| VersionedError::Typed { key: self.key().clone(), source })
    }

    /// The typed form, decoded once per version: the first requested type is kept and shared for as long as the version
    /// lives, others are decoded each time. Only for kinds with few objects.
    pub fn typed<T: DeserializeOwned + Send + Sync + 'static>(&self) -> Result<Arc<T>, VersionedError> {
        self.kept(|| self.decode())
    }

    /// The tree, parsed once per version and kept as [`Versioned::typed`] keeps a typed form: for objects that many
    /// requests look at, such as a namespace or a service account.
    pub fn tree(&self) -> Arc<Value> {
        let Ok(tree) = self.kept(|| Ok::<_, Infallible>(self.value()));
        tree
    }

    /// The form that is kept if it is of this type or none is kept yet, and otherwise one of the caller's own.
    fn kept<T, E>(&self, make: impl FnOnce() -> Result<T, E>) -> Result<Arc<T>, E>
    where
        T: Send + Sync + 'static,
    {
        if let Some(kept) = self.0.forms.get().and_then(|forms| forms.typed.get())
            && let Ok(form) = Arc::clone(kept).downcast::<T>()
        {
            return Ok(form);
        }
        let form = Arc::new(make()?);
        // Two threads may both get here; all but the first result serve their caller only.
        let kept = self.forms().typed.get_or_init(|| Arc::clone(&form) as Arc<dyn Any + Send + Sync>);
        Ok(Arc::clone(kept).downcast().unwrap_or(form))
    }

    /// The protobuf message, without envelope, encoded once per version. `ty` is the type of the kind, the
    /// same in every call.
    pub fn protobuf(&self, ty: &TypeDef) -> Result<Bytes, VersionedError> {
        let message = self.protobuf_once(ty)?;
        Ok(self.forms().protobuf.get_or_init(|| message).clone())
    }

    /// The same message for who needs it once, such as a list: one that is kept already, or one that is not kept.
    ///
    /// # Errors
    /// As [`Versioned::protobuf`].
    pub fn protobuf_once(&self, ty: &TypeDef) -> Result<Bytes, VersionedError> {
        if let Some(kept) = self.0.forms.get().and_then(|forms| forms.protobuf.get()) {
            return Ok(kept.clone());
        }
        protobuf::encode_message(&self.value(), ty)
            .map_err(|source| VersionedError::Protobuf { key: self.key().clone(), source })
    }

    fn forms(&self) -> &Forms {
        self.0.forms.get_or_init(Box::default)
    }
}

/// How the resource version begins in `metadata`.
const VERSION_OPEN: &[u8] = b"\"resourceVersion\":\"";

/// How it ends, before this byte of `metadata`.
fn version_close(next: Option<u8>) -> &'static [u8] {
    if next == Some(b'}') { b"\"" } else { b"\"," }
}

impl fmt::Debug for Versioned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}@{}", self.kind(), self.key(), self.resource_version())
    }
}
