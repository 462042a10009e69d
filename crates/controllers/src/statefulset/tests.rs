use k8s_openapi::api::core::v1::{Pod, PodTemplateSpec};
use serde_json::{Value, json};

use super::*;
use crate::framework::{Action, controller_reference};
use crate::revisions::HASH_LABEL;

mod claims;
mod order;
mod refusals;
mod updates;

fn now() -> Timestamp {
    "2026-01-01T00:00:00Z".parse().unwrap()
}

/// A set of two claim-less pods of the image `v1`, with more of its spec.
fn set(spec: Value) -> StatefulSet {
    let mut set = json!({
        "metadata": {"name": "web", "namespace": "default", "uid": "set-uid", "generation": 1},
        "spec": {
            "replicas": 2, "serviceName": "peers", "selector": {"matchLabels": {"app": "web"}},
            "podManagementPolicy": "OrderedReady", "revisionHistoryLimit": 10,
            "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}},
            "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": "v1"}]}},
        },
    });
    for (field, value) in spec.as_object().unwrap() {
        set["spec"][field] = value.clone();
    }
    serde_json::from_value(set).unwrap()
}

fn parallel(replicas: i32) -> StatefulSet {
    set(json!({"podManagementPolicy": "Parallel", "replicas": replicas}))
}

/// The revision of a template with the image, by its number: `web-1` is of `v1`.
fn revision(set: &StatefulSet, number: i64) -> ControllerRevision {
    let mut set = set.clone();
    set.metadata.deletion_timestamp = None;
    set.spec.template.spec.as_mut().unwrap().containers[0].image = Some(format!("v{number}"));
    let snapshot = Snapshot { set: Arc::new(set), revisions: vec![], pods: vec![], claims: BTreeMap::new() };
    let plan = plan::plan(&snapshot, now());
    let mut revision = plan.actions()[0].object::<ControllerRevision>().unwrap().clone();
    revision.metadata.name = Some(format!("web-{number}"));
    revision.revision = Some(number);
    revision
}

/// A set whose pods are of `v1`, and that has the image `v2`.
fn changed(mut set: StatefulSet) -> StatefulSet {
    set.spec.template.spec.as_mut().unwrap().containers[0].image = Some("v2".into());
    set.status.get_or_insert_default().current_revision = Some("web-1".into());
    set
}

/// Pods are written `ORDINAL:STATE`, of revision 1, or 2 with a `'` at the end. States: pending, running (but not ready),
/// ready, failed, succeeded, `deleting` (and ready).
fn pod(text: &str) -> Arc<LeanPod> {
    let (ordinal, state) = text.split_once(':').unwrap();
    let number = if state.ends_with('\'') { "web-2" } else { "web-1" };
    let name = format!("web-{ordinal}");
    let phase = match state.trim_end_matches('\'') {
        "pending" => "Pending",
        "failed" => "Failed",
        "succeeded" => "Succeeded",
        _ => "Running",
    };
    let is_ready = ["ready", "deleting"].contains(&state.trim_end_matches('\''));
    let conditions = json!([{
        "type": "Ready", "status": if is_ready { "True" } else { "False" }, "lastTransitionTime": "2025-12-31T23:59:50Z",
    }]);
    let mut pod = json!({
        "metadata": {
            "name": name, "namespace": "default", "uid": format!("uid-{ordinal}"), "resourceVersion": "7",
            "labels": {"app": "web", HASH_LABEL: number, identity::POD_NAME_LABEL: name, identity::POD_INDEX_LABEL: ordinal},
            "ownerReferences": [controller_reference(&set(json!({})))],
        },
        "spec": {"containers": []},
        "status": {"phase": phase, "conditions": conditions},
    });
    if state.starts_with("deleting") {
        pod["metadata"]["deletionTimestamp"] = "2025-12-31T23:59:59Z".into();
    }
    Arc::new(serde_json::from_value(pod).unwrap())
}

