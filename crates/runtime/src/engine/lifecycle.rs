//! Following shims: adoption after a restart, exits of containers, and the resulting events.

use std::io;
use std::sync::{Arc, Weak};

use super::container::Container;
use super::record::SandboxRecord;
use super::sandbox::Sandbox;
use super::shim_client::{Replies, ShimError};
use super::{Engine, Inner};
use crate::shim::protocol::{Reply, Request};
use cri::{ContainerEvent, ContainerEventType, CriError, PodSandboxState};

impl Engine {
    /// A new identifier: 64 hexadecimal digits.
    pub(super) fn new_id(&self) -> String {
        let mut bytes = [0; 32];
        self.0.clock.fill_random(&mut bytes);
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Adopts the sandboxes and containers of earlier engines.
    pub(super) async fn adopt(&self) -> io::Result<()> {
        for record in self.0.store.sandboxes()? {
            let directory = self.0.store.sandbox(&record.id);
            let id = record.id.clone();
            self.0.sandboxes.lock().insert(id, Arc::new(Sandbox::new(record, directory)));
        }
        for record in self.0.store.containers()? {
            let state = self.0.store.state(&record.id)?;
            let id = record.id.clone();
            self.0.containers.lock().insert(id, Arc::new(Container::new(record, state)));
        }
        let sandboxes: Vec<_> = self.0.sandboxes.lock().values().cloned().collect();
        for sandbox in sandboxes {
            if !sandbox.is_ready() {
                continue;
            }
            if let Err(error) = self.follow_shim(&sandbox).await {
                let id = sandbox.record.lock().id.clone();
                tracing::warn!(
                    sandbox = id,
                    error = error.full_message(),
                    "the sandbox is gone: its shim cannot be reached"
                );
                self.lose(&sandbox).await;
            }
        }
        Ok(())
    }

    /// Follows exits in a sandbox from now on, including earlier ones.
    pub(super) async fn follow_shim(&self, sandbox: &Arc<Sandbox>) -> Result<(), CriError> {
        let failed = |error: ShimError| CriError::internal("follow the pod's shim", error);
        // First the subscription, then the states: an exit in between is reported twice rather than never.
        let call = sandbox.shim.open(Request::Subscribe, Vec::new()).await.map_err(failed)?;
        let replies = call.into_replies().map_err(|error| failed(ShimError::Unreachable(error)))?;
        match sandbox.shim.call(Request::States).await.map_err(failed)? {
            Reply::States { states } => {
                for state in &states {
                    if let Ok(container) = self.container(&state.id) {
                        container.take(state);
                    }
                }
            }
            _ => return Err(failed(ShimError::Unexpected)),
        }
        tokio::spawn(follow(Arc::downgrade(&self.0), Arc::downgrade(sandbox), replies));
        Ok(())
    }

    /// Marks a sandbox as lost whose shim has exited, because without it nothing in there can be managed.
    async fn lose(&self, sandbox: &Arc<Sandbox>) {
        let record = {
            let mut record = sandbox.record.lock();
            record.state = PodSandboxState::NotReady;
            record.clone()
        };
        if let Err(error) = self.0.store.save_sandbox(&record) {
            tracing::warn!(sandbox = record.id, %error, "cannot save the sandbox");
        }
        for container in self.containers_of(&record.id) {
            if let Err(error) = self.settle(&container, sandbox).await {
                let id = container.record.lock().id.clone();
                tracing::warn!(
                    container = id,
                    error = error.full_message(),
                    "cannot record the end of a lost container"
                );
            }
        }
        self.emit(&record.id, ContainerEventType::Stopped, sandbox);
    }

    /// Notifies subscribers of an event of a container or a sandbox.
    pub(super) fn emit(&self, id: &str, event_type: ContainerEventType, sandbox: &Sandbox) {
        if self.0.events.receiver_count() == 0 {
            return;
        }
        let record = sandbox.snapshot();
        let event = ContainerEvent {
            container_id: id.to_owned(),
            event_type,
            created_at: self.0.clock.now(),
            containers_statuses: self.statuses(&record),
            pod_sandbox_status: Some(super::status::sandbox_status(&record)),
        };
        // There are no receivers any more, so nothing is lost.
        let _ = self.0.events.send(event);
    }

    /// Notifies subscribers that a sandbox is gone.
    pub(super) fn emit_removed(&self, id: &str) {
        let event = ContainerEvent {
            container_id: id.to_owned(),
            event_type: ContainerEventType::Deleted,
            created_at: self.0.clock.now(),
            pod_sandbox_status: None,
            containers_statuses: Vec::new(),
        };
        let _ = self.0.events.send(event);
    }

    fn statuses(&self, record: &SandboxRecord) -> Vec<cri::ContainerStatus> {
        let containers = self.containers_of(&record.id);
        containers.iter().map(|container| super::status::container_status(record, container)).collect()
    }
}

/// Records exits until the shim closes the connection. Keeps neither engine nor sandbox alive.
async fn follow(engine: Weak<Inner>, sandbox: Weak<Sandbox>, mut replies: Replies) {
    loop {
        let reply = replies.next().await;
        let (Some(engine), Some(sandbox)) = (engine.upgrade().map(Engine), sandbox.upgrade()) else { return };
        match reply {
            Ok(Some(Reply::Exit { state })) => {
                let Ok(container) = engine.container(&state.id) else { continue };
                if container.take(&state) {
                    engine.emit(&state.id, ContainerEventType::Stopped, &sandbox);
                }
            }
            Ok(Some(_)) => {}
            Ok(None) | Err(_) => {
                // A sandbox that is being stopped stops its shim itself.
                let _operation = sandbox.operation.lock().await;
                if sandbox.is_ready() {
                    engine.lose(&sandbox).await;
                }
                return;
            }
        }
    }
}
