//! Decides whether the status of a quota changes.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{ResourceQuota, ResourceQuotaStatus};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use semantics::View;
use semantics::quota::{Measure, ResourceList};

use crate::framework::{Action, Plan};

/// How often everything is counted even though nothing seems to have changed.
const PERIOD: Duration = Duration::from_secs(300);

/// The inputs of a decision about one quota.
#[derive(Debug)]
pub(crate) enum Snapshot {
    /// It was counted a moment ago.
    Early(Duration),
    /// What is used of the limits that something counts for.
    Counted { quota: Arc<ResourceQuota>, used: ResourceList },
}

/// Limits, and what is used of them.
type Status = (ResourceList, ResourceList);

pub(super) fn plan(snapshot: &Snapshot) -> Plan {
    let mut plan = Plan::default();
    match snapshot {
        Snapshot::Early(left) => plan.requeue_after(*left),
        Snapshot::Counted { quota, used } => {
            let status = status(quota, used);
            if status != current(quota) {
                let (hard, used) = &status;
                let mut quota = ResourceQuota::clone(quota);
                quota.status = Some(ResourceQuotaStatus { hard: Some(typed(hard)), used: Some(typed(used)) });
                plan.then(Action::update_status(quota));
            }
            plan.requeue_after(PERIOD);
        }
    }
    plan
}

/// The status after a count. What nothing counts for keeps its last amount.
pub(super) fn status(quota: &ResourceQuota, counted: &ResourceList) -> Status {
    let (_, before) = current(quota);
    let hard = hard(quota);
    let used = hard.names().filter_map(|name| {
        let amount = counted.get(name).or_else(|| before.get(name))?;
        Some((name.to_owned(), amount.clone()))
    });
    let used = used.collect();
    (hard, used)
}

/// The status as it is.
pub(super) fn current(quota: &ResourceQuota) -> Status {
    let tree = object::to_value(&quota.status).unwrap_or_default();
    let list = |name| ResourceList::read(tree.get(name).as_field());
    (list("hard"), list("used"))
}

/// Whether the status does not show the limits of the spec, or not what is used of them.
pub(super) fn is_behind(quota: &ResourceQuota) -> bool {
    let (shown, used) = current(quota);
    let hard = hard(quota);
    let lacks = |name: &str| used.get(name).is_none() && Measure::of_name(name).is_some();
    hard != shown || hard.names().any(lacks)
}

fn hard(quota: &ResourceQuota) -> ResourceList {
    let tree = object::to_value(&quota.spec).unwrap_or_default();
    ResourceList::read(tree.get("hard").as_field())
}

fn typed(list: &ResourceList) -> std::collections::BTreeMap<String, Quantity> {
    list.iter().map(|(name, amount)| (name.to_owned(), Quantity(amount.to_string()))).collect()
}
