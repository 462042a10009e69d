//! Strings of the standard library, and regular expressions.

use std::ops::Deref;
use std::sync::Arc;

use regex::{Regex, RegexBuilder};

use crate::EvaluationError;
use crate::operation::{Context, Operation, no_overload};
use crate::value::{Evaluated, Value};

/// How large a compiled regular expression may be, in bytes.
const REGEX_BYTES_MAX: usize = 1 << 20;
/// The sizes that a regular expression is tried with, ascending, if it is compiled during an evaluation. It counts for them:
/// upstream it costs no more than a match, but it takes much longer.
const REGEX_BYTES: [usize; 4] = [16 << 10, 64 << 10, 256 << 10, REGEX_BYTES_MAX];
/// What each byte of such an expression counts for besides: a class such as `\pL` takes a while to fold, however small it
/// gets.
const PATTERN_BYTE: usize = 2 << 10;

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
    let regex = regex(context, pattern)?;
    let mut found = Vec::new();
    for part in regex.find_iter(text).take(count) {
        context.meter.use_bytes(size_of::<Value<'_>>().saturating_add(part.len()))?;
        found.push(Value::string(part.as_str()));
    }
    Ok(Value::list(found))
}

/// A regular expression that is ready.
enum Ready<'c> {
    Constant(&'c Regex),
    Made(Arc<Regex>),
}

impl Deref for Ready<'_> {
    type Target = Regex;

    fn deref(&self) -> &Regex {
        match self {
            Ready::Constant(regex) => regex,
            Ready::Made(regex) => regex,
        }
    }
}

fn regex<'c>(context: &mut Context<'c, '_>, pattern: &str) -> Result<Ready<'c>, EvaluationError> {
    if let Some(constant) = context.regex {
        return Ok(Ready::Constant(constant));
    }
    if let Some(made) = context.meter.regex(pattern) {
        return Ok(Ready::Made(made));
    }
    context.meter.use_bytes(pattern.len().saturating_mul(PATTERN_BYTE))?;
    for size in REGEX_BYTES {
        context.meter.use_bytes(size)?;
        match compile(pattern, size) {
            Ok(regex) => {
                let regex = Arc::new(regex);
                context.meter.keep_regex(pattern, &regex);
                return Ok(Ready::Made(regex));
            }
            Err(WrongPattern::TooLarge(_)) if size < REGEX_BYTES_MAX => {}
            Err(WrongPattern::TooLarge(why) | WrongPattern::Other(why)) => {
                return Err(EvaluationError::failed(why));
            }
        }
    }
    Err(EvaluationError::MemoryLimit)
}

/// Why a pattern cannot be used.
enum WrongPattern {
    TooLarge(String),
    Other(String),
}

/// Compiles a regular expression in Go's syntax, and tells how much it takes at most, in bytes.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn compile_regex(pattern: &str) -> Result<(Regex, usize), String> {
    for size in REGEX_BYTES {
        match compile(pattern, size) {
            Ok(regex) => return Ok((regex, size)),
            Err(WrongPattern::TooLarge(_)) if size < REGEX_BYTES_MAX => {}
            Err(WrongPattern::TooLarge(why) | WrongPattern::Other(why)) => return Err(why),
        }
    }
    Err(EvaluationError::MemoryLimit.to_string())
}

fn compile(pattern: &str, bytes_max: usize) -> Result<Regex, WrongPattern> {
    let translated = object::structural::from_go(pattern).map_err(WrongPattern::Other)?;
    RegexBuilder::new(&translated).size_limit(bytes_max).dfa_size_limit(REGEX_BYTES_MAX).build().map_err(
        |error| {
            let why = format!("error parsing regexp: {error}");
            match error {
                regex::Error::CompiledTooBig(_) => WrongPattern::TooLarge(why),
                _ => WrongPattern::Other(why),
            }
        },
    )
}
