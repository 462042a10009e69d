//! Evaluation: a walk over the program's tree.
//!
//! Costs are added where cel-go's observer adds them. An error is a value as any other until something that is strict
//! meets it, except those that end the evaluation.

use std::collections::BTreeMap;

use super::{Activation, Base, Call, Fold, Item, Node, Program};
use crate::cost;
use crate::operation::Context;
use crate::value::{Evaluated, MapBuilder, MapKey, Object, Value, equal};
use crate::{EvaluationError, Meter};

pub(super) fn run<'v>(
    program: &Program,
    activation: &dyn Activation<'v>,
    meter: &mut Meter<'_>,
) -> Evaluated<'v> {
    let slots = std::iter::repeat_with(|| Slot::Empty).take(program.slots).collect();
    Run { activation, meter, slots }.evaluate(&program.root)
}

/// One evaluation.
pub(super) struct Run<'r, 'm, 'p, 'v> {
    pub(super) activation: &'r dyn Activation<'v>,
    pub(super) meter: &'r mut Meter<'m>,
    slots: Vec<Slot<'p, 'v>>,
}

/// A variable of a macro.
enum Slot<'p, 'v> {
    Empty,
    /// An accumulator before its first use.
    Pending(&'p Node),
    Ready(Evaluated<'v>),
}

impl<'p, 'v> Run<'_, '_, 'p, 'v> {
    pub(super) fn evaluate(&mut self, node: &'p Node) -> Evaluated<'v> {
        match node {
            Node::Constant(value) => Ok(value.clone()),
            Node::Attribute(attribute) => {
                let result = self.resolve_attribute(attribute);
                match (&attribute.base, attribute.test) {
                    // All costs are those of the condition and the branch.
                    (Base::Conditional(_), false) => {}
                    (Base::Conditional(_), true) => self.meter.refund(),
                    (_, true) => {}
                    (_, false) => self.meter.charge(cost::SELECT)?,
                }
                result
            }
            Node::And(terms) => self.logic(terms, false),
            Node::Or(terms) => self.logic(terms, true),
            Node::Equality { negated, sides } => self.equality(sides, *negated),
            Node::Member { value, set } => {
                let value = self.evaluate(value)?;
                MapKey::count(&value, self.meter)?;
                let is_nan = matches!(value, Value::Double(number) if number.is_nan());
                let key = MapKey::new(&value);
                Ok(Value::Bool(!is_nan && key.is_some_and(|key| contains(set, &key))))
            }
            Node::NotStrictlyFalse(node) => {
                let result = self.evaluate(node);
                self.meter.charge(1)?;
                match result {
                    Ok(Value::Bool(value)) => Ok(Value::Bool(value)),
                    Err(error) if error.is_final() => Err(error),
                    _ => Ok(Value::Bool(true)),
                }
            }
            Node::OptionalOr { sides, unwraps } => self.optional_or(sides, *unwraps),
            Node::Call(call) => self.call(call),
            Node::List { items } => {
                let list = self.list(items);
                self.meter.charge(cost::LIST)?;
                list
            }
            Node::Map { entries } => {
                let map = self.map(entries);
                self.meter.charge(cost::MAP)?;
                map
            }
            Node::Message { name, fields } => {
                let message = self.message(fields);
                self.meter.charge(cost::MESSAGE)?;
                message.map(|fields| Value::Object(Object::made(name.clone(), fields)))
            }
            Node::Fold(fold) => self.fold(fold),
        }
    }

    /// The value of a node whose own observation upstream leaves out: branches of conditionals and computed indices.
    pub(super) fn resolve(&mut self, node: &'p Node) -> Evaluated<'v> {
        match node {
            Node::Attribute(attribute) => self.resolve_attribute(attribute),
            other => self.evaluate(other),
        }
    }

    /// `&&` and `||`: one side can decide although the other one fails.
    fn logic(&mut self, terms: &'p [Node; 2], decisive: bool) -> Evaluated<'v> {
        let mut failure = None;
        for term in terms {
            match self.evaluate(term) {
                Ok(Value::Bool(value)) if value == decisive => return Ok(Value::Bool(decisive)),
                Ok(Value::Bool(_)) => {}
                Ok(_) => {
                    failure.get_or_insert_with(EvaluationError::no_such_overload);
                }
                Err(error) if error.is_final() => return Err(error),
                Err(error) => {
                    failure.get_or_insert(error);
                }
            }
        }
        failure.map_or(Ok(Value::Bool(!decisive)), Err)
    }

    /// `or` and `orValue`: the right side is evaluated only if it is needed. They cost nothing themselves.
    fn optional_or(&mut self, sides: &'p [Node; 2], unwraps: bool) -> Evaluated<'v> {
        let [left, right] = sides;
        match self.evaluate(left)? {
            Value::Optional(Some(value)) if unwraps => Ok(value.as_ref().clone()),
            Value::Optional(Some(value)) => Ok(Value::Optional(Some(value))),
            Value::Optional(None) => self.evaluate(right),
            _ => Err(EvaluationError::no_such_overload()),
        }
    }

    fn equality(&mut self, sides: &'p [Node; 2], negated: bool) -> Evaluated<'v> {
        let price = if negated { cost::Price::Shorter } else { cost::Price::Equality };
        let (args, failure) = self.pair(sides)?;
        self.meter.charge(price.of_arguments(&args))?;
        if let Some(error) = failure {
            return Err(error);
        }
        let [left, right] = &args;
        Ok(Value::Bool(equal(left, right, self.meter)? != negated))
    }

    /// Both sides, with null for what has failed, and the first failure.
    fn pair(
        &mut self,
        sides: &'p [Node; 2],
    ) -> Result<([Value<'v>; 2], Option<EvaluationError>), EvaluationError> {
        let [left, right] = sides;
        let mut failure = None;
        let left = self.argument(left, &mut failure)?;
        let right = self.argument(right, &mut failure)?;
        Ok(([left, right], failure))
    }

    fn argument(&mut self, node: &'p Node, failure: &mut Option<EvaluationError>) -> Evaluated<'v> {
        match self.evaluate(node) {
            Err(error) if !error.is_final() => {
                failure.get_or_insert(error);
                Ok(Value::Null)
            }
            result => result,
        }
    }

    fn call(&mut self, call: &'p Call) -> Evaluated<'v> {
        let mut args: [Value<'v>; 3] = Default::default();
        match args.get_mut(..call.args.len()) {
            Some(args) => self.call_with(call, args),
            None => self.call_with(call, &mut vec![Value::Null; call.args.len()]),
        }
    }

    fn call_with(&mut self, call: &'p Call, args: &mut [Value<'v>]) -> Evaluated<'v> {
        let mut failure = None;
        for (place, node) in args.iter_mut().zip(&call.args) {
            *place = self.argument(node, &mut failure)?;
            if call.fails_early
                && let Some(error) = failure
            {
                return Err(error);
            }
        }
        self.meter.charge(call.price.of_arguments(args))?;
        let result = match (failure, call.accumulator) {
            (Some(error), _) => Err(error),
            (None, Some(slot)) => {
                // The only one who has it, so that it can grow in place.
                self.set(slot, Slot::Empty);
                self.operate(call, args)
            }
            (None, None) => self.operate(call, args),
        };
        if let Err(error) = &result
            && error.is_final()
        {
            return result;
        }
        self.meter.charge(call.price.of_result(result.as_ref().unwrap_or(&Value::Null)))?;
        result
    }

    fn operate(&mut self, call: &'p Call, args: &mut [Value<'v>]) -> Evaluated<'v> {
        let mut context = Context { meter: self.meter, regex: call.regex.as_ref() };
        (call.operation)(&mut context, args)
    }

    fn list(&mut self, items: &'p [Item]) -> Evaluated<'v> {
        let mut values = Vec::with_capacity(items.len());
        self.meter.use_bytes(size_of::<Value<'_>>().saturating_mul(items.len()))?;
        for item in items {
            let value = self.evaluate(&item.node)?;
            if !item.optional {
                values.push(value);
                continue;
            }
            match value {
                Value::Optional(value) => values.extend(value.as_deref().cloned()),
                other => {
                    return Err(EvaluationError::failed(format!(
                        "cannot initialize optional list element from non-optional value {other}"
                    )));
                }
            }
        }
        Ok(Value::list(values))
    }

    fn map(&mut self, entries: &'p [(Node, Item)]) -> Evaluated<'v> {
        let mut made = MapBuilder::default();
        self.meter.use_bytes(size_of::<Value<'_>>().saturating_mul(entries.len() * 4))?;
        for (key, item) in entries {
            let key = self.evaluate(key)?;
            MapKey::count(&key, self.meter)?;
            if let Some(value) = self.item(item, &key)? {
                made.insert(key, value)?;
            }
        }
        Ok(made.build())
    }

    fn message(
        &mut self,
        fields: &'p [(Box<str>, Item)],
    ) -> Result<BTreeMap<Box<str>, Value<'v>>, EvaluationError> {
        let mut made = BTreeMap::new();
        for (name, item) in fields {
            if let Some(value) = self.item(item, &Value::string(name.as_ref()))? {
                made.insert(name.clone(), value);
            }
        }
        Ok(made)
    }

    /// A part of a map or message; `None` if it is optional and absent.
    fn item(&mut self, item: &'p Item, key: &Value<'v>) -> Result<Option<Value<'v>>, EvaluationError> {
        let value = self.evaluate(&item.node)?;
        match (item.optional, value) {
            (false, value) => Ok(Some(value)),
            (true, Value::Optional(value)) => Ok(value.as_deref().cloned()),
            (true, other) => Err(EvaluationError::failed(format!(
                "cannot initialize optional entry '{key}' from non-optional value {other}"
            ))),
        }
    }

    fn fold(&mut self, fold: &'p Fold) -> Evaluated<'v> {
        self.set(fold.accumulator, Slot::Empty);
        let range = self.evaluate(&fold.range)?;
        self.set(fold.accumulator, Slot::Pending(&fold.start));
        match (&range, fold.second) {
            (Value::List(list), None) => {
                for item in list.iter() {
                    if !self.step(fold, item, None)? {
                        break;
                    }
                }
            }
            (Value::List(list), Some(_)) => {
                for (index, item) in (0i64..).zip(list.iter()) {
                    if !self.step(fold, Ok(Value::Int(index)), Some(item))? {
                        break;
                    }
                }
            }
            (Value::Map(_) | Value::Object(_), _) => {
                let entries = match &range {
                    Value::Map(map) => map.entries(),
                    Value::Object(object) => object.fields(),
                    _ => Vec::new(),
                };
                for (key, value) in entries {
                    if !self.step(fold, Ok(key), Some(value))? {
                        break;
                    }
                }
            }
            _ => {
                let name = crate::value::type_name(&range.runtime_type()).into_owned();
                return Err(EvaluationError::failed(format!("got '{name}', expected iterable type")));
            }
        }
        self.evaluate(&fold.result)
    }

    /// One step. Whether to go on.
    fn step(
        &mut self,
        fold: &'p Fold,
        first: Evaluated<'v>,
        second: Option<Evaluated<'v>>,
    ) -> Result<bool, EvaluationError> {
        self.set(fold.variable, Slot::Ready(first));
        if let (Some(slot), Some(value)) = (fold.second, second) {
            self.set(slot, Slot::Ready(value));
        }
        match self.evaluate(&fold.condition) {
            Ok(Value::Bool(false)) => return Ok(false),
            Err(error) if error.is_final() => return Err(error),
            _ => {}
        }
        let next = self.evaluate(&fold.step);
        if let Err(error) = &next
            && error.is_final()
        {
            return Err(error.clone());
        }
        self.set(fold.accumulator, Slot::Ready(next));
        self.meter.step()?;
        Ok(true)
    }

    fn set(&mut self, slot: usize, value: Slot<'p, 'v>) {
        if let Some(place) = self.slots.get_mut(slot) {
            *place = value;
        }
    }

    /// A variable of a macro.
    pub(super) fn slot(&mut self, slot: usize) -> Evaluated<'v> {
        match self.slots.get(slot) {
            Some(Slot::Ready(value)) => value.clone(),
            Some(Slot::Pending(start)) => {
                let value = self.evaluate(start);
                if value.as_ref().is_err_and(EvaluationError::is_final) {
                    return value;
                }
                self.set(slot, Slot::Ready(value.clone()));
                value
            }
            Some(Slot::Empty) | None => Err(EvaluationError::failed("no such attribute")),
        }
    }
}

/// The set as one of keys that live as long as the one that is looked for.
fn contains<'k>(set: &std::collections::HashSet<MapKey<'k>>, key: &MapKey<'k>) -> bool {
    set.contains(key)
}
