//! Custom resources: kinds that are defined while the server runs.
//!
//! For other kinds this is code, here it is data: a compiled schema for defaults and validation, columns, and
//! selectable fields.

use clock::Clock;
use object::structural::Structural;
use object::{FieldValues, Value, field, value};

use crate::json_path;
use crate::strategy::{ScalePaths, Strategy, keep_metadata, keep_spec};
use crate::table;

mod column;
mod embedded;
mod scale;
#[cfg(test)]
mod tests;

pub use crate::json_path::{JsonPath, JsonPathError};
pub use column::PrinterColumn;

/// The strategy of one version of a custom resource.
pub struct CustomResource {
    /// The schema.
    pub structural: Structural,
    /// The rules of the schema, if it has any.
    pub rules: Option<rules::Rules>,
    /// Whether `status` is a subresource.
    pub has_status: bool,
    /// The columns behind that of the name.
    pub columns: Vec<PrinterColumn>,
    /// The fields that field selectors may name.
    pub selectable: Vec<JsonPath>,
    /// Where its objects keep what `scale` shows, if it is a subresource.
    pub scale: Option<ScalePaths>,
    /// The warning in the response to every request, if the version is deprecated.
    pub deprecation: Option<String>,
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
        let mut errors = self.structural.validate(object);
        self.validate_scale(object, true, &mut errors);
        embedded::check(&self.structural, object, &mut errors);
        errors
    }

    fn validate_update(&self, object: &Value, old: &Value) -> field::Errors {
        let mut errors = self.structural.validate_update(object, old);
        self.validate_scale(object, true, &mut errors);
        embedded::check(&self.structural, object, &mut errors);
        errors
    }

    fn validate_status_update(&self, object: &Value, old: &Value) -> field::Errors {
        let mut errors = self.structural.validate_status_update(object, old);
        self.validate_scale(object, false, &mut errors);
        embedded::check(&self.structural, object, &mut errors);
        errors
    }

    /// The rules of the schema, unless the object is so wrong that they could not be evaluated.
    fn validate_rules(
        &self,
        object: &Value,
        old: Option<&Value>,
        errors: &field::Errors,
        cost_max: Option<u64>,
    ) -> Option<field::Errors> {
        use field::ErrorKind::{NotSupported, Required, TooLong, TooMany, TypeInvalid};
        let Some(rules) = &self.rules else { return Some(field::Errors::new()) };
        let blocks = |error: &field::Error| {
            matches!(error.kind, NotSupported | Required | TooLong | TooMany | TypeInvalid)
        };
        if errors.iter().any(blocks) {
            let why = "some validation rules were not checked because the object was invalid; correct the existing errors to complete validation";
            let mut blocked = field::Errors::new();
            blocked.invalid(&field::Path::root("<nil>"), Value::Null, why);
            return Some(blocked);
        }
        match cost_max {
            Some(cost_max) => rules.validate_within(object, old, cost_max),
            None => Some(rules.validate(object, old)),
        }
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
        let text = |path: &JsonPath| path.first(object).map(json_path::text).unwrap_or_default();
        self.selectable.iter().map(|path| (path.label(), text(path))).collect()
    }

    fn is_selectable(&self, field: &str) -> bool {
        self.selectable.iter().any(|path| path.label() == field)
    }

    fn deprecation(&self) -> Option<&str> {
        self.deprecation.as_deref()
    }

    fn scale_paths(&self) -> Option<&ScalePaths> {
        self.scale.as_ref()
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

impl CustomResource {
    /// Checks what `scale` shows; `spec`: the wanted number too.
    fn validate_scale(&self, object: &Value, spec: bool, errors: &mut field::Errors) {
        if let Some(paths) = &self.scale {
            scale::check(paths, object, spec, errors);
        }
    }
}
