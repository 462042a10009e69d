use std::sync::Arc;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::batch::v1::{CronJob, Job};
use serde_json::{Value as Json, json};

use super::plan::plan;
use super::snapshot::Snapshot;
use crate::framework::Action;

fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// A CronJob and its Jobs, as the plans change them.
struct World {
    cron_job: CronJob,
    jobs: Vec<Job>,
    now: Timestamp,
    /// `REASON: MESSAGE`
    events: Vec<String>,
    /// The pause after the last plan.
    pause: Option<std::time::Duration>,
}

impl World {
    /// Made at the beginning of 2026.
    fn new(spec: Json) -> World {
        let mut object = json!({
            "metadata": {"name": "tick", "namespace": "default", "uid": "cron-uid", "creationTimestamp": "2026-01-01T00:00:00Z"},
            "spec": {
                "schedule": "* * * * *", "concurrencyPolicy": "Allow", "suspend": false,
                "jobTemplate": {"metadata": {"labels": {"app": "tick"}, "annotations": {"note": "kept"}}, "spec": {"template": {}}},
            },
        });
        object["spec"].as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
        let cron_job = serde_json::from_value(object).unwrap();
        let now = time("2026-01-01T00:00:00Z");
        World { cron_job, jobs: Vec::new(), now, events: Vec::new(), pause: None }
    }

    fn at(mut self, now: &str) -> World {
        self.now = time(now);
        self
    }

    fn snapshot(&self) -> Snapshot {
        let mut snapshot = Snapshot {
            cron_job: Arc::new(self.cron_job.clone()),
            jobs: self.jobs.iter().cloned().map(Arc::new).collect(),
            missing: Vec::new(),
            local: TimeZone::UTC,
        };
        let listed = snapshot.active().iter().filter(|listed| !snapshot.has(listed));
        snapshot.missing = listed.filter_map(|listed| listed.uid.clone()).collect();
        snapshot
    }

    /// Plans, and carries it out, until nothing is written any more.
    fn settle(&mut self) -> &mut World {
        for _ in 0..5 {
            let plan = plan(&self.snapshot(), self.now);
            self.pause = plan.requeue_after;
            let actions: Vec<Action> = plan.actions().into_iter().cloned().collect();
            let is_written = actions.iter().any(|action| !matches!(action, Action::Record(_)));
            actions.iter().for_each(|action| self.carry_out(action));
            if !is_written {
                return self;
            }
        }
        panic!("plans do not come to an end: {:?}", self.events);
    }

    fn carry_out(&mut self, action: &Action) {
        let told = match action {
            Action::Create { announcement, .. } => {
                let mut job = action.object::<Job>().unwrap().clone();
                let name = job.metadata.name.clone().unwrap();
                assert!(
                    self.jobs.iter().all(|job| job.metadata.name.as_deref() != Some(&*name)),
                    "{name} is there"
                );
                job.metadata.uid = Some(format!("uid-{name}"));
                self.jobs.push(job);
                announcement.as_ref().map(|told| (told, name))
            }
            Action::Update { subresource: "status", .. } => {
                self.cron_job = action.object::<CronJob>().unwrap().clone();
                None
            }
            Action::Delete { key, options, announcement, .. } => {
                assert_eq!(options.uid, Some(format!("uid-{}", key.name)));
                assert_eq!(options.propagation, Some(client::Propagation::Background));
                self.jobs.retain(|job| job.metadata.name.as_deref() != Some(&*key.name));
                announcement.as_ref().map(|told| (told, key.name.to_string()))
            }
            Action::Record(note) => {
                self.events.push(format!("{}: {}", note.reason, note.message));
                None
            }
            other => panic!("{}", other.summary()),
        };
        if let Some((told, name)) = told {
            self.events.push(format!("{}: {}", told.reason, (told.message)(&name)));
        }
    }

