//! Declarations of `find` and `findAll`: `library.Regex` of Kubernetes.

use crate::{Function, Overload, Type};

pub(super) fn functions() -> Vec<Function> {
    let string = || Type::String;
    vec![
        Function::new("find", vec![Overload::method("string_find_string", [string(), string()], string())]),
        Function::new(
            "findAll",
            vec![
                Overload::method("string_find_all_string", [string(), string()], Type::list(string())),
                Overload::method(
                    "string_find_all_string_int",
                    [string(), string(), Type::Int],
                    Type::list(string()),
                ),
            ],
        ),
    ]
}
