//! The libraries beyond the language's own: their declarations for the checker, and what their functions do.
//!
//! They are those of Kubernetes 1.37 (`k8s.io/apiserver/pkg/cel/environment/base.go`).

mod authorizer;
mod format;
mod jsonpatch;
mod lists;
mod lists_ext;
mod named_format;
mod netip;
mod network;
mod optional;
mod quantity;
mod regex;
mod semver;
mod sets;
mod strings;
#[cfg(test)]
mod tests;
mod url;

pub use authorizer::{
    Attributes, Authorizer, Decision, Decisions, ServiceAccount, authorizer, resource_check,
    types as authorizer_types,
};
pub(crate) use named_format::NamedFormat;

use std::sync::LazyLock;

use crate::operation::Operation;
use crate::{Env, Function, Type, standard};

/// The functions of all libraries that every expression of Kubernetes can use.
pub fn functions() -> Vec<Function> {
    [
        authorizer::functions(),
        lists::functions(),
        lists_ext::functions(),
        named_format::functions(),
        network::functions(),
        optional::functions(),
        quantity::functions(),
        regex::functions(),
        semver::functions(),
        sets::functions(),
        strings::functions(),
        url::functions(),
    ]
    .concat()
}

/// The operation of a library's function, and of this overload if it is the only one.
pub(crate) fn operation(function: &str, overload: Option<&str>) -> Option<Operation> {
    if let Some(operation) = overload.and_then(lists::sum_of) {
        return Some(operation);
    }
    strings::operation(function)
        .or_else(|| lists::operation(function))
        .or_else(|| lists_ext::operation(function))
        .or_else(|| sets::operation(function))
        .or_else(|| optional::operation(function))
        .or_else(|| url::operation(function))
        .or_else(|| quantity::operation(function))
        .or_else(|| network::operation(function))
        .or_else(|| named_format::operation(function))
        .or_else(|| semver::operation(function))
        .or_else(|| authorizer::operation(function))
        .or_else(|| jsonpatch::operation(function))
}

/// The environment of every expression of Kubernetes 1.37, without variables.
pub fn kubernetes() -> Env {
    static ENVIRONMENT: LazyLock<Env> = LazyLock::new(|| {
        Env::default()
            .with_functions(standard())
            .with_functions(functions())
            .with_type("net.IP", Type::opaque("net.IP"))
            .with_type("net.CIDR", Type::opaque("net.CIDR"))
    });
    ENVIRONMENT.clone()
}

/// The same with what mutating policies can use in addition.
pub fn kubernetes_with_patches() -> Env {
    static ENVIRONMENT: LazyLock<Env> =
        LazyLock::new(|| kubernetes().with_functions(jsonpatch::functions()).with_patches());
    ENVIRONMENT.clone()
}
