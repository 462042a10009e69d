//! The node side: container engine, pod network, service proxy, DNS and the node agent.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use client::{Client, Informers, Recorder};
use clock::Clock;
use controllers::NODE_KEY_ANNOTATION;
use network::{Policies, PolicyConfig};
use node::{Agent, NodeConfig, ServingTls};
use proxy::Release;
use runtime::engine::{Engine, EngineOptions, PodNetwork};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::cni_network::CniNetwork;
use crate::config::NodeSettings;
use crate::dns_endpoints;
use crate::image::open_store;
use crate::overlay;
use crate::pod_network::NodeNetwork;

/// How long a DNS server that stops waits for the answers of other servers.
const DNS_ANSWERS_WITHIN: Duration = Duration::from_secs(2);
/// Where the proxy tells its health; upstream's.
const PROXY_HEALTH_PORT: u16 = 10256;

/// A node's ways to the API server, in one process or across a network. Who makes it decides which.
pub struct NodeAccess {
    /// As the node itself (`system:node:<name>`).
    pub node: Client,
    /// As the node's network parts (proxy, DNS), which read what concerns all nodes.
    pub network: Client,
    /// What the network parts watch. In a server's process all components share them.
    pub informers: Informers,
    /// What the node API shows, and whom it believes.
    pub serving: ServingTls,
    /// Names the key by which this machine joined; none in the server's own process.
    pub key_digest: Option<String>,
    /// Time and randomness.
    pub clock: Clock,
}

/// Starts everything that a node runs. The node becomes ready by itself, when its network is.
///
/// # Errors
/// What this machine lacks or refuses.
pub async fn start(
    settings: &NodeSettings,
    access: NodeAccess,
    stop: &CancellationToken,
    tasks: &mut JoinSet<()>,
) -> anyhow::Result<()> {
    overlay::check(settings).await?;
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
        overlay::start(settings, &access, network, stop, tasks);
        start_policies(networks.policies, network, stop, tasks);
    }
    // The proxy works until queries are led to another node's DNS.
    let handed_over = CancellationToken::new();
    let release = start_proxy(settings, &access, &handed_over, tasks);
    start_dns(settings, &access, networks.own, release, (stop, handed_over), tasks);
    let informers = Informers::new(access.node.clone());
    let agent = Agent::start(
        agent_config(settings, access.serving, access.key_digest),
        access.node,
        informers.clone(),
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
        // Informers live as long as one of their clones.
        drop(informers);
    });
    Ok(())
}

/// Keeps the node's addresses those of the machine.
fn follow_addresses(settings: &NodeSettings, stop: &CancellationToken, tasks: &mut JoinSet<()>) {
    let (addresses, cluster) = (settings.addresses.clone(), settings.cluster.clone());
    let stop = stop.clone();
    tasks.spawn(async move {
        stop.run_until_cancelled(addresses.follow(&cluster)).await;
    });
}

/// The pod network of a node.
struct Networks {
    /// As the engine calls it.
    engine: Arc<dyn PodNetwork>,
    /// As we know it, unless it is another program's.
    own: Option<Arc<NodeNetwork>>,
    /// The network policies of its pods. In another program's network they are that program's affair.
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
            let engine = Arc::new(CniNetwork::new(&settings.data_dir, conf_dir, bin_dirs)?);
            let (keep, stop) = (engine.keep(), stop.clone());
            tasks.spawn(async move {
                stop.run_until_cancelled(keep).await;
            });
            return Ok(Networks { engine, own: None, policies: None });
        }
        let policies = policies(settings, access).await;
        let own = Arc::new(NodeNetwork::new(settings, policies.clone())?);
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

/// Network policy; `None` where it is left out. What a former run with it left behind is removed then.
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
    let (network, stop) = (Arc::clone(network), stop.clone());
    let enforce = async move {
        let leases = network.ready().await.leases();
        policies.run(leases).await;
    };
    tasks.spawn(async move {
        tokio::select! {
            () = enforce => {}
            () = stop.cancelled() => {}
        }
    });
}

/// Starts the node's proxy, if it is ours; what tells when it leads nothing to an endpoint any more.
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
    let (informers, stop, asked) = (access.informers.clone(), stop.clone(), release.clone());
    tasks.spawn(async move {
        tokio::select! {
            () = proxy::run(options, &informers, &asked) => {}
            () = follow => {}
            () = stop.cancelled() => {}
        }
    });
    Some(release)
}

