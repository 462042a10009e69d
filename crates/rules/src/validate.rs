//! Objects against the rules of their schema.

use std::collections::HashMap;

use cel::{EvaluationError, Value as Evaluated};
use object::field::{ERRORS_MAX, Error, Errors, Path};
use object::{Map, Value, json};

use crate::compile::{Node, Rules};
use crate::rule::{Expression, OLD_SELF, Rule, SELF};

/// What one evaluation may cost, in upstream's units.
const CALL_MAX: u64 = 1_000_000;
/// What all evaluations for one object may cost.
const OBJECT_MAX: u64 = 10_000_000;
/// How long the message of an expression may be, in bytes.
const MESSAGE_BYTES_MAX: usize = 5 << 10;
/// Upstream's path of a whole object.
const WHOLE: Path<'static> = Path::root("<nil>");

impl Rules {
    /// Validates an object; `old` is its present state, if there is one. What broke a rule before and has not changed is
    /// tolerated.
    pub fn validate(&self, object: &Value, old: Option<&Value>) -> Errors {
        let root = self.root();
        let Some(root) = root.as_ref() else { return Errors::new() };
        validate(root, object, State::of_object(object, old), &Path::root("")).0
    }

    /// The same if it costs no more than this. None if it does, or if the rules are not compiled yet: then it can take as long
    /// as anything here may.
    pub fn validate_within(&self, object: &Value, old: Option<&Value>, cost_max: u64) -> Option<Errors> {
        let root = self.known()?;
        let Some(root) = root.as_ref() else { return Some(Errors::new()) };
        let mut validator = Validator::new(cost_max);
        validator.is_trial = true;
        validator.value(root, object, State::of_object(object, old), &Path::root(""));
        (!validator.is_too_dear).then_some(validator.errors)
    }
}

/// Validates a default, which must be right also where it replaces an equal value; tells what that has cost.
pub(crate) fn validate_default(node: &Node, default: &Value, path: &Path<'_>) -> (Errors, u64) {
    let state = |old| State { old, pair: None, parent: None, is_root: false };
    let (errors, cost) = validate(node, default, state(Some(default)), path);
    if !errors.is_empty() {
        return (errors, cost);
    }
    let (errors, more) = validate(node, default, state(None), path);
    (errors, cost + more)
}

fn validate<'v>(node: &'v Node, value: &'v Value, state: State<'v>, path: &Path<'_>) -> (Errors, u64) {
    let mut validator = Validator::new(OBJECT_MAX);
    validator.value(node, value, state, path);
    (validator.errors, OBJECT_MAX - validator.left)
}

/// What is known of a value's earlier state.
#[derive(Clone, Copy)]
struct State<'v> {
    /// The value of `oldSelf`.
    old: Option<&'v Value>,
    /// The value and its earlier state, where the two can be told to be the same.
    pair: Option<(&'v Value, &'v Value)>,
    /// The same of the nearest value around this one.
    parent: Option<(&'v Value, &'v Value)>,
    is_root: bool,
}

impl<'v> State<'v> {
    fn of_object(object: &'v Value, old: Option<&'v Value>) -> State<'v> {
        let old = old.filter(|old| !old.is_null());
        State { old, pair: old.map(|old| (object, old)), parent: None, is_root: true }
    }

    /// The state of a member.
    fn member(self, name: &str, value: &'v Value) -> State<'v> {
        let of = |whole: &'v Value| whole.as_map().and_then(|map| map.get(name));
        // Every object is converted to the version of its request, so these never show a change.
        if self.is_root && matches!(name, "apiVersion" | "kind") {
            return State { old: self.old.and_then(of), pair: None, parent: None, is_root: false };
        }
        let pair = self.pair.and_then(|(_, old)| of(old)).map(|old| (value, old));
        self.inside(self.old.and_then(of), pair)
    }

    /// The state of an item with an earlier state, if its list has keys.
    fn item(self, value: &'v Value, old: Option<&'v Value>) -> State<'v> {
        self.inside(old, self.pair.and(old).map(|old| (value, old)))
    }

    fn inside(self, old: Option<&'v Value>, pair: Option<(&'v Value, &'v Value)>) -> State<'v> {
        State { old, pair, parent: self.pair.or(self.parent), is_root: false }
    }
}

struct Validator {
    errors: Errors,
    /// What is left of the budget.
    left: u64,
    /// Whether the budget is used up: no further rule is evaluated.
    has_ended: bool,
    /// Whether the budget is smaller than that of an object, and another validation follows if it is used up.
    is_trial: bool,
    /// Whether that is so.
    is_too_dear: bool,
    /// The values that were compared last, by their addresses, and whether they are equal: all items of a list may ask.
    compared: Option<([usize; 2], bool)>,
}

impl Validator {
    fn new(left: u64) -> Validator {
        Validator {
            errors: Errors::new(),
            left,
            has_ended: false,
            is_trial: false,
            is_too_dear: false,
            compared: None,
        }
    }