/// A set with its revisions and pods; pods are separated by spaces.
fn snapshot(set: StatefulSet, pods: &str) -> Snapshot {
    let revisions = vec![Arc::new(revision(&set, 1)), Arc::new(revision(&set, 2))];
    let image = set.spec.template.spec.as_ref().unwrap().containers[0].image.clone();
    let known = if image.as_deref() == Some("v1") { 1 } else { 2 };
    Snapshot {
        set: Arc::new(set),
        revisions: revisions.into_iter().take(known).collect(),
        pods: pods.split_whitespace().map(pod).collect(),
        claims: BTreeMap::new(),
    }
}

/// What a plan does, in order: `+POD@REVISION`, `-POD`, `~POD` for a patch, `+claim`, `=claim` for its owners, events by
/// their reasons; the status is left out.
fn moves(snapshot: &Snapshot) -> Vec<String> {
    plan::plan(snapshot, now()).actions().into_iter().filter_map(shown).collect()
}

fn shown(action: &Action) -> Option<String> {
    if let Some(pod) = action.object::<Pod>() {
        let labels = pod.metadata.labels.as_ref().unwrap();
        return Some(format!("+{}@{}", pod.metadata.name.as_ref().unwrap(), labels[HASH_LABEL]));
    }
    if let Some(claim) = action.object::<PersistentVolumeClaim>() {
        let sign = if matches!(action, Action::Create { .. }) { '+' } else { '=' };
        return Some(format!("{sign}{}", claim.metadata.name.as_ref().unwrap()));
    }
    match action {
        Action::Delete { key, .. } => Some(format!("-{}", key.name)),
        Action::Patch { key, .. } => Some(format!("~{}", key.name)),
        Action::Record(note) => Some(note.reason.to_owned()),
        _ => None,
    }
}

/// The status that a plan writes.
fn status(snapshot: &Snapshot) -> Option<k8s_openapi::api::apps::v1::StatefulSetStatus> {
    let plan = plan::plan(snapshot, now());
    plan.actions().into_iter().find_map(|action| action.object::<StatefulSet>()?.status.clone())
}

#[test]
fn the_template_is_remembered_before_pods_are_made() {
    let mut first = snapshot(set(json!({})), "");
    let revisions = std::mem::take(&mut first.revisions);
    let plan = plan::plan(&first, now());
    let [only] = &plan.actions()[..] else { panic!("{plan:?}") };
    let revision = only.object::<ControllerRevision>().unwrap();
    assert_eq!(revision.revision, Some(1));
    let (name, labels) =
        (revision.metadata.name.as_ref().unwrap(), revision.metadata.labels.as_ref().unwrap());
    assert_eq!(name.strip_prefix("web-"), Some(&*labels["controller.kubernetes.io/hash"]));
    assert_eq!(labels["app"], "web");
    let expected = r#"{"spec":{"template":{"$patch":"replace","metadata":{"labels":{"app":"web"}},"spec":{"containers":[{"image":"v1","name":"c"}]}}}}"#;
    assert_eq!(revision.data.0.to_string(), expected);
    first.revisions = revisions;
    assert_eq!(moves(&first), ["+web-0@web-1"]);
}

#[test]
fn a_pod_has_a_name_a_host_name_and_labels_that_say_so() {
    let plan = plan::plan(&snapshot(set(json!({"ordinals": {"start": 5}})), ""), now());
    let pod = plan.actions()[0].object::<Pod>().unwrap();
    let spec = pod.spec.as_ref().unwrap();
    assert_eq!((spec.hostname.as_deref(), spec.subdomain.as_deref()), (Some("web-5"), Some("peers")));
    let labels = json!({
        "app": "web", "controller-revision-hash": "web-1", "statefulset.kubernetes.io/pod-name": "web-5",
        "apps.kubernetes.io/pod-index": "5",
    });
    assert_eq!(json!(pod.metadata.labels), labels);
    assert_eq!(pod.metadata.owner_references, Some(vec![controller_reference(&set(json!({})))]));
    let Action::Create { announcement: Some(told), .. } = plan.actions()[0] else { panic!("{plan:?}") };
    assert_eq!((told.message)("web-5"), "create Pod web-5 in StatefulSet web successful");
}

