//! The CronJob controller on the real API server. The test ends Jobs, so that the Job controller is not needed.

use std::time::Duration;

use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::core::v1::Event;
use object::ObjectKey;
use serde_json::{Value as Json, json};
use simulation::Server;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::real::RealCluster;
use crate::Config;
use crate::cronjob::CronJobController;

struct Minutes {
    server: Server,
    metrics: metrics::Exposition,
    _stop: DropGuard,
}

impl Minutes {
    /// Just this controller, half a minute after midnight.
    async fn start() -> Minutes {
        let server = Server::start(7).await;
        server.open("default").await;
        let (metrics, cancel) = (metrics::Exposition::default(), CancellationToken::new());
        let mut context = super::context(&server, Config::default());
        context.metrics = metrics.with(crate::Metrics::register);
        tokio::spawn(crate::framework::run::<CronJobController>(context, cancel.clone()));
        let minutes = Minutes { server, metrics, _stop: cancel.drop_guard() };
        minutes.until_second(30).await;
        minutes
    }

    /// Time goes by up to that second of a minute.
    async fn until_second(&self, second: u64) {
        let now = self.server.clock().now();
        let passed = u64::try_from(now.as_millisecond().rem_euclid(60_000)).unwrap();
        let left = (60_000 + second * 1000 - passed) % 60_000;
        tokio::time::sleep(Duration::from_millis(if left == 0 { 60_000 } else { left })).await;
    }

    async fn cron_job(&self) -> CronJob {
        self.server.find(&key("tick")).await.unwrap()
    }

    async fn active(&self) -> usize {
        self.cron_job().await.status.and_then(|status| status.active).unwrap_or_default().len()
    }

    async fn jobs(&self) -> Vec<String> {
        self.server.list::<Job>().await.iter().map(|job| job.metadata.name.clone().unwrap()).collect()
    }

    async fn reasons(&self) -> Vec<String> {
        let mut reasons: Vec<_> =
            self.server.list::<Event>().await.into_iter().filter_map(|event| event.reason).collect();
        reasons.sort();
        reasons.dedup();
        reasons
    }
}

fn key(name: &str) -> ObjectKey {
    ObjectKey::namespaced("default", name)
}

