//! Whether a tree that was never text could have been.

use super::{DEPTH_MAX, JsonError, to_vec};
use crate::Value;

/// How many bytes of text one byte of a string takes at most: `\u00XX`.
const ESCAPE_BYTES: usize = 6;

/// Checks a tree that comes from this process as a parser checks text: its nesting, its numbers, and that its text
/// would have at most `bytes_max` bytes. Answers whether it fits in.
///
/// # Errors
/// Those of [`parse`](super::parse) for what no text could express.
pub fn check(value: &Value, bytes_max: usize) -> Result<bool, JsonError> {
    let least = least(value, 0)?;
    if least > bytes_max {
        return Ok(false);
    }
    // Only a text near the limit is written to be counted.
    Ok(least <= bytes_max / ESCAPE_BYTES || to_vec(value).len() <= bytes_max)
}

/// The bytes of the text if no character had to be escaped. With escapes it is at most [`ESCAPE_BYTES`] times as long.
fn least(value: &Value, depth: usize) -> Result<usize, JsonError> {
    let nested = matches!(value, Value::List(_) | Value::Map(_));
    if nested && depth == DEPTH_MAX {
        return Err(JsonError::TooDeep);
    }
    Ok(match value {
        Value::Null | Value::Bool(true) => 4,
        Value::Bool(false) => 5,
        Value::Int(number) => usize::from(*number < 0) + number.unsigned_abs().max(1).ilog10() as usize + 1,
        Value::Float(number) if number.is_finite() => to_vec(value).len(),
        Value::Float(number) => return Err(JsonError::NumberRange(number.to_string().into_boxed_str())),
        Value::String(text) => text.len() + 2,
        Value::List(items) => {
            let mut bytes = 2 + items.len().saturating_sub(1);
            for item in items {
                bytes += least(item, depth + 1)?;
            }
            bytes
        }
        Value::Map(map) => {
            let mut bytes = 2 + map.len().saturating_sub(1);
            for (name, value) in map.iter() {
                bytes += name.len() + 3 + least(value, depth + 1)?;
            }
            bytes
        }
    })
}

/// Whether a value has at most this many levels of lists and objects. Adds the number of values seen to `seen`.
pub fn is_within(value: &Value, levels: usize, seen: &mut usize) -> bool {
    *seen += 1;
    match value {
        Value::List(items) => levels > 0 && items.iter().all(|item| is_within(item, levels - 1, seen)),
        Value::Map(map) => levels > 0 && map.iter().all(|(_, value)| is_within(value, levels - 1, seen)),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value;

    #[test]
    fn the_limit_is_that_of_the_text() {
        let trees = [
            Value::Null,
            value!({"a": [1, -20, true, false, null, "x"], "b": {}, "c": []}),
            value!({"quotes": "\"\"\"\"\"\"", "control": "\u{1}\u{1}\u{1}", "html": "<<<>>>"}),
            value!({"float": 1e300, "small": 0.000_000_000_1, "zero": 0}),
        ];
        for tree in trees {
            let length = to_vec(&tree).len();
            assert_eq!((check(&tree, length), check(&tree, length - 1)), (Ok(true), Ok(false)), "{tree:?}");
        }
    }

    #[test]
    fn what_text_cannot_express_is_refused() {
        let nested = |depth| (1..depth).fold(value!([]), |inner, _| Value::List(vec![inner]));
        for depth in [DEPTH_MAX, DEPTH_MAX + 1] {
            let parsed = super::super::parse(&to_vec(&nested(depth))).map(|_| true);
            assert_eq!(check(&nested(depth), usize::MAX), parsed, "{depth}");
        }
        assert!(check(&Value::Float(f64::NAN), usize::MAX).is_err());
        assert!(check(&Value::Float(f64::INFINITY), usize::MAX).is_err());
    }
}
