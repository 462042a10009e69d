//! Strings: `ext.Strings(ext.StringsVersion(2))` of cel-go. Places in strings are counted in characters.

use super::format;
use crate::operation::{Context, Operation, fail, no_overload};
use crate::value::{Evaluated, List, Value};
use crate::{EvaluationError, Function, Overload, Type};

pub(super) fn functions() -> Vec<Function> {
    let (string, int) = (Type::String, Type::Int);
    let one =
        |name, id, result: Type| Function::new(name, vec![Overload::method(id, [Type::String], result)]);
    let list = Type::list(Type::String);
    vec![
        Function::new(
            "charAt",
            vec![Overload::method("string_char_at_int", [string.clone(), int.clone()], string.clone())],
        ),
        searching("indexOf", "string_index_of_string", "string_index_of_string_int"),
        searching("lastIndexOf", "string_last_index_of_string", "string_last_index_of_string_int"),
        one("lowerAscii", "string_lower_ascii", string.clone()),
        one("upperAscii", "string_upper_ascii", string.clone()),
        one("trim", "string_trim", string.clone()),
        Function::new(
            "replace",
            vec![
                Overload::method("string_replace_string_string", vec![Type::String; 3], string.clone()),
                Overload::method(
                    "string_replace_string_string_int",
                    [string.clone(), string.clone(), string.clone(), int.clone()],
                    string.clone(),
                ),
            ],
        ),
        Function::new(
            "split",
            vec![
                Overload::method("string_split_string", vec![Type::String; 2], list.clone()),
                Overload::method(
                    "string_split_string_int",
                    [string.clone(), string.clone(), int.clone()],
                    list.clone(),
                ),
            ],
        ),
        Function::new(
            "substring",
            vec![
                Overload::method("string_substring_int", [string.clone(), int.clone()], string.clone()),
                Overload::method(
                    "string_substring_int_int",
                    [string.clone(), int.clone(), int],
                    string.clone(),
                ),
            ],
        ),
        Function::new(
            "format",
            vec![Overload::method("string_format", [string.clone(), Type::list(Type::Dyn)], string.clone())],
        ),
        Function::new(
            "strings.quote",
            vec![Overload::global("strings_quote", [Type::String], string.clone())],
        ),
        Function::new(
            "join",
            vec![
                Overload::method("list_join", [list.clone()], string.clone()),
                Overload::method("list_join_string", [list, string.clone()], string),
            ],
        ),
    ]
}

fn searching(name: &'static str, from_begin: &'static str, from_place: &'static str) -> Function {
    Function::new(
        name,
        vec![
            Overload::method(from_begin, vec![Type::String; 2], Type::Int),
            Overload::method(from_place, [Type::String, Type::String, Type::Int], Type::Int),
        ],
    )
}

pub(super) fn operation(function: &str) -> Option<Operation> {
    Some(match function {
        "charAt" => |_, args| match args {
            [Value::String(text), Value::Int(place)] => char_at(text, *place),
            _ => no_overload("charAt", args),
        },
        "lowerAscii" => |_, args| match args {
            [Value::String(text)] => Ok(Value::from(text.to_ascii_lowercase())),
            _ => no_overload("lowerAscii", args),
        },
        "upperAscii" => |_, args| match args {
            [Value::String(text)] => Ok(Value::from(text.to_ascii_uppercase())),
            _ => no_overload("upperAscii", args),
        },
        "trim" => |_, args| match args {
            [Value::String(text)] => Ok(Value::string(text.trim())),
            _ => no_overload("trim", args),
        },
        "replace" => |context, args| match args {
            [Value::String(text), Value::String(old), Value::String(new)] => {
                replace(context, text, old, new, -1)
            }
            [Value::String(text), Value::String(old), Value::String(new), Value::Int(count)] => {
                replace(context, text, old, new, *count)
            }
            _ => no_overload("replace", args),
        },
        "split" => |context, args| match args {
            [Value::String(text), Value::String(separator)] => split(context, text, separator, -1),
            [Value::String(text), Value::String(separator), Value::Int(count)] => {
                split(context, text, separator, *count)
            }
            _ => no_overload("split", args),
        },
        "substring" => |_, args| match args {
            [Value::String(text), Value::Int(start)] => substring(text, *start, None),
            [Value::String(text), Value::Int(start), Value::Int(end)] => substring(text, *start, Some(*end)),
            _ => no_overload("substring", args),
        },
        "format" => |context, args| match args {
            [Value::String(text), Value::List(values)] => format::format(context.meter, text, values),
            _ => no_overload("format", args),
        },
        "strings.quote" => |context, args| match args {
            [Value::String(text)] => {
                context.meter.use_bytes(text.len().saturating_mul(2))?;
                Ok(Value::from(quote(text)))
            }
            _ => no_overload("strings.quote", args),
        },
        "join" => |context, args| match args {
            [Value::List(list)] => join(context, list, ""),
            [Value::List(list), Value::String(separator)] => join(context, list, separator),
            _ => no_overload("join", args),
        },
        _ => return None,
    })
}

