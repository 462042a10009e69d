//! The node side: container engine, pod network, service proxy, DNS and the node agent.

use std::sync::Arc;

use anyhow::Context;
use client::{Informers, Recorder};
use controllers::NODE_KEY_ANNOTATION;
use cri::PodNetwork;
use network::{CniNetwork, NodeNetwork, NodeNetworkConfig, Policies, PolicyConfig, overlay};
use node::{Agent, NodeConfig, ServingTls};
use proxy::Release;
use runtime::engine::{Engine, EngineOptions};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::access::NodeAccess;
use crate::cluster::follow_backend;
use crate::config::NodeSettings;
use crate::image::open_store;
use crate::lifetime::until_stop;

mod dns;

/// The proxy's health check address, as upstream's.
const PROXY_HEALTH_PORT: u16 = 10256;

/// Starts everything that a node runs. The node becomes ready when its network is.
///
/// # Errors
/// What this machine lacks or refuses.
pub async fn start(
    settings: &NodeSettings,
    access: NodeAccess,
    stop: &CancellationToken,
    tasks: &mut JoinSet<()>,
) -> anyhow::Result<()> {
    check_overlay(settings).await?;
    follow_addresses(settings, stop, tasks);
    let images = Arc::new(open_store(&settings.data_dir, access.clock.clone())?);
    images.probe().await.context("containers need overlay file systems in the data directory")?;
    let networks = Networks::new(settings, &access, stop, tasks).await?;
    let engine = Engine::open(
        EngineOptions {
            log_bytes_max: settings.limits.log_bytes_max,
            log_files_max: settings.limits.log_files_max,
            ..EngineOptions::new(settings.data_dir.join("engine"))
        },
        Arc::clone(&images) as _,
        networks.engine,
        access.clock.clone(),
    )
    .await
    .context("cannot open the container engine")?;
    if let Some(network) = &networks.own {
        start_overlay(settings, &access, network, stop, tasks);
        start_policies(networks.policies, network, stop, tasks);
    }
    // The proxy works until queries are redirected to another node's DNS.
    let handed_over = CancellationToken::new();
    let release = start_proxy(settings, &access, &handed_over, tasks);
    dns::start(settings, &access, networks.own, release, (stop, handed_over), tasks);
    let informers = Informers::new(access.node.clone());
    let agent = Agent::start(
        NodeConfig {
            exposition: access.exposition,
            ..agent_config(settings, access.serving, access.key_digest)
        },
        access.node,
        &informers,
        Arc::new(engine),
        images,
        access.clock,
    )
    .await
    .context("cannot start the node agent")?;
    let stop = stop.clone();
    tasks.spawn(async move {
        stop.cancelled().await;
        agent.shutdown().await;
    });
    Ok(())
}

/// Checks that this machine can carry the cluster's backend, before anything is changed.
async fn check_overlay(settings: &NodeSettings) -> anyhow::Result<()> {
    let cluster = &settings.cluster;
    overlay::preflight(cluster.backend, settings.addresses.primary(), &cluster.cluster_cidrs, settings.mtu)
        .await
        .context("this machine cannot connect the pod network between nodes")
}

/// Maintains the connections to other nodes until `stop`. They stay afterwards, because the pods keep running.
fn start_overlay(
    settings: &NodeSettings,
    access: &NodeAccess,
    network: &Arc<NodeNetwork>,
    stop: &CancellationToken,
    tasks: &mut JoinSet<()>,
) {
    let backend = follow_backend(settings.cluster.backend, &access.informers);
    let (client, informers) = (access.node.clone(), access.informers.clone());
    let recorder = Recorder::start(access.network.clone(), "network", &settings.node_name);
    let (network, name) = (Arc::clone(network), settings.node_name.clone());
    until_stop(stop, tasks, async move { network.keep(&name, backend, client, &informers, recorder).await });
}

/// Keeps the node's addresses in sync with the machine's.
fn follow_addresses(settings: &NodeSettings, stop: &CancellationToken, tasks: &mut JoinSet<()>) {
    let (addresses, pods) = (settings.addresses.clone(), settings.cluster.cluster_cidrs.clone());
    until_stop(stop, tasks, async move { addresses.follow(&pods).await });
}

/// The pod network of a node.
struct Networks {
    /// For the engine's calls.
    engine: Arc<dyn PodNetwork>,
    /// For our own calls; `None` if it is another program's.
    own: Option<Arc<NodeNetwork>>,
    /// The network policies of its pods. In a CNI network, the plugins are responsible for them.
    policies: Option<Arc<Policies>>,
}

