use std::time::Duration;

use client::{DeleteOptions, Kin, Propagation, ResourceType};
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use object::{FieldValues, TypeMeta, Versioned};

use simulation::Server;

use super::graph::{Graph, ORPHAN};
use super::*;
use crate::framework::{Action, controller_reference};
use crate::tests::Cluster;

fn owner(uid: &str, blocks: bool) -> OwnerReference {
    OwnerReference {
        api_version: "apps/v1".into(),
        kind: "ReplicaSet".into(),
        name: uid.into(),
        uid: uid.into(),
        block_owner_deletion: Some(blocks),
        ..OwnerReference::default()
    }
}

fn meta(name: &str, owners: Vec<OwnerReference>, finalizers: &[&str], deleting: bool) -> ObjectMeta {
    ObjectMeta {
        name: Some(name.into()),
        namespace: Some("default".into()),
        uid: Some(name.into()),
        resource_version: Some("7".into()),
        owner_references: Some(owners),
        finalizers: Some(finalizers.iter().map(|finalizer| (*finalizer).to_owned()).collect()),
        deletion_timestamp: deleting.then_some(Time(Timestamp::UNIX_EPOCH)),
        ..ObjectMeta::default()
    }
}

fn node<K: k8s_openapi::Resource>(meta: &ObjectMeta) -> Node {
    let object = object::value!({"metadata": object::to_value(meta).unwrap()});
    let version =
        Versioned::from_value(TypeMeta::new(K::API_VERSION, K::KIND), &object, FieldValues::default())
            .unwrap();
    Node { resource: Arc::new(ResourceType::of::<K>()), kin: Arc::new(Kin::read(&version).unwrap()) }
}

fn put(graph: &mut Graph, meta: &ObjectMeta) -> Vec<String> {
    names(graph.put(node::<ReplicaSet>(meta)))
}

fn names(uids: Vec<Uid>) -> Vec<String> {
    uids.iter().map(ToString::to_string).collect()
}

#[test]
fn a_change_concerns_those_whom_it_may_doom() {
    let mut graph = Graph::default();
    assert_eq!(put(&mut graph, &meta("child", vec![owner("parent", true)], &[], false)), ["child"]);
    assert!(put(&mut graph, &meta("parent", vec![], &[], false)).is_empty());
    assert!(put(&mut graph, &meta("child", vec![owner("parent", true)], &[], false)).is_empty());
    let going = meta("parent", vec![], &[FOREGROUND], true);
    assert_eq!(put(&mut graph, &going), ["parent", "child"]);
    assert_eq!(names(graph.remove(&Uid::from("child"))), ["parent"], "its owner may go now");
    put(&mut graph, &meta("child", vec![owner("parent", true)], &[], false));
    assert_eq!(
        put(&mut graph, &meta("child", vec![owner("parent", false)], &[], false)),
        ["parent", "child"]
    );
    assert_eq!(names(graph.remove(&Uid::from("parent"))), ["child"]);
    assert_eq!(put(&mut graph, &meta("other", vec![], &[ORPHAN], true)), ["other"]);
}

#[test]
fn an_owner_counts_only_where_the_reference_says() {
    let mut graph = Graph::default();
    put(&mut graph, &meta("parent", vec![], &[], false));
    let child = |namespace: &str, reference: OwnerReference| {
        let meta =
            ObjectMeta { namespace: Some(namespace.into()), ..meta("child", vec![reference], &[], false) };
        node::<Pod>(&meta)
    };
    let state = |child: Node| graph.owner_state(&child.owners[0], &child);
    assert_eq!(state(child("default", owner("parent", true))), Some(OwnerState::Solid));
    assert_eq!(state(child("elsewhere", owner("parent", true))), None);
    assert_eq!(state(child("default", OwnerReference { kind: "Pod".into(), ..owner("parent", true) })), None);
    assert_eq!(state(child("default", OwnerReference { name: "x".into(), ..owner("parent", true) })), None);
}

