//! What calls cost while an expression runs: cel-go's `interpreter/runtimecost.go` and its extensions' trackers, and
//! Kubernetes' `pkg/cel/library/cost.go`.

use crate::library::NamedFormat;
use crate::value::Value;

/// Of a character of a string that is read once.
const STRING_FACTOR: f64 = 0.1;
/// Of a character of a regular expression.
const REGEX_FACTOR: f64 = 0.25;
/// Of making a list.
pub(crate) const LIST: u64 = 10;
/// Of making a map.
pub(crate) const MAP: u64 = 30;
/// Of making a message.
pub(crate) const MESSAGE: u64 = 40;
/// Of a name or a field.
pub(crate) const SELECT: u64 = 1;
/// Of a check of authorization: an expression can make two.
const CHECK: u64 = 350_000;

/// How the cost of a call follows from its arguments and its result.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Price {
    Fixed(u64),
    /// The size of the first argument, times a factor.
    Traversal(f64),
    /// Every part of the first argument.
    Parts,
    /// The size of the shorter of two.
    Shorter,
    /// The same, or one for values of libraries.
    Equality,
    /// The sizes of both.
    Concatenation,
    Regex,
    Contains,
    /// The size of the list on the right.
    Membership,
    Selector,
    ContainsIp {
        text: bool,
    },
    ContainsCidr {
        text: bool,
    },
    Validate,
    /// The product of both sizes, times a factor.
    Sets(f64),
    Flatten,
    /// The square of the size of the list at this place.
    SelfComparison(usize),
    /// The size of the string that it makes.
    Joined,
    /// The size of the list that it makes.
    MadeList,
}

impl Price {
    /// Of a function, by its name and the only overload that it can mean, if there is just one.
    pub(crate) fn new(function: &str, overload: Option<&str>) -> Price {
        let overload = overload.unwrap_or_default();
        of_overload(overload)
            .or_else(|| of_function(function, overload))
            .unwrap_or_else(|| standard(overload))
    }

