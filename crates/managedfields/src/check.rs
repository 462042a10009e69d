//! Whether a configuration is of its type.

use std::collections::BTreeSet;

use object::Value;
use schema::{Field, FieldType, ListType, Shape, TypeDef};

use crate::element::Element;
use crate::place::element_of;

/// How many errors are told, unless their texts are too long before.
const ERRORS_MAX: usize = 100;
/// How many bytes the texts of errors may have together.
const TEXT_BYTES_MAX: usize = 64 << 10;
/// How much of a value that is not of its type is shown, in characters.
const SHOWN_MAX: usize = 256;

/// Checks the structure of a configuration: that all fields are known, that values have the form of their fields, and that
/// no item of a set or map list comes twice.
///
/// # Errors
/// All errors with their paths, in upstream's words.
pub fn check(config: &Value, def: &TypeDef) -> Result<(), String> {
    let mut errors = Errors::default();
    errors.object(config, def);
    match errors.found.as_slice() {
        [] => Ok(()),
        [one] => Err(one.clone()),
        several => {
            let lines: Vec<String> = several.iter().map(|error| format!("  {error}")).collect();
            Err(format!("errors:\n{}", lines.join("\n")))
        }
    }
}

#[derive(Default)]
struct Errors {
    path: Vec<Element>,
    found: Vec<String>,
    bytes: usize,
}

impl Errors {
    fn add(&mut self, what: &str) {
        if !self.is_full() {
            let path: String = self.path.iter().map(Element::to_string).collect();
            let separator = if path.is_empty() { "" } else { ": " };
            let error = cut(format!("{path}{separator}{what}"), TEXT_BYTES_MAX / 8);
            self.bytes += error.len();
            self.found.push(error);
        }
    }

    fn is_full(&self) -> bool {
        self.found.len() >= ERRORS_MAX || self.bytes >= TEXT_BYTES_MAX
    }

    fn at(&mut self, element: Element, check: impl FnOnce(&mut Errors)) {
        if !self.is_full() {
            self.path.push(element);
            check(self);
            self.path.pop();
        }
    }

    fn expected(&mut self, form: &str, found: &Value) {
        self.add(&format!("expected {form}, got &{{{}}}", shown(found)));
    }

    fn object(&mut self, value: &Value, def: &TypeDef) {
        let Some(map) = value.as_map() else {
            if !value.is_null() {
                self.expected("map", value);
            }
            return;
        };
        for (name, member) in map.iter() {
            self.at(Element::field(name), |errors| match def.lookup(name) {
                Some(found) => errors.field(member, found.field),
                None if def.preserves_unknown => {}
                None => errors.add("field not declared in schema"),
            });
        }
    }

    fn field(&mut self, value: &Value, field: &Field) {
        match (field.shape, value) {
            (Shape::List | Shape::Map, Value::Null) => {}
            (Shape::Single, value) => self.item(value, field),
            (Shape::List, Value::List(items)) => self.items(items, field),
            (Shape::List, other) => self.expected("list", other),
            (Shape::Map, Value::Map(map)) => {
                for (name, member) in map.iter() {
                    self.at(Element::field(name), |errors| errors.item(member, field));
                }
            }
            (Shape::Map, other) => self.expected("map", other),
        }
    }

    #[expect(clippy::mutable_key_type, reason = "what changes inside of a map is how its keys are found")]
    fn items(&mut self, items: &[Value], field: &Field) {
        let mut seen = BTreeSet::new();
        for (index, item) in items.iter().enumerate() {
            let element = match field.list_type {
                ListType::Atomic => Element::Index(i64::try_from(index).unwrap_or(i64::MAX)),
                ListType::Set | ListType::Map => match element_of(field, item) {
                    Ok(element) => element,
                    // Without it, what is below has no path.
                    Err(why) => return self.add(&format!("element {index}: {why}")),
                },
            };
            if seen.contains(&element) {
                self.add(&format!("duplicate entries for key {element}"));
            }
            self.at(element.clone(), |errors| errors.item(item, field));
            seen.insert(element);
        }
    }

    /// A single value, an item of a list, or a value of a map.
    fn item(&mut self, value: &Value, field: &Field) {
        if value.is_null() {
            return;
        }
        match &field.ty {
            FieldType::Message(def) => self.object(value, def),
            FieldType::Nested(inner) => self.field(value, inner),
            FieldType::Bool if value.as_bool().is_none() => self.expected("boolean", value),
            FieldType::Int32 | FieldType::Int64 | FieldType::Double
                if !matches!(value, Value::Int(_) | Value::Float(_)) =>
            {
                self.add(&format!("expected numeric (int or float), got {}", go_type(value)));
            }
            FieldType::String | FieldType::Bytes | FieldType::Duration if value.as_str().is_none() => {
                let shown = quoted(value);
                self.add(&format!("expected string, got &value.valueUnstructured{{Value:{shown}}}"));
            }
            FieldType::Time | FieldType::MicroTime | FieldType::Quantity | FieldType::IntOrString
                if matches!(value, Value::Map(_) | Value::List(_)) =>
            {
                self.expected("any scalar", value);
            }
            FieldType::RawExtension | FieldType::FieldsV1 if value.as_map().is_none() => {
                self.expected("map", value);
            }
            _ => {}
        }
    }
}

fn go_type(value: &Value) -> &'static str {
    match value {
        Value::String(_) => "string",
        Value::Bool(_) => "bool",
        Value::Int(_) => "int64",
        Value::Float(_) => "float64",
        Value::List(_) => "[]interface {}",
        Value::Map(_) => "map[string]interface {}",
        Value::Null => "<nil>",
    }
}

/// A value as Go's `%v` shows it, cut.
fn shown(value: &Value) -> String {
    let mut text = String::new();
    show(value, &mut text);
    cut(text, SHOWN_MAX)
}

fn show(value: &Value, text: &mut String) {
    if text.len() > SHOWN_MAX {
        return;
    }
    match value {
        Value::Null => text.push_str("<nil>"),
        Value::Bool(value) => text.push_str(if *value { "true" } else { "false" }),
        Value::Int(value) => text.push_str(&value.to_string()),
        Value::Float(value) => text.push_str(&value.to_string()),
        Value::String(value) => text.push_str(value),
        Value::List(items) => {
            text.push('[');
            for (index, item) in items.iter().enumerate().take(SHOWN_MAX) {
                text.push_str(if index == 0 { "" } else { " " });
                show(item, text);
            }
            text.push(']');
        }
        Value::Map(map) => {
            let mut members: Vec<(&str, &Value)> = map.iter().take(SHOWN_MAX).collect();
            members.sort_by_key(|(name, _)| *name);
            text.push_str("map[");
            for (index, (name, member)) in members.into_iter().enumerate() {
                text.push_str(if index == 0 { "" } else { " " });
                text.push_str(name);
                text.push(':');
                show(member, text);
            }
            text.push(']');
        }
    }
}

/// A value as Go's `%#v` shows it, cut.
fn quoted(value: &Value) -> String {
    match value {
        Value::List(_) | Value::Map(_) => format!("{}{{{}}}", go_type(value), shown(value)),
        scalar => shown(scalar),
    }
}

fn cut(mut text: String, max: usize) -> String {
    if let Some((end, _)) = text.char_indices().nth(max) {
        text.truncate(end);
        text.push_str("...");
    }
    text
}
