//! Defaults of custom resources.

use schema::{Field, FieldType, Shape, TypeDef, TypeRef};

use crate::{Key, Map, Value, json};

/// How much text defaults may add to an object, in bytes. A list can have so many items, each with its defaults, that a short
/// text would become an object as large as memory; what has so many is larger than an object may be when it is stored.
const DEFAULTS_BYTES_MAX: usize = 8 << 20;

/// Sets the defaults in a value of this type, if it is an object.
pub(super) fn object(value: &mut Value, ty: &TypeRef) {
    Defaults { bytes_left: DEFAULTS_BYTES_MAX }.object(value, ty);
}

struct Defaults {
    bytes_left: usize,
}

impl Defaults {
    fn object(&mut self, value: &mut Value, ty: &TypeRef) {
        // The common fields of all objects are not part of the definition.
        if let (TypeRef::Shared(ty), Value::Map(map)) = (ty, value) {
            self.members(map, ty);
        }
    }

    fn members(&mut self, map: &mut Map, ty: &TypeDef) {
        for field in ty.fields.iter() {
            if map.get(&field.name).is_some_and(|value| is_null_by_mistake(value, field)) {
                map.remove(&field.name);
            }
            if !map.contains_key(&field.name)
                && let Some(default) = self.of(field)
            {
                map.push(Key::from(&field.name), default);
            }
            if let Some(value) = map.get_mut(&field.name) {
                self.within(value, field);
            }
        }
    }

    /// The default of a field; none either if there have been too many.
    fn of(&mut self, field: &Field) -> Option<Value> {
        let text = field.default.as_ref()?;
        // With quotes, colon and comma.
        let bytes = text.len() + field.name.len() + 4;
        self.bytes_left = self.bytes_left.saturating_sub(bytes);
        if self.bytes_left == 0 {
            return None;
        }
        // The text was made from a value.
        json::parse(text.as_bytes()).ok()
    }

    /// Sets the defaults inside of a value.
    fn within(&mut self, value: &mut Value, field: &Field) {
        match (field.shape, value) {
            (Shape::Single, value) => self.single(value, &field.ty),
            (Shape::List, Value::List(items)) => {
                items.iter_mut().for_each(|item| self.single(item, &field.ty));
            }
            (Shape::Map, Value::Map(map)) => {
                if let FieldType::Nested(inner) = &field.ty
                    && inner.default.is_none()
                {
                    map.retain(|_, value| !is_null_by_mistake(value, inner));
                } else if !matches!(field.ty, FieldType::Nested(_) | FieldType::Json) {
                    map.retain(|_, value| !value.is_null());
                }
                map.iter_mut().for_each(|(_, value)| self.single(value, &field.ty));
            }
            _ => {}
        }
    }

    fn single(&mut self, value: &mut Value, ty: &FieldType) {
        match ty {
            FieldType::Message(ty) => self.object(value, ty),
            FieldType::Nested(field) => {
                if is_null_by_mistake(value, field)
                    && let Some(default) = self.of(field)
                {
                    *value = default;
                }
                self.within(value, field);
            }
            _ => {}
        }
    }
}

/// Whether a `null` has no meaning.
fn is_null_by_mistake(value: &Value, field: &Field) -> bool {
    value.is_null() && !field.nullable
}
