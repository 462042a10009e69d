//! How long things of this process live: until a signal tells it to stop.

use std::time::Duration;

use anyhow::Context;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// How long tasks may take to end.
const ENDED_WITHIN: Duration = Duration::from_secs(10);

/// Runs a task until `stop`, when it is dropped.
pub fn until_stop(
    stop: &CancellationToken,
    tasks: &mut JoinSet<()>,
    task: impl Future<Output = ()> + Send + 'static,
) {
    let stop = stop.clone();
    tasks.spawn(async move {
        stop.run_until_cancelled(task).await;
    });
}

/// Waits for the signal to stop, and then for the end of the tasks.
///
/// # Errors
/// Where signals cannot be listened for.
pub async fn run_until_signal(stop: &CancellationToken, mut tasks: JoinSet<()>) -> anyhow::Result<()> {
    wait_for_signal().await?;
    tracing::info!("stopping; containers keep running");
    stop.cancel();
    let _ = tokio::time::timeout(ENDED_WITHIN, async { while tasks.join_next().await.is_some() {} }).await;
    Ok(())
}

async fn wait_for_signal() -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for signals")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for signals")?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}
