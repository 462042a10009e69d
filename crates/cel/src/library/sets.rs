//! Lists as sets, and what macros over maps need: `ext.Sets` and `ext.TwoVarComprehensions` of cel-go.

use crate::operation::{Context, Operation, fail, no_overload};
use crate::value::{Evaluated, List, MapKey, Value, equal};
use crate::{EvaluationError, Function, Meter, Overload, Type};

pub(super) fn functions() -> Vec<Function> {
    let list = || Type::list(Type::param("T"));
    let of_sets = |name, id| Function::new(name, vec![Overload::global(id, [list(), list()], Type::Bool)]);
    let map = || Type::map(Type::param("K"), Type::param("V"));
    vec![
        of_sets("sets.contains", "list_sets_contains_list"),
        of_sets("sets.equivalent", "list_sets_equivalent_list"),
        of_sets("sets.intersects", "list_sets_intersects_list"),
        Function::new(
            "cel.@mapInsert",
            vec![
                Overload::global(
                    "@mapInsert_map_key_value",
                    [map(), Type::param("K"), Type::param("V")],
                    map(),
                ),
                Overload::global("@mapInsert_map_map", [map(), map()], map()),
            ],
        ),
    ]
}

pub(super) fn operation(function: &str) -> Option<Operation> {
    Some(match function {
        "sets.contains" => |context, args| match args {
            [Value::List(list), Value::List(part)] => Ok(Value::Bool(contains(context.meter, list, part)?)),
            _ => no_overload("sets.contains", args),
        },
        "sets.equivalent" => |context, args| match args {
            [Value::List(left), Value::List(right)] => Ok(Value::Bool(
                contains(context.meter, left, right)? && contains(context.meter, right, left)?,
            )),
            _ => no_overload("sets.equivalent", args),
        },
        "sets.intersects" => |context, args| match args {
            [Value::List(left), Value::List(right)] => {
                for item in left.iter() {
                    if has(context.meter, right, &item?)? {
                        return Ok(Value::Bool(true));
                    }
                }
                Ok(Value::Bool(false))
            }
            _ => no_overload("sets.intersects", args),
        },
        "cel.@mapInsert" => |context, args| match args {
            [map @ Value::Map(_), key, value] => {
                let (key, value) = (std::mem::take(key), std::mem::take(value));
                insert(context, std::mem::take(map), vec![(key, Ok(value))])
            }
            [map @ Value::Map(_), Value::Map(other)] => insert(context, std::mem::take(map), other.entries()),
            _ => no_overload("cel.@mapInsert", args),
        },
        _ => return None,
    })
}

fn has<'v>(meter: &mut Meter<'_>, list: &List<'v>, item: &Value<'v>) -> Result<bool, EvaluationError> {
    for known in list.iter() {
        if equal(&known?, item, meter)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn contains<'v>(meter: &mut Meter<'_>, list: &List<'v>, part: &List<'v>) -> Result<bool, EvaluationError> {
    for item in part.iter() {
        if !has(meter, list, &item?)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// A map with more entries, whose keys must be new.
fn insert<'v>(
    context: &mut Context<'_, '_>,
    map: Value<'v>,
    entries: Vec<(Value<'v>, Evaluated<'v>)>,
) -> Evaluated<'v> {
    let Value::Map(mut map) = map else { return Err(EvaluationError::no_such_overload()) };
    // Keys are kept twice.
    let entry = size_of::<Value<'_>>() * 4;
    let copied = if map.is_unshared() { 0 } else { map.len() };
    context.meter.use_bytes(entry.saturating_mul(copied + entries.len()))?;
    let made = map.make_mut()?;
    for (key, value) in entries {
        MapKey::count(&key, context.meter)?;
        if made.contains(&key) {
            return fail(format!("insert failed: key {key} already exists"));
        }
        made.insert(key, value?)?;
    }
    Ok(Value::Map(map))
}
