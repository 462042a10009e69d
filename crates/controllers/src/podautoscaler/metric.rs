//! One metric of an autoscaler: what is asked about it, and how many replicas it calls for.
//!
//! Texts are those of upstream's `pkg/controller/podautoscaler`, whose errors people read in conditions and events.

use k8s_openapi::api::autoscaling::v2::{
    ContainerResourceMetricSource, ContainerResourceMetricStatus, CrossVersionObjectReference,
    ExternalMetricSource, ExternalMetricStatus, MetricIdentifier, MetricSpec, MetricStatus, MetricTarget,
    MetricValueStatus, ObjectMetricSource, ObjectMetricStatus, PodsMetricSource, PodsMetricStatus,
    ResourceMetricSource, ResourceMetricStatus,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as ApiQuantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use object::{Quantity, QuantityFormat, Selector, Value};

use super::calculator::{Proposal, Target};
use super::readings;

/// What the server is asked about a metric.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Question {
    /// What the selected pods use of all resources.
    Pods,
    /// A custom metric of the selected pods.
    OfPods { metric: String, selector: String },
    /// A custom metric of an object.
    OfObject { object: CrossVersionObjectReference, metric: String, selector: String },
    /// A metric of something outside of the cluster.
    External { metric: String, selector: String },
}

/// What the server answered: the list of the question, or why there is none.
pub(super) type Answer = Result<Vec<Value>, String>;

/// What a metric calls for.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Evaluated {
    pub(super) replicas: i32,
    /// What people know the metric by.
    pub(super) name: String,
    pub(super) status: MetricStatus,
}

/// Why a metric calls for nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Invalid {
    pub(super) reason: &'static str,
    /// What is wrong.
    pub(super) why: String,
    /// The same, as part of a longer text.
    pub(super) wrapped: String,
    /// Whether the metric cannot be meant so.
    pub(super) is_spec: bool,
}

/// What has to be asked; an error of the metric's own selector.
pub(super) fn question(spec: &MetricSpec) -> Result<Question, Invalid> {
    let parts = |identifier: &MetricIdentifier, reason, of: &str| {
        let selector = selector_of(identifier.selector.as_ref());
        let selector =
            selector.map_err(|why| Invalid::new(reason, format!("failed to get {of} metric value"), why))?;
        Ok((identifier.name.clone(), selector))
    };
    match (spec.type_.as_str(), &spec.pods, &spec.object, &spec.external) {
        ("Resource" | "ContainerResource", ..) => Ok(Question::Pods),
        ("Pods", Some(source), ..) => {
            let (metric, selector) = parts(&source.metric, "FailedGetPodsMetric", "pods")?;
            Ok(Question::OfPods { metric, selector })
        }
        ("Object", _, Some(source), _) => {
            let (metric, selector) = parts(&source.metric, "FailedGetObjectMetric", "object")?;
            Ok(Question::OfObject { object: source.described_object.clone(), metric, selector })
        }
        ("External", .., Some(source)) => {
            let of = format!("{} external", source.metric.name);
            let (metric, selector) = parts(&source.metric, "FailedGetExternalMetric", &of)?;
            Ok(Question::External { metric, selector })
        }
        (other, ..) => {
            let why = format!("unknown metric source type {other:?}");
            Err(Invalid {
                is_spec: true,
                wrapped: why.clone(),
                ..Invalid::new("InvalidMetricSourceType", String::new(), why)
            })
        }
    }
}

/// The text of a metric's selector; everything without one.
fn selector_of(selector: Option<&LabelSelector>) -> Result<String, String> {
    let Some(selector) = selector else { return Ok(String::new()) };
    semantics::try_selector(selector)
        .map(|selector: Selector| selector.to_string())
        .map_err(|error| error.to_string())
}

impl Invalid {
    fn new(reason: &'static str, wrapped: String, why: String) -> Invalid {
        Invalid { reason, wrapped: format!("{wrapped}: {why}"), why, is_spec: false }
    }
}

/// How many replicas a metric calls for. `status_replicas` are those that there are.
pub(super) fn evaluate(
    spec: &MetricSpec,
    answer: &Answer,
    target: &Target<'_>,
    namespace: &str,
    status_replicas: i32,
) -> Result<Evaluated, Invalid> {
    let mut found = if let Some(source) = &spec.resource {
        of_resource(source, answer, target)?
    } else if let Some(source) = &spec.container_resource {
        of_container(source, answer, target)?
    } else if let Some(source) = &spec.pods {
        of_pods(source, answer, target)?
    } else if let Some(source) = &spec.object {
        of_object(source, answer, target, namespace, status_replicas)?
    } else if let Some(source) = &spec.external {
        of_external(source, answer, target, namespace, status_replicas)?
    } else {
        let why = format!("unknown metric source type {:?}", spec.type_);
        return Err(Invalid { is_spec: true, ..Invalid::new("InvalidMetricSourceType", why.clone(), why) });
    };
    found.status.type_.clone_from(&spec.type_);
    Ok(found)
}

