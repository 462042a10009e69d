//! Operations: what functions do with their arguments.

use regex::Regex;

use crate::value::{Evaluated, Value, type_name};
use crate::{EvaluationError, Meter};

/// What an operation works with besides its arguments.
pub(crate) struct Context<'c, 'm> {
    pub(crate) meter: &'c mut Meter<'m>,
    /// The regular expression, if it is constant.
    pub(crate) regex: Option<&'c Regex>,
}

/// What a function does. It may take its arguments.
pub(crate) type Operation = for<'v> fn(&mut Context<'_, '_>, &mut [Value<'v>]) -> Evaluated<'v>;

/// The error of arguments for which a function has no form.
pub(crate) fn no_overload<'v>(function: &str, args: &[Value<'_>]) -> Evaluated<'v> {
    let types: Vec<String> = args.iter().map(|arg| type_name(&arg.runtime_type()).into_owned()).collect();
    Err(EvaluationError::failed(format!("no such overload: {function}({})", types.join(", "))))
}

/// An error of an operation.
pub(crate) fn fail<'v>(message: impl Into<std::sync::Arc<str>>) -> Evaluated<'v> {
    Err(EvaluationError::failed(message))
}
