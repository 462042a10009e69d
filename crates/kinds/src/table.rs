//! Tables, as `kubectl get` shows objects.

use clock::Clock;
use object::Value;

/// One column of a kind's table.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    /// The heading.
    pub name: &'static str,
    /// The OpenAPI type of the cells: `string`, `integer`, `boolean`.
    pub kind: &'static str,
    /// The OpenAPI format; `name` marks the primary column.
    pub format: &'static str,
    /// 0 is always shown, above it only with `-o wide`.
    pub priority: i32,
    /// What the column means, shown by `kubectl explain`-like tools.
    pub description: &'static str,
}

impl Column {
    /// A column of text.
    pub const fn text(name: &'static str, description: &'static str) -> Column {
        Column { name, kind: "string", format: "", priority: 0, description }
    }

    /// A column of whole numbers.
    pub const fn integer(name: &'static str, description: &'static str) -> Column {
        Column { name, kind: "integer", format: "", priority: 0, description }
    }

    /// The same column, shown only with `-o wide`.
    pub const fn wide(self) -> Column {
        Column { priority: 1, ..self }
    }
}

/// The column of the object's name.
pub const NAME: Column = Column {
    name: "Name",
    kind: "string",
    format: "name",
    priority: 0,
    description: "The object's name, unique within its namespace and kind.",
};

/// The column of the object's age.
pub const AGE: Column = Column::text("Age", "The time since the object was created.");

/// What a kind without columns of its own shows.
pub static NAME_AND_CREATION: &[Column] = &[
    NAME,
    Column { format: "date", ..Column::text("Created At", "The time at which the object was created.") },
];

/// The cells of [`NAME_AND_CREATION`].
pub fn name_and_creation(object: &Value, _clock: &Clock) -> Vec<Value> {
    vec![object.at("metadata.name").clone(), object.at("metadata.creationTimestamp").clone()]
}
