//! A pod on its way from the decision to the binding.

use std::fmt;
use std::sync::Arc;

use client::Client;

use super::held::Held;
use super::{BindError, Binding, PluginSet, Profile, Rejection};
use crate::state::{NodeInfo, PodInfo, Snapshot};

/// A pod that has a node and is to be bound to it, with all that was reserved for it.
pub struct Placement {
    /// The pod.
    pub pod: Arc<PodInfo>,
    /// The node's name.
    pub node: Arc<str>,
    profile: Arc<Profile>,
    held: Vec<Box<dyn Held>>,
}

/// Stands for a plugin in errors of extenders.
const EXTENDER: &str = "Extender";

/// At which extension point of which plugin the binding of a pod failed.
#[derive(Debug, thiserror::Error)]
#[error("running {point} plugin \"{plugin}\"")]
pub struct BindingError {
    point: &'static str,
    plugin: &'static str,
    /// Why.
    #[source]
    pub source: BindError,
}

impl BindingError {
    /// An extender could not bind the pod.
    pub(crate) fn of_extender(why: String) -> BindingError {
        BindingError { point: "Bind", plugin: EXTENDER, source: BindError::Other(why) }
    }

    /// The full message for people, in upstream's form.
    pub fn message(&self) -> String {
        match self.plugin {
            EXTENDER => self.source.to_string(),
            _ => format!("{self}: {}", self.source),
        }
    }
}

impl Placement {
    /// Calls the reserving plugins of a profile. If one fails, the earlier reservations are released, and the failing
    /// plugin is returned.
    pub(crate) fn reserve(
        profile: &Arc<Profile>,
        pod: Arc<PodInfo>,
        node: &NodeInfo,
        snapshot: &Snapshot,
    ) -> Result<Placement, (PluginSet, Rejection)> {
        let mut placement =
            Placement { pod, node: Arc::clone(&node.name), profile: Arc::clone(profile), held: Vec::new() };
        for (place, plugin) in &profile.reserves {
            match plugin.run(&placement.pod, node, snapshot) {
                Ok(held) => placement.held.push(held),
                Err(rejection) => {
                    placement.unreserve();
                    return Err((PluginSet::of(*place), rejection));
                }
            }
        }
        Ok(placement)
    }

    /// Releases everything that was reserved, in reverse order.
    pub(crate) fn unreserve(&self) {
        self.held.iter().rev().for_each(|held| held.unreserve(&self.pod, &self.node));
    }

    /// Does the work that precedes the binding.
    pub async fn prepare(&self, client: &Client) -> Result<(), BindingError> {
        for held in &self.held {
            let done = held.pre_bind(client, &self.pod, &self.node).await;
            done.map_err(|source| BindingError { point: "PreBind", plugin: held.name(), source })?;
        }
        Ok(())
    }

    /// Binds.
    pub async fn bind(&self, client: &Client) -> Result<(), BindingError> {
        for (plugin, bind) in &self.profile.binds {
            let bound = bind.run(client, &self.pod, &self.node).await;
            match bound.map_err(|source| BindingError { point: "Bind", plugin, source })? {
                Binding::Done => return Ok(()),
                Binding::Skip => {}
            }
        }
        let source = BindError::Other("no plugin binds this pod".to_owned());
        Err(BindingError { point: "Bind", plugin: "", source })
    }

    /// Tells those who want to know that the pod is bound.
    pub fn is_bound(&self) {
        self.profile.post_binds.iter().for_each(|plugin| plugin.post_bind(&self.pod, &self.node));
    }

    /// The profile by which the pod was placed.
    pub fn profile(&self) -> &Arc<Profile> {
        &self.profile
    }
}

impl fmt::Debug for Placement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Placement")
            .field("pod", &self.pod.key)
            .field("node", &self.node)
            .finish_non_exhaustive()
    }
}
