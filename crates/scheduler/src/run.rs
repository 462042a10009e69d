//! The shell around the [`Scheduler`]: informers feed it, and its outcomes become bindings, conditions and events.
//!
//! One task owns the scheduler. All other code posts a letter ([`mailbox`]) and continues: no handler of an informer
//! ever waits for a decision.

use std::collections::HashMap;
use std::sync::Arc;

use client::{Candidate, Client, EventType, Informers, Recorder};
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::configuration::Configuration;
use crate::extender::{Extender, Extenders, Question};
use crate::framework::{Placement, Preemption, Profile};
use crate::metrics::{Attempted, Metrics};
use crate::queue::Backoff;
use crate::state::PodInfo;
use crate::{Outcome, Scheduler, plugins};

mod bind;
mod follow;
mod mailbox;
#[cfg(test)]
mod tests;
mod write;

pub use mailbox::{Letter, Mailbox};
use write::{Condition, Writer};

/// The options of the scheduler.
#[derive(Clone, Debug)]
pub struct Config {
    /// The plugins by the `spec.schedulerName` of the pods; others are left to other schedulers.
    pub profiles: Vec<Arc<Profile>>,
    /// The percentage of nodes from which the best is taken; 0 lets the size of the cluster decide.
    pub percentage_of_nodes_to_score: u32,
    /// How long pods wait after failures.
    pub backoff: Backoff,
    /// Programs that take part in decisions.
    pub extenders: Vec<Arc<Extender>>,
    /// The maximum number of concurrent writes (bindings and conditions).
    pub writes_max: usize,
    /// Set if several processes run schedulers, so that one leads.
    pub candidate: Option<Candidate>,
    /// Where letters go: plugins that keep pods waiting post leave or denial here.
    pub mailbox: Arc<Mailbox>,
    /// What is measured.
    pub metrics: Arc<Metrics>,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            profiles: vec![Arc::new(plugins::default_profile())],
            percentage_of_nodes_to_score: 0,
            backoff: Backoff::default(),
            extenders: Vec::new(),
            writes_max: 256,
            candidate: None,
            mailbox: Arc::default(),
            metrics: Arc::default(),
        }
    }
}

impl Config {
    /// Takes over what a configuration file says.
    pub fn apply(&mut self, configuration: Configuration) {
        let Configuration { profiles, percentage_of_nodes_to_score, backoff, extenders, ignored: _ } =
            configuration;
        self.extenders = extenders;
        self.profiles = profiles;
        self.percentage_of_nodes_to_score = percentage_of_nodes_to_score;
        self.backoff = backoff;
    }
}

/// Schedules until `cancel` is cancelled or, with a candidate, the lead is lost: then another may schedule, and
/// upstream's process ends. Decisions that are made are still written before this returns. `client` writes under
/// the scheduler's identity; `informers` may be shared with other components.
pub async fn run(client: Client, informers: Informers, config: Config, cancel: CancellationToken) {
    match config.candidate.clone() {
        Some(candidate) => {
            let schedule = |cancel| schedule(client.clone(), informers, config, cancel);
            candidate.run(&client, cancel, schedule).await;
        }
        None => schedule(client, informers, config, cancel).await,
    }
}

async fn schedule(client: Client, informers: Informers, config: Config, cancel: CancellationToken) {
    let Config { profiles, percentage_of_nodes_to_score: percentage, mailbox, metrics, .. } = config;
    let following = follow::follow(&informers, &mailbox);
    let Some(_news) = cancel.run_until_cancelled(following).await else { return };
    let recorders = profiles.iter().map(|profile| {
        let name = profile.name();
        (name.to_owned(), Recorder::start(client.clone(), name, ""))
    });
    let extenders = Extenders::new(&config.extenders);
    let recorders = recorders.collect::<HashMap<_, _>>().into();
    let writer = Writer { recorders, client: client.clone(), extenders };
    let owner = Owner {
        scheduler: Scheduler::new(profiles, client.clock().clone(), percentage)
            .with_backoff(config.backoff)
            .with_extenders(config.extenders),
        mailbox,
        metrics,
        writer,
        permits: Arc::new(Semaphore::new(config.writes_max.max(1))),
        writes: TaskTracker::new(),
        ends: cancel.clone(),
    };
    owner.run(&cancel).await;
}