impl Networks {
    async fn new(
        settings: &NodeSettings,
        access: &NodeAccess,
        stop: &CancellationToken,
        tasks: &mut JoinSet<()>,
    ) -> anyhow::Result<Networks> {
        if let Some((conf_dir, bin_dirs)) = settings.cni.clone() {
            let engine = Arc::new(CniNetwork::new(&settings.data_dir.join("network"), conf_dir, bin_dirs)?);
            until_stop(stop, tasks, engine.keep());
            return Ok(Networks { engine, own: None, policies: None });
        }
        let policies = policies(settings, access).await;
        let config = NodeNetworkConfig {
            state_dir: settings.data_dir.join("network"),
            cluster_subnets: settings.cluster.cluster_cidrs.clone(),
            service_subnets: settings.cluster.service_cidrs.clone(),
            backend: settings.cluster.backend,
            addresses: settings.addresses.clone(),
            mtu: settings.mtu,
        };
        let own = Arc::new(NodeNetwork::new(config, policies.clone())?);
        Ok(Networks { engine: Arc::clone(&own) as _, own: Some(own), policies })
    }
}

fn agent_config(settings: &NodeSettings, serving: ServingTls, key_digest: Option<String>) -> NodeConfig {
    let (name, address) = (&settings.node_name, settings.addresses.primary());
    let mut agent = NodeConfig::new(name, address, settings.data_dir.join("pods"));
    agent.node_ips = settings.addresses.subscribe();
    agent.log_dir = settings.data_dir.join("logs");
    agent.seccomp_dir = settings.data_dir.join("seccomp");
    agent.sysctls.clone_from(&settings.sysctls);
    agent.cgroup_root = settings.cgroup_root();
    agent.port = settings.kubelet_port;
    agent.bind_address = settings.any_address();
    agent.cluster_dns.clone_from(&settings.cluster.cluster_dns);
    agent.cluster_domain.clone_from(&settings.cluster.cluster_domain);
    agent.tls = Some(serving);
    agent.labels.clone_from(&settings.labels);
    agent.taints.clone_from(&settings.taints);
    let limits = &settings.limits;
    agent.eviction = limits.eviction.clone();
    (agent.image_gc_high_percent, agent.image_gc_low_percent) = limits.image_gc_percent;
    (agent.log_bytes_max, agent.log_files_max) = (limits.log_bytes_max, limits.log_files_max);
    if let Some(digest) = key_digest {
        agent.annotations.insert(NODE_KEY_ANNOTATION.to_owned(), digest);
        agent.machine_annotation = Some(NODE_KEY_ANNOTATION.to_owned());
    }
    agent
}

/// Network policy; `None` if it is disabled. Rules from an earlier run are then removed.
async fn policies(settings: &NodeSettings, access: &NodeAccess) -> Option<Arc<Policies>> {
    let config = PolicyConfig::new(&settings.node_name, settings.data_dir.join("network"));
    if settings.runs("network-policy") {
        return Some(Arc::new(Policies::new(config, &access.informers)));
    }
    if let Err(error) = network::reset_policies(&config.table).await {
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            "cannot remove the rules of network policies"
        );
    }
    None
}

fn start_policies(
    policies: Option<Arc<Policies>>,
    network: &Arc<NodeNetwork>,
    stop: &CancellationToken,
    tasks: &mut JoinSet<()>,
) {
    let Some(policies) = policies else { return };
    let network = Arc::clone(network);
    until_stop(stop, tasks, async move {
        let leases = network.ready().await.leases();
        policies.run(leases).await;
    });
}

/// Starts the node's proxy, if it is ours; returns the handle by which to wait until it no longer directs traffic to an
/// endpoint.
fn start_proxy(
    settings: &NodeSettings,
    access: &NodeAccess,
    stop: &CancellationToken,
    tasks: &mut JoinSet<()>,
) -> Option<Release> {
    if !settings.runs("proxy") {
        return None;
    }
    let mut changes = settings.addresses.subscribe();
    let networks = watch::Sender::new(settings.node_ports.of(&changes.borrow_and_update()));
    let options = proxy::ProxyConfig {
        service_subnets: settings.cluster.service_cidrs.clone(),
        node_port_addresses: networks.subscribe(),
        health_port: Some(PROXY_HEALTH_PORT),
        settings_journal: Some(settings.data_dir.join(proxy::SETTINGS_JOURNAL)),
        ..proxy::ProxyConfig::new(&settings.node_name, settings.cluster.cluster_cidrs.clone())
    };
    let node_ports = settings.node_ports.clone();
    let follow = async move {
        while changes.changed().await.is_ok() {
            let now = node_ports.of(&changes.borrow_and_update());
            networks.send_if_modified(|current| {
                *current != now && {
                    *current = now;
                    true
                }
            });
        }
        std::future::pending::<()>().await;
    };
    let release = Release::default();
    let (informers, asked) = (access.informers.clone(), release.clone());
    until_stop(stop, tasks, async move {
        tokio::select! {
            () = proxy::run(options, &informers, &asked) => {}
            () = follow => {}
        }
    });
    Some(release)
}
