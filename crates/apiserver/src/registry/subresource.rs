//! Subresources with an object of their own: scale, binding, eviction, token and the like.

use object::field::Errors;
use object::{Status, Value, field, value};

use super::part::Part;
use super::{Answer, AnswerBody, Call, Endpoint, Registry};
use crate::admission::Operation;
use crate::options::DeleteOptions;
use crate::tokens::{Bound, TokenRequest, TokenSigner};

/// What the registry signs with.
pub struct Secrets {
    /// Signs tokens of service accounts.
    pub tokens: TokenSigner,
}

impl Registry {
    /// The scale of a workload.
    ///
    /// # Errors
    /// 404 where the workload does not exist.
    pub async fn get_scale(&self, endpoint: &Endpoint, call: &Call<'_>) -> Result<Answer, Status> {
        let collection = endpoint.stored("get")?;
        let current = self.current(endpoint, collection, call.namespace, call.name).await?;
        Ok(Answer::ok(AnswerBody::Value(scale_of(&current.value()))))
    }

    /// Changes the number of replicas of a workload. `change` makes the new scale of the present one.
    ///
    /// # Errors
    /// 422 for a negative number, 409 for an old version.
    pub async fn update_scale(
        &self,
        endpoint: &Endpoint,
        call: &Call<'_>,
        mut change: impl FnMut(&Value) -> Result<Value, Status>,
    ) -> Result<Answer, Status> {
        let call = &Call { subresource: "scale", ..*call };
        let result = self.modify(endpoint, call, Part::Main, |old| {
            let scale = change(&scale_of(old))?;
            check_scale(call, &scale, old)?;
            let mut object = old.clone();
            object.entry("spec").set("replicas", scale.at("spec.replicas").as_i64().unwrap_or(0));
            let version = scale.at("metadata.resourceVersion").clone();
            object.entry("metadata").set("resourceVersion", version);
            Ok(object)
        });
        let answer = result.await?;
        let object = match answer.body {
            AnswerBody::Version(version) => version.value(),
            AnswerBody::Value(value) => value,
            body => return Ok(Answer { body, ..answer }),
        };
        Ok(Answer { body: AnswerBody::Value(scale_of(&object)), ..answer })
    }

    /// Assigns a pod to a node.
    ///
    /// # Errors
    /// 409 where it is assigned already or is being deleted.
    pub async fn bind(
        &self,
        endpoint: &Endpoint,
        call: &Call<'_>,
        binding: &Value,
    ) -> Result<Answer, Status> {
        let target = binding.get("target");
        let invalid = |member: &str, error: fn(&field::Path<'_>, &Value) -> field::Error| {
            let root = field::Path::root("target");
            let path = root.child(member);
            let errors = Errors::from(error(&path, target.get(member)));
            Status::invalid("", "Binding", call.name, &errors)
        };
        if !matches!(target.str_at("kind"), "" | "Node") {
            return Err(invalid("kind", |path, given| {
                field::Error::not_supported(path, given.clone(), &["Node", "<empty>"])
            }));
        }
        let node = target.str_at("name");
        if node.is_empty() {
            return Err(invalid("name", |path, _| field::Error::required(path, "")));
        }
        let now = self.clock.now_seconds().to_string();
        let call = &Call { subresource: "binding", ..*call };
        self.modify(endpoint, call, Part::Only(|_, _| ()), |old| {
            let refuse = |why: String| Err(endpoint.conflict(call.name, &why));
            if !old.at("metadata.deletionTimestamp").is_null() {
                return refuse(format!("pod {} is being deleted, cannot be assigned to a host", call.name));
            }
            if !old.at("spec.nodeName").is_empty() {
                let on = old.str_at("spec.nodeName");
                return refuse(format!("pod {} is already assigned to node {on:?}", call.name));
            }
            if !old.at("spec.schedulingGates").is_empty() {
                return refuse(format!("pod {} has non-empty .spec.schedulingGates", call.name));
            }
            Ok(bound(old, binding, node, &now))
        })
        .await?;
        let status = Status { code: 201, ..Status::success(None) };
        Ok(Answer::created(AnswerBody::Status(Box::new(status))))
    }

