//! What a webhook, a policy or a binding is for.

use object::{Selector, Value};
use semantics::LabelSelector;

use super::rule::Rule;

/// Rules and selectors.
pub(in crate::admission) struct Criteria {
    /// None: every request of the policy.
    pub(in crate::admission) rules: Option<Vec<Rule>>,
    /// What is not meant although the rules match it.
    pub(super) excluded: Vec<Rule>,
    /// Whether rules also match other versions of the same objects.
    pub(in crate::admission) matches_equivalents: bool,
    /// The labels of namespaces, and those of objects.
    pub(in crate::admission) namespaces: Selection,
    pub(in crate::admission) objects: Selection,
}

/// A selector, or why it is none: its owner fails whatever it would match.
pub(in crate::admission) type Selection = Result<Selector, String>;

impl Criteria {
    /// Those of a webhook.
    pub(in crate::admission) fn of_webhook(hook: &Value) -> Criteria {
        Criteria::read(hook, Some(rules(hook, "rules")), Vec::new())
    }

    /// Those of a policy or a binding: its `matchConstraints` or `matchResources`.
    pub(in crate::admission) fn of_policy(resources: &Value) -> Criteria {
        let given = Some(rules(resources, "resourceRules")).filter(|rules| !rules.is_empty());
        Criteria::read(resources, given, rules(resources, "excludeResourceRules"))
    }

    fn read(of: &Value, rules: Option<Vec<Rule>>, excluded: Vec<Rule>) -> Criteria {
        let selection = |member: &str| match of.get(member) {
            Value::Null => Ok(Selector::everything()),
            given => LabelSelector::read(given).to_selector().map_err(|error| error.to_string()),
        };
        Criteria {
            rules,
            excluded,
            matches_equivalents: of.str_at("matchPolicy") == "Equivalent",
            namespaces: selection("namespaceSelector"),
            objects: selection("objectSelector"),
        }
    }
}

fn rules(of: &Value, member: &str) -> Vec<Rule> {
    of.get(member).items().map(Rule::read).collect()
}
