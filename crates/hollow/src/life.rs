//! The life of one pod on a hollow node, with its times. Pure, except for the randomness that durations are drawn from.

use std::ops::Range;
use std::time::Duration;

use clock::Clock;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Pod;
use object::Uid;

use crate::Timing;

/// The phase of a pod at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Its containers are being started.
    Starting,
    /// They run since this time.
    Running(Timestamp),
    /// They ended by themselves, and well.
    Done,
    /// They were stopped because the pod is deleted: it can be removed.
    Stopped,
}

/// One pod's life. It continues whether the server can be reached or not.
#[derive(Clone, Debug)]
pub(crate) struct Life {
    pub(crate) uid: Uid,
    /// The last octets of its address.
    pub(crate) address: u32,
    pub(crate) began: Timestamp,
    pub(crate) restarts: i32,
    /// Whether its containers are restarted whenever they end.
    is_lasting: bool,
    ready_at: Timestamp,
    /// Its containers end here: by themselves, or by failing.
    ends_at: Option<Timestamp>,
    stopped_at: Option<Timestamp>,
}

impl Life {
    /// A pod that starts now.
    pub(crate) fn begin(uid: Uid, address: u32, pod: &Pod, timing: &Timing, clock: &Clock) -> Life {
        let began = clock.now();
        let policy = pod.spec.as_ref().and_then(|spec| spec.restart_policy.as_deref());
        let mut life = Life {
            uid,
            address,
            began,
            restarts: 0,
            is_lasting: policy.is_none_or(|policy| policy == "Always"),
            ready_at: began,
            ends_at: None,
            stopped_at: None,
        };
        life.start(began, timing, clock);
        life
    }

    /// The node was rebooted: the containers start again.
    pub(crate) fn restart(&mut self, timing: &Timing, clock: &Clock) {
        self.restarts += 1;
        self.start(clock.now(), timing, clock);
    }

    fn start(&mut self, at: Timestamp, timing: &Timing, clock: &Clock) {
        self.ready_at = at + drawn(&timing.start, clock);
        self.ends_at = match self.is_lasting {
            false => Some(self.ready_at + drawn(&timing.run, clock)),
            true => timing.fail.as_ref().map(|after| self.ready_at + drawn(after, clock)),
        };
    }

    /// Advances the pod to the current time. Returns its phase, and when that will change.
    pub(crate) fn advance(
        &mut self,
        pod: &Pod,
        timing: &Timing,
        clock: &Clock,
    ) -> (Stage, Option<Timestamp>) {
        let now = clock.now();
        if let Some(grace) = deletion_grace(pod) {
            let takes = drawn(&timing.stop, clock).min(grace);
            let at = *self.stopped_at.get_or_insert(now + takes);
            return if at <= now { (Stage::Stopped, None) } else { (self.stage(now), Some(at)) };
        }
        while self.is_lasting
            && timing.fail.is_some()
            && let Some(failed) = self.ends_at.filter(|at| *at <= now)
        {
            self.restarts += 1;
            self.start(failed, timing, clock);
        }
        let stage = self.stage(now);
        let next = match stage {
            Stage::Starting => Some(self.ready_at),
            // If nothing fails any more, it just continues.
            Stage::Running(_) => self.ends_at.filter(|at| *at > now),
            Stage::Done | Stage::Stopped => None,
        };
        (stage, next)
    }

    fn stage(&self, now: Timestamp) -> Stage {
        if now < self.ready_at {
            Stage::Starting
        } else if !self.is_lasting && self.ends_at.is_some_and(|at| at <= now) {
            Stage::Done
        } else {
            Stage::Running(self.ready_at)
        }
    }
}

/// How long a deleted pod may take to stop; `None` if it is not deleted.
fn deletion_grace(pod: &Pod) -> Option<SignedDuration> {
    pod.metadata.deletion_timestamp.as_ref()?;
    Some(SignedDuration::from_secs(pod.metadata.deletion_grace_period_seconds.unwrap_or(0)))
}

fn drawn(range: &Range<Duration>, clock: &Clock) -> SignedDuration {
    let width = range.end.saturating_sub(range.start).as_millis() as u64;
    let drawn = range.start + Duration::from_millis(clock.random_below(width));
    SignedDuration::try_from(drawn).unwrap_or(SignedDuration::MAX)
}
