//! The claims of pods.

use super::*;

pub(super) fn claiming(replicas: i32, deleted: &str, scaled: &str) -> StatefulSet {
    set(json!({
        "replicas": replicas,
        "persistentVolumeClaimRetentionPolicy": {"whenDeleted": deleted, "whenScaled": scaled},
        "volumeClaimTemplates": [{"metadata": {"name": "data", "labels": {"of": "template"}}, "spec": {"accessModes": ["ReadWriteOnce"]}}],
    }))
}

fn owner(text: &str) -> Value {
    let (kind, name, uid) = match text {
        "set" => ("StatefulSet", "web", "set-uid"),
        "old-set" => ("StatefulSet", "web", "old"),
        "rival" => ("Thing", "thing", "rival"),
        "old-pod" => ("Pod", "web-0", "old"),
        pod => ("Pod", pod, ""),
    };
    let uid = if uid.is_empty() { name.replace("web-", "uid-") } else { uid.to_owned() };
    let version = if kind == "Pod" { "v1" } else { "apps/v1" };
    json!({"apiVersion": version, "kind": kind, "name": name, "uid": uid, "controller": true, "blockOwnerDeletion": true})
}

/// A snapshot with claims written `ORDINAL:OWNER,OWNER`; pods have the volumes.
pub(super) fn with_claims(set: StatefulSet, pods: &str, claims: &str) -> Snapshot {
    let mut state = snapshot(set, pods);
    for pod in &mut state.pods {
        let ordinal = identity::ordinal(pod).unwrap();
        let volume =
            json!({"name": "data", "persistentVolumeClaim": {"claimName": format!("data-web-{ordinal}")}});
        Arc::make_mut(pod).spec =
            serde_json::from_value(json!({"containers": [], "volumes": [volume]})).unwrap();
    }
    for claim in claims.split_whitespace() {
        let (ordinal, owners) = claim.split_once(':').unwrap();
        let name = format!("data-web-{ordinal}");
        let owners: Vec<_> = owners.split(',').filter(|owner| !owner.is_empty()).map(owner).collect();
        let claim = json!({"metadata": {"name": name, "namespace": "default", "ownerReferences": owners}});
        state.claims.insert(name, Arc::new(serde_json::from_value(claim).unwrap()));
    }
    state
}

#[test]
fn claims_come_before_their_pod() {
    let state = with_claims(claiming(2, "Retain", "Retain"), "", "");
    assert_eq!(moves(&state), ["+data-web-0", "SuccessfulCreate", "+web-0@web-1"]);
    let plan = plan::plan(&state, now());
    let claim = plan.actions()[0].object::<PersistentVolumeClaim>().unwrap();
    assert_eq!(json!(claim.metadata.labels), json!({"app": "web", "of": "template"}));
    let Action::Record(note) = plan.actions()[1] else { panic!("{plan:?}") };
    assert_eq!(note.message, "create Claim data-web-0 Pod web-0 in StatefulSet web success");
    let pod = plan.actions()[2].object::<Pod>().unwrap();
    let volumes = json!([{"name": "data", "persistentVolumeClaim": {"claimName": "data-web-0"}}]);
    assert_eq!(json!(pod.spec.as_ref().unwrap().volumes), volumes);
    // They stay, and are used again.
    assert_eq!(moves(&with_claims(claiming(2, "Retain", "Retain"), "", "0:")), ["+web-0@web-1"]);
}

#[test]
fn a_claim_in_deletion_stops_its_pod() {
    let mut state = with_claims(claiming(1, "Retain", "Retain"), "", "0:");
    let claim = Arc::make_mut(state.claims.get_mut("data-web-0").unwrap());
    claim.metadata.deletion_timestamp = Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(now()));
    let plan = plan::plan(&state, now());
    let Action::Record(note) = plan.actions()[0] else { panic!("{plan:?}") };
    assert_eq!(
        note.message,
        "create Pod web-0 in StatefulSet web failed error: pvc data-web-0 is being deleted"
    );
    assert_eq!(moves(&state), ["FailedCreate"]);
}