    /// Goes on to the next time that the controller asked for.
    fn wait(&mut self) -> &mut World {
        let pause = SignedDuration::try_from(self.pause.expect("it goes on")).unwrap();
        self.now = self.now.checked_add(pause).unwrap();
        self.settle()
    }

    /// Ends a Job now.
    fn end(&mut self, name: &str, how: &str) -> &mut World {
        let now = Timestamp::from_second(self.now.as_second()).unwrap().to_string();
        let job = self.jobs.iter_mut().find(|job| job.metadata.name.as_deref() == Some(name)).unwrap();
        let completion = (how == "Complete").then_some(&now);
        let status = json!({"startTime": now, "completionTime": completion, "conditions": [{"type": how, "status": "True"}]});
        job.status = serde_json::from_value(status).unwrap();
        self
    }

    fn names(&self) -> Vec<&str> {
        self.jobs.iter().map(|job| job.metadata.name.as_deref().unwrap()).collect()
    }

    fn active(&self) -> Vec<&str> {
        let active = self.cron_job.status.as_ref().and_then(|status| status.active.as_deref());
        active.unwrap_or_default().iter().map(|listed| listed.name.as_deref().unwrap()).collect()
    }

    fn last(&self) -> Option<String> {
        let status = self.cron_job.status.as_ref()?;
        status.last_schedule_time.as_ref().map(|time| time.0.to_string())
    }

    fn told(&mut self) -> Vec<String> {
        std::mem::take(&mut self.events)
    }
}

#[test]
fn a_job_is_made_of_the_template_and_recorded() {
    let mut world = World::new(json!({"schedule": "*/5 * * * *", "timeZone": "Asia/Kolkata"}));
    world.settle();
    assert_eq!((world.names().len(), world.pause), (0, Some(std::time::Duration::from_millis(300_100))));
    world.wait();
    // The minutes since 1970.
    assert_eq!((world.names(), world.active()), (vec!["tick-29453765"], vec!["tick-29453765"]));
    assert_eq!(world.last().as_deref(), Some("2026-01-01T00:05:00Z"));
    assert_eq!(world.pause, Some(std::time::Duration::from_secs(300)));
    assert_eq!(world.told(), ["SuccessfulCreate: Created job tick-29453765"]);
    let job = serde_json::to_value(&world.jobs[0]).unwrap();
    assert_eq!(job["metadata"]["labels"], json!({"app": "tick"}));
    let annotations = json!({"note": "kept", "batch.kubernetes.io/cronjob-scheduled-timestamp": "2026-01-01T05:35:00+05:30"});
    assert_eq!(job["metadata"]["annotations"], annotations);
    assert_eq!(
        job["metadata"]["ownerReferences"],
        json!([{"apiVersion": "batch/v1", "kind": "CronJob", "name": "tick", "uid": "cron-uid", "controller": true, "blockOwnerDeletion": true}])
    );
    assert_eq!(job["spec"], json!({"template": {}}));
    let active = serde_json::to_value(&world.cron_job.status).unwrap()["active"][0].clone();
    assert_eq!(
        (&active["kind"], &active["namespace"], &active["uid"]),
        (&json!("Job"), &json!("default"), &json!("uid-tick-29453765"))
    );
    assert!(plan(&world.snapshot(), world.now).is_empty());
}

#[test]
fn the_annotation_is_in_utc_without_a_zone() {
    let mut world = World::new(json!({})).at("2026-01-01T00:01:00Z");
    world.settle();
    let annotations = world.jobs[0].metadata.annotations.as_ref().unwrap();
    assert_eq!(annotations["batch.kubernetes.io/cronjob-scheduled-timestamp"], "2026-01-01T00:01:00Z");
}

