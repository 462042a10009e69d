//! kube-rs as a client: its watcher and its controller run against the server.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use hostnet::NetNs;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{DeleteParams, ObjectMeta, Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::runtime::controller::Action;
use kube::runtime::watcher::Event;
use kube::runtime::{Controller, WatchStreamExt, watcher};
use kube::{Api, Client, Config, ResourceExt};
use libtest_mimic::Trial;
use tokio::time::timeout;

use crate::support::{Namespace, PATIENCE, SharedCluster, trial};

pub fn trials(shared: &Arc<SharedCluster>) -> Vec<Trial> {
    let trial = |name, test| trial(shared, "kube_rs", name, test);
    vec![
        trial("the_watcher_sees_changes", the_watcher_sees_changes),
        trial("a_controller_runs", a_controller_runs),
    ]
}

/// Runs `work` in the host's network, with a client.
fn with_client<Fut: Future<Output = ()>>(namespace: &Namespace, work: impl FnOnce(Client) -> Fut + Send) {
    with_client_within(namespace, PATIENCE, work);
}

/// Like [`with_client`], for work that takes longer.
pub fn with_client_within<Fut: Future<Output = ()>>(
    namespace: &Namespace,
    limit: Duration,
    work: impl FnOnce(Client) -> Fut + Send,
) {
    let network = NetNs::open(&namespace.cluster.host().network_namespace()).unwrap();
    let kubeconfig = Kubeconfig::read_from(namespace.cluster.server.kubeconfig()).unwrap();
    let run = || async {
        let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
        timeout(limit, work(Client::try_from(config).unwrap())).await.expect("in time");
    };
    network.block_on(run).unwrap();
}

fn map(name: &str, color: &str) -> ConfigMap {
    ConfigMap {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            labels: Some(BTreeMap::from([("of".to_owned(), "kube-rs".to_owned())])),
            ..ObjectMeta::default()
        },
        data: Some(BTreeMap::from([("color".to_owned(), color.to_owned())])),
        ..ConfigMap::default()
    }
}

fn the_watcher_sees_changes(namespace: &Namespace) {
    let place = namespace.name.clone();
    with_client(namespace, |client| async move {
        let version = client.apiserver_version().await.unwrap();
        assert_eq!((version.major.as_str(), version.minor.as_str()), ("1", "37"));
        let maps: Api<ConfigMap> = Api::namespaced(client, &place);
        maps.create(&PostParams::default(), &map("one", "red")).await.unwrap();
        // Once with a list and a watch, once with a watch that begins with the existing objects.
        for config in [watcher::Config::default(), watcher::Config::default().streaming_lists()] {
            let mut events = watcher(maps.clone(), config.labels("of=kube-rs")).boxed();
            assert!(matches!(events.try_next().await.unwrap().unwrap(), Event::Init));
            let Event::InitApply(first) = events.try_next().await.unwrap().unwrap() else {
                panic!("the map")
            };
            assert_eq!(first.name_any(), "one");
            assert!(matches!(events.try_next().await.unwrap().unwrap(), Event::InitDone));
            maps.create(&PostParams::default(), &map("two", "green")).await.unwrap();
            let blue = Patch::Merge(serde_json::json!({"data": {"color": "blue"}}));
            maps.patch("two", &PatchParams::default(), &blue).await.unwrap();
            maps.delete("two", &DeleteParams::default()).await.unwrap();
            let seen: Vec<_> = events.take(3).map(Result::unwrap).collect().await;
            let color = |map: &ConfigMap| map.data.as_ref().unwrap()["color"].clone();
            match &seen[..] {
                [Event::Apply(made), Event::Apply(changed), Event::Delete(deleted)] => {
                    assert_eq!([made, changed, deleted].map(color), ["green", "blue", "blue"]);
                }
                other => panic!("{other:?}"),
            }
        }
    });
}

/// The context of the test's controller.
struct Context {
    maps: Api<ConfigMap>,
}

/// Makes a copy in upper case, owned by the original.
async fn reconcile(map: Arc<ConfigMap>, context: Arc<Context>) -> Result<Action, kube::Error> {
    let data = map.data.iter().flatten().map(|(key, value)| (key.clone(), value.to_uppercase())).collect();
    let copy = ConfigMap {
        metadata: ObjectMeta {
            name: Some(format!("{}-upper", map.name_any())),
            owner_references: Some(vec![kube::Resource::controller_owner_ref(&*map, &()).unwrap()]),
            ..ObjectMeta::default()
        },
        data: Some(data),
        ..ConfigMap::default()
    };
    match context.maps.create(&PostParams::default(), &copy).await {
        Err(kube::Error::Api(status)) if status.reason == "AlreadyExists" => {
            let patch = Patch::Merge(serde_json::json!({"data": copy.data}));
            match context.maps.patch(&copy.name_any(), &PatchParams::default(), &patch).await {
                // It was garbage collected in the meantime, after its owner.
                Err(kube::Error::Api(status)) if status.reason == "NotFound" => {}
                result => drop(result?),
            }
        }
        result => drop(result?),
    }
    Ok(Action::await_change())
}

fn a_controller_runs(namespace: &Namespace) {
    let place = namespace.name.clone();
    with_client(namespace, |client| async move {
        let maps: Api<ConfigMap> = Api::namespaced(client, &place);
        let controller = Controller::new(maps.clone(), watcher::Config::default().labels("of=kube-rs"))
            .owns(maps.clone(), watcher::Config::default())
            .run(reconcile, |_, error, _| panic!("{error}"), Arc::new(Context { maps: maps.clone() }));
        let watched = controller.for_each(async |result| match result {
            // Woken by the end of the copy, after that of its owner.
            Err(kube::runtime::controller::Error::ObjectNotFound(_)) => {}
            result => drop(result.unwrap()),
        });
        let controller = tokio::spawn(watched);
        let until_upper = async |expected: &str| {
            let only = watcher::Config::default().fields("metadata.name=one-upper");
            let mut copies = watcher(maps.clone(), only).applied_objects().boxed();
            while let Some(copy) = copies.try_next().await.unwrap() {
                if copy.data.as_ref().unwrap()["color"] == expected {
                    return;
                }
            }
        };
        maps.create(&PostParams::default(), &map("one", "red")).await.unwrap();
        until_upper("RED").await;
        let blue = Patch::Merge(serde_json::json!({"data": {"color": "blue"}}));
        maps.patch("one", &PatchParams::default(), &blue).await.unwrap();
        until_upper("BLUE").await;
        // Owned objects wake it: a damaged copy is repaired.
        let spoilt = Patch::Merge(serde_json::json!({"data": {"color": "grey"}}));
        maps.patch("one-upper", &PatchParams::default(), &spoilt).await.unwrap();
        until_upper("BLUE").await;
        // The garbage collector deletes the copy with its owner.
        let only = watcher::Config::default().fields("metadata.name=one-upper");
        let mut copies = watcher(maps.clone(), only).boxed();
        while !matches!(copies.try_next().await.unwrap(), Some(Event::InitDone)) {}
        maps.delete("one", &DeleteParams::default()).await.unwrap();
        while !matches!(copies.try_next().await.unwrap(), Some(Event::Delete(_))) {}
        controller.abort();
        tokio::time::timeout(Duration::from_secs(5), controller).await.unwrap().unwrap_err();
    });
}
