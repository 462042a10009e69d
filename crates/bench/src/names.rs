//! Cluster DNS compared with Debian's dnsmasq with the same names, on the same host.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::json;
use testbed::Process;
use tokio::net::UdpSocket;
use tokio::time::{Instant, timeout};

use crate::Bench;
use crate::cluster::{Cluster, PATIENCE, fetch_object, post};
use crate::figures::{Budget, Figures};
use crate::load::{self, Outcome};
use crate::node::ready_node;

const DNSMASQ: &str = "/usr/sbin/dnsmasq";
/// Where dnsmasq listens on the test host.
const DNSMASQ_ADDRESS: &str = "127.0.0.1:5354";
/// Where the cluster's DNS is reached: its Service.
const CLUSTER_ADDRESS: &str = "10.43.0.10:53";
/// How many names there are.
const NAMES: usize = 200;
/// How many clients ask at the same time.
const CLIENTS: usize = 64;
const SPAN: Duration = Duration::from_secs(4);
/// How long an answer may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// Queries a second, of names of Services.
pub async fn measure(bench: &Bench, figures: &mut Figures) -> Result<()> {
    ensure!(Path::new(DNSMASQ).exists(), "{DNSMASQ} is missing: install Debian's dnsmasq-base");
    let cluster = Cluster::start(bench, &[]).await?;
    let connection = ready_node(&cluster, bench).await?;
    let mut hosts = String::new();
    for number in 0..NAMES {
        let name = format!("web-{number}");
        let service = json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": name},
            "spec": {"ports": [{"port": 80}]}
        });
        let path = "/api/v1/namespaces/default/services";
        let made = fetch_object(&connection, post(path), Some(service.to_string().into())).await?;
        let address = made["spec"]["clusterIP"].as_str().context("the Service has no address")?;
        let _ = writeln!(hosts, "{address} {}", name_of(number));
    }
    let ours = ask(CLUSTER_ADDRESS, cluster.pid()).await.context("asking the cluster's DNS")?;
    let note = ours.note();
    figures.add("DNS queries", ours.rate, "/s", Some(Budget::AtLeast(20_000.0)), note);

    let (process, pid) = start_dnsmasq(bench, &hosts)?;
    let theirs = ask(DNSMASQ_ADDRESS, pid).await.context("asking dnsmasq")?;
    drop(process);
    figures.add("DNS queries, dnsmasq", theirs.rate, "/s", None, theirs.note());
    figures.add("queries to dnsmasq's", ours.rate / theirs.rate, "x", None, "");
    Ok(())
}

fn start_dnsmasq(bench: &Bench, hosts: &str) -> Result<(Process, i32)> {
    let file = bench.host.directory().join("dnsmasq-hosts");
    std::fs::write(&file, hosts)?;
    let mut command = bench.host.command(DNSMASQ);
    command.args([
        "--keep-in-foreground",
        "--conf-file=/dev/null",
        "--no-resolv",
        "--no-hosts",
        "--user=root",
    ]);
    command.args(["--listen-address=127.0.0.1", "--bind-interfaces", "--port=5354", "--pid-file="]);
    command.args(["--cache-size=10000", "--dns-forward-max=1000"]);
    command.arg(format!("--addn-hosts={}", file.display()));
    let process = bench.host.start("dnsmasq", command)?;
    let pid = process.pid();
    Ok((process, pid))
}

fn name_of(number: usize) -> String {
    format!("web-{number}.default.svc.cluster.local")
}

/// Many clients, each of which asks for one name after the other.
async fn ask(server: &str, pid: i32) -> Result<Outcome> {
    let server: SocketAddr = server.parse()?;
    let mut sockets = Vec::with_capacity(CLIENTS);
    for _ in 0..CLIENTS {
        let socket = UdpSocket::bind("0.0.0.0:0").await?;
        socket.connect(server).await?;
        sockets.push(socket);
    }
    // Query every name once until it exists, so that the measurement does not begin with unknown names.
    for number in 0..NAMES {
        let limit = Instant::now() + PATIENCE;
        while let Err(error) = query(&sockets[0], number, 0).await {
            ensure!(Instant::now() < limit, "{}: {error:#}", name_of(number));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    let counters: Vec<std::cell::Cell<usize>> = (0..CLIENTS).map(|client| (client * 31).into()).collect();
    let (sockets, counters) = (&sockets, &counters);
    load::run(CLIENTS, SPAN, pid, |client| async move {
        let number = counters[client].get();
        counters[client].set(number + 1);
        query(&sockets[client], number % NAMES, (number % 0x1_0000) as u16).await
    })
    .await
}

/// Asks for the address of one name.
async fn query(socket: &UdpSocket, number: usize, id: u16) -> Result<()> {
    socket.send(&question(&name_of(number), id)).await?;
    let mut answer = [0; 512];
    let received = timeout(ANSWER_WITHIN, socket.recv(&mut answer)).await.context("no answer")??;
    ensure!(received > 12 && answer[..2] == id.to_be_bytes(), "an answer to something else");
    let (code, answers) = (answer[3] & 0x0f, u16::from_be_bytes([answer[6], answer[7]]));
    ensure!(code == 0 && answers == 1, "code {code}, {answers} answers");
    Ok(())
}

/// A query for an A record (RFC 1035, 4.1).
fn question(name: &str, id: u16) -> Vec<u8> {
    let mut message = id.to_be_bytes().to_vec();
    // Recursion is desired; one question.
    message.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    for label in name.split('.') {
        message.push(label.len() as u8);
        message.extend(label.as_bytes());
    }
    // The root; type A, class IN.
    message.extend([0, 0, 1, 0, 1]);
    message
}
