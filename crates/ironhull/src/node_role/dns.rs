//! The node's part of cluster DNS: where it listens, and who is told.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use client::{Client, Informers, Recorder};
use clock::Clock;
use dns::endpoints;
use network::NodeNetwork;
use proxy::Release;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::access::NodeAccess;
use crate::config::NodeSettings;

/// How long a DNS server that stops waits for the answers of other servers.
const DNS_ANSWERS_WITHIN: Duration = Duration::from_secs(2);

/// Starts the node's DNS. When it stops, `handed_over` is cancelled.
pub fn start(
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
        // A server's own controllers, which would redirect queries, stop at the same time.
        hands_over: access.key_digest.is_some(),
        release,
        stop: stop.clone(),
    };
    let handed_over = handed_over.drop_guard();
    tasks.spawn(async move {
        if let Err(error) = dns.run(network.as_deref()).await {
            tracing::error!(error = format!("{error:#}"), "cluster DNS is not running");
            dns.stop.cancelled().await;
        }
        drop(handed_over);
    });
}

/// The configuration of the node's DNS.
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
            // If another program provides the network, only the node's own addresses are known.
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

    /// Serves at these addresses until it is stopped.
    async fn serve(&self, gateways: Vec<IpAddr>) -> anyhow::Result<()> {
        let server = match dns::Server::bind(&at_port(&gateways, 53)).await {
            Ok(server) => server,
            // Another program on the host listens on all addresses; the Service can use any port.
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
            () = late => tracing::warn!("DNS stops before all upstream servers have answered"),
        }
        Ok(())
    }

    /// Publishes the address of DNS until it is stopped, and then withdraws it.
    async fn advertise(&self, addresses: &[SocketAddr]) {
        let name = &self.settings.node_name;
        let saying = endpoints::advertise(&self.node, &self.informers, name, addresses);
        self.stop.run_until_cancelled(saying).await;
        if self.hands_over && !addresses.is_empty() {
            let release = self.release.as_ref();
            let led_away = release.map(|release| release.of(addresses.iter().copied().collect()));
            endpoints::hand_over(&self.node, &self.informers, name, led_away).await;
        }
    }
}

fn at_port(addresses: &[IpAddr], port: u16) -> Vec<SocketAddr> {
    addresses.iter().map(|address| SocketAddr::new(*address, port)).collect()
}
