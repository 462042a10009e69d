//! Webhooks and policies that a server reads from files (`pkg/admission/plugin/manifest`, KEP-5793).
//!
//! The configuration of each of the four plugins may name a directory. What its files describe is in force before the API
//! answers, cannot be seen or changed there, and applies also to the configurations of admission themselves. A server does
//! not start with files that are wrong; later, when they have changed, it goes on with the last good state.
//!
//! This module reads, checks and follows the files; what becomes of the objects is up to the plugins.

mod directories;
mod load;
mod metrics;
mod owner;
mod source;
#[cfg(test)]
mod tests;
mod watch;

pub use directories::Directories;
pub(super) use load::Loaded;
pub use load::{ManifestError, Refusal};
pub(crate) use metrics::ManifestMetrics;
pub(super) use owner::Owner;
pub(super) use source::Source;

/// What the plugins' sources are made of.
pub(crate) struct Manifests {
    pub(crate) directories: Directories,
    pub(crate) metrics: ManifestMetrics,
}
