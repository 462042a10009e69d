//! Variables, fields and indices.

use super::evaluate::Run;
use super::{Attribute, Base, Key, Qualifier, out_of_bounds};
use crate::value::{Evaluated, List, MapKey, Value, type_name};
use crate::{EvaluationError, cost};

impl<'p, 'v> Run<'_, '_, 'p, 'v> {
    /// The value of an attribute, without the cost of looking at it.
    pub(super) fn resolve_attribute(&mut self, attribute: &'p Attribute) -> Evaluated<'v> {
        let (value, qualifiers) = match &attribute.base {
            Base::Variable(name) => self.variable(name, &attribute.qualifiers)?,
            Base::Slot(slot) => (self.slot(*slot)?, attribute.qualifiers.as_slice()),
            Base::Value(node) => (self.evaluate(node)?, attribute.qualifiers.as_slice()),
            Base::Conditional(parts) => {
                let [condition, yes, no] = parts.as_ref();
                let branch = match self.evaluate(condition)? {
                    Value::Bool(true) => yes,
                    Value::Bool(false) => no,
                    _ => return Err(EvaluationError::no_such_overload()),
                };
                (self.resolve(branch)?, attribute.qualifiers.as_slice())
            }
        };
        let value = self.qualify(value, qualifiers, attribute.test)?;
        match (attribute.test, value) {
            (true, Value::Optional(value)) => Ok(Value::Bool(value.is_some())),
            // A member that was computed on its own.
            (true, _) if qualifiers.is_empty() => Ok(Value::Bool(true)),
            (_, value) => Ok(value),
        }
    }

    /// The value of a variable, or of its first field if that is computed on its own, and the qualifiers that remain.
    fn variable(
        &mut self,
        name: &str,
        qualifiers: &'p [Qualifier],
    ) -> Result<(Value<'v>, &'p [Qualifier]), EvaluationError> {
        if let [Qualifier { key: Key::Field(field), .. }, rest @ ..] = qualifiers
            && let Some(value) = self.activation.member(name, field, self.meter)
        {
            self.meter.charge(cost::SELECT)?;
            return Ok((value?, rest));
        }
        match self.activation.variable(name) {
            Some(value) => Ok((value?, qualifiers)),
            None => Err(EvaluationError::failed(format!("no such attribute(s): {name}"))),
        }
    }

    fn qualify(&mut self, value: Value<'v>, qualifiers: &'p [Qualifier], test: bool) -> Evaluated<'v> {
        let (mut value, mut is_optional) = match value {
            Value::Optional(None) => return Ok(Value::Optional(None)),
            Value::Optional(Some(value)) => (value.as_ref().clone(), true),
            value => (value, false),
        };
        for (place, qualifier) in qualifiers.iter().enumerate() {
            is_optional |= qualifier.optional;
            let is_tested = test && place + 1 == qualifiers.len();
            let key = match &qualifier.key {
                Key::Field(name) => Ok(Value::String(name.clone())),
                Key::Constant(key) => Ok(key.clone()),
                Key::Computed(node) => self.resolve(node),
            };
            if key.as_ref().is_err_and(EvaluationError::is_final) {
                return key;
            }
            if let Ok(key) = &key {
                MapKey::count(key, self.meter)?;
            }
            let found = key.and_then(|key| {
                let missing = || missing(&value, &key);
                let found = lookup(&value, &key)?.transpose()?;
                if found.is_none() && !is_optional && !is_tested { Err(missing()) } else { Ok(found) }
            });
            let is_present = matches!(found, Ok(Some(_)));
            if is_present || is_tested || !is_optional {
                self.meter.charge(cost::SELECT)?;
            }
            value = match (found?, is_optional) {
                (found, false) if is_tested => Value::Bool(found.is_some()),
                (Some(found), _) => found,
                (None, _) => return Ok(Value::Optional(None)),
            };
        }
        Ok(if is_optional { Value::some(value) } else { value })
    }
}

fn missing(value: &Value<'_>, key: &Value<'_>) -> EvaluationError {
    match value {
        Value::List(_) => out_of_bounds(key),
        _ => EvaluationError::no_such_key(key),
    }
}

/// A field, an entry or an item, if it is there.
pub(crate) fn lookup<'v>(
    value: &Value<'v>,
    key: &Value<'v>,
) -> Result<Option<Evaluated<'v>>, EvaluationError> {
    match (value, key) {
        (Value::Map(map), key) => Ok(map.get(key)),
        (Value::Object(object), Value::String(name)) => Ok(object.field(name)),
        (Value::Object(_), _) => Err(EvaluationError::no_such_overload()),
        (Value::List(list), key) => item(list, key),
        _ => Ok(None),
    }
}

fn item<'v>(list: &List<'v>, key: &Value<'v>) -> Result<Option<Evaluated<'v>>, EvaluationError> {
    let index = match key {
        Value::Int(index) => usize::try_from(*index).ok(),
        Value::Uint(index) => usize::try_from(*index).ok(),
        Value::Double(index) if index.fract() == 0.0 => (*index >= 0.0).then_some(*index as usize),
        Value::Double(index) => {
            return Err(EvaluationError::failed(format!("unsupported index value {index} in list")));
        }
        other => {
            let name = type_name(&other.runtime_type()).into_owned();
            return Err(EvaluationError::failed(format!("unsupported index type '{name}' in list")));
        }
    };
    Ok(index.and_then(|index| list.get(index)))
}