    /// Whether the value, or one around it, is as it was.
    fn is_unchanged(&mut self, state: State<'_>) -> bool {
        let Some((new, old)) = state.pair.or(state.parent) else { return false };
        let both = [new, old].map(|value| std::ptr::from_ref(value).addr());
        match self.compared {
            Some((known, is_equal)) if known == both => is_equal,
            _ => {
                let is_equal = new == old;
                self.compared = Some((both, is_equal));
                is_equal
            }
        }
    }

    /// Whether an error would only be counted, or a tolerated one not be told.
    fn is_untold(&self, is_tolerated: bool) -> bool {
        let told = if is_tolerated { self.errors.tolerated().len() } else { self.errors.len() };
        told >= ERRORS_MAX
    }

    fn value<'v>(&mut self, node: &'v Node, value: &'v Value, state: State<'v>, path: &Path<'_>) {
        // A rule about an absent value stands in the schema around it.
        if value.is_null() || self.has_ended {
            return;
        }
        self.rules(node, value, state, path);
        match value {
            Value::List(items) => self.items(node, items, state, path),
            Value::Map(map) => self.members(node, map, state, path),
            _ => {}
        }
    }

    fn items<'v>(&mut self, node: &'v Node, items: &'v [Value], state: State<'v>, path: &Path<'_>) {
        let Some(inner) = &node.items else { return };
        let old = OldItems::of(node.keys.as_deref(), state.old);
        for (index, item) in items.iter().enumerate() {
            self.value(inner, item, state.item(item, old.find(item)), &path.index(index));
        }
    }

    fn members<'v>(&mut self, node: &'v Node, map: &'v Map, state: State<'v>, path: &Path<'_>) {
        for (name, value) in map.iter() {
            if let Some(inner) = &node.members {
                self.value(inner, value, state.member(name, value), &path.key(name));
            } else if let Some(inner) = node.property(name) {
                self.value(inner, value, state.member(name, value), &path.child(name));
            }
        }
    }

    fn rules<'v>(&mut self, node: &'v Node, value: &'v Value, state: State<'v>, path: &Path<'_>) {
        if node.rules.is_empty() {
            return;
        }
        let path = if state.is_root { &WHOLE } else { path };
        if self.left == 0 {
            self.is_too_dear = self.is_trial;
            return self.end(node, path, OUT_OF_BUDGET.to_owned());
        }
        let values = Values { node, value, old: state.old };
        for rule in &node.rules {
            if self.has_ended {
                return;
            }
            match &rule.expression {
                None => {}
                Some(Err(why)) => {
                    self.errors.invalid(path, &*node.kind, format!("rule compile error: {why}"));
                }
                // A rule about a change is for values that have an earlier state.
                Some(Ok(expression))
                    if expression.uses_old_self && state.old.is_none() && !rule.optional_old_self => {}
                Some(Ok(expression)) => self.rule(rule, expression, &values, state, path),
            }
        }
    }

    fn rule(
        &mut self,
        rule: &Rule,
        expression: &Expression,
        values: &Values<'_>,
        state: State<'_>,
        path: &Path<'_>,
    ) {
        let result = match self.evaluate(expression, rule, values) {
            Ok(result) => result,
            Err(OutOfBudget) => return self.end(values.node, path, OUT_OF_BUDGET.to_owned()),
        };
        let (kind, shown) = (&*values.node.kind, rule.shown());
        match result {
            Ok(Evaluated::Bool(true)) => {}
            Ok(_) => self.broken(rule, values, state, path),
            Err(EvaluationError::CostLimit) => {
                let why = format!(
                    "'{}': no further validation rules will be run due to call cost exceeds limit for rule: {shown}",
                    EvaluationError::CostLimit
                );
                self.end(values.node, path, why);
            }
            Err(error) if error.to_string().starts_with("no such overload") => {
                let why = format!(
                    "'{error}': call arguments did not match a supported operator, function or macro signature for rule: {shown}"
                );
                self.errors.invalid(path, kind, why);
            }
            Err(error) => self.errors.invalid(path, kind, format!("{error} evaluating rule: {shown}")),
        }
    }

    /// Evaluates an expression, at the expense of the budget.
    fn evaluate<'v>(
        &mut self,
        expression: &'v Expression,
        rule: &Rule,
        values: &Values<'v>,
    ) -> Result<Result<Evaluated<'v>, EvaluationError>, OutOfBudget> {
        let cost_max = if self.is_trial { CALL_MAX.min(self.left) } else { CALL_MAX };
        let outcome = expression.program.evaluate(&values.activation(rule), cost_max);
        let is_memory = matches!(outcome.result, Err(EvaluationError::MemoryLimit));
        if self.is_trial && (outcome.cost > self.left || is_memory) {
            self.is_too_dear = true;
            return Err(OutOfBudget);
        }
        self.left = self.left.checked_sub(outcome.cost).ok_or(OutOfBudget)?;
        Ok(outcome.result)
    }

    /// A value breaks a rule.
    fn broken(&mut self, rule: &Rule, values: &Values<'_>, state: State<'_>, path: &Path<'_>) {
        // What has not changed is not refused, unless the rule is about the change.
        let is_tolerated = !rule.uses_old_self() && self.is_unchanged(state);
        if self.is_untold(is_tolerated) {
            // A message can be as long as a definition, and an object have as many items as it has bytes.
            if !is_tolerated {
                self.errors.required(path, "");
            }
            return;
        }
        let below = rule.field_path.as_deref();
        let child = below.map(|below| if state.is_root { Path::root(below) } else { path.child(below) });
        let path = child.as_ref().unwrap_or(path);
        let message = match &rule.message_expression {
            Some(Ok(expression)) => match self.message(expression, rule, values) {
                Ok(message) => message,
                Err(why) => {
                    let error = Error::invalid(path, &*values.node.kind, why);
                    self.has_ended = true;
                    return self.tell(error, is_tolerated);
                }
            },
            _ => None,
        };
        let message = message.unwrap_or_else(|| rule.default_message());
        let is_large = matches!(&*values.node.kind, "object" | "array");
        let error = match rule.reason.as_deref() {
            Some("FieldValueForbidden") => Error::forbidden(path, message),
            Some("FieldValueRequired") => Error::required(path, message),
            Some("FieldValueDuplicate") => Error::duplicate(path, shown(values.value, is_large)),
            _ => Error::invalid(path, shown(values.value, is_large), message),
        };
        self.tell(if is_large { error.without_value() } else { error }, is_tolerated);
    }

    /// The message that an expression makes; none if it makes none that can be shown.
    fn message(
        &mut self,
        expression: &Expression,
        rule: &Rule,
        values: &Values<'_>,
    ) -> Result<Option<String>, String> {
        let result = self.evaluate(expression, rule, values).map_err(|OutOfBudget| {
            "messageExpression evaluation failed due to running out of cost budget, no further validation rules will be run"
        })?;
        match result {
            Ok(value) => {
                let message = value.as_str().unwrap_or_default().trim();
                let is_shown =
                    !message.is_empty() && message.len() <= MESSAGE_BYTES_MAX && !message.contains('\n');
                Ok(is_shown.then(|| message.to_owned()))
            }
            Err(EvaluationError::CostLimit) => Err(format!(
                "no further validation rules will be run due to call cost exceeds limit for messageExpression: {:?}",
                rule.message_text
            )),
            Err(_) => Ok(None),
        }
    }

    fn tell(&mut self, error: Error, is_tolerated: bool) {
        if is_tolerated {
            self.errors.tolerate(error);
        } else {
            self.errors.push(error);
        }
    }

    fn end(&mut self, node: &Node, path: &Path<'_>, why: String) {
        self.has_ended = true;
        self.errors.invalid(path, &*node.kind, why);
    }
}

