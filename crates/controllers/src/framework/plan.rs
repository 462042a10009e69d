//! A decision: the steps to take in order, and when to look again.

use std::time::Duration;

use super::{Action, Note};

/// How the actions of a step are carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pace {
    /// In parallel, all of them regardless of each other's result.
    Together,
    /// First one, then two, then four at once and so on, until one fails: a template that the server refuses is refused
    /// once, not a thousand times.
    SlowStart,
}

#[derive(Clone, Debug)]
pub(super) struct Step {
    pub(super) actions: Vec<Action>,
    pub(super) pace: Pace,
}

/// A decision. Steps follow one another; when one fails, those after it are left out.
#[derive(Clone, Debug, Default)]
pub(crate) struct Plan {
    pub(super) steps: Vec<Step>,
    /// When to plan again although nothing changed.
    pub(crate) requeue_after: Option<Duration>,
}

impl Plan {
    /// Adds one action as a separate step.
    pub(crate) fn then(&mut self, action: Action) {
        self.together(vec![action]);
    }

    /// Adds actions that do not depend on one another.
    pub(crate) fn together(&mut self, actions: Vec<Action>) {
        self.push(actions, Pace::Together);
    }

    /// Adds creations that are likely to fail all in the same way.
    pub(crate) fn slow_start(&mut self, actions: Vec<Action>) {
        self.push(actions, Pace::SlowStart);
    }

    fn push(&mut self, actions: Vec<Action>, pace: Pace) {
        if !actions.is_empty() {
            self.steps.push(Step { actions, pace });
        }
    }

    /// Adds an event.
    pub(crate) fn record(&mut self, note: Note) {
        self.then(Action::Record(note));
    }

    /// Plans again after this time at the latest.
    pub(crate) fn requeue_after(&mut self, after: Duration) {
        self.requeue_after = Some(self.requeue_after.map_or(after, |earlier| earlier.min(after)));
    }

    /// Whether there is nothing to do.
    pub(crate) fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// Whether one of its actions is of a certain kind.
    pub(crate) fn has(&self, is_it: impl FnMut(&Action) -> bool) -> bool {
        self.steps.iter().flat_map(|step| &step.actions).any(is_it)
    }

    /// All actions in order.
    #[cfg(test)]
    pub(crate) fn actions(&self) -> Vec<&Action> {
        self.steps.iter().flat_map(|step| &step.actions).collect()
    }
}
