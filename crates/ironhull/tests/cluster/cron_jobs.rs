//! A CronJob with real containers, started by its schedule and by hand.

use std::sync::Arc;

use libtest_mimic::Trial;

use crate::support::{Namespace, SharedCluster, trial};

pub fn trials(shared: &Arc<SharedCluster>) -> Vec<Trial> {
    vec![trial(shared, "cron_jobs", "cron_jobs_fire", cron_jobs_fire)]
}

const TICK: &str = r#"
apiVersion: batch/v1
kind: CronJob
metadata: {name: tick}
spec:
  schedule: "* * * * *"
  jobTemplate:
    spec:
      template:
        spec:
          restartPolicy: Never
          containers: [{name: c, image: $BUSYBOX, command: [echo, tick]}]
"#;

/// It waits for the next full minute; the Job by hand runs meanwhile.
fn cron_jobs_fire(namespace: &Namespace) {
    namespace.apply(TICK);
    namespace.run(&["create", "job", "--from=cronjob/tick", "by-hand"]);
    namespace.wait("job/by-hand", "condition=Complete");
    assert_eq!(namespace.run(&["logs", "job/by-hand"]), "tick\n");
    assert_eq!(namespace.field("job/by-hand", ".metadata.ownerReferences[0].name"), "tick");

    let job = namespace.until("a Job of the schedule", || {
        let jobs = namespace.run(&["get", "jobs", "-o", "name"]);
        let of_schedule = jobs.lines().find(|job| job.starts_with("job.batch/tick-"));
        of_schedule.map(str::to_owned).ok_or(jobs)
    });
    // One is enough.
    namespace.run(&["patch", "cronjob", "tick", "-p", r#"{"spec": {"suspend": true}}"#]);
    namespace.wait(&job, "condition=Complete");
    assert_eq!(namespace.run(&["logs", &job]), "tick\n");
    let time =
        namespace.field(&job, r".metadata.annotations.batch\.kubernetes\.io/cronjob-scheduled-timestamp");
    assert_eq!(namespace.field("cronjob/tick", ".status.lastScheduleTime"), time);
    namespace.until("its success in the CronJob's status", || {
        let status = namespace.field("cronjob/tick", ".status");
        let is_told = status.contains("lastSuccessfulTime") && !status.contains("active");
        if is_told { Ok(()) } else { Err(status) }
    });
    let name = job.rsplit('/').next().unwrap();
    namespace.until_output(&["describe", "cronjob", "tick"], &format!("Created job {name}"));
}
