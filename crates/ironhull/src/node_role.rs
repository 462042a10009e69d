//! The node side: container engine, pod network, service proxy, DNS and the node agent.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use anyhow::Context;
use apiserver::pki::Subject;
use apiserver::server::{certificates, private_key};
use apiserver::user::{GROUP_MASTERS, GROUP_NODES, User};
use client::{Client, Informers};
use node::{Agent, NodeConfig, ServingTls};
use runtime::engine::{Engine, EngineOptions};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::cluster_dns;
use crate::config::ServerConfig;
use crate::image::open_store;
use crate::pod_network::NodeNetwork;
use crate::server::ControlPlane;

/// Starts everything that a node runs. The node becomes ready by itself, when its network is.
///
/// # Errors
/// What this machine lacks or refuses.
pub async fn start(
    config: &ServerConfig,
    plane: &ControlPlane,
    stop: &CancellationToken,
    tasks: &mut JoinSet<()>,
) -> anyhow::Result<()> {
    let images = Arc::new(open_store(&config.data_dir, plane.clock.clone())?);
    images.probe().await.context("containers need overlay file systems in the data directory")?;
    let state = config.data_dir.join("network");
    let network = Arc::new(NodeNetwork::new(state, config.cluster_cidr, config.service_cidr)?);
    let engine = Engine::open(
        EngineOptions::new(config.data_dir.join("engine")),
        Arc::clone(&images) as _,
        Arc::clone(&network) as _,
        plane.clock.clone(),
    )
    .await
    .context("cannot open the container engine")?;
    start_proxy(config, plane, stop, tasks);
    start_dns(config, plane, &network, stop, tasks);
    let client = plane.client(User::new(format!("system:node:{}", config.node_name), &[GROUP_NODES]));
    let informers = Informers::new(client.clone());
    let agent_config = agent_config(config, plane)?;
    let agent =
        Agent::start(agent_config, client, informers.clone(), Arc::new(engine), images, plane.clock.clone())
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

fn agent_config(config: &ServerConfig, plane: &ControlPlane) -> anyhow::Result<NodeConfig> {
    let pki = &plane.server.pki;
    let subject = Subject {
        common_name: format!("system:node:{}", config.node_name),
        organizations: vec![GROUP_NODES.into()],
        names: vec![config.node_name.clone()],
        addresses: vec![config.node_ip],
    };
    let serving = pki.server_certificate("serving-kubelet", &subject)?;
    let mut agent = NodeConfig::new(&config.node_name, config.node_ip, config.data_dir.join("pods"));
    agent.log_dir = config.data_dir.join("logs");
    agent.seccomp_dir = config.data_dir.join("seccomp");
    agent.cgroup_root = "/ironhull".to_owned();
    agent.port = config.kubelet_port;
    agent.cluster_dns = vec![config.cluster_dns];
    agent.cluster_domain.clone_from(&config.cluster_domain);
    agent.tls = Some(ServingTls {
        certificates: certificates(&serving.certificate)?,
        key: private_key(&serving.key)?,
        client_authorities: certificates(pki.client.certificate())?,
    });
    Ok(agent)
}

fn start_proxy(
    config: &ServerConfig,
    plane: &ControlPlane,
    stop: &CancellationToken,
    tasks: &mut JoinSet<()>,
) {
    if !config.runs("proxy") {
        return;
    }
    let options = proxy::ProxyConfig::new(&config.node_name, vec![config.cluster_cidr.into()]);
    let (informers, stop) = (plane.informers.clone(), stop.clone());
    tasks.spawn(async move {
        tokio::select! {
            () = proxy::run(options, &informers) => {}
            () = stop.cancelled() => {}
        }
    });
}

fn start_dns(
    config: &ServerConfig,
    plane: &ControlPlane,
    network: &Arc<NodeNetwork>,
    stop: &CancellationToken,
    tasks: &mut JoinSet<()>,
) {
    if !config.runs("dns") {
        return;
    }
    let client = plane.client(User::new("system:dns-publisher", &[GROUP_MASTERS]));
    let informers = plane.informers.clone();
    let (config, network, clock, stop) =
        (config.clone(), Arc::clone(network), plane.clock.clone(), stop.clone());
    tasks.spawn(async move {
        let serve = async {
            let network = network.ready().await;
            let gateways: Vec<IpAddr> = network.config().gateways().collect();
            serve_dns(&config, &gateways, client, &informers, clock).await
        };
        tokio::select! {
            result = serve => if let Err(error) = result {
                tracing::error!(error = format!("{error:#}"), "cluster DNS does not run");
            },
            () = stop.cancelled() => {}
        }
    });
}

async fn serve_dns(
    config: &ServerConfig,
    gateways: &[IpAddr],
    client: Client,
    informers: &Informers,
    clock: clock::Clock,
) -> anyhow::Result<()> {
    let server = match dns::Server::bind(&at_port(gateways, 53)).await {
        Ok(server) => server,
        // Another program of the host listens on all addresses: the Service leads to any port.
        Err(_) => dns::Server::bind(&at_port(gateways, 0)).await.context("cannot listen for DNS queries")?,
    };
    let addresses = server.addresses()?;
    let zone = dns::Zone::new(&config.cluster_domain, vec![config.cluster_dns])
        .with_context(|| format!("--cluster-domain {:?} is no domain", config.cluster_domain))?;
    let mut own: Vec<IpAddr> = gateways.to_vec();
    own.push(config.cluster_dns);
    let resolver = dns::follow(dns::DnsConfig::new(zone, own), informers, clock).await;
    cluster_dns::publish(&client, config.cluster_dns, &config.node_name, &addresses)
        .await
        .context("cannot publish the DNS Service")?;
    server.run(Arc::new(resolver)).await;
    Ok(())
}

fn at_port(addresses: &[IpAddr], port: u16) -> Vec<SocketAddr> {
    addresses.iter().map(|address| SocketAddr::new(*address, port)).collect()
}
