//! Runs one controller: workers that take keys, observe, plan and have the plan carried out.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use client::{ClientError, Informers, Recorder, WorkQueue};
use clock::Clock;
use parking_lot::Mutex;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::executor::{Outcome, Pending};
use super::wiring::Views;
use super::{Controller, Executor, Wiring};
use crate::Config;

/// So long a worker waits for the informers to show a plan's writes before it turns to other keys.
const SHOW_PATIENCE: Duration = Duration::from_secs(2);
/// The pause until it looks again.
const SHOW_PAUSE: Duration = Duration::from_secs(1);
/// After this time writes that do not show are taken for lost, as upstream's expectations are.
const SHOW_MAX: Duration = Duration::from_secs(300);

struct Runner<C: Controller> {
    controller: C,
    queue: WorkQueue<C::Key>,
    executor: Executor,
    clock: Clock,
    views: Views,
    /// They stop with their last owner.
    _informers: Informers,
    /// What the last plan of a key wrote, and when.
    unseen: Mutex<HashMap<C::Key, Unseen>>,
}

/// Writes that the informers have yet to show.
#[derive(Clone)]
struct Unseen {
    since: Instant,
    writes: Vec<Pending>,
}

/// Runs the controller `C` until `cancel` is cancelled; then ends what is being worked on.
pub(crate) async fn run<C: Controller>(informers: Informers, config: Arc<Config>, cancel: CancellationToken) {
    let queue = WorkQueue::new();
    let client = informers.client().clone();
    let mut wiring = Wiring::new(informers.clone(), queue.clone(), config);
    let controller = C::wire(&mut wiring);
    let views = wiring.views.clone();
    drop(wiring);
    if cancel.run_until_cancelled(views.synced()).await.is_none() {
        return;
    }
    let clock = client.clock().clone();
    let executor = Executor::new(client.clone(), Recorder::start(client, C::NAME, ""));
    let runner =
        Runner { controller, queue, executor, clock, views, _informers: informers, unseen: Mutex::default() };
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

    /// Whether the informers show what the last plan of this key wrote.
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
        let Some(snapshot) = self.controller.observe(key).await? else { return Ok(()) };
        let plan = C::plan(&snapshot, self.clock.now());
        if let Some(after) = plan.requeue_after {
            self.queue.add_after(key.clone(), after);
        }
        if plan.is_empty() {
            return Ok(());
        }
        let Outcome { mut pending, mut failures } = self.executor.run(plan).await;
        if !failures.is_empty() {
            let remedy = C::recover(&snapshot, &failures, self.clock.now());
            let outcome = self.executor.run(remedy).await;
            pending.extend(outcome.pending);
            failures.extend(outcome.failures);
        }
        if !pending.is_empty() {
            self.unseen.lock().insert(key.clone(), Unseen { since: Instant::now(), writes: pending });
        }
        // In a namespace that is going away nothing more will come to be.
        failures.retain(|failure| !failure.error.is_namespace_terminating());
        let mut failures = failures.into_iter();
        let Some(first) = failures.next() else { return Ok(()) };
        for failure in failures {
            report::<C>(key, &failure.action.summary(), &failure.error);
        }
        tracing::debug!(controller = C::NAME, %key, action = first.action.summary(), "failed");
        Err(first.error)
    }
}

fn report<C: Controller>(key: &C::Key, what: &str, error: &ClientError) {
    if error.is_conflict() || error.is_not_found() {
        // The cache is behind; the next plan sees more.
        tracing::debug!(controller = C::NAME, %key, %error, "{what}");
    } else {
        tracing::warn!(controller = C::NAME, %key, error = error as &dyn std::error::Error, "{what}");
    }
}