/// The decision about a dependent with owners in these states.
fn fate(
    states: &[OwnerState],
    has_dependents: bool,
    dependent_waits: bool,
    finalizers: &[&str],
) -> Vec<String> {
    let names: Vec<String> = (0..states.len()).map(|index| format!("o{index}")).collect();
    let references: Vec<_> = names.iter().map(|name| owner(name, true)).collect();
    let meta = meta("child", references.clone(), finalizers, false);
    let snapshot = Snapshot::Dependent {
        node: node::<Pod>(&meta),
        live: Arc::new(PartialObject { metadata: meta }),
        owners: references.into_iter().zip(states.iter().copied()).collect(),
        has_dependents,
        dependent_waits,
    };
    let plan = plan::plan(&snapshot);
    let shown = plan.actions().into_iter().map(|action| match action {
        Action::Delete { options, .. } => {
            assert_eq!(options.uid.as_deref(), Some("child"));
            format!("delete {:?}", options.propagation.unwrap())
        }
        Action::Patch { patch: client::Patch::Merge(change), .. } => {
            assert_eq!(change["metadata"]["resourceVersion"], "7");
            let owners = change["metadata"]["ownerReferences"].as_array().unwrap();
            let owner = |o: &serde_json::Value| {
                format!("{}:{}", o["name"].as_str().unwrap(), o["blockOwnerDeletion"])
            };
            format!("owners {}", owners.iter().map(owner).collect::<Vec<_>>().join(" "))
        }
        other => panic!("{other:?}"),
    });
    shown.collect()
}

#[test]
fn a_dependent_lives_as_long_as_one_owner_does() {
    use OwnerState::{Absent, Solid, Waiting};
    assert_eq!(fate(&[Absent], false, false, &[]), ["delete Background"]);
    assert_eq!(fate(&[Absent], false, false, &[ORPHAN]), ["delete Orphan"]);
    assert_eq!(fate(&[Absent, Waiting], false, false, &[FOREGROUND]), ["delete Foreground"]);
    assert_eq!(fate(&[Absent, Solid, Waiting], true, false, &[]), ["owners o1:true"]);
    assert_eq!(fate(&[Waiting], true, false, &[]), ["delete Foreground"]);
    assert_eq!(fate(&[Waiting], true, true, &[]), ["owners o0:false", "delete Foreground"]);
}

/// A ConfigMap that owns two others, one of which owns a third.
async fn family(server: &Server) -> ConfigMap {
    let child = |name: &str, of: Option<&ConfigMap>| {
        let mut child = ConfigMap::default();
        child.metadata.name = Some(name.into());
        child.metadata.namespace = Some("default".into());
        child.metadata.owner_references = of.map(|of| vec![controller_reference(of)]);
        child
    };
    let root = server.create(&child("root", None)).await;
    let one = server.create(&child("one", Some(&root))).await;
    server.create(&child("two", Some(&root))).await;
    server.create(&child("three", Some(&one))).await;
    root
}

async fn left(server: &Server) -> Vec<String> {
    let maps = server.list::<ConfigMap>().await.into_iter();
    let own = maps.filter(|map| map.metadata.namespace.as_deref() == Some("default"));
    own.map(|map| map.metadata.name.unwrap()).collect()
}

