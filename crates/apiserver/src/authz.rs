//! Authorization, which is always on.
//!
//! A [`Chain`] of [`Authorizer`]s is asked about the [`Attributes`] of each request, and of everything else that needs a
//! right: first the group that may do everything, then nodes by the needs of their pods ([`node`]), then all users by
//! roles ([`Rbac`]). Each allows, denies or has no opinion. Members that ask another server may take time and fail.

mod attributes;
mod authorizer;
mod chain;
mod coverage;
mod follow;
mod masters;
pub mod node;
mod rbac;
mod rules;
#[cfg(test)]
mod tests;

pub use attributes::{ANY_VERSION, Attributes, Target};
pub(crate) use authorizer::aggregate;
pub use authorizer::{Authorizer, BoxError, Decision, OnFailure, Reply, Rules};
pub use chain::{AuthorizerError, Chain, Ruling};
pub(crate) use coverage::{TooLarge, describe, missing, quote_all};
pub use masters::Masters;
pub use node::{NodeAuthorizer, NodeCollections};
pub use rbac::Rbac;
pub use rules::{allows_path, allows_resource};
