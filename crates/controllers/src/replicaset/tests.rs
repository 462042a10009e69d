use jiff::SignedDuration;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod, PodCondition, PodSpec, PodStatus, PodTemplateSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};

use super::*;
use crate::framework::{Action, controller_reference};

fn start() -> Timestamp {
    "2026-01-01T00:00:00Z".parse().unwrap()
}

fn ago(seconds: i64) -> Option<Time> {
    Some(Time(start() - SignedDuration::from_secs(seconds)))
}

fn app() -> crate::framework::labels::Labels {
    [("app".to_owned(), "web".to_owned())].into()
}

fn replica_set(replicas: i32) -> ReplicaSet {
    let mut replica_set = ReplicaSet::default();
    replica_set.metadata.name = Some("web".into());
    replica_set.metadata.namespace = Some("default".into());
    replica_set.metadata.uid = Some("rs-uid".into());
    replica_set.metadata.generation = Some(3);
    replica_set.spec.replicas = Some(replicas);
    replica_set.spec.selector.match_labels = Some(app());
    replica_set.spec.template = Some(PodTemplateSpec {
        metadata: Some(ObjectMeta { labels: Some(app()), ..ObjectMeta::default() }),
        spec: Some(PodSpec::default()),
    });
    replica_set
}

/// A pod of the ReplicaSet: running on a node, ready for this number of seconds.
fn pod(of: &ReplicaSet, name: &str, ready_for: Option<i64>) -> Pod {
    let mut pod = Pod::default();
    pod.metadata.name = Some(name.into());
    pod.metadata.namespace = Some("default".into());
    pod.metadata.uid = Some(format!("uid-{name}"));
    pod.metadata.labels = Some(app());
    pod.metadata.creation_timestamp = ago(ready_for.unwrap_or(0) + 10);
    pod.metadata.owner_references = Some(vec![controller_reference(of)]);
    pod.spec = Some(PodSpec { node_name: Some(format!("node-{name}")), ..PodSpec::default() });
    pod.status = Some(PodStatus {
        phase: Some("Running".into()),
        conditions: Some(vec![PodCondition {
            type_: "Ready".into(),
            status: if ready_for.is_some() { "True" } else { "False" }.into(),
            last_transition_time: ago(ready_for.unwrap_or(0)),
            ..PodCondition::default()
        }]),
        ..PodStatus::default()
    });
    pod
}

fn snapshot<K: Replicated>(owner: K, pods: Vec<Pod>) -> Snapshot<K> {
    let pods: Vec<_> = pods.iter().map(crate::pods::lean).collect();
    Snapshot { owner: Arc::new(owner), related: pods.clone(), pods }
}

fn deleted(plan: &Plan) -> Vec<String> {
    let mut names: Vec<_> = plan
        .actions()
        .into_iter()
        .filter_map(|action| match action {
            Action::Delete { key, .. } => Some(key.name.to_string()),
            _ => None,
        })
        .collect();
    names.sort();
    names
}

fn created(plan: &Plan) -> Vec<Pod> {
    plan.actions().into_iter().filter_map(Action::object::<Pod>).cloned().collect()
}

fn status(plan: &Plan) -> k8s_openapi::api::apps::v1::ReplicaSetStatus {
    let written = plan.actions().into_iter().filter_map(Action::object::<ReplicaSet>).next();
    written.expect("the status is written").status.clone().unwrap()
}

#[test]
fn missing_pods_are_created_from_the_template() {
    let owner = replica_set(3);
    let plan = plan::plan(&snapshot(owner.clone(), vec![pod(&owner, "a", Some(5))]), start());
    let created = created(&plan);
    assert_eq!(created.len(), 2);
    let meta = &created[0].metadata;
    assert_eq!((meta.generate_name.as_deref(), &meta.name), (Some("web-"), &None));
    assert_eq!(meta.labels, Some(app()));
    assert_eq!(meta.owner_references, Some(vec![controller_reference(&owner)]));
    assert_eq!(created[0].spec, Some(PodSpec::default()));
}

