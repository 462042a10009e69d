//! Claims. Node `a` reaches the volume `local`; node `b` does not.

use std::sync::Arc;

use object::ObjectKey;
use serde_json::{Value, json};

use super::labelled;
use crate::framework::{Event, EventKinds, Plugin, Subject};
use crate::plugins::{NodeVolumeLimits, VolumeBinding, VolumeRestrictions, VolumeZone, default_profile};
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

fn set(cache: &mut Cache, name: &str, change: VolumeChange) {
    let namespaced = matches!(change, VolumeChange::Claim(_));
    let key = if namespaced { ObjectKey::namespaced("default", name) } else { ObjectKey::cluster(name) };
    cache.set_volume(&key, change);
}

fn volume(name: &str, extra: Value) -> VolumeChange {
    let mut volume = json!({"metadata": {"name": name}, "spec": {}});
    crate::testing::merge(&mut volume, extra);
    VolumeChange::Volume(Some(Arc::new(serde_json::from_value(volume).unwrap())))
}

fn using_claims(name: &str, claims: &[&str]) -> Arc<PodInfo> {
    let volume = |claim: &&str| json!({"name": claim, "persistentVolumeClaim": {"claimName": claim}});
    pod(name, json!({"volumes": claims.iter().map(volume).collect::<Vec<_>>()}))
}

#[test]
fn an_exclusive_claim_has_one_user() {
    let taken =
        "node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access mode";
    for (modes, wanted) in [(json!(["ReadWriteOncePod"]), taken), (json!(["ReadWriteOnce"]), "")] {
        let mut cache = cluster_with(Some(claim(json!({"spec": {"accessModes": modes}}))));
        assert_eq!(verdicts(VolumeRestrictions, &using_claim(), &mut cache)[0].1, "");
        let user = crate::testing::on("a", &using_claims("user", &["data"]));
        cache.set_pod(user.clone(), "a");
        let found = verdicts(VolumeRestrictions, &using_claim(), &mut cache);
        assert!(found.iter().all(|(_, why)| why == wanted), "{found:?}");
        cache.remove_pod(&user.uid);
        assert_eq!(verdicts(VolumeRestrictions, &using_claim(), &mut cache)[0].1, "");
    }
    let gone = using_claims("user", &["data"]);
    let event = |gone: &PodInfo| {
        let event = Event { kinds: EventKinds::POD_REMOVED, subject: Subject::Pod(Some(gone), None) };
        VolumeRestrictions.may_help(&using_claim(), &event)
    };
    assert!(event(&gone));
    assert!(!event(&using_claims("other", &["else"])));
}

#[test]
fn a_more_important_pod_gets_an_exclusive_claim() {
    let mut cache = cluster_with(Some(claim(json!({"spec": {"accessModes": ["ReadWriteOncePod"]}}))));
    cache.set_pod(crate::testing::on("a", &using_claims("user", &["data"])), "a");
    let mut spec = json!({"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}]});
    spec["priority"] = json!(1);
    let mut decider = crate::decide::Decider::new(crate::testing::clock(), 0);
    let unfit = decider.decide(&default_profile(), &pod("p", spec), cache.snapshot()).unwrap_err();
    let preemption = unfit.preemption.expect("the user can make room");
    assert_eq!((&*preemption.nominated, preemption.victims.len()), ("a", 1));
}

#[test]
fn zoned_volumes_are_used_in_their_zones() {
    const ZONE: &str = "topology.kubernetes.io/zone";
    const OLD_ZONE: &str = "failure-domain.beta.kubernetes.io/zone";
    let nodes = [
        labelled("a", json!({ZONE: "z1"})),
        labelled("b", json!({ZONE: "z2"})),
        labelled("c", json!({OLD_ZONE: "z3"})),
        labelled("d", json!({})),
        labelled("e", json!({"topology.kubernetes.io/region": "r"})),
    ];
    let cases: [(Value, &[&str]); 6] = [
        (json!({}), &["a", "b", "c", "d", "e"]),
        (json!({ZONE: "z1"}), &["a", "d"]),
        (json!({ZONE: "z1__z2"}), &["a", "b", "d"]),
        // A node may have the new name of an old label.
        (json!({OLD_ZONE: "z1"}), &["a", "d"]),
        (json!({OLD_ZONE: "z3"}), &["c", "d"]),
        (json!({ZONE: "z1__"}), &["a", "b", "c", "d", "e"]),
    ];
    for (labels, wanted) in cases {
        let mut cache = cluster(&nodes, &[]);
        set(&mut cache, "data", claim(json!({})));
        set(&mut cache, "local", volume("local", json!({"metadata": {"labels": labels}})));
        assert_eq!(crate::testing::passing(VolumeZone, &using_claim(), &mut cache), wanted, "{labels}");
    }
    let mut cache = cluster(&nodes, &[]);
    set(&mut cache, "data", claim(json!({})));
    set(&mut cache, "local", volume("local", json!({"metadata": {"labels": {ZONE: "z9"}}})));
    let found = verdicts(VolumeZone, &using_claim(), &mut cache);
    assert_eq!(found[0].1, "node(s) had no available volume zone");
}

#[test]
fn drivers_limit_the_volumes_of_a_node() {
    let csi = |handle: &str| json!({"spec": {"csi": {"driver": "d", "volumeHandle": handle}}});
    let limits = |count: i32| {
        let node = json!({"metadata": {"name": "a"}, "spec": {"drivers": [
            {"name": "d", "nodeID": "a", "allocatable": {"count": count}}]}});
        VolumeChange::CsiNode(Some(Arc::new(serde_json::from_value(node).unwrap())))
    };
    let bound = |name: &str| claim(json!({"metadata": {"name": name}, "spec": {"volumeName": name}}));
    let mut cache = cluster(&[labelled("a", json!({})), labelled("b", json!({}))], &[]);
    for name in ["one", "two", "three"] {
        set(&mut cache, name, bound(name));
        set(&mut cache, name, volume(name, csi(name)));
    }
    let class = json!({"metadata": {"name": "dynamic"}, "provisioner": "d"});
    set(&mut cache, "dynamic", VolumeChange::Class(Some(Arc::new(serde_json::from_value(class).unwrap()))));
    let unbound = json!({"spec": {"volumeName": "", "storageClassName": "dynamic"}});
    set(&mut cache, "new", claim(unbound));
    cache.set_pod(crate::testing::on("a", &using_claims("user", &["one"])), "a");
    let exceeds = "node(s) exceed max volume count";
    let cases: [(i32, &[&str], &str); 7] = [
        (1, &["one"], ""),
        (1, &["two"], exceeds),
        (2, &["two"], ""),
        (2, &["one", "two"], ""),
        (2, &["two", "three"], exceeds),
        (1, &["new"], exceeds),
        (2, &["new", "unknown"], ""),
    ];
    for (limit, claims, wanted) in cases {
        set(&mut cache, "a", limits(limit));
        let found = verdicts(NodeVolumeLimits, &using_claims("p", claims), &mut cache);
        assert_eq!(
            found,
            [("a".to_owned(), wanted.to_owned()), ("b".to_owned(), String::new())],
            "{claims:?}"
        );
    }
}
