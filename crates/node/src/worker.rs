//! One pod's worker: a task that observes, decides and runs operations, until the pod is gone.
//!
//! Each turn of [`Worker::run`] asks the engine for the pod's state, makes a plan ([`crate::plan`]) and a status
//! ([`crate::status`]), passes the status to its writer, and starts at most one [`Operation`]. Slow work happens in the
//! operation, so that the worker can react at once to a changed pod, an exited container, a probe or a timer. A pod's
//! life, as the worker sees it:
//!
//! ```text
//! run ──(deleted, failed, done)──▶ terminate ──(nothing runs)──▶ clean up ──(gone from the API)──▶ remove
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use client::EventType;
use cri::ContainerState;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Pod, PodStatus};
use tokio_util::sync::CancellationToken;
use volumes::Handle;

use crate::admission::{check_security, refusal};
use crate::backoff::Backoff;
use crate::observed::Observed;
use crate::plan::{self, Plan, backoff_key};
use crate::pod::PodInfo;
use crate::pressure::EVICTED;
use crate::probe::PodProbes;
use crate::rejection::Rejection;
use crate::shared::Shared;
use crate::status::{self, END_SHOWN_FOR, Phase};
use crate::waiting::Waiting;

mod context;
mod gc;
mod handle;
mod hooks;
mod inbox;
mod messages;
mod mounts;
mod operation;
mod remove;
mod start;
mod startup;
mod status_writer;
mod sync;
mod terminate;

use context::Context;
pub(crate) use handle::WorkerHandle;
pub(crate) use inbox::Eviction;
use inbox::Inbox;
use operation::{Operation, Outcome, Running};
pub(crate) use remove::remove_orphan;
use startup::Startup;
use status_writer::StatusWriter;

/// How long to wait before the engine is asked again after it failed.
const ENGINE_RETRY: SignedDuration = SignedDuration::from_secs(2);
/// How long to wait before a container that could not be started is tried again; up to half as much is added at random.
const START_RETRY: SignedDuration = SignedDuration::from_secs(10);
/// The shortest and the longest pause before a failed step is tried again.
const STEP_RETRY_MIN: SignedDuration = SignedDuration::from_millis(500);
const STEP_RETRY_MAX: SignedDuration = SignedDuration::from_secs(122);
const STEP_DOUBLINGS_MAX: u32 = 8;

struct Worker {
    shared: Arc<Shared>,
    inbox: Arc<Inbox>,
    pod: PodInfo,
    observed: Observed,
    probes: PodProbes,
    backoff: Backoff,
    /// Why containers could not be started.
    waiting: BTreeMap<String, Waiting>,
    retry_at: BTreeMap<String, Timestamp>,
    /// Termination messages of exited containers.
    messages: BTreeMap<String, String>,
    status: PodStatus,
    writer: StatusWriter,
    startup: Startup,
    running: Option<Running>,
    /// When a failed step is retried, and how often it failed in a row.
    step_retry_at: Option<Timestamp>,
    step_failures: u32,
    /// When a volume must be set up again.
    refresh_at: Option<Timestamp>,
    refresh: bool,
    /// Why the agent evicts the pod.
    failure: Option<(String, String)>,
    eviction: Option<Eviction>,
    admitted: bool,
    removed: bool,
    cleaned_up: bool,
    finished: bool,
    /// Keeps following the objects that the pod refers to.
    followed: Vec<Handle>,
}

impl Worker {
    fn new(shared: Arc<Shared>, pod: Arc<Pod>, inbox: Arc<Inbox>) -> Worker {
        let writer = StatusWriter::start(&shared, &pod);
        let probes = PodProbes::new(Arc::clone(&inbox.wake));
        let pod = PodInfo::new(pod);
        let status = pod.api_status().clone();
        Worker {
            shared,
            inbox,
            observed: Observed::default(),
            probes,
            backoff: Backoff::default(),
            waiting: BTreeMap::new(),
            retry_at: BTreeMap::new(),
            messages: BTreeMap::new(),
            startup: Startup::new(&status),
            status,
            writer,
            running: None,
            step_retry_at: None,
            step_failures: 0,
            refresh_at: None,
            // An earlier agent's volumes may be out of date, or expire soon.
            refresh: true,
            failure: None,
            eviction: None,
            admitted: false,
            removed: false,
            cleaned_up: false,
            finished: false,
            followed: Vec::new(),
            pod,
        }
    }

    async fn run(mut self) {
        self.follow_objects();
        loop {
            let wake_at = self.turn().await;
            if self.finished {
                return;
            }
            self.wait(wake_at).await;
        }
    }