fn cron_job(spec: Json) -> CronJob {
    let pod = json!({"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]});
    let mut object = json!({
        "metadata": {"name": "tick", "namespace": "default"},
        "spec": {"schedule": "* * * * *", "jobTemplate": {"spec": {"template": {"spec": pod}}}},
    });
    object["spec"].as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
    serde_json::from_value(object).unwrap()
}

fn completed(now: &str) -> Json {
    json!({
        "startTime": now, "completionTime": now, "succeeded": 1,
        "conditions": [{"type": "SuccessCriteriaMet", "status": "True"}, {"type": "Complete", "status": "True"}],
    })
}

#[tokio::test(start_paused = true)]
async fn jobs_run_side_by_side_if_that_is_allowed() {
    let minutes = Minutes::start().await;
    minutes.server.create(&cron_job(json!({}))).await;
    for running in 1..=3 {
        minutes.until_second(30).await;
        assert_eq!((minutes.active().await, minutes.jobs().await.len()), (running, running));
    }
    let first = minutes.jobs().await[0].clone();
    let now = minutes.server.clock().now_seconds().to_string();
    minutes.server.patch_status::<Job>(&key(&first), completed(&now)).await;
    minutes.until_second(45).await;
    let status = minutes.cron_job().await.status.unwrap();
    assert_eq!(status.active.unwrap().len(), 2);
    assert_eq!(status.last_successful_time.unwrap().0.to_string(), now);
    let expected = ["SawCompletedJob", "SuccessfulCreate"];
    assert_eq!(minutes.reasons().await, expected);
    let text = minutes.metrics.text();
    let count = "\ncronjob_controller_job_creation_skew_duration_seconds_count 3\n";
    assert!(text.contains(count), "{text}");
}

#[tokio::test(start_paused = true)]
async fn no_job_runs_beside_another_if_that_is_forbidden() {
    let minutes = Minutes::start().await;
    minutes.server.create(&cron_job(json!({"concurrencyPolicy": "Forbid"}))).await;
    for _ in 0..3 {
        minutes.until_second(30).await;
        assert_eq!((minutes.active().await, minutes.jobs().await.len()), (1, 1));
    }
    assert_eq!(minutes.reasons().await, ["JobAlreadyActive", "SuccessfulCreate"]);
}

#[tokio::test(start_paused = true)]
async fn a_new_job_replaces_the_one_that_runs_if_wanted() {
    let minutes = Minutes::start().await;
    minutes.server.create(&cron_job(json!({"concurrencyPolicy": "Replace"}))).await;
    let mut seen = Vec::new();
    for _ in 0..3 {
        minutes.until_second(30).await;
        let jobs = minutes.jobs().await;
        assert_eq!((minutes.active().await, jobs.len()), (1, 1));
        assert!(!seen.contains(&jobs[0]), "{seen:?} {jobs:?}");
        seen.extend(jobs);
    }
    assert_eq!(minutes.reasons().await, ["SuccessfulCreate", "SuccessfulDelete"]);
}

#[tokio::test(start_paused = true)]
async fn no_job_starts_while_suspended() {
    let minutes = Minutes::start().await;
    minutes.server.create(&cron_job(json!({"suspend": true}))).await;
    for _ in 0..3 {
        minutes.until_second(30).await;
    }
    assert_eq!((minutes.active().await, minutes.jobs().await.len()), (0, 0));
    minutes.server.patch::<CronJob>(&key("tick"), json!({"spec": {"suspend": false}})).await;
    minutes.until_second(45).await;
    assert_eq!((minutes.active().await, minutes.jobs().await.len()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_new_schedule_counts_from_now_on() {
    let minutes = Minutes::start().await;
    minutes.server.create(&cron_job(json!({"schedule": "0 0 1 1 *"}))).await;
    minutes.until_second(30).await;
    minutes.until_second(30).await;
    minutes.server.patch::<CronJob>(&key("tick"), json!({"spec": {"schedule": "* * * * *"}})).await;
    minutes.until_second(45).await;
    assert_eq!(minutes.jobs().await.len(), 0);
    minutes.until_second(30).await;
    assert_eq!(minutes.jobs().await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_job_that_cannot_be_created_is_told_and_tried_again() {
    let minutes = Minutes::start().await;
    minutes.server.create(&cron_job(json!({}))).await;
    let refusal = object::Status::forbidden("batch", "jobs", "tick", "no");
    minutes.server.faults().fail_next(client::Verb::Create, "jobs", refusal);
    minutes.until_second(30).await;
    assert_eq!((minutes.active().await, minutes.jobs().await.len()), (1, 1));
    assert_eq!(minutes.reasons().await, ["FailedCreate", "SuccessfulCreate"]);
    let events = minutes.server.list::<Event>().await;
    let failed = events.iter().find(|event| event.reason.as_deref() == Some("FailedCreate")).unwrap();
    let why = "Error creating job: jobs.batch \"tick\" is forbidden: no";
    assert_eq!(failed.message.as_deref(), Some(why));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_role_of_the_cronjob_controller_is_sufficient() {
    let cluster = RealCluster::start(Config::default()).await;
    let spec = json!({"schedule": "@every 1s", "successfulJobsHistoryLimit": 0});
    cluster.client.create(&cron_job(spec)).await.unwrap();
    cluster
        .log
        .granted(&["cronjob-controller create jobs", "cronjob-controller update cronjobs/status"])
        .await;
    let is_listed = |tick: &CronJob| tick.status.as_ref().is_some_and(|status| status.active.is_some());
    let tick = cluster.until_one("a job", &key("tick"), is_listed).await;
    let active = tick.status.as_ref().unwrap().active.as_ref().unwrap();
    let job = key(active[0].name.as_deref().unwrap());
    let now = clock::Clock::system().now_seconds().to_string();
    // The controller of Jobs may have counted a pod already, which a Job that is complete does not have.
    let mut status = completed(&now);
    (status["active"], status["ready"]) = (Json::Null, Json::Null);
    let change = client::Patch::Merge(json!({"status": status}));
    cluster.client.patch::<Job>(&job, "status", &change).await.unwrap();
    cluster.log.granted(&["cronjob-controller delete jobs"]).await;
    // One that runs and is taken away: the controller asks the server whether it is really gone.
    let listed = json!({"kind": "Job", "namespace": "default", "name": "gone", "uid": "gone-uid"});
    let change = client::Patch::Merge(json!({"status": {"active": [listed]}}));
    cluster.client.patch::<CronJob>(&key("tick"), "status", &change).await.unwrap();
    cluster.log.granted(&["cronjob-controller get jobs"]).await;
    assert_eq!(cluster.log.refused(), Vec::<String>::new());
}
