//! Trees as views.

use object::Value;

use super::{Field, View};

impl View for Value {
    fn as_field(&self) -> Field<'_> {
        match self {
            Value::Null => Field::Absent,
            Value::Bool(flag) => Field::Flag(*flag),
            Value::Int(number) => Field::Integer(*number),
            Value::Float(_) => self.as_i64().map_or(Field::Absent, Field::Integer),
            Value::String(text) => Field::Text(text),
            Value::List(items) => Field::List(items),
            Value::Map(_) => Field::Object(self),
        }
    }

    fn field(&self, name: &str) -> Field<'_> {
        self.get(name).as_field()
    }

    fn each<'a>(&'a self, visit: &mut dyn FnMut(&'a str, Field<'a>)) {
        self.entries().for_each(|(name, member)| visit(name, member.as_field()));
    }

    fn count(&self) -> usize {
        self.items().len()
    }

    fn item(&self, index: usize) -> Field<'_> {
        self.as_list().and_then(|items| items.get(index)).map_or(Field::Absent, View::as_field)
    }
}
