//! Columns of custom resources (`additionalPrinterColumns`).

use clock::Clock;
use object::{Value, value};

use crate::json_path::{JsonPath, text};
use crate::table;

/// A column that a definition adds to the table of its resource.
#[derive(Clone, Debug)]
pub struct PrinterColumn {
    /// The heading.
    pub name: String,
    /// The type of the cells: `integer`, `number`, `string`, `boolean` or `date`.
    pub kind: String,
    /// The OpenAPI format.
    pub format: String,
    /// The column's description.
    pub description: String,
    /// 0 is always shown, above it only with `-o wide`.
    pub priority: i32,
    /// The path of the cell's value.
    pub path: JsonPath,
}

impl PrinterColumn {
    /// The age, which is shown if a definition names no columns.
    ///
    /// # Panics
    /// Never: the path is well-formed.
    pub fn age() -> PrinterColumn {
        PrinterColumn {
            name: table::AGE.name.to_owned(),
            kind: "date".to_owned(),
            format: String::new(),
            description: table::AGE.description.to_owned(),
            priority: 0,
            path: JsonPath::of_names(&["metadata", "creationTimestamp"]),
        }
    }

    pub(super) fn definition(&self) -> Value {
        value!({
            "name": self.name.as_str(), "type": self.kind.as_str(), "format": self.format.as_str(),
            "description": self.description.as_str(), "priority": self.priority
        })
    }

    /// The cell of an object; `null` where the value is missing or of another type.
    pub(super) fn cell(&self, object: &Value, clock: &Clock) -> Value {
        let Some(found) = self.path.first(object) else { return Value::Null };
        match (self.kind.as_str(), found) {
            ("string", found) => Value::from(text(found)),
            ("date", Value::String(_)) => Value::from(table::since(found, clock)),
            ("integer", Value::Int(_)) => found.clone(),
            ("integer", Value::Float(number)) => Value::Int(number.trunc() as i64),
            ("number", Value::Int(_) | Value::Float(_)) | ("boolean", Value::Bool(_)) => found.clone(),
            _ => Value::Null,
        }
    }
}
