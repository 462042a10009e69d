//! What functions do, by their names: an operation looks at the types of its arguments itself, so that it also serves
//! calls whose overload is known only when they are evaluated.

mod arithmetic;
mod conversions;
mod relations;
mod strings;
mod time;

use regex::Regex;

use crate::library;
use crate::value::{Evaluated, Value, type_name};
use crate::{EvaluationError, Meter};

pub(crate) use arithmetic::checked_add;
pub(crate) use strings::compile_regex;

/// What an operation works with besides its arguments.
pub(crate) struct Context<'c, 'm> {
    pub(crate) meter: &'c mut Meter<'m>,
    /// The regular expression, if it is constant.
    pub(crate) regex: Option<&'c Regex>,
}

/// What a function does. It may take its arguments.
pub(crate) type Operation = for<'v> fn(&mut Context<'_, '_>, &mut [Value<'v>]) -> Evaluated<'v>;

/// The operation of a function with this name, of its only possible overload, and of this number of arguments, its
/// target included.
pub(crate) fn operation(function: &str, overload: Option<&str>, arity: usize) -> Option<Operation> {
    arithmetic::operation(function, arity)
        .or_else(|| relations::operation(function))
        .or_else(|| conversions::operation(function))
        .or_else(|| time::operation(function))
        .or_else(|| strings::operation(function))
        .or_else(|| library::operation(function, overload))
}

/// The error of arguments for which a function has no form.
pub(crate) fn no_overload<'v>(function: &str, args: &[Value<'_>]) -> Evaluated<'v> {
    let types: Vec<String> = args.iter().map(|arg| type_name(&arg.runtime_type()).into_owned()).collect();
    Err(EvaluationError::failed(format!("no such overload: {function}({})", types.join(", "))))
}

/// An error of an operation.
pub(crate) fn fail<'v>(message: impl Into<std::sync::Arc<str>>) -> Evaluated<'v> {
    Err(EvaluationError::failed(message))
}