    /// What is due before the call. Arguments that have failed are null.
    pub(crate) fn of_arguments(self, args: &[Value<'_>]) -> u64 {
        let size = |place: usize| args.get(place).map_or(1, Value::size);
        match self {
            Price::Fixed(cost) => cost,
            Price::Traversal(factor) => scaled(size(0), factor),
            Price::Parts => args.first().map_or(0, parts),
            Price::Equality if matches!(args, [Value::Opaque(_), _]) => 1,
            Price::Shorter | Price::Equality => scaled(size(0).min(size(1)), STRING_FACTOR),
            Price::Concatenation => scaled(size(0).saturating_add(size(1)), STRING_FACTOR),
            Price::Regex => regex(size(0), size(1)),
            Price::Contains => scaled(size(0), STRING_FACTOR).saturating_mul(scaled(size(1), STRING_FACTOR)),
            Price::Membership => size(1),
            Price::Selector => {
                let length = size(1);
                LIST + scaled(length, STRING_FACTOR) + scaled(length, 0.5).saturating_mul(LIST + MESSAGE)
            }
            Price::ContainsIp { text } => scaled(size(0) * 2, STRING_FACTOR) + of_text(text, size(1)),
            Price::ContainsCidr { text } => {
                scaled(size(0) * 2, STRING_FACTOR)
                    + scaled(size(0), STRING_FACTOR)
                    + 1
                    + of_text(text, size(1))
            }
            Price::Validate => match args.first().and_then(|format| format.downcast::<NamedFormat>()) {
                Some(format) => regex(size(1), format.regex_size()),
                None => 1,
            },
            Price::Sets(factor) => 1 + (size(0).saturating_mul(size(1)) as f64 * factor) as u64,
            Price::Flatten => {
                let depth = args.get(1).and_then(Value::as_int).unwrap_or(1);
                allocation(depth as f64, size(0))
            }
            Price::SelfComparison(place) => {
                let first = match args.get(place) {
                    Some(Value::List(list)) => list.get(0).and_then(Result::ok),
                    _ => None,
                };
                let is_text = matches!(first, Some(Value::String(_) | Value::Bytes(_)));
                let size = size(place);
                allocation(if is_text { 2.0 + STRING_FACTOR } else { 2.0 }, size.saturating_mul(size))
            }
            Price::Joined | Price::MadeList => 0,
        }
    }

    /// What is due after the call.
    pub(crate) fn of_result(self, result: &Value<'_>) -> u64 {
        match self {
            Price::Joined => scaled(result.size(), 2.0 * STRING_FACTOR),
            Price::MadeList => allocation(1.0, result.size()),
            _ => 0,
        }
    }
}

fn of_overload(overload: &str) -> Option<Price> {
    Some(match overload {
        "list_slice" | "lists_range" | "list_reverse" => Price::MadeList,
        "list_flatten" | "list_flatten_int" => Price::Flatten,
        "list_distinct" => Price::SelfComparison(0),
        "list_sets_contains_list" | "list_sets_intersects_list" => Price::Sets(1.0),
        "list_sets_equivalent_list" => Price::Sets(2.0),
        other if other.starts_with("list_") && other.ends_with("_sort") => Price::SelfComparison(0),
        other if other.ends_with("_sortByAssociatedKeys") => Price::SelfComparison(1),
        _ => return None,
    })
}

fn of_function(function: &str, overload: &str) -> Option<Price> {
    Some(match function {
        "check" => Price::Fixed(CHECK),
        "fieldSelector" | "labelSelector" => Price::Selector,
        "isSorted" | "sum" | "max" | "min" | "indexOf" | "lastIndexOf" | "includes" => Price::Parts,
        "ip" if overload == "cidr_ip" => Price::Fixed(1),
        "url"
        | "lowerAscii"
        | "upperAscii"
        | "substring"
        | "trim"
        | "jsonpatch.escapeKey"
        | "cidr"
        | "isIP"
        | "isCIDR"
        | "ip"
        | "quantity"
        | "isQuantity"
        | "semver"
        | "isSemver" => Price::Traversal(STRING_FACTOR),
        "replace" | "split" | "ip.isCanonical" => Price::Traversal(2.0 * STRING_FACTOR),
        "join" => Price::Joined,
        "find" | "findAll" => Price::Regex,
        "containsIP" => Price::ContainsIp { text: overload == "cidr_contains_ip_string" },
        "containsCIDR" => Price::ContainsCidr { text: overload == "cidr_contains_cidr_string" },
        "validate" => Price::Validate,
        "_==_" => Price::Equality,
        _ => return None,
    })
}

fn standard(overload: &str) -> Price {
    match overload {
        "starts_with_string" | "ends_with_string" | "string_to_bytes" | "bytes_to_string"
        | "strings_quote" | "string_format" => Price::Traversal(STRING_FACTOR),
        "in_list" => Price::Membership,
        "less_string"
        | "greater_string"
        | "less_equals_string"
        | "greater_equals_string"
        | "less_bytes"
        | "greater_bytes"
        | "less_equals_bytes"
        | "greater_equals_bytes"
        | "equals"
        | "not_equals" => Price::Shorter,
        "add_string" | "add_bytes" => Price::Concatenation,
        "matches_string" => Price::Regex,
        "contains_string" => Price::Contains,
        _ => Price::Fixed(1),
    }
}

fn scaled(size: u64, factor: f64) -> u64 {
    (size as f64 * factor).ceil() as u64
}

/// Of a text with a pattern. An empty text counts as one character, so that the pattern counts too.
fn regex(text: u64, pattern: u64) -> u64 {
    scaled(text.saturating_add(1), STRING_FACTOR).saturating_mul(scaled(pattern, REGEX_FACTOR))
}

fn of_text(is_text: bool, size: u64) -> u64 {
    if is_text { scaled(size, STRING_FACTOR) } else { 0 }
}

/// Of a call that makes a list.
fn allocation(factor: f64, size: u64) -> u64 {
    ((size as f64 * factor) as u64).saturating_add(1 + LIST)
}

/// How many parts a value has that are looked at; a string counts for a tenth of its bytes, rounded down.
fn parts(value: &Value<'_>) -> u64 {
    let text = |length: usize| (length as f64 * STRING_FACTOR) as u64;
    let of_entries = |entries: Vec<(Value<'_>, crate::Evaluated<'_>)>| {
        entries.iter().fold(0u64, |sum, (key, value)| {
            sum.saturating_add(parts(key)).saturating_add(value.as_ref().map_or(1, parts))
        })
    };
    match value {
        Value::String(string) => text(string.len()),
        Value::Bytes(bytes) => text(bytes.len()),
        Value::List(list) => {
            list.iter().fold(0u64, |sum, item| sum.saturating_add(item.map_or(1, |item| parts(&item))))
        }
        Value::Map(map) => of_entries(map.entries()),
        Value::Object(object) => of_entries(object.fields()),
        _ => 1,
    }
}
