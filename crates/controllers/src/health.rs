//! Whether the controllers run.

use std::collections::BTreeSet;
use std::sync::Arc;

use parking_lot::Mutex;

/// Whether the controllers run. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Health(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    is_running: bool,
    /// Those that exited although they were not stopped.
    ended: BTreeSet<&'static str>,
}

/// The controllers run until this is dropped.
pub(crate) struct Running(Health);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.0.lock().is_running = false;
    }
}

impl Health {
    /// Whether all controllers run, or wait for their turn to lead.
    ///
    /// # Errors
    /// What is wrong, for people.
    pub fn check(&self) -> Result<(), String> {
        let state = self.0.lock();
        if !state.is_running {
            return Err("the controllers are not running".to_owned());
        }
        if state.ended.is_empty() {
            return Ok(());
        }
        let names: Vec<&str> = state.ended.iter().copied().collect();
        Err(format!("not running: {}", names.join(", ")))
    }

    pub(crate) fn running(&self) -> Running {
        *self.0.lock() = State { is_running: true, ended: BTreeSet::new() };
        Running(self.clone())
    }

    pub(crate) fn ended(&self, controller: &'static str) {
        self.0.lock().ended.insert(controller);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_controller_that_exited_is_named() {
        let health = Health::default();
        assert_eq!(health.check(), Err("the controllers are not running".into()));
        let running = health.running();
        assert_eq!(health.check(), Ok(()));
        health.ended("replicaset");
        health.ended("deployment");
        assert_eq!(health.check(), Err("not running: deployment, replicaset".into()));
        drop(running);
        assert_eq!(health.check(), Err("the controllers are not running".into()));
        let _again = health.running();
        assert_eq!(health.check(), Ok(()));
    }
}
