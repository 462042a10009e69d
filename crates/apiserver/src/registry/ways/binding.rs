//! `binding` of pods, and the older `bindings`: a pod is assigned to a node.

use async_trait::async_trait;
use clock::Clock;
use object::field::Errors;
use object::{Status, Value, field, value};
use schema::GroupResource;

use super::super::write::{Form, NULL, WriteRequest};
use super::super::{Answer, AnswerBody, Call};
use super::change::Change;
use super::{At, Way};
use crate::admission::{Operation, TOPOLOGY_LABELS};

pub(super) struct Binding;

#[async_trait]
impl Way for Binding {
    async fn create(&self, at: &At<'_>, body: Value) -> Result<Answer, Status> {
        let GroupResource { group, plural } = GroupResource::PODS;
        let pods = at.registry.endpoint(group, "v1", plural);
        let pods = pods.ok_or_else(|| Status::not_found(group, plural, ""))?;
        // The path of `bindings` names no pod.
        let name = match at.call.name {
            "" => body.str_at("metadata.name").to_owned(),
            name => name.to_owned(),
        };
        let call = Call { name: &name, subresource: "binding", ..*at.call };
        let change = Change::only(|_, _| (), &[]).by(self, Operation::Create);
        at.registry.modify(&pods, &call, change, &mut |_: &Value| Ok(body.clone())).await?;
        let status = Status { code: 201, ..Status::success(None) };
        Ok(Answer::created(AnswerBody::Status(Box::new(status))))
    }
}

impl Form for Binding {
    /// A binding is created, never read.
    fn show(&self, _object: &Value) -> Value {
        NULL.clone()
    }

    fn apply(&self, write: &WriteRequest<'_>, binding: &Value, clock: &Clock) -> Result<Value, Status> {
        let node = node_of(write, binding)?;
        let (pod, name) = (write.old, write.name);
        let refuse = |why: String| Err(write.endpoint.conflict(name, &why));
        if !pod.at("metadata.deletionTimestamp").is_null() {
            return refuse(format!("pod {name} is being deleted, cannot be assigned to a host"));
        }
        if !pod.at("spec.nodeName").is_empty() {
            let on = pod.str_at("spec.nodeName");
            return refuse(format!("pod {name} is already assigned to node {on:?}"));
        }
        if !pod.at("spec.schedulingGates").is_empty() {
            return refuse(format!("pod {name} has non-empty .spec.schedulingGates"));
        }
        Ok(bound(pod, binding, node, &clock.now_seconds().to_string()))
    }

    /// A pod that runs for the first time is still the first generation.
    fn counts_generation(&self) -> bool {
        false
    }
}

/// The node that a binding names.
fn node_of<'a>(write: &WriteRequest<'_>, binding: &'a Value) -> Result<&'a str, Status> {
    let target = binding.get("target");
    let invalid = |member: &str, error: fn(&field::Path<'_>, &Value) -> field::Error| {
        let root = field::Path::root("target");
        let path = root.child(member);
        let errors = Errors::from(error(&path, target.get(member)));
        Status::invalid("", "Binding", write.name, &errors)
    };
    if !matches!(target.str_at("kind"), "" | "Node") {
        return Err(invalid("kind", |path, given| {
            field::Error::not_supported(path, given.clone(), &["Node", "<empty>"])
        }));
    }
    match target.str_at("name") {
        "" => Err(invalid("name", |path, _| field::Error::required(path, ""))),
        node => Ok(node),
    }
}

fn bound(old: &Value, binding: &Value, node: &str, now: &str) -> Value {
    let mut pod = old.clone();
    pod.entry("spec").set("nodeName", node);
    for (key, value) in binding.at("metadata.annotations").entries() {
        pod.entry("metadata").entry("annotations").set(key.to_owned(), value.clone());
    }
    // The right to place a pod does not include changing its owner: existing labels stay, except those that tell where
    // its node is.
    for (key, value) in binding.at("metadata.labels").entries() {
        let is_new = old.at("metadata.labels").get(key).is_null();
        if is_new || TOPOLOGY_LABELS.contains(&key) {
            pod.entry("metadata").entry("labels").set(key.to_owned(), value.clone());
        }
    }
    let condition = value!({"type": "PodScheduled", "status": "True", "lastTransitionTime": now});
    let conditions = pod.entry("status").entry("conditions");
    match conditions.as_list_mut() {
        Some(list) => {
            list.retain(|condition| condition.str_at("type") != "PodScheduled");
            list.push(condition);
        }
        None => *conditions = Value::from(vec![condition]),
    }
    pod
}
