//! Why an evaluation has no value.

use std::sync::Arc;

/// Why an evaluation has no value. The texts are cel-go's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EvaluationError {
    /// The expression fails for these values: `no such key: x`, `division by zero`. `||` and `&&` can absorb it.
    #[error("{0}")]
    Failed(Arc<str>),
    /// It costs more than it may.
    #[error("operation cancelled: actual cost limit exceeded")]
    CostLimit,
    /// It would make values of more memory than its budget stands for, or compare too much.
    #[error("operation cancelled: memory limit exceeded")]
    MemoryLimit,
    /// The caller's deadline has passed.
    #[error("operation interrupted")]
    Interrupted,
    /// It needs a decision that its [`Authorizer`](crate::Authorizer) does not have yet. Evaluate it again then.
    #[error("a decision of the authorizer is pending")]
    Pending,
}

impl EvaluationError {
    /// An error of the expression.
    pub fn failed(message: impl Into<Arc<str>>) -> EvaluationError {
        EvaluationError::Failed(message.into())
    }

    /// A key or field that a map or an object does not have.
    pub fn no_such_key(key: impl std::fmt::Display) -> EvaluationError {
        EvaluationError::failed(format!("no such key: {key}"))
    }

    /// Arguments for which there is no form of a function.
    pub(crate) fn no_such_overload() -> EvaluationError {
        EvaluationError::failed("no such overload")
    }

    /// Whether it ends the evaluation, wherever it happens.
    pub fn is_final(&self) -> bool {
        !matches!(self, EvaluationError::Failed(_))
    }
}
