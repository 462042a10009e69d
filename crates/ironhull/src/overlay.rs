//! The way to other nodes' pods: the cluster's settings and Node objects in, the node's overlay out.

use std::sync::Arc;

use anyhow::Context;
use client::{EventType, Informers, Recorder, Selection};
use join::info::{CLUSTER_SETTINGS, SETTINGS_ENTRY};
use k8s_openapi::api::core::v1::{ConfigMap, ObjectReference};
use network::Obstacle;
use network::overlay::{self, BackendType, OverlayConfig};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::cluster::ClusterSettings;
use crate::config::NodeSettings;
use crate::node_role::NodeAccess;
use crate::pod_network::NodeNetwork;

/// Checks that this machine can carry the cluster's backend, before anything is changed.
///
/// # Errors
/// What is missing, or in the way.
pub async fn check(settings: &NodeSettings) -> anyhow::Result<()> {
    let cluster = &settings.cluster;
    overlay::preflight(cluster.backend, settings.addresses.primary(), &cluster.cluster_cidrs, settings.mtu)
        .await
        .context("this machine cannot carry the pods' network between nodes")
}

/// Keeps the ways to other nodes until `stop`. What stands then stays, for the pods live on.
pub fn start(
    settings: &NodeSettings,
    access: &NodeAccess,
    network: &Arc<NodeNetwork>,
    stop: &CancellationToken,
    tasks: &mut JoinSet<()>,
) {
    let config = OverlayConfig {
        node_name: settings.node_name.clone(),
        node_ips: settings.addresses.subscribe(),
        mtu: settings.mtu,
    };
    let backend = follow_backend(settings.cluster.backend, &access.informers);
    let (client, informers) = (access.node.clone(), access.informers.clone());
    let (network, stop) = (Arc::clone(network), stop.clone());
    let (node_ip, firewalls) = (settings.addresses.primary(), backend.clone());
    let recorder = Recorder::start(access.network.clone(), "network", &settings.node_name);
    let tell = tell_of(recorder, &settings.node_name);
    tasks.spawn(async move {
        let network = tokio::select! {
            network = network.ready() => network,
            () = stop.cancelled() => return,
        };
        let keep = async {
            // Without notifications the rules stand as they are.
            if let Err(error) = network.keep_rules().await {
                tracing::warn!(%error, "cannot watch the pod network's rules; changes by other programs will not be repaired");
            }
            std::future::pending::<()>().await;
        };
        let look = async {
            if let Err(error) = network.watch_firewalls(node_ip, firewalls, tell).await {
                tracing::warn!(%error, "cannot watch this host's firewalls");
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = look => {}
            () = overlay::run(config, backend, Arc::clone(&network), client, &informers) => {}
            () = keep => {}
            () = stop.cancelled() => {}
        }
    });
}

/// Tells people of firewalls that may keep pods from each other: in the log, and in an event about the node.
fn tell_of(recorder: Recorder, node_name: &str) -> impl Fn(&Obstacle) + use<> {
    let node = ObjectReference {
        kind: Some("Node".to_owned()),
        uid: Some(node_name.to_owned()),
        name: Some(node_name.to_owned()),
        ..ObjectReference::default()
    };
    move |obstacle| {
        tracing::warn!("{obstacle}");
        recorder.record(&node, EventType::Warning, "FirewallDropsPods", obstacle.to_string());
    }
}

/// The cluster's backend as it is published now; `first` until that is known.
fn follow_backend(first: BackendType, informers: &Informers) -> watch::Receiver<BackendType> {
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
