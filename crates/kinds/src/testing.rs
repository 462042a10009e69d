//! One helper for the tables of all kinds.

use clock::Clock;
use object::Value;

use crate::Strategy;

/// The time at which the tables of tests are made.
const NOW: i64 = 1_704_110_400; // 2024-01-01T12:00:00Z

/// A time before the tables are made.
pub(crate) fn ago(seconds: i64) -> String {
    jiff::Timestamp::from_second(NOW - seconds).unwrap().to_string()
}

/// An object of this name, one hour old, with other members.
pub(crate) fn named(name: &str, members: Value) -> Value {
    let mut object = members;
    object.entry("metadata").set("name", name);
    object.entry("metadata").set("creationTimestamp", ago(3 * 3600));
    object
}

/// Checks the row of an object: its cells, joined by ` | `, behind the name and without the age of `3h`
/// where the kind has an age.
#[track_caller]
pub(crate) fn check_row(strategy: &dyn Strategy, object: &Value, expected: &str) {
    let clock = Clock::seeded(1, jiff::Timestamp::from_second(NOW).unwrap());
    let row = strategy.row(object, &clock);
    assert_eq!(row.len(), strategy.columns().len(), "a cell for each column");
    let cells: Vec<String> = row
        .iter()
        .map(|cell| match cell {
            Value::String(text) => text.to_string(),
            other => format!("{other:?}"),
        })
        .collect();
    assert_eq!(cells.join(" | "), expected);
}
