//! From an OpenAPI v3 schema to a type of the table.

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::Arc;

use schema::{Field, FieldIndex, FieldType, ListType, PatchStrategy, Shape, TypeDef, TypeRef};

use super::Structural;
use super::node;
use super::pattern::Patterns;
use super::problem::{CompileError, Problem, flag, refuse};
use crate::field::Path;
use crate::{Value, json};

pub(super) fn compile(name: &str, schema: &Value) -> Result<Structural, CompileError> {
    let path = Path::root("openAPIV3Schema");
    if schema.str_at("type") != "object" {
        return Err(refuse(&path, Problem::RootType));
    }
    let node = node::compile(schema, &mut Patterns::new(), &path)?;
    let mut whole = message(name, schema, true, &path)?;
    whole.source = Some(json_text(schema).into());
    let has_defaults = whole.fields.iter().any(has_default);
    Ok(Structural { ty: TypeRef::Shared(Arc::new(whole)), node, has_defaults })
}

fn json_text(value: &Value) -> String {
    String::from_utf8_lossy(&json::to_vec(value)).into_owned()
}

/// An object with declared members. `is_resource`: it has `apiVersion`, `kind` and `metadata`.
pub(super) fn message(
    name: &str,
    schema: &Value,
    is_resource: bool,
    path: &Path<'_>,
) -> Result<TypeDef, CompileError> {
    let mut fields = Vec::new();
    let properties = path.child("properties");
    for (member, schema) in schema.get("properties").entries() {
        if is_resource && ["apiVersion", "kind", "metadata"].contains(&member) {
            continue;
        }
        fields.push(field(member, schema, &properties.key(member))?);
    }
    let required: HashSet<&str> = schema.get("required").items().filter_map(Value::as_str).collect();
    for field in &mut fields {
        field.required = required.contains(&*field.name);
    }
    let embedded = flag(schema, "x-kubernetes-embedded-resource");
    if is_resource {
        // The fields of whole objects have no defaults.
        fields.extend(of_resource(embedded.then(|| schema.get("properties"))));
    }
    fields.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(TypeDef {
        name: Cow::Owned(name.to_owned()),
        fields: Cow::Owned(fields),
        preserves_unknown: flag(schema, "x-kubernetes-preserve-unknown-fields"),
        atomic: schema.str_at("x-kubernetes-map-type") == "atomic",
        embedded,
        source: None,
        index: FieldIndex::new(),
    })
}

/// A value with a name; items of lists and values of maps have an empty one.
fn field(name: &str, schema: &Value, path: &Path<'_>) -> Result<Field, CompileError> {
    let (shape, ty) = value_type(schema, path)?;
    let is_atomic = schema.str_at("x-kubernetes-map-type") == "atomic";
    let keys = schema.get("x-kubernetes-list-map-keys").items().filter_map(Value::as_str);
    Ok(Field {
        name: Cow::Owned(name.to_owned()),
        number: 0,
        shape,
        ty,
        pointer: true,
        always_in_json: false,
        required: false,
        inline: false,
        list_type: node::list_type(schema),
        list_map_keys: keys.map(|key| Cow::Owned(key.to_owned())).collect(),
        atomic_map: is_atomic,
        granular: false,
        patch: PatchStrategy::DEFAULT,
        default: default_text(schema),
        nullable: flag(schema, "nullable"),
    })
}

fn value_type(schema: &Value, path: &Path<'_>) -> Result<(Shape, FieldType), CompileError> {
    if flag(schema, "x-kubernetes-int-or-string") {
        return Ok((Shape::Single, FieldType::IntOrString));
    }
    let single = match schema.str_at("type") {
        "boolean" => FieldType::Bool,
        "integer" if schema.str_at("format") == "int32" => FieldType::Int32,
        "integer" => FieldType::Int64,
        "number" => FieldType::Double,
        "string" => FieldType::String,
        "object" => return object(schema, path),
        "array" if schema.get("items").as_map().is_none() => return Err(refuse(path, Problem::NoItems)),
        "array" => return Ok((Shape::List, inner(schema.get("items"), &path.child("items"))?)),
        "" if flag(schema, "x-kubernetes-preserve-unknown-fields") => {
            return match schema.get("properties").is_empty() {
                true => Ok((Shape::Single, FieldType::Json)),
                false => object(schema, path),
            };
        }
        "" => return Err(refuse(path, Problem::NoType)),
        unknown => return Err(refuse(path, Problem::UnknownType(unknown.to_owned()))),
    };
    Ok((Shape::Single, single))
}

