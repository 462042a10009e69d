//! Keys in JSON pointers: `library.JSONPatch` of Kubernetes, of mutating policies.

use crate::operation::{Operation, no_overload};
use crate::value::Value;
use crate::{Function, Overload, Type};

pub(super) fn functions() -> Vec<Function> {
    let escape = Overload::global("string_jsonpatch_escapeKey_string", [Type::String], Type::String);
    vec![Function::new("jsonpatch.escapeKey", vec![escape])]
}

pub(super) fn operation(function: &str) -> Option<Operation> {
    Some(match function {
        "jsonpatch.escapeKey" => |_, args| match args {
            [Value::String(key)] => Ok(Value::from(key.replace('~', "~0").replace('/', "~1"))),
            _ => no_overload("jsonpatch.escapeKey", args),
        },
        _ => return None,
    })
}
