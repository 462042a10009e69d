//! From a type of the schema table to the shape that expressions see.

use std::collections::BTreeMap;
use std::sync::Arc;

use cel::{Field, ListKind, ObjectShape, Shape, ShapeKind, Type};
use object::json;
use schema::{FieldType, ListType, TypeDef};

use crate::shape::shape_of;

/// How deep types are followed: some contain themselves.
const DEPTH_MAX: usize = 20;

/// The shape of objects of a type. Custom resources have that of their schema.
pub fn shape_of_type(ty: &TypeDef, name: &str) -> Arc<Shape> {
    let custom = ty.source.as_ref().and_then(|source| json::parse(source.as_bytes()).ok());
    let custom = custom.and_then(|schema| shape_of(&schema, name, true));
    custom.unwrap_or_else(|| object(ty, name, DEPTH_MAX))
}

fn shape(kind: ShapeKind) -> Arc<Shape> {
    Arc::new(Shape { kind, max_elements: None, min_serialized_size: 1 })
}

fn object(ty: &TypeDef, name: &str, depth: usize) -> Arc<Shape> {
    if ty.preserves_unknown || depth == 0 {
        return Arc::new(Shape::dynamic());
    }
    let mut fields = BTreeMap::new();
    ty.for_each_json_field(&mut |field| {
        if let Some(escaped) = cel::escape(&field.name) {
            let shape = of_field(field, &format!("{name}.{}", field.name), depth - 1);
            fields.insert(
                escaped.into(),
                Field { name: (*field.name).into(), required: field.required, shape },
            );
        }
    });
    shape(ShapeKind::Object(Arc::new(ObjectShape { name: name.into(), fields })))
}

fn of_field(field: &schema::Field, name: &str, depth: usize) -> Arc<Shape> {
    match field.shape {
        schema::Shape::Single => value(&field.ty, name, depth),
        schema::Shape::List => {
            let items = value(&field.ty, &format!("{name}.@elem"), depth);
            shape(ShapeKind::List { items, list: list(field) })
        }
        schema::Shape::Map => {
            let values = value(&field.ty, &format!("{name}.@elem"), depth);
            shape(ShapeKind::Map { values })
        }
    }
}

fn list(field: &schema::Field) -> ListKind {
    match field.list_type {
        ListType::Atomic => ListKind::Atomic,
        ListType::Set => ListKind::Set,
        ListType::Map => {
            ListKind::Map { keys: field.list_map_keys.iter().map(|key| Box::from(&**key)).collect() }
        }
    }
}

fn value(ty: &FieldType, name: &str, depth: usize) -> Arc<Shape> {
    let scalar = match ty {
        FieldType::Message(ty) => return object(ty, name, depth),
        FieldType::Nested(field) => return of_field(field, name, depth),
        FieldType::StringList => {
            let items = shape(ShapeKind::Scalar(Type::String));
            return shape(ShapeKind::List { items, list: ListKind::Atomic });
        }
        FieldType::IntOrString
        | FieldType::RawExtension
        | FieldType::FieldsV1
        | FieldType::Json
        | FieldType::JsonSchemaOrArray(_)
        | FieldType::JsonSchemaOrBool(_)
        | FieldType::JsonSchemaOrStringArray(_) => return Arc::new(Shape::dynamic()),
        FieldType::Bool => Type::Bool,
        FieldType::Int32 | FieldType::Int64 => Type::Int,
        FieldType::Double => Type::Double,
        // OpenAPI calls durations and quantities strings.
        FieldType::String | FieldType::Duration | FieldType::Quantity => Type::String,
        FieldType::Bytes => Type::Bytes,
        FieldType::Time | FieldType::MicroTime => Type::Timestamp,
    };
    shape(ShapeKind::Scalar(scalar))
}
