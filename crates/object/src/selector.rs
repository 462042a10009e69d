//! Selectors of labels and of fields.
//!
//! [`Selector`] is the matching form of a label selector. It is parsed from text (`app=web,tier notin (a, b)`), as in
//! list requests, or built from single [`Requirement`]s, as for the selectors in specs. [`FieldSelector`] is the
//! matching form of a field selector (`spec.nodeName=node-1`). Grammars and messages follow
//! `k8s.io/apimachinery/pkg/{labels,fields}`.
//!
//! ```
//! use object::{Selector, value};
//! let selector = Selector::parse("app=web,tier in (front, back),!old")?;
//! assert!(selector.matches(&value!({"app": "web", "tier": "back"})));
//! assert_eq!(selector.to_string(), "app=web,!old,tier in (back,front)");
//! # Ok::<(), object::SelectorError>(())
//! ```

use std::collections::BTreeMap;
use std::fmt;

use crate::field::{Errors, Path};
use crate::{Map, Value, names};

mod fields;
mod parse;
#[cfg(test)]
mod tests;

pub use fields::{FieldRequirement, FieldSelector};

/// Why a selector cannot be made; the text is for clients.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Error {
    /// The text is not of the grammar.
    #[error("{0}")]
    Syntax(String),
    /// A key or a value is wrong.
    #[error("{0}")]
    Invalid(Errors),
    /// A requirement of the text is wrong.
    #[error("unable to parse requirement: {0}")]
    Requirement(Box<Error>),
    /// A `matchExpressions` entry has an operator that does not exist.
    #[error("{} is not a valid label selector operator", crate::quote(.0))]
    Operator(String),
}

/// Labels that a selector can be asked about.
pub trait Labels {
    /// The value of a label.
    fn label(&self, key: &str) -> Option<&str>;
}

impl Labels for Value {
    fn label(&self, key: &str) -> Option<&str> {
        self.get(key).as_str()
    }
}

impl Labels for Map {
    fn label(&self, key: &str) -> Option<&str> {
        self.get(key).and_then(Value::as_str)
    }
}

impl Labels for BTreeMap<String, String> {
    fn label(&self, key: &str) -> Option<&str> {
        self.get(key).map(String::as_str)
    }
}

impl<T: Labels> Labels for Option<T> {
    fn label(&self, key: &str) -> Option<&str> {
        self.as_ref().and_then(|labels| labels.label(key))
    }
}

impl<T: Labels + ?Sized> Labels for &T {
    fn label(&self, key: &str) -> Option<&str> {
        (**self).label(key)
    }
}

impl<K: AsRef<str>, V: AsRef<str>> Labels for [(K, V)] {
    fn label(&self, key: &str) -> Option<&str> {
        self.iter().find(|(k, _)| k.as_ref() == key).map(|(_, v)| v.as_ref())
    }
}

/// How a requirement compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operator {
    /// `key=value`
    Equals,
    /// `key==value`
    DoubleEquals,
    /// `key!=value`; also true where the label is missing.
    NotEquals,
    /// `key in (value, ...)`
    In,
    /// `key notin (value, ...)`; also true where the label is missing.
    NotIn,
    /// `key`
    Exists,
    /// `!key`
    DoesNotExist,
    /// `key>value`, of integers
    GreaterThan,
    /// `key<value`, of integers
    LessThan,
}

/// One condition on one label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requirement {
    key: String,
    operator: Operator,
    /// The number that the operator requires.
    values: Vec<String>,
}

impl Requirement {
    /// A requirement whose key and values are checked.
    ///
    /// # Errors
    /// The number of values does not match the operator, or key or values are not valid in labels.
    pub fn new(key: &str, operator: Operator, values: Vec<String>) -> Result<Requirement, Errors> {
        let root = Path::root("");
        let path = root.child("values");
        let mut errors = check_key(&root.child("key"), key);
        let listed = || Value::List(values.iter().map(|v| Value::from(v.as_str())).collect());
        match operator {
            Operator::In | Operator::NotIn if values.is_empty() => {
                errors.invalid(&path, listed(), "for 'in', 'notin' operators, values set can't be empty");
            }
            Operator::Equals | Operator::DoubleEquals | Operator::NotEquals if values.len() != 1 => {
                errors.invalid(&path, listed(), "exact-match compatibility requires one single value");
            }
            Operator::Exists | Operator::DoesNotExist if !values.is_empty() => {
                errors.invalid(&path, listed(), "values set must be empty for exists and does not exist");
            }
            Operator::GreaterThan | Operator::LessThan => {
                if values.len() != 1 {
                    errors.invalid(
                        &path,
                        listed(),
                        "for 'Gt', 'Lt' operators, exactly one value is required",
                    );
                }
                for (i, value) in values.iter().enumerate().filter(|(_, v)| integer(v).is_none()) {
                    let why = "for 'Gt', 'Lt' operators, the value must be an integer";
                    errors.invalid(&path.index(i), value.as_str(), why);
                }
            }
            _ => {}
        }
        for (i, value) in values.iter().enumerate() {
            let wrong = names::is_valid_label_value(value);
            if !wrong.is_empty() {
                errors.invalid(&path.index(i).key(key), value.as_str(), wrong.join("; "));
            }
        }
        errors.into_result().map(|()| Requirement { key: key.into(), operator, values })
    }

