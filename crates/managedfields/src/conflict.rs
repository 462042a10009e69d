//! What stands against an apply.

use std::fmt::{self, Write as _};

use crate::FieldSet;

/// How many fields are told.
const LISTED_MAX: usize = 1_000;
/// How much of a field's path is told, in characters: keys of maps can be long.
const PATH_MAX: usize = 1_024;
/// How many characters all paths may have together.
const TEXT_MAX: usize = 128 << 10;

/// A field that another manager set to another value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// The manager, without its fields.
    pub with: String,
    /// The field's path.
    pub field: String,
}

/// The fields of other managers that an apply would change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conflicts {
    /// By manager, in the order of their texts; no empty sets.
    all: Vec<(String, FieldSet)>,
}

impl Conflicts {
    /// Adds the fields of a manager.
    pub(crate) fn add(&mut self, with: String, fields: FieldSet) {
        if !fields.is_empty() {
            let at = self.all.partition_point(|(other, _)| *other <= with);
            self.all.insert(at, (with, fields));
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Those about other fields.
    pub(crate) fn without(self, fields: &FieldSet) -> Conflicts {
        let all = self.all.into_iter().map(|(with, set)| (with, set.difference(fields)));
        Conflicts { all: all.filter(|(_, set)| !set.is_empty()).collect() }
    }

    /// The first ones: as many as an answer can hold.
    pub fn listed(&self) -> Vec<Conflict> {
        let (mut listed, mut left) = (Vec::new(), TEXT_MAX);
        for (with, set) in &self.all {
            set.for_each_path(&mut |path| {
                let field = shortened(path);
                left = left.saturating_sub(field.len());
                if left > 0 {
                    listed.push(Conflict { with: with.clone(), field });
                }
                left > 0 && listed.len() < LISTED_MAX
            });
        }
        listed
    }
}

/// The text of a path, cut where it is too long.
fn shortened(path: &[&crate::Element]) -> String {
    let mut text = String::new();
    for element in path {
        // Writing to a string cannot fail.
        let _ = write!(text, "{element}");
        if let Some((end, _)) = text.char_indices().nth(PATH_MAX) {
            text.truncate(end);
            text.push_str("...");
            break;
        }
    }
    text
}

/// As upstream tells them.
impl fmt::Display for Conflicts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count: usize = self.all.iter().map(|(_, set)| set.len()).sum();
        let listed = self.listed();
        if let ([Conflict { with, field }], 1) = (listed.as_slice(), count) {
            return write!(f, "Apply failed with 1 conflict: conflict with {with}: {field}");
        }
        write!(f, "Apply failed with {count} conflicts: ")?;
        for (index, same) in listed.chunk_by(|a, b| a.with == b.with).enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            write!(f, "{separator}conflicts with {}:", same[0].with)?;
            same.iter().try_for_each(|conflict| write!(f, "\n- {}", conflict.field))?;
        }
        if listed.len() < count {
            write!(f, "\nand {} more", count - listed.len())?;
        }
        Ok(())
    }
}
