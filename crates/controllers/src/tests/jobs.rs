//! The requirements of the conformance tests of Jobs, on the real API server. The tests play the part of the nodes.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use client::{DeleteOptions, ListOptions, Patch, Propagation};
use clock::Clock;
use k8s_openapi::api::batch::v1::{Job, JobStatus};
use k8s_openapi::api::core::v1::{Event, Pod};
use object::ObjectKey;
use serde_json::{Value as Json, json};
use simulation::Rates;

use super::Cluster;
use super::real::RealCluster;
use crate::Config;

const FINALIZER: &str = "batch.kubernetes.io/job-tracking";
const INDEX: &str = "batch.kubernetes.io/job-completion-index";

fn key(name: &str) -> ObjectKey {
    ObjectKey::namespaced("default", name)
}

fn job(name: &str, mut spec: Json) -> Job {
    spec["template"] = json!({
        "metadata": {"labels": {"app": name}},
        "spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]},
    });
    let job = json!({"metadata": {"name": name, "namespace": "default"}, "spec": spec});
    serde_json::from_value(job).unwrap()
}

async fn create(cluster: &RealCluster, name: &str, spec: Json) -> Job {
    cluster.client.create::<Job>(&job(name, spec)).await.unwrap()
}

async fn change(cluster: &RealCluster, name: &str, spec: Json) {
    cluster.client.patch::<Job>(&key(name), "", &Patch::Merge(json!({"spec": spec}))).await.unwrap();
}

fn active(pods: &[Arc<Pod>]) -> Vec<Arc<Pod>> {
    pods.iter().filter(|pod| semantics::pods::is_active(&***pod)).cloned().collect()
}

/// Waits until a Job has so many active pods, and returns them. A watch may still show pods that have been ended, so
/// lists decide.
async fn pods(cluster: &RealCluster, wanted: usize) -> Vec<Arc<Pod>> {
    loop {
        let now =
            active(&cluster.client.list::<Pod>("default", &ListOptions::default()).await.unwrap().items);
        if now.len() == wanted {
            return now;
        }
        let versions = |pods: &[Arc<Pod>]| -> BTreeSet<String> {
            pods.iter().filter_map(|pod| pod.metadata.resource_version.clone()).collect()
        };
        cluster.until::<Pod>("other pods", |pods| versions(&active(pods)) != versions(&now)).await;
    }
}

fn index(pod: &Pod) -> &str {
    &pod.metadata.annotations.as_ref().unwrap()[INDEX]
}

/// So long ago that nobody waits because of a failure at that time.
fn an_hour_ago() -> String {
    (Clock::system().now() - jiff::SignedDuration::from_hours(1)).to_string()
}

/// Ends a pod with this exit code, as its node would.
async fn end(cluster: &RealCluster, pod: &Pod, code: i32, conditions: Json) {
    let phase = if code == 0 { "Succeeded" } else { "Failed" };
    let ended = json!({"terminated": {"exitCode": code, "finishedAt": an_hour_ago()}});
    let container =
        json!({"name": "c", "image": "i", "imageID": "", "ready": false, "restartCount": 0, "state": ended});
    let status = json!({"phase": phase, "containerStatuses": [container], "conditions": conditions});
    let patch = Patch::Merge(json!({"status": status}));
    cluster.client.patch::<Pod>(&client::key_of(pod), "status", &patch).await.unwrap();
}

/// Waits until the Job has a condition with this reason, and returns its status.
async fn comes_to(cluster: &RealCluster, name: &str, condition: &str, reason: &str) -> JobStatus {
    let is = |job: &Job| {
        let conditions = job.status.iter().flat_map(|status| status.conditions.iter().flatten());
        conditions.clone().any(|one| {
            one.type_ == condition && one.status == "True" && one.reason.as_deref() == Some(reason)
        })
    };
    let job = cluster.until_one::<Job>(&format!("{condition} {reason}"), &key(name), is).await;
    job.status.clone().unwrap()
}

