//! What to do next for a pod: decided from its specification, its state in the engine, the results of probes and the
//! time. Pure (upstream's `computePodActions`, `kuberuntime_manager.go`).

use cri::{ContainerState, ContainerStatus, PodSandboxState};
use jiff::Timestamp;

use crate::backoff::Backoff;
use crate::label;
use crate::observed::Observed;
use crate::pod::{ContainerKind, PodContainer, PodInfo, RestartPolicy, restarts_after};
use crate::probe::ProbeView;
use crate::waiting::Waiting;

mod init;
#[cfg(test)]
mod tests;

pub(crate) use init::is_initialized;

/// A container to stop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Kill {
    /// Its name.
    pub(crate) name: String,
    /// Its ID in the engine.
    pub(crate) id: String,
    /// The reason.
    pub(crate) why: KillReason,
}

/// Why a container is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KillReason {
    /// The specification changed.
    Changed,
    /// Its liveness probe failed.
    Liveness,
    /// Its startup probe failed.
    Startup,
    /// The engine does not know its state.
    Unknown,
}

/// What to do with the pod's sandbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SandboxPlan {
    /// Keep it.
    Keep,
    /// Stop the remains of older ones, and create this one.
    Create {
        /// Its number, counted from 0.
        attempt: u32,
    },
    /// Stop everything: the pod is finished.
    Stop,
}

/// What to do next for a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    /// Done first.
    pub(crate) sandbox: SandboxPlan,
    /// Done next, all at once.
    pub(crate) kill: Vec<Kill>,
    /// Done next, in this order: indexes into the pod's containers.
    pub(crate) start: Vec<usize>,
    /// Containers that must wait before they start again, and why.
    pub(crate) waiting: Vec<(String, Waiting)>,
    /// When to plan again if nothing happens before.
    pub(crate) wake_at: Option<Timestamp>,
}

impl Plan {
    /// Whether there is nothing to do now.
    pub(crate) fn is_empty(&self) -> bool {
        self.sandbox == SandboxPlan::Keep && self.kill.is_empty() && self.start.is_empty()
    }
}

/// The inputs of a plan.
#[derive(Clone, Copy)]
pub(crate) struct Input<'a> {
    pub(crate) pod: &'a PodInfo,
    pub(crate) observed: &'a Observed,
    pub(crate) probes: &'a ProbeView,
    pub(crate) backoff: &'a Backoff,
    /// The time until which a container that could not be started must wait.
    pub(crate) retry_at: &'a dyn Fn(&str) -> Option<Timestamp>,
    pub(crate) now: Timestamp,
}

/// Makes the plan for a pod that should run.
pub(crate) fn plan(input: Input<'_>) -> Plan {
    let mut planner = Planner {
        input,
        plan: Plan {
            sandbox: SandboxPlan::Keep,
            kill: Vec::new(),
            start: Vec::new(),
            waiting: Vec::new(),
            wake_at: None,
        },
    };
    match planner.sandbox_attempt() {
        Some(attempt) => planner.with_new_sandbox(attempt),
        None => planner.with_sandbox(),
    }
    if planner.plan.sandbox == SandboxPlan::Stop {
        planner.plan.start.clear();
        planner.plan.kill.clear();
        if !input.observed.is_alive() {
            planner.plan.sandbox = SandboxPlan::Keep;
        }
    }
    planner.plan
}

struct Planner<'a> {
    input: Input<'a>,
    plan: Plan,
}

impl<'a> Planner<'a> {
    /// The number of the sandbox to create; `None` if the newest one can be used.
    fn sandbox_attempt(&self) -> Option<u32> {
        let sandboxes = &self.input.observed.sandboxes;
        let Some(newest) = sandboxes.first() else { return Some(0) };
        let ready = sandboxes.iter().filter(|sandbox| sandbox.state == PodSandboxState::Ready).count();
        let fits = ready == 1 && newest.state == PodSandboxState::Ready;
        (!fits).then_some(newest.metadata.attempt + 1)
    }

    fn with_new_sandbox(&mut self, attempt: u32) {
        let Input { pod, observed, .. } = self.input;
        let exited = |index: &usize| {
            let container = &pod.containers[*index];
            let newest = observed.newest(container.name());
            Some((container, newest.filter(|status| status.state == ContainerState::Exited)?.exit_code))
        };
        let restarts = |index: &usize| {
            exited(index).is_some_and(|(container, code)| restarts_after(pod, container, code))
        };
        let was_run = attempt > 0 && !observed.containers.is_empty();
        let regular: Vec<usize> = self
            .indexes(ContainerKind::Regular)
            .filter(|index| exited(index).is_none() || restarts(index))
            .collect();
        // In a pod that never restarts, unfinished containers are not run in a second sandbox either, unless a
        // container's own policy requires it.
        let is_over = was_run
            && pod.restart_policy() == RestartPolicy::Never
            && !(0..pod.containers.len()).any(|index| restarts(&index));
        if is_over || regular.is_empty() {
            self.plan.sandbox = SandboxPlan::Stop;
            return;
        }
        self.plan.sandbox = SandboxPlan::Create { attempt };
        match self.init_indexes().next() {
            Some(first) => self.start(first),
            None => regular.into_iter().for_each(|index| self.start(index)),
        }
        if self.plan.start.is_empty() && attempt > 0 {
            // Nothing needs a sandbox yet.
            self.plan.sandbox = SandboxPlan::Keep;
        }
    }

