//! The data path: from pod to pod, and through a Service.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use hostnet::NetNs;
use serde_json::json;
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::Bench;
use crate::cluster::{Cluster, PATIENCE, fetch_object, post};
use crate::connection::Connection;
use crate::figures::{Figures, percentile};
use crate::node::{Watch, ready_node};
use crate::sandboxes::{self, is_ready, sample_pod};
use crate::traffic::{self, PORT, Server};

/// How long streams and series of connections last.
pub const SPAN: Duration = Duration::from_secs(3);
/// How many round trips are measured.
pub const ROUND_TRIPS: usize = 20_000;
/// How many pods are made for the time to the first packet.
const FIRSTS: usize = 10;

/// The results for one path.
#[derive(Clone, Copy, Debug)]
pub struct Path {
    /// Bytes a second of one TCP stream.
    pub throughput: f64,
    /// The median time of a round trip.
    pub round_trip: Duration,
    /// Connections a second.
    pub connections: f64,
}

impl Path {
    /// Measures the path from a namespace to a server.
    ///
    /// # Errors
    /// If it does not answer.
    pub async fn measure(from: &Arc<NetNs>, to: SocketAddr) -> Result<Path> {
        Ok(Path {
            throughput: traffic::throughput(from, to, SPAN).await?,
            round_trip: percentile(&traffic::round_trips(from, to, ROUND_TRIPS).await?, 0.5),
            connections: traffic::connections(from, to, SPAN).await?,
        })
    }

    /// Adds the figures of a path, with their ratios to those of another.
    pub fn add(&self, figures: &mut Figures, name: &str, beside: Option<(&str, &Path)>) {
        let ratio = |own: f64, other: fn(&Path) -> f64| match beside {
            Some((other_name, path)) => format!("{:.2} of {other_name}", own / other(path)),
            None => String::new(),
        };
        let micros = |path: &Path| path.round_trip.as_secs_f64() * 1e6;
        let note = ratio(self.throughput, |path| path.throughput);
        figures.add(format!("{name}: throughput"), self.throughput * 8e-9, "Gbit/s", None, note);
        let note = ratio(micros(self), |path| path.round_trip.as_secs_f64() * 1e6);
        figures.add(format!("{name}: round trip, p50"), micros(self), "us", None, note);
        let note = ratio(self.connections, |path| path.connections);
        figures.add(format!("{name}: connections"), self.connections, "/s", None, note);
    }
}

/// Pod to pod on one node, directly and through a Service, and the first packet to a pod that became ready.
pub async fn measure(bench: &Bench, figures: &mut Figures) -> Result<()> {
    let cluster = Cluster::start(bench, &[]).await?;
    let connection = ready_node(&cluster, bench).await?;
    cluster.import_image()?;
    cluster.wait_for_account(&connection).await?;
    let client = sandboxes::start(&cluster, &connection, "client", None, cluster.pid()).await?;
    let server = sandboxes::start(&cluster, &connection, "server", None, cluster.pid()).await?;
    let _serving = Server::start(Arc::clone(&server.namespace)).await?;
    let direct = Path::measure(&client.namespace, (server.address, PORT).into()).await?;
    direct.add(figures, "pod to pod, one node", None);

    let service = make_service(&connection, "server", PORT).await?;
    until_served((service, PORT).into()).await?;
    let through = Path::measure(&client.namespace, (service, PORT).into()).await?;
    through.add(figures, "pod to Service, one node", Some(("the direct path", &direct)));
    first_packets(&connection, figures).await
}

/// Makes a Service for the pods of this `app` and gives its address.
async fn make_service(connection: &Connection, app: &str, port: u16) -> Result<IpAddr> {
    let service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": app},
        "spec": {"selector": {"app": app}, "ports": [{"port": port}]}
    });
    let path = "/api/v1/namespaces/default/services";
    let made = fetch_object(connection, post(path), Some(service.to_string().into())).await?;
    Ok(made["spec"]["clusterIP"].as_str().context("the Service has no address")?.parse()?)
}

/// Waits until something answers at an address; it is refused at once until then.
async fn until_served(address: SocketAddr) -> Result<()> {
    let limit = Instant::now() + PATIENCE;
    while let Err(error) = TcpStream::connect(address).await {
        anyhow::ensure!(Instant::now() < limit, "{address}: {error}");
        tokio::time::sleep(Duration::from_micros(200)).await;
    }
    Ok(())
}

/// From the news that a pod is ready to the first connection through its Service.
async fn first_packets(connection: &Connection, figures: &mut Figures) -> Result<()> {
    let pods = "/api/v1/namespaces/default/pods";
    let mut watch = Watch::open(connection, &format!("{pods}?watch=1")).await?;
    let mut times = Vec::with_capacity(FIRSTS);
    for number in 0..FIRSTS {
        let name = format!("first-{number}");
        let service = make_service(connection, &name, 8080).await?;
        let body = sample_pod(&name, None).to_string().into();
        fetch_object(connection, post(pods), Some(body)).await?;
        watch.until(|pod| pod["metadata"]["name"] == *name && is_ready(pod)).await?;
        let ready = Instant::now();
        until_served((service, 8080).into()).await?;
        times.push(ready.elapsed());
    }
    times.sort_unstable();
    let note =
        format!("through its Service, {FIRSTS} times; worst {:.1} ms", times[FIRSTS - 1].as_secs_f64() * 1e3);
    let p50 = percentile(&times, 0.5).as_secs_f64() * 1e3;
    figures.add("pod Ready to first connection, p50", p50, "ms", None, note);
    Ok(())
}