    /// The label.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The comparison.
    pub fn operator(&self) -> Operator {
        self.operator
    }

    /// The values to compare with.
    pub fn values(&self) -> &[String] {
        &self.values
    }

    /// Whether labels fulfil it.
    pub fn matches(&self, labels: &(impl Labels + ?Sized)) -> bool {
        let label = labels.label(&self.key);
        let listed = || label.is_some_and(|label| self.values.iter().any(|value| value == label));
        match self.operator {
            Operator::In | Operator::Equals | Operator::DoubleEquals => listed(),
            Operator::NotIn | Operator::NotEquals => !listed(),
            Operator::Exists => label.is_some(),
            Operator::DoesNotExist => label.is_none(),
            Operator::GreaterThan => self.compare(label).is_some_and(|(label, value)| label > value),
            Operator::LessThan => self.compare(label).is_some_and(|(label, value)| label < value),
        }
    }

    fn compare(&self, label: Option<&str>) -> Option<(i64, i64)> {
        Some((integer(label?)?, integer(self.values.first()?)?))
    }
}

fn integer(text: &str) -> Option<i64> {
    text.parse().ok()
}

fn check_key(path: &Path<'_>, key: &str) -> Errors {
    let wrong = names::is_qualified_name(key);
    let mut errors = Errors::new();
    if !wrong.is_empty() {
        errors.invalid(path, key, wrong.join("; "));
    }
    errors
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = &self.key;
        let mut values: Vec<&str> = self.values.iter().map(String::as_str).collect();
        values.sort_unstable();
        let values = values.join(",");
        match self.operator {
            Operator::Equals => write!(f, "{key}={values}"),
            Operator::DoubleEquals => write!(f, "{key}=={values}"),
            Operator::NotEquals => write!(f, "{key}!={values}"),
            Operator::In => write!(f, "{key} in ({values})"),
            Operator::NotIn => write!(f, "{key} notin ({values})"),
            Operator::Exists => write!(f, "{key}"),
            Operator::DoesNotExist => write!(f, "!{key}"),
            Operator::GreaterThan => write!(f, "{key}>{values}"),
            Operator::LessThan => write!(f, "{key}<{values}"),
        }
    }
}

/// A label selector, ready to match: all of its requirements must hold, or it matches nothing at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selector {
    /// `None` matches nothing; sorted by key.
    requirements: Option<Vec<Requirement>>,
}

impl Selector {
    /// Matches all objects.
    pub const fn everything() -> Selector {
        Selector { requirements: Some(Vec::new()) }
    }

    /// Matches no object.
    pub const fn nothing() -> Selector {
        Selector { requirements: None }
    }

    /// Matches what fulfils all of them.
    pub fn new(requirements: impl IntoIterator<Item = Requirement>) -> Selector {
        let mut requirements: Vec<Requirement> = requirements.into_iter().collect();
        requirements.sort_by(|a, b| a.key.cmp(&b.key));
        Selector { requirements: Some(requirements) }
    }

    /// Matches objects that carry all of these labels (the selectors of Services and
    /// ReplicationControllers). Keys and values are not checked: ones that no label can have match nothing.
    pub fn from_labels<K: Into<String>, V: Into<String>>(
        labels: impl IntoIterator<Item = (K, V)>,
    ) -> Selector {
        Selector::new(labels.into_iter().map(|(key, value)| Requirement {
            key: key.into(),
            operator: Operator::Equals,
            values: vec![value.into()],
        }))
    }

    /// Parses the text form.
    ///
    /// # Errors
    /// With upstream's messages.
    pub fn parse(text: &str) -> Result<Selector, Error> {
        parse::parse(text).map(Selector::new)
    }

    /// Whether labels fulfil it.
    pub fn matches(&self, labels: &(impl Labels + ?Sized)) -> bool {
        self.requirements.as_ref().is_some_and(|all| all.iter().all(|one| one.matches(labels)))
    }

    /// Whether it matches every object.
    pub fn is_everything(&self) -> bool {
        self.requirements.as_ref().is_some_and(Vec::is_empty)
    }

    /// The requirements; `None` if it matches nothing whatever the labels.
    pub fn requirements(&self) -> Option<&[Requirement]> {
        self.requirements.as_deref()
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, requirement) in self.requirements.iter().flatten().enumerate() {
            write!(f, "{}{requirement}", if i > 0 { "," } else { "" })?;
        }
        Ok(())
    }
}
