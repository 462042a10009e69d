//! Claims. Node `a` reaches the volume `local`; node `b` does not.

use std::sync::Arc;

use object::ObjectKey;
use serde_json::{Value, json};

use super::labelled;
use crate::framework::{Event, EventKinds, Plugin, Subject};
use crate::plugins::{VolumeBinding, default_profile};
use crate::state::{Cache, PodInfo, VolumeChange};
use crate::testing::{cluster, decide, pod, verdicts};

fn claim(extra: Value) -> VolumeChange {
    let mut claim = json!({"metadata": {"name": "data", "namespace": "default",
        "annotations": {"pv.kubernetes.io/bind-completed": "yes"}}, "spec": {"volumeName": "local"}});
    crate::testing::merge(&mut claim, extra);
    VolumeChange::Claim(Some(Arc::new(serde_json::from_value(claim).unwrap())))
}

fn cluster_with(claimed: Option<VolumeChange>) -> Cache {
    let mut cache = cluster(&[labelled("a", json!({"disk": "a"})), labelled("b", json!({"disk": "b"}))], &[]);
    let volume = json!({"metadata": {"name": "local"}, "spec": {"nodeAffinity": {"required": {
        "nodeSelectorTerms": [{"matchExpressions": [{"key": "disk", "operator": "In", "values": ["a"]}]}]}}}});
    let volume = VolumeChange::Volume(Some(Arc::new(serde_json::from_value(volume).unwrap())));
    cache.set_volume(&ObjectKey::cluster("local"), volume);
    let class = json!({"metadata": {"name": "late"}, "provisioner": "x", "volumeBindingMode": "WaitForFirstConsumer"});
    let class = VolumeChange::Class(Some(Arc::new(serde_json::from_value(class).unwrap())));
    cache.set_volume(&ObjectKey::cluster("late"), class);
    if let Some(claimed) = claimed {
        cache.set_volume(&ObjectKey::namespaced("default", "data"), claimed);
    }
    cache
}

fn using(volume: Value) -> Arc<PodInfo> {
    pod("p", json!({"volumes": [volume]}))
}

fn using_claim() -> Arc<PodInfo> {
    using(json!({"name": "v", "persistentVolumeClaim": {"claimName": "data"}}))
}

#[test]
fn pods_run_where_their_volumes_are_reached() {
    let elsewhere = "node(s) didn't match PersistentVolume's node affinity";
    let cases = [
        (json!({}), "", elsewhere),
        (
            json!({"spec": {"volumeName": "gone"}}),
            "node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)",
            "node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)",
        ),
        (
            json!({"spec": {"volumeName": "", "storageClassName": "late"}}),
            "node(s) didn't find available persistent volumes to bind",
            "node(s) didn't find available persistent volumes to bind",
        ),
    ];
    for (extra, on_a, on_b) in cases {
        let found = verdicts(VolumeBinding, &using_claim(), &mut cluster_with(Some(claim(extra.clone()))));
        assert_eq!((&*found[0].1, &*found[1].1), (on_a, on_b), "{extra}");
    }
    assert_eq!(verdicts(VolumeBinding, &pod("p", json!({})), &mut cluster_with(None))[0].1, "");
}

#[test]
fn pods_wait_for_their_claims_in_upstreams_words() {
    let ephemeral = || using(json!({"name": "data", "ephemeral": {}}));
    let cases = [
        (using_claim(), None, "persistentvolumeclaim \"data\" not found"),
        (
            ephemeral(),
            None,
            "waiting for ephemeral volume controller to create the persistentvolumeclaim \"p-data\"",
        ),
        (
            using_claim(),
            Some(json!({"status": {"phase": "Lost"}})),
            "persistentvolumeclaim \"data\" bound to non-existent persistentvolume \"local\"",
        ),
        (
            using_claim(),
            Some(json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}})),
            "persistentvolumeclaim \"data\" is being deleted",
        ),
        (
            using_claim(),
            Some(json!({"spec": {"volumeName": ""}})),
            "pod has unbound immediate PersistentVolumeClaims",
        ),
        (
            using_claim(),
            Some(json!({"metadata": {"annotations": null}})),
            "pod has unbound immediate PersistentVolumeClaims",
        ),
    ];
    for (pod, extra, wanted) in cases {
        let mut cache = cluster_with(extra.map(claim));
        let message = decide(&default_profile(), &pod, &mut cache).unwrap_err();
        let rest = "preemption: 0/2 nodes are available: 2 Preemption is not helpful for scheduling.";
        assert_eq!(message, format!("0/2 nodes are available: {wanted}. {rest}"));
    }
}

#[test]
fn ephemeral_claims_are_the_pods_own() {
    let pod = using(json!({"name": "data", "ephemeral": {}}));
    for (owner, wanted) in [("p", Ok("a".to_owned())), ("other", Err(()))] {
        let mut cache = cluster_with(None);
        let owned = claim(json!({"metadata": {"ownerReferences": [
            {"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": owner, "controller": true}]}}));
        cache.set_volume(&ObjectKey::namespaced("default", "p-data"), owned);
        let found = decide(&default_profile(), &pod, &mut cache);
        if let Err(message) = &found {
            let wanted = "PVC default/p-data was not created for pod default/p (pod is not owner)";
            assert!(message.contains(wanted), "{message}");
        }
        assert_eq!(found.map_err(drop), wanted);
    }
}

#[test]
fn only_the_pods_own_claims_help() {
    let happens = |change: &VolumeChange| {
        let event = Event { kinds: EventKinds::STORAGE, subject: Subject::Storage(change) };
        VolumeBinding.may_help(&using_claim(), &event)
    };
    assert!(happens(&claim(json!({}))));
    assert!(!happens(&claim(json!({"metadata": {"name": "other"}}))));
    assert!(!happens(&claim(json!({"metadata": {"namespace": "other"}}))));
    assert!(happens(&VolumeChange::Volume(None)));
}
