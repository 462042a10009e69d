//! `nodes` and `pods` of `metrics.k8s.io`: what they use at present. They are computed on each request, from the last
//! figures of the nodes, as upstream's metrics-server does it (`pkg/api/node.go`, `pod.go`).

use std::sync::Arc;

use async_trait::async_trait;
use measures::Usage;
use object::{FieldValues, Quantity, QuantityFormat, Status, Value, Versioned, value};

use super::super::read::Filter;
use super::super::{Answer, AnswerBody, Listing};
use super::{At, Way};
use crate::errors::internal;
use crate::options::Query;

/// The objects that are measured.
enum Measured {
    Nodes,
    Pods,
}

pub(super) struct UsageOf(Measured);

pub(super) const NODES: UsageOf = UsageOf(Measured::Nodes);
pub(super) const PODS: UsageOf = UsageOf(Measured::Pods);

#[async_trait]
impl Way for UsageOf {
    async fn read(&self, at: &At<'_>, _query: &Query) -> Result<Answer, Status> {
        let (namespace, name) = (at.call.namespace, at.call.name);
        let collection = at.registry.collection(self.path());
        let object = collection.and_then(|collection| collection.get(namespace, name));
        let usage = object.and_then(|object| self.usage(at, &object));
        usage.map(|usage| Answer::ok(AnswerBody::Value(usage))).ok_or_else(|| match self.0 {
            Measured::Nodes => Status::not_found("metrics.k8s.io", "nodemetrics", name),
            Measured::Pods => {
                Status::not_found("metrics.k8s.io", "podmetrics", &format!("{namespace}/{name}"))
            }
        })
    }

    async fn list(&self, at: &At<'_>, query: &Query) -> Result<Answer, Status> {
        let filter = Filter::new(at.endpoint, at.call, query)?;
        let mut listing = Listing {
            items: Vec::new(),
            revision: at.registry.hub.revision(),
            continue_token: None,
            remaining: None,
        };
        let Some(collection) = at.registry.collection(self.path()) else {
            return Ok(Answer::ok(AnswerBody::List(listing)));
        };
        let objects = match at.call.namespace {
            "" => collection.objects().values().cloned().collect(),
            namespace => collection.in_namespace(namespace),
        };
        for object in objects.iter().filter(|object| filter.matches(object)) {
            let Some(usage) = self.usage(at, object) else { continue };
            let type_meta = Arc::clone(&at.endpoint.type_meta);
            let item = Versioned::from_value(type_meta, &usage, FieldValues::default());
            listing.items.push(item.map_err(|error| internal(&error))?);
        }
        Ok(Answer::ok(AnswerBody::List(listing)))
    }
}

impl UsageOf {
    /// Where the measured objects are stored.
    fn path(&self) -> &'static str {
        match self.0 {
            Measured::Nodes => "minions",
            Measured::Pods => "pods",
        }
    }

    /// What an object uses; `None` if that is not known.
    fn usage(&self, at: &At<'_>, object: &Versioned) -> Option<Value> {
        let measures = &at.registry.measures;
        match self.0 {
            Measured::Nodes => {
                let used = measures.node(object.name())?;
                let mut usage = self.object(at, object, used.at, used.window_nanos);
                usage.set("usage", resources(&used));
                Some(usage)
            }
            Measured::Pods => {
                if object.field("status.phase") != Some("Running") {
                    return None;
                }
                let node = object.field("spec.nodeName")?;
                let used = measures.pod(node, object.namespace(), object.name())?;
                let mut usage = self.object(at, object, used.at, used.window_nanos);
                let containers = used.containers.iter();
                let containers =
                    containers.map(|(name, used)| value!({"name": name.as_str(), "usage": resources(used)}));
                usage.set("containers", containers.collect::<Vec<_>>());
                Some(usage)
            }
        }
    }

    /// What the usage of nodes and of pods have in common.
    fn object(&self, at: &At<'_>, object: &Versioned, measured: jiff::Timestamp, window_nanos: i64) -> Value {
        let mut metadata =
            value!({"name": object.name(), "creationTimestamp": time(at.registry.clock.now())});
        if !object.namespace().is_empty() {
            metadata.set("namespace", object.namespace());
        }
        let mut labels = Value::map();
        object.labels().iter().for_each(|(name, label)| labels.set(name.to_owned(), label));
        if labels != Value::map() {
            metadata.set("labels", labels);
        }
        let kind = match self.0 {
            Measured::Nodes => "NodeMetrics",
            Measured::Pods => "PodMetrics",
        };
        value!({
            "kind": kind, "apiVersion": at.endpoint.api_version(), "metadata": metadata,
            "timestamp": time(measured), "window": object::duration::format(window_nanos)
        })
    }
}

/// A time in whole seconds, as the API has them.
fn time(at: jiff::Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// The resource list of a usage.
fn resources(usage: &Usage) -> Value {
    let amount = |amount: u64, scale, format| {
        Quantity::scaled(i64::try_from(amount).unwrap_or(i64::MAX), scale, format).to_string()
    };
    value!({
        "cpu": amount(usage.cpu_nanos, -9, QuantityFormat::DecimalSi),
        "memory": amount(usage.memory_bytes, 0, QuantityFormat::BinarySi)
    })
}