/// Lets the nodes forget pods that are being deleted.
async fn bury(cluster: &RealCluster) {
    for pod in cluster.client.list::<Pod>("default", &ListOptions::default()).await.unwrap().items {
        if pod.metadata.deletion_timestamp.is_some() {
            let options = DeleteOptions { grace_period_seconds: Some(0), ..DeleteOptions::default() };
            let _ = cluster.client.delete::<Pod>(&client::key_of(&*pod), &options).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn indexed_jobs_complete_and_pods_are_counted_once() {
    let cluster = RealCluster::start(Config::default()).await;
    create(&cluster, "sum", json!({"completions": 3, "parallelism": 2, "completionMode": "Indexed"})).await;
    let first = pods(&cluster, 2).await;
    let mut indexes: Vec<_> =
        first.iter().map(|pod| (index(pod), pod.spec.as_ref().unwrap().hostname.as_deref())).collect();
    indexes.sort_unstable();
    assert_eq!(indexes, [("0", Some("sum-0")), ("1", Some("sum-1"))]);
    assert!(first.iter().all(|pod| pod.metadata.finalizers.as_deref() == Some(&[FINALIZER.to_owned()])));
    let has_started = |job: &Job| {
        job.status.as_ref().is_some_and(|status| status.active == Some(2) && status.start_time.is_some())
    };
    let started = cluster.until_one("the counts", &key("sum"), has_started).await;
    assert_eq!(started.status.as_ref().unwrap().ready, Some(0));
    for pod in &first {
        end(&cluster, pod, 0, json!([])).await;
    }
    let last = pods(&cluster, 1).await;
    assert_eq!(index(&last[0]), "2");
    end(&cluster, &last[0], 0, json!([])).await;
    let status = comes_to(&cluster, "sum", "Complete", "CompletionsReached").await;
    assert_eq!((status.succeeded, status.completed_indexes.as_deref()), (Some(3), Some("0-2")));
    assert!(status.completion_time.is_some() && status.active.is_none());
    cluster
        .until::<Pod>("the end of finalizers", |pods| {
            pods.iter().all(|pod| pod.metadata.finalizers.is_none())
        })
        .await;
    for reason in ["SuccessfulCreate", "Completed"] {
        cluster
            .until::<Event>(reason, |all| all.iter().any(|event| event.reason.as_deref() == Some(reason)))
            .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_fails_early_by_exit_code() {
    let cluster = RealCluster::start(Config::default()).await;
    let rules = json!([{"action": "FailJob", "onExitCodes": {"operator": "In", "values": [42]}}]);
    create(
        &cluster,
        "sum",
        json!({"completions": 4, "parallelism": 2, "podFailurePolicy": {"rules": rules}}),
    )
    .await;
    let running = pods(&cluster, 2).await;
    end(&cluster, &running[0], 42, json!([])).await;
    comes_to(&cluster, "sum", "FailureTarget", "PodFailurePolicy").await;
    bury(&cluster).await;
    let status = comes_to(&cluster, "sum", "Failed", "PodFailurePolicy").await;
    assert_eq!((status.active, status.terminating, status.succeeded), (None, Some(0), None));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn evictions_can_be_ignored() {
    let cluster = RealCluster::start(Config::default()).await;
    let rules = json!([{"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]}]);
    let policy = json!({"rules": rules});
    let spec =
        json!({"completions": 1, "backoffLimit": 0, "completionMode": "Indexed", "podFailurePolicy": policy});
    create(&cluster, "sum", spec).await;
    let first = pods(&cluster, 1).await.remove(0);
    end(&cluster, &first, 137, json!([{"type": "DisruptionTarget", "status": "True"}])).await;
    cluster
        .until::<Pod>("the next one", |pods| {
            active(pods).len() == 1 && active(pods)[0].metadata.uid != first.metadata.uid
        })
        .await;
    let next = pods(&cluster, 1).await.remove(0);
    end(&cluster, &next, 0, json!([])).await;
    let status = comes_to(&cluster, "sum", "Complete", "CompletionsReached").await;
    assert_eq!(status.failed, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn indexes_fail_by_themselves() {
    let cluster = RealCluster::start(Config::default()).await;
    let rules = json!([{"action": "FailIndex", "onExitCodes": {"operator": "In", "values": [42]}}]);
    let spec = json!({
        "completions": 3, "parallelism": 3, "completionMode": "Indexed", "backoffLimitPerIndex": 0,
        "podFailurePolicy": {"rules": rules},
    });
    create(&cluster, "sum", spec).await;
    for pod in pods(&cluster, 3).await {
        let code = [0, 42, 1][index(&pod).parse::<usize>().unwrap()];
        end(&cluster, &pod, code, json!([])).await;
    }
    let status = comes_to(&cluster, "sum", "Failed", "FailedIndexes").await;
    assert_eq!(
        (status.completed_indexes.as_deref(), status.failed_indexes.as_deref()),
        (Some("0"), Some("1,2"))
    );
    assert_eq!((status.succeeded, status.failed), (Some(1), Some(2)));

    let spec = json!({
        "completions": 4, "parallelism": 4, "completionMode": "Indexed", "backoffLimitPerIndex": 0, "maxFailedIndexes": 0,
    });
    create(&cluster, "strict", spec).await;
    let running = pods(&cluster, 4).await;
    end(&cluster, &running[0], 1, json!([])).await;
    comes_to(&cluster, "strict", "FailureTarget", "MaxFailedIndexesExceeded").await;
    bury(&cluster).await;
    comes_to(&cluster, "strict", "Failed", "MaxFailedIndexesExceeded").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn success_policies_end_jobs() {
    let cluster = RealCluster::start(Config::default()).await;
    let cases = [
        ("all", json!({"succeededIndexes": "0-1"}), vec!["0", "1"]),
        ("count", json!({"succeededCount": 1}), vec!["1"]),
        ("some", json!({"succeededIndexes": "1"}), vec!["1"]),
    ];
    for (name, rule, ends) in cases {
        let policy = json!({"rules": [rule]});
        let spec =
            json!({"completions": 2, "parallelism": 2, "completionMode": "Indexed", "successPolicy": policy});
        create(&cluster, name, spec).await;
        for pod in pods(&cluster, 2).await {
            if ends.contains(&index(&pod)) {
                end(&cluster, &pod, 0, json!([])).await;
            }
        }
        let met = comes_to(&cluster, name, "SuccessCriteriaMet", "SuccessPolicy").await;
        assert_eq!(met.succeeded, Some(ends.len() as i32), "{name}");
        bury(&cluster).await;
        comes_to(&cluster, name, "Complete", "SuccessPolicy").await;
        pods(&cluster, 0).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pods_are_adopted_released_and_let_go() {
    let cluster = RealCluster::start(Config::default()).await;
    let job = create(&cluster, "sum", json!({"completions": 4, "parallelism": 2})).await;
    let uid = job.metadata.uid.clone().unwrap();
    let first = pods(&cluster, 2).await.remove(0);
    let pod = client::key_of(&*first);
    let orphaned = Patch::Merge(json!({"metadata": {"ownerReferences": null}}));
    cluster.client.patch::<Pod>(&pod, "", &orphaned).await.unwrap();
    let owner =
        |pod: &Pod| pod.metadata.owner_references.iter().flatten().map(|owner| owner.uid.clone()).next();
    let adopted = |pod: &Pod| owner(pod).as_ref() == Some(&uid) && pod.metadata.finalizers.is_some();
    cluster.until_one::<Pod>("its adoption", &pod, adopted).await;
    let unlabelled = Patch::Merge(json!({"metadata": {"labels": null}}));
    cluster.client.patch::<Pod>(&pod, "", &unlabelled).await.unwrap();
    let released = |pod: &Pod| owner(pod).is_none() && pod.metadata.finalizers.is_none();
    cluster.until_one::<Pod>("its release", &pod, released).await;

    // The Job goes at once; nothing holds its pods.
    let background = DeleteOptions { propagation: Some(Propagation::Background), ..DeleteOptions::default() };
    cluster.client.delete::<Job>(&key("sum"), &background).await.unwrap();
    let only = |pods: &[Arc<Pod>]| pods.iter().all(|left| left.metadata.name == first.metadata.name);
    cluster.until::<Pod>("the end of its pods", only).await;
    let needed = ["create pods", "patch pods", "update jobs/status", "get jobs", "create events"];
    let needed = needed.map(|what| format!("job-controller {what}"));
    cluster.log.granted(&needed.each_ref().map(String::as_str)).await;
    assert_eq!(cluster.log.refused(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_suspended_job_can_move_and_resumes_anew() {
    let cluster = RealCluster::start(Config::default()).await;
    create(&cluster, "sum", json!({"completions": 2, "parallelism": 2})).await;
    pods(&cluster, 2).await;
    change(&cluster, "sum", json!({"suspend": true})).await;
    pods(&cluster, 0).await;
    comes_to(&cluster, "sum", "Suspended", "JobSuspended").await;
    let idle = |job: &Job| job.status.as_ref().is_some_and(|status| status.active.is_none());
    cluster.until_one::<Job>("no active pods", &key("sum"), idle).await;
    change(&cluster, "sum", json!({"template": {"spec": {"nodeSelector": {"zone": "a"}}}})).await;
    change(&cluster, "sum", json!({"suspend": false})).await;
    let moved = pods(&cluster, 2).await;
    assert!(moved.iter().all(|pod| pod.spec.as_ref().unwrap().node_selector.is_some()));
    for pod in moved {
        end(&cluster, &pod, 0, json!([])).await;
    }
    let status = comes_to(&cluster, "sum", "Complete", "CompletionsReached").await;
    assert_eq!(status.failed, None);
    cluster.log.granted(&["job-controller delete pods"]).await;
    for reason in ["Suspended", "Resumed", "SuccessfulDelete"] {
        cluster
            .until::<Event>(reason, |all| all.iter().any(|event| event.reason.as_deref() == Some(reason)))
            .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_is_deleted_when_its_time_is_over() {
    let cluster = RealCluster::start(Config::default()).await;
    create(&cluster, "sum", json!({"completions": 1, "ttlSecondsAfterFinished": 0})).await;
    let pod = pods(&cluster, 1).await.remove(0);
    end(&cluster, &pod, 0, json!([])).await;
    cluster.until::<Job>("the end of the Job", <[_]>::is_empty).await;
    cluster.until::<Pod>("the end of its pod", <[_]>::is_empty).await;
    cluster.log.granted(&["ttl-after-finished-controller delete jobs"]).await;
}

#[tokio::test(start_paused = true)]
async fn every_pod_is_counted_once_however_late_the_news() {
    let cluster = Cluster::start().await;
    cluster.server.faults().set(Rates { late_event: 300, broken_watch: 50, ..Rates::default() });
    let spec = json!({"completions": 40, "parallelism": 10, "backoffLimit": 1000});
    cluster.server.create(&job("sum", spec)).await;
    let mut status = JobStatus::default();
    for _ in 0..5000 {
        tokio::time::sleep(Duration::from_millis(500)).await;
        for pod in cluster.server.list::<Pod>().await {
            if !semantics::pods::is_terminal(&pod) {
                let name = pod.metadata.name.as_deref().unwrap_or_default();
                let phase = if name.ends_with(['4', '7', 'b', 'k', 'x']) { "Failed" } else { "Succeeded" };
                cluster.server.patch_status::<Pod>(&client::key_of(&pod), json!({"phase": phase})).await;
            }
        }
        cluster.server.faults().break_watches();
        status = cluster.server.find::<Job>(&key("sum")).await.unwrap().status.unwrap_or_default();
        if status.completion_time.is_some() {
            break;
        }
    }
    let pods = cluster.server.list::<Pod>().await;
    let ended = |phase: &str| pods.iter().filter(|pod| semantics::pods::phase(*pod) == phase).count() as i32;
    assert!(ended("Failed") > 0);
    assert_eq!((status.succeeded, status.failed), (Some(40), Some(ended("Failed"))));
    assert_eq!(ended("Succeeded"), 40, "and no pod was made twice");
}
