//! The result of a probe or a hook.

/// The result of a probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Success,
    /// A success with a warning.
    Warning(String),
    Failure(String),
    /// The probe could not be run.
    Error(String),
}
