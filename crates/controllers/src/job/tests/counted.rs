//! Metrics.

use std::time::Duration;

use ::metrics::Exposition;
use client::{Change, key_of};

use super::*;

fn change<K: client::Identified>(old: Option<K>, new: Option<K>) -> Change<K> {
    let key = key_of(old.as_ref().or(new.as_ref()).unwrap());
    Change { key, old: old.map(Arc::new), new: new.map(Arc::new) }
}

#[test]
fn what_happens_is_counted_under_upstreams_names() {
    let exposition = Exposition::default();
    let metrics = exposition.with(JobMetrics::register);
    let spec = json!({"completionMode": "Indexed", "completions": 4, "backoffLimitPerIndex": 1});
    let before = job(spec);
    let mut after = before.clone();
    after.status = Some(
        serde_json::from_value(json!({
            "completedIndexes": "0-2", "failedIndexes": "3",
            "conditions": [{"type": "Failed", "status": "True", "reason": "FailedIndexes"}],
        }))
        .unwrap(),
    );
    metrics.job(&change(Some(before), Some(after.clone())));
    metrics.job(&change(Some(after.clone()), Some(after)));
    metrics.job(&change(None, Some(job(json!({"managedBy": "example.com/queue"})))));

    let rules = json!([{"action": "Ignore", "onExitCodes": {"operator": "In", "values": [42]}}]);
    let owner = job(json!({"podFailurePolicy": {"rules": rules}}));
    let lean = |pod: &Pod| (*crate::pods::lean(pod)).clone();
    let waiting = failed(&owner, "a", 42, 0);
    let mut counted = waiting.clone();
    counted.metadata.finalizers = None;
    metrics.pod(&change(Some(lean(&running(&owner, "a"))), Some(lean(&waiting))), Some(&owner));
    metrics.pod(&change(Some(lean(&waiting)), Some(lean(&counted))), Some(&owner));
    metrics.pod(&change(Some(lean(&counted)), None), Some(&owner));

    let text = exposition.text();
    for line in [
        r#"jobs_finished_total{completion_mode="Indexed",result="failed",reason="FailedIndexes"} 1"#,
        r#"job_finished_indexes_total{status="succeeded",backoffLimit="perIndex"} 3"#,
        r#"job_finished_indexes_total{status="failed",backoffLimit="perIndex"} 1"#,
        r#"jobs_by_external_controller_total{controller_name="example.com/queue"} 1"#,
        r#"terminated_pods_tracking_finalizer_total{event="add"} 1"#,
        r#"terminated_pods_tracking_finalizer_total{event="delete"} 1"#,
        r#"job_pods_finished_total{completion_mode="NonIndexed",result="failed"} 1"#,
        r#"pod_failures_handled_by_failure_policy_total{action="Ignore"} 1"#,
    ] {
        assert!(text.contains(&format!("\njob_controller_{line}\n")), "{line} in {text}");
    }
}

#[test]
fn syncs_are_measured_by_what_they_do() {
    let plain = || job(json!({}));
    let suspended = || job(json!({"suspend": true}));
    let hopeless = || job(json!({"backoffLimit": 0}));
    let mut deleted = plain();
    deleted.metadata.deletion_timestamp = Some(Time(start()));
    let pods = |of: &Job, names: &[&str]| names.iter().map(|name| running(of, name)).collect::<Vec<_>>();
    for (owner, pods, expected) in [
        (plain(), vec![], "pods_created"),
        (plain(), pods(&plain(), &["a"]), "tracking"),
        (plain(), pods(&plain(), &["a", "b"]), "pods_deleted"),
        (suspended(), pods(&suspended(), &["a"]), "pods_deleted"),
        (hopeless(), vec![failed(&hopeless(), "a", 1, 0)], "reconciling"),
        (deleted.clone(), pods(&deleted, &["a"]), "reconciling"),
    ] {
        let exposition = Exposition::default();
        let metrics = exposition.with(JobMetrics::register);
        let mut world = World::new(owner).with(pods);
        let snapshot = world.look();
        let plan = plan::plan(&snapshot, start());
        for (took, is_ok) in [(Duration::from_millis(5), true), (Duration::from_secs(1), false)] {
            metrics.sync(&snapshot.job, &plan).unwrap()(took, is_ok);
        }
        let text = exposition.text();
        for (result, seconds) in [("success", "0.005"), ("error", "1")] {
            let labels = format!(r#"completion_mode="NonIndexed",result="{result}",action="{expected}""#);
            for line in [
                format!("job_syncs_total{{{labels}}} 1\n"),
                format!("job_sync_duration_seconds_count{{{labels}}} 1\n"),
                format!("job_sync_duration_seconds_sum{{{labels}}} {seconds}"),
            ] {
                assert!(text.contains(&format!("\njob_controller_{line}")), "{line} in {text}");
            }
        }
    }
    let mut ended = plain();
    let complete = json!({"conditions": [{"type": "Complete", "status": "True"}]});
    ended.status = Some(serde_json::from_value(complete).unwrap());
    for ignored in [ended, job(json!({"managedBy": "example.com/queue"}))] {
        assert!(JobMetrics::default().sync(&ignored, &Plan::default()).is_none());
    }
}
