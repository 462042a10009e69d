//! `scale` of workloads: the desired number of replicas, in a form that autoscalers can use for any kind.

use async_trait::async_trait;
use clock::Clock;
use kinds::ScalePaths;
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
        let paths = at.endpoint.strategy.scale_paths();
        if let Some(paths) = paths.filter(|paths| ScalePaths::find(&object, &paths.spec_replicas).is_null()) {
            let path = paths.spec_replicas.join(".");
            let why = format!("the spec replicas field {:?} does not exist", format!(".{path}"));
            return Err(Status::internal_error(why));
        }
        Ok(Answer::ok(AnswerBody::Value(scale_of(&object, paths))))
    }

    async fn change(&self, at: &At<'_>, make: &mut dyn Make) -> Result<Answer, Status> {
        let paths = at.endpoint.strategy.scale_paths();
        let form = ScaleForm { paths };
        let change = Change::MAIN.by(&form, Operation::Update);
        let answer = at.registry.modify(at.endpoint, at.call, change, make).await?;
        let object = match answer.body {
            AnswerBody::Version(version) => version.value(),
            AnswerBody::Value(value) => value,
            body => return Ok(Answer { body, ..answer }),
        };
        Ok(Answer { body: AnswerBody::Value(scale_of(&object, paths)), ..answer })
    }
}

/// The scale of one kind.
struct ScaleForm<'a> {
    /// Where its objects keep the numbers, if not where workloads do.
    paths: Option<&'a ScalePaths>,
}

impl Form for ScaleForm<'_> {
    fn show(&self, object: &Value) -> Value {
        let mut scale = scale_of(object, self.paths);
        let managers = Managers::of(object).unwrap_or_default();
        managedfields::to_scale(&managers, &self.replicas()).write(&mut scale);
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
        match self.paths {
            Some(paths) => set_at(&mut object, &paths.spec_replicas, replicas),
            None => object.entry("spec").set("replicas", replicas),
        }
        self.carry_managers(&mut object, asked);
        Ok(object)
    }
}

impl ScaleForm<'_> {
    /// The path to the number of replicas in the objects.
    fn replicas(&self) -> Vec<Element> {
        match self.paths {
            Some(paths) => paths.spec_replicas.iter().map(|name| Element::field(name)).collect(),
            None => ["spec", "replicas"].map(Element::field).into(),
        }
    }

    /// Gives the object the managers of its replicas that its scale has.
    fn carry_managers(&self, object: &mut Value, scale: &Value) {
        let (Ok(managers), Ok(of_scale)) = (Managers::of(object), Managers::of(scale)) else { return };
        let api_version = object.str_at("apiVersion").to_owned();
        managedfields::from_scale(managers, of_scale, &self.replicas(), &api_version).write(object);
    }
}

/// Sets the number at a path, and makes the objects on the way.
fn set_at(object: &mut Value, path: &[String], number: i64) {
    let Some((last, way)) = path.split_last() else { return };
    let mut here = object;
    for name in way {
        here = here.entry(name.clone());
        if here.as_map().is_none() {
            *here = Value::map();
        }
    }
    here.set(last.clone(), number);
}

/// The scale of an object, as `autoscaling/v1` shows it.
fn scale_of(object: &Value, paths: Option<&ScalePaths>) -> Value {
    let (wanted, present, selector) = match paths {
        None => (
            object.at("spec.replicas").as_i64(),
            object.at("status.replicas").as_i64(),
            workload_selector(object),
        ),
        Some(paths) => {
            let selector = paths.selector.as_ref().map(|path| ScalePaths::find(object, path));
            (
                ScalePaths::find(object, &paths.spec_replicas).as_i64(),
                ScalePaths::find(object, &paths.status_replicas).as_i64(),
                selector.and_then(Value::as_str).unwrap_or_default().to_owned(),
            )
        }
    };
    let mut status = value!({"replicas": (present.unwrap_or(0))});
    if !selector.is_empty() || paths.is_none() {
        status.set("selector", selector);
    }
    let mut scale = value!({
        "kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": {}, "spec": {}, "status": status
    });
    let metadata = object.get("metadata");
    for member in ["name", "namespace", "uid", "resourceVersion", "creationTimestamp"] {
        scale.entry("metadata").set(member, metadata.get(member).clone());
    }
    if let Some(replicas) = wanted.filter(|replicas| *replicas != 0) {
        scale.entry("spec").set("replicas", replicas);
    }
    scale
}

fn workload_selector(object: &Value) -> String {
    let selector = object.at("spec.selector");
    // A ReplicationController's selector is a plain map.
    if selector.get("matchLabels").is_null() && selector.get("matchExpressions").is_null() {
        let pairs =
            selector.entries().map(|(k, v)| (k.to_owned(), v.as_str().unwrap_or_default().to_owned()));
        object::Selector::from_labels(pairs).to_string()
    } else {
        semantics::selector(selector).to_string()
    }
}
