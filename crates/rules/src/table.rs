//! From a type of the schema table to the shape that expressions see.

use std::collections::BTreeMap;
use std::sync::Arc;

use cel::{Field, ListKind, ObjectShape, Shape, ShapeKind, Type};
use object::json;
use schema::{FieldType, ListType, TypeDef};

use crate::shape::shape_of;

/// How deep types are followed.
const DEPTH_MAX: usize = 20;

/// Where a type stands.
#[derive(Clone, Copy)]
struct Place<'p> {
    depth: usize,
    /// The type around it, and where that stands.
    around: Option<(&'p TypeDef, &'p Place<'p>)>,
}

impl<'p> Place<'p> {
    fn inside(&'p self, ty: &'p TypeDef) -> Place<'p> {
        Place { depth: self.depth + 1, around: Some((ty, self)) }
    }

    /// Whether a type stands within itself. As upstream, it is not followed again: a type with several fields of its own
    /// kind, such as a JSON schema, would grow by that factor with each level.
    fn is_within(&self, ty: &TypeDef) -> bool {
        self.around.is_some_and(|(around, place)| std::ptr::eq(around, ty) || place.is_within(ty))
    }
}

/// The shape of objects of a type. Custom resources have that of their schema.
pub fn shape_of_type(ty: &TypeDef, name: &str) -> Arc<Shape> {
    let custom = ty.source.as_ref().and_then(|source| json::parse(source.as_bytes()).ok());
    let custom = custom.and_then(|schema| shape_of(&schema, name, true));
    custom.unwrap_or_else(|| object(ty, name, &Place { depth: 0, around: None }))
}

fn shape(kind: ShapeKind) -> Arc<Shape> {
    Arc::new(Shape { kind, max_elements: None, min_serialized_size: 1 })
}

fn object(ty: &TypeDef, name: &str, place: &Place<'_>) -> Arc<Shape> {
    if ty.preserves_unknown || place.depth == DEPTH_MAX || place.is_within(ty) {
        return Arc::new(Shape::dynamic());
    }
    let mut fields = BTreeMap::new();
    ty.for_each_json_field(&mut |field| {
        if let Some(escaped) = cel::escape(&field.name) {
            let shape = of_field(field, &format!("{name}.{}", field.name), &place.inside(ty));
            fields.insert(
                escaped.into(),
                Field { name: (*field.name).into(), required: field.required, shape },
            );
        }
    });
    shape(ShapeKind::Object(Arc::new(ObjectShape { name: name.into(), fields })))
}

fn of_field(field: &schema::Field, name: &str, place: &Place<'_>) -> Arc<Shape> {
    match field.shape {
        schema::Shape::Single => value(&field.ty, name, place),
        schema::Shape::List => {
            let items = value(&field.ty, &format!("{name}.@elem"), place);
            shape(ShapeKind::List { items, list: list(field) })
        }
        schema::Shape::Map => {
            let values = value(&field.ty, &format!("{name}.@elem"), place);
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

fn value(ty: &FieldType, name: &str, place: &Place<'_>) -> Arc<Shape> {
    let scalar = match ty {
        FieldType::Message(ty) => return object(ty, name, place),
        FieldType::Nested(field) => return of_field(field, name, place),
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
