//! What differs from kind to kind: defaults, rules, preparation and table columns.
//!
//! The API server has one path for every resource; what is special about a kind is a [`Strategy`], and
//! [`strategy`] finds it. This crate knows objects and the schema table. It must not know storage, HTTP or
//! other objects than the one at hand (admission and controllers see those).

mod strategy;
pub mod table;
pub mod validation;

pub use strategy::{NameRule, Strategy, restore};

/// A kind without behaviour of its own; custom resources are such, too.
struct Plain;

impl Strategy for Plain {}

/// The strategy of a resource. One that is not built in gets that of a kind without behaviour of its own.
pub fn strategy(_group: &str, _plural: &str) -> &'static dyn Strategy {
    &Plain
}
