//! The order of values.

use std::cmp::Ordering;

use super::Value;
use crate::EvaluationError;

/// Compares two values that have an order: numbers of any type, and two values of the same type otherwise.
///
/// # Errors
/// There is no order between them.
pub(crate) fn compare(a: &Value<'_>, b: &Value<'_>) -> Result<Ordering, EvaluationError> {
    Ok(match (a, b) {
        (Value::Bool(a), Value::Bool(b)) => a.cmp(b),
        (Value::String(a), Value::String(b)) => a.as_bytes().cmp(b.as_bytes()),
        (Value::Bytes(a), Value::Bytes(b)) => (**a).cmp(&**b),
        (Value::Timestamp(a), Value::Timestamp(b)) => a.cmp(b),
        (Value::Duration(a), Value::Duration(b)) => a.cmp(b),
        (
            Value::Int(_) | Value::Uint(_) | Value::Double(_),
            Value::Int(_) | Value::Uint(_) | Value::Double(_),
        ) => {
            let is_nan = |value: &Value<'_>| matches!(value, Value::Double(value) if value.is_nan());
            if is_nan(a) || is_nan(b) {
                return Err(EvaluationError::failed("NaN values cannot be ordered"));
            }
            compare_numbers(a, b).ok_or_else(EvaluationError::no_such_overload)?
        }
        _ => return Err(EvaluationError::no_such_overload()),
    })
}

/// Compares two numbers, as far as a double can tell them apart if one of them is one.
pub(crate) fn compare_numbers(a: &Value<'_>, b: &Value<'_>) -> Option<Ordering> {
    match (a, b) {
        (Value::Int(a), Value::Int(b)) => Some(a.cmp(b)),
        (Value::Uint(a), Value::Uint(b)) => Some(a.cmp(b)),
        (Value::Double(a), Value::Double(b)) => a.partial_cmp(b),
        (Value::Int(a), Value::Uint(b)) => Some(i128::from(*a).cmp(&i128::from(*b))),
        (Value::Uint(a), Value::Int(b)) => Some(i128::from(*a).cmp(&i128::from(*b))),
        (Value::Double(a), Value::Int(b)) => compare_double(*a, *b as f64, i64::MIN as f64, i64::MAX as f64),
        (Value::Double(a), Value::Uint(b)) => compare_double(*a, *b as f64, 0.0, u64::MAX as f64),
        (Value::Int(_) | Value::Uint(_), Value::Double(_)) => compare_numbers(b, a).map(Ordering::reverse),
        _ => None,
    }
}

fn compare_double(a: f64, b: f64, min: f64, max: f64) -> Option<Ordering> {
    match a {
        a if a < min => Some(Ordering::Less),
        a if a > max => Some(Ordering::Greater),
        a => a.partial_cmp(&b),
    }
}
