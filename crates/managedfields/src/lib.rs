//! Who manages which fields of an object, and server-side apply.
//!
//! Every write makes its manager the manager of the fields that it changes; a configuration that is applied makes its
//! manager the manager of all fields that it sets, and of no others. Two that want different values for one field are in
//! conflict. `metadata.managedFields` records this as sets of fields (KEP-555); the schema table says of which parts a
//! value consists.
//!
//! All of it is pure: sets ([`FieldSet`]), the fields of an object ([`fields_of`]), the difference of two states
//! ([`Comparison`]), merging ([`merge`]), and the two kinds of writes ([`update`], [`apply`]).

mod atomic;
mod check;
mod compare;
mod conflict;
mod element;
mod fields;
mod last_applied;
mod managers;
mod merge;
mod place;
mod reconcile;
mod remove;
mod replicas;
mod scope;
mod set;
mod versions;
mod write;

#[cfg(test)]
mod tests;

pub use atomic::atomics;
pub use check::check;
pub use compare::Comparison;
pub use conflict::{Conflict, Conflicts};
pub use element::{Element, ElementError};
pub use fields::fields_of;
pub use managers::{Entry, Managers, Operation};
pub use merge::merge;
pub use replicas::{from_scale, to_scale};
pub use scope::Scope;
pub use set::{FieldPath, FieldSet};
pub use versions::Versions;
pub use write::{ApplyError, Write, apply, update};
