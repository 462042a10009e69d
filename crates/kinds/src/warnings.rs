//! Warnings that several kinds share, and those that are longer than a line. The texts are upstream's, because clients
//! show and compare them.

use object::field::Path;
use object::{Value, names};

use crate::validation::field::Field;

mod addresses;
mod labels;
mod paths;
mod pod;
mod service;
mod storage;
#[cfg(test)]
mod tests;
mod tls;

pub(crate) use addresses::{of_endpoint_slice, of_endpoints, of_ingress, of_network_policy};
pub(crate) use labels::{of_csi_storage_capacity, of_runtime_class, of_storage_class};
use pod::{of_job_spec, of_template};
pub(crate) use pod::{of_pod, of_pod_status};
pub(crate) use service::of_service;
pub(crate) use storage::{of_persistent_volume, of_persistent_volume_claim};
pub(crate) use tls::of_secret;

/// How many warnings there are about pairs of things: answers show fewer.
const WARNINGS_MAX: usize = 200;

const SURPRISING: &str = "which can result in surprising behavior; a DNS label is recommended";

/// Warns about a pod whose name is not a DNS label: its host name will differ.
pub(crate) fn of_pod_name(object: &Value) -> Vec<String> {
    of_name(object, "the Pod's hostname")
}

/// Warns about an object after which pods are named and whose name is not a DNS label.
fn of_pod_name_base(object: &Value) -> Vec<String> {
    of_name(object, "Pod names and hostnames")
}

fn of_name(object: &Value, used: &str) -> Vec<String> {
    let messages = names::is_dns1123_label(object.str_at("metadata.name"));
    if messages.is_empty() {
        return Vec::new();
    }
    vec![format!("metadata.name: this is used in {used}, {SURPRISING}: [{}]", messages.join(" "))]
}

/// Warns about an object with a template of pods at `spec.template`, whose pods are named after it.
pub(crate) fn of_workload(object: &Value, old: Option<&Value>, kind: &str) -> Vec<String> {
    let mut warnings = if old.is_none() { of_pod_name_base(object) } else { Vec::new() };
    warnings.extend(of_spec_template(object, old, kind));
    warnings
}

/// Warns about the template of pods at `spec.template`.
pub(crate) fn of_spec_template(object: &Value, old: Option<&Value>, kind: &str) -> Vec<String> {
    if keeps_spec(object, old) {
        return Vec::new();
    }
    of_template(&Field::root(object, kind).child("spec").child("template"))
}

/// Warns about a ReplicationController; upstream's path of its template is shorter than that of the others.
pub(crate) fn of_replication_controller(controller: &Value, old: Option<&Value>) -> Vec<String> {
    let mut warnings = if old.is_none() { of_pod_name_base(controller) } else { Vec::new() };
    if !keeps_spec(controller, old) {
        let root = Field::root(controller, "io.k8s.api.core.v1.ReplicationController");
        warnings.extend(of_template(&root.child("spec").child("template").named(Path::root("template"))));
    }
    warnings
}

/// Warns about the template of a PodTemplate.
pub(crate) fn of_pod_template(template: &Value, old: Option<&Value>) -> Vec<String> {
    if old.is_some_and(|old| crate::validation::same(template.get("template"), old.get("template"))) {
        return Vec::new();
    }
    of_template(&Field::root(template, "io.k8s.api.core.v1.PodTemplate").child("template"))
}

/// Warns about a StatefulSet: its template, the templates of its claims, how many revisions it keeps.
pub(crate) fn of_stateful_set(set: &Value, old: Option<&Value>) -> Vec<String> {
    const KIND: &str = "io.k8s.api.apps.v1.StatefulSet";
    let mut warnings = of_spec_template(set, old, KIND);
    let root = Field::root(set, KIND);
    let spec = root.child("spec");
    for template in spec.child("volumeClaimTemplates").items() {
        // Upstream's paths, which differ and are those of no field.
        let path = if old.is_none() { template.path } else { template.path.child("Spec") };
        storage::of_claim_spec(&mut warnings, &template.child("spec").named(path));
    }
    if spec.value.get("revisionHistoryLimit").as_i64().is_some_and(|limit| limit < 0) {
        let why = "a negative value retains all historical revisions; a value >= 0 is recommended";
        warnings.push(format!("spec.revisionHistoryLimit: {why}"));
    }
    warnings
}

/// Warns about a job.
pub(crate) fn of_job(job: &Value, old: Option<&Value>) -> Vec<String> {
    let mut warnings = if old.is_none() { of_pod_name_base(job) } else { Vec::new() };
    if !keeps_spec(job, old) {
        warnings.extend(of_job_spec(&Field::root(job, "io.k8s.api.batch.v1.Job").child("spec")));
    }
    warnings
}

/// Warns about a cron job.
pub(crate) fn of_cron_job(job: &Value, old: Option<&Value>) -> Vec<String> {
    let mut warnings = if old.is_none() { of_pod_name_base(job) } else { Vec::new() };
    if !keeps_spec(job, old) {
        let root = Field::root(job, "io.k8s.api.batch.v1.CronJob");
        let spec = root.child("spec");
        warnings.extend(of_job_spec(&spec.child("jobTemplate").child("spec")));
    }
    // The path is upstream's.
    if old.is_some() && job.str_at("spec.schedule").contains("TZ") {
        warnings.push("cannot use TZ or CRON_TZ in spec.spec.schedule, use timeZone instead, see https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/ for more details".to_owned());
    }
    warnings
}

/// Whether a change leaves the spec alone: it is not warned of again.
fn keeps_spec(object: &Value, old: Option<&Value>) -> bool {
    old.is_some_and(|old| crate::validation::same(object.get("spec"), old.get("spec")))
}
