//! Defaults of unset fields: upstream's `SetDefaults_*` functions (`pkg/apis/*/*/defaults.go`).
//!
//! Each function fills in the defaults of one kind, in place; set fields stay unchanged. A field that Go holds by value
//! counts as unset when it is zero, one behind a pointer only when it is missing.

use object::{Quantity, Value};

mod apps;
mod autoscaling;
mod batch;
mod cluster;
mod core;
mod device;
mod gated;
mod image;
mod pod;
mod storage;
#[cfg(test)]
mod tests;
mod volume;

pub use self::core::{
    default_endpoint_slice, default_endpoints, default_limit_range, default_namespace, default_node,
    default_replication_controller, default_resource_quota, default_secret, default_service,
};
pub use apps::{default_daemon_set, default_deployment, default_replica_set, default_stateful_set};
pub use autoscaling::{default_horizontal_pod_autoscaler, default_horizontal_pod_autoscaler_v1};
pub use batch::{default_cron_job, default_job};
pub use cluster::{
    default_api_service, default_custom_resource_definition, default_flow_schema, default_ingress_class,
    default_mutating_webhook_configuration, default_network_policy, default_pod_certificate_request,
    default_policy, default_policy_binding, default_priority_class, default_priority_level_configuration,
    default_role_binding, default_validating_webhook_configuration,
};
pub use device::{default_resource_claim, default_resource_slice};
pub use pod::{default_pod, default_pod_template};
pub use storage::{
    default_csi_driver, default_persistent_volume, default_persistent_volume_claim, default_storage_class,
};

/// Fills in a field that Go holds by value: a zero counts as unset.
fn fill(object: &mut Value, name: &'static str, default: impl Into<Value>) {
    let field = object.entry(name);
    if field.is_empty() {
        *field = default.into();
    }
}

/// Two names for one value, which is also the first of a list: both have it, and if they differ, the single one counts, as
/// clients that are older than the list know it alone.
fn keep_first(
    object: &mut Value,
    single: &'static str,
    list: &'static str,
    item: impl FnOnce(&str) -> Value,
    text: impl Fn(&Value) -> Option<&str>,
) {
    let own = object.str_at(single).to_owned();
    let first = object.get(list).items().next().and_then(text).map(str::to_owned);
    if own.is_empty() {
        if let Some(first) = first {
            object.set(single, first);
        }
    } else if first.as_ref() != Some(&own) {
        object.set(list, vec![item(&own)]);
    }
}

/// Changes a member that is an object; does nothing where it is missing.
fn within(object: &mut Value, name: &str, change: impl FnOnce(&mut Value)) {
    if let Some(member @ Value::Map(_)) = object.get_mut(name) {
        change(member);
    }
}

/// Changes each item of a member that is a list; does nothing where it is missing.
fn each(object: &mut Value, name: &str, change: impl FnMut(&mut Value)) {
    if let Some(list) = object.get_mut(name) {
        list.items_mut().for_each(change);
    }
}

/// Rounds the quantities of a resource list up to thousandths, the finest that resources are counted in.
fn round_resources(object: &mut Value, name: &str) {
    let Some(list) = object.get_mut(name).and_then(Value::as_map_mut) else { return };
    for (_, amount) in list.iter_mut() {
        let finer = |text: &str| text.contains(['.', 'n', 'u', 'e', 'E']);
        let Some(quantity) = amount.as_str().filter(|text| finer(text)).and_then(|t| Quantity::parse(t).ok())
        else {
            continue;
        };
        *amount = Value::from(quantity.round_up(-3).to_string());
    }
}
