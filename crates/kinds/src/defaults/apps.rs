//! Defaults of `apps`.

use object::Value;

use super::{each, fill, pod::default_pod_template, volume::default_claim_spec, within};

/// Fills in a Deployment.
pub fn default_deployment(deployment: &mut Value) {
    let spec = deployment.entry("spec");
    spec.set_default("replicas", 1);
    let strategy = spec.entry("strategy");
    fill(strategy, "type", "RollingUpdate");
    if strategy.str_at("type") == "RollingUpdate" {
        let rolling = strategy.entry("rollingUpdate");
        rolling.set_default("maxUnavailable", "25%");
        rolling.set_default("maxSurge", "25%");
    }
    spec.set_default("revisionHistoryLimit", 10);
    spec.set_default("progressDeadlineSeconds", 600);
    default_pod_template(spec.entry("template"));
}

/// Fills in a ReplicaSet.
pub fn default_replica_set(set: &mut Value) {
    let spec = set.entry("spec");
    spec.set_default("replicas", 1);
    default_pod_template(spec.entry("template"));
}

/// Fills in a DaemonSet.
pub fn default_daemon_set(set: &mut Value) {
    let spec = set.entry("spec");
    let strategy = spec.entry("updateStrategy");
    fill(strategy, "type", "RollingUpdate");
    if strategy.str_at("type") == "RollingUpdate" {
        let rolling = strategy.entry("rollingUpdate");
        rolling.set_default("maxUnavailable", 1);
        rolling.set_default("maxSurge", 0);
    }
    spec.set_default("revisionHistoryLimit", 10);
    default_pod_template(spec.entry("template"));
}

/// Fills in a StatefulSet.
pub fn default_stateful_set(set: &mut Value) {
    let spec = set.entry("spec");
    fill(spec, "podManagementPolicy", "OrderedReady");
    let strategy = spec.entry("updateStrategy");
    if strategy.str_at("type").is_empty() {
        strategy.set("type", "RollingUpdate");
        strategy.set_default("rollingUpdate", Value::map());
    }
    if strategy.str_at("type") == "RollingUpdate" {
        within(strategy, "rollingUpdate", |rolling| rolling.set_default("partition", 0));
    }
    let retention = spec.entry("persistentVolumeClaimRetentionPolicy");
    fill(retention, "whenDeleted", "Retain");
    fill(retention, "whenScaled", "Retain");
    spec.set_default("replicas", 1);
    spec.set_default("revisionHistoryLimit", 10);
    default_pod_template(spec.entry("template"));
    each(spec, "volumeClaimTemplates", |claim| {
        within(claim, "spec", default_claim_spec);
        fill(claim.entry("status"), "phase", "Pending");
    });
}
