//! What an autoscaler does: the decision about one look at its target and its metrics (upstream: `reconcileAutoscaler` in
//! `pkg/controller/podautoscaler/horizontal.go`).

use std::sync::Arc;
use std::time::Duration;

use client::{EventType, LeanPod};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::autoscaling::v1::Scale;
use k8s_openapi::api::autoscaling::v2::{
    HPAScalingRules, HorizontalPodAutoscaler, HorizontalPodAutoscalerCondition, HorizontalPodAutoscalerSpec,
    HorizontalPodAutoscalerStatus, MetricStatus,
};
use object::{ObjectKey, Quantity};
use semantics::conditions;

use super::calculator::{Startup, Target, Tolerances};
use super::history::{Bounds, History, Said};
use super::metric::{Answer, Invalid, evaluate, question};
use crate::framework::api_time;

const ABLE: &str = "AbleToScale";
const ACTIVE: &str = "ScalingActive";
const LIMITED: &str = "ScalingLimited";
const ZERO: &str = "ScaledToZero";

/// The options of autoscalers; the defaults are upstream's, of flags with these names.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// `--horizontal-pod-autoscaler-sync-period`
    pub sync_period: Duration,
    /// `--horizontal-pod-autoscaler-downscale-stabilization`
    pub downscale_stabilization: Duration,
    /// `--horizontal-pod-autoscaler-tolerance`
    pub tolerance: f64,
    /// `--horizontal-pod-autoscaler-cpu-initialization-period`
    pub cpu_initialization: Duration,
    /// `--horizontal-pod-autoscaler-initial-readiness-delay`
    pub initial_readiness: Duration,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            sync_period: Duration::from_secs(15),
            downscale_stabilization: Duration::from_secs(300),
            tolerance: 0.1,
            cpu_initialization: Duration::from_secs(300),
            initial_readiness: Duration::from_secs(30),
        }
    }
}

impl Options {
    fn startup(&self) -> Startup {
        let signed = |duration| SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX);
        Startup {
            cpu_initialization: signed(self.cpu_initialization),
            initial_readiness: signed(self.initial_readiness),
        }
    }

    /// The tolerances of an autoscaler, which may name its own.
    fn tolerances(&self, spec: &HorizontalPodAutoscalerSpec) -> Tolerances {
        let own = |rules: Option<&HPAScalingRules>| {
            let tolerance = rules.and_then(|rules| rules.tolerance.as_ref());
            tolerance
                .and_then(|tolerance| Quantity::parse(&tolerance.0).ok())
                .map(|tolerance| tolerance.as_f64())
        };
        let behavior = spec.behavior.as_ref();
        Tolerances {
            up: own(behavior.and_then(|behavior| behavior.scale_up.as_ref())).unwrap_or(self.tolerance),
            down: own(behavior.and_then(|behavior| behavior.scale_down.as_ref())).unwrap_or(self.tolerance),
        }
    }
}

/// The pods of an autoscaler's target.
#[derive(Clone, Debug)]
pub(super) enum Selected {
    /// The scale has no selector.
    None,
    /// It has one that cannot be read.
    Invalid(String),
    /// Several autoscalers, these, select the same pods.
    Rivals(Vec<ObjectKey>),
    /// The pods, and what the server answered about each metric. Without answers nothing had to be asked.
    Pods { pods: Vec<Arc<LeanPod>>, answers: Vec<Answer> },
}

/// What has to happen to the target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Need {
    /// Nothing: somebody has set it to zero.
    Disabled,
    /// It has this many replicas too many or too few, whatever its metrics.
    Bounds(i32, &'static str),
    /// Its metrics decide.
    Metrics,
}

/// The outcome.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Decision {
    /// The status, if all goes well.
    pub(super) status: HorizontalPodAutoscalerStatus,
    /// The new number of replicas, with the present one and the reason.
    pub(super) rescale: Option<Rescale>,
    pub(super) events: Vec<(EventType, &'static str, String)>,
    /// What went wrong.
    pub(super) error: Option<Wrong>,
    /// How each metric came out: its type, and what was wrong with it.
    pub(super) metrics: Vec<(String, Option<Wrong>)>,
}

