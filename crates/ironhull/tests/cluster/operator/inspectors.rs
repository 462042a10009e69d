//! A controller for each resource of the operator but ships: accepts every generation of every object.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::future::select_all;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use k8s_openapi::jiff::Timestamp;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind, ListParams, Patch, PatchParams};
use kube::runtime::controller::Action;
use kube::runtime::{Controller, watcher};
use kube::{Api, Client, ResourceExt};
use serde_json::json;

use super::injection::OURS;
use super::program::{Failure, MANAGER};

struct Inspector {
    client: Client,
    resource: ApiResource,
    is_namespaced: bool,
}

/// Runs the controllers. Ends if one of them does.
pub async fn run(client: &Client) -> Result<(), Failure> {
    let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
    let mut running = Vec::new();
    for definition in definitions.list(&ListParams::default().labels(OURS)).await? {
        let spec = &definition.spec;
        if spec.names.plural == "ships" {
            continue;
        }
        let version = spec.versions.iter().find(|version| version.storage).ok_or("no stored version")?;
        let kind = GroupVersionKind::gvk(&spec.group, &version.name, &spec.names.kind);
        let resource = ApiResource::from_gvk_with_plural(&kind, &spec.names.plural);
        let is_namespaced = spec.scope == "Namespaced";
        let inspector = Inspector { client: client.clone(), resource: resource.clone(), is_namespaced };
        let objects: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
        let controller = Controller::new_with(objects, watcher::Config::default(), resource)
            .run(inspect, retry, Arc::new(inspector))
            .for_each(async |done| {
                if let Err(error) = done {
                    eprintln!("inspection: {error}");
                }
            });
        running.push(Box::pin(controller));
    }
    println!("{} inspectors", running.len());
    select_all(running).await;
    Err("an inspector ended".into())
}

fn retry(_: Arc<DynamicObject>, error: &kube::Error, _: Arc<Inspector>) -> Action {
    eprintln!("cannot inspect: {error}");
    Action::requeue(Duration::from_secs(1))
}

async fn inspect(object: Arc<DynamicObject>, context: Arc<Inspector>) -> Result<Action, kube::Error> {
    let generation = object.metadata.generation;
    let accepted = object.data.pointer("/status/observedGeneration").and_then(serde_json::Value::as_i64);
    if accepted == generation || object.metadata.deletion_timestamp.is_some() {
        return Ok(Action::await_change());
    }
    let objects: Api<DynamicObject> = match (context.is_namespaced, object.namespace()) {
        (true, Some(namespace)) => {
            Api::namespaced_with(context.client.clone(), &namespace, &context.resource)
        }
        _ => Api::all_with(context.client.clone(), &context.resource),
    };
    let condition = json!({
        "type": "Accepted", "status": "True", "reason": "Inspected", "message": "nothing to complain about",
        "observedGeneration": generation, "lastTransitionTime": created(&object),
    });
    let patch = json!({
        "apiVersion": context.resource.api_version, "kind": context.resource.kind,
        "metadata": {"name": object.name_any()},
        "status": {"observedGeneration": generation, "conditions": [condition]}
    });
    let params = PatchParams::apply(MANAGER).force();
    objects.patch_status(&object.name_any(), &params, &Patch::Apply(patch)).await?;
    Ok(Action::await_change())
}

/// When the object was made: it has been acceptable from then on.
fn created(object: &DynamicObject) -> Timestamp {
    object.creation_timestamp().map(|time| time.0).unwrap_or_default()
}