#[test]
fn ended_jobs_leave_the_list() {
    let mut world = World::new(json!({}));
    world.settle().wait().wait();
    world.told();
    world.end("tick-29453761", "Failed").end("tick-29453762", "Complete").settle();
    assert_eq!(world.active(), Vec::<&str>::new());
    assert_eq!(
        world.told(),
        [
            "SawCompletedJob: Saw completed job: tick-29453761, condition: Failed",
            "SawCompletedJob: Saw completed job: tick-29453762, condition: Complete"
        ]
    );
    let status = serde_json::to_value(&world.cron_job.status).unwrap();
    assert_eq!(status["lastSuccessfulTime"], "2026-01-01T00:02:00Z");
    assert!(plan(&world.snapshot(), world.now).is_empty());
}

#[test]
fn jobs_that_vanish_leave_the_list() {
    let mut world = World::new(json!({}));
    world.settle().wait();
    world.told();
    world.jobs.clear();
    world.settle();
    assert_eq!((world.active(), world.names()), (vec![], vec![]));
    assert_eq!(world.told(), ["MissingJob: Active job went missing: tick-29453761"]);
}

#[test]
fn concurrency_is_as_the_policy_says() {
    let mut allow = World::new(json!({"concurrencyPolicy": "Allow"}));
    allow.settle().wait().wait();
    assert_eq!(allow.active(), ["tick-29453761", "tick-29453762"]);

    let mut forbid = World::new(json!({"concurrencyPolicy": "Forbid"}));
    forbid.settle().wait();
    forbid.told();
    forbid.wait();
    assert_eq!(forbid.active(), ["tick-29453761"]);
    assert_eq!(
        forbid.told(),
        [
            "JobAlreadyActive: Not starting job because prior execution is running and concurrency policy is Forbid"
        ]
    );
    // The start that was held back takes place when the job has ended.
    forbid.end("tick-29453761", "Complete").settle();
    assert_eq!(forbid.active(), ["tick-29453762"]);

    let mut replace = World::new(json!({"concurrencyPolicy": "Replace"}));
    replace.settle().wait();
    replace.told();
    replace.wait();
    assert_eq!((replace.active(), replace.names()), (vec!["tick-29453762"], vec!["tick-29453762"]));
    assert_eq!(
        replace.told(),
        ["SuccessfulDelete: Deleted job tick-29453761", "SuccessfulCreate: Created job tick-29453762"]
    );
}

#[test]
fn nothing_starts_while_suspended_or_in_deletion() {
    let mut world = World::new(json!({"suspend": true})).at("2026-01-01T00:10:00Z");
    world.settle();
    assert_eq!((world.names().len(), world.pause), (0, None));
    // Afterwards only the last of the missed starts is made up for.
    world.cron_job.spec.suspend = Some(false);
    world.settle();
    assert_eq!(world.names(), ["tick-29453770"]);

    let mut world = World::new(json!({})).at("2026-01-01T00:10:00Z");
    world.cron_job.metadata.deletion_timestamp =
        serde_json::from_value(json!("2026-01-01T00:09:00Z")).unwrap();
    world.settle();
    assert_eq!((world.names().len(), world.pause), (0, None));
}

#[test]
fn missed_starts_count_until_the_deadline() {
    for (schedule, deadline, now, made, told) in [
        ("0 * * * *", None, "2026-01-01T05:30:00Z", Some("tick-29454060"), vec![]),
        ("0 * * * *", Some(1801), "2026-01-01T05:30:00Z", Some("tick-29454060"), vec![]),
        // The deadline is later than the last time, so there is none to miss.
        ("0 * * * *", Some(60), "2026-01-01T05:30:00Z", None, vec![]),
        // Then such pauses are counted from it.
        ("@every 1h", Some(1800), "2026-01-01T05:30:00Z", None, vec![]),
        ("* * * * *", None, "2026-01-01T01:40:30Z", Some("tick-29453860"), vec![]),
        (
            "* * * * *",
            None,
            "2026-01-01T01:41:30Z",
            Some("tick-29453861"),
            vec![
                "TooManyMissedTimes: too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew",
            ],
        ),
        ("* * * * *", Some(600), "2026-01-01T01:41:30Z", Some("tick-29453861"), vec![]),
        // Pauses differ.
        ("30 6-16/4 * * 1-5", None, "2026-01-02T11:00:00Z", Some("tick-29455830"), vec![]),
        // The estimate is beyond the last one.
        ("30 6-16/4 * * 1-5", None, "2026-01-05T05:00:00Z", None, vec![]),
    ] {
        let mut world =
            World::new(json!({"schedule": schedule, "startingDeadlineSeconds": deadline})).at(now);
        world.settle();
        assert_eq!(world.names(), made.into_iter().collect::<Vec<_>>(), "{schedule} {deadline:?} {now}");
        let mut events = world.told();
        events.retain(|event| !event.starts_with("SuccessfulCreate"));
        assert_eq!(events, told, "{schedule} {deadline:?} {now}");
        assert!(world.pause.is_some());
    }
}

