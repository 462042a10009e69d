//! Settings shared by all machines of a cluster.

use std::net::IpAddr;

use client::{Informers, Selection};
use ipnet::IpNet;
use join::info::{CLUSTER_SETTINGS, SETTINGS_ENTRY};
use k8s_openapi::api::core::v1::ConfigMap;
use network::BackendType;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

/// The settings of a cluster. The server takes them from its flags; every other node gets them from the server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClusterSettings {
    /// The networks of pods, at most one of each family; the first is the primary one.
    pub cluster_cidrs: Vec<IpNet>,
    /// The networks of Services, of the same families in the same order.
    pub service_cidrs: Vec<IpNet>,
    /// The addresses of the cluster's DNS, each within a network of Services.
    pub cluster_dns: Vec<IpAddr>,
    /// The cluster's DNS domain.
    pub cluster_domain: String,
    /// How packets of pods travel between nodes.
    #[serde(default)]
    pub backend: BackendType,
}

/// How packets travel between nodes, as the cluster publishes it now; `first` until that is known.
pub fn follow_backend(first: BackendType, informers: &Informers) -> watch::Receiver<BackendType> {
    let (sender, backend) = watch::channel(first);
    let (namespace, name) = CLUSTER_SETTINGS;
    let selection = Selection {
        namespace: namespace.to_owned(),
        ..Selection::fields::<ConfigMap>(format!("metadata.name={name}"))
    };
    let followed = informers.select::<ConfigMap>(selection).subscribe(move |change| {
        let text = change.new.as_ref().and_then(|map| map.data.as_ref()?.get(SETTINGS_ENTRY));
        let Some(text) = text else { return };
        match serde_json::from_str::<ClusterSettings>(text) {
            Ok(settings) => {
                sender.send_if_modified(|current| {
                    let changed = *current != settings.backend;
                    *current = settings.backend;
                    changed
                });
            }
            Err(error) => tracing::error!(%error, "cannot read the cluster's settings in {namespace}/{name}"),
        }
    });
    followed.forever();
    backend
}