    /// Deletes a pod unless a disruption budget forbids it.
    ///
    /// # Errors
    /// 429 where a budget has no disruption left.
    pub async fn evict(&self, pods: &Endpoint, call: &Call<'_>, eviction: &Value) -> Result<Answer, Status> {
        let name = eviction.str_at("metadata.name");
        if !name.is_empty() && name != call.name {
            return Err(Status::bad_request("name in URL does not match name in Eviction object"));
        }
        self.admission.validate(&call.attributes(Operation::Create, pods), eviction, &Value::Null).await?;
        let body = eviction.get("deleteOptions");
        let query = crate::options::Query { dry_run: call.dry_run, ..Default::default() };
        let options = DeleteOptions::read(&query, (!body.is_null()).then_some(body))?;
        let collection = pods.stored("delete")?;
        let pod = self.current(pods, collection, call.namespace, call.name).await?.value();
        let running = !matches!(pod.str_at("status.phase"), "Succeeded" | "Failed" | "Pending");
        if running && pod.at("metadata.deletionTimestamp").is_null() {
            self.spend_budget(call, &pod, options.dry_run).await?;
        }
        self.delete(pods, &Call { subresource: "", ..*call }, &options).await?;
        let status = Status { code: 201, ..Status::success(None) };
        Ok(Answer::created(AnswerBody::Status(Box::new(status))))
    }

    /// Takes one disruption from the pod's budget.
    async fn spend_budget(&self, call: &Call<'_>, pod: &Value, dry_run: bool) -> Result<(), Status> {
        let Some(endpoint) = self.endpoint("policy", "v1", "poddisruptionbudgets") else { return Ok(()) };
        let collection = endpoint.stored("list")?;
        // A budget that was made before this request counts, whether the cache knows it yet or not.
        self.hub.catch_up().await.map_err(crate::errors::from_cache)?;
        let snapshot = collection.snapshot(&self.hub);
        let covers = |budget: &&object::Versioned| {
            let budget_value = budget.value();
            let selector = object::Selector::from_value(budget_value.at("spec.selector"));
            budget.namespace() == call.namespace
                && selector.is_ok_and(|s| s.matches(pod.at("metadata.labels")))
        };
        let budgets: Vec<_> = snapshot.objects.values().filter(covers).collect();
        let budget = match budgets.as_slice() {
            [] => return Ok(()),
            [budget] => *budget,
            _ => {
                return Err(Status::internal_error(
                    "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.",
                ));
            }
        };
        let refuse = |why: &str| {
            let mut status = Status::too_many_requests(
                "Cannot evict pod as it would violate the pod's disruption budget.",
                0,
            );
            let cause = object::Cause {
                reason: "DisruptionBudget".into(),
                message: format!("The disruption budget {} {why}", budget.name()),
                field: String::new(),
            };
            status.details.get_or_insert_default().causes.push(cause);
            status
        };
        let call = &Call { name: budget.name(), subresource: "status", dry_run, ..*call };
        let now = self.clock.now_seconds().to_string();
        let pod_name = pod.str_at("metadata.name").to_owned();
        self.modify(&endpoint, call, Part::Status, |old| {
            let status = old.get("status");
            if status.get("observedGeneration").as_i64() < old.at("metadata.generation").as_i64() {
                return Err(refuse("is still being processed by the server."));
            }
            let allowed = status.get("disruptionsAllowed").as_i64().unwrap_or(0);
            if allowed <= 0 {
                let (desired, healthy) = (status.get("desiredHealthy"), status.get("currentHealthy"));
                let numbers = (desired.as_i64().unwrap_or(0), healthy.as_i64().unwrap_or(0));
                return Err(refuse(&format!(
                    "needs {} healthy pods and has {} currently",
                    numbers.0, numbers.1
                )));
            }
            let mut object = old.clone();
            let status = object.entry("status");
            status.set("disruptionsAllowed", allowed - 1);
            status.entry("disruptedPods").set(pod_name.clone(), now.as_str());
            Ok(object)
        })
        .await
        .map(|_| ())
    }

    /// Signs a token for a service account.
    ///
    /// # Errors
    /// 404 where the account, or what the token is bound to, does not exist; 422 for an unfit lifetime.
    pub async fn token(
        &self,
        endpoint: &Endpoint,
        call: &Call<'_>,
        request: &Value,
    ) -> Result<Answer, Status> {
        let collection = endpoint.stored("get")?;
        let account = self.current(endpoint, collection, call.namespace, call.name).await?;
        let invalid = |errors: Errors| Status::invalid("authentication.k8s.io", "TokenRequest", "", &errors);
        let seconds = request.at("spec.expirationSeconds").as_i64().unwrap_or(3600);
        let spec = field::Path::root("spec");
        let path = spec.child("expirationSeconds");
        if seconds < 600 {
            let error =
                field::Error::invalid(&path, seconds, "may not specify a duration less than 10 minutes");
            return Err(invalid(error.into()));
        }
        if seconds > 1 << 32 {
            let error =
                field::Error::invalid(&path, seconds, "may not specify a duration larger than 2^32 seconds");
            return Err(invalid(error.into()));
        }
        self.admission.validate(&call.attributes(Operation::Create, endpoint), request, &Value::Null).await?;
        let bound = self.bound_object(call, request.at("spec.boundObjectRef")).await?;
        let audiences = request.at("spec.audiences").items().filter_map(Value::as_str).map(str::to_owned);
        let token = TokenRequest {
            namespace: call.namespace.to_owned(),
            name: call.name.to_owned(),
            uid: account.uid().as_str().to_owned(),
            audiences: audiences.collect(),
            seconds,
            bound,
        };
        let signed = self.secrets.tokens.sign(token, &self.clock).map_err(Status::internal_error)?;
        let mut answer = request.clone();
        answer.set("kind", "TokenRequest");
        answer.set("apiVersion", "authentication.k8s.io/v1");
        let metadata = answer.entry("metadata");
        metadata.set("name", call.name);
        metadata.set("namespace", call.namespace);
        metadata.set("creationTimestamp", self.clock.now_seconds().to_string());
        let spec = answer.entry("spec");
        spec.set("expirationSeconds", seconds);
        let audiences = signed.audiences.iter().map(|audience| Value::from(audience.as_str()));
        spec.set("audiences", audiences.collect::<Vec<_>>());
        answer.set(
            "status",
            value!({"token": signed.token, "expirationTimestamp": signed.expires.to_string()}),
        );
        Ok(Answer::created(AnswerBody::Value(answer)))
    }

