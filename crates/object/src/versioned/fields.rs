//! The values of selectable fields.

use std::fmt;

use crate::Word;
use crate::shared::packed;

/// The values of a kind's registered field selectors by path. The objects of a kind share the paths.
///
/// ```
/// let fields: object::FieldValues = [("spec.nodeName", "n1"), ("status.phase", "")].into_iter().collect();
/// assert_eq!((fields.get("spec.nodeName"), fields.get("status.phase")), (Some("n1"), Some("")));
/// assert_eq!(fields.get("spec.host"), None);
/// ```
#[derive(Clone, Default, PartialEq)]
pub struct FieldValues {
    paths: Option<Word>,
    values: Box<str>,
}

impl FieldValues {
    /// The paths with their values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        let paths = packed::texts(self.paths.as_deref().unwrap_or_default());
        paths.zip(packed::texts(&self.values))
    }

    /// The value of a field; `None` if the kind has not registered it.
    pub fn get(&self, path: &str) -> Option<&str> {
        self.iter().find(|(found, _)| *found == path).map(|(_, value)| value)
    }
}

impl<P: AsRef<str>, V: AsRef<str>> FromIterator<(P, V)> for FieldValues {
    fn from_iter<I: IntoIterator<Item = (P, V)>>(fields: I) -> FieldValues {
        let (mut paths, mut values) = (String::new(), String::new());
        for (path, value) in fields {
            packed::push(&mut paths, path.as_ref());
            packed::push(&mut values, value.as_ref());
        }
        FieldValues { paths: (!paths.is_empty()).then(|| Word::from(&*paths)), values: values.into() }
    }
}

impl fmt::Debug for FieldValues {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}
