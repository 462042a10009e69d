//! The interface through which rules read objects, whatever their form.
//!
//! [`View`] is implemented for trees ([`object::Value`]), for the structs of `k8s-openapi` that rules read, and for the
//! lean views of caches. A rule takes `&dyn View`, asks for fields by their names in the API, and gets the same answers
//! from each form. A field that is missing, null or of another type reads as absent: objects that a rule sees are
//! validated, and a rule never fails.
//!
//! ```
//! use k8s_openapi::api::core::v1::{Pod, PodSpec};
//! use semantics::View;
//!
//! fn node_name(pod: &dyn View) -> &str {
//!     pod.field("spec").field("nodeName").text()
//! }
//!
//! let tree = object::value!({"spec": {"nodeName": "node-1"}});
//! let typed = Pod {
//!     spec: Some(PodSpec { node_name: Some("node-1".into()), ..PodSpec::default() }),
//!     ..Pod::default()
//! };
//! assert_eq!(node_name(&tree), "node-1");
//! assert_eq!(node_name(&typed), "node-1");
//! assert_eq!(node_name(&Pod::default()), "");
//! ```
//!
//! Other structs become views with [`views!`](crate::views).

use jiff::Timestamp;

mod macros;
mod shared;
mod tree;
mod typed;

/// A part of an API object that can be read: a whole object, a struct in it, a map, a list, or a single value.
///
/// Only [`View::as_field`] and what belongs to its answer has to be there: [`View::field`] and [`View::each`] for
/// objects and maps, [`View::count`] and [`View::item`] for lists, nothing more for values.
pub trait View {
    /// The value's type.
    fn as_field(&self) -> Field<'_>;

    /// The member of this name, by the name that it has in JSON.
    fn field(&self, _name: &str) -> Field<'_> {
        Field::Absent
    }

    /// Shows every member with its name.
    fn each<'a>(&'a self, _visit: &mut dyn FnMut(&'a str, Field<'a>)) {}

    /// How many items a list has.
    fn count(&self) -> usize {
        0
    }

    /// An item of a list.
    fn item(&self, _index: usize) -> Field<'_> {
        Field::Absent
    }
}

/// The value of a field.
#[derive(Clone, Copy, Default)]
pub enum Field<'a> {
    /// Nothing, or null.
    #[default]
    Absent,
    /// A truth value.
    Flag(bool),
    /// A whole number.
    Integer(i64),
    /// A text, including a quantity in its written form.
    Text(&'a str),
    /// A point in time, where the form has it ready; in trees it is a text.
    Time(Timestamp),
    /// A list.
    List(&'a dyn View),
    /// An object or a map.
    Object(&'a dyn View),
}

impl<'a> Field<'a> {
    /// The member of this name.
    #[must_use]
    pub fn field(self, name: &str) -> Field<'a> {
        if let Field::Object(object) = self { object.field(name) } else { Field::Absent }
    }

    /// Whether there is no value.
    pub fn is_absent(self) -> bool {
        matches!(self, Field::Absent)
    }

    /// Whether there is no value, or an empty text, list or object.
    pub fn is_empty(self) -> bool {
        match self {
            Field::Absent => true,
            Field::Text(text) => text.is_empty(),
            Field::List(list) => list.count() == 0,
            Field::Object(_) => {
                let mut empty = true;
                self.each(&mut |_, member| empty &= member.is_absent());
                empty
            }
            Field::Flag(_) | Field::Integer(_) | Field::Time(_) => false,
        }
    }

    /// The text; `""` if there is none.
    pub fn text(self) -> &'a str {
        self.as_text().unwrap_or_default()
    }

    /// The text, if there is one.
    pub fn as_text(self) -> Option<&'a str> {
        if let Field::Text(text) = self { Some(text) } else { None }
    }

    /// The number, if there is one.
    pub fn as_integer(self) -> Option<i64> {
        if let Field::Integer(number) = self { Some(number) } else { None }
    }

    /// Whether there is a boolean and it is true.
    pub fn is_true(self) -> bool {
        matches!(self, Field::Flag(true))
    }

    /// The point in time, if there is one.
    pub fn as_time(self) -> Option<Timestamp> {
        match self {
            Field::Time(time) => Some(time),
            Field::Text(text) => text.parse().ok(),
            _ => None,
        }
    }

    /// The items of a list; none of anything else.
    pub fn items(self) -> impl Iterator<Item = Field<'a>> {
        let list = if let Field::List(list) = self { Some(list) } else { None };
        list.into_iter().flat_map(|list| (0..list.count()).map(|index| list.item(index)))
    }

    /// Shows every member of an object with its name.
    pub fn each(self, visit: &mut dyn FnMut(&'a str, Field<'a>)) {
        if let Field::Object(object) = self {
            object.each(visit);
        }
    }
}

/// A field is a view of its value.
impl View for Field<'_> {
    fn as_field(&self) -> Field<'_> {
        *self
    }

    fn field(&self, name: &str) -> Field<'_> {
        Field::field(*self, name)
    }

    fn each<'a>(&'a self, visit: &mut dyn FnMut(&'a str, Field<'a>)) {
        Field::each(*self, visit);
    }

    fn count(&self) -> usize {
        if let Field::List(list) = self { list.count() } else { 0 }
    }

    fn item(&self, index: usize) -> Field<'_> {
        if let Field::List(list) = self { list.item(index) } else { Field::Absent }
    }
}

impl std::fmt::Debug for Field<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Field::Absent => f.write_str("absent"),
            Field::Flag(flag) => flag.fmt(f),
            Field::Integer(number) => number.fmt(f),
            Field::Text(text) => text.fmt(f),
            Field::Time(time) => time.fmt(f),
            Field::List(_) => f.debug_list().entries(self.items()).finish(),
            Field::Object(_) => {
                let mut map = f.debug_map();
                self.each(&mut |name, member| {
                    map.entry(&name, &member);
                });
                map.finish()
            }
        }
    }
}