#[test]
fn the_policy_decides_who_owns_claims() {
    let names = |state: &Snapshot| {
        let plan = plan::plan(state, now());
        let claims = plan.actions().into_iter().filter_map(|action| action.object::<PersistentVolumeClaim>());
        let owners = |claim: &PersistentVolumeClaim| {
            let owners = claim.metadata.owner_references.iter().flatten();
            owners.map(|owner| owner.name.clone()).collect::<Vec<_>>().join(",")
        };
        claims
            .map(|claim| format!("{}:{}", claim.metadata.name.as_ref().unwrap(), owners(claim)))
            .collect::<Vec<_>>()
    };
    let (keep, delete) = ("Retain", "Delete");
    for (deleted, scaled, claims, expected) in [
        (keep, keep, "0: 1:", vec![]),
        (keep, keep, "0:set 1:web-1", vec!["data-web-0:", "data-web-1:"]),
        (delete, keep, "0: 1:", vec!["data-web-0:web", "data-web-1:web"]),
        (delete, keep, "0:set 1:set", vec![]),
        (keep, delete, "0: 1:", vec!["data-web-1:web-1"]),
        (keep, delete, "0:web-0 1:web-1", vec!["data-web-0:"]),
        (delete, delete, "0: 1:set", vec!["data-web-0:web", "data-web-1:web-1"]),
        (delete, delete, "0:set 1:web-1", vec![]),
        // What belongs to previous ones is left alone, and so is what others control.
        (delete, keep, "0:old-set 1:set", vec![]),
        (delete, delete, "0:rival 1:web-1", vec![]),
        (delete, delete, "0:rival,set 1:web-1", vec!["data-web-0:thing"]),
        (keep, keep, "0:rival 1:rival", vec![]),
    ] {
        // One is wanted, the other is not.
        let state = with_claims(claiming(1, deleted, scaled), "0:ready 1:ready", claims);
        assert_eq!(names(&state), expected, "{deleted} {scaled} {claims}");
    }
}

#[test]
fn claims_are_settled_before_their_pod_goes() {
    let state = with_claims(claiming(1, "Retain", "Delete"), "0:ready 1:ready", "0: 1:");
    assert_eq!(moves(&state), ["=data-web-1", "-web-1"]);
    let rival = with_claims(claiming(1, "Delete", "Retain"), "0:ready", "0:rival,set");
    assert_eq!(moves(&rival), ["ConflictingController", "=data-web-0", "SuccessfulUpdate"]);
}

#[test]
fn a_claim_that_goes_with_a_previous_pod_is_waited_for() {
    let state = with_claims(claiming(1, "Retain", "Delete"), "", "0:old-pod");
    assert_eq!(moves(&state), Vec::<String>::new());
    let kept = with_claims(claiming(1, "Retain", "Retain"), "", "0:old-pod");
    assert_eq!(moves(&kept), ["+web-0@web-1"]);
}

#[test]
fn missing_claims_of_a_pending_pod_are_made() {
    let state = with_claims(claiming(1, "Delete", "Retain"), "0:pending", "");
    assert_eq!(moves(&state), ["+data-web-0", "SuccessfulCreate"]);
    let state = with_claims(claiming(1, "Delete", "Retain"), "0:pending", "0:");
    assert_eq!(moves(&state), ["=data-web-0"]);
}

#[test]
fn a_pod_without_its_volumes_is_tried_to_be_given_them() {
    let mut state = with_claims(claiming(1, "Retain", "Retain"), "0:ready", "");
    state.pods = vec![pod("0:ready")];
    assert_eq!(moves(&state), ["+data-web-0", "SuccessfulCreate", "~web-0", "SuccessfulUpdate"]);
}

#[test]
fn claims_name_their_set() {
    let set = claiming(1, "Retain", "Retain");
    assert!(identity::may_claim(&set, "data-web-3"));
    for other in ["data-web-x", "other-web-0", "data-other-0", "web-0", "data-web"] {
        assert!(!identity::may_claim(&set, other), "{other}");
    }
}
