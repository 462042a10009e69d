//! Validation of custom resources, with upstream's messages (`kube-openapi/pkg/validation`).

use std::collections::HashMap;

use regex::Regex;
use schema::{Count, Field, FieldType, ListType, Rules, Shape, TypeDef, TypeRef};

use crate::field::{Error, Errors, Path};
use crate::{Value, json, timestamp};

/// Validates an object of this type.
pub(super) fn object(value: &Value, ty: &TypeRef, patterns: &HashMap<Box<str>, Regex>) -> Errors {
    let mut validator = Validator { patterns, errors: Errors::new() };
    validator.message(value, ty, &Path::root(""));
    validator.errors
}

struct Validator<'a> {
    patterns: &'a HashMap<Box<str>, Regex>,
    errors: Errors,
}

impl Validator<'_> {
    fn wrong_type(&mut self, value: &Value, expected: &str, path: &Path<'_>) {
        let found = type_name(value);
        self.errors.push_with(|| {
            let detail = format!("{path} in body must be of type {expected}: {found:?}");
            Error::type_invalid(path, found, detail)
        });
    }

    fn invalid(&mut self, value: &Value, path: &Path<'_>, should: impl FnOnce() -> String) {
        self.errors
            .push_with(|| Error::invalid(path, value.clone(), format!("{path} in body should {}", should())));
    }

    fn message(&mut self, value: &Value, ty: &TypeRef, path: &Path<'_>) {
        // Metadata is validated as that of every object.
        let TypeRef::Shared(ty) = ty else { return };
        if value.as_map().is_none() {
            return self.wrong_type(value, "object", path);
        }
        self.members(value, ty, path);
    }

    fn members(&mut self, value: &Value, ty: &TypeDef, path: &Path<'_>) {
        let map = value.as_map();
        for field in ty.fields.iter() {
            let path = path.child(&field.name);
            match map.and_then(|map| map.get(&field.name)) {
                None if field.required => self.errors.required(&path, ""),
                None => {}
                Some(value) => self.field(value, field, &path),
            }
        }
    }

    fn field(&mut self, value: &Value, field: &Field, path: &Path<'_>) {
        let rules = field.rules.as_deref();
        if value.is_null() && rules.is_some_and(|rules| rules.nullable) {
            return;
        }
        match (field.shape, value) {
            (Shape::Single, value) => self.single(value, &field.ty, path),
            (Shape::List, Value::List(items)) => {
                for (index, item) in items.iter().enumerate() {
                    self.single(item, &field.ty, &path.index(index));
                }
                self.unique(items, field, path);
            }
            (Shape::Map, Value::Map(map)) => {
                for (key, value) in map.iter() {
                    self.single(value, &field.ty, &path.child(key));
                }
            }
            (Shape::List, _) => self.wrong_type(value, "array", path),
            (Shape::Map, _) => self.wrong_type(value, "object", path),
        }
        if let Some(rules) = rules {
            self.rules(value, rules, path);
        }
    }

    fn single(&mut self, value: &Value, ty: &FieldType, path: &Path<'_>) {
        let expected = match (ty, value) {
            (FieldType::Message(ty), _) => return self.message(value, ty, path),
            (FieldType::Nested(field), _) => return self.field(value, field, path),
            (FieldType::Bool, Value::Bool(_)) | (FieldType::String, Value::String(_)) => return,
            (FieldType::IntOrString, Value::Int(_) | Value::String(_)) => return,
            (FieldType::Double, Value::Int(_) | Value::Float(_)) => return,
            (FieldType::Int64, _) if value.as_i64().is_some() => return,
            (FieldType::Int32, _) if value.as_i64().is_some_and(|number| i32::try_from(number).is_ok()) => {
                return;
            }
            (FieldType::Int32, _) if value.as_i64().is_some() => {
                return self.invalid(value, path, || "be of format int32".to_owned());
            }
            (FieldType::Bool, _) => "boolean",
            (FieldType::String, _) => "string",
            (FieldType::IntOrString, _) => "integer or string",
            (FieldType::Double, _) => "number",
            (FieldType::Int32 | FieldType::Int64, _) => "integer",
            _ => return,
        };
        self.wrong_type(value, expected, path);
    }

    /// Items of sets are unique, and so are the keys of items in associative lists.
    fn unique(&mut self, items: &[Value], field: &Field, path: &Path<'_>) {
        let key_of = |item: &Value| match field.list_type {
            ListType::Atomic => None,
            ListType::Set => Some(item.clone()),
            ListType::Map => {
                let mut keys = Value::map();
                for key in field.list_map_keys.iter() {
                    keys.set(key.clone().into_owned(), item.get(key).clone());
                }
                Some(keys)
            }
        };
        let mut seen = std::collections::HashSet::new();
        for (index, item) in items.iter().enumerate() {
            let Some(key) = key_of(item) else { return };
            if !seen.insert(json::to_vec(&key)) {
                self.errors.duplicate(&path.index(index), key);
            }
        }
    }

    fn rules(&mut self, value: &Value, rules: &Rules, path: &Path<'_>) {
        if !rules.allowed.is_empty() {
            self.allowed(value, rules, path);
        }
        match value {
            Value::Int(_) | Value::Float(_) => self.number(value, rules, path),
            Value::String(text) => self.text(value, text, rules, path),
            Value::List(items) => self.count(items.len(), rules.items, path),
            Value::Map(map) => {
                let Count { min, max } = rules.members;
                if let Some(min) = min.filter(|min| map.len() < *min) {
                    self.invalid(value, path, || format!("have at least {min} properties"));
                }
                if let Some(max) = max.filter(|max| map.len() > *max) {
                    self.invalid(value, path, || format!("have at most {max} properties"));
                }
            }
            _ => {}
        }
    }

    fn allowed(&mut self, value: &Value, rules: &Rules, path: &Path<'_>) {
        let allowed: Vec<Value> =
            rules.allowed.iter().filter_map(|text| json::parse(text.as_bytes()).ok()).collect();
        if allowed.contains(value) {
            return;
        }
        let shown = allowed.iter().map(|value| match value {
            Value::String(text) => text.to_string(),
            other => String::from_utf8_lossy(&json::to_vec(other)).into_owned(),
        });
        let shown: Vec<String> = shown.collect();
        let shown: Vec<&str> = shown.iter().map(String::as_str).collect();
        self.errors.not_supported(path, value.clone(), &shown);
    }

    fn number(&mut self, value: &Value, rules: &Rules, path: &Path<'_>) {
        let Some(number) = value.as_f64() else { return };
        if let Some(limit) = rules.minimum {
            let is_out = if limit.exclusive { number <= limit.value } else { number < limit.value };
            let or_equal = if limit.exclusive { "" } else { " or equal to" };
            if is_out {
                self.invalid(value, path, || format!("be greater than{or_equal} {}", limit.value));
            }
        }
        if let Some(limit) = rules.maximum {
            let is_out = if limit.exclusive { number >= limit.value } else { number > limit.value };
            let or_equal = if limit.exclusive { "" } else { " or equal to" };
            if is_out {
                self.invalid(value, path, || format!("be less than{or_equal} {}", limit.value));
            }
        }
        if let Some(factor) = rules.multiple_of.filter(|factor| (number / factor).fract() != 0.0) {
            self.invalid(value, path, || format!("be a multiple of {factor}"));
        }
    }

    fn text(&mut self, value: &Value, text: &str, rules: &Rules, path: &Path<'_>) {
        let Count { min, max } = rules.length;
        if min.is_some() || max.is_some() {
            let length = text.chars().count();
            if let Some(min) = min.filter(|min| length < *min) {
                self.invalid(value, path, || format!("be at least {min} chars long"));
            }
            if let Some(max) = max.filter(|max| length > *max) {
                self.errors.push_with(|| Error::too_long(path, max));
            }
        }
        let pattern =
            rules.pattern.as_deref().and_then(|pattern| Some((pattern, self.patterns.get(pattern)?)));
        if let Some((pattern, _)) = pattern.filter(|(_, compiled)| !compiled.is_match(text)) {
            self.invalid(value, path, || format!("match '{pattern}'"));
        }
        let is_time = || timestamp::Timestamp::parse(text, timestamp::Precision::Seconds).is_ok();
        if rules.format.as_deref() == Some("date-time") && !is_time() {
            self.invalid(value, path, || "be of type date-time".to_owned());
        }
    }

    fn count(&mut self, count: usize, Count { min, max }: Count, path: &Path<'_>) {
        if let Some(min) = min.filter(|min| count < *min) {
            self.errors.push_with(|| {
                let detail = format!("{path} in body should have at least {min} items");
                Error::invalid(path, i64::try_from(count).unwrap_or(i64::MAX), detail)
            });
        }
        if let Some(max) = max.filter(|max| count > *max) {
            self.errors.push_with(|| Error::too_many(path, count, max));
        }
    }
}

/// The type of a value, as OpenAPI names it.
fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Int(_) => "integer",
        Value::Float(_) => "number",
        Value::String(_) => "string",
        Value::List(_) => "array",
        Value::Map(_) => "object",
    }
}
