use client::EventType;
use k8s_openapi::api::autoscaling::v2::{HorizontalPodAutoscalerBehavior, HorizontalPodAutoscalerStatus};
use object::Value;
use serde_json::{Value as Json, json};

use super::decision::Wrong;
use super::history::Bounds;
use super::*;
use crate::framework::Action;

mod calculation;
mod limits;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_000_000 + seconds).unwrap()
}

fn tree(json: Json) -> Value {
    object::json::parse(json.to_string().as_bytes()).unwrap()
}

/// A pod that has been ready for long, whose container `c` requests a processor.
fn pod(name: &str) -> Json {
    json!({
        "metadata": {"name": name, "namespace": "d", "labels": {"app": "web"}},
        "spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": "1", "memory": "1000"}}}]},
        "status": {
            "phase": "Running", "startTime": at(-1000).to_string(),
            "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": at(-990).to_string()}]
        }
    })
}

fn lean(pods: &[Json]) -> Vec<Arc<LeanPod>> {
    pods.iter().map(|pod| Arc::new(serde_json::from_str(&pod.to_string()).unwrap())).collect()
}

/// What pods use of the processor, as their metrics have it.
fn usage(pods: &[(&str, &str)]) -> Answer {
    let metrics = pods.iter().map(|(name, cpu)| {
        tree(json!({
            "metadata": {"name": name, "namespace": "d"}, "timestamp": at(-5).to_string(), "window": "15s",
            "containers": [{"name": "c", "usage": {"cpu": cpu, "memory": "500"}}]
        }))
    });
    Ok(metrics.collect())
}

fn on_cpu(percent: i32) -> Json {
    json!({"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": percent}}})
}

fn autoscaler(spec: Json) -> HorizontalPodAutoscaler {
    let mut all = json!({
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"},
        "minReplicas": 1, "maxReplicas": 10, "metrics": [on_cpu(50)]
    });
    all.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
    serde_json::from_value(
        json!({"metadata": {"name": "web", "namespace": "d", "resourceVersion": "7"}, "spec": all}),
    )
    .unwrap()
}

fn scale(replicas: i32) -> Scale {
    serde_json::from_value(json!({
        "metadata": {"name": "web", "namespace": "d", "resourceVersion": "3"},
        "spec": {"replicas": replicas}, "status": {"replicas": replicas, "selector": "app=web"}
    }))
    .unwrap()
}

/// The decision about an autoscaler whose target has one pod for each usage.
fn decided(
    autoscaler: &HorizontalPodAutoscaler,
    replicas: i32,
    answers: Vec<Answer>,
    history: &mut History,
) -> Decided {
    let names: Vec<String> = (0..replicas).map(|index| format!("p{index}")).collect();
    let pods = lean(&names.iter().map(|name| pod(name)).collect::<Vec<_>>());
    let selected = Selected::Pods { pods, answers };
    decided_about(autoscaler, Ok(scale(replicas)), selected, history)
}

fn decided_about(
    autoscaler: &HorizontalPodAutoscaler,
    scale: Result<Scale, String>,
    selected: Selected,
    history: &mut History,
) -> Decided {
    let of = scale.as_ref().map_err(String::as_str);
    let inputs =
        Inputs { autoscaler, scale: of, selected: &selected, options: Options::default(), now: at(0) };
    let decision = decide(&inputs, history);
    let resource = ResourceType::of::<k8s_openapi::api::apps::v1::Deployment>();
    let target = scale.ok().map(|scale| (resource, Arc::new(scale)));
    Decided {
        autoscaler: Arc::new(autoscaler.clone()),
        target,
        decision,
        period: Options::default().sync_period,
    }
}

/// `TYPE STATUS REASON` of each condition.
fn conditions(status: &HorizontalPodAutoscalerStatus) -> Vec<String> {
    let all = status.conditions.iter().flatten();
    all.map(|one| format!("{} {} {}", one.type_, one.status, one.reason.as_deref().unwrap())).collect()
}

fn events(decided: &Decided) -> Vec<String> {
    decided.decision.events.iter().map(|(_, reason, message)| format!("{reason}: {message}")).collect()
}