/// A change of the target.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Rescale {
    pub(super) from: i32,
    pub(super) to: i32,
    pub(super) reason: String,
    /// The status if the change fails, apart from the condition that tells of it.
    pub(super) otherwise: HorizontalPodAutoscalerStatus,
}

/// Whose fault an error is, as metrics tell it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wrong {
    Spec,
    Internal,
}

/// What a decision is made of.
pub(super) struct Inputs<'a> {
    pub(super) autoscaler: &'a HorizontalPodAutoscaler,
    /// The target's scale, or why there is none.
    pub(super) scale: Result<&'a Scale, &'a str>,
    pub(super) selected: &'a Selected,
    pub(super) options: Options,
    pub(super) now: Timestamp,
}

/// How many replicas the target is to have.
pub(super) fn current(scale: &Scale) -> i32 {
    scale.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(0)
}

fn min_replicas(spec: &HorizontalPodAutoscalerSpec) -> i32 {
    spec.min_replicas.unwrap_or(1)
}

/// Whether a metric can call for replicas when there are none.
fn has_metric_of_its_own(spec: &HorizontalPodAutoscalerSpec) -> bool {
    spec.metrics.iter().flatten().any(|metric| matches!(metric.type_.as_str(), "Object" | "External"))
}

/// What has to happen to a target with this scale.
pub(super) fn need(autoscaler: &HorizontalPodAutoscaler, scale: &Scale) -> Need {
    let (spec, current) = (&autoscaler.spec, current(scale));
    let min = min_replicas(spec);
    if current == 0 {
        let conditions = autoscaler.status.as_ref().and_then(|status| status.conditions.clone());
        // Only what an autoscaler has set to zero, it also scales up again.
        let is_own = conditions::is_true(&conditions, ZERO);
        if !is_own || (min == 0 && !has_metric_of_its_own(spec)) {
            return Need::Disabled;
        }
    }
    if current > spec.max_replicas {
        return Need::Bounds(spec.max_replicas, "Current number of replicas above Spec.MaxReplicas");
    }
    if current < min {
        return Need::Bounds(min, "Current number of replicas below Spec.MinReplicas");
    }
    Need::Metrics
}

/// A decision in the making.
struct Draft {
    decision: Decision,
    now: Timestamp,
}

impl Draft {
    fn new(autoscaler: &HorizontalPodAutoscaler, now: Timestamp) -> Draft {
        let status = autoscaler.status.clone().unwrap_or_default();
        let decision =
            Decision { status, rescale: None, events: Vec::new(), error: None, metrics: Vec::new() };
        Draft { decision, now }
    }

    fn condition(&mut self, kind: &str, holds: bool, reason: &str, message: impl Into<String>) {
        set_condition(&mut self.decision.status, kind, holds, reason, message.into(), self.now);
    }

    fn says(&mut self, kind: &str, said: &Said) {
        self.condition(kind, said.holds, said.reason, said.message);
    }

    fn warn(&mut self, reason: &'static str, message: &str) {
        self.decision.events.push((EventType::Warning, reason, message.to_owned()));
    }

    /// Ends with an error that leaves the target alone.
    fn fail(mut self, wrong: Wrong) -> Decision {
        self.decision.error = Some(wrong);
        self.decision
    }
}

/// Sets a condition of a status.
pub(super) fn set_condition(
    status: &mut HorizontalPodAutoscalerStatus,
    kind: &str,
    holds: bool,
    reason: &str,
    message: String,
    now: Timestamp,
) {
    let condition = HorizontalPodAutoscalerCondition {
        type_: kind.to_owned(),
        status: conditions::status(holds).to_owned(),
        reason: Some(reason.to_owned()),
        message: Some(message),
        last_transition_time: Some(api_time(now)),
        observed_generation: None,
    };
    conditions::set(&mut status.conditions, condition);
}

/// The condition of a change that failed.
pub(super) fn failed_to_scale(status: &mut HorizontalPodAutoscalerStatus, why: &str, now: Timestamp) {
    let message = format!("the HPA controller was unable to update the target scale: {why}");
    set_condition(status, ABLE, false, "FailedUpdateScale", message, now);
}

