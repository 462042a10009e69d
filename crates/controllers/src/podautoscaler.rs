//! The horizontal pod autoscaler: keeps the number of a target's pods in step with what they use, or with other metrics
//! (upstream: `pkg/controller/podautoscaler`).
//!
//! | module | does |
//! | --- | --- |
//! | `readings` | *pure*: what the metrics APIs say of pods |
//! | `calculator` | *pure*: the replicas that a metric calls for |
//! | `history` | *pure*: what was recommended and done, and the limits that follow from it |
//! | `metric` | *pure*: one metric, from the question about it to its status |
//! | `decision` | *pure*: all metrics together, and the conditions |
//! | `plan` | *pure*: what is written |
//! | `measured` | metrics of this controller |
//!
//! An autoscaler is looked at once in each period. Nothing tells when a metric changes, so this is one of the few things
//! that ask again and again; without autoscalers, nothing does.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use client::{Informer, LeanPod, Request, ResourceType, Target, Verb};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::autoscaling::v1::Scale;
use k8s_openapi::api::autoscaling::v2::{CrossVersionObjectReference, HorizontalPodAutoscaler};
use object::{ObjectKey, Selector};

use crate::framework::{Controller, Failure, Live, Look, Notes, Plan, Wiring};

mod calculator;
mod decision;
mod history;
mod measured;
mod metric;
mod plan;
mod readings;
#[cfg(test)]
mod tests;

pub use decision::Options;
use decision::{Inputs, Need, Selected, current, decide, need};
use history::History;
pub(crate) use measured::AutoscalerMetrics;
use metric::{Answer, Question, question};
use plan::Decided;
pub(crate) use plan::Snapshot;

/// What pods use.
const POD_METRICS: ResourceType = ResourceType {
    group: std::borrow::Cow::Borrowed("metrics.k8s.io"),
    version: std::borrow::Cow::Borrowed("v1beta1"),
    plural: std::borrow::Cow::Borrowed("pods"),
    kind: std::borrow::Cow::Borrowed("PodMetrics"),
};
const CUSTOM: &str = "custom.metrics.k8s.io";
const EXTERNAL: &str = "external.metrics.k8s.io";

pub(crate) struct Autoscalers {
    autoscalers: Arc<Informer<HorizontalPodAutoscaler>>,
    pods: Arc<Informer<LeanPod>>,
    /// Which pods each autoscaler selects. Only a scale tells, so a look at one autoscaler leaves it for the looks at the
    /// others.
    selectors: Notes<BTreeMap<ObjectKey, Selector>>,
    options: Options,
    metrics: AutoscalerMetrics,
}

/// What is remembered of an autoscaler.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Memory {
    looked: Option<Timestamp>,
    /// The resource that its reference means.
    resource: Option<(CrossVersionObjectReference, ResourceType)>,
    history: History,
    /// The last change that it wanted: from, to and when.
    wanted: Option<(i32, i32, Timestamp)>,
}

impl Controller for Autoscalers {
    const NAME: &'static str = "horizontal-pod-autoscaler";
    const ACCOUNT: &'static str = "horizontal-pod-autoscaler";
    const QUEUE: &'static str = "horizontalpodautoscaler";
    type Key = ObjectKey;
    type Snapshot = Snapshot;
    type Memory = Memory;

    fn wire(wiring: &mut Wiring<ObjectKey>) -> Autoscalers {
        let autoscalers = wiring.informer::<HorizontalPodAutoscaler>();
        wiring.wake_self(&autoscalers);
        Autoscalers {
            autoscalers,
            pods: wiring.informer::<LeanPod>(),
            selectors: Notes::default(),
            options: wiring.config().autoscaling,
            metrics: wiring.metrics().autoscalers.clone(),
        }
    }

