//! Expressions about a request, evaluated: conditions of webhooks, and all parts of admission policies
//! (`k8s.io/apiserver/pkg/admission/plugin/cel`).

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use cel::{Activation, EvaluationError, Meter, Shape, Value as Evaluated};
use object::{Value, value};
use rules::admission::{self, Expression};

use super::decisions::Decisions;
use super::{Attributes, Shape as ShapeOfRequest};
use crate::user::User;

/// What one evaluation may cost, in upstream's units.
const CALL_MAX: u64 = 1_000_000;
/// What is tried at once: some milliseconds. What costs more is evaluated aside.
const TRIAL: u64 = 20_000;
/// What the expressions of a binding may cost for a request.
pub(super) const BUDGET: u64 = 10_000_000;
/// What the conditions of a webhook or a policy may cost.
pub(super) const CONDITIONS_BUDGET: u64 = 2_500_000;
const OUT_OF_BUDGET: &str =
    "validation failed due to running out of cost budget, no further validation rules will be run";

static REQUEST: LazyLock<Arc<Shape>> = LazyLock::new(admission::request);
static NAMESPACE: LazyLock<Arc<Shape>> = LazyLock::new(admission::namespace);

/// An expression, or why it cannot be evaluated.
pub(super) type Compiled = Result<Expression, String>;

/// The expressions that `variables` stands for.
///
/// Two can have one name: an expression means the last one before it, with whose type it was compiled. Upstream's variables
/// between the two mean the later one, whatever its type, or themselves without end.
#[derive(Default)]
pub(super) struct Named {
    list: Vec<(Box<str>, Compiled)>,
    /// By name, ascending.
    places: HashMap<Box<str>, Vec<usize>>,
}

impl Named {
    pub(super) fn new(list: Vec<(Box<str>, Compiled)>) -> Named {
        let mut places = HashMap::<Box<str>, Vec<usize>>::with_capacity(list.len());
        for (place, (name, _)) in list.iter().enumerate() {
            places.entry(name.clone()).or_default().push(place);
        }
        Named { list, places }
    }

    /// The last one of this name before a place.
    fn before(&self, place: usize, name: &str) -> Option<usize> {
        let places = self.places.get(name)?;
        places.iter().rev().find(|known| **known < place).copied()
    }
}

/// What expressions see of a request.
#[derive(Clone, Copy)]
pub(super) struct Seen<'v> {
    /// Null where there is none.
    pub(super) object: &'v Value,
    /// Null where there is none.
    pub(super) old: &'v Value,
    /// See [`request`].
    pub(super) request: &'v Value,
    /// Null for objects without a namespace.
    pub(super) namespace: &'v Value,
    /// The parameters; null if there are none.
    pub(super) params: &'v Value,
}

/// The budget is used up.
#[derive(Debug)]
pub(super) struct OutOfBudget;

impl std::fmt::Display for OutOfBudget {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(OUT_OF_BUDGET)
    }
}

/// Evaluates expressions that share a budget and variables.
pub(super) struct Evaluator<'v> {
    seen: Seen<'v>,
    /// What `variables` has, by name.
    variables: &'v Named,
    /// Those that were needed already.
    computed: Vec<Option<cel::Evaluated<'v>>>,
    decisions: &'v Decisions<'v>,
    budget: u64,
}

