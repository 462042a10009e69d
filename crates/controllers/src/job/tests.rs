use client::Patch;
use jiff::SignedDuration;
use k8s_openapi::api::batch::v1::JobStatus;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::{Value, json};

use super::*;
use crate::framework::{Action, controller_reference};
use tracked::{FINALIZER, INDEX};

mod counted;
mod ending;
mod indexed;
mod policies;
mod suspension;

fn start() -> Timestamp {
    "2026-01-01T00:00:00Z".parse().unwrap()
}

fn at(seconds: i64) -> Timestamp {
    start() + SignedDuration::from_secs(seconds)
}

/// A Job with this spec, in addition to the defaults.
fn job(spec: Value) -> Job {
    let mut whole = json!({
        "parallelism": 1, "backoffLimit": 6, "completionMode": "NonIndexed", "suspend": false,
        "podReplacementPolicy": "TerminatingOrFailed", "selector": {"matchLabels": {"job": "sum"}},
        "template": {"metadata": {"labels": {"job": "sum"}}, "spec": {"restartPolicy": "Never", "containers": [{"name": "c"}]}},
    });
    whole.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
    serde_json::from_value(json!({
        "metadata": {"name": "sum", "namespace": "default", "uid": "job-uid", "resourceVersion": "1"}, "spec": whole,
    }))
    .unwrap()
}

/// A pod of the Job, not counted yet, with this status.
fn pod(of: &Job, name: &str, status: Value) -> Pod {
    let mut pod: Pod = serde_json::from_value(json!({
        "metadata": {
            "name": name, "namespace": "default", "uid": name, "labels": {"job": "sum"}, "finalizers": [FINALIZER],
            "creationTimestamp": start(), "annotations": {},
        },
        "status": status,
    }))
    .unwrap();
    pod.metadata.owner_references = Some(vec![controller_reference(of)]);
    pod
}

fn running(of: &Job, name: &str) -> Pod {
    pod(
        of,
        name,
        json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": start()}]}),
    )
}

fn succeeded(of: &Job, name: &str) -> Pod {
    pod(of, name, json!({"phase": "Succeeded"}))
}

/// One whose container ended with this code, so many seconds after the start.
fn failed(of: &Job, name: &str, code: i32, seconds: i64) -> Pod {
    let state = json!({"terminated": {"exitCode": code, "finishedAt": at(seconds)}});
    pod(
        of,
        name,
        json!({"phase": "Failed", "containerStatuses": [{"name": "c", "restartCount": 0, "state": state, "image": "", "imageID": "", "ready": false}]}),
    )
}

fn with_index(mut pod: Pod, index: i32) -> Pod {
    pod.metadata.annotations.get_or_insert_default().insert(INDEX.into(), index.to_string());
    pod
}

/// A Job, its pods, and the controller's memory: each look carries out the plan as the server and the nodes would.
struct World {
    job: Job,
    pods: Vec<Pod>,
    backoff: Backoff,
    now: Timestamp,
    made: usize,
}

impl World {
    fn new(job: Job) -> World {
        World { job, pods: Vec::new(), backoff: Backoff::default(), now: start(), made: 0 }
    }

    fn with(mut self, pods: Vec<Pod>) -> World {
        self.pods = pods;
        self
    }

    fn look(&mut self) -> facts::Snapshot {
        let pods: Vec<_> = self.pods.iter().map(crate::pods::lean).collect();
        self.backoff.follow(&self.job, &pods);
        facts::Snapshot { job: Arc::new(self.job.clone()), pods, backoff: self.backoff.clone() }
    }

    fn plan(&mut self) -> Plan {
        let snapshot = self.look();
        plan::plan(&snapshot, self.now)
    }

    /// Carries out one plan, and returns it.
    fn step(&mut self) -> Plan {
        let plan = self.plan();
        for action in plan.actions() {
            self.carry_out(action);
        }
        plan
    }

