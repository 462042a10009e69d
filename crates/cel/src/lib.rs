//! The Common Expression Language (CEL) as Kubernetes uses it: in rules of custom resource definitions, match conditions
//! and admission policies.
//!
//! An expression goes through three steps. [`parse`] makes an [`Ast`] of its text, with macros expanded. [`check`] finds
//! the type of each part and the functions that may be meant, against an [`Env`] of variables and types. A program made
//! of that is evaluated as often as wanted, with a budget. What an expression may cost at most is estimated before it is
//! accepted, from the sizes that a schema allows ([`Shape`]); what it does cost is counted while it runs, in the same units.
//!
//! Language, types and costs are those of cel-go with the options of Kubernetes 1.37 (`k8s.io/apiserver/pkg/cel`).

mod ast;
mod builder;
mod check;
mod checked;
mod cost;
mod declarations;
mod env;
mod error;
mod escape;
mod estimate;
#[cfg(test)]
mod facts;
mod functions;
mod go;
mod issue;
mod lexer;
pub mod library;
mod macros;
mod meter;
mod operation;
mod parse;
mod program;
mod shape;
mod standard;
mod types;
mod validate;
mod value;
mod words;

pub use ast::{Ast, Comprehension, Entry, Expr, FieldInit, Id, Kind, Literal};
pub use check::check;
pub use checked::{Checked, Reference};
pub use declarations::{Function, Overload};
pub use env::Env;
pub use error::EvaluationError;
pub use escape::escape;
pub use estimate::{CostRange, Range, SizeRange, estimate};
pub use issue::{Issue, Issues};
pub use library::{Authorizer, Decisions, kubernetes, kubernetes_with_patches};
pub use meter::Meter;
pub use parse::parse;
pub use program::{Activation, Outcome, Program, ProgramError, Variables};
pub use shape::{Field, ListKind, ObjectShape, Shape, ShapeKind};
pub use standard::standard;
pub use types::Type;
pub use value::{Bytes, Duration, Evaluated, List, Map, MapKey, Object, Opaque, Text, Timestamp, Value};
pub use words::is_word;

/// Parses and checks an expression, as upstream's `Env.Compile` does.
///
/// ```
/// let env = cel::Env::default().with_functions(cel::standard()).with_variable("replicas", cel::Type::Int);
/// assert_eq!(cel::compile("replicas > 1", &env).map(|checked| checked.output().clone()), Ok(cel::Type::Bool));
/// assert!(cel::compile("replicas > 'a'", &env).is_err());
/// ```
///
/// # Errors
/// The mistakes found by [`parse`], or else by [`check`].
pub fn compile(text: &str, env: &Env) -> Result<Checked, Issues> {
    check(parse(text)?, env)
}

/// The same for expressions that can name values, `cel.bind(x, a, b)`, which most places of Kubernetes do not know.
///
/// # Errors
/// As [`compile`].
pub fn compile_with_bindings(text: &str, env: &Env) -> Result<Checked, Issues> {
    check(parse::parse_with(text, true)?, env)
}
