use std::collections::HashMap;

use client::Patch;
use jiff::SignedDuration;
use k8s_openapi::api::apps::v1::{DaemonSetUpdateStrategy, RollingUpdateDaemonSet};
use k8s_openapi::api::core::v1::{Pod, PodCondition, PodSpec, PodTemplateSpec, Taint};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::placement::Fit;
use super::*;
use crate::framework::{Action, controller_reference};
use crate::revisions::HASH_LABEL;

fn now() -> Timestamp {
    "2026-01-01T00:00:00Z".parse().unwrap()
}

fn app() -> crate::framework::labels::Labels {
    [("app".to_owned(), "log".to_owned())].into()
}

/// A DaemonSet that surges by `surge` or leaves `unavailable` unavailable.
fn daemon_set(hostname: &str, surge: i32, unavailable: i32) -> DaemonSet {
    let mut daemon_set = DaemonSet::default();
    daemon_set.metadata.name = Some("log".into());
    daemon_set.metadata.namespace = Some("default".into());
    daemon_set.metadata.uid = Some("ds-uid".into());
    let spec = &mut daemon_set.spec;
    spec.selector.match_labels = Some(app());
    spec.template = PodTemplateSpec {
        metadata: Some(ObjectMeta { labels: Some(app()), ..ObjectMeta::default() }),
        spec: Some(PodSpec { hostname: Some(hostname.into()), ..PodSpec::default() }),
    };
    spec.update_strategy = Some(DaemonSetUpdateStrategy {
        type_: Some("RollingUpdate".into()),
        rolling_update: Some(RollingUpdateDaemonSet {
            max_surge: Some(IntOrString::Int(surge)),
            max_unavailable: Some(IntOrString::Int(unavailable)),
        }),
    });
    daemon_set
}

fn node(name: &str) -> Node {
    let mut node = Node::default();
    node.metadata.name = Some(name.into());
    node.metadata.labels = Some([("disk".to_owned(), "ssd".to_owned())].into());
    node
}

/// A ready pod of the revision `hash` on a node.
fn pod(hash: &str, node: &str) -> Pod {
    let mut pod = Pod::default();
    pod.metadata.name = Some(format!("{hash}-{node}"));
    pod.metadata.namespace = Some("default".into());
    pod.metadata.uid = Some(format!("uid-{hash}-{node}"));
    pod.metadata.labels = Some(app());
    pod.metadata.labels.as_mut().unwrap().insert(HASH_LABEL.into(), hash.into());
    pod.metadata.owner_references = Some(vec![controller_reference(&daemon_set("", 0, 1))]);
    pod.metadata.creation_timestamp =
        Some(Time(now() - SignedDuration::from_secs(if hash == "old" { 100 } else { 10 })));
    pod.spec = Some(PodSpec { node_name: Some(node.into()), ..PodSpec::default() });
    let ready = PodCondition {
        type_: "Ready".into(),
        status: "True".into(),
        last_transition_time: Some(Time(now() - SignedDuration::from_secs(5))),
        ..PodCondition::default()
    };
    pod.status.get_or_insert_default().phase = Some("Running".into());
    pod.status.get_or_insert_default().conditions = Some(vec![ready]);
    pod
}

fn unready(mut pod: Pod) -> Pod {
    pod.status.as_mut().unwrap().conditions = None;
    pod
}

/// A DaemonSet whose revision is `new`, on nodes a, b and c.
fn snapshot(daemon_set: DaemonSet, pods: Vec<Pod>) -> Snapshot {
    let empty = Snapshot {
        daemon_set: Arc::new(daemon_set),
        revisions: vec![],
        pods: vec![],
        nodes: ["a", "b", "c"].map(|name| Arc::new(node(name))).into(),
        hold_off: HashMap::new(),
    };
    let plan = plan::plan(&empty, now());
    let mut revision = plan.actions()[0].object::<ControllerRevision>().unwrap().clone();
    revision.metadata.labels.as_mut().unwrap().insert(HASH_LABEL.into(), "new".into());
    Snapshot {
        revisions: vec![Arc::new(revision)],
        pods: pods.iter().map(crate::pods::lean).collect(),
        ..empty
    }
}

/// The nodes on which pods are created, and the deleted pods.
fn moves(snapshot: &Snapshot) -> Vec<String> {
    let plan = plan::plan(snapshot, now());
    let mut shown: Vec<_> = plan
        .actions()
        .into_iter()
        .filter_map(|action| match action {
            Action::Create { .. } => {
                Some(format!("+{}", placement::target(&crate::pods::lean(action.object::<Pod>()?))?))
            }
            Action::Delete { key, .. } => Some(format!("-{}", key.name)),
            _ => None,
        })
        .collect();
    shown.sort();
    shown
}

#[test]
fn the_template_is_remembered_before_pods_are_made() {
    let mut first = snapshot(daemon_set("v1", 0, 1), vec![]);
    let revisions = std::mem::take(&mut first.revisions);
    let plan = plan::plan(&first, now());
    let [only] = &plan.actions()[..] else { panic!("{plan:?}") };
    let revision = only.object::<ControllerRevision>().unwrap();
    assert_eq!(revision.revision, Some(1));
    assert_eq!(revision.data.0["spec"]["template"]["$patch"], "replace");
    assert_eq!(revision.data.0["spec"]["template"]["spec"]["hostname"], "v1");
    first.revisions = revisions;
    assert_eq!(moves(&first), ["+a", "+b", "+c"]);
}

