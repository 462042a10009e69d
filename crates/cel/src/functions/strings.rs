//! Strings of the standard library, and regular expressions.

use std::borrow::Cow;

use regex::{Regex, RegexBuilder};

use crate::EvaluationError;
use crate::operation::{Context, Operation, no_overload};
use crate::validate::has_wrong_repetitions;
use crate::value::{Evaluated, Value};

/// How large a compiled regular expression may be, in bytes.
const REGEX_BYTES_MAX: usize = 1 << 20;

/// What a regular expression that is compiled during an evaluation counts for: it costs no more than a match upstream, but
/// takes much longer.
const REGEX_BYTES: usize = 16 << 10;

pub(super) fn operation(function: &str) -> Option<Operation> {
    Some(match function {
        "contains" => |_, args| match args {
            [Value::String(text), Value::String(part)] => Ok(Value::Bool(text.contains(&**part))),
            _ => no_overload("contains", args),
        },
        "startsWith" => |_, args| match args {
            [Value::String(text), Value::String(part)] => Ok(Value::Bool(text.starts_with(&**part))),
            _ => no_overload("startsWith", args),
        },
        "endsWith" => |_, args| match args {
            [Value::String(text), Value::String(part)] => Ok(Value::Bool(text.ends_with(&**part))),
            _ => no_overload("endsWith", args),
        },
        "matches" => |context, args| match args {
            [Value::String(text), Value::String(pattern)] => {
                Ok(Value::Bool(regex(context, pattern)?.is_match(text)))
            }
            _ => no_overload("matches", args),
        },
        "find" => |context, args| match args {
            [Value::String(text), Value::String(pattern)] => {
                let regex = regex(context, pattern)?;
                Ok(Value::string(regex.find(text).map_or("", |found| found.as_str())))
            }
            _ => no_overload("find", args),
        },
        "findAll" => |context, args| match args {
            [Value::String(text), Value::String(pattern)] => find_all(context, text, pattern, -1),
            [Value::String(text), Value::String(pattern), Value::Int(count)] => {
                find_all(context, text, pattern, *count)
            }
            _ => no_overload("findAll", args),
        },
        _ => return None,
    })
}

fn find_all<'v>(context: &mut Context<'_, '_>, text: &str, pattern: &str, count: i64) -> Evaluated<'v> {
    // A negative number means all of them.
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    let regex = regex(context, pattern)?.into_owned();
    let mut found = Vec::new();
    for part in regex.find_iter(text).take(count) {
        context.meter.use_bytes(size_of::<Value<'_>>().saturating_add(part.len()))?;
        found.push(Value::string(part.as_str()));
    }
    Ok(Value::list(found))
}

fn regex<'c>(context: &mut Context<'c, '_>, pattern: &str) -> Result<Cow<'c, Regex>, EvaluationError> {
    if let Some(constant) = context.regex {
        return Ok(Cow::Borrowed(constant));
    }
    context.meter.use_bytes(REGEX_BYTES.saturating_add(pattern.len()))?;
    compile_regex(pattern).map(Cow::Owned).map_err(EvaluationError::failed)
}

/// Compiles a regular expression in Go's syntax.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn compile_regex(pattern: &str) -> Result<Regex, String> {
    if has_wrong_repetitions(pattern) {
        return Err("error parsing regexp: invalid nested repetition operator".to_owned());
    }
    let translated = object::structural::from_go(pattern);
    RegexBuilder::new(&translated)
        .size_limit(REGEX_BYTES_MAX)
        .dfa_size_limit(REGEX_BYTES_MAX)
        .build()
        .map_err(|error| format!("error parsing regexp: {error}"))
}
