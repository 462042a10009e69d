//! Label selectors of specs.
//!
//! The grammar of selectors and their matching form are in [`object`]; this module converts a spec's
//! `metav1.LabelSelector`, in any form, to a selector.
//!
//! ```
//! use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
//! use semantics::selector;
//!
//! let typed = LabelSelector { match_labels: Some([("app".into(), "web".into())].into()), ..LabelSelector::default() };
//! let tree = object::value!({"matchLabels": {"app": "web"}});
//! // Made once, and asked as often as there are objects.
//! let (typed, tree) = (selector(&typed), selector(&tree));
//! assert_eq!(typed, tree);
//! assert!(typed.matches(&object::value!({"app": "web", "tier": "front"})));
//! assert!(!typed.matches(&object::value!({"tier": "front"})));
//! // A selector that is not there selects nothing, an empty one everything.
//! assert_eq!(selector(&None::<LabelSelector>), object::Selector::nothing());
//! assert_eq!(selector(&LabelSelector::default()), object::Selector::everything());
//! ```

use object::field::{Errors, Path};
use object::{Operator, Requirement, Selector, SelectorError, names};

use crate::{Field, View};

/// The matching form of a selector. One that is not there selects nothing, and so does one that is malformed, which
/// validation refuses.
pub fn selector(of: &dyn View) -> Selector {
    try_selector(of).unwrap_or_else(|_| Selector::nothing())
}

/// The matching form of a selector; one that is not there selects nothing.
///
/// # Errors
/// The selector was never validated.
pub fn try_selector(of: &dyn View) -> Result<Selector, SelectorError> {
    match of.as_field() {
        Field::Absent => Ok(Selector::nothing()),
        _ => LabelSelector::read(of).to_selector(),
    }
}

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
    /// Reads one, from whatever form it has; an empty one if it is not there.
    pub fn read(of: &dyn View) -> LabelSelector {
        let mut match_labels = Vec::new();
        of.field("matchLabels").each(&mut |name, value| {
            match_labels.extend(value.as_text().map(|value| (name.to_owned(), value.to_owned())));
        });
        LabelSelector {
            match_labels,
            match_expressions: of
                .field("matchExpressions")
                .items()
                .map(LabelSelectorRequirement::read)
                .collect(),
        }
    }

    /// The matching form; an empty one matches everything.
    ///
    /// # Errors
    /// A key, a value or an operator is wrong (validation refuses such).
    pub fn to_selector(&self) -> Result<Selector, SelectorError> {
        let equal = self.match_labels.iter().map(|(key, value)| {
            Requirement::new(key, Operator::Equals, vec![value.clone()]).map_err(SelectorError::Invalid)
        });
        let expressions = self.match_expressions.iter().map(|expression| {
            let operator = match expression.operator.as_str() {
                "In" => Operator::In,
                "NotIn" => Operator::NotIn,
                "Exists" => Operator::Exists,
                "DoesNotExist" => Operator::DoesNotExist,
                other => return Err(SelectorError::Operator(other.into())),
            };
            Requirement::new(&expression.key, operator, expression.values.clone())
                .map_err(SelectorError::Invalid)
        });
        let requirements: Result<Vec<Requirement>, SelectorError> = equal.chain(expressions).collect();
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
    fn read(of: Field<'_>) -> LabelSelectorRequirement {
        LabelSelectorRequirement {
            key: of.field("key").text().to_owned(),
            operator: of.field("operator").text().to_owned(),
            values: of.field("values").items().filter_map(Field::as_text).map(str::to_owned).collect(),
        }
    }

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
