//! Rules of numbers, with the differences that upstream makes between integers and others.

use super::found::Found;
use super::node::{Limit, Node};
use crate::Value;
use crate::field::{Error, Path};

/// Checks a number.
pub(super) fn check(node: &Node, value: &Value, path: &Path<'_>, found: &mut Found) {
    let kind = Kind::of(node);
    if !kind.holds(value) {
        found.nowhere(format!("Checked value must be of type {} in {path}", kind.shown()));
    }
    found.matches += 1;
    let Some(rules) = node.numbers.as_deref() else { return };
    if let Some(factor) = rules.multiple_of {
        multiple(value, factor, kind, path, found);
    }
    if let Some(limit) = rules.maximum {
        bound(value, limit, &UPPER, kind, path, found);
    }
    if let Some(limit) = rules.minimum {
        bound(value, limit, &LOWER, kind, path, found);
    }
}

/// Whether a number has no fraction and is of a size at which fractions can be told.
pub(super) fn is_integral(value: &Value) -> bool {
    value.as_f64().is_some_and(|number| number.fract() == 0.0 && number.abs() < 9_007_199_254_740_992.0)
}

/// The numbers that a schema speaks of.
#[derive(Clone, Copy)]
struct Kind<'a> {
    integer: bool,
    format: &'a str,
}

impl<'a> Kind<'a> {
    fn of(node: &'a Node) -> Kind<'a> {
        let single = node.types.single();
        let format = node.format.as_deref().filter(|_| matches!(single, Some("integer" | "number")));
        Kind { integer: single == Some("integer"), format: format.unwrap_or_default() }
    }

    /// Whether a number is in the range of the kind.
    fn holds(self, value: &Value) -> bool {
        match (self.integer, self.format) {
            (true, "int32") => whole(value).is_some_and(|number| i32::try_from(number).is_ok()),
            (true, _) => whole(value).is_some(),
            (false, "float") => value.as_f64().is_none_or(|number| number.abs() <= f64::from(f32::MAX)),
            (false, _) => true,
        }
    }

    fn shown(self) -> String {
        let name = if self.integer { "integer" } else { "number" };
        match self.format {
            "" => format!("{name} (default format)"),
            format => format!("{name} with format {format}"),
        }
    }
}

/// A number without a fraction.
fn whole(value: &Value) -> Option<i64> {
    match value {
        Value::Int(number) => Some(*number),
        value => value.as_i64(),
    }
}

/// The words of a bound.
struct Side {
    boundary: &'static str,
    words: &'static str,
    is_out: fn(f64, f64) -> bool,
    is_out_whole: fn(i64, i64) -> bool,
}

const UPPER: Side = Side {
    boundary: "Maximum boundary",
    words: "be less than",
    is_out: |number, limit| number > limit,
    is_out_whole: |number, limit| number > limit,
};

const LOWER: Side = Side {
    boundary: "Minimum boundary",
    words: "be greater than",
    is_out: |number, limit| number < limit,
    is_out_whole: |number, limit| number < limit,
};

fn bound(value: &Value, limit: Limit, side: &Side, kind: Kind<'_>, path: &Path<'_>, found: &mut Found) {
    let is_fit = kind.holds(&Value::Float(limit.value));
    if !is_fit {
        found.nowhere(format!("{} value must be of type {} in {path}", side.boundary, kind.shown()));
    }
    let or_equal = if limit.exclusive { "" } else { " or equal to" };
    let (is_out, shown) = match (value, is_fit) {
        (Value::Int(number), true) => {
            let whole = truncated(limit.value);
            let is_out = (side.is_out_whole)(*number, whole) || limit.exclusive && *number == whole;
            (is_out, whole.to_string())
        }
        _ => {
            let number = value.as_f64().unwrap_or_default();
            let is_equal = number.total_cmp(&limit.value).is_eq();
            let is_out = (side.is_out)(number, limit.value) || limit.exclusive && is_equal;
            (is_out, shown(limit.value))
        }
    };
    if is_out {
        found.invalid(path, value.clone(), &format!("{}{or_equal} {shown}", side.words));
    }
}

fn multiple(value: &Value, factor: f64, kind: Kind<'_>, path: &Path<'_>, found: &mut Found) {
    let is_fit = kind.holds(&Value::Float(factor));
    if !is_fit {
        found.nowhere(format!("MultipleOf value must be of type {} in {path}", kind.shown()));
    }
    let (is_positive, is_multiple, shown) = match (value, is_fit) {
        (Value::Int(number), true) => {
            let factor = truncated(factor);
            (factor > 0, factor > 0 && number % factor == 0, factor.to_string())
        }
        _ => {
            let number = value.as_f64().unwrap_or_default();
            let ratio = if factor < 1.0 { 1.0 / factor * number } else { number / factor };
            (factor > 0.0, is_integral(&Value::Float(ratio)), shown(factor))
        }
    };
    if !is_positive {
        found.errors.push_with(|| {
            Error::invalid(
                path,
                Value::Float(factor),
                format!("factor MultipleOf declared for {path} must be positive: {shown}"),
            )
        });
    } else if !is_multiple {
        found.invalid(path, value.clone(), &format!("be a multiple of {shown}"));
    }
}

/// The number without its fraction; beyond the range of integers, its end.
fn truncated(number: f64) -> i64 {
    number.trunc() as i64
}

/// A number as Go's `%v` shows it.
fn shown(number: f64) -> String {
    if number != 0.0 && !(1e-4..1e21).contains(&number.abs()) {
        let text = format!("{number:e}");
        let Some((digits, exponent)) = text.split_once('e') else { return text };
        let (sign, exponent) = exponent.strip_prefix('-').map_or(('+', exponent), |rest| ('-', rest));
        return format!("{digits}e{sign}{exponent:0>2}");
    }
    number.to_string()
}