impl<'v> Evaluator<'v> {
    /// An evaluator for one request and one set of parameters.
    pub(super) fn new(
        seen: Seen<'v>,
        variables: &'v Named,
        decisions: &'v Decisions<'v>,
        budget: u64,
    ) -> Evaluator<'v> {
        let computed = variables.list.iter().map(|_| None).collect();
        Evaluator { seen, variables, computed, decisions, budget }
    }

    /// What is left of the budget.
    pub(super) fn left(&self) -> u64 {
        self.budget
    }

    /// The value of an expression, or why it has none, in upstream's words.
    ///
    /// # Errors
    /// [`OutOfBudget`]
    pub(super) async fn evaluate(
        &mut self,
        expression: &'v Compiled,
    ) -> Result<Result<Evaluated<'v>, String>, OutOfBudget> {
        let expression = match expression {
            Ok(expression) => expression,
            Err(why) => return Ok(Err(format!("compilation error: {why}"))),
        };
        // What variables cost that were computed for an evaluation which then had to wait.
        let mut of_variables = 0u64;
        let (result, cost) = loop {
            let left = self.budget.saturating_sub(of_variables);
            let (result, own, more) = match self.try_evaluate(expression, left, TRIAL) {
                Some(evaluated) => evaluated,
                None => {
                    let decisions = self.decisions;
                    let whole = decisions.aside(|| self.try_evaluate(expression, left, u64::MAX)).await;
                    whole.unwrap_or((Err(EvaluationError::CostLimit), CALL_MAX, left))
                }
            };
            of_variables = of_variables.saturating_add(more);
            self.decisions.pace(own.saturating_add(more)).await;
            match result {
                // It needs decisions that take time.
                Err(EvaluationError::Pending) => self.decisions.decide().await,
                result => break (result, own.saturating_add(of_variables)),
            }
        };
        self.budget = self.budget.checked_sub(cost).ok_or(OutOfBudget)?;
        Ok(result.map_err(|error| format!("expression '{}' resulted in error: {error}", expression.text)))
    }

    /// The value of an expression, what it has cost, and what its variables have cost; `left` is for the latter. None if
    /// both together cost more than `most`: nothing has happened then.
    fn try_evaluate(
        &mut self,
        expression: &'v Expression,
        left: u64,
        most: u64,
    ) -> Option<(cel::Evaluated<'v>, u64, u64)> {
        let known = Known {
            seen: self.seen,
            variables: self.variables,
            computed: RefCell::new(std::mem::take(&mut self.computed)),
            decisions: self.decisions,
            left,
            most,
            is_too_dear: Cell::new(false),
            new: RefCell::default(),
            cost: Cell::new(0),
            place: Cell::new(self.variables.list.len()),
        };
        let outcome = expression.program.evaluate(&known, CALL_MAX.min(most));
        known.look(&outcome, CALL_MAX.min(most));
        let of_variables = known.cost.get();
        self.computed = known.computed.into_inner();
        if known.is_too_dear.get() {
            known.new.into_inner().into_iter().for_each(|at| self.computed[at] = None);
            return None;
        }
        if matches!(outcome.result, Err(EvaluationError::Pending)) {
            self.computed.iter_mut().for_each(|value| {
                if matches!(value, Some(Err(EvaluationError::Pending))) {
                    *value = None;
                }
            });
        }
        Some((outcome.result, outcome.cost, of_variables))
    }
}

/// The variables of an evaluation.
struct Known<'v> {
    seen: Seen<'v>,
    variables: &'v Named,
    computed: RefCell<Vec<Option<cel::Evaluated<'v>>>>,
    decisions: &'v Decisions<'v>,
    /// What variables may cost.
    left: u64,
    /// What everything may cost in this attempt, and whether it has cost more.
    most: u64,
    is_too_dear: Cell<bool>,
    /// The variables that were computed in it.
    new: RefCell<Vec<usize>>,
    /// What variables have cost, which is not the expression's.
    cost: Cell<u64>,
    /// Where what is evaluated stands among the variables.
    place: Cell<usize>,
}

