//! The init containers: one after the other, with sidecars that stay.

use cri::{ContainerState, ContainerStatus};

use super::{KillReason, Planner, SandboxPlan};
use crate::observed::Observed;
use crate::pod::{ContainerKind, PodInfo, restarts_after};

/// Whether a regular container was created in the newest sandbox: then init containers need not run again.
pub(crate) fn is_initialized(pod: &PodInfo, observed: &Observed) -> bool {
    let mut regular = pod.of_kind(ContainerKind::Regular);
    regular.any(|container| in_newest_sandbox(observed, container.name()).is_some())
}

/// The newest container of this name, if it is in the newest sandbox.
pub(crate) fn in_newest_sandbox<'o>(observed: &'o Observed, name: &str) -> Option<&'o ContainerStatus> {
    let sandbox = observed.sandboxes.first()?;
    observed.newest(name).filter(|status| status.pod_sandbox_id == sandbox.id)
}

impl Planner<'_> {
    /// Plans for the init containers; returns whether the regular ones may start.
    pub(super) fn init_containers(&mut self) -> bool {
        let initialized = is_initialized(self.input.pod, self.input.observed);
        for index in self.init_indexes() {
            let passed = match self.input.pod.containers[index].kind {
                ContainerKind::Sidecar => self.sidecar(index),
                // Once is enough.
                _ if initialized => continue,
                _ => self.init_container(index),
            };
            if !passed && !initialized {
                return false;
            }
        }
        true
    }

    /// Returns whether the container has finished successfully.
    fn init_container(&mut self, index: usize) -> bool {
        let container = &self.input.pod.containers[index];
        let Some(status) = in_newest_sandbox(self.input.observed, container.name()) else {
            self.start(index);
            return false;
        };
        match status.state {
            ContainerState::Running => false,
            ContainerState::Exited if status.exit_code == 0 => true,
            ContainerState::Exited if !restarts_after(self.input.pod, container, status.exit_code) => {
                self.plan.sandbox = SandboxPlan::Stop;
                false
            }
            ContainerState::Exited | ContainerState::Created => {
                self.start(index);
                false
            }
            ContainerState::Unknown => {
                self.kill(container, status, KillReason::Unknown);
                self.start(index);
                false
            }
        }
    }

    /// Returns whether the sidecar has started, so that the next container may.
    fn sidecar(&mut self, index: usize) -> bool {
        let container = &self.input.pod.containers[index];
        let Some(status) = in_newest_sandbox(self.input.observed, container.name()) else {
            self.start(index);
            return false;
        };
        match status.state {
            ContainerState::Running => {
                self.check_running(index, container, status);
                let started = self.input.probes.of(&status.id).startup == Some(true);
                container.spec.startup_probe.is_none() || started
            }
            ContainerState::Exited | ContainerState::Created => {
                self.start(index);
                false
            }
            ContainerState::Unknown => {
                self.kill(container, status, KillReason::Unknown);
                self.start(index);
                false
            }
        }
    }
}
