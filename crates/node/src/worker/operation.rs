//! Operations of a worker: the steps that take time.

use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::context::Context;
use super::sync::Report;
use super::{remove, sync, terminate};
use crate::plan::{Plan, SandboxPlan};

/// One operation.
#[derive(Clone, Debug)]
pub(super) enum Operation {
    /// Execute a plan. An empty one updates the volumes.
    Sync(Plan),
    /// Stop all containers, then the sandboxes.
    Terminate { grace_seconds: i64 },
    /// Release the resources of the pod's containers.
    CleanUp,
    /// Remove everything.
    Remove,
}

impl Operation {
    /// Its name in upstream's metrics; the last two are steps that upstream counts as others.
    fn kind(&self) -> &'static str {
        match self {
            Operation::Sync(Plan { sandbox: SandboxPlan::Create { .. }, .. }) => "create",
            Operation::Sync(_) => "sync",
            Operation::Terminate { .. } => "kill",
            Operation::CleanUp => "clean_up",
            Operation::Remove => "remove",
        }
    }
}

/// An operation that runs.
pub(super) struct Running {
    pub(super) cancel: CancellationToken,
    pub(super) task: JoinHandle<Outcome>,
    /// The grace period with which it terminates the pod, in seconds.
    pub(super) grace_seconds: Option<i64>,
}

/// The outcome of an operation; `false` is a failure, which was logged.
#[derive(Debug)]
pub(super) enum Outcome {
    Synced(Report),
    Terminated(bool),
    CleanedUp(bool),
    Removed(bool),
}

pub(super) async fn run(context: Context, operation: Operation) -> Outcome {
    let (kind, since) = (operation.kind(), Instant::now());
    let outcome = carry_out(&context, operation).await;
    context.shared.metrics.pod_worked(kind, since.elapsed());
    outcome
}

async fn carry_out(context: &Context, operation: Operation) -> Outcome {
    match operation {
        Operation::Sync(plan) => Outcome::Synced(sync::sync(context, &plan).await),
        Operation::Terminate { grace_seconds } => {
            Outcome::Terminated(terminate::terminate(context, grace_seconds).await)
        }
        Operation::CleanUp => Outcome::CleanedUp(remove::clean_up(&context.shared, &context.pod.uid).await),
        Operation::Remove => {
            Outcome::Removed(remove::remove(&context.shared, &context.pod.uid, &context.observed).await)
        }
    }
}
