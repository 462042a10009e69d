//! What an expression may cost at least and at most, before it is evaluated (`checker/cost.go` in cel-go, with the options
//! and the estimator of Kubernetes).
//!
//! Costs depend on sizes. Those of literals are known, those of variables are in their schema, and those of results
//! follow from the sizes of arguments. A size that is not known can be anything, so that what depends on it may cost
//! anything.
//!
//! Upstream's numbers decide which rules a custom resource definition may have, so they are matched exactly, oddities
//! included. The exception: where upstream's arithmetic overflows, ours stays at the largest number.

mod calls;
mod folds;
mod library;
mod lists;
mod range;
mod sizes;

pub use range::{CostRange, Range, SizeRange};

use crate::{Checked, Env, Expr, Id, Kind, Literal, Type};
use sizes::{Place, Sizes};

/// What the parts of an expression cost.
mod unit {
    use super::Range;

    pub(super) const NAME: Range = Range::exactly(1);
    pub(super) const CALL: Range = Range::exactly(1);
    pub(super) const LIST: Range = Range::exactly(10);
    pub(super) const MAP: Range = Range::exactly(30);
    pub(super) const MESSAGE: Range = Range::exactly(40);
    /// For each character of a string that is passed once.
    pub(super) const CHARACTER: f64 = 0.1;
    /// For each character of a regular expression.
    pub(super) const PATTERN: f64 = 0.25;
}

/// The cost of an expression, with the sizes that the schemas of variables allow.
pub fn estimate(checked: &Checked, env: &Env) -> CostRange {
    cost(checked, env)
}

/// The same with sizes from elsewhere.
fn cost<'e>(checked: &'e Checked, sizes: &'e dyn Sizes) -> CostRange {
    let ids = checked.ast().places.len();
    let mut coster = Coster {
        checked,
        sizes,
        places: vec![Place::Nowhere; ids],
        known: vec![None; ids],
        entries: vec![None; ids],
        locals: Vec::new(),
    };
    coster.cost(checked.root())
}

/// The sizes of the entries of a list or a map.
#[derive(Clone, Copy, Debug)]
struct Entries {
    list: bool,
    key: SizeRange,
    value: SizeRange,
}

impl Entries {
    fn union(self, other: Entries) -> Entries {
        let (key, value) = (self.key.union(other.key), self.value.union(other.value));
        Entries { list: self.list, key, value }
    }
}

/// The variable of a macro.
struct Local<'e> {
    name: &'e str,
    place: Place<'e>,
    size: Option<SizeRange>,
    entries: Option<Entries>,
}

/// An argument or target of a call.
struct Node<'e> {
    expr: &'e Expr,
    kind: &'e Type,
    place: Place<'e>,
    size: Option<SizeRange>,
}

impl Node<'_> {
    /// Its size, or anything.
    fn size(&self) -> SizeRange {
        self.size.unwrap_or(Range::UNKNOWN)
    }

    /// Its size, also from the schema, or anything.
    fn size_by(&self, sizes: &dyn Sizes) -> SizeRange {
        self.size.or_else(|| sizes.size(self.place, self.kind)).unwrap_or(Range::UNKNOWN)
    }
}

/// The cost of matching a regular expression. An empty string costs as much as one character.
fn matching(text: SizeRange, pattern: SizeRange) -> CostRange {
    let text = text.plus(Range::exactly(1)).scaled(unit::CHARACTER);
    text.times(pattern.scaled(unit::PATTERN))
}

/// What a call costs and how large its result is.
struct CallCost {
    cost: CostRange,
    result: Option<SizeRange>,
}

impl CallCost {
    fn of(cost: CostRange) -> CallCost {
        CallCost { cost, result: None }
    }

    fn with_result(cost: CostRange, result: SizeRange) -> CallCost {
        CallCost { cost, result: Some(result) }
    }

    /// The same with what the arguments cost.
    fn and(self, args: CostRange) -> CallCost {
        CallCost { cost: self.cost.plus(args), ..self }
    }
}

struct Coster<'e> {
    checked: &'e Checked,
    sizes: &'e dyn Sizes,
    /// By ID: where in a schema an expression leads.
    places: Vec<Place<'e>>,
    /// By ID: sizes that were found out.
    known: Vec<Option<SizeRange>>,
    /// By ID.
    entries: Vec<Option<Entries>>,
    /// The innermost last.
    locals: Vec<Local<'e>>,
}

impl<'e> Coster<'e> {
    fn cost(&mut self, expr: &'e Expr) -> CostRange {
        match &expr.kind {
            Kind::Literal(_) => Range::exactly(0),
            Kind::Ident(name) => self.ident(expr.id, name),
            Kind::Select { operand, field, test } => self.select(expr.id, operand, field, *test),
            Kind::Call { .. } => self.call(expr),
            Kind::List { elements, .. } => self.list(expr.id, elements),
            Kind::Map { entries } => {
                let parts = entries.iter().map(|entry| (&entry.key, &entry.value));
                self.map(expr.id, parts)
            }
            Kind::Struct { fields, .. } => {
                fields.iter().fold(unit::MESSAGE, |sum, field| sum.plus(self.cost(&field.value)))
            }
            Kind::Comprehension(fold) => self.fold(expr.id, fold),
        }
    }