fn of_resource(
    source: &ResourceMetricSource,
    answer: &Answer,
    target: &Target<'_>,
) -> Result<Evaluated, Invalid> {
    let found = resource(target, answer, &source.name, None, &source.target);
    let (current, replicas, name) = found.map_err(|why| {
        let wrapped = format!("failed to get {} resource metric value", source.name);
        Invalid::new("FailedGetResourceMetric", wrapped, why)
    })?;
    let own = ResourceMetricStatus { name: source.name.clone(), current };
    Ok(Evaluated { replicas, name, status: MetricStatus { resource: Some(own), ..MetricStatus::default() } })
}

fn of_container(
    source: &ContainerResourceMetricSource,
    answer: &Answer,
    target: &Target<'_>,
) -> Result<Evaluated, Invalid> {
    let found = resource(target, answer, &source.name, Some(&source.container), &source.target);
    let (current, replicas, name) = found.map_err(|why| {
        let wrapped = format!("failed to get {} container metric value", source.container);
        Invalid::new("FailedGetContainerResourceMetric", wrapped, why)
    })?;
    let own = ContainerResourceMetricStatus {
        name: source.name.clone(),
        container: source.container.clone(),
        current,
    };
    let status = MetricStatus { container_resource: Some(own), ..MetricStatus::default() };
    Ok(Evaluated { replicas, name, status })
}

fn of_pods(source: &PodsMetricSource, answer: &Answer, target: &Target<'_>) -> Result<Evaluated, Invalid> {
    let metric = &source.metric.name;
    let found = list(answer, "custom").and_then(|list| readings::of_custom(&list));
    let found = found.map_err(|why| format!("unable to get metric {metric}: {why}"));
    let proposal = found.and_then(|found| target.by_average(found, "", milli(&source.target.average_value)));
    let proposal = proposal.map_err(|why| {
        Invalid::new("FailedGetPodsMetric", "failed to get pods metric value".to_owned(), why)
    })?;
    let own = PodsMetricStatus { metric: source.metric.clone(), current: average(&proposal) };
    let status = MetricStatus { pods: Some(own), ..MetricStatus::default() };
    Ok(Evaluated { replicas: proposal.replicas, name: format!("pods metric {metric}"), status })
}

fn of_object(
    source: &ObjectMetricSource,
    answer: &Answer,
    target: &Target<'_>,
    namespace: &str,
    status_replicas: i32,
) -> Result<Evaluated, Invalid> {
    let (metric, object) = (&source.metric.name, &source.described_object);
    let value = list(answer, "custom").and_then(|list| one(&list)).map_err(|why| {
        format!("unable to get metric {metric}: {why} on {} {namespace}/{}", object.kind, object.name)
    });
    let found = value.and_then(|milli| whole(target, milli, &source.target, status_replicas, "object"));
    let (proposal, current) = found.map_err(|why| {
        Invalid::new("FailedGetObjectMetric", "failed to get object metric value".to_owned(), why)
    })?;
    let own = ObjectMetricStatus { described_object: object.clone(), metric: source.metric.clone(), current };
    let name = match source.target.type_.as_str() {
        "Value" => format!("{} metric {metric}", object.kind),
        _ => format!("external metric {metric}({})", in_go(source.metric.selector.as_ref())),
    };
    let status = MetricStatus { object: Some(own), ..MetricStatus::default() };
    Ok(Evaluated { replicas: proposal.replicas, name, status })
}

fn of_external(
    source: &ExternalMetricSource,
    answer: &Answer,
    target: &Target<'_>,
    namespace: &str,
    status_replicas: i32,
) -> Result<Evaluated, Invalid> {
    let metric = &source.metric.name;
    let selector = in_go(source.metric.selector.as_ref());
    let value = list(answer, "external").and_then(|list| readings::of_external(&list));
    let value =
        value.map_err(|why| format!("unable to get external metric {namespace}/{metric}/{selector}: {why}"));
    let found = value.and_then(|milli| whole(target, milli, &source.target, status_replicas, "external"));
    let (proposal, current) = found.map_err(|why| {
        let wrapped =
            format!("failed to get {metric} external metric value: failed to get {metric} external metric");
        Invalid::new("FailedGetExternalMetric", wrapped, why)
    })?;
    let own = ExternalMetricStatus { metric: source.metric.clone(), current };
    let name = format!("external metric {metric}({selector})");
    let status = MetricStatus { external: Some(own), ..MetricStatus::default() };
    Ok(Evaluated { replicas: proposal.replicas, name, status })
}