/// The task that owns the scheduler.
struct Owner {
    scheduler: Scheduler,
    mailbox: Arc<Mailbox>,
    metrics: Arc<Metrics>,
    writer: Writer,
    permits: Arc<Semaphore>,
    writes: TaskTracker,
    /// Cancelled when another may schedule.
    ends: CancellationToken,
}

impl Owner {
    async fn run(mut self, cancel: &CancellationToken) {
        while !cancel.is_cancelled() {
            self.read_letters();
            let begun = Instant::now();
            let outcome = self.scheduler.next(begun);
            self.metrics.set_sizes(self.scheduler.queue().counts(), self.scheduler.cache().counts());
            match outcome {
                Some(Outcome::Ask(question)) => self.ask(question, cancel).await,
                Some(outcome) => {
                    self.metrics.decided(begun.elapsed());
                    self.carry_out(outcome, begun).await;
                    // Decisions follow each other without a pause; other tasks must get their turn too.
                    tokio::task::yield_now().await;
                }
                None => self.wait(cancel).await,
            }
        }
        self.writes.close();
        self.writes.wait().await;
    }

    /// Asks the extenders. The decision is dropped if another may schedule by now.
    async fn ask(&mut self, question: Question, cancel: &CancellationToken) {
        let mut next = Some(question);
        while let Some(question) = next {
            let asking = self.writer.extenders.answer(&self.writer.client, &question);
            let Some(answer) = cancel.run_until_cancelled(asking).await else { return };
            next = self.scheduler.answer(answer, Instant::now());
        }
    }

