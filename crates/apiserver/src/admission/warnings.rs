//! Warnings of plugins to the client.

use parking_lot::Mutex;

/// Warnings that the client shows to its user, collected during admission.
#[derive(Debug, Default)]
pub struct Warnings(Mutex<Vec<String>>);

impl Warnings {
    /// Adds one.
    pub fn add(&self, warning: String) {
        self.0.lock().push(warning);
    }

    /// Takes all of them.
    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock())
    }
}
