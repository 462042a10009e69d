use super::*;
use crate::defaults::{default_cron_job, default_job};
use crate::validation::*;

const NONE: [&str; 0] = [];

fn job(patch: &Value) -> Value {
    let base = value!({
        "metadata": {"name": "pi", "uid": "u"},
        "spec": {"template": {"spec": {"containers": [{"name": "a", "image": "x"}], "restartPolicy": "Never"}}}
    });
    let mut job = patched(&base, patch, default_job);
    crate::strategy("batch", "jobs").prepare_create(&mut job);
    job
}

#[track_caller]
fn check(patch: Value, wrong: &[&str]) {
    assert_eq!(lines(validate_job(&job(&value!({"spec": (patch.clone())})))), wrong, "{patch:?}");
}

#[test]
fn jobs() {
    check(value!({}), &[]);
    check(
        value!({"parallelism": -1, "completions": -1, "backoffLimit": -1, "ttlSecondsAfterFinished": -1, "activeDeadlineSeconds": -1}),
        &[
            "spec.parallelism: Invalid value: -1: must be greater than or equal to 0",
            "spec.completions: Invalid value: -1: must be greater than or equal to 0",
            "spec.activeDeadlineSeconds: Invalid value: -1: must be greater than or equal to 0",
            "spec.backoffLimit: Invalid value: -1: must be greater than or equal to 0",
            "spec.ttlSecondsAfterFinished: Invalid value: -1: must be greater than or equal to 0",
        ],
    );
    let policy = r#"spec.template.spec.restartPolicy: Required value: valid values: "OnFailure", "Never""#;
    check(value!({"template": {"spec": {"restartPolicy": null}}}), &[policy]);
    check(value!({"template": {"spec": {"restartPolicy": "Always"}}}), &[policy]);
    check(
        value!({"template": {"spec": {"containers": null}}}),
        &["spec.template.spec.containers: Required value"],
    );
    check(
        value!({"managedBy": "me"}),
        &[r#"spec.managedBy: Invalid value: "me": must be a domain-prefixed path (such as "acme.io/foo")"#],
    );
    check(
        value!({"completionMode": "Odd"}),
        &[r#"spec.completionMode: Unsupported value: "Odd": supported values: "NonIndexed", "Indexed""#],
    );
    check(
        value!({"completionMode": "Indexed", "parallelism": 1}),
        &["spec.completions: Required value: when completion mode is Indexed"],
    );
    check(
        value!({"completionMode": "Indexed", "completions": 2, "parallelism": 100_001, "maxFailedIndexes": 3}),
        &[
            "spec.backoffLimitPerIndex: Required value: when maxFailedIndexes is specified",
            "spec.parallelism: Invalid value: 100001: must be less than or equal to 100000 when completion mode is Indexed",
            "spec.maxFailedIndexes: Invalid value: 3: must be less than or equal to completions",
        ],
    );
    check(
        value!({"backoffLimitPerIndex": 1}),
        &["spec.backoffLimitPerIndex: Invalid value: 1: requires indexed completion mode"],
    );
    check(
        value!({"completionMode": "Indexed", "completions": 100_001, "parallelism": 10_001, "backoffLimitPerIndex": 1}),
        &[
            "spec.maxFailedIndexes: Required value: must be specified when completions is above 100000",
            "spec.parallelism: Invalid value: 10001: must be less than or equal to 10000 when completions are above 100000 and used with backoff limit per index",
        ],
    );
}

#[test]
fn policies_of_jobs() {
    let rules = |rule: Value| value!({"podFailurePolicy": {"rules": [rule]}});
    check(rules(value!({"action": "FailJob", "onExitCodes": {"operator": "In", "values": [1, 2]}})), &[]);
    check(
        rules(
            value!({"action": "Odd", "onExitCodes": {"operator": "In", "values": [2, 0, 2], "containerName": "z"}}),
        ),
        &[
            r#"spec.podFailurePolicy.rules[0].action: Unsupported value: "Odd": supported values: "Count", "FailIndex", "FailJob", "Ignore""#,
            r#"spec.podFailurePolicy.rules[0].onExitCodes.containerName: Invalid value: "z": must be one of the container or initContainer names in the pod template"#,
            "spec.podFailurePolicy.rules[0].onExitCodes.values[1]: Invalid value: 0: must not be 0 for the In operator",
            "spec.podFailurePolicy.rules[0].onExitCodes.values[2]: Duplicate value: 2",
            "spec.podFailurePolicy.rules[0].onExitCodes.values: Invalid value: [2,0,2]: must be ordered",
        ],
    );
    check(
        rules(value!({"action": "FailIndex"})),
        &[
            r#"spec.podFailurePolicy.rules[0].action: Invalid value: "FailIndex": requires the backoffLimitPerIndex to be set"#,
            "spec.podFailurePolicy.rules[0]: Invalid value: specifying one of OnExitCodes and OnPodConditions is required",
        ],
    );
    check(
        rules(
            value!({"action": "Count", "onPodConditions": [{"type": "a b", "status": "Odd"}], "onExitCodes": {}}),
        ),
        &[
            r#"spec.podFailurePolicy.rules[0].onExitCodes.operator: Required value: valid values: ["In" "NotIn"]"#,
            "spec.podFailurePolicy.rules[0].onExitCodes.values: Invalid value: null: at least one value is required",
            r#"spec.podFailurePolicy.rules[0].onPodConditions[0].type: Invalid value: "a b": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"#,
            r#"spec.podFailurePolicy.rules[0].onPodConditions[0].status: Unsupported value: "Odd": supported values: "False", "True", "Unknown""#,
            "spec.podFailurePolicy.rules[0]: Invalid value: specifying both OnExitCodes and OnPodConditions is not supported",
        ],
    );
    check(
        value!({"podFailurePolicy": {"rules": []}, "template": {"spec": {"restartPolicy": "OnFailure"}}}),
        &[
            r#"spec.template.spec.restartPolicy: Invalid value: "OnFailure": only "Never" is supported when podFailurePolicy is specified"#,
        ],
    );
    check(
        value!({"podReplacementPolicy": "Odd"}),
        &[
            r#"spec.podReplacementPolicy: Unsupported value: "Odd": supported values: "Failed", "TerminatingOrFailed""#,
        ],
    );
    let success = |rule: Value| value!({"completionMode": "Indexed", "completions": 3, "successPolicy": {"rules": [rule]}});
    check(success(value!({"succeededIndexes": "0,2", "succeededCount": 2})), &[]);
    check(
        success(value!({})),
        &[
            "spec.successPolicy.rules[0]: Required value: at least one of succeededCount or succeededIndexes must be specified",
        ],
    );
    check(
        success(value!({"succeededIndexes": "0,3", "succeededCount": 4})),
        &[
            r#"spec.successPolicy.rules[0].succeededIndexes: Invalid value: "0,3": error parsing succeededIndexes: too large index: "3""#,
            "spec.successPolicy.rules[0].succeededCount: Invalid value: 4: must be less than or equal to 3 (the number of specified completions)",
            "spec.successPolicy.rules[0].succeededCount: Invalid value: 4: must be less than or equal to 0 (the number of indexes in the specified succeededIndexes field)",
        ],
    );
}

#[test]
fn jobs_select_their_own_pods() {
    check(
        value!({"template": {"metadata": {"labels": {"job-name": "other"}}}}),
        &[
            r#"spec.template.metadata.labels[job-name]: Invalid value: {"job-name":"other","batch.kubernetes.io/job-name":"pi","controller-uid":"u","batch.kubernetes.io/controller-uid":"u"}: must be 'pi'"#,
        ],
    );
    check(
        value!({"manualSelector": true, "selector": {"matchLabels": {"a": "b"}}}),
        &["spec.template.metadata.labels: Invalid value: null: `selector` does not match template `labels`"],
    );
    check(
        value!({"manualSelector": true}),
        &[
            "spec.selector: Required value",
            "spec.template.metadata.labels: Invalid value: null: `selector` does not match template `labels`",
        ],
    );
    let long = "a".repeat(62);
    let indexed = job(
        &value!({"metadata": {"name": (long.as_str())}, "spec": {"completionMode": "Indexed", "completions": 2}}),
    );
    let wrong = lines(validate_job(&indexed));
    assert!(
        wrong[0].ends_with(&format!("will not able to create pod with invalid DNS label: {long}-1")),
        "{wrong:?}"
    );
}

#[test]
fn changes_of_jobs() {
    let old = job(&value!({}));
    let wrong = |old: &Value, patch: Value| {
        let new = merge_patch(old.clone(), value!({"spec": patch})).unwrap();
        lines(validate_job_update(&new, old))
    };
    assert_eq!(wrong(&old, value!({"parallelism": 3, "suspend": true})), NONE);
    assert_eq!(
        wrong(&old, value!({"completions": 2})),
        ["spec.completions: Invalid value: 2: field is immutable"]
    );
    let wrong_template = wrong(&old, value!({"template": {"spec": {"nodeSelector": {"a": "b"}}}}));
    assert!(wrong_template[0].starts_with("spec.template: Invalid value"), "{wrong_template:?}");
    assert_eq!(
        wrong(&old, value!({"completionMode": "Indexed"})),
        [r#"spec.completionMode: Invalid value: "Indexed": field is immutable"#]
    );
    // A Job that is suspended has no pods yet, so that they may be made otherwise.
    let suspended = job(&value!({"spec": {"suspend": true}}));
    let placed = value!({"template": {
        "metadata": {"labels": {"c": "d"}, "annotations": {"e": "f"}},
        "spec": {
            "nodeSelector": {"a": "b"}, "tolerations": [{"operator": "Exists"}],
            "affinity": {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": []}}
        }
    }});
    assert_eq!(wrong(&suspended, placed.clone()), NONE);
    let mut started = suspended.clone();
    started.set("status", value!({"startTime": "2026-01-01T00:00:00Z"}));
    assert_eq!(wrong(&started, placed).len(), 1);
    // The indexes of an Indexed Job may grow and shrink together with its parallelism.
    let indexed = job(&value!({"spec": {"completionMode": "Indexed", "completions": 2, "parallelism": 2}}));
    assert_eq!(wrong(&indexed, value!({"completions": 3, "parallelism": 3})), NONE);
    assert_eq!(
        wrong(&indexed, value!({"completions": 3})),
        ["spec.completions: Invalid value: 3: can only be modified in tandem with spec.parallelism"]
    );
}

#[test]
fn statuses_of_jobs() {
    let (start, end) = ("2026-01-01T00:00:00Z", "2026-01-01T01:00:00Z");
    let conditions = |types: &[&str]| {
        Value::from(types.iter().map(|kind| value!({"type": *kind, "status": "True"})).collect::<Vec<_>>())
    };
    let wrong = |spec: Value, old: Value, new: Value| {
        let job = |status: Value| value!({"spec": (spec.clone()), "status": status});
        lines(validate_job_status_update(&job(new), &job(old)))
    };
    let none = || value!({});
    let complete = || conditions(&["SuccessCriteriaMet", "Complete"]);
    let done =
        || value!({"startTime": start, "completionTime": end, "conditions": (complete()), "succeeded": 1});
    assert_eq!(wrong(none(), value!({"startTime": start, "active": 1}), done()), NONE);
    assert_eq!(wrong(none(), done(), done()), NONE);
    let cases = [
        (
            none(),
            none(),
            value!({"failed": -1}),
            "status.failed: Invalid value: -1: must be greater than or equal to 0",
        ),
        (
            none(),
            none(),
            value!({"startTime": start, "conditions": (conditions(&["Failed"]))}),
            "status.conditions: Invalid value: cannot set Failed=True condition without the FailureTarget=true condition",
        ),
        (
            none(),
            none(),
            value!({"startTime": start, "conditions": (complete())}),
            "status.completionTime: Required value: completionTime is required for Complete jobs",
        ),
        (
            none(),
            none(),
            value!({"startTime": end, "completionTime": start, "conditions": (complete())}),
            r#"status.completionTime: Invalid value: "2026-01-01T00:00:00Z": completionTime cannot be set before startTime"#,
        ),
        (
            none(),
            none(),
            value!({"completionTime": end, "startTime": start}),
            r#"status.completionTime: Invalid value: "2026-01-01T01:00:00Z": cannot set completionTime when there is no Complete=True condition"#,
        ),
        (
            none(),
            done(),
            value!({"startTime": start, "completionTime": end, "conditions": (conditions(&["SuccessCriteriaMet"])), "succeeded": 1}),
            "status.conditions: Invalid value: cannot disable the terminal Complete=True condition",
        ),
        (
            none(),
            value!({"failed": 2}),
            value!({"failed": 1}),
            "status.failed: Invalid value: 1: cannot decrease the failed counter",
        ),
        (
            none(),
            value!({"active": 1}),
            value!({"active": 1, "ready": 2}),
            "status.ready: Invalid value: 2: cannot set more ready pods than active",
        ),
        (
            none(),
            none(),
            value!({"completedIndexes": "1"}),
            r#"status.completedIndexes: Invalid value: "1": cannot set non-empty completedIndexes when non-indexed completion mode"#,
        ),
        (
            value!({"completionMode": "Indexed", "completions": 3}),
            none(),
            value!({"completedIndexes": "3"}),
            r#"status.completedIndexes: Invalid value: "3": error parsing completedIndexes: too large index: "3""#,
        ),
        (
            value!({"completionMode": "Indexed", "completions": 3, "backoffLimitPerIndex": 1}),
            none(),
            value!({"completedIndexes": "0-1", "failedIndexes": "1"}),
            r#"status.failedIndexes: Invalid value: "1": failedIndexes and completedIndexes overlap at index: 1"#,
        ),
        (
            none(),
            value!({"startTime": start}),
            none(),
            "status.startTime: Required value: startTime cannot be removed for unsuspended job",
        ),
        (
            none(),
            none(),
            value!({"uncountedTerminatedPods": {"succeeded": ["a"], "failed": ["a"]}}),
            r#"status.uncountedTerminatedPods.failed[0]: Duplicate value: "a""#,
        ),
    ];
    for (spec, old, new, expected) in cases {
        let found = wrong(spec, old, new.clone());
        assert!(found.iter().any(|line| line == expected), "{new:?}: {found:?}");
    }
    let resumed = value!({"startTime": "2026-02-01T00:00:00Z", "conditions": [{"type": "Suspended", "status": "False"}]});
    let paused = value!({"startTime": start, "conditions": [{"type": "Suspended", "status": "True"}]});
    assert_eq!(wrong(none(), paused, resumed), NONE, "a Job that resumes starts anew");
    let mut with_pods = done();
    with_pods.set("active", 1);
    let found = wrong(none(), value!({"startTime": start}), with_pods);
    assert_eq!(found, ["status.active: Invalid value: 1: active>0 is invalid for finished job"]);
}

#[test]
fn cron_jobs() {
    let base = value!({
        "metadata": {"name": "hello"},
        "spec": {
            "schedule": "* * * * *",
            "jobTemplate": {"spec": {"template": {"spec": {
                "containers": [{"name": "a", "image": "x"}], "restartPolicy": "Never"
            }}}}
        }
    });
    let with = |patch: Value| patched(&base, &value!({"spec": patch}), default_cron_job);
    let wrong = |patch: Value| lines(validate_cron_job(&with(patch)));
    assert_eq!(wrong(value!({})), NONE);
    assert_eq!(wrong(value!({"timeZone": "Europe/Berlin"})), NONE);
    assert_eq!(wrong(value!({"schedule": ""})), ["spec.schedule: Required value"]);
    assert_eq!(
        wrong(value!({"schedule": "error"})),
        [r#"spec.schedule: Invalid value: "error": expected exactly 5 fields, found 1: [error]"#]
    );
    assert_eq!(
        wrong(value!({"schedule": "TZ=UTC 0 * * * *"})),
        [
            r#"spec.schedule: Invalid value: "TZ=UTC 0 * * * *": cannot use TZ or CRON_TZ in schedule, use timeZone field instead"#
        ]
    );
    for zone in ["Nowhere/Land", "europe/berlin", "..", "a/../b"] {
        let expected = format!("spec.timeZone: Invalid value: {zone:?}: unknown time zone {zone}");
        assert_eq!(wrong(value!({"timeZone": zone})), [expected]);
    }
    assert_eq!(
        wrong(value!({"timeZone": ""})),
        [r#"spec.timeZone: Invalid value: "": timeZone must be nil or non-empty string"#]
    );
    assert_eq!(
        wrong(value!({"concurrencyPolicy": "Odd"})),
        [
            r#"spec.concurrencyPolicy: Unsupported value: "Odd": supported values: "Allow", "Forbid", "Replace""#
        ]
    );
    assert_eq!(
        wrong(value!({"startingDeadlineSeconds": -1, "failedJobsHistoryLimit": -1})),
        [
            "spec.startingDeadlineSeconds: Invalid value: -1: must be greater than or equal to 0",
            "spec.failedJobsHistoryLimit: Invalid value: -1: must be greater than or equal to 0",
        ]
    );
    assert_eq!(
        wrong(value!({"jobTemplate": {"spec": {
            "selector": {}, "manualSelector": true, "template": {"spec": {"restartPolicy": "Always"}}
        }}})),
        [
            r#"spec.jobTemplate.spec.template.spec.restartPolicy: Required value: valid values: "OnFailure", "Never""#,
            "spec.jobTemplate.spec.selector: Invalid value: {}: `selector` will be auto-generated",
            r#"spec.jobTemplate.spec.manualSelector: Unsupported value: true: supported values: "nil", "false""#,
        ]
    );
    let mut long = with(value!({}));
    long.set_path(&["metadata", "name"], Value::from("a".repeat(53)));
    assert!(lines(validate_cron_job(&long))[0].ends_with("must be no more than 52 characters"));
    assert_eq!(lines(validate_cron_job_update(&long, &long)), NONE);
    // What older versions took may stay.
    let zoned = with(value!({"schedule": "TZ=UTC 0 * * * *"}));
    assert_eq!(lines(validate_cron_job_update(&zoned, &zoned)), NONE);
    let unknown = with(value!({"timeZone": "Old/Zone"}));
    assert_eq!(lines(validate_cron_job_update(&unknown, &unknown)), NONE);
}
