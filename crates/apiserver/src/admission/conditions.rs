//! Match conditions: expressions that all must hold before a webhook or a policy is asked
//! (`plugin/webhook/matchconditions`).

use object::Value;
use rules::admission::{Compiler, Returns, Scope};

use super::decisions::Decisions;
use super::expression::{CONDITIONS_BUDGET, Compiled, Evaluator, Seen};

/// Conditions in their order.
#[derive(Default)]
pub(super) struct Conditions(Vec<Compiled>);

impl Conditions {
    /// Reads and compiles `matchConditions`; `params`: whether they see parameters.
    pub(super) fn read(list: &Value, params: bool) -> Conditions {
        if list.is_empty() {
            return Conditions::default();
        }
        let compiler = Compiler::new(Scope { params, authorizer: true, ..Scope::default() });
        let compile = |condition: &Value| compiler.compile(condition.str_at("expression"), Returns::Bool);
        Conditions(list.items().map(compile).collect())
    }

    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a request meets all of them. One that does not hold decides, whatever others fail with.
    ///
    /// # Errors
    /// None is false, and some cannot be evaluated.
    pub(super) async fn are_met<'v>(
        &'v self,
        seen: Seen<'v>,
        decisions: &'v Decisions<'v>,
    ) -> Result<bool, String> {
        let mut evaluator = Evaluator::new(seen, &[], decisions, CONDITIONS_BUDGET);
        let mut failures = Vec::new();
        for condition in &self.0 {
            match evaluator.evaluate(condition).await.map_err(|error| error.to_string())? {
                Ok(value) if value.as_bool() == Some(false) => return Ok(false),
                Ok(_) => {}
                Err(why) if failures.contains(&why) => {}
                Err(why) => failures.push(why),
            }
        }
        match failures.as_slice() {
            [] => Ok(true),
            [one] => Err(one.clone()),
            several => Err(format!("[{}]", several.join(", "))),
        }
    }
}