/// A resource of the pods, or of one of their containers.
fn resource(
    target: &Target<'_>,
    answer: &Answer,
    resource: &str,
    container: Option<&str>,
    wanted: &MetricTarget,
) -> Result<(MetricValueStatus, i32, String), String> {
    let read = || {
        let answer = answer.as_ref();
        let pods = answer.map_err(|why| format!("unable to fetch metrics from resource metrics API: {why}"));
        let found = pods.and_then(|pods| readings::of_resource(pods, resource, container));
        found.map_err(|why| format!("unable to get metrics for resource {resource}: {why}"))
    };
    let failed = |why| format!("failed to get {resource} utilization: {why}");
    if wanted.average_value.is_some() {
        let proposal =
            read().and_then(|found| target.by_average(found, resource, milli(&wanted.average_value)));
        let proposal = proposal.map_err(failed)?;
        return Ok((average(&proposal), proposal.replicas, format!("{resource} resource")));
    }
    let Some(utilization) = wanted.average_utilization else {
        return Err("invalid resource metric source: neither an average utilization target nor an average value (usage) target was set".to_owned());
    };
    let proposal = read().and_then(|found| target.by_utilization(found, resource, container, utilization));
    let proposal = proposal.map_err(failed)?;
    let of = if container.is_some() { "container resource" } else { "resource" };
    Ok((
        average(&proposal),
        proposal.replicas,
        format!("{resource} {of} utilization (percentage of request)"),
    ))
}

/// A metric of something that is not the pods.
fn whole(
    target: &Target<'_>,
    value: i64,
    wanted: &MetricTarget,
    status_replicas: i32,
    of: &str,
) -> Result<(Proposal, MetricValueStatus), String> {
    if wanted.value.is_some() {
        let proposal = target.by_value(value, milli(&wanted.value))?;
        let current =
            MetricValueStatus { value: Some(quantity(proposal.milli)), ..MetricValueStatus::default() };
        return Ok((proposal, current));
    }
    if wanted.average_value.is_some() {
        let proposal = target.by_value_per_pod(value, milli(&wanted.average_value), status_replicas);
        return Ok((proposal, average(&proposal)));
    }
    Err(format!("invalid {of} metric source: neither a value target nor an average value target was set"))
}

/// The list that the server answered, or why there is none.
fn list(answer: &Answer, api: &str) -> Result<Value, String> {
    let items =
        answer.clone().map_err(|why| format!("unable to fetch metrics from {api} metrics API: {why}"))?;
    let mut list = Value::map();
    list.set("items", items);
    Ok(list)
}

/// The value of a metric of one object.
fn one(list: &Value) -> Result<i64, String> {
    let found = readings::of_custom(list)?;
    found
        .values()
        .next()
        .map(|reading| reading.milli)
        .ok_or_else(|| "no metrics returned from custom metrics API".to_owned())
}

fn average(proposal: &Proposal) -> MetricValueStatus {
    MetricValueStatus {
        average_utilization: proposal.percent,
        average_value: Some(quantity(proposal.milli)),
        ..MetricValueStatus::default()
    }
}

fn milli(quantity: &Option<ApiQuantity>) -> i64 {
    let parsed = quantity.as_ref().and_then(|quantity| Quantity::parse(&quantity.0).ok());
    parsed.map_or(0, |quantity| quantity.milli_value())
}

fn quantity(milli: i64) -> ApiQuantity {
    ApiQuantity(Quantity::milli(milli, QuantityFormat::DecimalSi).to_string())
}

/// A selector as upstream's texts have it.
fn in_go(selector: Option<&LabelSelector>) -> String {
    let Some(selector) = selector else { return "nil".to_owned() };
    let labels = selector.match_labels.iter().flatten();
    let labels: String = labels.map(|(key, value)| format!("{key}: {value},")).collect();
    let expressions = selector.match_expressions.iter().flatten().map(|one| {
        let values = one.values.iter().flatten().map(String::as_str).collect::<Vec<_>>().join(" ");
        format!("LabelSelectorRequirement{{Key:{},Operator:{},Values:[{values}],}},", one.key, one.operator)
    });
    let expressions: String = expressions.collect();
    format!(
        "&LabelSelector{{MatchLabels:map[string]string{{{labels}}},MatchExpressions:[]LabelSelectorRequirement{{{expressions}}},}}"
    )
}
