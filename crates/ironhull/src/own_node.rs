//! The control plane's label for its own machine's node.

use std::sync::Arc;

use client::{Client, Patch};
use k8s_openapi::api::core::v1::Node;
use object::ObjectKey;
use serde_json::json;
use tokio::sync::Notify;

use crate::control_plane::ControlPlane;
use crate::identities;

/// The label that marks a control plane node. Nodes may not set it on themselves.
const ROLE_LABEL: &str = "node-role.kubernetes.io/control-plane";

/// Sets the node's role label each time that the node registers, until it is dropped. If a user removes the label, it
/// stays removed until the next start.
pub async fn label(plane: &ControlPlane, node_name: &str) {
    let client = plane.client(identities::node_labels());
    let nodes = plane.informers.get::<Node>();
    let key = ObjectKey::cluster(node_name);
    let changed = Arc::new(Notify::new());
    let (notify, own) = (Arc::clone(&changed), key.clone());
    let _woken = nodes.subscribe(move |change| {
        if change.key == own {
            notify.notify_one();
        }
    });
    nodes.synced().await;
    let mut labelled = None;
    loop {
        let uid = nodes.get(&key).and_then(|node| node.metadata.uid.clone());
        if uid.is_some() && uid != labelled {
            match set(&client, &key, uid.as_deref()).await {
                Ok(()) => labelled = uid,
                // It is a different one already, which a change will report.
                Err(error) if error.is_conflict() || error.is_not_found() => {}
                Err(error) => {
                    let error: &dyn std::error::Error = &error;
                    tracing::warn!(error, node = node_name, "cannot set the node's role");
                }
            }
        }
        changed.notified().await;
    }
}

async fn set(client: &Client, key: &ObjectKey, uid: Option<&str>) -> Result<(), client::ClientError> {
    let patch = Patch::Merge(json!({"metadata": {"uid": uid, "labels": {ROLE_LABEL: ""}}}));
    client.patch::<Node>(key, "", &patch).await.map(drop)
}