    /// Waits for messages, for the operation's end, or until `wake_at`.
    async fn wait(&mut self, wake_at: Option<Timestamp>) {
        let now = self.shared.clock.now();
        let timer = async {
            match wake_at {
                Some(at) => tokio::time::sleep(at.duration_since(now).try_into().unwrap_or_default()).await,
                None => std::future::pending().await,
            }
        };
        let operation = async {
            match &mut self.running {
                Some(running) => (&mut running.task).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = self.inbox.wake.notified() => {}
            () = timer => {}
            result = operation => {
                self.running = None;
                match result {
                    Ok(outcome) => self.absorb(outcome),
                    Err(error) => {
                        tracing::error!(pod = %self.pod.key, %error, "an operation on a pod panicked");
                        self.retry_step();
                    }
                }
            }
        }
    }

    /// Observes, decides and starts an operation; returns when to look again at the latest.
    async fn turn(&mut self) -> Option<Timestamp> {
        self.read_inbox();
        match Observed::ask(&self.shared.engine, &self.pod.uid).await {
            Ok(observed) => {
                self.waiting.retain(|name, _| !observed.has_started_since(&self.observed, name));
                self.observed = observed;
            }
            Err(error) => {
                tracing::warn!(pod = %self.pod.key, error = error.full_message(), "cannot ask the engine");
                return Some(self.shared.clock.now() + ENGINE_RETRY);
            }
        }
        self.admit();
        self.check_deadline();
        let known = std::mem::take(&mut self.messages);
        self.messages = messages::collect(&self.observed, known, &self.shared.files).await;
        let now = self.shared.clock.now();
        let ending = self.must_end();
        if ending {
            self.probes.stop();
        } else {
            let ips = self.pod_ips();
            self.probes.follow(&self.shared.prober, &self.pod, &self.observed, &ips);
        }
        // During an operation, a plan would be based on an intermediate state.
        let plan = (!ending && self.running.is_none()).then(|| self.make_plan(now));
        self.publish_status(ending, now);
        self.inbox.state.lock().cleaned_up = self.is_terminated() && self.cleaned_up;
        if self.must_end() {
            self.end();
        } else if let Some(plan) = &plan {
            self.sync(plan, now);
        }
        let timers = [
            self.step_retry_at,
            self.refresh_at,
            self.deadline(),
            plan.and_then(|plan| plan.wake_at),
            self.end_shown_until(now),
        ];
        timers.into_iter().flatten().filter(|at| *at > now).min()
    }

    fn read_inbox(&mut self) {
        let (pod, removed) = {
            let mut state = self.inbox.state.lock();
            self.refresh |= std::mem::take(&mut state.refresh);
            if self.eviction.is_none() && state.eviction.is_some() && !self.is_over() {
                self.eviction.clone_from(&state.eviction);
            }
            (Arc::clone(&state.pod), state.removed)
        };
        self.removed |= removed;
        if let (None, Some(eviction)) = (&self.failure, &self.eviction) {
            self.failure = Some((EVICTED.to_owned(), eviction.message.clone()));
        }
        if self.refresh {
            // Missing objects may exist now.
            self.retry_at.clear();
            self.step_retry_at = None;
        }
        if !Arc::ptr_eq(&pod, &self.pod.pod) {
            let changed = pod.metadata.labels != self.pod.pod.metadata.labels
                || pod.metadata.annotations != self.pod.pod.metadata.annotations;
            self.refresh |= changed;
            self.pod = PodInfo::new(pod);
            self.hear_of_the_end();
            self.follow_objects();
        }
    }

    fn follow_objects(&mut self) {
        let ids = volumes::references(&self.pod.pod);
        self.followed = ids.iter().map(|id| self.shared.objects.follow(id)).collect();
    }

    fn is_over(&self) -> bool {
        Phase::parse(self.status.phase.as_deref()).is_some_and(Phase::is_terminal)
    }

    /// Whether the pod should not run, or no longer.
    fn must_end(&self) -> bool {
        self.removed || self.pod.is_deleting() || self.failure.is_some() || self.is_over()
    }

    fn is_terminated(&self) -> bool {
        self.must_end() && !self.observed.is_alive() && self.running.is_none()
    }

    /// Admits a new pod, or refuses it. A pod that ran already is not checked again.
    fn admit(&mut self) {
        if self.admitted || self.must_end() {
            return;
        }
        self.admitted = true;
        let known = !self.observed.sandboxes.is_empty() || self.status.start_time.is_some();
        let allowed = if known { Ok(()) } else { self.may_come() };
        let admitted =
            allowed.and_then(|()| self.shared.admitted.admit(&self.pod, &self.shared.node(), known));
        if let Err(rejection) = admitted {
            self.shared.pod_event(&self.pod, EventType::Warning, rejection.reason, rejection.message.clone());
            self.failure =
                Some((rejection.reason.to_owned(), format!("Pod was rejected: {}", rejection.message)));
        }
    }

    /// Whether the node admits pods of this kind at all, whatever they need.
    fn may_come(&self) -> Result<(), Rejection> {
        if let Some(rejection) = refusal(&self.pod, &self.shared.pressures.borrow()) {
            return Err(rejection);
        }
        self.shared.config.sysctls.check(self.pod.spec())?;
        check_security(&self.pod, self.shared.facts.security)
    }

    fn deadline(&self) -> Option<Timestamp> {
        let seconds = self.pod.spec().active_deadline_seconds?;
        let start = self.status.start_time.as_ref()?.0;
        start.checked_add(SignedDuration::from_secs(seconds)).ok()
    }

    fn check_deadline(&mut self) {
        let now = self.shared.clock.now();
        if !self.must_end() && self.deadline().is_some_and(|at| at <= now) {
            let message = "Pod was active on the node longer than the specified deadline";
            self.shared.pod_event(&self.pod, EventType::Normal, "DeadlineExceeded", message);
            self.failure = Some(("DeadlineExceeded".to_owned(), message.to_owned()));
        }
    }

    /// The time until which the end of a container that waits for its restart is shown.
    fn end_shown_until(&self, now: Timestamp) -> Option<Timestamp> {
        let ended = self.waiting.keys().filter_map(|name| self.observed.newest(name)?.finished_at);
        ended.map(|at| at + END_SHOWN_FOR).filter(|at| *at > now).min()
    }

    /// Adopts the phase of a pod that another component terminated, such as a controller that considered its node lost.
    fn hear_of_the_end(&mut self) {
        let told = self.pod.api_status();
        let over = Phase::parse(told.phase.as_deref()).is_some_and(Phase::is_terminal);
        if over && !self.is_over() {
            self.status.phase.clone_from(&told.phase);
            self.status.reason.clone_from(&told.reason);
            self.status.message.clone_from(&told.message);
        }
    }

    fn pod_ips(&self) -> Vec<String> {
        if self.pod.host_network() { self.shared.host_ips() } else { self.observed.ips() }
    }

    fn make_plan(&mut self, now: Timestamp) -> Plan {
        let probes = self.probes.view();
        let plan = plan::plan(plan::Input {
            pod: &self.pod,
            observed: &self.observed,
            probes: &probes,
            backoff: &self.backoff,
            retry_at: &|name| self.retry_at.get(name).copied(),
            now,
        });
        for (name, waiting) in &plan.waiting {
            let known = self.waiting.insert(name.clone(), waiting.clone());
            let Some(container) = self.pod.container(name).filter(|_| known.as_ref() != Some(waiting)) else {
                continue;
            };
            let message =
                format!("Back-off restarting failed container {name} in pod {}", self.pod.display());
            self.shared.container_event(&self.pod, container, EventType::Warning, "BackOff", message);
        }
        plan
    }

    /// Computes the status and passes it to its writer.
    fn publish_status(&mut self, ending: bool, now: Timestamp) {
        let terminated = self.is_terminated();
        let mut status = self.make_status(terminated, now);
        let over = Phase::parse(status.phase.as_deref()).is_some_and(Phase::is_terminal);
        if over && !terminated && !ending && !self.observed.is_alive() {
            // It has terminated by itself.
            status = self.make_status(true, now);
        }
        if over && (terminated || self.observed.running().next().is_none()) {
            self.shared.admitted.release(&self.pod.uid);
        }
        self.startup.look(&self.shared.metrics, &self.pod, &self.observed, &status, now);
        self.status = status;
        if !self.removed {
            let delete = self.pod.is_deleting() && terminated && self.cleaned_up;
            self.writer.write(Arc::clone(&self.pod.pod), self.status.clone(), delete);
        }
    }

    fn make_status(&self, terminated: bool, now: Timestamp) -> PodStatus {
        let input = status::Input {
            pod: &self.pod,
            observed: &self.observed,
            probes: &self.probes.view(),
            waiting: &self.waiting,
            messages: &self.messages,
            host_ips: &self.shared.host_ips(),
            terminated,
            failure: self.failure.as_ref().map(|(reason, message)| (reason.as_str(), message.as_str())),
            disruption: self
                .eviction
                .as_ref()
                .filter(|eviction| eviction.is_disruption)
                .map(|eviction| eviction.message.as_str()),
            now,
        };
        status::status(input, &self.status)
    }

    /// Starts the plan's next operation, unless one is in progress.
    fn sync(&mut self, plan: &Plan, now: Timestamp) {
        let refresh = self.refresh || self.refresh_at.is_some_and(|at| at <= now);
        let is_early = self.step_retry_at.is_some_and(|at| at > now);
        if self.running.is_some() || (plan.is_empty() && !refresh) || (is_early && !refresh) {
            return;
        }
        if plan.is_empty() && self.observed.ready_sandbox().is_none() {
            return;
        }
        self.refresh = false;
        for index in &plan.start {
            let container = &self.pod.containers[*index];
            let exited = self.observed.newest(container.name()).filter(|s| s.state == ContainerState::Exited);
            if let Some(failed_at) = exited.and_then(|status| status.finished_at) {
                self.backoff.fail(&backoff_key(&self.pod, container), failed_at, now);
            }
        }
        self.begin(Operation::Sync(plan.clone()), None);
    }

    /// Advances the termination of the pod by one step.
    fn end(&mut self) {
        let now = self.shared.clock.now();
        let mut grace_seconds = self.pod.grace_period_seconds();
        if let Some(eviction) = &self.eviction {
            grace_seconds = grace_seconds.min(eviction.grace_seconds);
        }
        if let Some(running) = &self.running {
            // Operations that start containers stop; those that terminate them speed up if there is less time now.
            if running.grace_seconds.is_none_or(|given| grace_seconds < given) {
                running.cancel.cancel();
            }
            return;
        }
        if self.step_retry_at.is_some_and(|at| at > now) {
            return;
        }
        if self.observed.is_alive() {
            self.begin(Operation::Terminate { grace_seconds }, Some(grace_seconds));
        } else if !self.cleaned_up {
            self.begin(Operation::CleanUp, Some(0));
        } else if self.removed {
            self.begin(Operation::Remove, Some(0));
        }
    }

    fn begin(&mut self, operation: Operation, grace_seconds: Option<i64>) {
        let cancel = CancellationToken::new();
        let context = Context {
            shared: Arc::clone(&self.shared),
            pod: self.pod.clone(),
            observed: self.observed.clone(),
            cancel: cancel.clone(),
            pulled: self.startup.pulled(),
        };
        let task = tokio::spawn(operation::run(context, operation));
        self.running = Some(Running { cancel, task, grace_seconds });
    }

    /// Records the result of an operation.
    fn absorb(&mut self, outcome: Outcome) {
        self.step_retry_at = None;
        let failures = std::mem::take(&mut self.step_failures);
        match outcome {
            Outcome::Synced(report) => {
                let now = self.shared.clock.now();
                self.refresh_at = report.refresh_at;
                for (name, result) in report.containers {
                    match result {
                        Ok(()) => {
                            self.waiting.remove(&name);
                            self.retry_at.remove(&name);
                        }
                        Err(failure) => {
                            let retry_at =
                                failure.retry_at.unwrap_or_else(|| now + self.jittered(START_RETRY));
                            self.waiting.insert(name.clone(), failure.waiting);
                            self.retry_at.insert(name, retry_at);
                        }
                    }
                }
                if !report.complete {
                    self.step_failures = failures;
                    self.retry_step();
                }
            }
            Outcome::Terminated(true) => {}
            Outcome::CleanedUp(true) => self.cleaned_up = true,
            Outcome::Removed(true) => self.finished = true,
            Outcome::Terminated(false) | Outcome::CleanedUp(false) | Outcome::Removed(false) => {
                self.retry_step()
            }
        }
    }

    /// Tries a failed step again after a pause that doubles each time, as upstream does with mounts.
    fn retry_step(&mut self) {
        let delay = (STEP_RETRY_MIN * (1 << self.step_failures.min(STEP_DOUBLINGS_MAX))).min(STEP_RETRY_MAX);
        self.step_failures += 1;
        self.step_retry_at = Some(self.shared.clock.now() + self.jittered(delay));
    }

    fn jittered(&self, delay: SignedDuration) -> SignedDuration {
        let half = u64::try_from(delay.as_millis() / 2).unwrap_or(0);
        let more = self.shared.clock.random_below(half + 1);
        delay + SignedDuration::try_from(Duration::from_millis(more)).unwrap_or_default()
    }
}
