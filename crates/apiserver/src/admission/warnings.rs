//! What plugins tell the client besides their decision.

use parking_lot::Mutex;

/// Warnings that the client shows to its user, gathered while a request is judged.
#[derive(Debug, Default)]
pub struct Warnings(Mutex<Vec<String>>);

impl Warnings {
    /// Adds one.
    pub fn add(&self, warning: String) {
        self.0.lock().push(warning);
    }

    /// All of them; none are left.
    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock())
    }
}
