//! Writes that fail.

use object::Status;

use super::claims::{claiming, with_claims};
use super::*;

fn forbidden() -> Status {
    Status::forbidden("", "things", "x", "exceeded quota")
}

fn taken() -> Status {
    Status::already_exists("", "things", "x")
}

fn conflict() -> Status {
    Status::conflict("", "things", "x", "it has changed")
}

/// The failure of the first action of a plan for which this is shown.
fn failure(state: &Snapshot, what: &str, error: Status) -> Failure {
    let plan = plan::plan(state, now());
    let actions = plan.actions();
    let failed = actions.iter().find(|action| shown(action).as_deref() == Some(what));
    let action = failed.unwrap_or_else(|| panic!("no {what} in {actions:?}"));
    Failure { action: (*action).clone(), error: error.into() }
}

/// What follows from a failure: events, and `status` if it is written.
fn remedy(state: &Snapshot, failure: Failure) -> Vec<String> {
    let plan = failures::recover(state, &[failure], now());
    let told = plan.actions().into_iter().map(|action| match action {
        Action::Record(note) => format!("{} {:?}: {}", note.reason, note.kind, note.message),
        Action::Update { subresource: "status", .. } => "status".to_owned(),
        other => panic!("{other:?}"),
    });
    told.collect()
}

const QUOTA: &str = r#"things "x" is forbidden: exceeded quota"#;

#[test]
fn failed_writes_are_told_and_the_status_is_written_nevertheless() {
    let failed = |verb: &str, pod: &str, why: &str| {
        let title = verb[..1].to_uppercase() + &verb[1..];
        format!("Failed{title} Warning: {verb} Pod {pod} in StatefulSet web failed error: {why}")
    };
    let status = || "status".to_owned();
    let plain = || set(json!({}));
    let keep = || claiming(1, "Retain", "Retain");
    let go = || claiming(1, "Delete", "Retain");
    let from_five = || set(json!({"ordinals": {"start": 5}}));
    let on_delete = || changed(set(json!({"updateStrategy": {"type": "OnDelete"}})));
    let two_at_once = || {
        let rolling =
            json!({"type": "RollingUpdate", "rollingUpdate": {"partition": 0, "maxUnavailable": 2}});
        changed(set(json!({"updateStrategy": rolling})))
    };
    for (state, what, error, expected) in [
        // A pod that is refused.
        (
            snapshot(plain(), ""),
            "+web-0@web-1",
            forbidden(),
            vec![failed("create", "web-0", QUOTA), status()],
        ),
        (
            snapshot(from_five(), "5:ready"),
            "+web-6@web-1",
            forbidden(),
            vec![failed("create", "web-6", QUOTA), status()],
        ),
        (
            snapshot(parallel(3), ""),
            "+web-1@web-1",
            forbidden(),
            vec![failed("create", "web-1", QUOTA), status()],
        ),
        (
            snapshot(on_delete(), "1:ready"),
            "+web-0@web-2",
            forbidden(),
            vec![failed("create", "web-0", QUOTA), status()],
        ),
        // Another owner's pod has the name, or the cache is behind: nothing is told, but tried again.
        (snapshot(plain(), ""), "+web-0@web-1", taken(), vec![status()]),
        // A pod that cannot be deleted: one that is not wanted, one that is over, old ones.
        (
            snapshot(plain(), "0:ready 1:ready 2:ready"),
            "-web-2",
            forbidden(),
            vec![failed("delete", "web-2", QUOTA), status()],
        ),
        (
            snapshot(plain(), "0:failed"),
            "-web-0",
            forbidden(),
            vec![failed("delete", "web-0", QUOTA), status()],
        ),
        (
            snapshot(two_at_once(), "0:ready 1:ready"),
            "-web-0",
            forbidden(),
            vec![failed("delete", "web-0", QUOTA), status()],
        ),
        // A claim that is refused: the pod waits for it, and that is told, too.
        (
            with_claims(keep(), "", ""),
            "+data-web-0",
            forbidden(),
            vec![
                format!(
                    "FailedCreate Warning: create Claim data-web-0 for Pod web-0 in StatefulSet web failed error: {QUOTA}"
                ),
                failed("create", "web-0", &format!("failed to create PVC data-web-0: {QUOTA}")),
                status(),
            ],
        ),
        (
            with_claims(keep(), "0:pending", ""),
            "+data-web-0",
            forbidden(),
            vec![
                format!(
                    "FailedCreate Warning: create Claim data-web-0 for Pod web-0 in StatefulSet web failed error: {QUOTA}"
                ),
                status(),
            ],
        ),
        // A claim whose owners cannot be changed.
        (
            with_claims(go(), "0:ready", "0:"),
            "=data-web-0",
            forbidden(),
            vec![
                failed(
                    "update",
                    "web-0",
                    &format!("could not update claim data-web-0 for delete policy ownerRefs: {QUOTA}"),
                ),
                status(),
            ],
        ),
    ] {
        assert_eq!(remedy(&state, failure(&state, what, error)), expected, "{what} of {:?}", state.pods);
    }
}

#[test]
fn in_a_namespace_that_ends_nothing_is_told() {
    let state = snapshot(set(json!({})), "");
    let mut ending = forbidden();
    let cause = object::Cause {
        reason: "NamespaceTerminating".into(),
        message: "it is being terminated".to_owned(),
        field: "metadata.namespace".to_owned(),
    };
    ending.details.get_or_insert_default().causes.push(cause);
    assert_eq!(remedy(&state, failure(&state, "+web-0@web-1", ending)), ["status"]);
}

#[test]
fn a_status_that_has_changed_is_counted_anew() {
    let state = snapshot(set(json!({})), "0:ready 1:ready");
    let plan = plan::plan(&state, now());
    let action = plan.actions()[0].clone();
    assert!(matches!(action, Action::Update { subresource: "status", .. }), "{action:?}");
    let failure = Failure { action, error: conflict().into() };
    assert_eq!(remedy(&state, failure), Vec::<String>::new());
}

#[test]
fn a_revision_whose_name_is_taken_gets_another() {
    let mut state = snapshot(set(json!({})), "");
    let known = std::mem::take(&mut state.revisions);
    let first = plan::plan(&state, now()).actions()[0].clone();
    let name_of = |action: &Action| action.object::<ControllerRevision>().unwrap().metadata.name.clone();
    let collision = || Failure { action: first.clone(), error: taken().into() };

    let remedy = failures::recover(&state, &[collision()], now());
    let [only] = &remedy.actions()[..] else { panic!("{remedy:?}") };
    let counted = only.object::<StatefulSet>().unwrap().clone();
    assert_eq!(counted.status.as_ref().unwrap().collision_count, Some(1));
    let mut renamed = snapshot(counted, "");
    renamed.revisions.clear();
    let second = plan::plan(&renamed, now()).actions()[0].clone();
    assert_ne!(name_of(&second), name_of(&first));

    // If the set knows the revision of that name, it was only behind.
    let mut own = (*known[0]).clone();
    own.metadata.name = name_of(&first);
    state.revisions = vec![Arc::new(own)];
    let remedy = failures::recover(&state, &[collision()], now());
    let counts = |action: &&Action| {
        let status = action.object::<StatefulSet>().and_then(|set| set.status.as_ref());
        status.is_some_and(|status| status.collision_count.unwrap_or(0) > 0)
    };
    assert!(!remedy.actions().iter().any(counts), "{remedy:?}");

    // Any other failure changes no name.
    let refused = Failure { action: first, error: forbidden().into() };
    state.revisions.clear();
    assert!(failures::recover(&state, &[refused], now()).is_empty());
}
