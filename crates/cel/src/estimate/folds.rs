//! Folds: as often as the range has elements, condition and step.

use crate::estimate::sizes::{INDICES, ITEMS, KEYS, VALUES};
use crate::estimate::{Coster, Entries, Local};
use crate::{Comprehension, CostRange, Expr, Id, Kind, Literal, Type};

impl<'e> Coster<'e> {
    pub(super) fn fold(&mut self, id: Id, fold: &'e Comprehension) -> CostRange {
        if is_bind(fold) { self.bind(id, fold) } else { self.real_fold(id, fold) }
    }

    /// A name for a value.
    fn bind(&mut self, id: Id, fold: &'e Comprehension) -> CostRange {
        let cost = self.cost(&fold.range).plus(self.cost(&fold.start));
        self.push_accumulator(fold);
        let cost = cost.plus(self.cost(&fold.result));
        self.locals.pop();
        self.copy_sizes(id, &fold.result);
        cost
    }

    fn real_fold(&mut self, id: Id, fold: &'e Comprehension) -> CostRange {
        let mut cost = self.cost(&fold.range).plus(self.cost(&fold.start));
        self.push_accumulator(fold);
        let outside = self.locals.len();
        self.push_variables(fold);
        let once = self.cost(&fold.condition);
        let once = once.plus(self.cost(&fold.step));
        self.locals.truncate(outside);
        cost = cost.plus(self.cost(&fold.result));
        self.locals.pop();
        let times = self.size_or_unknown(&fold.range);
        match fold.start.kind {
            Kind::Literal(_) => {
                let size = self.size(&fold.start);
                self.set_size(id, size);
            }
            Kind::List { .. } | Kind::Map { .. } => {
                self.set_size(id, Some(times));
                let entries = self.entries(&fold.step);
                self.set_entries(id, entries);
            }
            _ => {}
        }
        cost.plus(times.times(once))
    }

    fn push_accumulator(&mut self, fold: &'e Comprehension) {
        let (place, entries) = (self.place(&fold.start), self.entries(&fold.start));
        let size = self.size(&fold.start);
        self.locals.push(Local { name: &fold.accumulator, place, size, entries });
    }

    fn push_variables(&mut self, fold: &'e Comprehension) {
        let entries = self.entries(&fold.range);
        let list = self.is_list(&fold.range, entries);
        let (key, value) = (entries.map(|entries| entries.key), entries.map(|entries| entries.value));
        match &fold.second {
            Some(second) => {
                self.push_variable(fold, &fold.variable, if list { INDICES } else { KEYS }, key);
                self.push_variable(fold, second, if list { ITEMS } else { VALUES }, value);
            }
            None if list => self.push_variable(fold, &fold.variable, ITEMS, value),
            None => self.push_variable(fold, &fold.variable, KEYS, key),
        }
    }

    fn push_variable(&mut self, fold: &'e Comprehension, name: &'e str, step: &str, size: Option<CostRange>) {
        let place = self.sizes.step(self.place(&fold.range), step);
        self.locals.push(Local { name, place, size, entries: None });
    }

    fn is_list(&self, range: &Expr, entries: Option<Entries>) -> bool {
        match entries {
            Some(entries) => entries.list,
            None => matches!(self.checked.expression_type(range.id), Type::List(_)),
        }
    }
}

/// Whether a fold only names a value.
fn is_bind(fold: &Comprehension) -> bool {
    let empty = matches!(&fold.range.kind, Kind::List { elements, .. } if elements.is_empty());
    empty && fold.condition.kind == Kind::Literal(Literal::Bool(false))
}
