//! Lists: `library.Lists(library.ListsVersion(1))` of Kubernetes.

use std::cmp::Ordering;

use super::strings;
use crate::functions::checked_add;
use crate::operation::{Context, Operation, fail, no_overload};
use crate::value::{Duration, Evaluated, List, Value, compare, equal};
use crate::{Function, Meter, Overload, Type};

/// The form of a function for lists of each type.
macro_rules! for_types {
    ($result:expr, $($before:literal $kind:ident $name:literal $after:literal),*) => {
        vec![$(Overload::method(
            concat!($before, $name, $after),
            [Type::list(Type::$kind)],
            $result(Type::$kind),
        )),*]
    };
}

pub(super) fn functions() -> Vec<Function> {
    let a = || Type::param("A");
    let found = |id| vec![Overload::method(id, [Type::list(a()), a()], Type::Int)];
    vec![
        Function::new(
            "isSorted",
            for_types!(|_| Type::Bool,
                "list_" Int "int" "_is_sorted_bool", "list_" Uint "uint" "_is_sorted_bool",
                "list_" Double "double" "_is_sorted_bool", "list_" Bool "bool" "_is_sorted_bool",
                "list_" Duration "duration" "_is_sorted_bool", "list_" Timestamp "timestamp" "_is_sorted_bool",
                "list_" String "string" "_is_sorted_bool", "list_" Bytes "bytes" "_is_sorted_bool"),
        ),
        Function::new(
            "sum",
            for_types!(|kind| kind,
                "list_" Int "int" "_sum_int", "list_" Uint "uint" "_sum_uint",
                "list_" Double "double" "_sum_double", "list_" Duration "duration" "_sum_duration"),
        ),
        Function::new(
            "max",
            for_types!(|kind| kind,
                "list_" Int "int" "_max_int", "list_" Uint "uint" "_max_uint",
                "list_" Double "double" "_max_double", "list_" Bool "bool" "_max_bool",
                "list_" Duration "duration" "_max_duration", "list_" Timestamp "timestamp" "_max_timestamp",
                "list_" String "string" "_max_string", "list_" Bytes "bytes" "_max_bytes"),
        ),
        Function::new(
            "min",
            for_types!(|kind| kind,
                "list_" Int "int" "_min_int", "list_" Uint "uint" "_min_uint",
                "list_" Double "double" "_min_double", "list_" Bool "bool" "_min_bool",
                "list_" Duration "duration" "_min_duration", "list_" Timestamp "timestamp" "_min_timestamp",
                "list_" String "string" "_min_string", "list_" Bytes "bytes" "_min_bytes"),
        ),
        Function::new("indexOf", found("list_a_index_of_int")),
        Function::new("lastIndexOf", found("list_a_last_index_of_int")),
        Function::new(
            "includes",
            vec![Overload::method("list_includes_dyn_dyn", [Type::Dyn, Type::Dyn], Type::Bool)],
        ),
    ]
}

pub(super) fn operation(function: &str) -> Option<Operation> {
    Some(match function {
        "isSorted" => |_, args| match args {
            [Value::List(list)] => is_sorted(list),
            _ => no_overload("isSorted", args),
        },
        "sum" => |_, args| sum(args, Value::Int(0)),
        "max" => |_, args| match args {
            [Value::List(list)] => extreme("max", list, Ordering::Less),
            _ => no_overload("max", args),
        },
        "min" => |_, args| match args {
            [Value::List(list)] => extreme("min", list, Ordering::Greater),
            _ => no_overload("min", args),
        },
        "indexOf" => |context, args| match args {
            [Value::List(list), item] => place(context.meter, 0..list.len(), list, item),
            [Value::String(text), Value::String(part)] => strings::index_of(text, part, 0),
            [Value::String(text), Value::String(part), Value::Int(from)] => {
                strings::index_of(text, part, *from)
            }
            _ => no_overload("indexOf", args),
        },
        "lastIndexOf" => |context, args| match args {
            [Value::List(list), item] => place(context.meter, (0..list.len()).rev(), list, item),
            [Value::String(text), Value::String(part)] => strings::last_index_of(text, part, None),
            [Value::String(text), Value::String(part), Value::Int(from)] => {
                strings::last_index_of(text, part, Some(*from))
            }
            _ => no_overload("lastIndexOf", args),
        },
        "includes" => includes,
        _ => return None,
    })
}

fn is_sorted<'v>(list: &List<'v>) -> Evaluated<'v> {
    let mut previous: Option<Value<'v>> = None;
    for item in list.iter() {
        let item = item?;
        if let Some(previous) = previous
            && compare(&previous, &item)? == Ordering::Greater
        {
            return Ok(Value::Bool(false));
        }
        previous = Some(item);
    }
    Ok(Value::Bool(true))
}

/// The sum for lists of a certain type, which says what a list without items gives.
pub(super) fn sum_of(overload: &str) -> Option<Operation> {
    Some(match overload {
        "list_uint_sum_uint" => |_, args| sum(args, Value::Uint(0)),
        "list_double_sum_double" => |_, args| sum(args, Value::Double(0.0)),
        "list_duration_sum_duration" => |_, args| sum(args, Value::Duration(Duration::ZERO)),
        _ => return None,
    })
}

fn sum<'v>(args: &[Value<'v>], zero: Value<'v>) -> Evaluated<'v> {
    let [Value::List(list)] = args else { return no_overload("sum", args) };
    let mut sum = match list.get(0) {
        None => return Ok(zero),
        Some(first) => match first? {
            Value::Int(_) => Value::Int(0),
            Value::Uint(_) => Value::Uint(0),
            Value::Double(_) => Value::Double(0.0),
            Value::Duration(_) => Value::Duration(Duration::ZERO),
            _ => return Err(crate::EvaluationError::no_such_overload()),
        },
    };
    for item in list.iter() {
        sum = checked_add(&sum, &item?)?;
    }
    Ok(sum)
}

/// The item beside which every other one compares differently than `worse`.
fn extreme<'v>(name: &str, list: &List<'v>, worse: Ordering) -> Evaluated<'v> {
    let mut best: Option<Value<'v>> = None;
    for item in list.iter() {
        let item = item?;
        best = match best {
            Some(best) if compare(&best, &item)? != worse => Some(best),
            _ => Some(item),
        };
    }
    best.map_or_else(|| fail(format!("{name} called on empty list")), Ok)
}

fn place<'v>(
    meter: &mut Meter<'_>,
    places: impl Iterator<Item = usize>,
    list: &List<'v>,
    item: &Value<'v>,
) -> Evaluated<'v> {
    for place in places {
        if let Some(known) = list.get(place)
            && equal(&known?, item, meter)?
        {
            return Ok(Value::Int(i64::try_from(place).unwrap_or(i64::MAX)));
        }
    }
    Ok(Value::Int(-1))
}

/// Whether a list has an item, or another value is equal.
fn includes<'v>(context: &mut Context<'_, '_>, args: &mut [Value<'v>]) -> Evaluated<'v> {
    let [target, item] = args else { return no_overload("includes", args) };
    let Value::List(list) = target else { return Ok(Value::Bool(equal(target, item, context.meter)?)) };
    for known in list.iter() {
        if equal(&known?, item, context.meter)? {
            return Ok(Value::Bool(true));
        }
    }
    Ok(Value::Bool(false))
}
