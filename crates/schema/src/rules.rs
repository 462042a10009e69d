//! Constraints on values in the definition of a custom resource, beyond their types.

/// Rules of one value. The built-in table has none: its kinds are validated by their strategies.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rules {
    /// The description; empty if there is none.
    pub description: Box<str>,
    /// Whether `null` may stand for the value.
    pub nullable: bool,
    /// The values that are allowed, as JSON texts; empty where all are.
    pub allowed: Box<[Box<str>]>,
    /// The smallest number.
    pub minimum: Option<Limit>,
    /// The largest number.
    pub maximum: Option<Limit>,
    /// The number that the value is a multiple of.
    pub multiple_of: Option<f64>,
    /// The regular expression that a string matches somewhere.
    pub pattern: Option<Box<str>>,
    /// The format of a string or number, such as `date-time`.
    pub format: Option<Box<str>>,
    /// How many characters a string has.
    pub length: Count,
    /// How many items a list has.
    pub items: Count,
    /// How many members an object has.
    pub members: Count,
}

/// A bound of a number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limit {
    /// The bound.
    pub value: f64,
    /// Whether the bound itself is out of bounds.
    pub exclusive: bool,
}

/// Bounds of a number of things, both inclusive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// The least number.
    pub min: Option<usize>,
    /// The greatest number.
    pub max: Option<usize>,
}
