//! Defaults of custom resources.

use schema::{Field, FieldType, Shape, TypeDef, TypeRef};

use crate::{Key, Map, Value, json};

/// Sets the defaults in a value of this type, if it is an object.
pub(super) fn object(value: &mut Value, ty: &TypeRef) {
    // The common fields of all objects are not part of the definition.
    if let (TypeRef::Shared(ty), Value::Map(map)) = (ty, value) {
        members(map, ty);
    }
}

fn members(map: &mut Map, ty: &TypeDef) {
    for field in ty.fields.iter() {
        if map.get(&field.name).is_some_and(|value| is_null_by_mistake(value, field)) {
            map.remove(&field.name);
        }
        if let Some(default) = default_of(field).filter(|_| !map.contains_key(&field.name)) {
            map.push(Key::from(&field.name), default);
        }
        if let Some(value) = map.get_mut(&field.name) {
            within(value, field);
        }
    }
}

/// Whether a `null` has no meaning.
fn is_null_by_mistake(value: &Value, field: &Field) -> bool {
    value.is_null() && !field.nullable
}

fn default_of(field: &Field) -> Option<Value> {
    // The text was made from a value.
    field.default.as_ref().and_then(|default| json::parse(default.as_bytes()).ok())
}

/// Sets the defaults inside of a value.
fn within(value: &mut Value, field: &Field) {
    match (field.shape, value) {
        (Shape::Single, value) => single(value, &field.ty),
        (Shape::List, Value::List(items)) => items.iter_mut().for_each(|item| single(item, &field.ty)),
        (Shape::Map, Value::Map(map)) => {
            if let FieldType::Nested(inner) = &field.ty
                && inner.default.is_none()
            {
                map.retain(|_, value| !is_null_by_mistake(value, inner));
            } else if !matches!(field.ty, FieldType::Nested(_) | FieldType::Json) {
                map.retain(|_, value| !value.is_null());
            }
            map.iter_mut().for_each(|(_, value)| single(value, &field.ty));
        }
        _ => {}
    }
}

fn single(value: &mut Value, ty: &FieldType) {
    match ty {
        FieldType::Message(ty) => object(value, ty),
        FieldType::Nested(field) => {
            if let Some(default) = default_of(field).filter(|_| is_null_by_mistake(value, field)) {
                *value = default;
            }
            within(value, field);
        }
        _ => {}
    }
}
