//! Types and their fields.

use std::borrow::Cow;
use std::ops::Deref;
use std::sync::Arc;

use crate::FieldIndex;

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
    /// encodes them in; fields without a number come last, in the order of their names. `apiVersion` and `kind`
    /// of kinds are such fields: in protobuf they stand in the envelope only.
    pub fields: Cow<'static, [Field]>,
    /// Keeps fields that the table does not know (`x-kubernetes-preserve-unknown-fields`).
    pub preserves_unknown: bool,
    /// The whole object is replaced as one by server-side apply (`x-kubernetes-map-type: atomic`).
    pub atomic: bool,
    /// An object in its own right inside of another, with `apiVersion`, `kind` and `metadata`
    /// (`x-kubernetes-embedded-resource`).
    pub embedded: bool,
    /// The OpenAPI schema that a custom resource's type was compiled from, as JSON text. Only the type of whole objects
    /// has one.
    pub source: Option<Arc<str>>,
    /// Where the fields are by their names.
    pub index: FieldIndex,
}

impl TypeDef {
    /// The type's own field with this JSON name; not those of embedded types, see [`TypeDef::lookup`].
    pub fn field(&self, name: &str) -> Option<&Field> {
        self.index.find(&self.fields, name, |field| (!field.inline).then_some(&*field.name))
    }

    /// The field that an object of this type shows under this JSON name, also where the field belongs to an
    /// embedded type.
    ///
    /// ```
    /// let volume = schema::type_by_name("io.k8s.api.core.v1.Volume").unwrap();
    /// let place = volume.lookup("hostPath").unwrap();
    /// assert_eq!(place.field.name, "hostPath");
    /// assert_eq!(place.through[0].unwrap().name, "volumeSource");
    /// ```
    pub fn lookup(&self, name: &str) -> Option<Place<'_>> {
        if let Some(field) = self.field(name) {
            return Some(Place { through: [None; EMBEDDING_MAX], field });
        }
        self.fields.iter().filter(|field| field.inline).find_map(|own| {
            let mut place = own.message()?.lookup(name)?;
            place.through.rotate_right(1);
            place.through[0] = Some(own);
            Some(place)
        })
    }

    /// Calls `visit` with every field as JSON shows them: those of embedded types in place of the embedding.
    pub fn for_each_json_field<'a>(&'a self, visit: &mut dyn FnMut(&'a Field)) {
        for field in self.fields.iter() {
            match field.message().filter(|_| field.inline) {
                Some(embedded) => embedded.for_each_json_field(visit),
                None => visit(field),
            }
        }
    }

    /// The field with this protobuf number.
    pub fn field_by_number(&self, number: u32) -> Option<&Field> {
        self.fields.iter().find(|field| field.number == number && number != 0)
    }
}

/// How deep types of the API embed others: `NamedRuleWithOperations`, `RuleWithOperations`, `Rule`.
pub const EMBEDDING_MAX: usize = 2;

/// The field to which a JSON name leads.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// The embedding fields on the way, outermost first; protobuf nests the field in their messages.
    pub through: [Option<&'a Field>; EMBEDDING_MAX],
    /// The field.
    pub field: &'a Field,
}

/// One field of a type.
#[derive(Clone, Debug)]
pub struct Field {
    /// The JSON name; of an embedding the name of its type.
    pub name: Cow<'static, str>,
    /// The protobuf field number; 0 if the field has none (custom resources, `apiVersion` and `kind`).
    pub number: u32,
    /// One value, a list or a map with string keys.
    pub shape: Shape,
    /// The type of the value, of a list's items or of a map's values.
    pub ty: FieldType,
    /// Go can distinguish an explicit zero from absence: the value is behind a pointer, or is a byte slice. Go encodes
    /// other single fields even when they are zero; a decoder must drop such zeros. Always false for lists and maps,
    /// which are absent when they are empty.
    pub pointer: bool,
    /// Go's JSON form always shows the field, `null`, zero or `{}` if unset: its tag lacks `omitempty`, or it
    /// is a struct by value, which `omitempty` does not leave out.
    pub always_in_json: bool,
    /// OpenAPI lists the field as required.
    pub required: bool,
    /// The type's fields are directly in the parent's JSON object (Go embeds it), while protobuf nests it. The name is
    /// then that of the type, and appears in no encoding; see [`TypeDef::lookup`].
    pub inline: bool,
    /// How server-side apply merges a list.
    pub list_type: ListType,
    /// The keys of an associative list (`x-kubernetes-list-map-keys`).
    pub list_map_keys: Cow<'static, [Cow<'static, str>]>,
    /// A map or an object that server-side apply replaces as one (`x-kubernetes-map-type: atomic` of the field).
    pub atomic_map: bool,
    /// An object that server-side apply merges by field although its type is atomic
    /// (`x-kubernetes-map-type: granular` of the field).
    pub granular: bool,
    /// How strategic merge patch treats the field.
    pub patch: PatchStrategy,
    /// The default as JSON text, if the API definition states one.
    pub default: Option<Cow<'static, str>>,
    /// Whether `null` may stand for the value (custom resources only).
    pub nullable: bool,
}

impl Field {
    /// The message type of the value, of items or of map values.
    pub fn message(&self) -> Option<&TypeDef> {
        match &self.ty {
            FieldType::Message(ty) => Some(ty),
            _ => None,
        }
    }
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

/// The type of a value. The variants from [`FieldType::Time`] on have a special JSON form.
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
    /// A message with its own fields.
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
    /// A list of strings that protobuf wraps into a message: `{1: repeated strings}` (such as
    /// `authentication.ExtraValue`, as values of a map).
    StringList,
    /// A value inside another one that is more than a plain type: a list in a list, a map in a map, an item with its
    /// own default. Its name has no meaning. Custom resources only.
    Nested(Arc<Field>),
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
    /// The object is replaced instead of being merged by field.
    pub replace: bool,
    /// The patch names all the keys that stay (`retainKeys`).
    pub retain_keys: bool,
    /// The key by which items of a list are the same; `None` for lists of scalars.
    pub merge_key: Option<Cow<'static, str>>,
}

impl PatchStrategy {
    /// Maps merge, lists are replaced: what holds where the API definition says nothing.
    pub const DEFAULT: PatchStrategy =
        PatchStrategy { merge: false, replace: false, retain_keys: false, merge_key: None };
}