    fn ident(&mut self, id: Id, name: &str) -> CostRange {
        let place = match self.local(name) {
            Some(local) => local.place,
            None => self.sizes.place_of(name.strip_prefix('.').unwrap_or(name)),
        };
        self.set_place(id, place);
        unit::NAME
    }

    fn select(&mut self, id: Id, operand: &'e Expr, field: &str, test: bool) -> CostRange {
        let cost = self.cost(operand);
        if test {
            return cost;
        }
        let place = self.sizes.step(self.place(operand), field);
        self.set_place(id, place);
        match self.checked.expression_type(operand.id) {
            Type::Map(_) | Type::Object(_) => cost.plus(unit::NAME),
            _ => cost,
        }
    }

    fn list(&mut self, id: Id, elements: &'e [Expr]) -> CostRange {
        let mut cost = unit::LIST;
        let mut value: Option<SizeRange> = None;
        for element in elements {
            cost = cost.plus(self.cost(element));
            let size = self.size_or_unknown(element);
            value = Some(value.map_or(size, |before| before.union(size)));
        }
        let value = value.unwrap_or_default();
        self.set_entries(id, Some(Entries { list: true, key: Range::exactly(1), value }));
        cost
    }

    fn map(&mut self, id: Id, parts: impl Iterator<Item = (&'e Expr, &'e Expr)>) -> CostRange {
        let mut cost = unit::MAP;
        let mut sizes: Option<(SizeRange, SizeRange)> = None;
        for (key, value) in parts {
            cost = cost.plus(self.cost(key));
            cost = cost.plus(self.cost(value));
            let (key, value) = (self.size_or_unknown(key), self.size_or_unknown(value));
            sizes = Some(sizes.map_or((key, value), |before| (before.0.union(key), before.1.union(value))));
        }
        let (key, value) = sizes.unwrap_or_default();
        self.set_entries(id, Some(Entries { list: false, key, value }));
        cost
    }

    fn local(&self, name: &str) -> Option<&Local<'e>> {
        self.locals.iter().rev().find(|local| local.name == name)
    }

    /// The variable of a macro that an expression is.
    fn local_of(&self, expr: &Expr) -> Option<&Local<'e>> {
        match &expr.kind {
            Kind::Ident(name) => self.local(name),
            _ => None,
        }
    }

    fn place(&self, expr: &Expr) -> Place<'e> {
        match self.local_of(expr) {
            Some(local) => local.place,
            None => self.places.get(expr.id as usize).copied().unwrap_or_default(),
        }
    }

    fn set_place(&mut self, id: Id, place: Place<'e>) {
        if let Some(slot) = self.places.get_mut(id as usize) {
            *slot = place;
        }
    }

    fn set_size(&mut self, id: Id, size: Option<SizeRange>) {
        if let (Some(slot), Some(_)) = (self.known.get_mut(id as usize), size) {
            *slot = size;
        }
    }

    fn set_entries(&mut self, id: Id, entries: Option<Entries>) {
        if let (Some(slot), Some(_)) = (self.entries.get_mut(id as usize), entries) {
            *slot = entries;
        }
    }

    fn entries(&self, expr: &Expr) -> Option<Entries> {
        let known = self.entries.get(expr.id as usize).copied().flatten();
        known.or_else(|| self.local_of(expr)?.entries)
    }

    fn size(&mut self, expr: &Expr) -> Option<SizeRange> {
        let known = self.known.get(expr.id as usize).copied().flatten();
        if let Some(size) = known.or_else(|| literal_size(&expr.kind)) {
            return Some(size);
        }
        let kind = self.checked.expression_type(expr.id);
        if let Some(size) = self.sizes.size(self.place(expr), kind) {
            self.set_size(expr.id, Some(size));
            return Some(size);
        }
        if is_scalar(kind) {
            return Some(Range::exactly(1));
        }
        self.local_of(expr)?.size
    }

    fn size_or_unknown(&mut self, expr: &Expr) -> SizeRange {
        self.size(expr).unwrap_or(Range::UNKNOWN)
    }

    /// Gives an expression the size of another.
    fn copy_sizes(&mut self, to: Id, from: &Expr) {
        let (size, entries) = (self.size(from), self.entries(from));
        self.set_size(to, size);
        self.set_entries(to, entries);
    }
}

/// The size of what is written out.
fn literal_size(kind: &Kind) -> Option<SizeRange> {
    let size = match kind {
        Kind::Literal(Literal::String(text)) => text.chars().count(),
        Kind::Literal(Literal::Bytes(bytes)) => bytes.len(),
        Kind::Literal(_) => 1,
        Kind::List { elements, .. } => elements.len(),
        Kind::Map { entries } => entries.len(),
        _ => return None,
    };
    Some(Range::exactly(size as u64))
}

/// Whether all values of a type have the same size.
fn is_scalar(kind: &Type) -> bool {
    match kind {
        Type::Bool | Type::Double | Type::Duration | Type::Int | Type::Timestamp | Type::Uint => true,
        Type::Opaque(name, params) if &**name == "optional_type" => params.iter().all(is_scalar),
        _ => false,
    }
}

#[cfg(test)]
mod tests;
