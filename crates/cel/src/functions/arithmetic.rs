//! Operators on numbers, times, strings and lists.

use std::collections::{HashMap, HashSet};

use crate::operation::{Context, Operation, fail};
use crate::value::{Bytes, Duration, Evaluated, List, Timestamp, Value, item_keys, set_key};
use crate::{EvaluationError, ListKind, Meter};

const INT: &str = "integer overflow";
const UINT: &str = "unsigned integer overflow";
const DURATION: &str = "duration overflow";
const TIMESTAMP: &str = "timestamp overflow";

pub(super) fn operation(function: &str, arity: usize) -> Option<Operation> {
    Some(match (function, arity) {
        ("_+_", 2) => |context, args| match args {
            [left, right] => add(context.meter, std::mem::take(left), std::mem::take(right)),
            _ => overload(),
        },
        ("_-_", 2) => subtract,
        ("_*_", 2) => multiply,
        ("_/_", 2) => divide,
        ("_%_", 2) => modulo,
        ("-_", 1) => negate,
        ("!_", 1) => |_, args| match args {
            [Value::Bool(value)] => Ok(Value::Bool(!*value)),
            _ => overload(),
        },
        _ => return None,
    })
}

fn overload<'v>() -> Evaluated<'v> {
    Err(EvaluationError::no_such_overload())
}

fn int<'v>(value: Option<i64>) -> Evaluated<'v> {
    value.map_or_else(|| fail(INT), |value| Ok(Value::Int(value)))
}

fn uint<'v>(value: Option<u64>) -> Evaluated<'v> {
    value.map_or_else(|| fail(UINT), |value| Ok(Value::Uint(value)))
}

fn duration<'v>(nanos: Option<i64>) -> Evaluated<'v> {
    nanos.map_or_else(|| fail(DURATION), |nanos| Ok(Value::Duration(Duration::from_nanos(nanos))))
}

fn timestamp<'v>(time: Option<Timestamp>) -> Evaluated<'v> {
    time.map_or_else(|| fail(TIMESTAMP), |time| Ok(Value::Timestamp(time)))
}

/// `left + right`
fn add<'v>(meter: &mut Meter<'_>, left: Value<'v>, right: Value<'v>) -> Evaluated<'v> {
    match (left, right) {
        (Value::String(left), Value::String(right)) => {
            meter.use_bytes(left.len().saturating_add(right.len()))?;
            Ok(Value::string([&*left, &*right].concat()))
        }
        (Value::Bytes(left), Value::Bytes(right)) => {
            meter.use_bytes(left.len().saturating_add(right.len()))?;
            Ok(Value::Bytes(Bytes::from([&*left, &*right].concat())))
        }
        (Value::List(left), Value::List(right)) => join(meter, left, &right),
        (left, right) => checked_add(&left, &right),
    }
}

/// The sum of two numbers or times.
pub(crate) fn checked_add<'v>(left: &Value<'_>, right: &Value<'_>) -> Evaluated<'v> {
    match (left, right) {
        (Value::Int(left), Value::Int(right)) => int(left.checked_add(*right)),
        (Value::Uint(left), Value::Uint(right)) => uint(left.checked_add(*right)),
        (Value::Double(left), Value::Double(right)) => Ok(Value::Double(left + right)),
        (Value::Duration(left), Value::Duration(right)) => duration(left.nanos().checked_add(right.nanos())),
        (Value::Timestamp(time), Value::Duration(span)) | (Value::Duration(span), Value::Timestamp(time)) => {
            timestamp(time.plus(span.nanos().into()))
        }
        _ => overload(),
    }
}