/// Starts the node's DNS. When it stops, `handed_over` is cancelled.
fn start_dns(
    settings: &NodeSettings,
    access: &NodeAccess,
    network: Option<Arc<NodeNetwork>>,
    release: Option<Release>,
    (stop, handed_over): (&CancellationToken, CancellationToken),
    tasks: &mut JoinSet<()>,
) {
    let dns = NodeDns {
        settings: settings.clone(),
        node: access.node.clone(),
        informers: access.informers.clone(),
        recorder: Recorder::start(access.network.clone(), "dns", &settings.node_name),
        clock: access.clock.clone(),
        // A server's own controllers, which would lead queries elsewhere, stop with it.
        hands_over: access.key_digest.is_some(),
        release,
        stop: stop.clone(),
    };
    let handed_over = handed_over.drop_guard();
    tasks.spawn(async move {
        if let Err(error) = dns.run(network.as_deref()).await {
            tracing::error!(error = format!("{error:#}"), "cluster DNS does not run");
            dns.stop.cancelled().await;
        }
        drop(handed_over);
    });
}

/// What the node's DNS runs with.
struct NodeDns {
    settings: NodeSettings,
    node: Client,
    informers: Informers,
    recorder: Recorder,
    clock: Clock,
    hands_over: bool,
    release: Option<Release>,
    stop: CancellationToken,
}

impl NodeDns {
    async fn run(&self, network: Option<&NodeNetwork>) -> anyhow::Result<()> {
        if !self.settings.runs("dns") {
            // It may have run before.
            self.advertise(&[]).await;
            return Ok(());
        }
        let Some(network) = network else {
            // Of another program's network only the node's own addresses are known.
            let mut node_ips = self.settings.addresses.subscribe();
            loop {
                let current = node_ips.borrow_and_update().clone();
                tokio::select! {
                    ended = self.serve(current) => return ended,
                    Ok(()) = node_ips.changed() => {}
                }
            }
        };
        let gateways = async { network.ready().await.config().gateways().collect() };
        match self.stop.run_until_cancelled(gateways).await {
            Some(gateways) => self.serve(gateways).await,
            None => Ok(()),
        }
    }

    /// Answers at these addresses until it is to stop.
    async fn serve(&self, gateways: Vec<IpAddr>) -> anyhow::Result<()> {
        let server = match dns::Server::bind(&at_port(&gateways, 53)).await {
            Ok(server) => server,
            // Another program of the host listens on all addresses: the Service leads to any port.
            Err(_) => {
                dns::Server::bind(&at_port(&gateways, 0)).await.context("cannot listen for DNS queries")?
            }
        };
        let addresses = server.addresses()?;
        let cluster = &self.settings.cluster;
        let zone = dns::Zone::new(&cluster.cluster_domain, cluster.cluster_dns.clone())
            .with_context(|| format!("--cluster-domain {:?} is not a domain name", cluster.cluster_domain))?;
        let own: Vec<IpAddr> = gateways.iter().chain(&cluster.cluster_dns).copied().collect();
        let config = dns::DnsConfig::new(zone, own);
        let following = dns::follow(config, &self.informers, self.clock.clone(), Some(self.recorder.clone()));
        let Some(following) = self.stop.run_until_cancelled(following).await else { return Ok(()) };
        let released = CancellationToken::new();
        let serving = server.run_until(Arc::clone(&following.resolver), released.clone());
        let late = async {
            self.advertise(&addresses).await;
            released.cancel();
            tokio::time::sleep(DNS_ANSWERS_WITHIN).await;
        };
        tokio::select! {
            () = serving => {}
            () = late => tracing::warn!("DNS stops before upstream servers have answered"),
        }
        Ok(())
    }

    /// Says where DNS listens until it is to stop, and then that it does not any more.
    async fn advertise(&self, addresses: &[SocketAddr]) {
        let name = &self.settings.node_name;
        let saying = dns_endpoints::advertise(&self.node, &self.informers, name, addresses);
        self.stop.run_until_cancelled(saying).await;
        if self.hands_over && !addresses.is_empty() {
            let release = self.release.as_ref();
            dns_endpoints::hand_over(&self.node, &self.informers, name, addresses, release).await;
        }
    }
}

fn at_port(addresses: &[IpAddr], port: u16) -> Vec<SocketAddr> {
    addresses.iter().map(|address| SocketAddr::new(*address, port)).collect()
}
