//! Updates of the template, and the history.

use super::*;

fn rolling(replicas: i32, partition: i32, unavailable: Value) -> Value {
    let rolling = json!({"partition": partition, "maxUnavailable": unavailable});
    json!({"replicas": replicas, "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": rolling}})
}

fn in_parallel(mut spec: Value) -> Value {
    spec["podManagementPolicy"] = "Parallel".into();
    spec
}

#[test]
fn updates_go_from_the_last_to_the_first() {
    let one = || json!(1);
    for (spec, pods, expected) in [
        (rolling(3, 0, one()), "0:ready 1:ready 2:ready", vec!["-web-2"]),
        (rolling(3, 0, one()), "0:ready 1:ready", vec!["+web-2@web-2"]),
        (rolling(3, 0, one()), "0:ready 1:ready 2:pending'", vec![]),
        (rolling(3, 0, one()), "0:ready 1:ready 2:ready'", vec!["-web-1"]),
        (rolling(3, 0, one()), "0:ready' 1:ready' 2:ready'", vec![]),
        // Below the partition, pods stay, and are made again, with the old template.
        (rolling(3, 2, one()), "0:ready 1:ready 2:ready", vec!["-web-2"]),
        (rolling(3, 2, one()), "0:ready 1:ready 2:ready'", vec![]),
        (rolling(3, 2, one()), "0:ready 2:ready'", vec!["+web-1@web-1"]),
        (rolling(3, 2, one()), "0:ready 1:ready", vec!["+web-2@web-2"]),
        (rolling(3, 5, one()), "0:ready 1:ready 2:ready", vec![]),
        // Several at once.
        (rolling(4, 0, json!(2)), "0:ready 1:ready 2:ready 3:ready", vec!["-web-3", "-web-2"]),
        (rolling(4, 0, json!("50%")), "0:ready 1:ready 2:ready 3:ready", vec!["-web-3", "-web-2"]),
        (rolling(4, 0, json!("10%")), "0:ready 1:ready 2:ready 3:ready", vec!["-web-3"]),
        (rolling(4, 3, json!(2)), "0:ready 1:ready 2:ready 3:ready", vec!["-web-3"]),
        // In order, one that does not become ready stops everything.
        (rolling(2, 0, json!(2)), "0:ready 1:running", vec![]),
        // In parallel it is replaced, in addition to those that may be unavailable.
        (in_parallel(rolling(3, 0, one())), "0:running 1:ready 2:ready", vec!["-web-0"]),
        (in_parallel(rolling(3, 0, json!(2))), "0:running 1:ready 2:ready", vec!["-web-0", "-web-2"]),
        (in_parallel(rolling(3, 0, one())), "0:ready 1:ready 2:running'", vec![]),
        (in_parallel(rolling(3, 0, one())), "0:ready 1:failed 2:ready", vec!["-web-1"]),
    ] {
        let state = snapshot(changed(set(spec.clone())), pods);
        assert_eq!(moves(&state), expected, "{spec} {pods}");
    }
}

#[test]
fn on_delete_pods_are_updated_when_somebody_deletes_them() {
    let spec = || json!({"updateStrategy": {"type": "OnDelete"}});
    assert_eq!(moves(&snapshot(changed(set(spec())), "0:ready 1:ready")), Vec::<String>::new());
    assert_eq!(moves(&snapshot(changed(set(spec())), "1:ready")), ["+web-0@web-2"]);
}

#[test]
fn the_status_says_how_far_an_update_is() {
    let status = |pods: &str| status(&snapshot(changed(set(json!({"replicas": 3}))), pods)).unwrap();
    let begun = status("0:ready 1:ready 2:ready");
    assert_eq!((begun.current_replicas, begun.updated_replicas), (Some(2), Some(0)), "one is being deleted");
    let half = status("0:ready 1:ready 2:running'");
    assert_eq!((half.current_replicas, half.updated_replicas), (Some(2), Some(1)));
    assert_eq!(
        (half.current_revision.as_deref(), half.update_revision.as_deref()),
        (Some("web-1"), Some("web-2"))
    );
    let done = status("0:ready' 1:ready' 2:ready'");
    assert_eq!((done.current_replicas, done.updated_replicas), (Some(3), Some(3)));
    assert_eq!(done.current_revision.as_deref(), Some("web-2"));
}

#[test]
fn a_template_that_comes_back_is_the_newest_revision() {
    let mut state = snapshot(changed(set(json!({}))), "0:ready' 1:ready'");
    state.set = Arc::new(set(json!({})));
    let plan = plan::plan(&state, now());
    let [only] = &plan.actions()[..] else { panic!("{plan:?}") };
    let revision = only.object::<ControllerRevision>().unwrap();
    assert_eq!((revision.metadata.name.as_deref(), revision.revision), (Some("web-1"), Some(3)));
}

#[test]
fn revisions_that_nothing_needs_are_kept_to_a_limit() {
    let history = |limit: i32, pods: &str| {
        let mut state = snapshot(set(json!({"revisionHistoryLimit": limit})), pods);
        let later = (2..6).map(|number| Arc::new(revision(&state.set, number)));
        state.revisions.extend(later);
        let mut set = (*state.set).clone();
        set.spec.template.spec.as_mut().unwrap().containers[0].image = Some("v5".into());
        set.status.get_or_insert_default().current_revision = Some("web-4".into());
        state.set = Arc::new(set);
        let deleted = moves(&state);
        deleted.into_iter().filter(|shown| shown.starts_with('-')).collect::<Vec<_>>()
    };
    // Four is current, five is new.
    assert_eq!(history(3, "0:pending"), Vec::<String>::new());
    assert_eq!(history(1, "0:pending"), ["-web-2"], "one is a pod's");
    assert_eq!(history(0, "0:pending'"), ["-web-1", "-web-3"]);
}