    fn carry_out(&mut self, action: &Action) {
        match action {
            Action::Create { object, .. } => {
                let mut pod = object.get::<Pod>().unwrap().clone();
                self.made += 1;
                let name = format!("{}{}", pod.metadata.generate_name.as_deref().unwrap(), self.made);
                (pod.metadata.uid, pod.metadata.name) = (Some(name.clone()), Some(name));
                pod.metadata.creation_timestamp = Some(Time(self.now));
                pod.status.get_or_insert_default().phase = Some("Pending".into());
                self.pods.push(pod);
            }
            Action::Update { object, .. } => self.job = object.get::<Job>().unwrap().clone(),
            Action::Patch { key, .. } => {
                let pod = self
                    .pods
                    .iter_mut()
                    .find(|pod| pod.metadata.name.as_deref() == Some(&*key.name))
                    .unwrap();
                pod.metadata.finalizers = None;
            }
            Action::Delete { key, .. } => {
                let pod = self
                    .pods
                    .iter_mut()
                    .find(|pod| pod.metadata.name.as_deref() == Some(&*key.name))
                    .unwrap();
                pod.metadata.deletion_timestamp = Some(Time(self.now));
            }
            _ => {}
        }
        // What is being deleted goes once nothing holds it and no node runs it.
        self.pods.retain(|pod| {
            let is_held = pod.metadata.finalizers.is_some()
                || pod.status.as_ref().unwrap().phase.as_deref() == Some("Running");
            pod.metadata.deletion_timestamp.is_none() || is_held
        });
    }

    /// Looks until there is nothing to do, and returns what was done.
    fn settle(&mut self) -> Vec<Plan> {
        let mut plans = Vec::new();
        for _ in 0..20 {
            let plan = self.step();
            if plan.is_empty() {
                return plans;
            }
            plans.push(plan);
        }
        panic!("it does not come to rest: {:?}", plans.last().unwrap().actions());
    }

    fn status(&self) -> JobStatus {
        self.job.status.clone().unwrap_or_default()
    }

    /// Types and reasons of the conditions that hold.
    fn conditions(&self) -> Vec<String> {
        let all = self.status().conditions.unwrap_or_default();
        let holding = all.into_iter().filter(|condition| condition.status == "True");
        holding
            .map(|condition| format!("{} {}", condition.type_, condition.reason.unwrap_or_default()))
            .collect()
    }

    fn active(&self) -> Vec<&Pod> {
        self.pods.iter().filter(|pod| semantics::pods::is_active(*pod)).collect()
    }

    fn end(&mut self, name: &str, phase: &str) {
        let pod = self.pods.iter_mut().find(|pod| pod.metadata.name.as_deref() == Some(name)).unwrap();
        pod.status.as_mut().unwrap().phase = Some(phase.into());
    }

    /// Ends all active pods.
    fn end_all(&mut self, phase: &str) {
        let names: Vec<String> = self.active().iter().filter_map(|pod| pod.metadata.name.clone()).collect();
        names.iter().for_each(|name| self.end(name, phase));
    }
}

fn notes(plans: &[Plan]) -> Vec<String> {
    let actions = plans.iter().flat_map(Plan::actions);
    actions
        .filter_map(|action| match action {
            Action::Record(note) => Some(format!("{:?} {}: {}", note.kind, note.reason, note.message)),
            _ => None,
        })
        .collect()
}

fn names(of: impl IntoIterator<Item = Action>) -> Vec<String> {
    of.into_iter()
        .filter_map(|action| match action {
            Action::Delete { key, .. } => Some(key.name.to_string()),
            _ => None,
        })
        .collect()
}

fn deleted(plan: &Plan) -> Vec<String> {
    names(plan.actions().into_iter().cloned())
}

