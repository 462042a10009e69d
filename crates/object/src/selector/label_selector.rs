//! `metav1.LabelSelector`.

use super::{Error, Operator, Requirement, Selector};
use crate::field::{Errors, Path};
use crate::{Value, names};

/// A label selector as specs carry it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LabelSelector {
    /// Labels and the values they must have.
    pub match_labels: Vec<(String, String)>,
    /// Further requirements.
    pub match_expressions: Vec<LabelSelectorRequirement>,
}

/// One entry of `matchExpressions`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LabelSelectorRequirement {
    /// The label.
    pub key: String,
    /// `In`, `NotIn`, `Exists` or `DoesNotExist`.
    pub operator: String,
    /// Values for `In` and `NotIn`.
    pub values: Vec<String>,
}

impl LabelSelector {
    /// Reads an object; what is not of the schema is left out.
    pub fn from_value(value: &Value) -> LabelSelector {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let expression = |value: &Value| LabelSelectorRequirement {
            key: value.str_at("key").into(),
            operator: value.str_at("operator").into(),
            values: value.get("values").items().filter_map(text).collect(),
        };
        let labels = value.get("matchLabels").entries();
        LabelSelector {
            match_labels: labels.filter_map(|(k, v)| Some((k.to_owned(), text(v)?))).collect(),
            match_expressions: value.get("matchExpressions").items().map(expression).collect(),
        }
    }

    /// The matching form; an empty one matches everything.
    ///
    /// # Errors
    /// A key, a value or an operator is wrong (validation refuses such).
    pub fn to_selector(&self) -> Result<Selector, Error> {
        let equal = self.match_labels.iter().map(|(key, value)| {
            Requirement::new(key, Operator::Equals, vec![value.clone()]).map_err(Error::Invalid)
        });
        let expressions = self.match_expressions.iter().map(|expression| {
            let operator = match expression.operator.as_str() {
                "In" => Operator::In,
                "NotIn" => Operator::NotIn,
                "Exists" => Operator::Exists,
                "DoesNotExist" => Operator::DoesNotExist,
                other => return Err(Error::Operator(other.into())),
            };
            Requirement::new(&expression.key, operator, expression.values.clone()).map_err(Error::Invalid)
        });
        let requirements: Result<Vec<Requirement>, Error> = equal.chain(expressions).collect();
        Ok(Selector::new(requirements?))
    }

    /// Whether it holds nothing.
    pub fn is_empty(&self) -> bool {
        self.match_labels.is_empty() && self.match_expressions.is_empty()
    }

    /// Checks it, as `ValidateLabelSelector` does. `allow_invalid_values` lets values pass that no label can
    /// have: objects that were stored with such must stay writable.
    pub fn validate(&self, path: &Path<'_>, allow_invalid_values: bool) -> Errors {
        let mut errors = Errors::new();
        let labels = path.child("matchLabels");
        for (key, value) in &self.match_labels {
            errors.invalid_each(&labels, key.as_str(), names::is_qualified_name(key));
            errors.invalid_each(&labels, value.as_str(), names::is_valid_label_value(value));
        }
        let expressions = path.child("matchExpressions");
        for (i, expression) in self.match_expressions.iter().enumerate() {
            errors.append(expression.validate(&expressions.index(i), allow_invalid_values));
        }
        errors
    }

    /// Whether some expression holds a value that no label can have.
    pub fn has_invalid_values(&self) -> bool {
        let mut values = self.match_expressions.iter().flat_map(|expression| &expression.values);
        values.any(|value| !names::is_valid_label_value(value).is_empty())
    }
}

impl LabelSelectorRequirement {
    fn validate(&self, path: &Path<'_>, allow_invalid_values: bool) -> Errors {
        let mut errors = Errors::new();
        let values = path.child("values");
        match self.operator.as_str() {
            "In" | "NotIn" if self.values.is_empty() => {
                errors.required(&values, "must be specified when `operator` is 'In' or 'NotIn'");
            }
            "Exists" | "DoesNotExist" if !self.values.is_empty() => {
                errors
                    .forbidden(&values, "may not be specified when `operator` is 'Exists' or 'DoesNotExist'");
            }
            "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
            other => errors.invalid(&path.child("operator"), other, "not a valid selector operator"),
        }
        errors.invalid_each(&path.child("key"), self.key.as_str(), names::is_qualified_name(&self.key));
        if !allow_invalid_values {
            for (i, value) in self.values.iter().enumerate() {
                errors.invalid_each(&values.index(i), value.as_str(), names::is_valid_label_value(value));
            }
        }
        errors
    }
}
