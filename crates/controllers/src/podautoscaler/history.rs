//! What an autoscaler has recommended and done, and how that limits what it does next: stabilization windows and scaling
//! policies (upstream: `normalizeDesiredReplicas` and below, in `pkg/controller/podautoscaler/horizontal.go`).

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::autoscaling::v2::{HPAScalingRules, HorizontalPodAutoscalerBehavior};

/// An autoscaler without behavior at most doubles the replicas at once, or goes to this many.
const SCALE_UP_MIN: i32 = 4;
const SCALE_UP_FACTOR: i32 = 2;

/// What an autoscaler remembers. It forgets what no window reaches any more.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct History {
    /// What it recommended, before limits.
    recommendations: Vec<(Timestamp, i32)>,
    /// How many replicas it added.
    added: Vec<(Timestamp, i32)>,
    /// How many it removed.
    removed: Vec<(Timestamp, i32)>,
}

/// The bounds of one decision.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub(super) current: i32,
    pub(super) min: i32,
    pub(super) max: i32,
}

/// Something that a condition says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Said {
    pub(super) holds: bool,
    pub(super) reason: &'static str,
    pub(super) message: &'static str,
}

/// A recommendation after all limits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Limited {
    pub(super) replicas: i32,
    /// AbleToScale
    pub(super) able: Said,
    /// ScalingLimited
    pub(super) limited: Said,
}

fn before(now: Timestamp, seconds: i32) -> Timestamp {
    now.checked_sub(SignedDuration::from_secs(seconds.into())).unwrap_or(Timestamp::MIN)
}

impl History {
    /// Takes the replicas at the first look for a recommendation.
    pub(super) fn begin(&mut self, current: i32, now: Timestamp) {
        if self.recommendations.is_empty() {
            self.recommendations.push((now, current));
        }
    }

    /// Takes note of a change that was carried out.
    pub(super) fn scaled(
        &mut self,
        behavior: Option<&HorizontalPodAutoscalerBehavior>,
        from: i32,
        to: i32,
        at: Timestamp,
    ) {
        let Some(behavior) = behavior else { return };
        let (changes, rules) = match to > from {
            true => (&mut self.added, &behavior.scale_up),
            false => (&mut self.removed, &behavior.scale_down),
        };
        let policies = rules.iter().flat_map(|rules| rules.policies.iter().flatten());
        let longest = policies.map(|policy| policy.period_seconds).max().unwrap_or(0);
        changes.retain(|(when, _)| *when >= before(at, longest));
        changes.push((at, from.abs_diff(to).try_into().unwrap_or(i32::MAX)));
    }

    /// Limits a recommendation, and remembers it.
    pub(super) fn limit(
        &mut self,
        behavior: Option<&HorizontalPodAutoscalerBehavior>,
        downscale_stabilization_seconds: i32,
        desired: i32,
        bounds: Bounds,
        now: Timestamp,
    ) -> Limited {
        let (stabilized, why) = match behavior {
            None => self.stabilize(desired, downscale_stabilization_seconds, now),
            Some(behavior) => {
                let window = |rules: &Option<HPAScalingRules>, default| {
                    let own = rules.as_ref().and_then(|rules| rules.stabilization_window_seconds);
                    own.unwrap_or(default)
                };
                let windows = (
                    window(&behavior.scale_up, 0),
                    window(&behavior.scale_down, downscale_stabilization_seconds),
                );
                self.stabilize_within(desired, bounds.current, windows, now)
            }
        };
        let able = match stabilized == desired {
            true => Said {
                holds: true,
                reason: "ReadyForNewScale",
                message: "recommended size matches current size",
            },
            false => why,
        };
        let (replicas, reason, message) = match behavior {
            None => within(stabilized, bounds),
            Some(behavior) => self.at_rate(behavior, stabilized, bounds, now),
        };
        Limited { replicas, able, limited: Said { holds: replicas != stabilized, reason, message } }
    }

    /// The highest of the recommendations in the window.
    fn stabilize(&mut self, desired: i32, window_seconds: i32, now: Timestamp) -> (i32, Said) {
        self.recommendations.retain(|(at, _)| *at >= before(now, window_seconds));
        let highest =
            self.recommendations.iter().map(|(_, recommended)| *recommended).fold(desired, i32::max);
        self.recommendations.push((now, desired));
        (highest, DOWN)
    }

    /// As near to the present number as the recommendations of the two windows allow: that of going up, and that of going
    /// down.
    fn stabilize_within(
        &mut self,
        desired: i32,
        current: i32,
        (up_seconds, down_seconds): (i32, i32),
        now: Timestamp,
    ) -> (i32, Said) {
        let since = |seconds: i32| {
            let cutoff = before(now, seconds);
            self.recommendations
                .iter()
                .filter(move |(at, _)| *at > cutoff)
                .map(|(_, recommended)| *recommended)
        };
        let lowest = since(up_seconds).fold(desired, i32::min);
        let highest = since(down_seconds).fold(desired, i32::max);
        let stabilized = current.max(lowest).min(highest);
        self.recommendations.retain(|(at, _)| *at >= before(now, up_seconds.max(down_seconds)));
        self.recommendations.push((now, desired));
        (stabilized, if desired >= current { UP } else { DOWN })
    }