#[test]
fn pods_are_made_until_enough_have_succeeded() {
    let mut world = World::new(job(json!({"completions": 3, "parallelism": 2})));
    world.settle();
    assert_eq!(world.active().len(), 2);
    let made = world.active()[0].clone();
    assert_eq!(made.metadata.generate_name.as_deref(), Some("sum-"));
    assert_eq!(made.metadata.finalizers, Some(vec![FINALIZER.to_owned()]));
    assert_eq!(made.metadata.owner_references, Some(vec![controller_reference(&world.job)]));
    let status = world.status();
    assert_eq!((status.active, status.ready, status.terminating), (Some(2), Some(0), Some(0)));
    assert_eq!(status.start_time, Some(Time(start())));
    world.end("sum-1", "Succeeded");
    world.settle();
    assert_eq!((world.active().len(), world.status().succeeded), (2, Some(1)));
    world.end("sum-2", "Succeeded");
    world.settle();
    assert_eq!((world.active().len(), world.status().succeeded), (1, Some(2)), "no more than are missing");
    world.end("sum-3", "Succeeded");
    world.now = at(60);
    let plans = world.settle();
    let status = world.status();
    assert_eq!(
        (status.active, status.succeeded, status.completion_time),
        (None, Some(3), Some(Time(at(60))))
    );
    assert_eq!(world.conditions(), ["SuccessCriteriaMet CompletionsReached", "Complete CompletionsReached"]);
    assert_eq!(notes(&plans), ["Normal Completed: Job completed"]);
    assert!(world.pods.iter().all(|pod| pod.metadata.finalizers.is_none()));
}

#[test]
fn a_queue_of_work_is_done_when_one_succeeds_and_all_have_ended() {
    let mut world = World::new(job(json!({"parallelism": 3})));
    world.settle();
    assert_eq!(world.active().len(), 3);
    world.end("sum-1", "Succeeded");
    world.settle();
    assert_eq!((world.active().len(), world.conditions().len()), (2, 0), "nobody new, and nobody is stopped");
    world.end("sum-2", "Failed");
    world.settle();
    assert_eq!((world.active().len(), world.status().failed), (1, Some(1)));
    world.end("sum-3", "Succeeded");
    world.settle();
    assert_eq!((world.status().succeeded, world.conditions().len()), (Some(2), 2));
}

#[test]
fn too_many_pods_are_deleted_without_counting_as_failed() {
    let owner = job(json!({"completions": 5, "parallelism": 1}));
    let mut idle = running(&owner, "idle");
    idle.status.as_mut().unwrap().conditions = None;
    let mut world = World::new(owner.clone()).with(vec![idle, running(&owner, "a"), running(&owner, "b")]);
    let plan = world.step();
    let mut gone = deleted(&plan);
    gone.sort();
    assert_eq!(gone, ["a", "idle"], "the one that is not ready, and of two equal ones the first");
    let status = world.status();
    assert_eq!(
        (status.active, status.ready, status.terminating, status.failed),
        (Some(1), Some(1), Some(2), None)
    );
    world.settle();
    assert_eq!(world.status().failed, None);
}

#[test]
fn creation_is_bounded() {
    let mut world = World::new(job(json!({"parallelism": 2000, "completions": 2000})));
    assert_eq!(world.plan().actions().iter().filter(|action| action.object::<Pod>().is_some()).count(), 500);
}

#[test]
fn every_pod_is_counted_once_wherever_the_controller_stops() {
    let owner = job(json!({"completions": 2, "parallelism": 2}));
    for stops_after in 0..4 {
        let mut world = World::new(owner.clone());
        world.pods = vec![succeeded(&owner, "a"), failed(&owner, "b", 1, 0), running(&owner, "c")];
        // Some actions of the first plan are done; then another process takes over.
        let plan = world.plan();
        plan.actions().into_iter().take(stops_after).for_each(|action| world.carry_out(action));
        world.backoff = Backoff::default();
        world.settle();
        let status = world.status();
        assert_eq!((status.succeeded, status.failed), (Some(1), Some(1)), "after {stops_after}");
        assert_eq!(status.uncounted_terminated_pods, Some(Default::default()));
    }
}

#[test]
fn names_in_the_status_are_bounded() {
    let owner = job(json!({"completions": 700, "parallelism": 700}));
    let pods = (0..700).map(|at| succeeded(&owner, &format!("p{at}"))).collect();
    let mut world = World::new(owner).with(pods);
    world.step();
    let named = world.status().uncounted_terminated_pods.unwrap().succeeded.unwrap();
    assert_eq!(named.len(), 500);
    world.settle();
    assert_eq!((world.status().succeeded, world.conditions().len()), (Some(700), 2));
}

