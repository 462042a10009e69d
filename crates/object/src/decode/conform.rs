//! Making a tree conform to its type.

use std::collections::HashSet;
use std::fmt::Write;

use schema::{Field, FieldType, Shape, TypeDef, TypeRef};

use super::scalar::{self, go_struct, go_type, misfit};
use super::zero::{absent, add_always, zero};
use super::{DecodeError, STRICT_ERRORS_MAX, StrictError};
use crate::{Key, Map, Value};

/// Makes `value` an object of type `ty`; findings of strict validation go to `strict`.
pub(super) fn conform(
    value: &mut Value,
    ty: &TypeRef,
    strict: &mut Vec<StrictError>,
) -> Result<(), DecodeError> {
    Conform { strict }.message(value, ty, &At::ROOT)
}

/// A step of the way from the root to a value.
enum Step<'a> {
    Root,
    Field(&'a str),
    Key(&'a str),
    Index(usize),
}

/// The position of a value: the path from the root, as a chain through the callers' frames.
struct At<'a> {
    parent: Option<&'a At<'a>>,
    step: Step<'a>,
    /// The innermost struct on the way
    owner: Option<&'a TypeDef>,
}

impl<'a> At<'a> {
    const ROOT: At<'static> = At { parent: None, step: Step::Root, owner: None };

    fn step(&'a self, step: Step<'a>) -> At<'a> {
        At { parent: Some(self), step, owner: self.owner }
    }

    /// The path as strict errors show it: `spec.containers[0].name`.
    fn path(&self) -> String {
        let mut path = self.parent.map(At::path).unwrap_or_default();
        match self.step {
            Step::Root => {}
            Step::Index(index) => {
                // Writing to a string cannot fail.
                let _ = write!(path, "[{index}]");
            }
            Step::Field(name) | Step::Key(name) => {
                if !path.is_empty() {
                    path.push('.');
                }
                path.push_str(name);
            }
        }
        path
    }

    /// The place as type errors show it: `struct field PodSpec.spec.containers`, without items and keys of maps.
    fn place(&self) -> String {
        let mut names = Vec::new();
        let mut at = Some(self);
        while let Some(here) = at {
            if let Step::Field(name) = here.step {
                names.push(name);
            }
            at = here.parent;
        }
        names.reverse();
        match self.owner {
            Some(owner) => {
                let name = go_struct(owner);
                let name = name.rsplit('.').next().unwrap_or(name);
                format!("struct field {name}.{}", names.join("."))
            }
            None => "value".to_owned(),
        }
    }
}

struct Conform<'s> {
    strict: &'s mut Vec<StrictError>,
}

