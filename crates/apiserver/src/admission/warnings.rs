//! Warnings of plugins to the client.

use parking_lot::Mutex;

/// How many bytes of warnings are kept: far more than an answer shows.
const BYTES_MAX: usize = 256 << 10;

/// Warnings that the client shows to its user, collected during admission.
#[derive(Debug, Default)]
pub struct Warnings(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    texts: Vec<String>,
    bytes: usize,
}

impl Warnings {
    /// Adds one, unless there are too many.
    pub fn add(&self, warning: String) {
        let mut kept = self.0.lock();
        if kept.bytes < BYTES_MAX {
            kept.bytes = kept.bytes.saturating_add(warning.len());
            kept.texts.push(warning);
        }
    }

    /// Takes all of them.
    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock()).texts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_beyond_what_is_shown_are_dropped() {
        let warnings = Warnings::default();
        (0..10_000).for_each(|_| warnings.add("w".repeat(1 << 10)));
        assert_eq!(warnings.take().len(), 256);
        warnings.add("again".to_owned());
        assert_eq!(warnings.take(), ["again"]);
    }
}
