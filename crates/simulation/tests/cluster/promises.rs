//! What StatefulSets, Jobs, CronJobs and disruption budgets have come to when everything is quiet.

use std::collections::BTreeSet;

use object::Value;

use crate::counts::covers;
use crate::model::{Model, controller, has_condition, is_active, is_over, name, number, uid};

/// How many Jobs that succeeded a CronJob keeps.
const HISTORY: usize = 3;

/// Each returns what is wrong.
pub(crate) const CHECKS: [fn(&Model) -> Vec<String>; 4] = [stateful_sets, jobs, cron_jobs, budgets];

/// Every StatefulSet has a ready pod for each ordinal, all of the newest template, and says so.
fn stateful_sets(model: &Model) -> Vec<String> {
    let wrong = model.all("statefulsets").filter_map(|set| {
        let (start, replicas) = (number(set, "spec.ordinals.start"), number(set, "spec.replicas"));
        let wanted: BTreeSet<String> = (start..start + replicas)
            .map(|ordinal| format!("{}-{ordinal}", set.str_at("metadata.name")))
            .collect();
        let pods: Vec<&Value> = model.pods_of(set).collect();
        let ready = pods.iter().filter(|pod| is_active(pod) && has_condition(pod, "Ready"));
        let ready: BTreeSet<String> = ready.map(|pod| pod.str_at("metadata.name").to_owned()).collect();
        let counts = ["replicas", "readyReplicas", "availableReplicas", "updatedReplicas", "currentReplicas"];
        let status = set.get("status");
        let is_told = counts.iter().all(|count| number(status, count) == replicas)
            && status.str_at("currentRevision") == status.str_at("updateRevision")
            && number(status, "observedGeneration") == number(set, "metadata.generation");
        let fits = ready == wanted && pods.len() == wanted.len() && is_told;
        (!fits)
            .then(|| format!("StatefulSet {} wants {wanted:?}, {ready:?} are ready, {status:?}", name(set)))
    });
    wrong.collect()
}

/// Every Job is complete, with as many successes as wanted, and holds no pod back.
fn jobs(model: &Model) -> Vec<String> {
    let wrong = model.all("jobs").filter_map(|job| {
        let pods: Vec<&Value> = model.pods_of(job).collect();
        let succeeded = pods.iter().filter(|pod| pod.str_at("status.phase") == "Succeeded").count() as i64;
        let is_free = |pod: &&&Value| is_over(pod) && pod.at("metadata.finalizers").items().next().is_none();
        let (told, wanted) = (number(job, "status.succeeded"), number(job, "spec.completions"));
        let fits = has_condition(job, "Complete")
            && told >= wanted
            && number(job, "status.active") == 0
            && pods.iter().filter(is_free).count() == pods.len();
        (!fits).then(|| {
            let (pods, status) = (pods.len(), job.get("status"));
            format!(
                "Job {} wants {wanted} successes: {pods} pods, {succeeded} succeeded, {status:?}",
                name(job)
            )
        })
    });
    wrong.collect()
}

/// No CronJob lists a Job as running, or keeps more than it should.
fn cron_jobs(model: &Model) -> Vec<String> {
    let wrong = model.all("cronjobs").filter_map(|cron_job| {
        let of_it = |job: &&Value| controller(job).is_some_and(|by| by.str_at("uid") == uid(cron_job));
        let kept = model.all("jobs").filter(of_it).count();
        let active = cron_job.at("status.active").items().count();
        (active > 0 || kept > HISTORY)
            .then(|| format!("CronJob {} has {active} running Jobs of {kept}", name(cron_job)))
    });
    wrong.collect()
}

/// Every budget says how many of its pods are healthy and may go.
fn budgets(model: &Model) -> Vec<String> {
    let wrong = model.all("poddisruptionbudgets").filter_map(|budget| {
        let pods = model.all("pods").filter(|pod| covers(budget, pod)).count() as i64;
        let desired = match budget.at("spec.minAvailable").as_i64() {
            Some(least) => least,
            None => (pods - number(budget, "spec.maxUnavailable")).max(0),
        };
        let allowed = (pods - desired).max(0);
        let status = budget.get("status");
        let fits = number(status, "observedGeneration") == number(budget, "metadata.generation")
            && number(status, "expectedPods") == pods
            && number(status, "currentHealthy") == pods
            && number(status, "desiredHealthy") == desired
            && number(status, "disruptionsAllowed") == allowed
            && status.get("disruptedPods").entries().count() == 0
            && has_condition(budget, "DisruptionAllowed") == (allowed > 0);
        (!fits).then(|| format!("budget {} covers {pods} pods: {status:?}", name(budget)))
    });
    wrong.collect()
}
