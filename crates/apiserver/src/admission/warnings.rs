//! Warnings to the client.

use std::collections::HashSet;
use std::sync::Arc;

use parking_lot::Mutex;

/// How many bytes of warnings are kept: far more than an answer shows.
const BYTES_MAX: usize = 256 << 10;

/// Warnings that the client shows to its user, collected during a request. None comes twice.
#[derive(Debug, Default)]
pub struct Warnings(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    texts: Vec<Arc<str>>,
    known: HashSet<Arc<str>>,
    bytes: usize,
}

impl Warnings {
    /// Adds one, unless there are too many.
    pub fn add(&self, warning: String) {
        let mut kept = self.0.lock();
        if warning.is_empty() || kept.bytes >= BYTES_MAX || kept.known.contains(warning.as_str()) {
            return;
        }
        kept.bytes = kept.bytes.saturating_add(warning.len());
        let warning = Arc::<str>::from(warning);
        kept.known.insert(Arc::clone(&warning));
        kept.texts.push(warning);
    }

    /// Takes all of them.
    pub(crate) fn take(&self) -> Vec<String> {
        let kept = std::mem::take(&mut *self.0.lock());
        kept.texts.iter().map(|text| String::from(&**text)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_beyond_what_is_shown_are_dropped() {
        let warnings = Warnings::default();
        (0..10_000).for_each(|at| warnings.add(format!("{at:05}{}", "w".repeat((1 << 10) - 5))));
        assert_eq!(warnings.take().len(), 256);
        warnings.add("again".to_owned());
        assert_eq!(warnings.take(), ["again"]);
    }

    #[test]
    fn no_warning_comes_twice() {
        let warnings = Warnings::default();
        ["b", "a", "", "b"].into_iter().for_each(|text| warnings.add(text.to_owned()));
        assert_eq!(warnings.take(), ["b", "a"]);
    }
}
