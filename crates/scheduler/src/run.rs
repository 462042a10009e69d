//! The shell around the [`Scheduler`]: informers feed it, and its outcomes become bindings, conditions and events.

use std::sync::{Arc, Weak};

use client::{Candidate, Change, Client, EventType, Informers, Recorder};
use k8s_openapi::api::core::v1::{Namespace, Node, Pod};
use parking_lot::Mutex;
use tokio::sync::{Notify, Semaphore};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::state::PodInfo;
use crate::{Outcome, Scheduler, plugins};

#[cfg(test)]
mod tests;
mod write;

use write::{Condition, Writer};

/// The options of the scheduler.
#[derive(Clone, Debug)]
pub struct Config {
    /// The pods with this `spec.schedulerName` are scheduled.
    pub scheduler_name: String,
    /// Of how many nodes in a hundred the best is taken; 0 lets the size of the cluster decide.
    pub percentage_of_nodes_to_score: u32,
    /// So many writes (bindings and conditions) may be under way at once.
    pub writes_max: usize,
    /// Set where several processes run schedulers, so that one leads.
    pub candidate: Option<Candidate>,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            scheduler_name: "default-scheduler".to_owned(),
            percentage_of_nodes_to_score: 0,
            writes_max: 256,
            candidate: None,
        }
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

/// What the informers' handlers and the tasks that write share with the loop.
struct Shared {
    scheduler: Mutex<Scheduler>,
    /// Woken when the scheduler may have a decision to make.
    woken: Notify,
}

impl Shared {
    fn tell(&self, happened: impl FnOnce(&mut Scheduler, Instant)) {
        happened(&mut self.scheduler.lock(), Instant::now());
        self.woken.notify_one();
    }
}

async fn schedule(client: Client, informers: Informers, config: Config, cancel: CancellationToken) {
    let profile = plugins::default_profile();
    let percentage = config.percentage_of_nodes_to_score;
    let scheduler = Scheduler::new(&config.scheduler_name, profile, client.clock().clone(), percentage);
    let shared = Arc::new(Shared { scheduler: Mutex::new(scheduler), woken: Notify::new() });
    if cancel.run_until_cancelled(follow(&informers, &shared)).await.is_none() {
        return;
    }
    let recorder = Recorder::start(client.clone(), &config.scheduler_name, "");
    let executor = Executor {
        shared,
        writer: Writer { client, recorder },
        permits: Arc::new(Semaphore::new(config.writes_max.max(1))),
        writes: TaskTracker::new(),
    };
    executor.run(&cancel).await;
    executor.writes.close();
    executor.writes.wait().await;
}

/// Feeds the scheduler until it is gone. Returns when it knows all that there is.
async fn follow(informers: &Informers, shared: &Arc<Shared>) {
    let (nodes, pods, namespaces) =
        (informers.get::<Node>(), informers.get::<Pod>(), informers.get::<Namespace>());
    tokio::join!(nodes.synced(), pods.synced(), namespaces.synced());
    subscribe(&namespaces, shared, |shared, change| {
        shared.tell(|scheduler, now| {
            scheduler.set_namespace(change.old.as_deref(), change.new.as_deref(), now)
        });
    });
    subscribe(&nodes, shared, |shared, change| {
        shared.tell(|scheduler, now| match &change.new {
            Some(node) => scheduler.set_node(change.old.as_deref(), Arc::clone(node), now),
            None => scheduler.remove_node(&change.key.name, now),
        });
    });
    subscribe(&pods, shared, |shared, change| {
        // What takes long is done before the scheduler is locked.
        let new = change.new.as_ref().map(|pod| Arc::new(PodInfo::new(Arc::clone(pod))));
        let uid = |pod: &Arc<Pod>| object::Uid::from(pod.metadata.uid.as_deref().unwrap_or_default());
        let gone = change.old.as_ref().map(uid).filter(|old| new.as_ref().is_none_or(|new| new.uid != *old));
        shared.tell(|scheduler, now| {
            if let Some(uid) = gone {
                scheduler.remove_pod(&uid, now);
            }
            if let Some(pod) = new {
                scheduler.set_pod(pod, now);
            }
        });
    });
}

/// Informers keep their handlers for ever; these end with the scheduler.
fn subscribe<K: Send + Sync + 'static>(
    informer: &client::Informer<K>,
    shared: &Arc<Shared>,
    handle: impl Fn(&Shared, &Change<K>) + Send + 'static,
) {
    let shared: Weak<Shared> = Arc::downgrade(shared);
    informer.subscribe(move |change| {
        if let Some(shared) = shared.upgrade() {
            handle(&shared, change);
        }
    });
}

/// Carries outcomes out.
struct Executor {
    shared: Arc<Shared>,
    writer: Writer,
    permits: Arc<Semaphore>,
    writes: TaskTracker,
}

impl Executor {
    async fn run(&self, cancel: &CancellationToken) {
        while !cancel.is_cancelled() {
            let (outcome, wake) = {
                let mut scheduler = self.shared.scheduler.lock();
                (scheduler.next(Instant::now()), scheduler.next_wake())
            };
            match outcome {
                Some(outcome) => {
                    self.carry_out(outcome).await;
                    // Decisions come one after the other without a pause; the informers have their turn too.
                    tokio::task::yield_now().await;
                }
                None => {
                    let due = async {
                        match wake {
                            Some(wake) => tokio::time::sleep_until(wake).await,
                            None => std::future::pending().await,
                        }
                    };
                    tokio::select! {
                        () = cancel.cancelled() => {}
                        () = self.shared.woken.notified() => {}
                        () = due => {}
                    }
                }
            }
        }
    }

    /// Begins what is to be done; waits only while too much is under way already.
    async fn carry_out(&self, outcome: Outcome) {
        let permits = Arc::clone(&self.permits);
        let permit = permits.acquire_owned().await.expect("the semaphore is never closed");
        let (shared, writer) = (Arc::clone(&self.shared), self.writer.clone());
        self.writes.spawn(async move {
            match outcome {
                Outcome::Bind { pod, node } => bind(&shared, &writer, &pod, &node).await,
                Outcome::Unschedulable { pod, message } => {
                    writer.record(&pod, EventType::Warning, "FailedScheduling", &message);
                    writer.set_condition(&pod, Condition { reason: "Unschedulable", message }).await;
                }
                Outcome::Gated { pod, message: _ } => {
                    // The words of the API server, which sets this when the pod is created.
                    let message = "Scheduling is blocked due to non-empty scheduling gates".to_owned();
                    writer.set_condition(&pod, Condition { reason: "SchedulingGated", message }).await;
                }
            }
            drop(permit);
        });
    }
}

async fn bind(shared: &Shared, writer: &Writer, pod: &PodInfo, node: &str) {
    let Err(error) = writer.bind(pod, node).await else {
        shared.scheduler.lock().bound(&pod.uid);
        let message = format!("Successfully assigned {} to {node}", pod.key);
        writer.record(pod, EventType::Normal, "Scheduled", &message);
        return;
    };
    tracing::warn!(pod = %pod.key, node, error = &error as &dyn std::error::Error, "cannot bind a pod");
    let returned = shared.scheduler.lock().bind_failed(&pod.uid, Instant::now());
    shared.woken.notify_one();
    // A pod that is gone needs no word; one that was seen bound after all neither.
    if let Some(pod) = returned.filter(|_| !error.is_not_found()) {
        let message = format!("running Bind plugin \"DefaultBinder\": {error}");
        writer.record(&pod, EventType::Warning, "FailedScheduling", &message);
        writer.set_condition(&pod, Condition { reason: "SchedulerError", message }).await;
    }
}
