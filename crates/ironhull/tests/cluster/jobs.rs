//! Jobs with real containers: `[sig-apps] Job` of the conformance suite. The table is in `docs/sig-apps.md`.

use std::sync::Arc;

use libtest_mimic::Trial;

use crate::support::{Namespace, SharedCluster, trial};

pub fn trials(shared: &Arc<SharedCluster>) -> Vec<Trial> {
    let trial = |name, test| trial(shared, "jobs", name, test);
    vec![
        trial("indexed_jobs_run", indexed_jobs_run),
        trial("tasks_that_fail_are_restarted", tasks_that_fail_are_restarted),
        trial("failing_jobs_end", failing_jobs_end),
    ]
}

/// A Job that runs a shell script; `rest` is more of its spec.
fn job(name: &str, restart: &str, script: &str, rest: &str) -> String {
    format!(
        "apiVersion: batch/v1\nkind: Job\nmetadata: {{name: {name}}}\nspec:\n  {rest}\n  template:\n    spec:\n      \
         restartPolicy: {restart}\n      terminationGracePeriodSeconds: 1\n      volumes: [{{name: data, emptyDir: {{}}}}]\n      \
         containers:\n      - name: c\n        image: $BUSYBOX\n        volumeMounts: [{{name: data, mountPath: /data}}]\n        \
         command: [sh, -c, '{script}']\n"
    )
}

/// Each pod knows its index, and has a host name with it.
fn indexed_jobs_run(namespace: &Namespace) {
    let rest = "completions: 3\n  parallelism: 2\n  completionMode: Indexed";
    namespace.apply(&job("sum", "Never", "echo $JOB_COMPLETION_INDEX $(hostname)", rest));
    namespace.wait("job/sum", "condition=Complete");
    assert_eq!(namespace.field("job/sum", ".status.completedIndexes"), "0-2");
    assert_eq!(namespace.field("job/sum", ".status.succeeded"), "3");
    for index in 0..3 {
        let label = format!("batch.kubernetes.io/job-completion-index={index}");
        assert_eq!(namespace.run(&["logs", "-l", &label]), format!("{index} sum-{index}\n"));
    }
    let pods = namespace.run(&["get", "pods", "-o", "jsonpath={.items[*].metadata.finalizers}"]);
    assert_eq!(pods, "", "all are counted");
    namespace.run(&["delete", "job", "sum"]);
    namespace.until("the end of its pods", || {
        let pods = namespace.run(&["get", "pods", "-o", "name"]);
        if pods.is_empty() { Ok(()) } else { Err(pods) }
    });
}

/// The container is started again in its pod, which counts as one.
fn tasks_that_fail_are_restarted(namespace: &Namespace) {
    let script = "if [ -e /data/once ]; then exit 0; fi; touch /data/once; exit 1";
    namespace.apply(&job("retry", "OnFailure", script, "completions: 2\n  parallelism: 2"));
    namespace.wait("job/retry", "condition=Complete");
    assert_eq!(namespace.field("job/retry", ".status.succeeded"), "2");
    let restarts = "jsonpath={.items[*].status.containerStatuses[0].restartCount}";
    assert_eq!(namespace.run(&["get", "pods", "-o", restarts]), "1 1");
}

/// By too many failures, and by an exit code.
fn failing_jobs_end(namespace: &Namespace) {
    namespace.apply(&job("fail", "Never", "exit 1", "backoffLimit: 0"));
    namespace.wait("job/fail", "condition=Failed");
    let reason = ".status.conditions[?(@.type==\"Failed\")].reason";
    assert_eq!(namespace.field("job/fail", reason), "BackoffLimitExceeded");
    assert_eq!(namespace.field("job/fail", ".status.failed"), "1");

    let rule = "{action: FailJob, onExitCodes: {operator: In, values: [42]}}";
    let policy = format!(
        "completions: 2\n  parallelism: 2\n  completionMode: Indexed\n  podFailurePolicy: {{rules: [{rule}]}}"
    );
    let script = "if [ $JOB_COMPLETION_INDEX = 0 ]; then exit 42; fi; sleep 1000";
    namespace.apply(&job("early", "Never", script, &policy));
    namespace.wait("job/early", "condition=Failed");
    assert_eq!(namespace.field("job/early", reason), "PodFailurePolicy");
    let said = namespace.field("job/early", ".status.conditions[?(@.type==\"Failed\")].message");
    assert!(said.ends_with(" failed with exit code 42 matching FailJob rule at index 0"), "{said}");
}
