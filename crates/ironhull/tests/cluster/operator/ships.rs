//! The controller of ships: each becomes a Deployment, a Service and a ConfigMap, and is entered in the register, which stands
//! for state outside of the cluster.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Service};
use k8s_openapi::jiff::Timestamp;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind, Patch, PatchParams};
use kube::runtime::controller::Action;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use kube::runtime::finalizer::{Event as Turn, finalizer};
use kube::runtime::{Controller, watcher};
use kube::{Api, Client, Resource, ResourceExt};
use serde_json::{Value, json};

use super::program::{Failure, GROUP, MANAGER, Place};

const FINALIZER: &str = "dockyard.example.com/register";

struct Context {
    client: Client,
    place: Place,
    recorder: Recorder,
    resource: ApiResource,
}

type FinalizerError = kube::runtime::finalizer::Error<kube::Error>;

/// Runs the controller.
pub async fn run(client: &Client, place: &Place) -> Result<(), Failure> {
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(GROUP, "v1", "Ship"));
    let ships: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
    let reporter = Reporter { controller: MANAGER.to_owned(), instance: Some(place.pod.clone()) };
    let context = Context {
        client: client.clone(),
        place: place.clone(),
        recorder: Recorder::new(client.clone(), reporter),
        resource: resource.clone(),
    };
    let owned = || watcher::Config::default().labels("app.kubernetes.io/managed-by=dockyard");
    Controller::new_with(ships, watcher::Config::default(), resource)
        .owns(Api::<Deployment>::all(client.clone()), owned())
        .owns(Api::<Service>::all(client.clone()), owned())
        .owns(Api::<ConfigMap>::all(client.clone()), owned())
        .run(reconcile, retry, Arc::new(context))
        .for_each(async |done| {
            if let Err(error) = done {
                eprintln!("ships: {error}");
            }
        })
        .await;
    Err("the controller of ships ended".into())
}

fn retry(_: Arc<DynamicObject>, error: &FinalizerError, _: Arc<Context>) -> Action {
    eprintln!("cannot reconcile: {error}");
    Action::requeue(Duration::from_secs(1))
}

async fn reconcile(ship: Arc<DynamicObject>, context: Arc<Context>) -> Result<Action, FinalizerError> {
    let namespace = ship.namespace().unwrap_or_default();
    let ships: Api<DynamicObject> =
        Api::namespaced_with(context.client.clone(), &namespace, &context.resource);
    finalizer(&ships, FINALIZER, ship, async |turn| match turn {
        Turn::Apply(ship) => context.apply(&ships, &ship, &namespace).await,
        Turn::Cleanup(ship) => context.clean_up(&ship, &namespace).await,
    })
    .await
}

impl Context {
    async fn apply(
        &self,
        ships: &Api<DynamicObject>,
        ship: &DynamicObject,
        namespace: &str,
    ) -> Result<Action, kube::Error> {
        self.register(ship, namespace, ship.uid().into()).await?;
        let (name, params) = (ship.name_any(), PatchParams::apply(MANAGER).force());
        let [map, service, deployment] = wanted(ship, &self.resource);
        let maps: Api<ConfigMap> = Api::namespaced(self.client.clone(), namespace);
        maps.patch(&name, &params, &Patch::Apply(map)).await?;
        let services: Api<Service> = Api::namespaced(self.client.clone(), namespace);
        services.patch(&name, &params, &Patch::Apply(service)).await?;
        let deployments: Api<Deployment> = Api::namespaced(self.client.clone(), namespace);
        let deployment = deployments.patch(&name, &params, &Patch::Apply(deployment)).await?;

        let status = status(ship, &deployment);
        let was_ready = condition(ship)["status"] == "True";
        let is_ready = status["conditions"][0]["status"] == "True";
        let patch = json!({
            "apiVersion": self.resource.api_version, "kind": "Ship", "metadata": {"name": name}, "status": status
        });
        ships.patch_status(&name, &params, &Patch::Apply(patch)).await?;
        if is_ready && !was_ready {
            self.tell(ship, "Afloat", "all hands are on deck").await?;
        }
        Ok(Action::await_change())
    }

    async fn clean_up(&self, ship: &DynamicObject, namespace: &str) -> Result<Action, kube::Error> {
        self.register(ship, namespace, Value::Null).await?;
        self.tell(ship, "Scrapped", "the ship is no longer registered").await?;
        Ok(Action::await_change())
    }

