//! Order, membership and size.

use std::cmp::Ordering;

use crate::EvaluationError;
use crate::operation::{Context, Operation};
use crate::value::{Evaluated, MapKey, Value, compare, equal};

pub(super) fn operation(function: &str) -> Option<Operation> {
    Some(match function {
        "_<_" => |_, args| ordered(args, |order| order == Ordering::Less),
        "_<=_" => |_, args| ordered(args, |order| order != Ordering::Greater),
        "_>_" => |_, args| ordered(args, |order| order == Ordering::Greater),
        "_>=_" => |_, args| ordered(args, |order| order != Ordering::Less),
        "@in" | "_in_" => member,
        "size" => |_, args| match args {
            [
                value @ (Value::String(_)
                | Value::Bytes(_)
                | Value::List(_)
                | Value::Map(_)
                | Value::Object(_)),
            ] => Ok(Value::Int(i64::try_from(value.size()).unwrap_or(i64::MAX))),
            _ => crate::operation::no_overload("size", args),
        },
        _ => return None,
    })
}

fn ordered<'v>(args: &[Value<'v>], holds: fn(Ordering) -> bool) -> Evaluated<'v> {
    match args {
        [left, right] => Ok(Value::Bool(holds(compare(left, right)?))),
        _ => Err(EvaluationError::no_such_overload()),
    }
}

fn member<'v>(context: &mut Context<'_, '_>, args: &mut [Value<'v>]) -> Evaluated<'v> {
    match args {
        [value, Value::List(list)] => {
            for item in list.iter() {
                if equal(&item?, value, context.meter)? {
                    return Ok(Value::Bool(true));
                }
            }
            Ok(Value::Bool(false))
        }
        [key, Value::Map(map)] => {
            MapKey::count(key, context.meter)?;
            Ok(Value::Bool(map.get(key).is_some()))
        }
        [Value::String(name), Value::Object(object)] => Ok(Value::Bool(object.field(name).is_some())),
        _ => Err(EvaluationError::no_such_overload()),
    }
}