    /// The replicas that the scaling policies allow.
    fn at_rate(
        &self,
        behavior: &HorizontalPodAutoscalerBehavior,
        desired: i32,
        bounds: Bounds,
        now: Timestamp,
    ) -> (i32, &'static str, &'static str) {
        if desired > bounds.current {
            let limit = self.highest(behavior.scale_up.as_ref(), bounds.current, now).max(bounds.current);
            if desired > bounds.max.min(limit) {
                return match bounds.max > limit {
                    true => (limit, "ScaleUpLimit", TOO_FAST_UP),
                    false => (bounds.max, "TooManyReplicas", TOO_MANY),
                };
            }
        } else if desired < bounds.current {
            let limit = self.lowest(behavior.scale_down.as_ref(), bounds.current, now).min(bounds.current);
            if desired < bounds.min.max(limit) {
                return match bounds.min < limit {
                    true => (limit, "ScaleDownLimit", TOO_FAST_DOWN),
                    false => (bounds.min, "TooFewReplicas", TOO_FEW),
                };
            }
        }
        (desired, "DesiredWithinRange", WITHIN)
    }

    /// How many replicas there were when a period began.
    fn at_start(&self, current: i32, period_seconds: i32, now: Timestamp) -> i32 {
        let cutoff = before(now, period_seconds);
        let sum = |changes: &[(Timestamp, i32)]| {
            let recent = changes.iter().filter(|(at, _)| *at > cutoff);
            recent.fold(0i32, |sum, (_, change)| sum.saturating_add(*change))
        };
        current.saturating_sub(sum(&self.added)).saturating_add(sum(&self.removed))
    }

    fn highest(&self, rules: Option<&HPAScalingRules>, current: i32, now: Timestamp) -> i32 {
        let Some(rules) = rules else { return i32::MAX };
        let proposals = rules.policies.iter().flatten().map(|policy| {
            let start = self.at_start(current, policy.period_seconds, now);
            match policy.type_.as_str() {
                "Pods" => start.saturating_add(policy.value),
                // Rounded up, or one replica would never become two.
                _ => (f64::from(start) * (1.0 + f64::from(policy.value) / 100.0)).ceil() as i32,
            }
        });
        match rules.select_policy.as_deref() {
            Some("Disabled") => current,
            Some("Min") => proposals.min().unwrap_or(i32::MAX),
            _ => proposals.max().unwrap_or(i32::MIN),
        }
    }

    fn lowest(&self, rules: Option<&HPAScalingRules>, current: i32, now: Timestamp) -> i32 {
        let Some(rules) = rules else { return i32::MIN };
        let proposals = rules.policies.iter().flatten().map(|policy| {
            let start = self.at_start(current, policy.period_seconds, now);
            match policy.type_.as_str() {
                "Pods" => start.saturating_sub(policy.value),
                _ => (f64::from(start) * (1.0 - f64::from(policy.value) / 100.0)) as i32,
            }
        });
        match rules.select_policy.as_deref() {
            Some("Disabled") => current,
            Some("Min") => proposals.max().unwrap_or(i32::MIN),
            _ => proposals.min().unwrap_or(i32::MAX),
        }
    }
}

const UP: Said = Said {
    holds: true,
    reason: "ScaleUpStabilized",
    message: "recent recommendations were lower than current one, applying the lowest recent recommendation",
};
const DOWN: Said = Said {
    holds: true,
    reason: "ScaleDownStabilized",
    message: "recent recommendations were higher than current one, applying the highest recent recommendation",
};
const TOO_MANY: &str = "the desired replica count is more than the maximum replica count";
const TOO_FEW: &str = "the desired replica count is less than the minimum replica count";
const TOO_FAST_UP: &str = "the desired replica count is increasing faster than the maximum scale rate";
const TOO_FAST_DOWN: &str = "the desired replica count is decreasing faster than the maximum scale rate";
const WITHIN: &str = "the desired count is within the acceptable range";

/// The limits without behavior.
fn within(desired: i32, bounds: Bounds) -> (i32, &'static str, &'static str) {
    let limit = bounds.current.saturating_mul(SCALE_UP_FACTOR).max(SCALE_UP_MIN);
    let (max, reason, message) = match bounds.max > limit {
        true => (limit, "ScaleUpLimit", TOO_FAST_UP),
        false => (bounds.max, "TooManyReplicas", TOO_MANY),
    };
    if desired < bounds.min {
        return (bounds.min, "TooFewReplicas", TOO_FEW);
    }
    if desired > max {
        return (max, reason, message);
    }
    (desired, "DesiredWithinRange", WITHIN)
}