    fn with_sandbox(&mut self) {
        let Input { pod, observed, .. } = self.input;
        for index in self.indexes(ContainerKind::Ephemeral) {
            if observed.newest(pod.containers[index].name()).is_none() {
                self.start(index);
            }
        }
        if !self.init_containers() {
            return;
        }
        let regular: Vec<usize> = self.indexes(ContainerKind::Regular).collect();
        let mut alive = false;
        for index in regular {
            alive |= self.regular(index);
        }
        if !alive {
            self.plan.sandbox = SandboxPlan::Stop;
        }
    }

    /// Plans for one regular container; returns whether it is running or will be.
    fn regular(&mut self, index: usize) -> bool {
        let container = &self.input.pod.containers[index];
        let Some(status) = self.input.observed.newest(container.name()) else {
            self.start(index);
            return true;
        };
        match status.state {
            ContainerState::Running => {
                self.check_running(index, container, status);
                true
            }
            ContainerState::Exited if !restarts_after(self.input.pod, container, status.exit_code) => false,
            ContainerState::Exited | ContainerState::Created => {
                self.start(index);
                true
            }
            ContainerState::Unknown => {
                self.kill(container, status, KillReason::Unknown);
                self.start(index);
                true
            }
        }
    }

    /// Stops a running container if its specification or its probes require it, and restarts it if allowed.
    fn check_running(&mut self, index: usize, container: &PodContainer, status: &ContainerStatus) {
        let hash = status.annotations.get(label::CONTAINER_HASH);
        let changed = hash.is_some_and(|hash| *hash != container.hash());
        let probes = self.input.probes.of(&status.id);
        let why = if changed {
            KillReason::Changed
        } else if probes.liveness == Some(false) {
            KillReason::Liveness
        } else if probes.startup == Some(false) {
            KillReason::Startup
        } else {
            return;
        };
        self.kill(container, status, why);
        // Once it has ended its exit code and the backoff decide; a changed one starts at once.
        if changed {
            self.plan.start.push(index);
        }
    }

    fn kill(&mut self, container: &PodContainer, status: &ContainerStatus, why: KillReason) {
        self.plan.kill.push(Kill { name: container.name().to_owned(), id: status.id.clone(), why });
    }

    /// Starts a container, unless it must wait because it failed before.
    fn start(&mut self, index: usize) {
        let Input { pod, observed, backoff, retry_at, now, .. } = self.input;
        let container = &pod.containers[index];
        let name = container.name();
        if let Some(at) = retry_at(name).filter(|at| *at > now) {
            self.wake_at(at);
            return;
        }
        let exited = observed.newest(name).filter(|status| status.state == ContainerState::Exited);
        if let Some(failed_at) = exited.and_then(|status| status.finished_at)
            && let Some((until, delay)) = backoff.waits_until(&backoff_key(pod, container), failed_at, now)
        {
            let message = format!(
                "back-off {} restarting failed container={name} pod={}",
                crate::text::go_duration(delay),
                pod.display()
            );
            self.plan.waiting.push((name.to_owned(), Waiting::new("CrashLoopBackOff", message)));
            self.wake_at(until);
            return;
        }
        self.plan.start.push(index);
    }

    fn wake_at(&mut self, at: Timestamp) {
        self.plan.wake_at = self.plan.wake_at.into_iter().chain([at]).min();
    }

    fn indexes(&self, kind: ContainerKind) -> impl Iterator<Item = usize> + use<'a> {
        let containers = &self.input.pod.containers;
        (0..containers.len()).filter(move |index| containers[*index].kind == kind)
    }

    fn init_indexes(&self) -> impl Iterator<Item = usize> + use<'a> {
        let containers = &self.input.pod.containers;
        (0..containers.len()).filter(move |index| containers[*index].kind.is_init())
    }
}

/// The name of a container's delays: a changed container starts again.
pub(crate) fn backoff_key(pod: &PodInfo, container: &PodContainer) -> String {
    format!("{}_{}_{}", pod.uid, container.name(), container.hash())
}
