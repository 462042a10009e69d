use jiff::SignedDuration;
use k8s_openapi::api::apps::v1::{
    DeploymentStatus, DeploymentStrategy, ReplicaSetStatus, RollingUpdateDeployment,
};
use k8s_openapi::api::core::v1::{Container, Pod, PodSpec, PodTemplateSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::*;
use crate::framework::{Action, api_time, controller_reference};

const START: &str = "2026-01-01T00:00:00Z";

fn start() -> Timestamp {
    START.parse().unwrap()
}

fn after(seconds: i64) -> Timestamp {
    start() + SignedDuration::from_secs(seconds)
}

fn template(image: &str) -> PodTemplateSpec {
    let container = Container { name: "web".into(), image: Some(image.into()), ..Container::default() };
    PodTemplateSpec {
        metadata: Some(ObjectMeta { labels: Some(app()), ..ObjectMeta::default() }),
        spec: Some(PodSpec { containers: vec![container], ..PodSpec::default() }),
    }
}

fn app() -> crate::framework::labels::Labels {
    [("app".to_owned(), "web".to_owned())].into()
}

/// A Deployment of image `v2`.
fn deployment(replicas: i32, surge: &str, unavailable: &str) -> Deployment {
    let limit = |text: &str| match text.parse() {
        Ok(number) => IntOrString::Int(number),
        Err(_) => IntOrString::String(text.into()),
    };
    let mut deployment = Deployment::default();
    deployment.metadata.name = Some("web".into());
    deployment.metadata.namespace = Some("default".into());
    deployment.metadata.uid = Some("deployment-uid".into());
    deployment.metadata.generation = Some(1);
    let spec = &mut deployment.spec;
    spec.replicas = Some(replicas);
    spec.selector.match_labels = Some(app());
    spec.template = template("v2");
    spec.progress_deadline_seconds = Some(600);
    spec.revision_history_limit = Some(2);
    spec.strategy = Some(DeploymentStrategy {
        type_: Some("RollingUpdate".into()),
        rolling_update: Some(RollingUpdateDeployment {
            max_surge: Some(limit(surge)),
            max_unavailable: Some(limit(unavailable)),
        }),
    });
    deployment
}

fn recreating(replicas: i32) -> Deployment {
    let mut deployment = deployment(replicas, "0", "0");
    deployment.spec.strategy =
        Some(DeploymentStrategy { type_: Some("Recreate".into()), rolling_update: None });
    deployment
}

/// A ReplicaSet of the Deployment, named after its image, with its annotations in order.
fn replica_set(of: &Deployment, image: &str, wanted: i32, available: i32) -> ReplicaSet {
    let mut replica_set = ReplicaSet::default();
    let revision: i64 = image.trim_start_matches('v').parse().unwrap();
    let meta = &mut replica_set.metadata;
    meta.name = Some(image.into());
    meta.namespace = Some("default".into());
    meta.uid = Some(format!("uid-{image}"));
    meta.labels = Some(app());
    meta.creation_timestamp = Some(Time(after(revision)));
    meta.generation = Some(1);
    meta.owner_references = Some(vec![controller_reference(of)]);
    let replicas = of.spec.replicas.unwrap();
    let surge = rollout::fenceposts(&of.spec).surge;
    meta.annotations = Some(
        [
            (revision::REVISION, revision.to_string()),
            (revision::DESIRED_REPLICAS, replicas.to_string()),
            (revision::MAX_REPLICAS, (replicas + surge).to_string()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into(),
    );
    replica_set.spec.replicas = Some(wanted);
    replica_set.spec.selector.match_labels = Some(app());
    replica_set.spec.template = Some(template(image));
    replica_set.status = Some(ReplicaSetStatus {
        replicas: wanted,
        ready_replicas: Some(available),
        available_replicas: Some(available),
        observed_generation: Some(1),
        ..ReplicaSetStatus::default()
    });
    replica_set
}

fn snapshot(deployment: Deployment, replica_sets: Vec<ReplicaSet>) -> Snapshot {
    Snapshot {
        deployment: Arc::new(deployment),
        replica_sets: replica_sets.into_iter().map(Arc::new).collect(),
        pods: Vec::new(),
    }
}

/// The sizes that ReplicaSets get, as `name:size`.
fn sizes(plan: &Plan) -> Vec<String> {
    let replica_sets = plan.actions().into_iter().filter_map(Action::object::<ReplicaSet>);
    let size =
        |rs: &ReplicaSet| format!("{}:{}", rs.metadata.name.as_deref().unwrap(), rs.spec.replicas.unwrap());
    replica_sets.map(size).collect()
}

fn events(plan: &Plan) -> Vec<String> {
    let messages = plan.actions().into_iter().filter_map(|action| match action {
        Action::Record(note) => Some(format!("{} {}", note.reason, note.message)),
        _ => None,
    });
    messages.collect()
}

fn written(plan: &Plan) -> Deployment {
    let mut deployments = plan.actions().into_iter().filter_map(Action::object::<Deployment>);
    deployments.next().expect("the status is written").clone()
}

fn condition(deployment: &Deployment, kind: &str) -> (String, String) {
    let conditions = deployment.status.as_ref().unwrap().conditions.iter().flatten();
    let mut found = conditions.filter(|condition| condition.type_.as_deref() == Some(kind));
    let found = found.next().unwrap_or_else(|| panic!("no condition {kind}"));
    (found.status.clone().unwrap(), found.reason.clone().unwrap())
}

#[test]
fn limits_follow_upstreams_rounding() {
    for (replicas, surge, unavailable, expected) in [
        (10, "25%", "25%", (3, 2)),
        (1, "25%", "25%", (1, 0)),
        (10, "0", "0", (0, 1)),
        (3, "0%", "10%", (0, 1)),
        (2, "1", "5", (1, 2)),
        (0, "25%", "25%", (0, 0)),
        (4, "100%", "0", (4, 0)),
    ] {
        let limits = rollout::fenceposts(&deployment(replicas, surge, unavailable).spec);
        assert_eq!((limits.surge, limits.unavailable), expected, "{replicas} {surge} {unavailable}");
    }
}

#[test]
fn the_first_plan_creates_the_replica_set() {
    let plan = plan::plan(&snapshot(deployment(3, "25%", "25%"), vec![]), start());
    let created = plan.actions()[0].object::<ReplicaSet>().unwrap();
    let hash = created.metadata.labels.as_ref().unwrap()[revision::HASH_LABEL].clone();
    assert_eq!(created.metadata.name.as_deref(), Some(&*format!("web-{hash}")));
    assert_eq!(created.spec.replicas, Some(3));
    assert_eq!(created.spec.selector.match_labels.as_ref().unwrap()[revision::HASH_LABEL], hash);
    let template = created.spec.template.as_ref().unwrap().metadata.as_ref().unwrap();
    assert_eq!(template.labels.as_ref().unwrap()[revision::HASH_LABEL], hash);
    let annotations = created.metadata.annotations.as_ref().unwrap();
    assert_eq!(annotations[revision::REVISION], "1");
    assert_eq!(annotations[revision::DESIRED_REPLICAS], "3");
    assert_eq!(annotations[revision::MAX_REPLICAS], "4");
    assert_eq!(events(&plan), [format!("ScalingReplicaSet Scaled up replica set web-{hash} from 0 to 3")]);
    let written = written(&plan);
    assert_eq!(condition(&written, "Progressing"), ("True".into(), "NewReplicaSetCreated".into()));
    assert_eq!(condition(&written, "Available"), ("False".into(), "MinimumReplicasUnavailable".into()));
    assert_eq!(written.metadata.annotations.unwrap()[revision::REVISION], "1");
}

#[test]
fn a_rollout_stays_within_its_limits() {
    // (old wanted, old available, new wanted, new available) and the sizes that follow, of 10 with 3 and 2.
    for (state, expected) in [
        // The new one grows by the surge.
        ((10, 10, 0, 0), vec!["v2:3"]),
        // Then the old one may give up the pods above 8.
        ((10, 10, 3, 0), vec!["v1:8"]),
        ((8, 8, 3, 0), vec!["v2:5"]),
        // Nothing moves while nothing new is available.
        ((8, 8, 5, 0), vec![]),
        ((8, 8, 5, 2), vec!["v1:6"]),
        // Unavailable pods are deleted first, independently of the rest.
        ((8, 5, 5, 0), vec![]),
        ((10, 6, 3, 3), vec!["v1:5"]),
        ((1, 1, 10, 9), vec!["v1:0"]),
        // Three of the ten that are reported as available have been deleted.
        ((7, 10, 6, 4), vec!["v1:4"]),
        ((0, 0, 10, 10), vec![]),
    ] {
        let (old, old_available, new, new_available) = state;
        let deployment = deployment(10, "25%", "25%");
        let replica_sets = vec![
            replica_set(&deployment, "v1", old, old_available),
            replica_set(&deployment, "v2", new, new_available),
        ];
        let plan = plan::plan(&snapshot(deployment, replica_sets), start());
        assert_eq!(sizes(&plan), expected, "{state:?}");
    }
}

#[test]
fn a_rollout_ends_and_then_stands_still() {
    let deployment = deployment(2, "1", "0");
    let replica_sets = vec![replica_set(&deployment, "v1", 0, 0), replica_set(&deployment, "v2", 2, 2)];
    let first = plan::plan(&snapshot(deployment, replica_sets.clone()), start());
    let done = written(&first);
    assert_eq!(condition(&done, "Progressing"), ("True".into(), "NewReplicaSetAvailable".into()));
    assert_eq!(condition(&done, "Available"), ("True".into(), "MinimumReplicasAvailable".into()));
    let second = plan::plan(&snapshot(done, replica_sets), after(10_000));
    assert!(second.is_empty() && second.requeue_after.is_none(), "{second:?}");
}

#[test]
fn recreate_waits_for_the_last_old_pod() {
    let recreating = recreating(3);
    let old = replica_set(&recreating, "v1", 3, 3);
    let plan = plan::plan(&snapshot(recreating.clone(), vec![old.clone()]), start());
    assert_eq!(sizes(&plan), ["v1:0"]);

    let mut empty = replica_set(&recreating, "v1", 0, 0);
    empty.metadata.generation = Some(2);
    let mut waiting = snapshot(recreating, vec![empty]);
    let mut pod = Pod::default();
    pod.metadata.owner_references = Some(vec![controller_reference(&old)]);
    waiting.pods = vec![crate::pods::lean(&pod)];
    assert_eq!(sizes(&plan::plan(&waiting, start())), Vec::<String>::new());
    waiting.pods.clear();
    let plan = plan::plan(&waiting, start());
    assert_eq!(plan.actions()[0].object::<ReplicaSet>().unwrap().spec.replicas, Some(3));
}

#[test]
fn an_older_template_becomes_the_newest_revision() {
    let deployment = deployment(2, "1", "0");
    let replica_sets = vec![replica_set(&deployment, "v2", 0, 0), {
        let mut later = replica_set(&deployment, "v3", 2, 2);
        later.metadata.annotations.as_mut().unwrap().insert(revision::REVISION.into(), "5".into());
        later
    }];
    let plan = plan::plan(&snapshot(deployment, replica_sets), start());
    let back = plan.actions()[0].object::<ReplicaSet>().unwrap();
    let annotations = back.metadata.annotations.as_ref().unwrap();
    assert_eq!(back.metadata.name.as_deref(), Some("v2"));
    assert_eq!(annotations[revision::REVISION], "6");
    assert_eq!(annotations["deployment.kubernetes.io/revision-history"], "2");
    assert_eq!(plan.actions().len(), 1, "the scaling follows when this is seen");
}

#[test]
fn a_change_of_size_is_shared_out_in_proportion() {
    // A rollout of 10 with a surge of 3 is at 8 and 5 when it is scaled.
    for (replicas, expected) in [(15, ["v1:11", "v2:7"]), (5, ["v1:5", "v2:3"]), (0, ["v1:0", "v2:0"])] {
        let before = deployment(10, "3", "2");
        let replica_sets = vec![replica_set(&before, "v1", 8, 8), replica_set(&before, "v2", 5, 5)];
        let mut scaled = deployment(replicas, "3", "2");
        scaled.metadata.uid.clone_from(&before.metadata.uid);
        let mut sizes = sizes(&plan::plan(&snapshot(scaled, replica_sets), start()));
        sizes.sort();
        assert_eq!(sizes, expected, "{replicas}");
    }
}

#[test]
fn a_single_replica_set_takes_the_whole_change_also_when_paused() {
    let before = deployment(10, "3", "2");
    let replica_sets = vec![replica_set(&before, "v2", 10, 10)];
    let mut scaled = deployment(4, "3", "2");
    scaled.spec.paused = Some(true);
    let plan = plan::plan(&snapshot(scaled, replica_sets), start());
    assert_eq!(sizes(&plan), ["v2:4"]);
    assert_eq!(events(&plan), ["ScalingReplicaSet Scaled down replica set v2 from 10 to 4"]);
}

#[test]
fn a_paused_deployment_does_not_roll() {
    let mut paused = deployment(2, "1", "0");
    paused.spec.paused = Some(true);
    let old = replica_set(&paused, "v1", 2, 2);
    let plan = plan::plan(&snapshot(paused, vec![old.clone()]), start());
    assert_eq!(sizes(&plan), Vec::<String>::new());
    let mut written = written(&plan);
    assert_eq!(condition(&written, "Progressing"), ("Unknown".into(), "DeploymentPaused".into()));
    written.spec.paused = None;
    let resumed = plan::plan(&snapshot(written, vec![old]), start());
    assert_eq!(sizes(&resumed).len(), 1);
}

#[test]
fn a_rollout_that_stands_still_times_out_once() {
    let mut stuck = deployment(2, "1", "0");
    let replica_sets = vec![replica_set(&stuck, "v1", 2, 2), replica_set(&stuck, "v2", 1, 0)];
    let first = plan::plan(&snapshot(stuck, replica_sets.clone()), start());
    stuck = written(&first);
    assert_eq!(condition(&stuck, "Progressing"), ("True".into(), "ReplicaSetUpdated".into()));
    assert_eq!(first.requeue_after.unwrap().as_secs(), 601);
    let early = plan::plan(&snapshot(stuck.clone(), replica_sets.clone()), after(600));
    assert!(early.is_empty());
    let late = plan::plan(&snapshot(stuck, replica_sets.clone()), after(601));
    let stuck = written(&late);
    assert_eq!(condition(&stuck, "Progressing"), ("False".into(), "ProgressDeadlineExceeded".into()));
    let later = plan::plan(&snapshot(stuck.clone(), replica_sets), after(5_000));
    assert!(later.is_empty() && later.requeue_after.is_none());
    // Progress resets it.
    let moved = vec![replica_set(&stuck, "v1", 2, 2), replica_set(&stuck, "v2", 1, 1)];
    let moved = plan::plan(&snapshot(stuck, moved), after(5_000));
    assert_eq!(condition(&written(&moved), "Progressing"), ("True".into(), "ReplicaSetUpdated".into()));
}

#[test]
fn old_replica_sets_go_beyond_the_history() {
    let mut done = deployment(1, "1", "0");
    done.spec.template = template("v5");
    done.status = Some(DeploymentStatus {
        replicas: Some(1),
        updated_replicas: Some(1),
        available_replicas: Some(1),
        observed_generation: Some(1),
        ..DeploymentStatus::default()
    });
    let mut replica_sets: Vec<_> = (1..=4).map(|n| replica_set(&done, &format!("v{n}"), 0, 0)).collect();
    replica_sets.push(replica_set(&done, "v5", 1, 1));
    let plan = plan::plan(&snapshot(done, replica_sets), start());
    let mut deleted: Vec<_> = plan
        .actions()
        .into_iter()
        .filter_map(|action| match action {
            Action::Delete { key, .. } => Some(key.name.to_string()),
            _ => None,
        })
        .collect();
    deleted.sort();
    assert_eq!(deleted, ["v1", "v2"]);
}

#[test]
fn orphans_are_adopted_and_strangers_left_alone() {
    let owner = deployment(1, "1", "0");
    let mut orphan = replica_set(&owner, "v2", 1, 1);
    orphan.metadata.owner_references = None;
    let mut stranger = replica_set(&owner, "v1", 1, 1);
    stranger.metadata.owner_references.as_mut().unwrap()[0].uid = "other".into();
    let plan = plan::plan(&snapshot(owner, vec![orphan, stranger]), start());
    let actions = plan.actions();
    assert!(matches!(actions[0], Action::Verify { .. }));
    assert!(matches!(actions[1], Action::Patch { key, .. } if &*key.name == "v2"));
    assert_eq!(actions.len(), 2);
}

#[test]
fn a_taken_name_raises_the_collision_count() {
    let owner = deployment(1, "1", "0");
    let first = plan::plan(&snapshot(owner.clone(), vec![]), start());
    let create = first.actions()[0].clone();
    let mut taken = create.object::<ReplicaSet>().unwrap().clone();
    taken.metadata.owner_references.as_mut().unwrap()[0].uid = "other".into();
    let error = object::Status::already_exists("apps", "replicasets", "web-x").into();
    let failures = [Failure { action: create, error }];
    let remedy = plan::recover(&snapshot(owner.clone(), vec![taken.clone()]), &failures, start());
    let counted = written(&remedy);
    assert_eq!(counted.status.as_ref().unwrap().collision_count, Some(1));
    let next = plan::plan(&snapshot(counted, vec![taken.clone()]), start());
    assert_ne!(next.actions()[0].object::<ReplicaSet>().unwrap().metadata.name, taken.metadata.name);
    // If the cache does not show it yet, it may be the Deployment's own.
    assert!(plan::recover(&snapshot(owner, vec![]), &failures, start()).is_empty());
}

#[test]
fn a_refused_replica_set_is_told() {
    let owner = deployment(1, "1", "0");
    let create = plan::plan(&snapshot(owner.clone(), vec![]), start()).actions()[0].clone();
    let error = object::Status::forbidden("apps", "replicasets", "web-x", "no").into();
    let remedy = plan::recover(&snapshot(owner, vec![]), &[Failure { action: create, error }], start());
    assert!(events(&remedy)[0].starts_with("ReplicaSetCreateError Failed to create new replica set \"web-"));
    assert_eq!(condition(&written(&remedy), "Progressing"), ("False".into(), "ReplicaSetCreateError".into()));
}

#[test]
fn pod_failures_are_shown() {
    let owner = deployment(1, "1", "0");
    let mut failing = replica_set(&owner, "v2", 1, 0);
    failing.status.as_mut().unwrap().conditions =
        Some(vec![k8s_openapi::api::apps::v1::ReplicaSetCondition {
            type_: Some("ReplicaFailure".into()),
            status: Some("True".into()),
            reason: Some("FailedCreate".into()),
            message: Some("exceeded quota".into()),
            last_transition_time: Some(api_time(start())),
        }]);
    let plan = plan::plan(&snapshot(owner, vec![failing]), start());
    assert_eq!(condition(&written(&plan), "ReplicaFailure"), ("True".into(), "FailedCreate".into()));
}
