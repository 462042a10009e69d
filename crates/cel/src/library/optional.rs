//! Values that may be absent: `cel.OptionalTypes` of cel-go. Its macros and its syntax belong to the parser.

use crate::operation::{Operation, fail, no_overload};
use crate::value::{Evaluated, List, Value};
use crate::{Function, Overload, Type};

pub(super) fn functions() -> Vec<Function> {
    let v = || Type::param("V");
    let optional = || Type::optional(v());
    let list = || Type::list(v());
    let map = || Type::map(Type::param("K"), v());
    let k = || Type::param("K");
    vec![
        Function::new("optional.of", vec![Overload::global("optional_of", [v()], optional())]),
        Function::new(
            "optional.ofNonZeroValue",
            vec![Overload::global("optional_ofNonZeroValue", [v()], optional())],
        ),
        Function::new("optional.none", vec![Overload::global("optional_none", [], optional())]),
        Function::new("value", vec![Overload::method("optional_value", [optional()], v())]),
        Function::new("hasValue", vec![Overload::method("optional_hasValue", [optional()], Type::Bool)]),
        Function::new(
            "or",
            vec![Overload::method("optional_or_optional", [optional(), optional()], optional())],
        ),
        Function::new("orValue", vec![Overload::method("optional_orValue_value", [optional(), v()], v())]),
        Function::new(
            "_?._",
            vec![Overload::global("select_optional_field", [Type::Dyn, Type::String], optional())],
        ),
        Function::new(
            "_[?_]",
            vec![
                Overload::global("list_optindex_optional_int", [list(), Type::Int], optional()),
                Overload::global(
                    "optional_list_optindex_optional_int",
                    [Type::optional(list()), Type::Int],
                    optional(),
                ),
                Overload::global("map_optindex_optional_value", [map(), k()], optional()),
                Overload::global(
                    "optional_map_optindex_optional_value",
                    [Type::optional(map()), k()],
                    optional(),
                ),
            ],
        ),
        Function::new(
            "_[_]",
            vec![
                Overload::global("optional_list_index_int", [Type::optional(list()), Type::Int], optional()),
                Overload::global("optional_map_index_value", [Type::optional(map()), k()], optional()),
            ],
        ),
        Function::new("first", vec![Overload::method("list_first", [list()], optional())]),
        Function::new("last", vec![Overload::method("list_last", [list()], optional())]),
        Function::new(
            "optional.unwrap",
            vec![Overload::global("optional_unwrap", [Type::list(optional())], list())],
        ),
        Function::new(
            "unwrapOpt",
            vec![Overload::method("optional_unwrapOpt", [Type::list(optional())], list())],
        ),
    ]
}

pub(super) fn operation(function: &str) -> Option<Operation> {
    Some(match function {
        "optional.of" => |_, args| match args {
            [value] => Ok(Value::some(std::mem::take(value))),
            _ => no_overload("optional.of", args),
        },
        "optional.ofNonZeroValue" => |_, args| match args {
            [value] if value.is_zero() => Ok(Value::Optional(None)),
            [value] => Ok(Value::some(std::mem::take(value))),
            _ => no_overload("optional.ofNonZeroValue", args),
        },
        "optional.none" => |_, _| Ok(Value::Optional(None)),
        "value" => |_, args| match args {
            [Value::Optional(Some(value))] => Ok(value.as_ref().clone()),
            [Value::Optional(None)] => fail("optional.none() dereference"),
            _ => no_overload("value", args),
        },
        "hasValue" => |_, args| match args {
            [Value::Optional(value)] => Ok(Value::Bool(value.is_some())),
            _ => no_overload("hasValue", args),
        },
        "first" => |_, args| match args {
            [Value::List(list)] => end(list.get(0)),
            _ => no_overload("first", args),
        },
        "last" => |_, args| match args {
            [Value::List(list)] => end(list.len().checked_sub(1).and_then(|place| list.get(place))),
            _ => no_overload("last", args),
        },
        "optional.unwrap" => |_, args| unwrap("optional.unwrap", args),
        "unwrapOpt" => |_, args| unwrap("unwrapOpt", args),
        _ => return None,
    })
}

fn end(item: Option<Evaluated<'_>>) -> Evaluated<'_> {
    match item {
        Some(item) => Ok(Value::some(item?)),
        None => Ok(Value::Optional(None)),
    }
}

/// The values that are there.
fn unwrap<'v>(function: &str, args: &[Value<'v>]) -> Evaluated<'v> {
    let [Value::List(list)] = args else { return no_overload(function, args) };
    let mut values = Vec::with_capacity(list.len());
    for item in List::iter(list) {
        match item? {
            Value::Optional(value) => values.extend(value.as_deref().cloned()),
            other => return fail(format!("value {other} is not optional")),
        }
    }
    Ok(Value::list(values))
}
