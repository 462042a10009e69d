//! Custom resources: kinds that are defined while the server runs.
//!
//! For other kinds this is code, here it is data: a compiled schema for defaults and validation, columns, and
//! selectable fields.

use clock::Clock;
use object::structural::Structural;
use object::{FieldValues, Value, field, value};

use crate::strategy::{Strategy, keep_metadata, keep_spec};
use crate::table;

mod column;
mod path;
#[cfg(test)]
mod tests;

pub use column::PrinterColumn;
pub use path::{JsonPath, JsonPathError};

/// The strategy of one version of a custom resource.
pub struct CustomResource {
    /// The schema.
    pub structural: Structural,
    /// Whether `status` is a subresource.
    pub has_status: bool,
    /// The columns behind that of the name.
    pub columns: Vec<PrinterColumn>,
    /// The fields that field selectors may name.
    pub selectable: Vec<JsonPath>,
}

impl Strategy for CustomResource {
    fn default(&self, object: &mut Value) {
        self.structural.default(object);
    }

    fn prepare_status_update(&self, object: &mut Value, old: &Value) {
        keep_spec(object, old);
        keep_metadata(object, old);
    }

    fn validate(&self, object: &Value) -> field::Errors {
        self.structural.validate(object)
    }

    fn validate_status_update(&self, object: &Value, _old: &Value) -> field::Errors {
        self.structural.validate(object)
    }

    fn has_status(&self) -> bool {
        self.has_status
    }

    fn tracks_generation(&self) -> bool {
        true
    }

    fn updates_unconditionally(&self) -> bool {
        false
    }

    fn field_values(&self, object: &Value) -> FieldValues {
        let text = |path: &JsonPath| path.first(object).map(path::text).unwrap_or_default();
        self.selectable.iter().map(|path| (path.label(), text(path))).collect()
    }

    fn is_selectable(&self, field: &str) -> bool {
        self.selectable.iter().any(|path| path.label() == field)
    }

    fn column_definitions(&self) -> Vec<Value> {
        let name = value!({
            "name": table::NAME.name, "type": table::NAME.kind, "format": table::NAME.format,
            "description": table::NAME.description, "priority": 0i64
        });
        std::iter::once(name).chain(self.columns.iter().map(PrinterColumn::definition)).collect()
    }

    fn row(&self, object: &Value, clock: &Clock) -> Vec<Value> {
        let name = table::name(object);
        std::iter::once(name).chain(self.columns.iter().map(|column| column.cell(object, clock))).collect()
    }
}
