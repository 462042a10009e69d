//! The engine as the agent sees it: its facts, and the pods for which it reports changes.
//!
//! An engine with events is followed. One without (CRI's `GetContainerEvents` answers "unimplemented") is listed once a
//! second, and only the pods whose sandboxes or containers differ from the previous list are woken (upstream's pod
//! lifecycle event generator, `pkg/kubelet/pleg`). The same list finds missed events when a stream of events breaks
//! off.
//!
//! Nothing here depends on a particular engine.

use std::sync::Arc;
use std::time::Duration;

use cri::{CgroupDriver, ContainerState, CriError, RuntimeService};
use futures::StreamExt;
use tokio::sync::{OnceCell, broadcast};

mod measured;
mod relist;

pub(crate) use measured::{MeasuredImages, MeasuredRuntime};
use relist::Relist;

/// The pause between two lists, and before subscribing to events again.
pub(crate) const RELIST_PERIOD: Duration = Duration::from_secs(1);

/// How many changes a waiter may be behind before it has to check by itself.
const CHANGES_MAX: usize = 256;

/// Facts that an engine reports once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EngineFacts {
    /// Its name, which is the scheme of its containers' IDs.
    pub(crate) name: String,
    /// The naming scheme of cgroups.
    pub(crate) cgroup_driver: CgroupDriver,
}

impl Default for EngineFacts {
    fn default() -> EngineFacts {
        EngineFacts { name: String::new(), cgroup_driver: CgroupDriver::Cgroupfs }
    }
}

impl EngineFacts {
    /// A container's ID as the API shows it: `<engine>://<id>`.
    pub(crate) fn container_id(&self, id: &str) -> String {
        format!("{}://{id}", self.name)
    }
}

/// The engine.
pub(crate) struct Engine {
    runtime: Arc<dyn RuntimeService>,
    facts: OnceCell<Arc<EngineFacts>>,
    /// UIDs of pods.
    changes: broadcast::Sender<Arc<str>>,
}

impl Engine {
    pub(crate) fn new(runtime: Arc<dyn RuntimeService>) -> Engine {
        Engine { runtime, facts: OnceCell::new(), changes: broadcast::Sender::new(CHANGES_MAX) }
    }

    pub(crate) fn runtime(&self) -> &dyn RuntimeService {
        &*self.runtime
    }

    /// The engine's facts. It is queried until it has answered once.
    pub(crate) async fn facts(&self) -> Result<Arc<EngineFacts>, CriError> {
        let ask = || async {
            let version = self.runtime.version().await?;
            let cgroup_driver = match self.runtime.cgroup_driver().await {
                // Engines that do not report it are treated like upstream's default.
                Err(error) if error.is_unimplemented() => CgroupDriver::Cgroupfs,
                driver => driver?,
            };
            Ok(Arc::new(EngineFacts { name: version.runtime_name, cgroup_driver }))
        };
        self.facts.get_or_try_init(ask).await.cloned()
    }

    /// Calls `changed` with the UID of each pod that changes. Never returns.
    pub(crate) async fn follow(&self, changed: impl Fn(&str) + Send) {
        let mut relist = Relist::default();
        let mut is_told = false;
        let announce = |uid: &str| {
            changed(uid);
            // There may be no receivers.
            let _ = self.changes.send(uid.into());
        };
        loop {
            // Subscribed to first, so that nothing is lost between list and events.
            let events = self.runtime.events().await;
            match relist.look(&*self.runtime).await {
                Ok(uids) => uids.iter().for_each(|uid| announce(uid)),
                Err(error) => {
                    tracing::warn!(error = error.full_message(), "cannot list the engine's containers");
                }
            }
            let broken = match events {
                Ok(mut events) => loop {
                    match events.next().await {
                        Some(Ok(event)) => match relist.note(&event) {
                            Some(uid) => announce(&uid),
                            // Something disappeared that was never seen.
                            None => continue,
                        },
                        Some(Err(error)) => break Some(error),
                        None => break None,
                    }
                },
                Err(error) if error.is_unimplemented() => {
                    if !std::mem::replace(&mut is_told, true) {
                        tracing::info!("the engine has no events: its containers are listed once a second");
                    }
                    None
                }
                Err(error) => Some(error),
            };
            if let Some(error) = broken {
                tracing::warn!(error = error.full_message(), "the engine's event stream ended");
            }
            tokio::time::sleep(RELIST_PERIOD).await;
        }
    }

    /// Waits until a container of a pod is no longer running.
    pub(crate) async fn ended(&self, pod_uid: &str, container_id: &str) {
        let mut changes = self.changes.subscribe();
        loop {
            let status = self.runtime.container_status(container_id).await;
            if !status.is_ok_and(|status| status.state == ContainerState::Running) {
                return;
            }
            loop {
                match changes.recv().await {
                    Ok(uid) if *uid == *pod_uid => break,
                    Ok(_) => {}
                    Err(broadcast::error::RecvError::Lagged(_)) => break,
                    Err(broadcast::error::RecvError::Closed) => return,
                }
            }
        }
    }
}
