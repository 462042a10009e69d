//! One probe of one container.

use std::sync::Arc;

use client::EventType;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use parking_lot::RwLock;
use tokio::sync::Notify;
use tokio::time::{Instant, MissedTickBehavior};

use super::{Outcome, ProbeKind, ProbeView, Prober, Target, Timings};
use crate::metrics::{ProbeMeter, ProbeResult};

pub(super) struct Task {
    pub(super) prober: Prober,
    pub(super) about: ObjectReference,
    pub(super) meter: ProbeMeter,
    pub(super) container_id: String,
    pub(super) started_at: Option<Timestamp>,
    pub(super) kind: ProbeKind,
    pub(super) target: Result<Target, String>,
    pub(super) timings: Timings,
    pub(super) has_startup_probe: bool,
    pub(super) view: Arc<RwLock<ProbeView>>,
    pub(super) changed: Arc<Notify>,
}

/// Equal results in a row.
#[derive(Default)]
struct Run {
    success: bool,
    count: u32,
}

impl Run {
    /// Counts a result; returns whether there were enough of them.
    fn count(&mut self, success: bool, timings: &Timings) -> bool {
        if self.count == 0 || self.success != success {
            *self = Run { success, count: 0 };
        }
        self.count += 1;
        self.count >= if success { timings.successes } else { timings.failures }
    }
}

impl Task {
    /// Probes until the container was found dead, or has started: then this probe is done.
    pub(super) async fn run(self) {
        let mut run = Run::default();
        let mut ticks = tokio::time::interval_at(Instant::now() + self.first_delay(), self.timings.period);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if !self.is_due() {
                continue;
            }
            let since = Instant::now();
            let outcome = match &self.target {
                Ok(target) => self.prober.probe(target, &self.container_id, self.timings.timeout).await,
                Err(message) => Outcome::Error(message.clone()),
            };
            self.meter.probed(result(&outcome), since.elapsed());
            let Some(success) = self.report(outcome) else { continue };
            if !run.count(success, &self.timings) {
                continue;
            }
            self.publish(success);
            let done = match self.kind {
                ProbeKind::Startup => true,
                ProbeKind::Liveness => !success,
                ProbeKind::Readiness => false,
            };
            if done {
                return;
            }
        }
    }

    /// The delay counts from the container's start, which may be long ago.
    fn first_delay(&self) -> std::time::Duration {
        let age = self.started_at.map(|at| self.prober.clock.now().duration_since(at)).unwrap_or_default();
        self.timings.initial_delay.saturating_sub(age.try_into().unwrap_or_default())
    }

    /// Until a container has started only its startup probe counts.
    fn is_due(&self) -> bool {
        self.kind == ProbeKind::Startup
            || !self.has_startup_probe
            || self.view.read().of(&self.container_id).startup == Some(true)
    }

    /// Reports everything except success; `None` if the probe could not be run, which decides nothing.
    fn report(&self, outcome: Outcome) -> Option<bool> {
        let kind = self.kind.as_str();
        let (result, reason, message) = match outcome {
            Outcome::Success => return Some(true),
            Outcome::Warning(output) => {
                (Some(true), "ProbeWarning", format!("{kind} probe warning: {output}"))
            }
            Outcome::Failure(output) => (Some(false), "Unhealthy", format!("{kind} probe failed: {output}")),
            Outcome::Error(error) => {
                (None, "Unhealthy", format!("{kind} probe errored and resulted in unknown state: {error}"))
            }
        };
        self.prober.recorder.record(&self.about, EventType::Warning, reason, message);
        result
    }

    fn publish(&self, success: bool) {
        let mut view = self.view.write();
        let slot = self.kind.slot(view.0.entry(self.container_id.clone()).or_default());
        if slot.replace(success) != Some(success) {
            self.changed.notify_one();
        }
    }
}

fn result(outcome: &Outcome) -> ProbeResult {
    match outcome {
        Outcome::Success | Outcome::Warning(_) => ProbeResult::Successful,
        Outcome::Failure(_) => ProbeResult::Failed,
        Outcome::Error(_) => ProbeResult::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn results_count_in_a_row() {
        let second = Duration::from_secs(1);
        let timings =
            Timings { initial_delay: second, period: second, timeout: second, successes: 2, failures: 3 };
        let mut run = Run::default();
        let results = [false, false, true, false, false, false, true, true];
        let enough: Vec<bool> = results.into_iter().map(|success| run.count(success, &timings)).collect();
        assert_eq!(enough, [false, false, false, false, false, true, false, true]);
    }
}
