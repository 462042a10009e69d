//! Amounts of resources by name.

use object::{Quantity, QuantityFormat};

use crate::Field;

/// The quantity in a field; `None` if the field is absent. One that cannot be read, which validation refuses, counts
/// as zero.
pub(crate) fn quantity(of: Field<'_>) -> Option<Quantity> {
    match of {
        Field::Absent => None,
        Field::Integer(number) => Some(Quantity::new(number, QuantityFormat::DecimalSi)),
        other => Some(Quantity::parse(other.text()).unwrap_or_default()),
    }
}

/// Amounts by the name of the resource, sorted. Names are borrowed from the object that they were read from, and
/// amounts are exact.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Amounts<'a> {
    entries: Vec<(&'a str, Quantity)>,
}

impl<'a> Amounts<'a> {
    /// Reads a resource list.
    pub fn read(list: Field<'a>) -> Amounts<'a> {
        let mut amounts = Amounts::default();
        list.each(&mut |name, amount| {
            if let Some(amount) = quantity(amount) {
                amounts.set(name, amount);
            }
        });
        amounts
    }

    /// The amount of a resource, if it is listed.
    pub fn get(&self, name: &str) -> Option<&Quantity> {
        self.find(name).ok().map(|index| &self.entries[index].1)
    }

    /// The amounts with their names, in the order of names.
    pub fn iter(&self) -> impl Iterator<Item = (&'a str, &Quantity)> {
        self.entries.iter().map(|(name, amount)| (*name, amount))
    }

    /// Whether nothing is listed.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Lists an amount, in place of the one that was listed.
    pub fn set(&mut self, name: &'a str, amount: Quantity) {
        match self.find(name) {
            Ok(index) => self.entries[index].1 = amount,
            Err(index) => self.entries.insert(index, (name, amount)),
        }
    }

    /// Adds other amounts.
    pub fn add(&mut self, other: &Amounts<'a>) {
        self.combine(other, |own, other| *own += other);
    }

    /// Raises each amount to that of `other`.
    pub fn raise_to(&mut self, other: &Amounts<'a>) {
        self.combine(other, |own, other| {
            if *own < *other {
                own.clone_from(other);
            }
        });
    }

    fn combine(&mut self, other: &Amounts<'a>, with: impl Fn(&mut Quantity, &Quantity)) {
        for (name, amount) in &other.entries {
            match self.find(name) {
                Ok(index) => with(&mut self.entries[index].1, amount),
                Err(index) => self.entries.insert(index, (name, amount.clone())),
            }
        }
    }

    fn find(&self, name: &str) -> Result<usize, usize> {
        self.entries.binary_search_by(|(found, _)| (*found).cmp(name))
    }
}
