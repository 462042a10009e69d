//! Facts about the Kubernetes API, in one table.
//!
//! A [`TypeDef`] lists the fields of one API type, and each [`Field`] has the facts that the engines need: its JSON
//! name, protobuf number and shape, whether Go holds it behind a pointer, how lists merge, its default. A
//! [`ResourceDef`] has the names, scope, verbs and subresources of one served resource.
//!
//! The built-in table is generated (`cargo xtask gen`) and found by [`type_by_name`] and [`type_by_gvk`], the resources
//! by [`resource`]; a CustomResourceDefinition compiles into the same types at run time, so codecs, patches, field
//! validation, discovery and OpenAPI are written once. This crate contains only facts: it must not know objects, JSON
//! text or any behaviour of a kind.

mod builder;
mod builtin;
mod fields;
#[rustfmt::skip]
mod generated;
mod group_resource;
mod index;
mod names;
mod resources;

pub use builtin::{Kind, kinds, resource, resources, type_by_gvk, type_by_name, types};
pub use fields::{EMBEDDING_MAX, Field, FieldType, ListType, PatchStrategy, Place, Shape, TypeDef, TypeRef};
pub use group_resource::GroupResource;
pub use index::FieldIndex;
pub use names::{FieldName, field_name};
pub use resources::{ResourceDef, Scope, SubresourceDef, Verb};