/// Decides; the history learns of the recommendation.
pub(super) fn decide(inputs: &Inputs<'_>, history: &mut History) -> Decision {
    let mut draft = Draft::new(inputs.autoscaler, inputs.now);
    let scale = match inputs.scale {
        Ok(scale) => scale,
        Err(why) => {
            draft.warn("FailedGetScale", why);
            let message = format!("the HPA controller was unable to get the target's current scale: {why}");
            draft.condition(ABLE, false, "FailedGetScale", message);
            return draft.fail(Wrong::Internal);
        }
    };
    draft.condition(
        ABLE,
        true,
        "SucceededGetScale",
        "the HPA controller was able to get the target's current scale",
    );
    let current = current(scale);
    history.begin(current, inputs.now);
    let (desired, reason, statuses) = match need(inputs.autoscaler, scale) {
        Need::Disabled => {
            let message = "scaling is disabled since the replica count of the target is zero";
            draft.condition(ACTIVE, false, "ScalingDisabled", message);
            (current, String::new(), None)
        }
        Need::Bounds(bound, reason) => (bound, reason.to_owned(), None),
        Need::Metrics => {
            let (recommended, name, statuses) = match by_metrics(inputs, scale, &mut draft) {
                Ok(found) => found,
                Err(wrong) => {
                    draft.decision.status.current_replicas = Some(current);
                    return draft.fail(wrong);
                }
            };
            let reason = match recommended > current {
                true => format!("{name} above target"),
                false => "All metrics below target".to_owned(),
            };
            let spec = &inputs.autoscaler.spec;
            let bounds = Bounds { current, min: min_replicas(spec), max: spec.max_replicas };
            let window = i32::try_from(inputs.options.downscale_stabilization.as_secs()).unwrap_or(i32::MAX);
            let limited = history.limit(spec.behavior.as_ref(), window, recommended, bounds, inputs.now);
            draft.says(ABLE, &limited.able);
            draft.says(LIMITED, &limited.limited);
            (limited.replicas, reason, Some(statuses))
        }
    };
    conclude(inputs, draft, (current, desired), reason, statuses)
}

/// The status of a decision that could be made.
fn conclude(
    inputs: &Inputs<'_>,
    mut draft: Draft,
    (current, desired): (i32, i32),
    reason: String,
    statuses: Option<Vec<MetricStatus>>,
) -> Decision {
    if desired != current {
        let mut otherwise = draft.decision.status.clone();
        otherwise.current_replicas = Some(current);
        let message = format!("the HPA controller was able to update the target scale to {desired}");
        draft.condition(ABLE, true, "SucceededRescale", message);
        let spec = &inputs.autoscaler.spec;
        if current > 0 && desired == 0 && min_replicas(spec) == 0 && has_metric_of_its_own(spec) {
            draft.condition(ZERO, true, "ScaledToZero", "the HPA controller scaled the workload to zero");
        } else {
            let message = "the HPA controller did not scale the workload to zero";
            draft.condition(ZERO, false, "NotScaledToZero", message);
        }
        draft.decision.status.last_scale_time = Some(api_time(inputs.now));
        draft.decision.rescale = Some(Rescale { from: current, to: desired, reason, otherwise });
    }
    draft.decision.status.current_replicas = Some(current);
    draft.decision.status.desired_replicas = desired;
    draft.decision.status.current_metrics = statuses;
    draft.decision
}