#[test]
fn creation_is_bounded() {
    let plan = plan::plan(&snapshot(replica_set(10_000), vec![]), start());
    assert_eq!(created(&plan).len(), 500);
}

#[test]
fn ended_and_ending_pods_do_not_count() {
    let owner = replica_set(1);
    let mut failed = pod(&owner, "failed", None);
    failed.status.as_mut().unwrap().phase = Some("Failed".into());
    let mut ending = pod(&owner, "ending", Some(5));
    ending.metadata.deletion_timestamp = ago(1);
    let plan = plan::plan(&snapshot(owner, vec![failed, ending]), start());
    assert_eq!(created(&plan).len(), 1);
    let status = status(&plan);
    assert_eq!((status.replicas, status.terminating_replicas), (0, Some(1)));
}

#[test]
fn the_least_valuable_go_first() {
    type Change = fn(&mut Pod);
    // Each pair: what makes the pod `x` go rather than `y`, and what `y` has against it.
    let cases: [(&str, Change, Change); 8] = [
        ("not assigned", |x| x.spec.as_mut().unwrap().node_name = None, |_| {}),
        ("pending", |x| x.status.as_mut().unwrap().phase = Some("Pending".into()), |_| {}),
        ("not ready", |x| x.status.as_mut().unwrap().conditions = None, |_| {}),
        (
            "cheap",
            |_| {},
            |y| {
                let cost = ("controller.kubernetes.io/pod-deletion-cost".to_owned(), "10".to_owned());
                y.metadata.annotations = Some([cost].into());
            },
        ),
        ("shares its node", |x| x.spec.as_mut().unwrap().node_name = Some("node-z".into()), |_| {}),
        (
            "ready only now",
            |x| x.status.as_mut().unwrap().conditions.as_mut().unwrap()[0].last_transition_time = ago(1),
            |_| {},
        ),
        (
            "restarted",
            |x| {
                let status = ContainerStatus { restart_count: 3, ..ContainerStatus::default() };
                x.metadata.uid = Some("same".into());
                x.status.as_mut().unwrap().container_statuses = Some(vec![status]);
            },
            |y| y.metadata.uid = Some("same".into()),
        ),
        (
            "young",
            |x| {
                x.metadata.uid = Some("same".into());
                x.metadata.creation_timestamp = ago(2);
            },
            |y| y.metadata.uid = Some("same".into()),
        ),
    ];
    for (why, change_x, change_y) in cases {
        let owner = replica_set(2);
        let mut x = pod(&owner, "x", Some(1000));
        let mut y = pod(&owner, "y", Some(1000));
        let mut z = pod(&owner, "z", Some(1_000_000));
        // `z` is worth keeping in every respect.
        let cost = ("controller.kubernetes.io/pod-deletion-cost".to_owned(), "100".to_owned());
        z.metadata.annotations = Some([cost].into());
        change_x(&mut x);
        change_y(&mut y);
        for pods in [vec![x.clone(), y.clone(), z.clone()], vec![z.clone(), y.clone(), x.clone()]] {
            let plan = plan::plan(&snapshot(owner.clone(), pods), start());
            assert_eq!(deleted(&plan), ["x"], "{why}");
        }
    }
}

#[test]
fn similar_ages_are_decided_by_uid() {
    let owner = replica_set(1);
    let (mut x, mut y) = (pod(&owner, "x", Some(1000)), pod(&owner, "y", Some(900)));
    x.metadata.uid = Some("1".into());
    y.metadata.uid = Some("2".into());
    let plan = plan::plan(&snapshot(owner, vec![x, y]), start());
    assert_eq!(deleted(&plan), ["x"], "not the one that became ready later");
}