#[test]
fn a_start_beyond_the_deadline_is_left_out() {
    let mut world = World::new(json!({"startingDeadlineSeconds": 0})).at("2026-01-01T00:01:00.5Z");
    world.cron_job.status =
        serde_json::from_value(json!({"lastScheduleTime": "2026-01-01T00:00:00Z"})).unwrap();
    world.settle();
    assert_eq!(world.names(), Vec::<&str>::new());
    assert_eq!(world.pause, Some(std::time::Duration::from_millis(59_600)));
}

#[test]
fn what_cannot_be_followed_is_told() {
    for (spec, event) in [
        (
            json!({"timeZone": "Europe/Atlantis"}),
            r#"UnknownTimeZone: invalid timeZone: "Europe/Atlantis": unknown time zone Europe/Atlantis"#,
        ),
        (
            json!({"schedule": "* * *"}),
            r#"UnparseableSchedule: unparseable schedule: "* * *" : expected exactly 5 fields, found 3: [* * *]"#,
        ),
        (
            json!({"schedule": "59 23 31 2 *"}),
            "InvalidSchedule: invalid schedule: 59 23 31 2 * : time difference between two schedules is less than 1 second",
        ),
    ] {
        let mut world = World::new(spec).at("2026-01-01T00:10:00Z");
        world.settle();
        assert_eq!((world.told(), world.names().len(), world.pause), (vec![event.to_owned()], 0, None));
    }
    let mut old = World::new(json!({"schedule": "TZ=Asia/Tokyo 0 9 * * *"})).at("2026-01-02T00:00:00Z");
    old.settle();
    assert_eq!(old.names(), ["tick-29455200"]);
    assert_eq!(
        old.told()[0],
        "UnsupportedSchedule: CRON_TZ or TZ used in schedule \"TZ=Asia/Tokyo 0 9 * * *\" is not officially supported, see https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/ for more details"
    );
}

#[test]
fn the_history_is_limited() {
    let mut world = World::new(json!({"successfulJobsHistoryLimit": 2, "failedJobsHistoryLimit": 0}));
    world.settle();
    for minute in 61..65 {
        world.wait().end(&format!("tick-294537{minute}"), "Complete").settle();
    }
    assert_eq!(world.names(), ["tick-29453763", "tick-29453764"]);
    world.wait();
    world.told();
    world.end("tick-29453765", "Failed").settle();
    assert_eq!(world.names(), ["tick-29453763", "tick-29453764"]);
    assert_eq!(world.active(), Vec::<&str>::new());
    assert_eq!(world.told(), ["SuccessfulDelete: Deleted job tick-29453765"]);
}