#[test]
fn failed_creations_are_told_and_the_start_is_noted() {
    let mut world = World::new(job(json!({"completions": 1})));
    let snapshot = world.look();
    let plan = plan::plan(&snapshot, start());
    let error = object::Status::forbidden("", "pods", "sum-x", "exceeded quota").into();
    let failure = Failure { action: plan.actions()[0].clone(), error };
    let remedy = plan::recover(&snapshot, &[failure], start());
    let told = "Warning FailedCreate: Error creating: pods \"sum-x\" is forbidden: exceeded quota";
    assert_eq!(notes(std::slice::from_ref(&remedy)), [told]);
    let written =
        remedy.actions().into_iter().find_map(Action::object::<Job>).unwrap().status.clone().unwrap();
    assert_eq!((written.start_time, written.active), (Some(Time(start())), None));
}

#[test]
fn orphans_are_adopted_with_the_finalizer_and_mismatches_released_without() {
    let owner = job(json!({"completions": 5, "parallelism": 5}));
    let mut orphan = running(&owner, "orphan");
    (orphan.metadata.owner_references, orphan.metadata.finalizers) = (None, None);
    let mut mismatch = running(&owner, "mismatch");
    mismatch.metadata.labels = None;
    let mut world = World::new(owner).with(vec![orphan, mismatch]);
    let plan = world.plan();
    let patches: Vec<(String, Value)> = plan
        .actions()
        .into_iter()
        .filter_map(|action| match action {
            Action::Patch { key, patch: client::Patch::Strategic(patch), .. } => {
                Some((key.name.to_string(), patch.clone()))
            }
            _ => None,
        })
        .collect();
    assert_eq!(patches[0].0, "mismatch");
    assert_eq!(patches[0].1["metadata"]["$deleteFromPrimitiveList/finalizers"], json!([FINALIZER]));
    assert_eq!(patches[1].0, "orphan");
    assert_eq!(patches[1].1["metadata"]["finalizers"], json!([FINALIZER]));
    assert_eq!(patches[1].1["metadata"]["ownerReferences"][0]["uid"], "job-uid");
    assert_eq!(plan.actions().len(), 3, "and a look whether the Job is still there");
}

#[test]
fn a_job_of_another_controller_is_left_alone() {
    for (manager, acts) in [("example.com/queue", false), ("kubernetes.io/job-controller", true)] {
        let mut world = World::new(job(json!({"completions": 1, "managedBy": manager})));
        assert_eq!(!world.plan().is_empty(), acts, "{manager}");
    }
}

#[test]
fn pods_of_a_job_that_is_being_deleted_are_let_go() {
    let mut owner = job(json!({"completions": 2, "parallelism": 2}));
    owner.metadata.deletion_timestamp = Some(Time(start()));
    let mut world = World::new(owner.clone()).with(vec![running(&owner, "a")]);
    let plan = world.step();
    assert!(plan.actions().iter().all(|action| action.object::<Pod>().is_none()), "no new ones");
    assert_eq!(world.pods[0].metadata.finalizers, None);
}

#[test]
fn an_orphan_loses_its_finalizer() {
    let owner = job(json!({"completions": 1}));
    let pod = crate::pods::lean(&running(&owner, "a"));
    assert!(orphan::may_be(&pod));
    for (is_counted, actions) in [(true, 0), (false, 1)] {
        assert_eq!(Orphan { pod: Arc::clone(&pod), is_counted }.plan().actions().len(), actions);
    }
    // A Job that adopts it meanwhile has its finalizer.
    let action = tracked::untrack_unless_changed(&pod);
    let Action::Patch { patch: Patch::Strategic(patch), .. } = &action else { panic!("{action:?}") };
    assert_eq!(patch["metadata"]["resourceVersion"], pod.metadata.resource_version.to_string());
    let mut other = running(&owner, "b");
    other.metadata.owner_references.as_mut().unwrap()[0].kind = "Workflow".into();
    assert!(!orphan::may_be(&crate::pods::lean(&other)), "that is another controller's business");
}
