//! Puts the authority's certificate where the API server looks for it: into definitions that convert by webhook, and into
//! the configurations of the webhooks.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::TryStreamExt;
use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhookConfiguration, ValidatingWebhookConfiguration,
};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{ListParams, Patch, PatchParams};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};

use super::program::{Failure, MANAGER, Place, TLS};

/// Definitions of the operator have this label.
pub const OURS: &str = "app.kubernetes.io/part-of=dockyard";
/// Definitions that convert by webhook have this annotation.
const CONVERTS: &str = "dockyard.example.com/converts";

fn bundle() -> Result<String, Failure> {
    Ok(STANDARD.encode(std::fs::read(format!("{TLS}/ca.crt"))?))
}

/// Injects everywhere, once. Every replica does, before it is ready: they all apply the same.
pub async fn inject_all(client: &Client, place: &Place) -> Result<(), Failure> {
    let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
    for definition in definitions.list(&ListParams::default().labels(OURS)).await? {
        inject(&definitions, &definition, place).await?;
    }
    let (bundle, params) = (bundle()?, PatchParams::apply(MANAGER).force());
    let configuration = |kind: &str, names: Vec<String>| -> Value {
        let webhooks: Vec<Value> = names
            .into_iter()
            .map(|name| json!({"name": name, "clientConfig": {"caBundle": bundle}}))
            .collect();
        json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": kind, "webhooks": webhooks})
    };
    let validating: Api<ValidatingWebhookConfiguration> = Api::all(client.clone());
    let found = validating.get(&place.name).await?.webhooks.unwrap_or_default();
    let names = found.into_iter().map(|webhook| webhook.name).collect();
    let patch = Patch::Apply(configuration("ValidatingWebhookConfiguration", names));
    validating.patch(&place.name, &params, &patch).await?;
    let mutating: Api<MutatingWebhookConfiguration> = Api::all(client.clone());
    let found = mutating.get(&place.name).await?.webhooks.unwrap_or_default();
    let names = found.into_iter().map(|webhook| webhook.name).collect();
    let patch = Patch::Apply(configuration("MutatingWebhookConfiguration", names));
    mutating.patch(&place.name, &params, &patch).await?;
    Ok(())
}

/// Injects whenever a definition changes: an upgrade may have taken the conversion away.
pub async fn keep(client: &Client, place: &Place) -> Result<(), Failure> {
    let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
    let changes = watcher(definitions.clone(), watcher::Config::default().labels(OURS)).applied_objects();
    let mut changes = std::pin::pin!(changes);
    while let Some(definition) = changes.try_next().await? {
        inject(&definitions, &definition, place).await?;
    }
    Err("the watch of definitions ended".into())
}

async fn inject(
    definitions: &Api<CustomResourceDefinition>,
    definition: &CustomResourceDefinition,
    place: &Place,
) -> Result<(), Failure> {
    if !definition.annotations().contains_key(CONVERTS) {
        return Ok(());
    }
    let name = definition.name_any();
    let service = json!({"namespace": place.namespace, "name": place.name, "path": "/convert", "port": 443});
    let webhook = json!({
        "conversionReviewVersions": ["v1"],
        "clientConfig": {"service": service, "caBundle": bundle()?}
    });
    let patch = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": name},
        "spec": {"conversion": {"strategy": "Webhook", "webhook": webhook}}
    });
    definitions.patch(&name, &PatchParams::apply(MANAGER).force(), &Patch::Apply(patch)).await?;
    Ok(())
}