#[test]
fn status_counts_and_then_stands_still() {
    let mut owner = replica_set(3);
    owner.spec.min_ready_seconds = Some(30);
    let mut unlabelled = pod(&owner, "c", Some(100));
    owner
        .spec
        .template
        .as_mut()
        .unwrap()
        .metadata
        .as_mut()
        .unwrap()
        .labels
        .as_mut()
        .unwrap()
        .insert("new".into(), "label".into());
    unlabelled.metadata.labels.as_mut().unwrap().insert("new".into(), "label".into());
    let pods = vec![pod(&owner, "a", Some(10)), pod(&owner, "b", None), unlabelled];
    let plan = plan::plan(&snapshot(owner.clone(), pods.clone()), start());
    let status = status(&plan);
    assert_eq!(status.replicas, 3);
    assert_eq!((status.ready_replicas, status.available_replicas), (Some(2), Some(1)));
    assert_eq!((status.fully_labeled_replicas, status.observed_generation), (Some(1), Some(3)));
    assert_eq!(plan.requeue_after.unwrap().as_secs(), 20, "when `a` has been ready for 30 seconds");
    owner.status = Some(status);
    assert!(plan::plan(&snapshot(owner, pods), start()).is_empty());
}

#[test]
fn failures_are_told_and_shown_until_all_is_well() {
    let mut owner = replica_set(1);
    let plan = plan::plan(&snapshot(owner.clone(), vec![]), start());
    let error = object::Status::forbidden("", "pods", "web-x", "exceeded quota").into();
    let failure = Failure { action: plan.actions()[0].clone(), error };
    let remedy = plan::recover(&snapshot(owner.clone(), vec![]), &[failure], start());
    assert!(matches!(remedy.actions()[0], Action::Record(note) if note.reason == "FailedCreate"
        && note.message == "Error creating: pods \"web-x\" is forbidden: exceeded quota"));
    let shown = status(&remedy);
    assert_eq!(shown.conditions.as_ref().unwrap()[0].reason.as_deref(), Some("FailedCreate"));
    owner.status = Some(shown);
    let pods = vec![pod(&owner, "a", Some(1))];
    let plan = plan::plan(&snapshot(owner, pods), start());
    assert_eq!(status(&plan).conditions, None);
}

#[test]
fn a_failure_is_told_with_what_is_behind_it() {
    let owner = replica_set(1);
    let plan = plan::plan(&snapshot(owner.clone(), vec![]), start());
    let refused = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
    let error = client::ClientError::transport("send the request", refused);
    let failure = Failure { action: plan.actions()[0].clone(), error };
    let remedy = plan::recover(&snapshot(owner, vec![]), &[failure], start());
    let why = "send the request: connection refused";
    assert!(
        matches!(remedy.actions()[0], Action::Record(note) if note.message == format!("Error creating: {why}"))
    );
    let shown = status(&remedy).conditions.unwrap();
    assert_eq!(shown[0].message.as_deref(), Some(why));
}

#[test]
fn orphans_are_adopted_and_mismatches_released() {
    let owner = replica_set(1);
    let mut orphan = pod(&owner, "orphan", Some(1));
    orphan.metadata.owner_references = None;
    let mut mismatch = pod(&owner, "mismatch", Some(1));
    mismatch.metadata.labels = None;
    let mut dying = orphan.clone();
    dying.metadata.deletion_timestamp = ago(1);
    let plan = plan::plan(&snapshot(owner, vec![orphan, mismatch, dying]), start());
    let patched: Vec<_> = plan
        .actions()
        .into_iter()
        .filter_map(|action| match action {
            Action::Patch { key, .. } => Some(key.name.to_string()),
            _ => None,
        })
        .collect();
    assert_eq!(patched, ["mismatch", "orphan"]);
    assert_eq!(plan.actions().len(), 3, "and a look whether the owner is still there");
}

#[test]
fn what_is_being_deleted_makes_no_pods() {
    let mut owner = replica_set(1);
    owner.metadata.deletion_timestamp = ago(1);
    let plan = plan::plan(&snapshot(owner, vec![]), start());
    assert!(created(&plan).is_empty());
}