#[test]
fn a_template_that_comes_back_is_the_newest_revision() {
    let mut back = snapshot(daemon_set("v1", 0, 1), vec![]);
    let mut later = (*back.revisions[0]).clone();
    later.metadata.name = Some("later".into());
    later.data.0["spec"]["template"]["spec"]["hostname"] = "v2".into();
    later.revision = Some(4);
    back.revisions.push(Arc::new(later));
    let plan = plan::plan(&back, now());
    assert_eq!(plan.actions()[0].object::<ControllerRevision>().unwrap().revision, Some(5));
}

#[test]
fn every_fitting_node_has_one_pod() {
    let set = || daemon_set("v1", 0, 1);
    let all = || vec![pod("new", "a"), pod("new", "b"), pod("new", "c")];
    assert!(moves(&snapshot(set(), all())).is_empty());
    let mut twice = all();
    let mut second = pod("new", "a");
    second.metadata.name = Some("second".into());
    second.metadata.creation_timestamp = Some(Time(now()));
    twice.push(second);
    assert_eq!(moves(&snapshot(set(), twice)), ["-second"]);
    let mut ended = all();
    ended[0].status.as_mut().unwrap().phase = Some("Failed".into());
    let mut failing = snapshot(set(), ended);
    assert_eq!(moves(&failing), ["-new-a"]);
    failing.hold_off = [("a".to_owned(), now() + SignedDuration::from_secs(30))].into();
    assert!(moves(&failing).is_empty());
    assert_eq!(plan::plan(&failing, now()).requeue_after.unwrap().as_secs(), 30);
    let mut lost = all();
    lost.push(pod("new", "gone"));
    assert!(moves(&snapshot(set(), lost)).is_empty(), "its pods are collected with the node");
}

#[test]
fn pods_fit_by_selector_affinity_and_taints() {
    let taint =
        |effect: &str, key: &str| Taint { key: key.into(), effect: effect.into(), ..Taint::default() };
    let tainted = |taint: Taint| {
        let mut node = node("a");
        node.spec.get_or_insert_default().taints = Some(vec![taint]);
        node
    };
    let plain = PodSpec::default();
    assert_eq!(placement::fit(&plain, &node("a")), Fit::Run);
    assert_eq!(placement::fit(&plain, &tainted(taint("NoSchedule", "own"))), Fit::Stay);
    assert_eq!(placement::fit(&plain, &tainted(taint("NoExecute", "own"))), Fit::Leave);
    for (effect, key) in
        [("NoExecute", "not-ready"), ("NoExecute", "unreachable"), ("NoSchedule", "unschedulable")]
    {
        let key = format!("node.kubernetes.io/{key}");
        assert_eq!(placement::fit(&plain, &tainted(taint(effect, &key))), Fit::Run, "{key}");
    }
    let network = tainted(taint("NoSchedule", "node.kubernetes.io/network-unavailable"));
    assert_eq!(placement::fit(&plain, &network), Fit::Stay);
    let host = PodSpec { host_network: Some(true), ..PodSpec::default() };
    assert_eq!(placement::fit(&host, &network), Fit::Run);
    let selecting = |value: &str| PodSpec {
        node_selector: Some([("disk".to_owned(), value.to_owned())].into()),
        ..PodSpec::default()
    };
    assert_eq!(placement::fit(&selecting("ssd"), &node("a")), Fit::Run);
    assert_eq!(placement::fit(&selecting("tape"), &node("a")), Fit::Leave);
    let mut aimed = Pod::default();
    placement::aim(&mut aimed, "b");
    assert_eq!(placement::target(&crate::pods::lean(&aimed)), Some("b"));
    assert_eq!(placement::fit(aimed.spec.as_ref().unwrap(), &node("b")), Fit::Run);
    assert_eq!(placement::fit(aimed.spec.as_ref().unwrap(), &node("a")), Fit::Leave);
}

#[test]
fn updates_stay_within_what_may_be_unavailable() {
    let [a, b, c] = ["a", "b", "c"];
    for (unavailable, pods, expected) in [
        (1, vec![pod("old", a), pod("old", b), pod("old", c)], vec!["-old-a"]),
        (2, vec![pod("old", a), pod("old", b), pod("old", c)], vec!["-old-a", "-old-b"]),
        (1, vec![unready(pod("new", a)), pod("old", b), pod("old", c)], vec![]),
        (1, vec![pod("new", a), pod("old", b), pod("old", c)], vec!["-old-b"]),
        // Unavailable pods are deleted regardless of the limit.
        (1, vec![pod("old", a), unready(pod("old", b)), unready(pod("old", c))], vec!["-old-b", "-old-c"]),
        (1, vec![pod("old", a), pod("old", b)], vec!["+c"]),
    ] {
        let names: Vec<_> = pods.iter().map(|pod| pod.metadata.name.clone().unwrap()).collect();
        assert_eq!(
            moves(&snapshot(daemon_set("v1", 0, unavailable), pods)),
            expected,
            "{unavailable} {names:?}"
        );
    }
}