    /// What a token is bound to: it ends with that object.
    async fn bound_object(&self, call: &Call<'_>, reference: &Value) -> Result<Option<Bound>, Status> {
        if reference.is_null() {
            return Ok(None);
        }
        let (kind, name) = (reference.str_at("kind"), reference.str_at("name"));
        let (plural, namespace) = match kind {
            "Pod" => ("pods", call.namespace),
            "Secret" => ("secrets", call.namespace),
            "Node" => ("nodes", ""),
            other => {
                return Err(Status::bad_request(format!("cannot bind token to object of type {other}")));
            }
        };
        let endpoint = self.endpoint("", "v1", plural).ok_or_else(|| Status::not_found("", plural, name))?;
        let collection = endpoint.stored("get")?;
        let object = self.current(&endpoint, collection, namespace, name).await?;
        let uid = reference.str_at("uid");
        if !uid.is_empty() && uid != object.uid().as_str() {
            let why = format!(
                "the UID in the bound object reference ({uid}) does not match the UID in record. The object might have been deleted and then recreated"
            );
            return Err(endpoint.conflict(name, &why));
        }
        if kind == "Pod" && object.value().str_at("spec.serviceAccountName") != call.name {
            let why = format!(
                "cannot bind token for serviceaccount {:?} to pod running with different serviceaccount name.",
                call.name
            );
            return Err(Status::bad_request(why));
        }
        let node = (kind == "Pod").then(|| object.value().str_at("spec.nodeName").to_owned());
        Ok(Some(Bound {
            kind: kind.to_owned(),
            name: name.to_owned(),
            uid: object.uid().as_str().to_owned(),
            node: node.filter(|node| !node.is_empty()),
        }))
    }

    /// Changes one part of an object that has a subresource of its own.
    ///
    /// # Errors
    /// As [`Registry::update`]; 405 for a subresource that cannot be changed.
    pub async fn update_part(
        &self,
        endpoint: &Endpoint,
        call: &Call<'_>,
        change: impl FnMut(&Value) -> Result<Value, Status>,
    ) -> Result<Answer, Status> {
        let part = Part::of(endpoint, call.subresource)?;
        self.modify(endpoint, call, part, change).await
    }
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
        object::Selector::from_value(selector).map(|s| s.to_string()).unwrap_or_default()
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

fn check_scale(call: &Call<'_>, scale: &Value, old: &Value) -> Result<(), Status> {
    let name = scale.str_at("metadata.name");
    if !name.is_empty() && name != call.name {
        return Err(Status::bad_request(format!(
            "the name of the object ({name}) does not match the name on the URL ({})",
            call.name
        )));
    }
    let replicas = scale.at("spec.replicas").as_i64().unwrap_or(0);
    if replicas < 0 {
        let spec = field::Path::root("spec");
        let path = spec.child("replicas");
        let error = field::Error::invalid(&path, replicas, "must be greater than or equal to 0");
        return Err(Status::invalid("autoscaling", "Scale", old.str_at("metadata.name"), &error.into()));
    }
    Ok(())
}

fn bound(old: &Value, binding: &Value, node: &str, now: &str) -> Value {
    let mut pod = old.clone();
    pod.entry("spec").set("nodeName", node);
    for (key, value) in binding.at("metadata.annotations").entries() {
        pod.entry("metadata").entry("annotations").set(key.to_owned(), value.clone());
    }
    // Who may place a pod may not make it another's: labels that it has stay.
    for (key, value) in binding.at("metadata.labels").entries() {
        if old.at("metadata.labels").get(key).is_null() {
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