/// The most that the metrics call for, by which metric, and the status of each. One that fails calls for nothing, but then
/// the others do not lower the number either.
fn by_metrics(
    inputs: &Inputs<'_>,
    scale: &Scale,
    draft: &mut Draft,
) -> Result<(i32, String, Vec<MetricStatus>), Wrong> {
    let (pods, answers) = pods_of(inputs, scale, draft)?;
    let spec = &inputs.autoscaler.spec;
    let namespace = inputs.autoscaler.metadata.namespace.as_deref().unwrap_or_default();
    let target = Target {
        pods,
        replicas: current(scale),
        tolerances: inputs.options.tolerances(spec),
        startup: inputs.options.startup(),
        now: inputs.now,
    };
    let status_replicas = scale.status.as_ref().map_or(0, |status| status.replicas);
    let (mut best, mut first, mut invalid): (Option<(i32, String)>, Option<Invalid>, usize) = (None, None, 0);
    let mut statuses = Vec::new();
    let metrics: Vec<_> = spec.metrics.iter().flatten().collect();
    let none = Err("the server was not asked".to_owned());
    for (index, metric) in metrics.iter().enumerate() {
        let answer = answers.get(index).unwrap_or(&none);
        let found =
            question(metric).and_then(|_| evaluate(metric, answer, &target, namespace, status_replicas));
        let wrong =
            found.as_ref().err().map(|wrong| if wrong.is_spec { Wrong::Spec } else { Wrong::Internal });
        draft.decision.metrics.push((metric.type_.clone(), wrong));
        match found {
            Ok(found) => {
                if best.as_ref().is_none_or(|(replicas, _)| *replicas == 0 || found.replicas > *replicas) {
                    best = Some((found.replicas, found.name));
                }
                statuses.push(found.status);
            }
            Err(wrong) => {
                draft.warn(wrong.reason, &wrong.why);
                first.get_or_insert(wrong);
                invalid += 1;
                statuses.push(MetricStatus::default());
            }
        }
    }
    let error = first.map(|first| {
        let all = metrics.len();
        let text =
            format!("invalid metrics ({invalid} invalid out of {all}), first error is: {}", first.wrapped);
        (first, text)
    });
    let is_lower = |best: &(i32, String)| best.0 < current(scale);
    match (best, error) {
        (Some(best), None) => Ok(valid(draft, best, statuses)),
        (Some(best), Some((first, _))) if !is_lower(&best) => {
            draft.decision.error = Some(if first.is_spec { Wrong::Spec } else { Wrong::Internal });
            Ok(valid(draft, best, statuses))
        }
        (_, Some((first, text))) => {
            let message = format!("the HPA was unable to compute the replica count: {}", first.why);
            draft.condition(ACTIVE, false, first.reason, message);
            draft.warn("FailedComputeMetricsReplicas", &text);
            Err(if first.is_spec { Wrong::Spec } else { Wrong::Internal })
        }
        // Validation refuses an autoscaler without metrics.
        (None, None) => Err(Wrong::Spec),
    }
}

fn valid(
    draft: &mut Draft,
    (replicas, name): (i32, String),
    statuses: Vec<MetricStatus>,
) -> (i32, String, Vec<MetricStatus>) {
    let message = format!("the HPA was able to successfully calculate a replica count from {name}");
    draft.condition(ACTIVE, true, "ValidMetricFound", message);
    (replicas, name, statuses)
}

/// The pods of the target, and the answers about its metrics.
fn pods_of<'a>(
    inputs: &Inputs<'a>,
    scale: &Scale,
    draft: &mut Draft,
) -> Result<(&'a [Arc<LeanPod>], &'a [Answer]), Wrong> {
    let (reason, condition, why, message) = match inputs.selected {
        Selected::Pods { pods, answers } => return Ok((pods, answers)),
        Selected::None => {
            let message = "the HPA target's scale is missing a selector".to_owned();
            ("SelectorRequired", "InvalidSelector", "selector is required".to_owned(), message)
        }
        Selected::Invalid(error) => {
            let why =
                format!("couldn't convert selector into a corresponding internal selector object: {error}");
            ("InvalidSelector", "InvalidSelector", why.clone(), why)
        }
        Selected::Rivals(rivals) => {
            let selector =
                scale.status.as_ref().and_then(|status| status.selector.as_deref()).unwrap_or_default();
            let rivals: Vec<_> =
                rivals.iter().map(|key| format!("{{{} {}}}", key.name, key.namespace())).collect();
            let why = format!(
                "pods by selector {selector} are controlled by multiple HPAs: [{}]",
                rivals.join(" ")
            );
            ("AmbiguousSelector", "AmbiguousSelector", why.clone(), why)
        }
    };
    draft.warn(reason, &why);
    draft.condition(ACTIVE, false, condition, message);
    draft.warn("FailedComputeMetricsReplicas", &why);
    Err(Wrong::Internal)
}
