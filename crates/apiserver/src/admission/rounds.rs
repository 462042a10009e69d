//! What mutating webhooks and policies have done with one request, between the two rounds of mutation.

use std::collections::HashSet;
use std::sync::Arc;

use object::Value;
use parking_lot::Mutex;

/// The memories of one request.
#[derive(Debug, Default)]
pub struct AllRounds {
    /// Of webhooks.
    pub(super) webhooks: Rounds,
    /// Of policies.
    pub(super) policies: Rounds,
}

impl AllRounds {
    /// The second round begins.
    pub(crate) fn begin_second(&self) {
        self.webhooks.begin_second();
        self.policies.begin_second();
    }
}

/// The memory of one kind of plugin. A webhook that wants reinvocation is asked once more if the object has changed since its
/// turn; in the second round no webhook is asked for the first time.
#[derive(Debug, Default)]
pub struct Rounds(Mutex<Memory>);

#[derive(Debug, Default)]
struct Memory {
    is_second: bool,
    /// Those that were asked and would be asked again after a change ...
    asked: HashSet<Arc<str>>,
    /// ... and those after whose turn something has changed.
    outdated: HashSet<Arc<str>>,
    /// The object after the last webhook of the first round, if one of them may be asked again.
    output: Option<Value>,
}

impl Rounds {
    /// The second round begins.
    pub(super) fn begin_second(&self) {
        self.0.lock().is_second = true;
    }

    /// Whether this is the second round.
    pub(super) fn is_second(&self) -> bool {
        self.0.lock().is_second
    }

    /// The webhooks begin their second round with this object: other plugins may have changed it.
    pub(super) fn resume(&self, object: &Value) {
        let mut memory = self.0.lock();
        if memory.output.as_ref().is_some_and(|output| output != object) {
            memory.outdate();
        }
    }

    /// Whether this webhook has to see the object again.
    pub(super) fn is_outdated(&self, webhook: &str) -> bool {
        self.0.lock().outdated.contains(webhook)
    }

    /// A webhook has changed the object.
    pub(super) fn changed(&self) {
        self.0.lock().outdate();
    }

    /// A webhook that wants reinvocation was asked.
    pub(super) fn asked(&self, webhook: &Arc<str>) {
        self.0.lock().asked.insert(Arc::clone(webhook));
    }

    /// The webhooks' round ends with this object.
    pub(super) fn end(&self, object: &Value) {
        let mut memory = self.0.lock();
        if !memory.is_second && !memory.asked.is_empty() {
            memory.output = Some(object.clone());
        }
    }
}

impl Memory {
    fn outdate(&mut self) {
        let asked = std::mem::take(&mut self.asked);
        self.outdated.extend(asked);
    }
}
