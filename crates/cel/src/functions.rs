//! What the functions of the language do, by their names: an operation looks at the types of its arguments itself, so that
//! it also serves calls whose overload is known only when they are evaluated.

mod arithmetic;
mod conversions;
mod relations;
mod strings;
mod time;

use crate::operation::Operation;

pub(crate) use arithmetic::checked_add;
pub(crate) use strings::compile_regex;

/// The operation of a function with this name and number of arguments, its target included.
pub(crate) fn operation(function: &str, arity: usize) -> Option<Operation> {
    arithmetic::operation(function, arity)
        .or_else(|| relations::operation(function))
        .or_else(|| conversions::operation(function))
        .or_else(|| time::operation(function))
        .or_else(|| strings::operation(function))
}