    fn observe(&self, key: &ObjectKey, look: &mut Look<'_, Memory>) -> Option<Snapshot> {
        let Some(autoscaler) = self.autoscalers.get(key) else {
            self.selectors.write(|selectors| selectors.remove(key));
            return None;
        };
        let period = self.options.sync_period;
        if let Some(left) = left(look.memory.looked, period, look.now) {
            return Some(Snapshot::Early(left));
        }
        let target = target(&autoscaler, look)?;
        let selected = match &target {
            Ok((_, scale)) if need(&autoscaler, scale) == Need::Metrics => {
                self.selected(key, &autoscaler, scale, look.live)?
            }
            _ => Selected::Pods { pods: Vec::new(), answers: Vec::new() },
        };
        let memory = &mut *look.memory;
        if let (Some((from, to, at)), Ok((_, scale))) = (memory.wanted.take(), &target)
            && current(scale) == to
        {
            memory.history.scaled(autoscaler.spec.behavior.as_ref(), from, to, at);
        }
        let scale = target.as_ref().map(|(_, scale)| &**scale).map_err(String::as_str);
        let (options, now) = (self.options, look.now);
        let inputs = Inputs { autoscaler: &autoscaler, scale, selected: &selected, options, now };
        let decision = decide(&inputs, &mut memory.history);
        memory.wanted = decision.rescale.as_ref().map(|rescale| (rescale.from, rescale.to, now));
        memory.looked = Some(now);
        self.metrics.decided(&decision, look.live.elapsed());
        Some(Snapshot::Decided(Box::new(Decided { autoscaler, target: target.ok(), decision, period })))
    }

    fn plan(snapshot: &Snapshot, _now: Timestamp) -> Plan {
        plan::plan(snapshot)
    }

    fn recover(snapshot: &Snapshot, failures: &[Failure], now: Timestamp) -> Plan {
        plan::recover(snapshot, failures, now)
    }
}

impl Autoscalers {
    /// The pods that a scale selects, and the answers about the metrics; `None` while the server is asked.
    fn selected(
        &self,
        key: &ObjectKey,
        autoscaler: &HorizontalPodAutoscaler,
        scale: &Scale,
        live: &mut Live,
    ) -> Option<Selected> {
        let text = scale.status.as_ref().and_then(|status| status.selector.as_deref()).unwrap_or_default();
        if text.is_empty() {
            return Some(Selected::None);
        }
        let selector = match Selector::parse(text) {
            Ok(selector) => selector,
            Err(error) => return Some(Selected::Invalid(error.to_string())),
        };
        let mut pods = self.pods.in_namespace(key.namespace());
        pods.retain(|pod| selector.matches(&pod.metadata.labels));
        self.selectors.write(|selectors| selectors.insert(key.clone(), selector));
        let selects = |other: &ObjectKey, selector: &Selector| {
            other.namespace() == key.namespace()
                && pods.iter().any(|pod| selector.matches(&pod.metadata.labels))
        };
        let rivals: Vec<ObjectKey> = self.selectors.read(|selectors| {
            let all = selectors.iter().filter(|(other, selector)| selects(other, selector));
            all.map(|(other, _)| other.clone()).collect()
        });
        if rivals.len() > 1 {
            return Some(Selected::Rivals(rivals));
        }
        // All questions are asked at once.
        let metrics = autoscaler.spec.metrics.iter().flatten();
        let answers: Vec<_> = metrics
            .map(|metric| match question(metric) {
                Ok(question) => ask(&question, key.namespace(), text, live),
                // The decision finds the same error.
                Err(invalid) => Some(Err(invalid.why)),
            })
            .collect();
        Some(Selected::Pods { pods, answers: answers.into_iter().collect::<Option<Vec<_>>>()? })
    }
}

/// What is left of the period since the last look.
fn left(looked: Option<Timestamp>, period: Duration, now: Timestamp) -> Option<Duration> {
    let period = SignedDuration::try_from(period).ok()?;
    let left = looked?.checked_add(period).ok()?.duration_since(now);
    // A clock that was set back must not stop it.
    (left.is_positive() && left <= period).then(|| left.unsigned_abs())
}

