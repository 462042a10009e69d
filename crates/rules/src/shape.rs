//! From an OpenAPI v3 schema to the shape that expressions see (`SchemaDeclType` in `k8s.io/apiserver/pkg/cel/common`).

use std::collections::{BTreeMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use cel::{Field, ListKind, ObjectShape, Shape, ShapeKind, Type};
use object::Value;

/// The largest request, in bytes: nothing in an object is larger. A constant of upstream's estimates.
pub(crate) const REQUEST_BYTES_MAX: u64 = 3 << 20;
/// How long strings of these formats are at most, in characters with their quotation marks.
const DURATION_MAX: u64 = 32;
const DATE_TIME_MAX: u64 = 32;
const DATE: u64 = 12;
/// How long the name of a type may be, in bytes. It has those of all members on the way to it, which are as long as their
/// author likes, and there may be thousands of types at the end of such a way.
const TYPE_NAME_BYTES_MAX: usize = 1 << 10;
/// How much of a name is shown that is longer.
const SHOWN_BYTES: usize = 64;
/// How long the name of an object is at most.
const NAME_MAX: u64 = 253;

/// The shape of a value with this schema; none if expressions cannot see it. `name` is what messages call its type,
/// `is_resource` says that it has `apiVersion`, `kind` and metadata. Unknown fields are not seen.
pub fn shape_of(schema: &Value, name: &str, is_resource: bool) -> Option<Arc<Shape>> {
    if flag(schema, "x-kubernetes-int-or-string") {
        let max = max_length(schema).map_or(REQUEST_BYTES_MAX - 2, |length| length.saturating_mul(4));
        return Some(shape(ShapeKind::Dynamic, Some(max), 1));
    }
    match schema.str_at("type") {
        "array" => list(schema, name),
        "object" => match schema.get("additionalProperties") {
            members @ Value::Map(_) => map(schema, members, name),
            _ => Some(object(schema, name, is_resource)),
        },
        "string" => Some(text(schema)),
        "boolean" => Some(shape(ShapeKind::Scalar(Type::Bool), None, 4)),
        "number" => Some(shape(ShapeKind::Scalar(Type::Double), None, 1)),
        "integer" => Some(shape(ShapeKind::Scalar(Type::Int), None, 1)),
        _ => None,
    }
}

/// The name of the type of a member, or of the items of a list, which are its `@elem`.
pub(crate) fn name_inside(name: &str, member: &str) -> String {
    if name.len() + member.len() < TYPE_NAME_BYTES_MAX {
        return format!("{name}.{member}");
    }
    // Types are told apart by their names.
    let mut hasher = DefaultHasher::new();
    (name, member).hash(&mut hasher);
    format!("{}...{:016x}", &name[..name.floor_char_boundary(SHOWN_BYTES)], hasher.finish())
}

fn shape(kind: ShapeKind, max_elements: Option<u64>, min_serialized_size: u64) -> Arc<Shape> {
    Arc::new(Shape { kind, max_elements, min_serialized_size })
}

/// Whether a keyword of a schema is on.
pub(crate) fn flag(schema: &Value, keyword: &str) -> bool {
    schema.get(keyword).as_bool().unwrap_or(false)
}

/// A bound of a schema; one below zero allows nothing.
pub(crate) fn bound(schema: &Value, keyword: &str) -> Option<u64> {
    Some(u64::try_from(schema.get(keyword).as_i64()?).unwrap_or(0))
}

fn max_length(schema: &Value) -> Option<u64> {
    bound(schema, "maxLength")
}

fn list(schema: &Value, name: &str) -> Option<Arc<Shape>> {
    let inner = schema.get("items");
    let items = shape_of(inner, &name_inside(name, "@elem"), flag(inner, "x-kubernetes-embedded-resource"))?;
    let fits = (REQUEST_BYTES_MAX - 2) / (items.min_serialized_size + 1);
    let list = match schema.str_at("x-kubernetes-list-type") {
        "set" => ListKind::Set,
        "map" => {
            let keys = schema.get("x-kubernetes-list-map-keys").items().filter_map(Value::as_str);
            ListKind::Map { keys: keys.map(Box::from).collect() }
        }
        _ => ListKind::Atomic,
    };
    let max = bound(schema, "maxItems").unwrap_or(fits);
    Some(shape(ShapeKind::List { items, list }, Some(max), 2))
}

fn map(schema: &Value, members: &Value, name: &str) -> Option<Arc<Shape>> {
    let embedded = flag(members, "x-kubernetes-embedded-resource");
    let values = shape_of(members, &name_inside(name, "@elem"), embedded)?;
    // Two bytes for the key's marks, two for colon and comma, two for a key; real keys differ in length.
    let fits = (REQUEST_BYTES_MAX - 2) / (values.min_serialized_size + 6);
    let max = bound(schema, "maxProperties").unwrap_or(fits);
    Some(shape(ShapeKind::Map { values }, Some(max), 2))
}

fn object(schema: &Value, name: &str, is_resource: bool) -> Arc<Shape> {
    let required: HashSet<&str> = schema.get("required").items().filter_map(Value::as_str).collect();
    let mut fields = BTreeMap::new();
    let mut size: u64 = 2;
    let mut add = |member: &str, shape: Arc<Shape>, has_default: bool| {
        let required = required.contains(member);
        if required && !has_default {
            size = size.saturating_add(member.len() as u64 + shape.min_serialized_size + 4);
        }
        if let Some(escaped) = cel::escape(member) {
            fields.insert(escaped.into(), Field { name: member.into(), required, shape });
        }
    };
    let is_resource = is_resource && !has_metadata(schema);
    for (member, property) in schema.get("properties").entries() {
        let is_meta = is_resource && matches!(member, "apiVersion" | "kind" | "metadata");
        let embedded = flag(property, "x-kubernetes-embedded-resource");
        if !is_meta && let Some(shape) = shape_of(property, &name_inside(name, member), embedded) {
            add(member, shape, !property.get("default").is_null());
        }
    }
    if is_resource {
        add("metadata", metadata(schema, name), false);
        add("apiVersion", text(&Value::Null), false);
        add("kind", text(&Value::Null), false);
    }
    shape(ShapeKind::Object(Arc::new(ObjectShape { name: name.into(), fields })), None, size)
}

/// Whether a schema says itself what every object has.
fn has_metadata(schema: &Value) -> bool {
    let properties = schema.get("properties");
    let is = |path: &[&str], kind: &str| properties.at_path(path).str_at("type") == kind;
    is(&["kind"], "string")
        && is(&["apiVersion"], "string")
        && is(&["metadata"], "object")
        && is(&["metadata", "properties", "name"], "string")
        && is(&["metadata", "properties", "generateName"], "string")
}

/// The metadata that expressions see: names, which may not be longer than the API allows.
fn metadata(schema: &Value, name: &str) -> Arc<Shape> {
    let properties = schema.get("properties").get("metadata").get("properties");
    let field = |(member, bytes): (&str, u64)| {
        let own = max_length(properties.get(member)).unwrap_or(bytes);
        let string = shape(ShapeKind::Scalar(Type::String), Some(own.min(bytes) * 4), 2);
        (Box::from(member), Field { name: member.into(), required: false, shape: string })
    };
    let fields = [("name", NAME_MAX), ("generateName", NAME_MAX - 1)].map(field).into();
    let metadata = ObjectShape { name: name_inside(name, "metadata").into(), fields };
    shape(ShapeKind::Object(Arc::new(metadata)), None, 2)
}

fn text(schema: &Value) -> Arc<Shape> {
    let whole = REQUEST_BYTES_MAX - 2;
    let (kind, max, min) = match schema.str_at("format") {
        "byte" => (Type::Bytes, max_length(schema).unwrap_or(whole), 2),
        "duration" => (Type::Duration, DURATION_MAX, 3),
        "date" => (Type::Timestamp, DATE, DATE),
        "date-time" => (Type::Timestamp, DATE_TIME_MAX, 21),
        _ => {
            let longest = || schema.get("enum").items().filter_map(Value::as_str).map(str::len).max();
            let max = match max_length(schema) {
                // Characters of up to four bytes.
                Some(length) => length.saturating_mul(4),
                None if schema.get("enum").is_empty() => whole,
                None => longest().unwrap_or(0) as u64,
            };
            (Type::String, max, 2)
        }
    };
    shape(ShapeKind::Scalar(kind), Some(max), min)
}