#[tokio::test(start_paused = true)]
async fn dependents_go_with_their_owner_each_in_its_way() {
    for (propagation, expected) in [
        (Propagation::Background, vec![]),
        (Propagation::Foreground, vec![]),
        (Propagation::Orphan, vec!["one", "three", "two"]),
    ] {
        let cluster = Cluster::start().await;
        let server = &cluster.server;
        let root = family(server).await;
        cluster.settle().await;
        assert_eq!(left(server).await.len(), 4);
        server.faults().take_requests();
        let options = DeleteOptions { propagation: Some(propagation), ..DeleteOptions::default() };
        server.admin().delete::<ConfigMap>(&client::key_of(&root), &options).await.unwrap();
        cluster.settle().await;
        assert_eq!(left(server).await, expected, "{propagation:?}");
        let requests = server.faults().take_requests();
        let position = |what: &str| requests.iter().position(|request| request.ends_with(what));
        if propagation == Propagation::Foreground {
            let released = position("patch /api/v1/namespaces/default/configmaps/root");
            assert!(
                position("delete /api/v1/namespaces/default/configmaps/three") < released,
                "{requests:#?}"
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_deployment_takes_its_pods_along() {
    let cluster = Cluster::start().await;
    let server = &cluster.server;
    server.create(&crate::tests::web("one", 3)).await;
    cluster.settle().await;
    assert_eq!(server.list::<Pod>().await.len(), 3);
    let key = ObjectKey::namespaced("default", "web");
    server.admin().delete::<Deployment>(&key, &DeleteOptions::default()).await.unwrap();
    cluster.settle().await;
    assert_eq!((server.list::<ReplicaSet>().await.len(), server.list::<Pod>().await.len()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn the_replica_sets_of_a_deployment_outlive_it_if_orphaned() {
    let cluster = Cluster::start().await;
    let server = &cluster.server;
    server.create(&crate::tests::web("one", 2)).await;
    cluster.settle().await;
    let key = ObjectKey::namespaced("default", "web");
    let options = DeleteOptions { propagation: Some(Propagation::Orphan), ..DeleteOptions::default() };
    server.admin().delete::<Deployment>(&key, &options).await.unwrap();
    cluster.settle().await;
    let sets = server.list::<ReplicaSet>().await;
    assert_eq!((sets.len(), server.list::<Pod>().await.len()), (1, 2));
    assert_eq!(sets[0].metadata.owner_references.iter().flatten().count(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_circle_of_owners_goes_as_a_whole() {
    let cluster = Cluster::start().await;
    let server = &cluster.server;
    let mut maps = Vec::new();
    for name in ["one", "two", "three"] {
        let mut map = ConfigMap::default();
        map.metadata.name = Some(name.into());
        map.metadata.namespace = Some("default".into());
        maps.push(server.create(&map).await);
    }
    for (index, map) in maps.iter().enumerate() {
        let owner = controller_reference(&maps[(index + 2) % 3]);
        let patch = client::Patch::Merge(serde_json::json!({"metadata": {"ownerReferences": [owner]}}));
        server.admin().patch::<ConfigMap>(&client::key_of(map), "", &patch).await.unwrap();
    }
    cluster.settle().await;
    assert_eq!(left(server).await.len(), 3, "nobody is missing yet");
    server.admin().delete::<ConfigMap>(&client::key_of(&maps[0]), &DeleteOptions::default()).await.unwrap();
    cluster.settle().await;
    assert_eq!(left(server).await, [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn owners_that_never_were_doom_and_unknown_kinds_do_not() {
    let cluster = Cluster::start().await;
    let server = &cluster.server;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let doomed = meta("doomed", vec![owner("never", true)], &[], false);
    let spec = serde_json::json!({"containers": [{"name": "c", "image": "i"}]});
    let doomed = Pod {
        metadata: ObjectMeta { finalizers: None, ..doomed },
        spec: Some(serde_json::from_value(spec).unwrap()),
        ..Pod::default()
    };
    server.create(&doomed).await;
    let mut unsure = doomed.clone();
    unsure.metadata.name = Some("unsure".into());
    unsure.metadata.owner_references.as_mut().unwrap()[0].kind = "Mystery".into();
    server.create(&unsure).await;
    cluster.settle().await;
    let pods: Vec<_> = server.list::<Pod>().await.into_iter().map(|pod| pod.metadata.name.unwrap()).collect();
    assert_eq!(pods, ["unsure"]);
}
