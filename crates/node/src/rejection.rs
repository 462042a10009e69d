//! Why a pod may not run on the node.

/// Why a pod is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rejection {
    /// The status's reason.
    pub(crate) reason: &'static str,
    pub(crate) message: String,
}