    async fn wait(&self, cancel: &CancellationToken) {
        let wake = self.scheduler.next_wake();
        let due = async {
            match wake {
                Some(wake) => tokio::time::sleep_until(wake).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = cancel.cancelled() => {}
            () = self.mailbox.posted() => {}
            () = due => {}
        }
    }

    fn read_letters(&mut self) {
        let now = Instant::now();
        for letter in self.mailbox.take() {
            self.read(letter, now);
        }
    }

    fn read(&mut self, letter: Letter, now: Instant) {
        let scheduler = &mut self.scheduler;
        match letter {
            Letter::Node(_, Some(node)) => scheduler.set_node(node, now),
            Letter::Node(name, None) => scheduler.remove_node(&name, now),
            Letter::Namespace(name, labels) => scheduler.set_namespace(&name, labels, now),
            Letter::Pod(_, Some(pod)) => scheduler.set_pod(Arc::new(PodInfo::new(pod)), now),
            Letter::Pod(uid, None) => scheduler.remove_pod(&uid, now),
            Letter::Volume(key, change) => scheduler.set_volume(&key, change, now),
            Letter::Budget(key, budget) => scheduler.set_budget(&key, budget.as_deref()),
            Letter::Selector(kind, key, selector) => scheduler.set_selector(kind, &key, selector.as_ref()),
            Letter::Bound(uid) => scheduler.bound(&uid),
            Letter::BindFailed(uid, why) => {
                let returned = scheduler.bind_failed(&uid, now);
                // A pod that is gone needs no word; one that was seen bound after all neither.
                if let (Some(pod), Some(message)) = (returned, why) {
                    self.spawn_report(pod, message);
                }
            }
            Letter::PreemptionFailed(pod, victims) => scheduler.preemption_failed(&pod, &victims, now),
            Letter::Allow { pod, plugin } => drop(scheduler.allow(&pod, &plugin)),
            Letter::Reject { pod, plugin, why } => drop(scheduler.reject(&pod, &plugin, &why, now)),
        }
    }

    /// Reports an error to people. There are no more of these than bindings in progress.
    fn spawn_report(&self, pod: Arc<PodInfo>, message: String) {
        let writer = self.writer.clone();
        self.writes.spawn(async move { writer.report_failure(&pod, message).await });
    }

    /// Starts an action; waits only while too many are in progress.
    async fn carry_out(&self, outcome: Outcome, begun: Instant) {
        let permits = Arc::clone(&self.permits);
        let permit = permits.acquire_owned().await.expect("the semaphore is never closed");
        let (mailbox, writer) = (Arc::clone(&self.mailbox), self.writer.clone());
        let (metrics, ends) = (Arc::clone(&self.metrics), self.ends.clone());
        self.writes.spawn(async move {
            match outcome {
                Outcome::Bind { placement, attempts, queued } => {
                    let bound = bind_and_tell(&mailbox, &writer, &placement, &ends).await;
                    let result = if bound { Attempted::Scheduled } else { Attempted::Error };
                    metrics.attempted(placement.profile().name(), result, begun.elapsed());
                    if bound {
                        metrics.scheduled(attempts, queued.elapsed());
                    }
                }
                Outcome::Unschedulable { pod, message, preemption, gives_up_nomination } => {
                    metrics.attempted(pod.scheduler_name(), Attempted::Unschedulable, begun.elapsed());
                    writer.record(&pod, EventType::Warning, "FailedScheduling", &message);
                    let condition = Condition { reason: "Unschedulable", message };
                    let nomination = match &preemption {
                        Some(preemption) => Some(&*preemption.nominated),
                        None => gives_up_nomination.then_some(""),
                    };
                    writer.set_condition(&pod, condition, nomination).await;
                    if let Some(preemption) = preemption {
                        metrics.preempted(preemption.victims.len());
                        preempt(&mailbox, &writer, &pod, &preemption).await;
                    }
                }
                Outcome::Failed { pod, message } => {
                    metrics.attempted(pod.scheduler_name(), Attempted::Error, begun.elapsed());
                    writer.report_failure(&pod, message).await;
                }
                Outcome::Ask(_) => unreachable!("questions are answered before anything else"),
                Outcome::Gated { pod, message: _ } => {
                    // The words of the API server, which sets this when the pod is created.
                    let message = "Scheduling is blocked due to non-empty scheduling gates".to_owned();
                    writer.set_condition(&pod, Condition { reason: "SchedulingGated", message }, None).await;
                }
            }
            drop(permit);
        });
    }
}

/// Returns whether the pod was bound.
async fn bind_and_tell(
    mailbox: &Mailbox,
    writer: &Writer,
    placement: &Placement,
    ends: &CancellationToken,
) -> bool {
    let (pod, node) = (&placement.pod, &placement.node);
    let Err(error) = bind::bind(writer, placement, ends).await else {
        mailbox.post(Letter::Bound(pod.uid.clone()));
        let message = format!("Successfully assigned {} to {node}", pod.key);
        writer.record(pod, EventType::Normal, "Scheduled", &message);
        return true;
    };
    tracing::warn!(pod = %pod.key, %node, error = &error as &dyn std::error::Error, "cannot bind a pod");
    let message = (!error.source.is_not_found()).then(|| error.message());
    mailbox.post(Letter::BindFailed(pod.uid.clone(), message));
    false
}

async fn preempt(mailbox: &Mailbox, writer: &Writer, pod: &PodInfo, preemption: &Preemption) {
    for displaced in &preemption.displaced {
        writer.clear_nomination(displaced).await;
    }
    let mut stayed = Vec::new();
    // One that is being deleted already needs no other word.
    for victim in preemption.victims.iter().filter(|victim| !victim.is_deleting()) {
        if let Err(error) = writer.preempt(pod, victim, &preemption.nominated).await {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(pod = %pod.key, victim = %victim.key, error, "cannot preempt a pod");
            stayed.push(victim.uid.clone());
        }
    }
    if !stayed.is_empty() {
        mailbox.post(Letter::PreemptionFailed(pod.uid.clone(), stayed));
    }
}
