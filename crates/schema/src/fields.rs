//! Types and their fields.

use std::borrow::Cow;
use std::ops::Deref;
use std::sync::Arc;

/// A reference to a type: of the generated table, or compiled from a CustomResourceDefinition.
#[derive(Clone, Debug)]
pub enum TypeRef {
    /// A type of the built-in table.
    Static(&'static TypeDef),
    /// A type that was compiled at run time.
    Shared(Arc<TypeDef>),
}

impl Deref for TypeRef {
    type Target = TypeDef;
    fn deref(&self) -> &TypeDef {
        match self {
            TypeRef::Static(def) => def,
            TypeRef::Shared(def) => def,
        }
    }
}

/// One API type: a message in protobuf, an object in JSON.
#[derive(Debug)]
pub struct TypeDef {
    /// The name in OpenAPI, for example `io.k8s.api.core.v1.Pod`.
    pub name: Cow<'static, str>,
    /// The fields in ascending order of their protobuf numbers, which is the order that upstream
    /// encodes them in; fields without a number come last, in the order of their names.
    pub fields: Cow<'static, [Field]>,
    /// Keeps fields that the table does not know (`x-kubernetes-preserve-unknown-fields`).
    pub preserves_unknown: bool,
    /// The whole object is replaced as one by server-side apply (`x-kubernetes-map-type: atomic`).
    pub atomic: bool,
}

impl TypeDef {
    /// The field with this JSON name.
    pub fn field(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|field| field.name == name)
    }

    /// The field with this protobuf number.
    pub fn field_by_number(&self, number: u32) -> Option<&Field> {
        self.fields.iter().find(|field| field.number == number)
    }
}

/// One field of a type.
#[derive(Clone, Debug)]
pub struct Field {
    /// The JSON name.
    pub name: Cow<'static, str>,
    /// The protobuf field number; 0 where the field has none (custom resources, `apiVersion` and `kind`).
    pub number: u32,
    /// One value, a list or a map with string keys.
    pub shape: Shape,
    /// The type of the value, of a list's items or of a map's values.
    pub ty: FieldType,
    /// Go holds the value behind a pointer, so that an explicit zero differs from absence. Go encodes
    /// fields that are no pointers even when they are zero; a decoder must drop such zeros.
    pub pointer: bool,
    /// Go's JSON tag lacks `omitempty`: the JSON form always shows the field, `null` or zero if unset.
    pub always_in_json: bool,
    /// OpenAPI lists the field as required.
    pub required: bool,
    /// The type's fields stand directly in the parent's JSON object (Go embeds it), while protobuf nests it.
    pub inline: bool,
    /// How server-side apply merges a list.
    pub list_type: ListType,
    /// The keys of an associative list (`x-kubernetes-list-map-keys`).
    pub list_map_keys: Cow<'static, [Cow<'static, str>]>,
    /// A map that server-side apply replaces as one.
    pub atomic_map: bool,
    /// How strategic merge patch treats the field.
    pub patch: PatchStrategy,
    /// The default as JSON text, where the API definition states one.
    pub default: Option<Cow<'static, str>>,
}

/// How many values a field holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// One value.
    Single,
    /// A list.
    List,
    /// A map with string keys (a repeated key-value message in protobuf; Go encodes it sorted by key).
    Map,
}

/// The type of a value. The variants from [`FieldType::Time`] on have a JSON form of their own.
#[derive(Clone, Debug)]
pub enum FieldType {
    /// `true` or `false`.
    Bool,
    /// A 32-bit integer.
    Int32,
    /// A 64-bit integer.
    Int64,
    /// A double.
    Double,
    /// A UTF-8 string.
    String,
    /// Bytes: base64 text in JSON.
    Bytes,
    /// A message with fields of its own.
    Message(TypeRef),
    /// `metav1.Time`: RFC 3339 with seconds in JSON; `{1: seconds, 2: nanos}` in protobuf.
    Time,
    /// `metav1.MicroTime`: RFC 3339 with six digits of fraction in JSON; as [`FieldType::Time`] in protobuf.
    MicroTime,
    /// `metav1.Duration`: Go's duration text in JSON; `{1: nanoseconds}` in protobuf.
    Duration,
    /// `resource.Quantity`: a string (or a number, when read) in JSON; `{1: text}` in protobuf.
    Quantity,
    /// `intstr.IntOrString`: `{1: kind, 2: int, 3: text}` in protobuf; kind 0 is the integer.
    IntOrString,
    /// `runtime.RawExtension`: any object; `{1: JSON bytes}` in protobuf.
    RawExtension,
    /// `metav1.FieldsV1`: any object; `{1: JSON bytes}` in protobuf.
    FieldsV1,
    /// `apiextensions.JSON`: any JSON value; `{1: JSON bytes}` in protobuf.
    Json,
    /// A schema or a list of schemas: `{1: schema, 2: repeated schemas}` in protobuf.
    JsonSchemaOrArray(TypeRef),
    /// A schema or a truth value: `{1: allows, 2: schema}` in protobuf.
    JsonSchemaOrBool(TypeRef),
    /// A schema or a list of strings: `{1: schema, 2: repeated strings}` in protobuf.
    JsonSchemaOrStringArray(TypeRef),
    /// A list of strings that protobuf wraps into a message of its own: `{1: repeated strings}`
    /// (`authentication.ExtraValue` and its like, as values of a map).
    StringList,
}

/// How server-side apply merges a list (`x-kubernetes-list-type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListType {
    /// Replaced as one.
    Atomic,
    /// A set of scalars.
    Set,
    /// Items with keys.
    Map,
}

/// How strategic merge patch treats a field (`x-kubernetes-patch-strategy`, `-merge-key`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PatchStrategy {
    /// Lists merge by item instead of being replaced.
    pub merge: bool,
    /// The patch names all the keys that stay (`retainKeys`).
    pub retain_keys: bool,
    /// The key by which items of a list are the same; `None` for lists of scalars.
    pub merge_key: Option<Cow<'static, str>>,
}

impl PatchStrategy {
    /// Maps merge, lists are replaced: what holds where the API definition says nothing.
    pub const DEFAULT: PatchStrategy = PatchStrategy { merge: false, retain_keys: false, merge_key: None };
}