    /// Enters a ship in the register, or strikes it out.
    async fn register(&self, ship: &DynamicObject, namespace: &str, entry: Value) -> Result<(), kube::Error> {
        let registers: Api<ConfigMap> = Api::namespaced(self.client.clone(), &self.place.namespace);
        let key = format!("{namespace}.{}", ship.name_any());
        let patch = Patch::Merge(json!({"data": {(key): entry}}));
        registers.patch(&format!("{}-register", self.place.name), &PatchParams::default(), &patch).await?;
        Ok(())
    }

    async fn tell(&self, ship: &DynamicObject, reason: &str, note: &str) -> Result<(), kube::Error> {
        let event = Event {
            type_: EventType::Normal,
            reason: reason.to_owned(),
            note: Some(note.to_owned()),
            action: "Reconcile".to_owned(),
            secondary: None,
        };
        self.recorder.publish(&event, &ship.object_ref(&self.resource)).await
    }
}

/// The objects that a ship is made of.
fn wanted(ship: &DynamicObject, resource: &ApiResource) -> [Value; 3] {
    let (name, spec) = (ship.name_any(), &ship.data["spec"]);
    let labels = json!({"app.kubernetes.io/managed-by": MANAGER, "dockyard.example.com/ship": name});
    let metadata = json!({
        "name": name, "labels": labels, "ownerReferences": [ship.controller_owner_ref(resource)]
    });
    let ports: Vec<Value> = spec["ports"].as_array().cloned().unwrap_or_default();
    let of_container = ports.iter().map(|port| json!({"name": port["name"], "containerPort": port["port"]}));
    let of_service = ports
        .iter()
        .map(|port| json!({"name": port["name"], "port": port["port"], "targetPort": port["name"]}));
    let container = json!({
        "name": "ship", "image": spec["image"], "command": ["sleep", "3600"],
        "ports": of_container.collect::<Vec<_>>(), "envFrom": [{"configMapRef": {"name": name}}],
    });
    let pod = json!({"terminationGracePeriodSeconds": 0, "containers": [container]});
    let chosen = json!({"dockyard.example.com/ship": name});
    [
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": spec["cargo"]}),
        json!({
            "apiVersion": "v1", "kind": "Service", "metadata": metadata,
            "spec": {"selector": chosen, "ports": of_service.collect::<Vec<_>>()}
        }),
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata,
            "spec": {
                "replicas": spec["crew"], "selector": {"matchLabels": chosen},
                "template": {"metadata": {"labels": labels}, "spec": pod}
            }
        }),
    ]
}

/// The condition that the ship has now.
fn condition(ship: &DynamicObject) -> &Value {
    &ship.data["status"]["conditions"][0]
}

fn status(ship: &DynamicObject, deployment: &Deployment) -> Value {
    let crew = ship.data["spec"]["crew"].as_i64().unwrap_or_default();
    let seen = deployment.status.clone().unwrap_or_default();
    let is_current = seen.observed_generation == deployment.metadata.generation;
    let updated = i64::from(seen.updated_replicas.unwrap_or_default());
    let ready = i64::from(seen.ready_replicas.unwrap_or_default());
    let is_ready = is_current
        && updated == crew
        && ready == crew
        && i64::from(seen.replicas.unwrap_or_default()) == crew;
    let (status, reason) = if is_ready { ("True", "Complete") } else { ("False", "Boarding") };
    let before = condition(ship);
    let since = match before["status"] == status {
        true => before["lastTransitionTime"].clone(),
        false => json!(now()),
    };
    let condition = json!({
        "type": "Ready", "status": status, "reason": reason, "message": format!("{ready} of {crew} on board"),
        "observedGeneration": ship.metadata.generation, "lastTransitionTime": since,
    });
    json!({
        "crew": ready, "observedGeneration": ship.metadata.generation, "conditions": [condition],
        "selector": format!("dockyard.example.com/ship={}", ship.name_any()),
    })
}

fn now() -> Timestamp {
    #[expect(clippy::disallowed_methods, reason = "it runs in a pod, by the machine's clock")]
    let now = std::time::SystemTime::now();
    Timestamp::try_from(
        now.duration_since(std::time::UNIX_EPOCH)
            .map_or(now, |past| std::time::UNIX_EPOCH + Duration::from_secs(past.as_secs())),
    )
    .expect("the clock shows a year that has four digits")
}
