use object::value;

use super::*;
use crate::testing::{ago, check_row, named};

#[test]
fn jobs() {
    let condition = |kind: &str| value!({"status": {"conditions": [{"type": kind, "status": "True"}]}});
    for kind in ["Complete", "Failed", "Suspended", "FailureTarget", "SuccessCriteriaMet"] {
        let row = format!("j | {kind} | 0/1 |  | 3h |  |  | <none>");
        check_row(&Jobs, &named("j", condition(kind)), &row);
    }
    let cases = [
        (
            value!({"spec": {"completions": 3}, "status": {"succeeded": 1}}),
            "j | Running | 1/3 |  | 3h |  |  | <none>",
        ),
        (value!({"spec": {"parallelism": 2}}), "j | Running | 0/1 of 2 |  | 3h |  |  | <none>"),
        (
            value!({"status": {"startTime": (ago(600)), "completionTime": (ago(540))}}),
            "j | Running | 0/1 | 60s | 3h |  |  | <none>",
        ),
        (value!({"status": {"startTime": (ago(630))}}), "j | Running | 0/1 | 10m | 3h |  |  | <none>"),
        (
            value!({"metadata": {"deletionTimestamp": (ago(1))}}),
            "j | Terminating | 0/1 |  | 3h |  |  | <none>",
        ),
    ];
    for (job, row) in cases {
        check_row(&Jobs, &named("j", job), row);
    }
}

#[test]
fn cron_jobs() {
    let job = value!({"spec": {"template": {"spec": {"containers": [{"name": "c", "image": "i"}]}}}});
    let cron = value!({
        "spec": {"schedule": "* * * * *", "timeZone": "Etc/UTC", "suspend": false, "jobTemplate": job},
        "status": {"active": [{}, {}], "lastScheduleTime": (ago(90))}
    });
    check_row(
        &CronJobs,
        &named("c", cron),
        "c | * * * * * | Etc/UTC | False | 2 | 90s | 3h | c | i | <none>",
    );
    let cron = value!({"spec": {"schedule": "@daily"}});
    check_row(&CronJobs, &named("c", cron), "c | @daily | <none> | <unset> | 0 | <none> | 3h |  |  | <none>");
}

#[test]
fn a_job_selects_its_own_pods() {
    let mut job = value!({
        "metadata": {"name": "j", "uid": "1"},
        "spec": {"template": {"metadata": {"labels": {"job-name": "mine"}}}},
        "status": {"succeeded": 1}
    });
    Jobs.prepare_create(&mut job);
    let labels = value!({
        "job-name": "mine", "batch.kubernetes.io/job-name": "j",
        "controller-uid": "1", "batch.kubernetes.io/controller-uid": "1"
    });
    assert_eq!(job.at("spec.template.metadata.labels"), &labels);
    let own = value!({"matchLabels": {"batch.kubernetes.io/controller-uid": "1"}});
    assert_eq!(job.at("spec.selector"), &own);
    assert!(job.get("status").is_null());

    let mut manual = value!({"metadata": {"name": "j", "uid": "1"}, "spec": {"manualSelector": true}});
    Jobs.prepare_create(&mut manual);
    assert!(manual.at("spec.selector").is_null());
}