fn object(schema: &Value, path: &Path<'_>) -> Result<(Shape, FieldType), CompileError> {
    let members = schema.get("additionalProperties");
    match members {
        Value::Map(_) if !schema.get("properties").is_empty() => {
            Err(refuse(path, Problem::TwoKindsOfMembers))
        }
        Value::Map(_) => Ok((Shape::Map, inner(members, &path.child("additionalProperties"))?)),
        Value::Bool(true) => Ok((Shape::Map, FieldType::Json)),
        _ => {
            let embedded = flag(schema, "x-kubernetes-embedded-resource");
            let message = message("", schema, embedded, path)?;
            Ok((Shape::Single, FieldType::Message(TypeRef::Shared(Arc::new(message)))))
        }
    }
}

/// The type of a list's items or a map's values.
fn inner(schema: &Value, path: &Path<'_>) -> Result<FieldType, CompileError> {
    let field = field("", schema, path)?;
    let is_plain = field.shape == Shape::Single && !field.nullable && field.default.is_none();
    Ok(if is_plain { field.ty } else { FieldType::Nested(Arc::new(field)) })
}

/// The fields of every object of the API. Those of an object inside of another are required, and have the defaults that
/// its schema states for them.
fn of_resource(embedded: Option<&Value>) -> impl Iterator<Item = Field> {
    let metadata = schema::type_by_name("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta");
    let metadata = metadata.map_or(FieldType::Json, FieldType::Message);
    let members = [("apiVersion", FieldType::String), ("kind", FieldType::String), ("metadata", metadata)];
    let stated = move |name: &str| embedded.map_or(&Value::Null, |properties| properties.get(name));
    members.into_iter().map(move |(name, ty)| Field {
        name: Cow::Borrowed(name),
        number: 0,
        shape: Shape::Single,
        ty: with_defaults(ty, stated(name).get("properties")),
        pointer: true,
        always_in_json: false,
        required: embedded.is_some() && name != "metadata",
        inline: false,
        list_type: ListType::Atomic,
        list_map_keys: Cow::Borrowed(&[]),
        atomic_map: false,
        granular: false,
        patch: PatchStrategy::DEFAULT,
        default: default_text(stated(name)),
        nullable: false,
    })
}

/// The type of an embedded object's metadata, with the defaults that its schema states.
fn with_defaults(ty: FieldType, properties: &Value) -> FieldType {
    let FieldType::Message(known) = &ty else { return ty };
    if properties.entries().all(|(_, schema)| schema.get("default").is_null()) {
        return ty;
    }
    let own = |field: &Field| Field { default: default_text(properties.get(&field.name)), ..field.clone() };
    FieldType::Message(TypeRef::Shared(Arc::new(TypeDef {
        name: known.name.clone(),
        fields: known.fields.iter().map(own).collect(),
        preserves_unknown: known.preserves_unknown,
        atomic: known.atomic,
        embedded: known.embedded,
        source: None,
        index: FieldIndex::new(),
    })))
}

fn default_text(schema: &Value) -> Option<Cow<'static, str>> {
    let default = Some(schema.get("default")).filter(|default| !default.is_null());
    default.map(|default| Cow::Owned(json_text(default)))
}

/// Whether a value of this field, or one inside of it, has a default.
fn has_default(field: &Field) -> bool {
    field.default.is_some()
        || match &field.ty {
            FieldType::Message(TypeRef::Shared(ty)) => ty.fields.iter().any(has_default),
            FieldType::Nested(inner) => has_default(inner),
            _ => false,
        }
}