#[test]
fn only_jobs_of_the_cron_job_count() {
    let mut world = World::new(json!({"concurrencyPolicy": "Forbid"})).at("2026-01-01T00:00:30Z");
    let job = |name: &str, owner: Json| -> Job {
        let meta = json!({"name": name, "namespace": "default", "uid": format!("uid-{name}"), "ownerReferences": owner});
        serde_json::from_value(json!({"metadata": meta, "spec": {"template": {}}})).unwrap()
    };
    let owner = |uid: &str| json!([{"apiVersion": "batch/v1", "kind": "CronJob", "name": "tick", "uid": uid, "controller": true}]);
    // An orphan, one of another CronJob, and one that a user started by hand: only the last gets an event, and none is listed.
    world.jobs =
        vec![job("orphan", json!([])), job("other", owner("other-uid")), job("by-hand", owner("cron-uid"))];
    world.settle();
    assert_eq!(
        world.told(),
        ["UnexpectedJob: Saw a job that the controller did not create or forgot: by-hand"]
    );
    // Nor does any of them keep others from starting, unless it has the name.
    world.wait();
    assert_eq!(
        (world.active(), world.last().as_deref()),
        (vec!["tick-29453761"], Some("2026-01-01T00:01:00Z"))
    );
    world.end("tick-29453761", "Complete");
    world.jobs.push(job("tick-29453762", json!([])));
    world.wait();
    assert_eq!((world.active(), world.last().as_deref()), (vec![], Some("2026-01-01T00:01:00Z")));
}

#[test]
fn a_job_is_recorded_if_the_process_ended_before() {
    let mut world = World::new(json!({"concurrencyPolicy": "Forbid"})).at("2026-01-01T00:01:00Z");
    let first = plan(&world.snapshot(), world.now);
    first.actions().iter().for_each(|action| world.carry_out(action));
    assert_eq!(world.active(), Vec::<&str>::new());
    // A new process looks much later.
    let mut world = world.at("2026-01-01T00:07:30Z");
    world.told();
    world.settle();
    assert_eq!(
        (world.active(), world.last().as_deref()),
        (vec!["tick-29453761"], Some("2026-01-01T00:01:00Z"))
    );
    assert!(world.told().iter().all(|event| event.starts_with("JobAlreadyActive")));
}

#[test]
fn a_year_goes_by_with_its_changes_of_clocks() {
    for (schedule, zone, starts, missed, doubled) in [
        ("30 2 * * *", "Europe/Berlin", 365, Some("2026-03-29"), Some("2026-10-25")),
        ("30 2 * * *", "America/New_York", 365, Some("2026-03-08"), None),
        ("30 1 * * *", "America/New_York", 366, None, Some("2026-11-01")),
        ("30 2 * * *", "Asia/Tokyo", 365, None, None),
        ("@daily", "Europe/Berlin", 365, None, None),
        // On two days the clocks change by half an hour, and upstream's steps of an hour miss the first quarter.
        ("15 */6 * * *", "Australia/Lord_Howe", 1458, None, None),
    ] {
        let mut world =
            World::new(json!({"schedule": schedule, "timeZone": zone, "successfulJobsHistoryLimit": 3}));
        let end = time("2027-01-01T00:00:00Z");
        let mut days = Vec::new();
        world.settle();
        loop {
            world.wait();
            if world.now >= end {
                break;
            }
            let name = world.active()[0].to_owned();
            let job = world.jobs.iter().find(|job| job.metadata.name.as_deref() == Some(&*name)).unwrap();
            let local = &job.metadata.annotations.as_ref().unwrap()["batch.kubernetes.io/cronjob-scheduled-timestamp"];
            days.push(local[..10].to_owned());
            world.end(&name, "Complete").settle();
            assert!(world.jobs.len() <= 3);
        }
        let count = |day: &str| days.iter().filter(|other| *other == day).count();
        let expected = if zone == "America/New_York" && missed.is_some() { starts - 1 } else { starts };
        assert_eq!(days.len(), expected, "{schedule} {zone}");
        assert!(missed.is_none_or(|day| count(day) == 0), "{schedule} {zone}");
        assert!(doubled.is_none_or(|day| count(day) == 2), "{schedule} {zone}");
        let told = world.told();
        let odd = told.iter().find(|event| {
            !["SuccessfulCreate", "SuccessfulDelete", "SawCompletedJob"]
                .iter()
                .any(|reason| event.starts_with(reason))
        });
        assert_eq!(odd, None, "{schedule} {zone}");
    }
}
