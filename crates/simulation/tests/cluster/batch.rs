//! What users do with StatefulSets, Jobs, CronJobs and disruption budgets.

use client::{Object, Patch, Propagation, key_of};
use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use serde_json::{Value, json};

use crate::deeds::{again, all, change_any, create, delete_any, delete_with, namespace, pick, template};
use crate::scenario::Cluster;

const STATEFUL_SETS_MAX: usize = 2;
const JOBS_MAX: usize = 3;
const CRON_JOBS_MAX: usize = 2;

/// An action of users. In calm seeds it takes no pods away that others have to keep.
pub(crate) async fn people(cluster: &Cluster, step: u32, is_calm: bool) -> String {
    let random = &cluster.random;
    match random.random_below(if is_calm { 9 } else { 15 }) {
        0 | 1 => add_stateful_set(cluster, step).await,
        2 => {
            let replicas = random.random_below(5);
            let change = json!({"spec": {"replicas": replicas}});
            change_any::<StatefulSet>(cluster, change, &format!("to {replicas} replicas")).await
        }
        3 => {
            let template = json!({"metadata": {"annotations": {"step": step.to_string()}}});
            change_any::<StatefulSet>(cluster, json!({"spec": {"template": template}}), "to a new template")
                .await
        }
        4..6 => add_job(cluster, step).await,
        6 => add_cron_job(cluster, step).await,
        7 | 8 => add_budget(cluster).await,
        9 => delete_any::<StatefulSet>(cluster).await,
        10 => delete_job(cluster).await,
        11 => delete_any::<CronJob>(cluster).await,
        12 => delete_any::<PodDisruptionBudget>(cluster).await,
        _ => evict(cluster).await,
    }
}

/// No CronJob starts anything from here on.
pub(crate) async fn suspend_all(cluster: &Cluster) {
    let suspend = Patch::Merge(json!({"spec": {"suspend": true}}));
    for cron_job in all::<CronJob>(cluster).await {
        let key = key_of(&*cron_job);
        again(|| async {
            match cluster.server.admin().patch::<CronJob>(&key, "", &suspend).await {
                Err(error) if error.is_not_found() => Ok(()),
                done => done.map(drop),
            }
        })
        .await;
    }
}

async fn add_stateful_set(cluster: &Cluster, step: u32) -> String {
    let random = &cluster.random;
    if all::<StatefulSet>(cluster).await.len() >= STATEFUL_SETS_MAX {
        return "there are enough StatefulSets".to_owned();
    }
    let (app, replicas) = (format!("db-{step}"), random.random_below(4));
    let policy = ["OrderedReady", "Parallel"][random.random_below(2) as usize];
    let object = json!({
        "metadata": {"name": app, "namespace": namespace(random)},
        "spec": {
            "replicas": replicas, "serviceName": app, "podManagementPolicy": policy,
            "ordinals": {"start": random.random_below(3)},
            "selector": {"matchLabels": {"app": app}}, "template": template(&app, random),
        },
    });
    create::<StatefulSet>(cluster, object).await
}

/// A template of pods that end by themselves.
fn ending(app: &str, cluster: &Cluster) -> Value {
    let mut template = template(app, &cluster.random);
    template["spec"]["restartPolicy"] = json!("Never");
    template
}

async fn add_job(cluster: &Cluster, step: u32) -> String {
    let random = &cluster.random;
    let jobs = all::<Job>(cluster).await;
    if jobs.iter().filter(|job| job.metadata.owner_references.is_none()).count() >= JOBS_MAX {
        return "there are enough Jobs".to_owned();
    }
    let app = format!("job-{step}");
    let mode = ["NonIndexed", "Indexed"][random.random_below(2) as usize];
    let (parallelism, completions) = (1 + random.random_below(3), 1 + random.random_below(6));
    let object = json!({
        "metadata": {"name": app, "namespace": namespace(random)},
        "spec": {
            "completionMode": mode, "parallelism": parallelism, "completions": completions,
            // Nodes that are lost take pods with them.
            "backoffLimit": 1000, "template": ending(&app, cluster),
        },
    });
    create::<Job>(cluster, object).await
}

async fn add_cron_job(cluster: &Cluster, step: u32) -> String {
    let random = &cluster.random;
    if all::<CronJob>(cluster).await.len() >= CRON_JOBS_MAX {
        return "there are enough CronJobs".to_owned();
    }
    let app = format!("cron-{step}");
    let policy = ["Allow", "Forbid", "Replace"][random.random_below(3) as usize];
    let object = json!({
        "metadata": {"name": app, "namespace": namespace(random)},
        "spec": {
            "schedule": "* * * * *", "concurrencyPolicy": policy,
            "jobTemplate": {"spec": {"backoffLimit": 1000, "template": ending(&app, cluster)}},
        },
    });
    create::<CronJob>(cluster, object).await
}

/// A budget for a Deployment or a StatefulSet, which has at most one.
async fn add_budget(cluster: &Cluster) -> String {
    let random = &cluster.random;
    let mut spec = match random.random_below(2) {
        0 => json!({"maxUnavailable": 1}),
        _ => json!({"minAvailable": 1 + random.random_below(3)}),
    };
    if random.random_below(2) == 0 {
        spec["unhealthyPodEvictionPolicy"] = json!("AlwaysAllow");
    }
    match random.random_below(2) {
        0 => budget_for::<Deployment>(cluster, spec).await,
        _ => budget_for::<StatefulSet>(cluster, spec).await,
    }
}

async fn budget_for<K: Object>(cluster: &Cluster, mut spec: Value) -> String {
    let objects = all::<K>(cluster).await;
    let Some(object) = pick(&objects, &cluster.random) else { return format!("no {} to guard", K::KIND) };
    let meta = object.metadata();
    spec["selector"] = json!({"matchLabels": {"app": meta.name}});
    let object = json!({"metadata": {"name": meta.name, "namespace": meta.namespace}, "spec": spec});
    create::<PodDisruptionBudget>(cluster, object).await
}

/// Without a word about dependents, a Job leaves its pods behind: those would belong to nothing.
async fn delete_job(cluster: &Cluster) -> String {
    let mut jobs = all::<Job>(cluster).await;
    jobs.retain(|job| job.metadata.owner_references.is_none());
    let Some(job) = pick(&jobs, &cluster.random) else { return "no Job to delete".to_owned() };
    let propagation = match cluster.random.random_below(2) {
        0 => Propagation::Foreground,
        _ => Propagation::Background,
    };
    delete_with::<Job>(cluster, &key_of(job), Some(propagation)).await
}

async fn evict(cluster: &Cluster) -> String {
    let pods = all::<Pod>(cluster).await;
    let Some(pod) = pick(&pods, &cluster.random) else { return "no pod to evict".to_owned() };
    let key = key_of(pod);
    let eviction = json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": &*key.name}});
    let evicted =
        cluster.server.admin().create_subresource::<Pod, _, Value>(&key, "eviction", &eviction).await;
    match evicted {
        Ok(_) => format!("evict pod {key}"),
        Err(error) => format!("cannot evict pod {key}: {error}"),
    }
}