#[test]
fn load_scales_out() {
    let web = autoscaler(json!({}));
    let decided = decided(&web, 1, vec![usage(&[("p0", "1500m")])], &mut History::default());
    let status = &decided.decision.status;
    assert_eq!(
        conditions(status),
        [
            "AbleToScale True SucceededRescale",
            "ScalingActive True ValidMetricFound",
            "ScalingLimited False DesiredWithinRange",
            "ScaledToZero False NotScaledToZero",
        ]
    );
    assert_eq!((status.current_replicas, status.desired_replicas), (Some(1), 3));
    let metrics = serde_json::to_value(&status.current_metrics).unwrap();
    let current = json!({"averageUtilization": 150, "averageValue": "1500m"});
    assert_eq!(metrics, json!([{"type": "Resource", "resource": {"name": "cpu", "current": current}}]));

    let snapshot = Snapshot::Decided(Box::new(decided));
    let plan = plan::plan(&snapshot);
    assert_eq!(plan.requeue_after, Some(Duration::from_secs(15)));
    let actions = plan.actions();
    let [
        Action::Update { object, subresource: "scale" },
        Action::Record(note),
        Action::Update { object: after, subresource: "status" },
    ] = &*actions
    else {
        panic!("{actions:?}")
    };
    assert_eq!((&*object.resource.plural, object.key.to_string().as_str()), ("deployments", "d/web"));
    let written = object.get::<Scale>().unwrap();
    assert_eq!(written.spec.as_ref().unwrap().replicas, Some(3));
    assert_eq!(written.metadata.resource_version, None);
    assert_eq!((note.kind, note.reason), (EventType::Normal, "SuccessfulRescale"));
    assert_eq!(
        note.message,
        "New size: 3; reason: cpu resource utilization (percentage of request) above target"
    );
    assert_eq!(
        after.get::<HorizontalPodAutoscaler>().unwrap().metadata.resource_version.as_deref(),
        Some("7")
    );
}

#[test]
fn a_decision_that_changes_nothing_writes_nothing() {
    let mut web = autoscaler(json!({}));
    let mut history = History::default();
    let usage = || vec![usage(&[("p0", "500m"), ("p1", "500m")])];
    let first = decided(&web, 2, usage(), &mut history);
    assert_eq!(first.decision.rescale, None);
    web.status = Some(first.decision.status.clone());
    let second = decided(&web, 2, usage(), &mut history);
    assert_eq!(second.decision.status, first.decision.status);
    assert!(plan::plan(&Snapshot::Decided(Box::new(second))).is_empty());
    let early = plan::plan(&Snapshot::Early(Duration::from_secs(3)));
    assert!(early.is_empty());
    assert_eq!(early.requeue_after, Some(Duration::from_secs(3)));
}

#[test]
fn bounds_hold_whatever_the_metrics_say() {
    for (replicas, spec, expected, reason) in [
        (12, json!({}), 10, "Current number of replicas above Spec.MaxReplicas"),
        (1, json!({"minReplicas": 3}), 3, "Current number of replicas below Spec.MinReplicas"),
    ] {
        let decided = decided(&autoscaler(spec), replicas, Vec::new(), &mut History::default());
        let rescale = decided.decision.rescale.unwrap();
        assert_eq!((rescale.to, rescale.reason.as_str()), (expected, reason));
        assert_eq!(conditions(&decided.decision.status)[0], "AbleToScale True SucceededRescale");
    }
}

#[test]
fn what_somebody_has_set_to_zero_stays_there() {
    let decided = decided(&autoscaler(json!({})), 0, Vec::new(), &mut History::default());
    assert_eq!(decided.decision.rescale, None);
    let status = &decided.decision.status;
    assert_eq!(
        conditions(status),
        ["AbleToScale True SucceededGetScale", "ScalingActive False ScalingDisabled"]
    );
    let message = status.conditions.as_ref().unwrap()[1].message.as_deref().unwrap();
    assert_eq!(message, "scaling is disabled since the replica count of the target is zero");
}

fn queue() -> Json {
    json!({"minReplicas": 0, "metrics": [{"type": "External", "external": {
        "metric": {"name": "queue", "selector": {"matchLabels": {"q": "a"}}}, "target": {"type": "Value", "value": "10"}
    }}]})
}

