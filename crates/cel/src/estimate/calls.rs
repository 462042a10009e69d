//! Calls of operators and standard functions.

use crate::estimate::sizes::{ITEMS, VALUES};
use crate::estimate::{CallCost, CostRange, Coster, Node, Range, SizeRange, library, lists, matching, unit};
use crate::{Expr, Kind};

impl<'e> Coster<'e> {
    pub(super) fn call(&mut self, expr: &'e Expr) -> CostRange {
        let Kind::Call { function, target, args } = &expr.kind else { return Range::default() };
        if let ("dyn", [arg]) = (&**function, args.as_slice()) {
            let cost = self.cost(arg);
            self.copy_sizes(expr.id, arg);
            return cost.plus(unit::CALL);
        }
        let (mut costs, mut nodes) = (Vec::with_capacity(args.len()), Vec::with_capacity(args.len()));
        for arg in args {
            costs.push(self.cost(arg));
            nodes.push(self.node(arg));
        }
        let mut cost = Range::default();
        let target = target.as_ref().map(|target| {
            cost = self.cost(target);
            self.node(target)
        });
        cost.plus(self.overloads(expr, function, target.as_ref(), &nodes, &costs))
    }

    fn node(&mut self, expr: &'e Expr) -> Node<'e> {
        let (kind, place) = (self.checked.expression_type(expr.id), self.place(expr));
        Node { expr, kind, place, size: self.size(expr) }
    }

    /// A range for whatever overload is called.
    fn overloads(
        &mut self,
        expr: &'e Expr,
        function: &str,
        target: Option<&Node<'e>>,
        args: &[Node<'e>],
        costs: &[CostRange],
    ) -> CostRange {
        let mut all: Option<CostRange> = None;
        let mut result: Option<SizeRange> = None;
        let checked = self.checked;
        for overload in checked.overloads(expr.id) {
            let one = self.overload(expr, (function, overload), target, args, costs);
            all = Some(all.map_or(one.cost, |all| all.union(one.cost)));
            if let Some(size) = one.result {
                result = Some(result.map_or(size, |result| result.union(size)));
            }
            if let (&"index_list" | &"index_map", Some(container)) = (overload, args.first()) {
                result = self.entries(container.expr).map(|entries| entries.value);
                let step = if *overload == "index_list" { ITEMS } else { VALUES };
                let place = self.sizes.step(self.place(container.expr), step);
                self.set_place(expr.id, place);
            }
            if result.is_none() {
                result = self.size(expr);
            }
        }
        self.set_size(expr.id, result);
        all.unwrap_or_default()
    }

    fn overload(
        &mut self,
        expr: &'e Expr,
        (function, overload): (&str, &str),
        target: Option<&Node<'e>>,
        args: &[Node<'e>],
        costs: &[CostRange],
    ) -> CallCost {
        let sum = costs.iter().fold(Range::default(), |sum, cost| sum.plus(*cost));
        let sizes = self.sizes;
        let known = lists::call(overload, target, args, sizes)
            .or_else(|| library::call(function, overload, target, args, sizes));
        if let Some(known) = known {
            return known.and(sum);
        }
        match (overload, args, costs) {
            ("logical_or" | "logical_and", _, [left, right]) => {
                CallCost::of(Range { min: left.min, max: left.plus(*right).max })
            }
            ("conditional", [_, then, otherwise], [condition, left, right]) => {
                let entries = self.entries(then.expr).zip(self.entries(otherwise.expr));
                self.set_entries(expr.id, entries.map(|(then, otherwise)| then.union(otherwise)));
                let size = then.size().union(otherwise.size());
                CallCost::with_result(condition.plus(left.union(*right)), size)
            }
            ("add_string" | "add_bytes" | "add_list", [left, right], _) => {
                let entries = self.entries(left.expr).zip(self.entries(right.expr));
                self.set_entries(expr.id, entries.map(|(left, right)| left.union(right)));
                let size = left.size().plus(right.size());
                let cost = if overload == "add_list" { unit::CALL } else { size.scaled(unit::CHARACTER) };
                CallCost::with_result(cost, size).and(sum)
            }
            _ => standard(overload, target, args).unwrap_or(CallCost::of(unit::CALL)).and(sum),
        }
    }
}

/// Standard functions whose cost depends on sizes.
fn standard(overload: &str, target: Option<&Node<'_>>, args: &[Node<'_>]) -> Option<CallCost> {
    let whole = |size: SizeRange| size.scaled(unit::CHARACTER);
    Some(match (overload, target, args) {
        ("string_format", Some(target), _) => CallCost::of(whole(target.size())),
        ("string_to_bytes", None, [text]) => {
            let size = text.size();
            let result = Range { min: size.min, max: size.max.saturating_mul(4) };
            CallCost::with_result(whole(size), result)
        }
        ("bytes_to_string", None, [bytes]) => {
            let size = bytes.size();
            CallCost::with_result(whole(size), Range { min: size.min / 4, max: size.max })
        }
        ("strings_quote", None, [text]) => {
            let size = text.size();
            let doubled = Range { min: size.min, max: size.max.saturating_mul(2) };
            CallCost::with_result(whole(size), doubled.plus(Range::exactly(2)))
        }
        ("starts_with_string" | "ends_with_string", _, [part]) => CallCost::of(whole(part.size())),
        ("in_list", _, [_, list]) => CallCost::of(list.size()),
        ("matches_string", Some(target), [pattern]) => CallCost::of(matching(target.size(), pattern.size())),
        ("contains_string", Some(target), [part]) => {
            CallCost::of(whole(target.size()).times(whole(part.size())))
        }
        (overload, _, [left, right]) if compares(overload) => {
            let max = left.size().max.min(right.size().max);
            CallCost::of(Range { min: max.min(1), max }.scaled(unit::CHARACTER))
        }
        _ => return None,
    })
}

/// Comparisons that look at two values as far as the shorter one goes.
fn compares(overload: &str) -> bool {
    matches!(
        overload,
        "equals"
            | "not_equals"
            | "less_string"
            | "greater_string"
            | "less_equals_string"
            | "greater_equals_string"
            | "less_bytes"
            | "greater_bytes"
            | "less_equals_bytes"
            | "greater_equals_bytes"
    )
}
