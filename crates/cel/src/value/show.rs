//! Values as messages show them, in the manner of Go's `%v`.

use std::borrow::Cow;
use std::fmt::{self, Write};

use super::Value;
use crate::Type;

/// How many characters of a value a message shows.
const SHOWN_MAX: usize = 1 << 10;

/// The name of a type, without its parameters: `type(1)` shows it.
pub(crate) fn type_name(of: &Type) -> Cow<'_, str> {
    Cow::Borrowed(match of {
        Type::Dyn => "dyn",
        Type::Error => "*error*",
        Type::Null => "null_type",
        Type::Bool => "bool",
        Type::Int => "int",
        Type::Uint => "uint",
        Type::Double => "double",
        Type::String => "string",
        Type::Bytes => "bytes",
        Type::Timestamp => "google.protobuf.Timestamp",
        Type::Duration => "google.protobuf.Duration",
        Type::List(_) => "list",
        Type::Map(_) => "map",
        Type::Type(_) => "type",
        Type::Object(name) | Type::Opaque(name, _) | Type::Param(name) => name,
    })
}

impl fmt::Display for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = Limited { out: f, left: SHOWN_MAX };
        // Ends early if the limit is reached.
        match show(self, &mut out) {
            Err(_) if out.left == 0 => Ok(()),
            result => result,
        }
    }
}

struct Limited<'f, 'o> {
    out: &'f mut fmt::Formatter<'o>,
    left: usize,
}

impl Write for Limited<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for character in text.chars() {
            if self.left == 0 {
                self.out.write_str("...")?;
                return Err(fmt::Error);
            }
            self.out.write_char(character)?;
            self.left -= 1;
        }
        Ok(())
    }
}

fn show(value: &Value<'_>, out: &mut Limited<'_, '_>) -> fmt::Result {
    match value {
        Value::Null => out.write_str("null"),
        Value::Bool(value) => write!(out, "{value}"),
        Value::Int(value) => write!(out, "{value}"),
        Value::Uint(value) => write!(out, "{value}"),
        Value::Double(value) => write!(out, "{value}"),
        Value::String(text) => out.write_str(text),
        Value::Bytes(bytes) => out.write_str(&String::from_utf8_lossy(bytes)),
        Value::Timestamp(time) => write!(out, "{time}"),
        Value::Duration(span) => write!(out, "{span}"),
        Value::List(list) => {
            out.write_char('[')?;
            for (index, item) in list.iter().enumerate() {
                if index > 0 {
                    out.write_str(", ")?;
                }
                show(&item.unwrap_or_default(), out)?;
            }
            out.write_char(']')
        }
        Value::Map(map) => entries(map.entries(), out),
        Value::Object(object) => entries(object.fields(), out),
        Value::Optional(None) => out.write_str("optional.none()"),
        Value::Optional(Some(value)) => {
            out.write_str("optional(")?;
            show(value, out)?;
            out.write_char(')')
        }
        Value::Type(of) => out.write_str(&type_name(of)),
        Value::Opaque(value) => match value.text() {
            Some(text) => out.write_str(&text),
            None => out.write_str(value.type_name()),
        },
    }
}

fn entries(entries: Vec<(Value<'_>, super::Evaluated<'_>)>, out: &mut Limited<'_, '_>) -> fmt::Result {
    out.write_char('{')?;
    for (index, (key, value)) in entries.into_iter().enumerate() {
        if index > 0 {
            out.write_str(", ")?;
        }
        show(&key, out)?;
        out.write_str(": ")?;
        show(&value.unwrap_or_default(), out)?;
    }
    out.write_char('}')
}
