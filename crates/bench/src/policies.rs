//! NetworkPolicies: the cost of a thousand of them when they are created, when one changes, and for each packet.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use hostnet::NetNs;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use crate::Bench;
use crate::cluster::{Cluster, PATIENCE, fetch_object, get, post, put};
use crate::connection::Connection;
use crate::figures::{Figures, mb, ms, percentile};
use crate::node::ready_node;
use crate::paths::Path;
use crate::traffic::{PORT, Server};
use crate::{process, sandboxes};

/// How many policies select the one pod.
const POLICIES: usize = 1000;
/// How often the one that lets the client in changes.
const CHANGES: usize = 20;
/// The time limit of an attempt to connect, because dropped packets are not answered.
const TRY: Duration = Duration::from_millis(2);
const PATH: &str = "/apis/networking.k8s.io/v1/namespaces/default/networkpolicies";

/// One pod that a thousand policies select, the last of which lets a client in.
pub async fn measure(bench: &Bench, figures: &mut Figures) -> Result<()> {
    let cluster = Cluster::start(bench, &[]).await?;
    let connection = ready_node(&cluster, bench).await?;
    cluster.import_image()?;
    cluster.wait_for_account(&connection).await?;
    let client = sandboxes::start(&cluster, &connection, "client", None, cluster.pid()).await?;
    let server = sandboxes::start(&cluster, &connection, "server", None, cluster.pid()).await?;
    let _serving = Server::start(Arc::clone(&server.namespace)).await?;
    let to: SocketAddr = (server.address, PORT).into();
    let before = Path::measure(&client.namespace, to).await?;

    let started = Instant::now();
    for number in 1..POLICIES {
        let policy = policy(&format!("other-{number}"), json!({"peer": number.to_string()}), PORT);
        connection.fetch(post(PATH), Some(policy.to_string().into())).await?;
    }
    let last = policy("client", json!({"app": "client"}), PORT);
    fetch_object(&connection, post(PATH), Some(last.to_string().into())).await?;
    until(&client.namespace, to, true).await?;
    let note = "all select one pod; from the first create to the first packet that the last one lets in";
    figures.add(format!("{POLICIES} policies to rules"), ms(started.elapsed()), "ms", None, note);

    let times = change(&connection, &client.namespace, to).await?;
    let note = format!("of {POLICIES}, from the request to the first packet, {CHANGES} times");
    figures.add("policy change to traffic, p50", ms(percentile(&times, 0.5)), "ms", None, note.clone());
    figures.add("policy change to traffic, p99", ms(percentile(&times, 0.99)), "ms", None, note);
    let after = Path::measure(&client.namespace, to).await?;
    after.add(figures, &format!("{POLICIES} policies"), Some(("the way without", &before)));
    let memory = mb(process::memory(cluster.pid())?.resident);
    figures.add(format!("server memory, {POLICIES} policies"), memory, "MB", None, "resident, all roles");
    Ok(())
}

/// Lets pods with these labels reach the server's pod on one port.
fn policy(name: &str, labels: Value, port: u16) -> Value {
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": name},
        "spec": {
            "podSelector": {"matchLabels": {"app": "server"}},
            "ingress": [{"from": [{"podSelector": {"matchLabels": labels}}], "ports": [{"port": port}]}]
        }
    })
}

/// The times from the change that lets the client in to its first connection, sorted.
async fn change(connection: &Connection, from: &Arc<NetNs>, to: SocketAddr) -> Result<Vec<Duration>> {
    let path = format!("{PATH}/client");
    let mut times = Vec::with_capacity(CHANGES);
    for _ in 0..CHANGES {
        let mut current = fetch_object(connection, get(&path), None).await?;
        current["spec"]["ingress"][0]["ports"][0]["port"] = json!(PORT + 1);
        let mut closed = fetch_object(connection, put(&path), Some(current.to_string().into())).await?;
        until(from, to, false).await?;
        closed["spec"]["ingress"][0]["ports"][0]["port"] = json!(PORT);
        let sent = Instant::now();
        connection.fetch(put(&path), Some(closed.to_string().into())).await?;
        until(from, to, true).await?;
        times.push(sent.elapsed());
    }
    times.sort_unstable();
    Ok(times)
}

/// Tries again and again until the server can be reached, or cannot.
async fn until(from: &Arc<NetNs>, to: SocketAddr, reachable: bool) -> Result<()> {
    let look = async move || -> Result<()> {
        let limit = Instant::now() + PATIENCE;
        while matches!(timeout(TRY, TcpStream::connect(to)).await, Ok(Ok(_))) != reachable {
            ensure!(
                Instant::now() < limit,
                "{to} does not become {}",
                if reachable { "reachable" } else { "closed" }
            );
        }
        Ok(())
    };
    from.run(look).await?
}