#[test]
fn orphans_of_the_right_name_are_adopted_and_others_let_go() {
    let mut state = snapshot(set(json!({})), "");
    let edited = |text: &str, edit: &dyn Fn(&mut LeanPod)| {
        let mut one = (*pod(text)).clone();
        edit(&mut one);
        Arc::new(one)
    };
    state.pods = vec![edited("0:ready", &|pod| pod.metadata.owner_references = Default::default())];
    let plan = plan::plan(&state, now());
    let kinds: Vec<_> = plan.actions().into_iter().map(Action::summary).collect();
    assert_eq!(kinds, ["verify StatefulSet default/web", "patch Pod default/web-0"]);

    state.pods = vec![
        edited("0:ready", &|pod| pod.metadata.labels = Default::default()),
        pod("x:ready"),
        pod("1:ready"),
    ];
    assert_eq!(moves(&state), ["~web-0", "~web-x"], "wrong labels, wrong name");
}

#[test]
fn names_of_pods_are_read_as_they_are_written() {
    assert_eq!(identity::parts("my-web-12"), Some(("my-web", Some(12))));
    assert_eq!(identity::parts("web-007"), Some(("web", None)));
    assert_eq!(identity::parts("web-99999999999"), Some(("web", None)));
    for other in ["web", "web-", "web-x", "web-1x"] {
        assert_eq!(identity::parts(other), None, "{other}");
    }
}

#[test]
fn a_set_in_deletion_only_counts() {
    let mut dying = set(json!({"replicas": 5}));
    dying.metadata.deletion_timestamp = Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(now()));
    let state = snapshot(dying, "0:ready 7:ready");
    assert_eq!(moves(&state), Vec::<String>::new());
    assert_eq!(status(&state).unwrap().replicas, 2);
}

#[test]
fn a_second_plan_is_empty() {
    let mut state = snapshot(set(json!({})), "0:ready 1:ready");
    let told = status(&state).unwrap();
    assert_eq!(
        (
            told.replicas,
            told.ready_replicas,
            told.available_replicas,
            told.current_replicas,
            told.updated_replicas
        ),
        (2, Some(2), Some(2), Some(2), Some(2))
    );
    assert_eq!(
        (told.current_revision.as_deref(), told.update_revision.as_deref()),
        (Some("web-1"), Some("web-1"))
    );
    assert_eq!((told.observed_generation, told.collision_count), (Some(1), Some(0)));
    let mut set = (*state.set).clone();
    set.status = Some(told);
    state.set = Arc::new(set);
    assert!(plan::plan(&state, now()).is_empty());
}

#[test]
fn a_template_restored_from_a_revision_is_the_same() {
    let set = set(json!({}));
    let data = &revision(&set, 1).data.0["spec"]["template"];
    let template: PodTemplateSpec = serde_json::from_value(data.clone()).unwrap();
    assert_eq!(template, set.spec.template);
}

#[test]
fn availability_is_measured_until_the_set_is_gone() {
    let exposition = ::metrics::Exposition::default();
    let metrics = exposition.with(Metrics::register);
    let state = snapshot(set(json!({"replicas": 3})), "0:ready 1:running");
    metrics.record(&state.set, &Replicas::new(&state.set, &state.pods), now());
    let labels =
        r#"{statefulset_namespace="default",statefulset_name="web",pod_management_policy="OrderedReady"}"#;
    for (name, value) in [("max_unavailable", 1), ("unavailable_replicas", 2)] {
        let line = format!("statefulset_controller_statefulset_{name}{labels} {value}");
        assert!(exposition.text().contains(&line), "{line} in {}", exposition.text());
    }
    metrics.forget(&ObjectKey::namespaced("default", "web"));
    assert!(!exposition.text().contains(labels));
}
