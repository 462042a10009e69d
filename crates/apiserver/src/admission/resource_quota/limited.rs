//! Resources that are used only where a quota limits them.

use std::collections::BTreeSet;

use object::Value;
use semantics::quota::{Measure, ResourceList, Scope};

use super::quota::Quota;

/// A rule: these objects need a quota.
#[derive(Clone, Debug)]
pub(super) struct Limited {
    /// The API group of the objects.
    pub(super) group: String,
    /// Their plural name.
    pub(super) plural: String,
    /// The quota must limit what these objects use of each resource whose name contains one of these.
    pub(super) contains: Vec<String>,
    /// Objects in these scopes, of whatever resource, need a quota that has such a scope and that they are in.
    pub(super) scopes: Vec<Scope>,
}

impl Limited {
    /// Whether the rule may concern such objects.
    pub(super) fn concerns(&self, measure: Measure<'_>) -> bool {
        self.is_of(measure) || !self.scopes.is_empty()
    }

    fn is_of(&self, measure: Measure<'_>) -> bool {
        self.group == measure.group() && self.plural == measure.plural()
    }
}

/// Checks that quotas cover what the rules limit of an object's usage.
///
/// # Errors
/// What no quota covers, in upstream's words.
pub(super) fn check(
    rules: &[Limited],
    quotas: &[Quota],
    measure: Measure<'_>,
    object: &Value,
    usage: &ResourceList,
) -> Result<(), String> {
    let is_limited = |name: &str| {
        let mut of_these = rules.iter().filter(|rule| rule.is_of(measure));
        of_these.any(|rule| rule.contains.iter().any(|part| name.contains(part.as_str())))
    };
    let is_covered = |name: &str| {
        quotas.iter().any(|quota| quota.hard.get(name).is_some() && quota.covers(measure, object))
    };
    let open: Vec<&str> = usage
        .iter()
        .filter(|(name, amount)| amount.sign() > 0 && is_limited(name) && !is_covered(name))
        .map(|(name, _)| name)
        .collect();
    if !open.is_empty() {
        return Err(format!("insufficient quota to consume: {}", open.join(",")));
    }
    let in_scope = |scope: &&Scope| measure.is_in(scope, object);
    let covered: BTreeSet<&str> =
        quotas.iter().flat_map(|quota| &quota.scopes).filter(in_scope).map(Scope::name).collect();
    let scopes = rules.iter().flat_map(|rule| &rule.scopes).filter(in_scope);
    let open: Vec<String> =
        scopes.filter(|scope| !covered.contains(scope.name())).map(Scope::to_string).collect();
    if open.is_empty() {
        return Ok(());
    }
    Err(format!("insufficient quota to match these scopes: [{}]", open.join(" ")))
}