/// The byte at which the character of this number begins; the end of the text if it has just that many.
fn byte_of(text: &str, place: i64) -> Option<usize> {
    let place = usize::try_from(place).ok()?;
    match text.char_indices().nth(place) {
        Some((byte, _)) => Some(byte),
        None => (text.chars().count() == place).then_some(text.len()),
    }
}

fn length(text: &str) -> i64 {
    i64::try_from(text.chars().count()).unwrap_or(i64::MAX)
}

fn out_of_range<'v>(place: i64) -> Evaluated<'v> {
    fail(format!("index out of range: {place}"))
}

fn char_at<'v>(text: &str, place: i64) -> Evaluated<'v> {
    match byte_of(text, place) {
        Some(byte) => {
            let found = text.get(byte..).and_then(|rest| rest.chars().next());
            Ok(found.map_or_else(|| Value::from(""), |found| Value::from(found.to_string())))
        }
        None => out_of_range(place),
    }
}

/// Where a text has a part, at this character or behind it.
pub(super) fn index_of<'v>(text: &str, part: &str, from: i64) -> Evaluated<'v> {
    if from < 0 {
        return out_of_range(from);
    }
    if part.is_empty() {
        return Ok(Value::Int(from.min(length(text))));
    }
    let found = byte_of(text, from).and_then(|byte| Some(byte + text.get(byte..)?.find(part)?));
    Ok(Value::Int(found.and_then(|byte| text.get(..byte)).map_or(-1, length)))
}

/// Where a text has a part last, at this character or before it.
pub(super) fn last_index_of<'v>(text: &str, part: &str, from: Option<i64>) -> Evaluated<'v> {
    let from = match from {
        Some(from) if from < 0 => return out_of_range(from),
        Some(from) if part.is_empty() => return Ok(Value::Int(from.min(length(text)))),
        Some(from) if from >= length(text) => return Ok(Value::Int(-1)),
        Some(from) => from,
        None if part.is_empty() => return Ok(Value::Int(length(text))),
        None => length(text),
    };
    let end = byte_of(text, from.saturating_add(length(part))).unwrap_or(text.len());
    let found = text.get(..end).and_then(|head| head.rfind(part));
    Ok(Value::Int(found.and_then(|byte| text.get(..byte)).map_or(-1, length)))
}

fn replace<'v>(context: &mut Context<'_, '_>, text: &str, old: &str, new: &str, count: i64) -> Evaluated<'v> {
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    let found = text.matches(old).take(count).count();
    context.meter.use_bytes(text.len().saturating_add(found.saturating_mul(new.len())))?;
    Ok(Value::from(text.replacen(old, new, count)))
}

fn split<'v>(context: &mut Context<'_, '_>, text: &str, separator: &str, count: i64) -> Evaluated<'v> {
    if count == 0 {
        return Ok(Value::list(Vec::new()));
    }
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    let mut parts = Vec::new();
    let mut take = |part: &str| -> Result<(), EvaluationError> {
        context.meter.use_bytes(size_of::<Value<'_>>().saturating_add(part.len()))?;
        parts.push(Value::string(part));
        Ok(())
    };
    if separator.is_empty() {
        // Into characters, the rest of them together.
        let mut rest = text;
        for _ in 1..count {
            let Some(first) = rest.chars().next() else { break };
            let (head, tail) = rest.split_at(first.len_utf8());
            take(head)?;
            rest = tail;
        }
        if !rest.is_empty() {
            take(rest)?;
        }
    } else {
        for part in text.splitn(count, separator) {
            take(part)?;
        }
    }
    Ok(Value::list(parts))
}

fn substring<'v>(text: &str, start: i64, end: Option<i64>) -> Evaluated<'v> {
    if let Some(end) = end
        && start > end
    {
        return fail(format!("invalid substring range. start: {start}, end: {end}"));
    }
    let Some(from) = byte_of(text, start) else { return out_of_range(start) };
    let to = match end {
        Some(end) => match byte_of(text, end) {
            Some(to) => to,
            None => return out_of_range(end),
        },
        None => text.len(),
    };
    Ok(Value::string(text.get(from..to).unwrap_or_default()))
}

fn join<'v>(context: &mut Context<'_, '_>, list: &List<'v>, separator: &str) -> Evaluated<'v> {
    let mut joined = String::new();
    for (index, item) in list.iter().enumerate() {
        let item = item?;
        let Some(text) = item.as_str() else {
            return fail(format!("join: invalid input: {item}"));
        };
        if index > 0 {
            context.meter.use_bytes(separator.len())?;
            joined.push_str(separator);
        }
        context.meter.use_bytes(text.len())?;
        joined.push_str(text);
    }
    Ok(Value::from(joined))
}

fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for character in text.chars() {
        match character {
            '\u{7}' => quoted.push_str("\\a"),
            '\u{8}' => quoted.push_str("\\b"),
            '\u{c}' => quoted.push_str("\\f"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            '\u{b}' => quoted.push_str("\\v"),
            '\\' => quoted.push_str("\\\\"),
            '"' => quoted.push_str("\\\""),
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}
