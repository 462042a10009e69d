//! Lists: `ext.Lists(ext.ListsVersion(3))` of cel-go.

use std::cmp::Ordering;

use crate::operation::{Context, Operation, fail, no_overload};
use crate::value::{Evaluated, List, Value, compare, equal};
use crate::{EvaluationError, Function, Meter, Overload, Type};

/// The form of a function for lists of each type that has an order. The names are those of cel-go's types.
macro_rules! sortable {
    ($make:expr, $after:literal) => {
        vec![
            $make(concat!("list_int", $after), Type::Int),
            $make(concat!("list_uint", $after), Type::Uint),
            $make(concat!("list_double", $after), Type::Double),
            $make(concat!("list_bool", $after), Type::Bool),
            $make(concat!("list_google.protobuf.Duration", $after), Type::Duration),
            $make(concat!("list_google.protobuf.Timestamp", $after), Type::Timestamp),
            $make(concat!("list_string", $after), Type::String),
            $make(concat!("list_bytes", $after), Type::Bytes),
        ]
    };
}

pub(super) fn functions() -> Vec<Function> {
    let list = || Type::list(Type::param("T"));
    let sort = |id, kind: Type| Overload::method(id, [Type::list(kind.clone())], Type::list(kind));
    let sort_by = |id, kind: Type| Overload::method(id, [list(), Type::list(kind)], list());
    vec![
        Function::new("slice", vec![Overload::method("list_slice", [list(), Type::Int, Type::Int], list())]),
        Function::new(
            "flatten",
            vec![
                Overload::method("list_flatten", [Type::list(list())], list()),
                Overload::method(
                    "list_flatten_int",
                    [Type::list(Type::Dyn), Type::Int],
                    Type::list(Type::Dyn),
                ),
            ],
        ),
        Function::new("sort", sortable!(sort, "_sort")),
        Function::new("@sortByAssociatedKeys", sortable!(sort_by, "_sortByAssociatedKeys")),
        Function::new(
            "lists.range",
            vec![Overload::global("lists_range", [Type::Int], Type::list(Type::Int))],
        ),
        Function::new("reverse", vec![Overload::method("list_reverse", [list()], list())]),
        Function::new("distinct", vec![Overload::method("list_distinct", [list()], list())]),
    ]
}

pub(super) fn operation(function: &str) -> Option<Operation> {
    Some(match function {
        "slice" => |context, args| match args {
            [Value::List(list), Value::Int(start), Value::Int(end)] => {
                slice(context.meter, list, *start, *end)
            }
            _ => no_overload("slice", args),
        },
        "flatten" => |context, args| {
            let (list, depth) = match args {
                [Value::List(list)] => (list, 1),
                [Value::List(list), Value::Int(depth)] => (list, *depth),
                _ => return no_overload("flatten", args),
            };
            if depth < 0 {
                return fail("level must be non-negative");
            }
            let mut flat = Vec::new();
            flatten(context.meter, list, depth, &mut flat)?;
            Ok(Value::list(flat))
        },
        "sort" => |context, args| match args {
            [Value::List(list)] => sort(context.meter, list, list),
            _ => no_overload("sort", args),
        },
        "@sortByAssociatedKeys" => |context, args| match args {
            [Value::List(list), Value::List(keys)] => sort(context.meter, list, keys),
            _ => no_overload("@sortByAssociatedKeys", args),
        },
        "lists.range" => |context, args| match args {
            [Value::Int(end)] => {
                let count = usize::try_from(*end).unwrap_or(0);
                reserve(context.meter, count)?;
                Ok(Value::list((0..*end).map(Value::Int).collect()))
            }
            _ => no_overload("lists.range", args),
        },
        "reverse" => |context, args| match args {
            [Value::List(list)] => {
                reserve(context.meter, list.len())?;
                let mut items = list.to_vec()?;
                items.reverse();
                Ok(Value::list(items))
            }
            _ => no_overload("reverse", args),
        },
        "distinct" => distinct,
        _ => return None,
    })
}

/// Counts a list of this length.
fn reserve(meter: &mut Meter<'_>, length: usize) -> Result<(), EvaluationError> {
    meter.use_bytes(size_of::<Value<'_>>().saturating_mul(length))
}

fn slice<'v>(meter: &mut Meter<'_>, list: &List<'v>, start: i64, end: i64) -> Evaluated<'v> {
    let (Ok(from), Ok(to)) = (usize::try_from(start), usize::try_from(end)) else {
        return fail(format!("cannot slice({start}, {end}), negative indexes not supported"));
    };
    if from > to {
        return fail(format!(
            "cannot slice({start}, {end}), start index must be less than or equal to end index"
        ));
    }
    if list.len() < to {
        return fail(format!("cannot slice({start}, {end}), list is length {}", list.len()));
    }
    reserve(meter, to - from)?;
    let items: Result<Vec<_>, _> = (from..to).filter_map(|place| list.get(place)).collect();
    Ok(Value::list(items?))
}

fn flatten<'v>(
    meter: &mut Meter<'_>,
    list: &List<'v>,
    depth: i64,
    flat: &mut Vec<Value<'v>>,
) -> Result<(), EvaluationError> {
    for item in list.iter() {
        match item? {
            Value::List(inner) if depth > 0 => {
                meter.use_bytes(1)?;
                flatten(meter, &inner, depth - 1, flat)?;
            }
            item => {
                reserve(meter, 1)?;
                flat.push(item);
            }
        }
    }
    Ok(())
}

/// A list in the order of as many keys.
fn sort<'v>(meter: &mut Meter<'_>, list: &List<'v>, keys: &List<'v>) -> Evaluated<'v> {
    if list.len() != keys.len() {
        return fail(format!(
            "@sortByAssociatedKeys() expected a list of the same size as the associated keys list, but got {} and {} \
             elements respectively",
            list.len(),
            keys.len()
        ));
    }
    reserve(meter, list.len().saturating_mul(2))?;
    let keys = keys.to_vec()?;
    let Some(first) = keys.first() else { return Ok(Value::List(list.clone())) };
    if compare(first, first).is_err() && !matches!(first, Value::Double(_)) {
        return fail("list elements must be comparable");
    }
    let kind = std::mem::discriminant(first);
    if keys.iter().any(|key| std::mem::discriminant(key) != kind) {
        return fail("list elements must have the same type");
    }
    let mut sorted: Vec<(Value<'v>, Value<'v>)> = keys.into_iter().zip(list.to_vec()?).collect();
    sorted.sort_by(|(left, _), (right, _)| order(left, right));
    Ok(Value::list(sorted.into_iter().map(|(_, item)| item).collect()))
}

/// Numbers that are none have their place at the end.
fn order(left: &Value<'_>, right: &Value<'_>) -> Ordering {
    match (left, right) {
        (Value::Double(left), Value::Double(right)) => {
            left.is_nan().cmp(&right.is_nan()).then(left.partial_cmp(right).unwrap_or(Ordering::Equal))
        }
        _ => compare(left, right).unwrap_or(Ordering::Equal),
    }
}

fn distinct<'v>(context: &mut Context<'_, '_>, args: &mut [Value<'v>]) -> Evaluated<'v> {
    let [Value::List(list)] = args else { return no_overload("distinct", args) };
    reserve(context.meter, list.len())?;
    let mut kept: Vec<Value<'v>> = Vec::new();
    'items: for item in list.iter() {
        let item = item?;
        for known in &kept {
            if equal(&item, known, context.meter)? {
                continue 'items;
            }
        }
        kept.push(item);
    }
    Ok(Value::list(kept))
}
