//! The disruption budget of a pod that is to be evicted.

use object::{Cause, Reason, Status, Value, Versioned, value};
use schema::GroupResource;

use super::super::super::{Call, Registry};
use super::super::change::Change;
use super::condition::set_condition;
use crate::errors::from_cache;
use crate::user::User;

const BUDGETS: GroupResource<'static> = GroupResource::new("policy", "poddisruptionbudgets");
/// The maximum number of evicted pods of a budget that its controller has not yet seen go.
const DISRUPTED_PODS_MAX: usize = 2000;
/// When a client should try again if the budget's controller is behind.
const RETRY_AFTER_SECONDS: i32 = 10;

/// The consent of a budget.
pub(super) enum Guard {
    /// The pod may go.
    Open,
    /// The pod may go as long as it is not ready. The budget's name.
    OpenForUnready(String),
}

/// Asks the pod's budget, and takes one disruption from it. That is done as the server: who may evict pods need not be
/// allowed to write budgets.
pub(super) async fn check(registry: &Registry, call: &Call<'_>, pod: &Value) -> Result<Guard, Status> {
    let Some(endpoint) = registry.endpoint(BUDGETS.group, "v1", BUDGETS.plural) else {
        return Ok(Guard::Open);
    };
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
        [] => return Ok(Guard::Open),
        [budget] => *budget,
        _ => return Err(several()),
    };
    if !semantics::pods::is_ready(pod) && spares_unready(&budget.value()) {
        return Ok(Guard::OpenForUnready(budget.name().to_owned()));
    }
    let server = User::server();
    let call = Call { user: &server, name: budget.name(), subresource: "status", ..*call };
    let now = registry.clock.now_seconds().to_string();
    let mut spend = |old: &Value| spent(old, pod.str_at("metadata.name"), &now);
    registry.modify(&endpoint, &call, Change::STATUS, &mut spend).await?;
    Ok(Guard::Open)
}

/// Whether pods that are not ready may go without using up the budget: they are not counted as healthy.
fn spares_unready(budget: &Value) -> bool {
    let (healthy, desired) = (count(budget, "currentHealthy"), count(budget, "desiredHealthy"));
    budget.str_at("spec.unhealthyPodEvictionPolicy") == "AlwaysAllow" || (healthy >= desired && desired > 0)
}

fn count(budget: &Value, member: &str) -> i64 {
    budget.at("status").get(member).as_i64().unwrap_or(0)
}

/// The budget with one disruption less, which goes to the pod.
fn spent(old: &Value, pod: &str, now: &str) -> Result<Value, Status> {
    let name = old.str_at("metadata.name");
    let forbid = |why| Err(Status::forbidden(BUDGETS.group, "poddisruptionbudget", name, why));
    let allowed = count(old, "disruptionsAllowed");
    if count(old, "observedGeneration") < old.at("metadata.generation").as_i64().unwrap_or(0) {
        return Err(still_processed(name));
    }
    if allowed < 0 {
        return forbid("pdb disruptions allowed is negative");
    }
    if old.at("status.disruptedPods").entries().count() > DISRUPTED_PODS_MAX {
        return forbid("DisruptedPods map too big - too many evictions not confirmed by PDB controller");
    }
    if allowed == 0 {
        return Err(refusal(format!("The disruption budget {name} {}", why_none(old)), 0));
    }
    let mut budget = old.clone();
    // Another eviction may come first; the rest of the budget can still be used.
    budget.entry("metadata").remove("resourceVersion");
    let status = budget.entry("status");
    status.set("disruptionsAllowed", allowed - 1);
    status.entry("disruptedPods").set(pod.to_owned(), now);
    if allowed == 1 {
        let observed = count(old, "observedGeneration");
        let condition = value!({
            "type": "DisruptionAllowed", "status": "False", "reason": "InsufficientPods", "message": "",
            "observedGeneration": observed, "lastTransitionTime": now,
        });
        set_condition(&mut budget, condition);
    }
    Ok(budget)
}

/// Why a budget allows no disruption.
fn why_none(budget: &Value) -> String {
    const NONE: &str = "does not allow evicting pods currently";
    let conditions = budget.at("status.conditions");
    let mut conditions = conditions.items();
    let failed = conditions.find(|condition| {
        condition.str_at("type") == "DisruptionAllowed"
            && condition.str_at("status") == "False"
            && !condition.str_at("message").is_empty()
    });
    let why = failed.map(|condition| (condition.str_at("reason"), condition.str_at("message")));
    let (desired, healthy) = (count(budget, "desiredHealthy"), count(budget, "currentHealthy"));
    match why {
        // The numbers are those of an earlier time then.
        Some(("SyncFailed", message)) => format!("{NONE} because it failed sync: {message}"),
        _ if healthy <= desired => format!("needs {desired} healthy pods and has {healthy} currently"),
        Some((reason, message)) => format!("{NONE} ({reason}): {message}"),
        None => NONE.to_owned(),
    }
}

/// The refusal while a budget's controller is behind.
pub(super) fn still_processed(budget: &str) -> Status {
    let message = format!("The disruption budget {budget} is still being processed by the server.");
    refusal(message, RETRY_AFTER_SECONDS)
}

fn refusal(message: String, retry_after_seconds: i32) -> Status {
    let what = "Cannot evict pod as it would violate the pod's disruption budget.";
    let mut status = Status::too_many_requests(what, retry_after_seconds);
    let cause = Cause { reason: "DisruptionBudget".into(), message, field: String::new() };
    status.details.get_or_insert_default().causes.push(cause);
    status
}

/// The refusal where the budgets would have to be changed together. It has no reason.
fn several() -> Status {
    let what =
        "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.";
    Status { code: 500, ..Status::failure(Reason::Unknown, what) }
}
