//! Reasons why a container is not running yet.

/// The reason and message of a waiting container, as its status shows them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Waiting {
    /// A CamelCase word.
    pub(crate) reason: &'static str,
    /// A human-readable message; may be empty.
    pub(crate) message: String,
}

impl Waiting {
    pub(crate) fn new(reason: &'static str, message: impl Into<String>) -> Waiting {
        Waiting { reason, message: message.into() }
    }
}
