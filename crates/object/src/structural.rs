//! Structural schemas: the part of a custom resource's definition that describes its objects.
//!
//! [`Structural::compile`] compiles an OpenAPI v3 schema into a type of the table, so that decoding and pruning are the
//! same as for built-in kinds. Defaults, which built-in kinds have in their strategies, are an engine over that type, and
//! validation walks a tree of rules that is compiled beside it. Upstream: `apiextensions-apiserver/pkg/apiserver/{schema,validation}`.
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

use std::sync::Arc;

use schema::TypeRef;

use crate::field::{Errors, Path};
use crate::{Value, decode};

mod check;
mod compile;
mod completeness;
mod defaults;
mod format;
mod found;
mod go_regexp;
mod lists;
mod node;
mod number;
mod pattern;
mod problem;
#[cfg(test)]
mod tests;
mod validate;

pub use check::{check, warnings};
pub use go_regexp::from_go;
pub use problem::{CompileError, Problem};

/// A compiled schema.
pub struct Structural {
    ty: TypeRef,
    node: node::Node,
    has_defaults: bool,
}

impl Structural {
    /// Compiles the schema of a whole object. `name` is the type's name in OpenAPI.
    ///
    /// # Errors
    /// The schema is not structural.
    pub fn compile(name: &str, schema: &Value) -> Result<Structural, CompileError> {
        compile::compile(name, schema)
    }

    /// The type, which decoding, pruning and OpenAPI use.
    pub fn ty(&self) -> &TypeRef {
        &self.ty
    }

    /// The schema as JSON.
    pub fn source(&self) -> Option<&Arc<str>> {
        self.ty.source.as_ref()
    }

    /// Removes `null` where it is not allowed, and sets defaults for missing fields.
    pub fn default(&self, object: &mut Value) {
        defaults::object(object, &self.ty);
    }

    /// Makes an object that was stored under an earlier schema one of this schema: removes unknown fields and sets
    /// defaults. Returns whether it has changed; if not, its content is undefined.
    pub fn amend(&self, object: &mut Value) -> bool {
        let Ok(decoded) = decode::decode_value(object.take(), &self.ty) else { return false };
        *object = decoded.value;
        let mut changed = !decoded.strict_errors.is_empty();
        if self.has_defaults {
            let before = object.clone();
            self.default(object);
            changed |= *object != before;
        }
        changed
    }

    /// Validates a new object, except its metadata and that of objects inside of it.
    pub fn validate(&self, object: &Value) -> Errors {
        let mut errors = validate::value(&self.node, object, None, "");
        errors.append(lists::check(&self.node, object));
        errors
    }

    /// Validates a change. A part that the change leaves as it was is not refused.
    pub fn validate_update(&self, object: &Value, old: &Value) -> Errors {
        let mut errors = validate::value(&self.node, object, Some(old), "");
        if lists::check(&self.node, old).is_empty() {
            errors.append(lists::check(&self.node, object));
        }
        errors
    }

    /// Validates a change of `status`, with the rules of that part alone.
    pub fn validate_status_update(&self, object: &Value, old: &Value) -> Errors {
        let (status, old) = (object.get("status"), old.get("status"));
        match self.node.property("status") {
            Some(node) if object.as_map().is_some_and(|map| map.contains_key("status")) => {
                validate::value(node, status, Some(old).filter(|old| !old.is_null()), "status")
            }
            _ => Errors::new(),
        }
    }

    /// Visits the objects inside of an object that have an `apiVersion`, a `kind` and metadata of their own.
    pub fn for_each_embedded(&self, object: &Value, visit: &mut dyn FnMut(&Value, &Path<'_>)) {
        lists::for_each_embedded(&self.node, object, &Path::root(""), visit);
    }
}
