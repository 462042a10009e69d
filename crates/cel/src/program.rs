//! Executable expressions.

mod attribute;
mod evaluate;
mod plan;
#[cfg(test)]
mod rules;
#[cfg(test)]
mod tests;

use std::collections::HashSet;

use regex::Regex;

use crate::cost::Price;
use crate::operation::Operation;
use crate::value::{Evaluated, MapKey, Text, Value};
use crate::{Checked, EvaluationError, Meter};

/// An expression that can be evaluated, as often as wanted and in several threads at once.
///
/// ```
/// use cel::{Program, Type, Variables, check, kubernetes, parse};
/// let env = kubernetes().with_variable("x", Type::list(Type::Int));
/// let program = Program::new(&check(parse("x.all(y, y > 0)")?, &env)?)?;
/// let x = object::json::parse(b"[1, 2]").unwrap();
/// let variables = Variables::default().with("x", cel::Value::of_tree(&x, None)?);
/// let outcome = program.evaluate(&variables, 1_000_000);
/// assert_eq!(outcome.result?.as_bool(), Some(true));
/// assert_eq!(outcome.cost, 12);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Program {
    root: Node,
    slots: usize,
    bytes: usize,
}

/// Why an expression cannot become a program: a constant in it has no value, or a regular expression is invalid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("program instantiation failed: {message}")]
pub struct ProgramError {
    /// What is wrong.
    pub message: String,
}

/// What an evaluation gave.
#[derive(Clone, Debug)]
pub struct Outcome<'v> {
    /// The value, or why there is none.
    pub result: Evaluated<'v>,
    /// What it has cost.
    pub cost: u64,
}

/// Where the values of variables come from.
pub trait Activation<'v> {
    /// The value of a variable; `None` if there is none of this name.
    fn variable(&self, name: &str) -> Option<Evaluated<'v>>;

    /// The value of a field of a variable whose fields are computed on their first use, as those of `variables` in
    /// policies. What that costs goes on the meter, or on the caller's own. `None` if the variable has a value as others
    /// have.
    fn member(&self, variable: &str, field: &str, meter: &mut Meter<'_>) -> Option<Evaluated<'v>> {
        let _ = (variable, field, meter);
        None
    }
}

/// Variables with values that are known.
#[derive(Clone, Debug, Default)]
pub struct Variables<'v> {
    values: Vec<(Box<str>, Value<'v>)>,
}

impl<'v> Variables<'v> {
    /// The same with a variable.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value<'v>>) -> Variables<'v> {
        self.values.push((name.into(), value.into()));
        self
    }
}

impl<'v> Activation<'v> for Variables<'v> {
    fn variable(&self, name: &str) -> Option<Evaluated<'v>> {
        self.values.iter().find(|(known, _)| **known == *name).map(|(_, value)| Ok(value.clone()))
    }
}

impl Program {
    /// Makes a program of an expression that has been checked.
    ///
    /// # Errors
    /// [`ProgramError`]
    pub fn new(checked: &Checked) -> Result<Program, ProgramError> {
        plan::plan(checked, true)
    }

    /// About how much memory it takes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Evaluates it with a budget.
    pub fn evaluate<'v>(&self, activation: &dyn Activation<'v>, budget: u64) -> Outcome<'v> {
        let mut meter = Meter::new(budget);
        let result = self.evaluate_with(activation, &mut meter);
        Outcome { result, cost: meter.cost() }
    }

    /// Evaluates it with a meter, which can also be that of another evaluation, of which it is a part.
    ///
    /// # Errors
    /// [`EvaluationError`]
    pub fn evaluate_with<'v>(&self, activation: &dyn Activation<'v>, meter: &mut Meter<'_>) -> Evaluated<'v> {
        evaluate::run(self, activation, meter)
    }
}

/// A part of a program.
#[derive(Debug)]
enum Node {
    Constant(Value<'static>),
    Attribute(Box<Attribute>),
    And(Box<[Node; 2]>),
    Or(Box<[Node; 2]>),
    Equality {
        negated: bool,
        sides: Box<[Node; 2]>,
    },
    /// Whether a value is in a constant list.
    Member {
        value: Box<Node>,
        set: HashSet<MapKey<'static>>,
    },
    /// Everything but false is true, even failure.
    NotStrictlyFalse(Box<Node>),
    /// `or`, or `orValue` if it unwraps.
    OptionalOr {
        sides: Box<[Node; 2]>,
        unwraps: bool,
    },
    Call(Box<Call>),
    List {
        items: Vec<Item>,
    },
    Map {
        entries: Vec<(Node, Item)>,
    },
    Message {
        name: std::sync::Arc<str>,
        fields: Vec<(Box<str>, Item)>,
    },
    Fold(Box<Fold>),
}

/// A part of a list, map or message.
#[derive(Debug)]
struct Item {
    node: Node,
    /// Whether it is left out if its value, an optional, is absent.
    optional: bool,
}

/// A variable or a value with fields and indices behind it.
#[derive(Debug)]
struct Attribute {
    base: Base,
    qualifiers: Vec<Qualifier>,
    /// `has(...)`
    test: bool,
}

#[derive(Debug)]
enum Base {
    Variable(Box<str>),
    /// A variable of a macro.
    Slot(usize),
    Value(Node),
    Conditional(Box<[Node; 3]>),
}

#[derive(Debug)]
struct Qualifier {
    key: Key,
    optional: bool,
}

#[derive(Debug)]
enum Key {
    Field(Text<'static>),
    Constant(Value<'static>),
    Computed(Node),
}

#[derive(Debug)]
struct Call {
    operation: Operation,
    args: Vec<Node>,
    price: Price,
    /// The constant pattern.
    regex: Option<Regex>,
    /// Whether the first argument that fails ends the call at once and without cost, as upstream in functions of any
    /// number of arguments.
    fails_early: bool,
    /// The slot of the accumulator that is the first argument: it is changed in place.
    accumulator: Option<usize>,
}

#[derive(Debug)]
struct Fold {
    range: Node,
    start: Node,
    condition: Node,
    step: Node,
    result: Node,
    accumulator: usize,
    variable: usize,
    second: Option<usize>,
}

impl Node {
    fn attribute(base: Base) -> Node {
        Node::Attribute(Box::new(Attribute { base, qualifiers: Vec::new(), test: false }))
    }
}

/// The error of an index that a list does not have.
fn out_of_bounds(index: &Value<'_>) -> EvaluationError {
    EvaluationError::failed(format!("index out of bounds: {index}"))
}