fn external(value: &str) -> Vec<Answer> {
    vec![Ok(vec![tree(json!({"metricName": "queue", "value": value}))])]
}

#[test]
fn what_an_autoscaler_has_set_to_zero_comes_back() {
    let mut web = autoscaler(queue());
    let mut history = History::default();
    // The recommendation of its first look is of long ago.
    web.spec.behavior =
        serde_json::from_value(json!({"scaleDown": {"stabilizationWindowSeconds": 0, "policies": [
            {"type": "Percent", "value": 100, "periodSeconds": 15}
        ]}}))
        .unwrap();
    let down = decided(&web, 1, external("0"), &mut history);
    assert_eq!(down.decision.rescale.as_ref().unwrap().to, 0);
    assert_eq!(conditions(&down.decision.status).last().unwrap(), "ScaledToZero True ScaledToZero");
    web.status = Some(down.decision.status);
    let still = decided(&web, 0, external("0"), &mut history);
    assert_eq!(still.decision.rescale, None);
    assert_eq!(conditions(&still.decision.status).last().unwrap(), "ScaledToZero True ScaledToZero");
    let up = decided(&web, 0, external("25"), &mut history);
    let rescale = up.decision.rescale.unwrap();
    assert_eq!(rescale.to, 3);
    let metric = "external metric queue(&LabelSelector{MatchLabels:map[string]string{q: a,},MatchExpressions:[]LabelSelectorRequirement{},})";
    assert_eq!(rescale.reason, format!("{metric} above target"));
    assert_eq!(conditions(&up.decision.status).last().unwrap(), "ScaledToZero False NotScaledToZero");
}

#[test]
fn a_target_without_scale_is_told() {
    let web = autoscaler(json!({}));
    let none = Selected::Pods { pods: Vec::new(), answers: Vec::new() };
    let why = "deployments.apps \"web\" not found";
    let decided = decided_about(&web, Err(why.into()), none, &mut History::default());
    assert_eq!(conditions(&decided.decision.status), ["AbleToScale False FailedGetScale"]);
    assert_eq!(events(&decided), [format!("FailedGetScale: {why}")]);
    assert_eq!(decided.decision.error, Some(Wrong::Internal));
}

#[test]
fn selectors_are_needed_and_belong_to_one() {
    let web = autoscaler(json!({}));
    let rivals = ["a", "web"].map(|name| ObjectKey::namespaced("d", name)).to_vec();
    let both = "pods by selector app=web are controlled by multiple HPAs: [{a d} {web d}]";
    for (selected, condition, message, event) in [
        (
            Selected::None,
            "InvalidSelector",
            "the HPA target's scale is missing a selector",
            "SelectorRequired: selector is required",
        ),
        (Selected::Rivals(rivals), "AmbiguousSelector", both, &format!("AmbiguousSelector: {both}")),
    ] {
        let decided = decided_about(&web, Ok(scale(1)), selected, &mut History::default());
        let status = &decided.decision.status;
        assert_eq!(conditions(status)[1], format!("ScalingActive False {condition}"));
        assert_eq!(status.conditions.as_ref().unwrap()[1].message.as_deref(), Some(message));
        assert_eq!(events(&decided)[0], event);
        assert!(events(&decided)[1].starts_with("FailedComputeMetricsReplicas: "));
        assert_eq!(decided.decision.rescale, None);
    }
}