const OUT_OF_BUDGET: &str =
    "validation failed due to running out of cost budget, no further validation rules will be run";

/// The budget of the object is used up.
struct OutOfBudget;

/// A value as messages show it; large ones are left out.
fn shown(value: &Value, is_large: bool) -> Value {
    if is_large { Value::Null } else { value.clone() }
}

/// The variables of a rule.
struct Values<'v> {
    node: &'v Node,
    value: &'v Value,
    old: Option<&'v Value>,
}

impl<'v> Values<'v> {
    fn activation(&self, rule: &Rule) -> Variables<'v> {
        Variables { values: Values { ..*self }, is_optional: rule.optional_old_self }
    }
}

struct Variables<'v> {
    values: Values<'v>,
    is_optional: bool,
}

impl<'v> cel::Activation<'v> for Variables<'v> {
    fn variable(&self, name: &str) -> Option<cel::Evaluated<'v>> {
        let of = |value: &'v Value| Evaluated::of_tree(value, Some(&self.values.node.shape));
        match (name, self.values.old) {
            (SELF, _) => Some(of(self.values.value)),
            (OLD_SELF, Some(old)) if self.is_optional => Some(of(old).map(Evaluated::some)),
            (OLD_SELF, None) if self.is_optional => Some(Ok(Evaluated::Optional(None))),
            (OLD_SELF, Some(old)) => Some(of(old)),
            _ => None,
        }
    }
}

/// The items of a list's earlier state by their keys; lists whose items have no keys are not correlated.
struct OldItems<'a, 'v> {
    keys: &'a [Box<str>],
    by_key: HashMap<Vec<u8>, &'v Value>,
}

impl<'a, 'v> OldItems<'a, 'v> {
    fn of(keys: Option<&'a [Box<str>]>, old: Option<&'v Value>) -> OldItems<'a, 'v> {
        let (keys, items) = match (keys, old) {
            (Some(keys), Some(Value::List(items))) => (keys, items.as_slice()),
            _ => (&[][..], &[][..]),
        };
        OldItems { keys, by_key: items.iter().map(|item| (key_of(keys, item), item)).collect() }
    }

    fn find(&self, item: &Value) -> Option<&'v Value> {
        if self.by_key.is_empty() { None } else { self.by_key.get(&key_of(self.keys, item)).copied() }
    }
}

fn key_of(keys: &[Box<str>], item: &Value) -> Vec<u8> {
    json::to_vec(&Value::from(keys.iter().map(|key| item.get(key).clone()).collect::<Vec<_>>()))
}
