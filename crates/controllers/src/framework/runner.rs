//! Runs one controller: workers that take keys, observe, plan and have the plan executed.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use client::{Client, ClientError, Recorder, Subscription, WorkQueue};
use clock::Clock;
use object::Status;
use parking_lot::Mutex;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::executor::{Outcome, Pending};
use super::live::Live;
use super::memory::Memories;
use super::wiring::Views;
use super::{Controller, Executor, Look, Plan, Wiring};
use crate::Context;

/// How long a worker waits for the informers to show a plan's writes before it turns to other keys.
const SHOW_PATIENCE: Duration = Duration::from_secs(2);
/// The pause until it checks again.
const SHOW_PAUSE: Duration = Duration::from_secs(1);
/// After this time, writes that the informers do not show are considered lost, like upstream's expectations.
const SHOW_MAX: Duration = Duration::from_secs(300);
/// How often a controller may ask further questions after answers.
const ROUNDS_MAX: usize = 8;

struct Runner<C: Controller> {
    controller: C,
    queue: WorkQueue<C::Key>,
    client: Client,
    executor: Executor,
    clock: Clock,
    views: Views,
    memories: Memories<C::Key, C::Memory>,
    /// The writes of a key's last plan, and their time.
    unseen: Mutex<HashMap<C::Key, Unseen>>,
    /// They end with the runner.
    _subscriptions: Vec<Subscription>,
}

/// Writes that the informers do not show yet.
#[derive(Clone)]
struct Unseen {
    since: Instant,
    writes: Vec<Pending>,
}

/// Runs the controller `C` until `cancel` is cancelled; then finishes the keys in progress.
pub(crate) async fn run<C: Controller>(context: Context, cancel: CancellationToken) {
    let Some(runner) = cancel.run_until_cancelled(Runner::<C>::start(context, cancel.clone())).await else {
        return;
    };
    let runner = Arc::new(runner);
    let mut workers = JoinSet::new();
    for _ in 0..C::WORKERS {
        let (runner, cancel) = (Arc::clone(&runner), cancel.clone());
        workers.spawn(async move { runner.work(&cancel).await });
    }
    tracing::debug!(controller = C::NAME, "started");
    while let Some(ended) = workers.join_next().await {
        if let Err(error) = ended
            && error.is_panic()
        {
            // A bug in one plan must not leave the controller with fewer and fewer workers.
            tracing::error!(controller = C::NAME, %error, "a worker panicked");
            let (runner, cancel) = (Arc::clone(&runner), cancel.clone());
            workers.spawn(async move { runner.work(&cancel).await });
        }
    }
}

impl<C: Controller> Runner<C> {
    /// Wires the controller up, and waits until its informers are synced.
    async fn start(context: Context, cancel: CancellationToken) -> Runner<C> {
        let Context { informers, accounts, metrics, config } = context;
        let queue = WorkQueue::measured(C::QUEUE, &metrics.queues, C::RETRY_MAX);
        let client = accounts.client(C::ACCOUNT);
        let mut wiring = Wiring::new(informers, client.clone(), queue.clone(), config, metrics);
        let controller = C::wire(&mut wiring);
        let Wiring { views, subscriptions, begins_after, .. } = wiring;
        views.synced().await;
        futures::future::join_all(begins_after).await;
        Runner {
            controller,
            queue,
            executor: Executor::new(client.clone(), Recorder::start(client.clone(), C::NAME, ""))
                .until(cancel),
            clock: client.clock().clone(),
            client,
            views,
            memories: Memories::default(),
            unseen: Mutex::default(),
            _subscriptions: subscriptions,
        }
    }

    async fn work(&self, cancel: &CancellationToken) {
        while let Some(Some(job)) = cancel.run_until_cancelled(self.queue.next()).await {
            if !self.last_writes_show(&job).await {
                self.queue.add_after(job.clone(), SHOW_PAUSE);
                continue;
            }
            match self.reconcile(&job).await {
                Ok(()) => self.queue.forget(&job),
                Err(error) => {
                    report::<C>(&job, "cannot reconcile", &error);
                    self.queue.add_rate_limited(job.clone());
                }
            }
        }
    }

    /// Whether the informers show the writes of this key's last plan.
    async fn last_writes_show(&self, key: &C::Key) -> bool {
        let Some(Unseen { since, writes }) = self.unseen.lock().get(key).cloned() else { return true };
        let shown = tokio::time::timeout(SHOW_PATIENCE, self.views.show(&writes)).await.is_ok();
        let done = shown || since.elapsed() > SHOW_MAX;
        if done {
            self.unseen.lock().remove(key);
        }
        done
    }

    async fn reconcile(&self, key: &C::Key) -> Result<(), ClientError> {
        let begin = Instant::now();
        let Some(snapshot) = self.observe(key).await? else { return Ok(()) };
        let plan = C::plan(&snapshot, self.clock.now());
        let measurement = self.controller.measure(&snapshot, &plan);
        let done = self.carry_out(key, &snapshot, plan).await;
        if let Some(measurement) = measurement {
            measurement(begin.elapsed(), done.is_ok());
        }
        done
    }

    async fn carry_out(&self, key: &C::Key, snapshot: &C::Snapshot, plan: Plan) -> Result<(), ClientError> {
        if let Some(after) = plan.requeue_after {
            self.queue.add_after(key.clone(), after);
        }
        if plan.is_empty() {
            return Ok(());
        }
        let Outcome { mut pending, mut failures } = self.executor.run(plan).await;
        if !failures.is_empty() {
            let remedy = C::recover(snapshot, &failures, self.clock.now());
            let outcome = self.executor.run(remedy).await;
            pending.extend(outcome.pending);
            failures.extend(outcome.failures);
        }
        if !pending.is_empty() {
            self.unseen.lock().insert(key.clone(), Unseen { since: Instant::now(), writes: pending });
        }
        // Nothing can be created in a terminating namespace any more.
        failures.retain(|failure| !failure.error.is_namespace_terminating());
        let mut failures = failures.into_iter();
        let Some(first) = failures.next() else { return Ok(()) };
        for failure in failures {
            report::<C>(key, &failure.action.summary(), &failure.error);
        }
        tracing::debug!(controller = C::NAME, %key, action = first.action.summary(), "failed");
        Err(first.error)
    }

    /// Looks at a key, repeatedly while it has open questions to the server.
    async fn observe(&self, key: &C::Key) -> Result<Option<C::Snapshot>, ClientError> {
        let mut live = Live::default();
        for _ in 0..ROUNDS_MAX {
            let mut memory = self.memories.recall(key);
            let now = self.clock.now();
            let snapshot =
                self.controller.observe(key, &mut Look { memory: &mut memory, live: &mut live, now });
            if live.is_open() {
                live.fetch(&self.client).await?;
                continue;
            }
            match snapshot {
                Some(_) => self.memories.keep(key, memory),
                None => self.memories.forget(key),
            }
            return Ok(snapshot);
        }
        Err(Status::internal_error(format!("{} keeps asking about {key}", C::NAME)).into())
    }
}

fn report<C: Controller>(key: &C::Key, what: &str, error: &ClientError) {
    if error.is_conflict() || error.is_not_found() || error.is_namespace_terminating() {
        // The cache is behind, or the namespace is being deleted with its content; the next plan sees more.
        tracing::debug!(controller = C::NAME, %key, %error, "{what}");
    } else {
        // The account is logged because its role may lack a rule.
        let error = error as &dyn std::error::Error;
        tracing::warn!(controller = C::NAME, account = C::ACCOUNT, %key, error, "{what}");
    }
}
