//! Binds pods through the API server's `binding` subresource.

use client::Client;
use k8s_openapi::api::core::v1::{Binding as ApiBinding, ObjectReference, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::framework::{Bind, BindError, Binding, EventKinds, Plugin};
use crate::state::PodInfo;

/// Binds all pods.
#[derive(Debug)]
pub struct DefaultBinder;

impl Plugin for DefaultBinder {
    const NAME: &'static str = "DefaultBinder";
    const WAKES_ON: EventKinds = EventKinds::NONE;
}

impl Bind for DefaultBinder {
    /// The server refuses if it is another pod by now, or is bound already.
    async fn bind(&self, client: &Client, pod: &PodInfo, node: &str) -> Result<Binding, BindError> {
        let binding = ApiBinding {
            metadata: ObjectMeta {
                namespace: Some(pod.key.namespace().to_owned()),
                name: Some(pod.key.name.to_string()),
                uid: Some(pod.uid.to_string()),
                ..ObjectMeta::default()
            },
            target: ObjectReference {
                kind: Some("Node".to_owned()),
                name: Some(node.to_owned()),
                ..ObjectReference::default()
            },
        };
        client.create_subresource::<Pod, _, serde_json::Value>(&pod.key, "binding", &binding).await?;
        Ok(Binding::Done)
    }
}
