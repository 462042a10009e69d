//! Which fields a path of the API writes.

use crate::FieldSet;

/// The fields that a write through a path changes. What it does not change becomes nobody's: the status in an update of
/// the object itself, the spec in one of its status (upstream: reset fields).
#[derive(Clone, Debug)]
pub enum Scope {
    /// All.
    Whole,
    /// All but these and those below them.
    Without(FieldSet),
    /// Only those at and below these places; `*` stands for any item.
    Within(&'static [&'static [&'static str]]),
}

impl Scope {
    /// All fields but those at these paths and below.
    pub fn without(paths: &[&[&str]]) -> Scope {
        let mut set = FieldSet::default();
        for path in paths {
            let elements: Vec<crate::Element> = path.iter().map(|name| crate::Element::field(name)).collect();
            set.insert(&elements);
        }
        Scope::Without(set)
    }

    /// The part of a set that the path writes.
    pub(crate) fn of(&self, set: FieldSet) -> FieldSet {
        match self {
            Scope::Whole => set,
            Scope::Without(fields) => set.outside(fields),
            Scope::Within(patterns) => set.within(patterns),
        }
    }
}
