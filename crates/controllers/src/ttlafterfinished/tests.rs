use serde_json::json;

use super::*;

fn job(condition: &str, ttl: Option<i32>) -> Job {
    serde_json::from_value(json!({
        "metadata": {"name": "sum", "namespace": "default", "uid": "u", "resourceVersion": "7"},
        "spec": {"ttlSecondsAfterFinished": ttl, "template": {}},
        "status": {"conditions": [
            {"type": condition, "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}]},
    }))
    .unwrap()
}

fn at(time: &str) -> Timestamp {
    time.parse().unwrap()
}

#[test]
fn an_ended_job_is_deleted_with_its_pods_when_its_time_is_over() {
    for condition in ["Complete", "Failed"] {
        let early = plan(&job(condition, Some(100)), at("2026-01-01T00:00:40Z"));
        assert!(early.is_empty());
        assert_eq!(early.requeue_after.unwrap().as_secs(), 60);
        let due = plan(&job(condition, Some(100)), at("2026-01-01T00:01:40Z"));
        assert!(matches!(
            due.actions()[..],
            [Action::Delete {
                options: DeleteOptions { propagation: Some(Propagation::Foreground), .. },
                ..
            }]
        ));
    }
}

#[test]
fn others_stay() {
    let late = at("2026-02-01T00:00:00Z");
    let mut deleting = job("Complete", Some(0));
    deleting.metadata.deletion_timestamp =
        Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(at("2026-01-01T00:00:00Z")));
    for job in [job("Complete", None), job("Suspended", Some(0)), deleting] {
        let plan = plan(&job, late);
        assert!(plan.is_empty() && plan.requeue_after.is_none(), "{job:?}");
    }
}
