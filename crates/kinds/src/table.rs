//! Tables, in which `kubectl get` shows objects.
//!
//! Columns and cells are those of upstream's `pkg/printers/internalversion/printers.go`: names, types, priorities and
//! texts are visible to people and scripts. Rows are made from the tree, without decoding.

use clock::Clock;
use object::Value;

mod time;

pub use time::human_duration;
pub(crate) use time::{age, seconds_between, since, since_or, until_now};

/// One column of a kind's table.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    /// The heading.
    pub name: &'static str,
    /// The type of the cells, as OpenAPI calls it: `string`, `integer`, `boolean`, `date`.
    pub kind: &'static str,
    /// The OpenAPI format; `name` marks the primary column.
    pub format: &'static str,
    /// 0 is always shown, above it only with `-o wide`.
    pub priority: i32,
    /// The column's description, shown by `kubectl explain`-like tools.
    pub description: &'static str,
}

impl Column {
    /// A column of text.
    pub const fn text(name: &'static str, description: &'static str) -> Column {
        Column { name, kind: "string", format: "", priority: 0, description }
    }

    /// A column of whole numbers.
    pub const fn integer(name: &'static str, description: &'static str) -> Column {
        Column { kind: "integer", ..Column::text(name, description) }
    }

    /// A column of booleans.
    pub const fn boolean(name: &'static str, description: &'static str) -> Column {
        Column { kind: "boolean", ..Column::text(name, description) }
    }

    /// The same column, shown only with `-o wide`.
    pub const fn wide(self) -> Column {
        Column { priority: 1, ..self }
    }
}

/// The column of the object's name.
pub const NAME: Column = Column {
    format: "name",
    ..Column::text("Name", "The object's name, unique within its namespace and kind.")
};

/// The column of the object's age.
pub const AGE: Column = Column::text("Age", "The time since the object was created.");

/// The column of the names of a template's containers.
pub(crate) const CONTAINERS: Column =
    Column::text("Containers", "The names of the template's containers.").wide();

/// The column of the images of a template's containers.
pub(crate) const IMAGES: Column = Column::text("Images", "The images of the template's containers.").wide();

/// The column of a selector.
pub(crate) const SELECTOR: Column =
    Column::text("Selector", "Which pods belong to the object, by their labels.").wide();

/// The columns of a kind, and the function that fills them.
#[derive(Clone, Copy)]
pub(crate) struct Table {
    pub(crate) columns: &'static [Column],
    pub(crate) row: fn(&Value, &Clock) -> Vec<Value>,
}

impl Table {
    /// The table of a kind without special columns.
    pub(crate) const NAME_AND_CREATION: Table = Table { columns: NAME_AND_CREATION, row: name_and_creation };

    /// Name and age.
    pub(crate) const NAME_AND_AGE: Table =
        Table { columns: &[NAME, AGE], row: |object, clock| cells![name(object), age(object, clock)] };
}

/// The row of a kind without special columns.
pub static NAME_AND_CREATION: &[Column] = &[
    NAME,
    Column { kind: "date", ..Column::text("Created At", "The time at which the object was created.") },
];

/// The cells of [`NAME_AND_CREATION`].
pub fn name_and_creation(object: &Value, _clock: &Clock) -> Vec<Value> {
    vec![name(object), object.at("metadata.creationTimestamp").clone()]
}

/// A row of cells of any type that converts into a value.
macro_rules! cells {
    ($($cell:expr),* $(,)?) => { vec![$(::object::Value::from($cell)),*] };
}
pub(crate) use cells;

/// The cell of the object's name.
pub(crate) fn name(object: &Value) -> Value {
    Value::from(object.str_at("metadata.name"))
}

/// The integer at a path; 0 if there is none.
pub(crate) fn number(object: &Value, path: &str) -> i64 {
    object.at(path).as_i64().unwrap_or(0)
}

/// The boolean at a path; false if there is none.
pub(crate) fn flag(object: &Value, path: &str) -> bool {
    object.at(path).as_bool().unwrap_or(false)
}

/// The number of items or entries at a path.
pub(crate) fn count(object: &Value, path: &str) -> i64 {
    let count = match object.at(path) {
        Value::List(list) => list.len(),
        Value::Map(map) => map.len(),
        _ => 0,
    };
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// The text, or the placeholder if it is absent.
pub(crate) fn or<'a>(text: &'a str, absent: &'a str) -> &'a str {
    if text.is_empty() { absent } else { text }
}

/// The text for an optional boolean.
pub(crate) fn optional_flag(value: &Value) -> &'static str {
    match value.as_bool() {
        Some(true) => "True",
        Some(false) => "False",
        None => "<unset>",
    }
}

/// A number or text (`intOrString`), or the placeholder if it is absent.
pub(crate) fn number_or_text(value: &Value, absent: &str) -> String {
    match value {
        Value::String(text) => text.to_string(),
        other => other.as_i64().map_or_else(|| absent.to_owned(), |number| number.to_string()),
    }
}

/// The texts of a list, joined by commas.
pub(crate) fn joined(list: &Value) -> String {
    join(list.items().filter_map(Value::as_str), ",")
}

/// Texts, joined.
pub(crate) fn join<'a>(texts: impl Iterator<Item = &'a str>, separator: &str) -> String {
    texts.collect::<Vec<_>>().join(separator)
}

/// A map of labels as `a=b,c=d`, sorted; `<none>` where it is empty.
pub(crate) fn labels(labels: &Value) -> String {
    let mut pairs: Vec<String> = labels
        .entries()
        .map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()))
        .collect();
    pairs.sort_unstable();
    or(&pairs.join(","), "<none>").to_owned()
}

/// A label selector as text; `<none>` where it selects everything, `<error>` where it is malformed.
pub(crate) fn selector(selector: &Value) -> String {
    match semantics::try_selector(selector) {
        Ok(selector) => or(&selector.to_string(), "<none>").to_owned(),
        Err(_) => "<error>".to_owned(),
    }
}

/// The names and the images of a list of containers.
pub(crate) fn containers(list: &Value) -> (String, String) {
    let all = |member| join(list.items().map(|container| container.str_at(member)), ",");
    (all("name"), all("image"))
}

/// Up to three texts, and the number of further ones.
pub(crate) fn first_three<'a>(texts: impl Iterator<Item = std::borrow::Cow<'a, str>>) -> String {
    let mut texts = texts;
    let shown: Vec<_> = texts.by_ref().take(3).collect();
    match texts.count() {
        0 => shown.join(","),
        more => format!("{} + {more} more...", shown.join(",")),
    }
}
