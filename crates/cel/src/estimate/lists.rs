//! Functions of cel-go's libraries of lists and sets, which bring estimators of their own (`ext/lists.go`, `ext/sets.go`).

use crate::estimate::sizes::Sizes;
use crate::estimate::{CallCost, Node, Range, SizeRange, unit};
use crate::{Kind, Literal};

/// The cost of a call of one of these functions.
pub(super) fn call(
    overload: &str,
    target: Option<&Node<'_>>,
    args: &[Node<'_>],
    sizes: &dyn Sizes,
) -> Option<CallCost> {
    let size = |node: &Node<'_>| node.size_by(sizes);
    match (overload, target, args) {
        ("list_slice", Some(list), [start, end]) => {
            // A start behind the end makes upstream's difference wrap around.
            let count = integer(end, size(list).max).wrapping_sub(integer(start, 0));
            Some(allocating(1.0, Range::exactly(count)))
        }
        ("lists_range", None, [count]) => Some(allocating(1.0, Range::exactly(integer(count, u64::MAX)))),
        ("list_reverse", Some(list), []) => Some(allocating(1.0, size(list))),
        ("list_flatten", Some(list), []) => Some(allocating(1.0, size(list))),
        ("list_flatten_int", Some(list), [depth]) => {
            Some(allocating(integer(depth, u64::MAX) as f64, size(list)))
        }
        ("list_distinct", Some(list), []) => Some(allocating(2.0, square(size(list)))),
        ("list_sets_contains_list" | "list_sets_intersects_list", _, [a, b]) => {
            Some(CallCost::of(size(a).times(size(b)).scaled(1.0).plus(unit::CALL)))
        }
        ("list_sets_equivalent_list", _, [a, b]) => {
            Some(CallCost::of(size(a).times(size(b)).scaled(2.0).plus(unit::CALL)))
        }
        _ => sort(overload, target, args, sizes),
    }
}

/// `list_int_sort`, `list_string_sortByAssociatedKeys`
fn sort(overload: &str, target: Option<&Node<'_>>, args: &[Node<'_>], sizes: &dyn Sizes) -> Option<CallCost> {
    let rest = overload.strip_prefix("list_")?;
    let (element, keys) = match (target, args) {
        (Some(list), []) => (rest.strip_suffix("_sort")?, list),
        (Some(_), [keys]) => (rest.strip_suffix("_sortByAssociatedKeys")?, keys),
        _ => return None,
    };
    let factor = match element {
        "string" | "bytes" => 2.0 + unit::CHARACTER,
        _ => 2.0,
    };
    Some(allocating(factor, square(keys.size_by(sizes))))
}

fn square(size: SizeRange) -> SizeRange {
    size.times(size)
}

/// A call that makes a list of a size.
fn allocating(factor: f64, size: SizeRange) -> CallCost {
    CallCost::with_result(size.scaled(factor).plus(unit::CALL).plus(unit::LIST), size)
}

/// The value of an integer that is written out.
fn integer(node: &Node<'_>, otherwise: u64) -> u64 {
    match node.expr.kind {
        Kind::Literal(Literal::Int(value)) => u64::try_from(value).unwrap_or(0),
        _ => otherwise,
    }
}