#[test]
fn surging_updates_make_the_new_pod_first() {
    let [a, b, c] = ["a", "b", "c"];
    for (pods, expected) in [
        (vec![pod("old", a), pod("old", b), pod("old", c)], vec!["+a"]),
        (vec![pod("old", a), unready(pod("new", a)), pod("old", b), pod("old", c)], vec![]),
        (vec![pod("old", a), pod("new", a), pod("old", b), pod("old", c)], vec!["-old-a"]),
        (vec![pod("new", a), pod("old", b), pod("old", c)], vec!["+b"]),
    ] {
        let names: Vec<_> = pods.iter().map(|pod| pod.metadata.name.clone().unwrap()).collect();
        assert_eq!(moves(&snapshot(daemon_set("v1", 1, 0), pods)), expected, "{names:?}");
    }
}

#[test]
fn on_delete_changes_nothing_by_itself() {
    let mut set = daemon_set("v1", 0, 1);
    set.spec.update_strategy.as_mut().unwrap().type_ = Some("OnDelete".into());
    let pods = vec![pod("old", "a"), pod("old", "b"), pod("old", "c")];
    assert!(moves(&snapshot(set, pods)).is_empty());
}

#[test]
fn status_counts_and_then_stands_still() {
    let pods = vec![pod("new", "a"), unready(pod("old", "b")), pod("new", "gone")];
    let mut counted = snapshot(daemon_set("v1", 0, 1), pods);
    Arc::make_mut(&mut counted.nodes[2]).spec.get_or_insert_default().taints =
        Some(vec![Taint { key: "own".into(), effect: "NoSchedule".into(), ..Taint::default() }]);
    let plan = plan::plan(&counted, now());
    let written = plan.actions().into_iter().find_map(|action| action.object::<DaemonSet>()).unwrap().clone();
    let status = written.status.clone().unwrap();
    assert_eq!((status.desired_number_scheduled, status.current_number_scheduled), (2, 2));
    assert_eq!(
        (status.number_ready, status.number_available, status.number_unavailable),
        (1, Some(1), Some(1))
    );
    assert_eq!((status.updated_number_scheduled, status.number_misscheduled), (Some(1), 0));
    let all = vec![pod("new", "a"), pod("new", "b"), pod("new", "c")];
    let first = snapshot(daemon_set("v1", 0, 1), all.clone());
    let plan = plan::plan(&first, now());
    let written = plan.actions().into_iter().find_map(|action| action.object::<DaemonSet>()).unwrap().clone();
    let second = Snapshot { daemon_set: Arc::new(written), ..first };
    assert!(plan::plan(&second, now()).is_empty());
}

#[test]
fn revisions_without_pods_go_beyond_the_limit() {
    let mut set = daemon_set("v9", 0, 1);
    set.spec.revision_history_limit = Some(1);
    let all = vec![pod("new", "a"), pod("new", "b"), pod("new", "c")];
    let mut long = snapshot(set, all);
    let newest = Arc::make_mut(&mut long.revisions[0]);
    newest.revision = Some(4);
    let newest = newest.clone();
    for number in 1..4 {
        let mut old = newest.clone();
        old.metadata.name = Some(format!("r{number}"));
        old.metadata.labels.as_mut().unwrap().insert(HASH_LABEL.into(), format!("h{number}"));
        old.data.0["spec"]["template"]["spec"]["hostname"] = format!("v{number}").into();
        old.revision = Some(number);
        long.revisions.push(Arc::new(old));
    }
    assert_eq!(moves(&long), ["-r1", "-r2"]);
}

#[test]
fn failed_pods_stay_longer_and_longer() {
    let mut failed = failed::FailedPods::default();
    let mut seconds = |uid: &str, at: i64| {
        let mut pod = pod("new", "a");
        pod.metadata.uid = Some(uid.into());
        pod.status.as_mut().unwrap().phase = Some("Failed".into());
        let at = now() + SignedDuration::from_secs(at);
        failed.hold_off("ds", &[crate::pods::lean(&pod)], at)["a"].duration_since(at).as_secs()
    };
    assert_eq!((seconds("1", 0), seconds("1", 1), seconds("2", 2), seconds("3", 5)), (1, 0, 2, 4));
    assert_eq!(seconds("4", 5000), 1, "long after the last failure it starts anew");
    failed.hold_off("ds", &[], now() + SignedDuration::from_secs(10_000));
    assert_eq!(failed, failed::FailedPods::default(), "nothing is left to remember");
}

#[test]
fn orphans_are_adopted() {
    let mut orphan = pod("old", "a");
    orphan.metadata.owner_references = None;
    let plan = plan::plan(&snapshot(daemon_set("v1", 0, 1), vec![orphan]), now());
    assert!(matches!(plan.actions()[1], Action::Patch { patch: Patch::Merge(_), .. }));
}