/// The scale of an autoscaler's target and its resource, or why there is none; `None` while the server is asked.
fn target(
    autoscaler: &HorizontalPodAutoscaler,
    look: &mut Look<'_, Memory>,
) -> Option<Result<(ResourceType, Arc<Scale>), String>> {
    let reference = &autoscaler.spec.scale_target_ref;
    let known = look.memory.resource.as_ref().filter(|(of, _)| of == reference);
    let resource = match known {
        Some((_, resource)) => resource.clone(),
        None => {
            match mapping(reference.api_version.as_deref().unwrap_or_default(), &reference.kind, look.live)? {
                Ok(resource) => resource,
                Err(why) => return Some(Err(why)),
            }
        }
    };
    let namespace = autoscaler.metadata.namespace.as_deref().unwrap_or_default();
    let key = ObjectKey::namespaced(namespace, reference.name.as_str());
    let scale = look.live.scale(&resource, &key)?;
    // A definition may be replaced by one with other names.
    look.memory.resource = scale.is_ok().then(|| (reference.clone(), resource.clone()));
    Some(scale.map(|scale| (resource, scale)).map_err(|error| error.why))
}

/// The resource of a kind in a group, whatever the version; `None` while the server is asked.
fn mapping(api_version: &str, kind: &str, live: &mut Live) -> Option<Result<ResourceType, String>> {
    let group = match api_version.split('/').collect::<Vec<_>>()[..] {
        [_] => "",
        [group, _] => group,
        _ => return Some(Err(format!("unexpected GroupVersion string: {api_version}"))),
    };
    let served = live.served()?;
    let is_it = |resource: &ResourceType| resource.group == group && resource.kind == kind;
    let found = served.resources.iter().map(|served| &served.resource).find(|resource| is_it(resource));
    Some(found.cloned().ok_or_else(|| format!("no matches for kind {kind:?} in group {group:?}")))
}

/// Asks about a metric; `None` while the server is asked.
fn ask(question: &Question, namespace: &str, pods: &str, live: &mut Live) -> Option<Answer> {
    let custom =
        |name: &str, metric: &str, plural: String, selectors: [(&'static str, &str); 2], live: &mut Live| {
            let served = live.served()?;
            let version = served.resources.iter().find(|served| served.resource.group == CUSTOM);
            let Some(version) = version.map(|served| served.resource.version.clone()) else {
                return Some(Err(format!("no custom metrics API ({CUSTOM}) registered")));
            };
            let resource =
                ResourceType { group: CUSTOM.into(), version, plural: plural.into(), kind: "".into() };
            live.items_at(&path(resource, namespace, name, metric, selectors))
        };
    match question {
        Question::Pods => live.selected(&POD_METRICS, namespace, pods),
        Question::OfPods { metric, selector } => {
            let selectors = [("labelSelector", pods), ("metricLabelSelector", selector)];
            custom("*", metric, "pods".to_owned(), selectors, live)
        }
        Question::OfObject { object, metric, selector } => {
            let resource = mapping(object.api_version.as_deref().unwrap_or_default(), &object.kind, live)?;
            let resource = match resource {
                Ok(resource) => resource,
                Err(why) => return Some(Err(why)),
            };
            let plural = match &*resource.group {
                "" => resource.plural.to_string(),
                group => format!("{}.{group}", resource.plural),
            };
            let selectors = [("labelSelector", ""), ("metricLabelSelector", selector.as_str())];
            match object.kind.as_str() {
                "Namespace" if resource.group.is_empty() => {
                    custom(metric, "", "metrics".to_owned(), selectors, live)
                }
                _ => custom(&object.name, metric, plural, selectors, live),
            }
        }
        Question::External { metric, selector } => {
            let (group, version) = (EXTERNAL.into(), "v1beta1".into());
            let resource = ResourceType { group, version, plural: metric.clone().into(), kind: "".into() };
            let selectors = [("labelSelector", selector.as_str()), ("", "")];
            live.items_at(&path(resource, namespace, "", "", selectors))
        }
    }
}

/// The path of a metric, with the selectors that select something.
fn path(
    resource: ResourceType,
    namespace: &str,
    name: &str,
    metric: &str,
    selectors: [(&'static str, &str); 2],
) -> String {
    let key = ObjectKey::namespaced(namespace, name);
    let mut request = Request::new(Verb::Get, Target::object(resource, &key).subresource(metric));
    for (parameter, selector) in selectors.into_iter().filter(|(_, selector)| !selector.is_empty()) {
        request = request.query(parameter, selector);
    }
    request.path_and_query()
}
