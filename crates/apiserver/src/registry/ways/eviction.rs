//! `eviction` of pods: a pod is deleted unless a disruption budget forbids it.

use async_trait::async_trait;
use object::{Status, Value, Versioned};
use schema::GroupResource;

use super::super::write::{Action, WriteRequest};
use super::super::{Answer, AnswerBody, Call, Registry};
use super::change::Change;
use super::{At, Way};
use crate::errors::from_cache;
use crate::options::{DeleteOptions, Query, WriteOptions};
use crate::user::User;

const BUDGETS: GroupResource<'static> = GroupResource::new("policy", "poddisruptionbudgets");

pub(super) struct Eviction;

#[async_trait]
impl Way for Eviction {
    async fn create(&self, at: &At<'_>, body: Value) -> Result<Answer, Status> {
        let name = body.str_at("metadata.name");
        if !name.is_empty() && name != at.call.name {
            return Err(Status::bad_request("name in URL does not match name in Eviction object"));
        }
        // A dry run may be asked for in the options of the deletion, too: it is one for every stage.
        let dry_run = delete_options(&body, at.call.options.dry_run)?.dry_run;
        let options = WriteOptions { dry_run, ..at.call.options.clone() };
        let call = Call { options: &options, ..*at.call };
        at.registry.act(at.endpoint, &call, self, body).await
    }
}

#[async_trait]
impl Action for Eviction {
    async fn act(&self, registry: &Registry, write: &WriteRequest<'_>) -> Result<Answer, Status> {
        let (pods, call) = (write.endpoint, write.call);
        let options = delete_options(&write.object, write.dry_run())?;
        let collection = pods.stored("delete")?;
        let pod = registry.current(pods, collection, call.namespace, call.name).await?.value();
        if semantics::pods::is_active(&pod) && semantics::pods::phase(&pod) != "Pending" {
            spend_budget(registry, call, &pod).await?;
        }
        registry.delete(pods, &Call { subresource: "", ..*call }, &options).await?;
        let status = Status { code: 201, ..Status::success(None) };
        Ok(Answer::created(AnswerBody::Status(Box::new(status))))
    }
}

fn delete_options(eviction: &Value, dry_run: bool) -> Result<DeleteOptions, Status> {
    let body = eviction.get("deleteOptions");
    DeleteOptions::read(&Query { dry_run, ..Query::default() }, (!body.is_null()).then_some(body))
}

/// Takes one disruption from the pod's budget, as the server: to evict pods is not to write budgets.
async fn spend_budget(registry: &Registry, call: &Call<'_>, pod: &Value) -> Result<(), Status> {
    let Some(endpoint) = registry.endpoint(BUDGETS.group, "v1", BUDGETS.plural) else { return Ok(()) };
    let collection = endpoint.stored("list")?;
    // A budget that was made before this request counts, whether the cache knows it yet or not.
    registry.hub.catch_up().await.map_err(from_cache)?;
    let snapshot = registry.hub.snapshot(collection);
    let covers = |budget: &&Versioned| {
        let budget_value = budget.value();
        let selector = semantics::selector(budget_value.at("spec.selector"));
        budget.namespace() == call.namespace && selector.matches(pod.at("metadata.labels"))
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
    let server = User::server();
    let call = Call { user: &server, name: budget.name(), subresource: "status", ..*call };
    let now = registry.clock.now_seconds().to_string();
    let mut spend = |old: &Value| spent(old, budget.name(), pod.str_at("metadata.name"), &now);
    registry.modify(&endpoint, &call, Change::STATUS, &mut spend).await.map(|_| ())
}

/// The budget with one disruption less, which goes to the pod.
fn spent(old: &Value, budget: &str, pod: &str, now: &str) -> Result<Value, Status> {
    let status = old.get("status");
    if status.get("observedGeneration").as_i64() < old.at("metadata.generation").as_i64() {
        return Err(refusal(budget, "is still being processed by the server."));
    }
    let allowed = status.get("disruptionsAllowed").as_i64().unwrap_or(0);
    if allowed <= 0 {
        let number = |member: &str| status.get(member).as_i64().unwrap_or(0);
        let (desired, healthy) = (number("desiredHealthy"), number("currentHealthy"));
        let why = format!("needs {desired} healthy pods and has {healthy} currently");
        return Err(refusal(budget, &why));
    }
    let mut object = old.clone();
    // Another eviction may come first; the rest of the budget can still be used.
    object.entry("metadata").remove("resourceVersion");
    let status = object.entry("status");
    status.set("disruptionsAllowed", allowed - 1);
    status.entry("disruptedPods").set(pod.to_owned(), now);
    Ok(object)
}

fn refusal(budget: &str, why: &str) -> Status {
    let mut status =
        Status::too_many_requests("Cannot evict pod as it would violate the pod's disruption budget.", 0);
    let cause = object::Cause {
        reason: "DisruptionBudget".into(),
        message: format!("The disruption budget {budget} {why}"),
        field: String::new(),
    };
    status.details.get_or_insert_default().causes.push(cause);
    status
}