#[test]
fn a_metric_that_cannot_be_had_is_told_and_keeps_others_from_scaling_in() {
    let refused = || Err("no metrics".to_owned());
    let why = "failed to get cpu utilization: unable to get metrics for resource cpu: unable to fetch metrics from resource metrics API: no metrics";
    let web = autoscaler(json!({}));
    let alone = decided(&web, 2, vec![refused()], &mut History::default());
    assert_eq!(conditions(&alone.decision.status)[1], "ScalingActive False FailedGetResourceMetric");
    assert_eq!(
        events(&alone),
        [
            format!("FailedGetResourceMetric: {why}"),
            format!(
                "FailedComputeMetricsReplicas: invalid metrics (1 invalid out of 1), first error is: failed to get cpu resource metric value: {why}"
            ),
        ]
    );
    let both = autoscaler(json!({"metrics": [on_cpu(50), on_cpu(50)]}));
    let high = vec![usage(&[("p0", "1"), ("p1", "1")]), refused()];
    let out = decided(&both, 2, high, &mut History::default());
    assert_eq!(out.decision.rescale.unwrap().to, 4);
    assert_eq!(out.decision.error, Some(Wrong::Internal));
    let low = vec![usage(&[("p0", "1m"), ("p1", "1m")]), refused()];
    let stay = decided(&both, 2, low, &mut History::default());
    assert_eq!(stay.decision.rescale, None);
    assert_eq!(conditions(&stay.decision.status)[1], "ScalingActive False FailedGetResourceMetric");
}

#[test]
fn of_several_metrics_the_one_that_wants_most_decides() {
    let memory = json!({"type": "Resource", "resource": {"name": "memory", "target": {"type": "AverageValue", "averageValue": "100"}}});
    let web = autoscaler(json!({"metrics": [on_cpu(50), memory]}));
    let answers = vec![usage(&[("p0", "1")]), usage(&[("p0", "1")])];
    let decided = decided(&web, 1, answers, &mut History::default());
    let rescale = decided.decision.rescale.unwrap();
    // Five times its memory; at most four at once from one.
    assert_eq!((rescale.to, rescale.reason.as_str()), (4, "memory resource above target"));
    assert_eq!(conditions(&decided.decision.status)[2], "ScalingLimited True ScaleUpLimit");
}

#[test]
fn a_change_that_is_refused_is_told() {
    let web = autoscaler(json!({}));
    let decided = decided(&web, 1, vec![usage(&[("p0", "1500m")])], &mut History::default());
    let snapshot = Snapshot::Decided(Box::new(decided));
    let action = plan::plan(&snapshot).actions()[0].clone();
    let error = object::Status::forbidden("apps", "deployments", "web", "no").into();
    let plan = plan::recover(&snapshot, &[Failure { action, error }], at(1));
    let actions = plan.actions();
    let [Action::Record(note), Action::Update { object, subresource: "status" }] = &*actions else {
        panic!("{actions:?}")
    };
    assert_eq!(note.reason, "FailedRescale");
    assert!(note.message.starts_with(
        "New size: 3; reason: cpu resource utilization (percentage of request) above target; error: "
    ));
    let status = object.get::<HorizontalPodAutoscaler>().unwrap().status.as_ref().unwrap();
    assert_eq!(conditions(status)[0], "AbleToScale False FailedUpdateScale");
    assert_eq!(
        (status.current_replicas, status.desired_replicas, &status.last_scale_time),
        (Some(1), 0, &None)
    );
}

#[test]
fn kinds_are_looked_up_by_group() {
    let mut live = Live::default();
    let why = mapping("a/b/c", "X", &mut live).unwrap().unwrap_err();
    assert_eq!(why, "unexpected GroupVersion string: a/b/c");
    // The server is asked.
    assert!(mapping("apps/v1", "Deployment", &mut live).is_none());
}

#[test]
fn metrics_have_paths() {
    let resource = |plural: &str| ResourceType {
        group: CUSTOM.into(),
        version: "v1beta2".into(),
        plural: plural.to_owned().into(),
        kind: "".into(),
    };
    let selectors = [("labelSelector", "app=web"), ("metricLabelSelector", "")];
    let found = path(resource("services"), "d", "web", "hits", selectors);
    assert_eq!(
        found,
        "/apis/custom.metrics.k8s.io/v1beta2/namespaces/d/services/web/hits?labelSelector=app%3Dweb"
    );
}

#[test]
fn an_autoscaler_is_looked_at_once_in_a_period() {
    let period = Duration::from_secs(15);
    assert_eq!(left(None, period, at(0)), None);
    assert_eq!(left(Some(at(0)), period, at(5)), Some(Duration::from_secs(10)));
    assert_eq!(left(Some(at(0)), period, at(15)), None);
    assert_eq!(left(Some(at(100)), period, at(0)), None, "the clock was set back");
}
