//! Match conditions: expressions that all must hold before a webhook or a policy is asked
//! (`plugin/webhook/matchconditions`).

use std::sync::Arc;

use object::{Status, Value};
use rules::Spent;
use rules::admission::{Compiler, Returns, Scope};

use super::decisions::Decisions;
use super::expression::{CONDITIONS_BUDGET, Compiled, Evaluator, Named, Seen};
use super::lazy::Lazy;

/// Conditions in their order, compiled when they are first needed.
#[derive(Default)]
pub(super) struct Conditions {
    /// `matchConditions`
    list: Value,
    /// Whether they see parameters.
    params: bool,
    compiled: Lazy<Vec<Compiled>>,
    /// They have no variables.
    variables: Named,
}

impl Conditions {
    /// Reads `matchConditions`; `params`: whether they see parameters.
    pub(super) fn read(list: &Value, params: bool) -> Conditions {
        Conditions { list: list.clone(), params, compiled: Lazy::default(), variables: Named::default() }
    }

    async fn compiled(&self) -> Result<Arc<Vec<Compiled>>, Status> {
        let (list, params) = (&self.list, self.params);
        let compiled = self.compiled.get_or_make(|| {
            let list = list.clone();
            move || compile(&list, params)
        });
        compiled.await
    }

    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Whether a request meets all of them. One that does not hold decides, whatever others fail with.
    ///
    /// # Errors
    /// None is false, and some cannot be evaluated.
    pub(super) async fn are_met(&self, seen: Seen<'_>, decisions: &Decisions<'_>) -> Result<bool, String> {
        if self.is_empty() {
            return Ok(true);
        }
        let compiled = self.compiled().await.map_err(|status| status.message)?;
        let mut evaluator = Evaluator::new(seen, &self.variables, decisions, CONDITIONS_BUDGET);
        let mut failures = Vec::new();
        for condition in compiled.iter() {
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

fn compile(list: &Value, params: bool) -> (Vec<Compiled>, Spent) {
    let compiler = Compiler::new(Scope { params, authorizer: true, ..Scope::default() });
    let compile = |condition: &Value| compiler.compile(condition.str_at("expression"), Returns::Bool);
    (list.items().map(compile).collect(), compiler.spent().clone())
}
