//! Amounts of resources by name, owned.

use std::collections::BTreeMap;
use std::fmt;

use object::Quantity;

use crate::amounts::quantity;
use crate::{Amounts, Field};

/// Amounts of resources by name, in the order of names. `Display` shows them as upstream's messages do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResourceList(BTreeMap<String, Quantity>);

impl ResourceList {
    /// Reads a resource list of an object.
    pub fn read(list: Field<'_>) -> ResourceList {
        let mut amounts = BTreeMap::new();
        list.each(&mut |name, amount| {
            amounts.extend(quantity(amount).map(|amount| (name.to_owned(), amount)));
        });
        ResourceList(amounts)
    }

    /// The amount of a resource, if it is listed.
    pub fn get(&self, name: &str) -> Option<&Quantity> {
        self.0.get(name)
    }

    /// Lists an amount, in place of the one that was listed.
    pub fn set(&mut self, name: impl Into<String>, amount: Quantity) {
        self.0.insert(name.into(), amount);
    }

    /// The amounts with their names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Quantity)> {
        self.0.iter().map(|(name, amount)| (&**name, amount))
    }

    /// The names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(|name| &**name)
    }

    /// How many resources are listed.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether nothing is listed.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds an amount.
    pub fn add(&mut self, name: &str, amount: &Quantity) {
        match self.0.get_mut(name) {
            Some(sum) => *sum += amount,
            None => drop(self.0.insert(name.to_owned(), amount.clone())),
        }
    }

    /// Adds the amounts of another list.
    pub fn add_all(&mut self, other: &ResourceList) {
        other.iter().for_each(|(name, amount)| self.add(name, amount));
    }

    /// Sets every amount to zero.
    pub fn clear(&mut self) {
        self.0.values_mut().for_each(|amount| *amount = Quantity::ZERO);
    }

    /// Adds the amounts of another list to those that are listed here.
    pub fn add_listed(&mut self, other: &ResourceList) {
        for (name, sum) in &mut self.0 {
            if let Some(more) = other.get(name) {
                *sum += more;
            }
        }
    }

    /// Takes the amounts of another list away from those that are listed here; none becomes negative.
    pub fn take_all(&mut self, other: &ResourceList) {
        for (name, amount) in &mut self.0 {
            if let Some(less) = other.get(name) {
                *amount -= less;
                if amount.sign() < 0 {
                    *amount = Quantity::ZERO;
                }
            }
        }
    }

    /// Only the resources that are asked for.
    #[must_use]
    pub fn only(&self, wanted: impl Fn(&str) -> bool) -> ResourceList {
        let wanted = self.0.iter().filter(|(name, _)| wanted(name));
        ResourceList(wanted.map(|(name, amount)| (name.clone(), amount.clone())).collect())
    }

    /// Without the amounts that are zero.
    pub fn drop_zeros(&mut self) {
        self.0.retain(|_, amount| !amount.is_zero());
    }
}

impl From<&Amounts<'_>> for ResourceList {
    fn from(amounts: &Amounts<'_>) -> ResourceList {
        ResourceList(amounts.iter().map(|(name, amount)| (name.to_owned(), amount.clone())).collect())
    }
}

impl FromIterator<(String, Quantity)> for ResourceList {
    fn from_iter<I: IntoIterator<Item = (String, Quantity)>>(amounts: I) -> ResourceList {
        ResourceList(amounts.into_iter().collect())
    }
}

/// `cpu=1,memory=1Gi`
impl fmt::Display for ResourceList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (name, amount)) in self.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(f, "{comma}{name}={amount}")?;
        }
        Ok(())
    }
}
