//! Rules in CEL that a custom resource's schema states (`x-kubernetes-validations`).
//!
//! [`check`] is for the definition: rules that do not compile, or that may cost too much, are refused with upstream's
//! words. [`Rules`] is for its objects: the rules of a whole schema, compiled when they are first needed. Upstream:
//! `apiextensions-apiserver/pkg/apiserver/schema/cel` (KEP-2876, ratcheting KEP-4008).

pub mod admission;
mod check;
mod compile;
mod cost;
pub mod devices;
mod field_path;
mod memory;
mod rule;
mod shape;
mod table;
mod validate;

#[cfg(test)]
mod tests;

pub use cel::is_word;
pub use check::check;
pub use compile::Rules;
pub use memory::{Kept, Spent};
pub use shape::shape_of;
pub use table::shape_of_type;