impl Conform<'_> {
    fn report(&mut self, error: StrictError) {
        if self.strict.len() < STRICT_ERRORS_MAX && !self.strict.contains(&error) {
            self.strict.push(error);
        }
    }

    fn wrong_type(value: &Value, expected: String, at: &At<'_>) -> DecodeError {
        DecodeError::Type { found: scalar::found(value, &expected), place: at.place(), expected }
    }

    /// A struct, or an object of a custom resource.
    fn message(&mut self, value: &mut Value, ty: &TypeRef, at: &At<'_>) -> Result<(), DecodeError> {
        let free = matches!(ty, TypeRef::Shared(_));
        let Value::Map(map) = value else {
            if free {
                value.drop_duplicates();
                return Ok(());
            }
            if value.is_null() {
                *value = zero(&FieldType::Message(ty.clone()));
                return Ok(());
            }
            return Err(Self::wrong_type(value, go_struct(ty).to_owned(), at));
        };
        let duplicates = map.has_duplicates();
        let mut seen: HashSet<String> = HashSet::new();
        let mut failed = None;
        map.retain_keys(|key, value| {
            if failed.is_some() {
                return true;
            }
            let Some(field) = ty.lookup(key.as_str()).map(|place| place.field) else {
                let kept = self.unknown(key.as_str(), value, ty, at);
                if kept && duplicates && !seen.insert(key.as_str().to_owned()) {
                    self.report(StrictError::DuplicateField(at.step(Step::Field(key.as_str())).path()));
                }
                return kept;
            };
            if let std::borrow::Cow::Borrowed(name) = &field.name {
                *key = Key::from(*name);
            }
            let here = At { parent: Some(at), step: Step::Field(&field.name), owner: Some(ty) };
            if duplicates && !seen.insert(field.name.to_string()) {
                self.report(StrictError::DuplicateField(here.path()));
            }
            match self.field(value, field, free, &here) {
                Ok(()) => free || duplicates || !absent(field, value),
                Err(error) => {
                    failed = Some(error);
                    true
                }
            }
        });
        if let Some(error) = failed {
            return Err(error);
        }
        if duplicates {
            map.drop_duplicates();
        }
        if !free {
            if duplicates {
                map.retain(|key, value| ty.lookup(key).is_none_or(|place| !absent(place.field, value)));
            }
            add_always(map, ty);
        }
        Ok(())
    }

    /// A member that the type does not have; whether it stays.
    fn unknown(&mut self, key: &str, value: &mut Value, ty: &TypeDef, at: &At<'_>) -> bool {
        if !ty.preserves_unknown {
            self.report(StrictError::UnknownField(at.step(Step::Field(key)).path()));
            return false;
        }
        self.free_form(value, &at.step(Step::Field(key)));
        true
    }

    /// A value of any form: only its duplicates are reported, and dropped.
    fn free_form(&mut self, value: &mut Value, at: &At<'_>) {
        match value {
            Value::Map(map) => {
                if map.has_duplicates() {
                    let mut seen = HashSet::with_capacity(map.len());
                    for key in map.keys().filter(|key| !seen.insert(*key)) {
                        self.report(StrictError::DuplicateField(at.step(Step::Key(key)).path()));
                    }
                    map.drop_duplicates();
                }
                for (key, value) in map.iter_mut() {
                    self.free_form(value, &at.step(Step::Key(key)));
                }
            }
            Value::List(items) => {
                for (index, item) in items.iter_mut().enumerate() {
                    self.free_form(item, &at.step(Step::Index(index)));
                }
            }
            _ => {}
        }
    }

    /// The value of a field. `free`: it belongs to a custom resource.
    fn field(
        &mut self,
        value: &mut Value,
        field: &Field,
        free: bool,
        at: &At<'_>,
    ) -> Result<(), DecodeError> {
        if value.is_null() {
            return Ok(());
        }
        match field.shape {
            Shape::Single => self.single(value, &field.ty, free, at),
            Shape::List => match value {
                Value::List(items) => self.list(items, &field.ty, free, at),
                _ if free => Ok(()),
                _ => Err(Self::wrong_type(value, go_type(field.shape, &field.ty), at)),
            },
            Shape::Map => match value {
                Value::Map(map) => self.map(map, &field.ty, free, at),
                _ if free => Ok(()),
                _ => Err(Self::wrong_type(value, go_type(field.shape, &field.ty), at)),
            },
        }
    }

    fn list(
        &mut self,
        items: &mut [Value],
        ty: &FieldType,
        free: bool,
        at: &At<'_>,
    ) -> Result<(), DecodeError> {
        for (index, item) in items.iter_mut().enumerate() {
            let here = at.step(Step::Index(index));
            if item.is_null() && !free {
                *item = zero(ty);
            }
            self.single(item, ty, free, &here)?;
        }
        Ok(())
    }

    fn map(&mut self, map: &mut Map, ty: &FieldType, free: bool, at: &At<'_>) -> Result<(), DecodeError> {
        if map.has_duplicates() {
            let mut seen = HashSet::with_capacity(map.len());
            for key in map.keys() {
                if !seen.insert(key) {
                    self.report(StrictError::DuplicateField(at.step(Step::Key(key)).path()));
                }
            }
            map.drop_duplicates();
        }
        for (key, value) in map.iter_mut() {
            let here = at.step(Step::Key(key));
            if value.is_null() && !free {
                *value = zero(ty);
            }
            self.single(value, ty, free, &here)?;
        }
        if !free {
            map.sort();
        }
        Ok(())
    }

    fn single(
        &mut self,
        value: &mut Value,
        ty: &FieldType,
        free: bool,
        at: &At<'_>,
    ) -> Result<(), DecodeError> {
        match ty {
            FieldType::Message(ty) => self.message(value, ty, at),
            FieldType::Nested(field) => self.field(value, field, free, at),
            _ if free => {
                self.free_form(value, at);
                Ok(())
            }
            _ if value.is_null() => Ok(()),
            FieldType::RawExtension | FieldType::FieldsV1 | FieldType::Json => {
                value.drop_duplicates();
                Ok(())
            }
            FieldType::JsonSchemaOrArray(schema) => match value {
                Value::List(items) => self.list(items, &FieldType::Message(schema.clone()), false, at),
                _ => self.message(value, schema, at),
            },
            FieldType::JsonSchemaOrBool(schema) => match value {
                Value::Bool(_) => Ok(()),
                Value::Map(_) => self.message(value, schema, at),
                _ => Err(DecodeError::Form("boolean or JSON schema expected".to_owned())),
            },
            FieldType::JsonSchemaOrStringArray(schema) => match value {
                Value::List(items) => self.list(items, &FieldType::String, false, at),
                _ => self.message(value, schema, at),
            },
            FieldType::StringList => match value {
                Value::List(items) => self.list(items, &FieldType::String, false, at),
                _ => Err(Self::wrong_type(value, "[]string".to_owned(), at)),
            },
            _ => scalar::normalize(value, ty).map_err(|error| misfit(error, value, at.place())),
        }
    }
}
