//! kube-rs as a client: requests, watchers of both kinds, and a controller.

use std::sync::Arc;

use apiserver::testing::{Listening, TestServer};
use futures::StreamExt;
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use kube::runtime::controller::Action;
use kube::runtime::wait::{await_condition, conditions};
use kube::runtime::{Controller, WatchStreamExt, watcher};
use kube::{Client, ResourceExt};

use crate::support::WITHIN;

async fn client(listening: &Listening) -> Client {
    let kubeconfig = Kubeconfig::from_yaml(&listening.kubeconfig()).unwrap();
    let config =
        kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
    Client::try_from(config).unwrap()
}

fn named(name: &str) -> ConfigMap {
    serde_json::from_value(serde_json::json!({"metadata": {"name": name}, "data": {"key": "value"}})).unwrap()
}

#[tokio::test]
async fn requests_and_watchers_work() {
    let server = TestServer::start().await;
    let listening = server.listen().await.unwrap();
    let client = client(&listening).await;
    assert_eq!(client.apiserver_version().await.unwrap().minor, "37");
    let api: Api<ConfigMap> = Api::default_namespaced(client);
    for name in ["a", "b", "c"] {
        api.create(&PostParams::default(), &named(name)).await.unwrap();
    }
    let page = api.list(&ListParams::default().limit(2)).await.unwrap();
    assert_eq!((page.items.len(), page.metadata.remaining_item_count), (2, Some(1)));
    for config in [watcher::Config::default(), watcher::Config::default().streaming_lists()] {
        let mut objects = std::pin::pin!(watcher(api.clone(), config).applied_objects());
        let mut seen = Vec::new();
        while seen.len() < 3 {
            let object = tokio::time::timeout(WITHIN, objects.next()).await.unwrap().unwrap().unwrap();
            seen.push(object.name_any());
        }
        seen.sort();
        assert_eq!(seen, ["a", "b", "c"]);
        // Something that was never there.
        let patch = serde_json::json!({"data": {"stamp": api.get("b").await.unwrap().resource_version()}});
        api.patch("b", &PatchParams::default(), &Patch::Merge(&patch)).await.unwrap();
        let changed = tokio::time::timeout(WITHIN, objects.next()).await.unwrap().unwrap().unwrap();
        assert_eq!(changed.name_any(), "b");
    }
    api.delete("a", &DeleteParams::default()).await.unwrap();
    match api.get("a").await.unwrap_err() {
        kube::Error::Api(status) => assert_eq!((status.code, status.reason.as_str()), (404, "NotFound")),
        error => panic!("{error}"),
    }
}

#[tokio::test]
async fn a_controller_reconciles() {
    let server = TestServer::start().await;
    let listening = server.listen().await.unwrap();
    let api: Api<ConfigMap> = Api::default_namespaced(client(&listening).await);
    let mark = |object: Arc<ConfigMap>, api: Arc<Api<ConfigMap>>| async move {
        let patch = serde_json::json!({"metadata": {"labels": {"reconciled": "yes"}}});
        api.patch(&object.name_any(), &PatchParams::default(), &Patch::Merge(&patch)).await?;
        Ok::<_, kube::Error>(Action::await_change())
    };
    let controller = Controller::new(api.clone(), watcher::Config::default())
        .run(mark, |_, _, _| Action::await_change(), Arc::new(api.clone()))
        .for_each(|_| std::future::ready(()));
    let running = tokio::spawn(controller);
    api.create(&PostParams::default(), &named("a")).await.unwrap();
    let selected = watcher::Config::default().labels("reconciled=yes");
    let mut marked = std::pin::pin!(watcher(api, selected).applied_objects());
    let object = tokio::time::timeout(WITHIN, marked.next()).await.unwrap().unwrap().unwrap();
    assert_eq!(object.name_any(), "a");
    running.abort();
}

#[tokio::test]
async fn a_definition_and_its_objects_work() {
    let server = TestServer::start().await;
    let listening = server.listen().await.unwrap();
    let client = client(&listening).await;
    let definition = serde_json::json!({
        "metadata": {"name": "foos.clux.dev"},
        "spec": {
            "group": "clux.dev", "scope": "Namespaced", "names": {"plural": "foos", "kind": "Foo"},
            "versions": [{
                "name": "v1", "served": true, "storage": true, "subresources": {"status": {}},
                "schema": {"openAPIV3Schema": {"type": "object", "properties": {
                    "spec": {"type": "object", "properties": {"name": {"type": "string"}}},
                    "status": {"type": "object", "nullable": true, "properties": {"is_bad": {"type": "boolean"}}}
                }}}
            }]
        }
    });
    let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
    let definition = serde_json::from_value(definition).unwrap();
    definitions.create(&PostParams::default(), &definition).await.unwrap();
    let established = await_condition(definitions.clone(), "foos.clux.dev", conditions::is_crd_established());
    tokio::time::timeout(WITHIN, established).await.unwrap().unwrap();

    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("clux.dev", "v1", "Foo"));
    let foos: Api<DynamicObject> = Api::default_namespaced_with(client, &resource);
    let mut seen = std::pin::pin!(watcher(foos.clone(), watcher::Config::default()).applied_objects());
    let foo = DynamicObject::new("baz", &resource).data(serde_json::json!({"spec": {"name": "old baz"}}));
    foos.create(&PostParams::default(), &foo).await.unwrap();
    let first = tokio::time::timeout(WITHIN, seen.next()).await.unwrap().unwrap().unwrap();
    assert_eq!((first.name_any().as_str(), &first.data["spec"]["name"]), ("baz", &"old baz".into()));
    let bad = serde_json::json!({"status": {"is_bad": true}});
    foos.patch_status("baz", &PatchParams::default(), &Patch::Merge(&bad)).await.unwrap();
    let second = tokio::time::timeout(WITHIN, seen.next()).await.unwrap().unwrap().unwrap();
    assert_eq!(second.data["status"]["is_bad"], true);
    let uid = definitions.get("foos.clux.dev").await.unwrap().uid().unwrap();
    definitions.delete("foos.clux.dev", &DeleteParams::default()).await.unwrap();
    let gone = await_condition(definitions, "foos.clux.dev", conditions::is_deleted(&uid));
    tokio::time::timeout(WITHIN, gone).await.unwrap().unwrap();
    match foos.list(&ListParams::default()).await.unwrap_err() {
        kube::Error::Api(status) => assert_eq!(status.code, 404),
        error => panic!("{error}"),
    }
}
