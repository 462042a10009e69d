//! Functions of Kubernetes' libraries, and of others for which it has an estimate (`pkg/cel/library/cost.go` in
//! `k8s.io/apiserver`).

use crate::estimate::sizes::{ITEMS, Place, Sizes};
use crate::estimate::{CallCost, CostRange, Node, Range, SizeRange, matching, unit};
use crate::{Kind, Literal, Type};

/// An authorization check, of which an expression can afford two.
const CHECK: Range = Range::exactly(350_000);
/// The longest pattern and the longest name of a format.
const FORMAT_PATTERN_MAX: f64 = 128.0;
const FORMAT_NAME_MAX: u64 = 64;

/// The cost of a call of one of these functions.
pub(super) fn call(
    function: &str,
    overload: &str,
    target: Option<&Node<'_>>,
    args: &[Node<'_>],
    sizes: &dyn Sizes,
) -> Option<CallCost> {
    let whole = |node: &Node<'_>| node.size_by(sizes).scaled(unit::CHARACTER);
    let unit_cost = || Some(CallCost::of(unit::CALL));
    match function {
        "check" => Some(CallCost::of(CHECK)),
        _ if is_accessor(function) => unit_cost(),
        "ip" if overload == "cidr_ip" => unit_cost(),
        "ip" | "cidr" | "isIP" | "isCIDR" | "quantity" | "isQuantity" | "semver" | "isSemver" => {
            args.first().map(|text| CallCost::of(whole(text)))
        }
        "ip.isCanonical" => {
            args.first().map(|text| CallCost::of(text.size_by(sizes).scaled(2.0 * unit::CHARACTER)))
        }
        "containsIP" | "containsCIDR" => contains(function, overload, args, sizes),
        "fieldSelector" | "labelSelector" => match args {
            [selector] => Some(CallCost::of(selecting(selector.size_by(sizes)))),
            _ => None,
        },
        "validate" => {
            args.first().map(|text| CallCost::of(whole(text).scaled(FORMAT_PATTERN_MAX * unit::PATTERN)))
        }
        "_==_" => equality(args),
        _ => strings(function, target, args, sizes),
    }
}

/// Functions that only make or read a value of a library's type.
fn is_accessor(function: &str) -> bool {
    const AUTHORIZER: [&str; 11] = [
        "serviceAccount",
        "path",
        "group",
        "resource",
        "subresource",
        "namespace",
        "name",
        "allowed",
        "reason",
        "error",
        "errored",
    ];
    const ADDRESSES: [&str; 8] = [
        "masked",
        "prefixLength",
        "family",
        "isUnspecified",
        "isLoopback",
        "isLinkLocalMulticast",
        "isLinkLocalUnicast",
        "isGlobalUnicast",
    ];
    const NUMBERS: [&str; 12] = [
        "sign",
        "asInteger",
        "isInteger",
        "asApproximateFloat",
        "isGreaterThan",
        "isLessThan",
        "compareTo",
        "add",
        "sub",
        "major",
        "minor",
        "patch",
    ];
    const URLS: [&str; 6] = ["getScheme", "getHostname", "getHost", "getPort", "getEscapedPath", "getQuery"];
    function == "format.named"
        || AUTHORIZER.contains(&function)
        || ADDRESSES.contains(&function)
        || NUMBERS.contains(&function)
        || URLS.contains(&function)
}

/// Strings and lists.
fn strings(
    function: &str,
    target: Option<&Node<'_>>,
    args: &[Node<'_>],
    sizes: &dyn Sizes,
) -> Option<CallCost> {
    let traversal = |size: SizeRange, factor: f64| size.scaled(factor * unit::CHARACTER);
    match (function, target, args) {
        ("url" | "jsonpatch.escapeKey", _, [text]) => {
            let size = text.size_by(sizes);
            Some(CallCost::with_result(traversal(size, 1.0), size))
        }
        ("lowerAscii" | "upperAscii" | "substring" | "trim", Some(text), _) => {
            let size = text.size_by(sizes);
            Some(CallCost::with_result(traversal(size, 1.0), size))
        }
        ("replace", Some(text), [from, to, ..]) => {
            let size = text.size_by(sizes);
            let result = replaced(size, from.size_by(sizes), to.size_by(sizes));
            Some(CallCost::with_result(traversal(size, 2.0), result))
        }
        ("split", Some(text), _) => {
            let size = text.size_by(sizes);
            let most = match args.get(1).map(|limit| &limit.expr.kind) {
                Some(Kind::Literal(Literal::Int(limit))) => *limit as u64,
                _ => size.max,
            };
            Some(CallCost::with_result(traversal(size, 2.0), Range::up_to(most)))
        }
        ("join", Some(list), _) => {
            let size = joined(list, args.first(), sizes);
            Some(CallCost::with_result(traversal(size, 1.0), size))
        }
        ("find" | "findAll", Some(text), [pattern, ..]) => {
            let size = text.size_by(sizes);
            Some(CallCost::with_result(matching(size, pattern.size_by(sizes)), Range::up_to(size.max)))
        }
        ("isSorted" | "sum" | "max" | "min" | "indexOf" | "lastIndexOf" | "includes", Some(list), _) => {
            Some(CallCost::of(passing(function, list, sizes)))
        }
        _ => None,
    }
}

/// Looking at each element of a list or each character of a string.
fn passing(function: &str, target: &Node<'_>, sizes: &dyn Sizes) -> CostRange {
    let size = target.size_by(sizes);
    match element(target, sizes) {
        Some((Type::String | Type::Bytes, element)) => {
            size.times(unit::CALL.plus(element.scaled(unit::CHARACTER)))
        }
        Some(_) => size,
        None if function == "includes" => size,
        None => size.scaled(unit::CHARACTER),
    }
}

/// The type and the size of a list's elements.
fn element<'n>(list: &Node<'n>, sizes: &dyn Sizes) -> Option<(&'n Type, SizeRange)> {
    let kind = match list.kind {
        Type::List(inner) | Type::Type(inner) => &**inner,
        Type::Map(entry) => &entry.0,
        Type::Opaque(_, params) => params.first()?,
        _ => return None,
    };
    let place = match list.place {
        Place::Nowhere => Place::Nowhere,
        place => sizes.step(place, ITEMS),
    };
    Some((kind, sizes.size(place, kind).unwrap_or(Range::UNKNOWN)))
}

fn joined(list: &Node<'_>, separator: Option<&Node<'_>>, sizes: &dyn Sizes) -> SizeRange {
    let count = list.size_by(sizes);
    let elements = element(list, sizes).map_or(Range::default(), |(_, size)| count.times(size));
    let Some(separator) = separator else { return elements };
    let gaps = Range { min: count.min.saturating_sub(1), max: count.max.saturating_sub(1) };
    elements.plus(separator.size_by(sizes).times(gaps))
}

/// The size of a string in which all occurrences of another are replaced.
fn replaced(text: SizeRange, from: SizeRange, to: SizeRange) -> SizeRange {
    let share = |size: u64, part: u64| (size as f64 / part as f64).ceil() as u64;
    let (longest_count, longest_kept) = match from.min {
        // Nothing is found before and behind each character.
        0 => (text.max.saturating_add(1), text.max),
        min if to.max <= min => (0, text.max),
        min => (share(text.max, min), 0),
    };
    let (shortest_count, shortest_kept) = match from.max {
        0 => (text.min.saturating_add(1), text.min),
        max if max <= to.min => (0, text.min),
        max => (share(text.min, max), 0),
    };
    let count = Range { min: shortest_count, max: longest_count };
    count.times(to).plus(Range { min: shortest_kept, max: longest_kept })
}

/// Whether an address range contains an address or another range.
fn contains(function: &str, overload: &str, args: &[Node<'_>], sizes: &dyn Sizes) -> Option<CallCost> {
    let other = args.first()?;
    let address = Range { min: 4, max: 16 };
    let mut cost = address.plus(address).scaled(unit::CHARACTER);
    if function == "containsCIDR" {
        cost = cost.plus(address.scaled(unit::CHARACTER)).plus(unit::CALL);
    }
    if matches!(overload, "cidr_contains_ip_string" | "cidr_contains_cidr_string") {
        cost = cost.plus(other.size_by(sizes).scaled(unit::CHARACTER));
    }
    Some(CallCost::of(cost))
}

/// Parsing a selector: the shortest requirement is two characters long, and each makes a list and a structure.
fn selecting(length: SizeRange) -> CostRange {
    let requirements = length.scaled(0.5).scaled((unit::LIST.min + unit::MESSAGE.min) as f64);
    unit::LIST.plus(length.scaled(unit::CHARACTER)).plus(requirements)
}

/// Whether two values of a library's type are equal.
fn equality(args: &[Node<'_>]) -> Option<CallCost> {
    let [left, right] = args else { return None };
    let (Type::Opaque(name, _), Type::Opaque(other, _)) = (left.kind, right.kind) else { return None };
    if name != other {
        return None;
    }
    let most = match &**name {
        "net.IP"
        | "net.CIDR"
        | "kubernetes.Quantity"
        | "kubernetes.Semver"
        | "kubernetes.authorization.Authorizer"
        | "kubernetes.authorization.PathCheck"
        | "kubernetes.authorization.GroupCheck"
        | "kubernetes.authorization.ResourceCheck"
        | "kubernetes.authorization.Decision" => return Some(CallCost::of(unit::CALL)),
        "kubernetes.NamedFormat" => FORMAT_NAME_MAX,
        "kubernetes.URL" => right.size.map_or(1, |size| size.max),
        _ => return None,
    };
    Some(CallCost::of(Range { min: 1, max: most }.scaled(unit::CHARACTER)))
}
