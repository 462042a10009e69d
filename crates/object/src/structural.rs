//! Structural schemas: the part of a custom resource's definition that describes its objects.
//!
//! [`Structural::compile`] compiles an OpenAPI v3 schema into a type of the table, so that decoding and pruning are the
//! same as for built-in kinds. Defaults and validation, which built-in kinds have in their strategies, are engines over
//! that type. Upstream: `apiextensions-apiserver/pkg/apiserver/{schema,validation}`.
//!
//! ```
//! use object::structural::Structural;
//! use object::{decode, value};
//! let schema = value!({"type": "object", "properties": {"spec": {
//!     "type": "object", "required": ["size"],
//!     "properties": {"size": {"type": "integer", "maximum": 9}, "color": {"type": "string", "default": "red"}}
//! }}});
//! let widget = Structural::compile("com.example.v1.Widget", &schema)?;
//! let text = br#"{"metadata": {"name": "w"}, "spec": {"size": 10, "shape": "round"}}"#;
//! let mut object = decode::decode_json(text, widget.ty()).unwrap().value;
//! widget.default(&mut object);
//! assert_eq!(object.get("spec"), &value!({"size": 10, "color": "red"}));
//! assert_eq!(
//!     widget.validate(&object).to_string(),
//!     "spec.size: Invalid value: 10: spec.size in body should be less than or equal to 9"
//! );
//! # Ok::<(), object::structural::CompileError>(())
//! ```

use std::collections::HashMap;

use regex::Regex;
use schema::TypeRef;

use crate::Value;
use crate::field::Errors;

mod compile;
mod defaults;
#[cfg(test)]
mod tests;
mod validate;

pub use compile::{CompileError, Problem};

/// A compiled schema.
pub struct Structural {
    ty: TypeRef,
    /// The patterns of all strings, by their texts.
    patterns: HashMap<Box<str>, Regex>,
}

impl Structural {
    /// Compiles the schema of a whole object. `name` is the type's name in OpenAPI.
    ///
    /// # Errors
    /// The schema is not structural, or contains unsupported features.
    pub fn compile(name: &str, schema: &Value) -> Result<Structural, CompileError> {
        compile::compile(name, schema)
    }

    /// The type, which decoding, pruning and OpenAPI use.
    pub fn ty(&self) -> &TypeRef {
        &self.ty
    }

    /// Removes `null` where it is not allowed, and sets defaults for missing fields.
    pub fn default(&self, object: &mut Value) {
        defaults::object(object, &self.ty);
    }

    /// Validates an object, except its metadata.
    pub fn validate(&self, object: &Value) -> Errors {
        validate::object(object, &self.ty, &self.patterns)
    }
}