impl<'v> Activation<'v> for Known<'v> {
    fn variable(&self, name: &str) -> Option<cel::Evaluated<'v>> {
        match name {
            "object" => Some(Evaluated::of_tree(self.seen.object, None)),
            "oldObject" => Some(Evaluated::of_tree(self.seen.old, None)),
            "params" => Some(Evaluated::of_tree(self.seen.params, None)),
            "request" => Some(Evaluated::of_tree(self.seen.request, Some(&REQUEST))),
            "namespaceObject" => Some(Evaluated::of_tree(self.seen.namespace, Some(&NAMESPACE))),
            "authorizer" => Some(Ok(self.decisions.authorizer())),
            "authorizer.requestResource" => Some(Ok(self.decisions.request_resource())),
            _ => None,
        }
    }

    fn member(&self, variable: &str, field: &str, _meter: &mut Meter<'_>) -> Option<cel::Evaluated<'v>> {
        if variable != admission::VARIABLES {
            return None;
        }
        let at = self.variables.before(self.place.get(), field)?;
        let (name, expression) = self.variables.list.get(at)?;
        if let Some(Some(value)) = self.computed.borrow().get(at) {
            return Some(value.clone());
        }
        // One expression can use thousands of variables: what is not left for them is not spent.
        if self.cost.get() > self.left || self.is_too_dear.get() {
            return Some(Err(EvaluationError::CostLimit));
        }
        let value = match expression {
            Err(why) => Err(failed(format!("composited variable {name:?} fails to compile: {why}"))),
            Ok(expression) => {
                let place = self.place.replace(at);
                let cost_max = CALL_MAX.min(self.most.saturating_sub(self.cost.get()));
                let outcome = expression.program.evaluate(self, cost_max);
                self.look(&outcome, cost_max);
                self.place.set(place);
                if !matches!(outcome.result, Err(EvaluationError::Pending)) {
                    self.cost.set(self.cost.get().saturating_add(outcome.cost));
                }
                outcome.result.map_err(|error| match error {
                    EvaluationError::Pending => error,
                    error => failed(format!("composited variable {name:?} fails to evaluate: {error}")),
                })
            }
        };
        if let Some(place) = self.computed.borrow_mut().get_mut(at) {
            *place = Some(value.clone());
            self.new.borrow_mut().push(at);
        }
        Some(value)
    }
}

impl Known<'_> {
    /// Whether an evaluation has ended because it may cost less in this attempt than otherwise.
    fn look(&self, outcome: &cel::Outcome<'_>, cost_max: u64) {
        let is_at_end = matches!(outcome.result, Err(EvaluationError::MemoryLimit));
        if cost_max < CALL_MAX && (outcome.cost > cost_max || is_at_end) {
            self.is_too_dear.set(true);
        }
    }
}

fn failed(why: String) -> EvaluationError {
    EvaluationError::failed(why)
}

/// `request` of expressions: the request as a webhook of this shape would see it, without its objects.
pub(super) fn request(what: &Attributes<'_>, own: &ShapeOfRequest, shape: &ShapeOfRequest) -> Value {
    let mut request = value!({
        "kind": kind(shape),
        "resource": resource(shape),
        "requestKind": kind(own),
        "requestResource": resource(own),
        "name": what.name,
        "operation": what.operation.name(),
        "userInfo": user_info(what.user),
        "dryRun": what.dry_run,
        "options": what.options.to_value()
    });
    for (member, text) in [
        ("subResource", what.subresource),
        ("requestSubResource", what.subresource),
        ("namespace", what.namespace),
    ] {
        if !text.is_empty() {
            request.set(member, text);
        }
    }
    request
}

/// A kind in a review.
pub(super) fn kind(shape: &ShapeOfRequest) -> Value {
    let kind = shape.kind();
    value!({"group": kind.group, "version": kind.version, "kind": kind.kind})
}

/// A resource in a review.
pub(super) fn resource(shape: &ShapeOfRequest) -> Value {
    let resource = shape.resource();
    value!({"group": resource.group, "version": resource.version, "resource": resource.plural})
}

/// A user in a review.
pub(super) fn user_info(user: &User) -> Value {
    let mut info = value!({});
    for (member, text) in [("username", &user.name), ("uid", &user.uid)] {
        if !text.is_empty() {
            info.set(member, text.as_str());
        }
    }
    let list = |texts: &[String]| -> Vec<Value> { texts.iter().map(|text| text.as_str().into()).collect() };
    if !user.groups.is_empty() {
        info.set("groups", list(&user.groups));
    }
    for (name, values) in &user.extra {
        info.entry("extra").set(name.clone(), list(values));
    }
    info
}