/// Both lists, as the left one's schema joins them.
fn join<'v>(meter: &mut Meter<'_>, mut left: List<'v>, right: &List<'v>) -> Evaluated<'v> {
    let item = size_of::<Value<'_>>();
    match left.kind() {
        ListKind::Atomic => {
            let copied = if left.is_unshared() { 0 } else { left.len() };
            meter.use_bytes(item.saturating_mul(copied + right.len()))?;
            let items = left.make_mut()?;
            for value in right.iter() {
                items.push(value?);
            }
            Ok(Value::List(left))
        }
        ListKind::Set => {
            meter.use_bytes(item.saturating_mul(left.len() + right.len()))?;
            let mut items = left.to_vec()?;
            let mut known = HashSet::with_capacity(items.len());
            for value in &items {
                known.insert(set_key(value)?);
            }
            for value in right.iter() {
                let value = value?;
                if known.insert(set_key(&value)?) {
                    items.push(value);
                }
            }
            Ok(Value::List(List::from(items).with_shape_of(&left)))
        }
        ListKind::Map { keys } => {
            meter.use_bytes(item.saturating_mul(left.len() + right.len()))?;
            let mut items = left.to_vec()?;
            let mut places = HashMap::with_capacity(items.len());
            for (place, value) in items.iter().enumerate() {
                places.insert(item_keys(value, keys)?, place);
            }
            for value in right.iter() {
                let value = value?;
                match places.get(&item_keys(&value, keys)?).and_then(|place| items.get_mut(*place)) {
                    Some(known) => *known = value,
                    None => items.push(value),
                }
            }
            Ok(Value::List(List::from(items).with_shape_of(&left)))
        }
    }
}

fn subtract<'v>(_: &mut Context<'_, '_>, args: &mut [Value<'v>]) -> Evaluated<'v> {
    match args {
        [Value::Int(left), Value::Int(right)] => int(left.checked_sub(*right)),
        [Value::Uint(left), Value::Uint(right)] => uint(left.checked_sub(*right)),
        [Value::Double(left), Value::Double(right)] => Ok(Value::Double(*left - *right)),
        [Value::Duration(left), Value::Duration(right)] => duration(left.nanos().checked_sub(right.nanos())),
        [Value::Timestamp(time), Value::Duration(span)] => timestamp(time.plus(-i128::from(span.nanos()))),
        [Value::Timestamp(left), Value::Timestamp(right)] => {
            duration(i64::try_from(left.nanos() - right.nanos()).ok())
        }
        _ => overload(),
    }
}

fn multiply<'v>(_: &mut Context<'_, '_>, args: &mut [Value<'v>]) -> Evaluated<'v> {
    match args {
        [Value::Int(left), Value::Int(right)] => int(left.checked_mul(*right)),
        [Value::Uint(left), Value::Uint(right)] => uint(left.checked_mul(*right)),
        [Value::Double(left), Value::Double(right)] => Ok(Value::Double(*left * *right)),
        _ => overload(),
    }
}

fn divide<'v>(_: &mut Context<'_, '_>, args: &mut [Value<'v>]) -> Evaluated<'v> {
    match args {
        [Value::Int(_), Value::Int(0)] | [Value::Uint(_), Value::Uint(0)] => fail("division by zero"),
        [Value::Int(left), Value::Int(right)] => int(left.checked_div(*right)),
        [Value::Uint(left), Value::Uint(right)] => uint(left.checked_div(*right)),
        [Value::Double(left), Value::Double(right)] => Ok(Value::Double(*left / *right)),
        _ => overload(),
    }
}

fn modulo<'v>(_: &mut Context<'_, '_>, args: &mut [Value<'v>]) -> Evaluated<'v> {
    match args {
        [Value::Int(_), Value::Int(0)] | [Value::Uint(_), Value::Uint(0)] => fail("modulus by zero"),
        [Value::Int(left), Value::Int(right)] => int(left.checked_rem(*right)),
        [Value::Uint(left), Value::Uint(right)] => uint(left.checked_rem(*right)),
        _ => overload(),
    }
}

fn negate<'v>(_: &mut Context<'_, '_>, args: &mut [Value<'v>]) -> Evaluated<'v> {
    match args {
        [Value::Int(value)] => int(value.checked_neg()),
        [Value::Double(value)] => Ok(Value::Double(-*value)),
        [Value::Duration(span)] => duration(span.nanos().checked_neg()),
        _ => overload(),
    }
}
