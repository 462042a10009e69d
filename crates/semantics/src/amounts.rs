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
        let mut entries = Vec::new();
        list.each(&mut |name, amount| entries.extend(quantity(amount).map(|amount| (name, amount))));
        let mut amounts = Amounts { entries };
        amounts.sort();
        // Of a name that is listed twice the last amount counts.
        amounts.entries.dedup_by(|later, earlier| {
            let same = later.0 == earlier.0;
            if same {
                std::mem::swap(&mut later.1, &mut earlier.1);
            }
            same
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

    /// Lists the amounts of `other`, in place of those that were listed.
    pub(crate) fn replace(&mut self, other: &Amounts<'a>) {
        self.combine(other, Quantity::clone_from);
    }

    /// Only the resources that are asked for.
    pub(crate) fn only(mut self, wanted: impl Fn(&str) -> bool) -> Amounts<'a> {
        self.entries.retain(|(name, _)| wanted(name));
        self
    }

    fn combine(&mut self, other: &Amounts<'a>, with: impl Fn(&mut Quantity, &Quantity)) {
        let mut missing = Vec::new();
        for (name, amount) in &other.entries {
            match self.find(name) {
                Ok(index) => with(&mut self.entries[index].1, amount),
                Err(_) => missing.push((*name, amount.clone())),
            }
        }
        // All at once: a place made for each would move the rest as often.
        if !missing.is_empty() {
            self.entries.append(&mut missing);
            self.sort();
        }
    }

    /// Sorts by name; entries of one name stay in their order.
    fn sort(&mut self) {
        self.entries.sort_by_key(|(name, _)| *name);
    }

    fn find(&self, name: &str) -> Result<usize, usize> {
        self.entries.binary_search_by(|(found, _)| (*found).cmp(name))
    }
}

#[cfg(test)]
mod tests {
    use object::value;

    use super::*;
    use crate::View;

    fn listed(amounts: &Amounts<'_>) -> String {
        let entries = amounts.iter().map(|(name, amount)| format!("{name}={amount}"));
        entries.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn amounts_are_sorted_and_combined_by_name() {
        let (first, second) =
            (value!({"c": "3", "a": 1, "b": "2"}), value!({"d": "4", "b": "5", "a0": "1m"}));
        let (first, second) = (Amounts::read(first.as_field()), Amounts::read(second.as_field()));
        assert_eq!(listed(&first), "a=1 b=2 c=3");
        let mut sum = first.clone();
        sum.add(&second);
        assert_eq!(listed(&sum), "a=1 a0=1m b=7 c=3 d=4");
        let mut raised = first.clone();
        raised.raise_to(&second);
        assert_eq!(listed(&raised), "a=1 a0=1m b=5 c=3 d=4");
        let mut replaced = second.clone();
        replaced.replace(&first.only(|name| name != "a"));
        assert_eq!(listed(&replaced), "a0=1m b=2 c=3 d=4");
    }
}
