//! The chain of plugins, run in order.

use std::sync::Arc;

use object::{Status, Value};

use super::{Attributes, Plugin};

/// The plugins, in their order.
#[derive(Default)]
pub struct Chain(Vec<Arc<dyn Plugin>>);

impl Chain {
    /// A chain of these plugins.
    pub fn new(plugins: Vec<Arc<dyn Plugin>>) -> Chain {
        Chain(plugins)
    }

    /// Whether a plugin may change fields of others.
    pub fn unsettles(&self, what: &Attributes<'_>) -> bool {
        self.0.iter().any(|plugin| plugin.unsettles(what))
    }

    /// The names of the plugins, in their order.
    pub fn names(&self) -> Vec<&'static str> {
        self.0.iter().map(|plugin| plugin.name()).collect()
    }

    /// Lets every plugin change the object. If one that may change fields of others has changed it, it and the plugins
    /// before it that need reinvocation are called again.
    ///
    /// # Errors
    /// The first refusal.
    pub async fn admit(&self, what: &Attributes<'_>, object: &mut Value, old: &Value) -> Result<(), Status> {
        let mut settled = 0;
        for (index, plugin) in self.0.iter().enumerate() {
            let before = plugin.unsettles(what).then(|| object.clone());
            plugin.admit(what, object, old).await?;
            if before.is_some_and(|before| before != *object) {
                settled = index + 1;
            }
        }
        if settled == 0 {
            return Ok(());
        }
        what.rounds.begin_second();
        for plugin in self.0[..settled].iter().filter(|plugin| plugin.wants_reinvocation()) {
            plugin.admit(what, object, old).await?;
        }
        Ok(())
    }

    /// Asks every plugin whether the request is allowed.
    ///
    /// # Errors
    /// The first refusal.
    pub async fn validate(&self, what: &Attributes<'_>, object: &Value, old: &Value) -> Result<(), Status> {
        for plugin in &self.0 {
            plugin.validate(what, object, old).await?;
        }
        Ok(())
    }
}
