//! `scale` of workloads: the desired number of replicas, in a form that autoscalers can use for any kind.

use async_trait::async_trait;
use clock::Clock;
use managedfields::{Element, Managers};
use object::{Status, Value, field, value};

use super::super::write::{Form, WriteRequest};
use super::super::{Answer, AnswerBody};
use super::change::{Change, Make};
use super::{At, Way};
use crate::admission::Operation;
use crate::options::Query;

pub(super) struct Scale;

#[async_trait]
impl Way for Scale {
    async fn read(&self, at: &At<'_>, _query: &Query) -> Result<Answer, Status> {
        let collection = at.endpoint.stored("get")?;
        let current = at.registry.current(at.endpoint, collection, at.call.namespace, at.call.name).await?;
        let object = at.endpoint.served_value(&current).await?;
        Ok(Answer::ok(AnswerBody::Value(scale_of(&object))))
    }

    async fn change(&self, at: &At<'_>, make: &mut dyn Make) -> Result<Answer, Status> {
        let change = Change::MAIN.by(self, Operation::Update);
        let answer = at.registry.modify(at.endpoint, at.call, change, make).await?;
        let object = match answer.body {
            AnswerBody::Version(version) => version.value(),
            AnswerBody::Value(value) => value,
            body => return Ok(Answer { body, ..answer }),
        };
        Ok(Answer { body: AnswerBody::Value(scale_of(&object)), ..answer })
    }
}

impl Form for Scale {
    fn show(&self, object: &Value) -> Value {
        let mut scale = scale_of(object);
        let managers = Managers::of(object).unwrap_or_default();
        managedfields::to_scale(&managers, &replicas()).write(&mut scale);
        scale
    }

    fn is_managed(&self) -> bool {
        true
    }

    fn apply(&self, write: &WriteRequest<'_>, asked: &Value, _clock: &Clock) -> Result<Value, Status> {
        let replicas = asked.at("spec.replicas").as_i64().unwrap_or(0);
        if replicas < 0 {
            let spec = field::Path::root("spec");
            let path = spec.child("replicas");
            let error = field::Error::invalid(&path, replicas, "must be greater than or equal to 0");
            return Err(Status::invalid("autoscaling", "Scale", write.name, &error.into()));
        }
        let mut object = write.old.clone();
        object.entry("spec").set("replicas", replicas);
        carry_managers(&mut object, asked);
        Ok(object)
    }
}

/// The path to the number of replicas in the objects that have a scale.
fn replicas() -> [Element; 2] {
    [Element::field("spec"), Element::field("replicas")]
}

/// Gives the object the managers of its replicas that its scale has.
fn carry_managers(object: &mut Value, scale: &Value) {
    let (Ok(managers), Ok(of_scale)) = (Managers::of(object), Managers::of(scale)) else { return };
    let api_version = object.str_at("apiVersion").to_owned();
    managedfields::from_scale(managers, of_scale, &replicas(), &api_version).write(object);
}

/// The scale of a workload, as `autoscaling/v1` shows it.
fn scale_of(object: &Value) -> Value {
    let metadata = object.get("metadata");
    let selector = object.at("spec.selector");
    // A ReplicationController's selector is a plain map.
    let selector = if selector.get("matchLabels").is_null() && selector.get("matchExpressions").is_null() {
        let pairs =
            selector.entries().map(|(k, v)| (k.to_owned(), v.as_str().unwrap_or_default().to_owned()));
        object::Selector::from_labels(pairs).to_string()
    } else {
        semantics::selector(selector).to_string()
    };
    let mut scale = value!({
        "kind": "Scale", "apiVersion": "autoscaling/v1",
        "metadata": {},
        "spec": {},
        "status": {"replicas": object.at("status.replicas").as_i64().unwrap_or(0), "selector": selector}
    });
    for member in ["name", "namespace", "uid", "resourceVersion", "creationTimestamp"] {
        scale.entry("metadata").set(member, metadata.get(member).clone());
    }
    let replicas = object.at("spec.replicas").as_i64().unwrap_or(0);
    if replicas != 0 {
        scale.entry("spec").set("replicas", replicas);
    }
    scale
}
