//! Shared parts as views.

use object::{Pairs, Shared, Word};

use super::{Field, View};

impl View for Word {
    fn as_field(&self) -> Field<'_> {
        if self.is_empty() { Field::Absent } else { Field::Text(self) }
    }
}

impl View for str {
    fn as_field(&self) -> Field<'_> {
        Field::Text(self)
    }
}

impl View for Pairs {
    fn as_field(&self) -> Field<'_> {
        if self.is_empty() { Field::Absent } else { Field::Object(self) }
    }

    fn field(&self, name: &str) -> Field<'_> {
        self.get(name).map_or(Field::Absent, Field::Text)
    }

    fn each<'a>(&'a self, visit: &mut dyn FnMut(&'a str, Field<'a>)) {
        self.iter().for_each(|(name, value)| visit(name, Field::Text(value)));
    }
}

impl<T: View> View for Shared<T> {
    fn as_field(&self) -> Field<'_> {
        (**self).as_field()
    }

    fn field(&self, name: &str) -> Field<'_> {
        (**self).field(name)
    }

    fn each<'a>(&'a self, visit: &mut dyn FnMut(&'a str, Field<'a>)) {
        (**self).each(visit);
    }

    fn count(&self) -> usize {
        (**self).count()
    }

    fn item(&self, index: usize) -> Field<'_> {
        (**self).item(index)
    }
}
