//! Measurements that need a node: pod starts, and Services with endpoints.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::{Instant, timeout};

use crate::Bench;
use crate::cluster::{Cluster, PATIENCE, fetch_object, get, post, put};
use crate::connection::{Answer, Connection};
use crate::figures::{Budget, Figures, mb, ms, percentile};
use crate::process;
use crate::sandboxes::sample_pod;
use crate::startup::is_ready;

/// How many pods are started, one after the other.
const STARTS: usize = 20;
/// How many Services there are: the figures should not grow with them.
const SERVICES: [usize; 3] = [100, 1000, 10_000];
/// How many of them change, one after the other.
const CHANGES: usize = 20;

/// Pods from the request that creates them to the news that they run.
pub async fn pods(bench: &Bench, figures: &mut Figures) -> Result<()> {
    let cluster = Cluster::start(bench, &[]).await?;
    let connection = ready_node(&cluster, bench).await?;
    cluster.import_image()?;
    cluster.wait_for_account(&connection).await?;
    let mut watch = Watch::open(&connection, "/api/v1/namespaces/default/pods?watch=1").await?;
    let mut times = Vec::with_capacity(STARTS);
    for number in 0..STARTS {
        let name = format!("start-{number}");
        let sent = Instant::now();
        let body = sample_pod(&name, None).to_string().into();
        fetch_object(&connection, post("/api/v1/namespaces/default/pods"), Some(body)).await?;
        watch.until(|pod| pod["metadata"]["name"] == *name && is_running(pod)).await?;
        times.push(sent.elapsed());
    }
    times.sort_unstable();
    let budget = Some(Budget::AtMost(250.0));
    let note = format!("image present, {STARTS} in a row, from create to Running");
    figures.add("pod start, p50", ms(percentile(&times, 0.5)), "ms", budget, note.clone());
    figures.add("pod start, p99", ms(percentile(&times, 0.99)), "ms", budget, note);
    let shims = process::shims_of(cluster.pid());
    let memory: Vec<_> = shims.iter().filter_map(|pid| process::memory(*pid).ok()).collect();
    let proportional: u64 = memory.iter().map(|memory| memory.proportional).sum();
    let each = mb(proportional) / memory.len().max(1) as f64;
    let note = format!("proportional; {} shims for {STARTS} pods", memory.len());
    figures.add("memory of a shim", each, "MB", None, note);
    let server = process::memory(cluster.pid())?;
    figures.add("server memory with these pods", mb(server.resident), "MB", None, "resident, all roles");
    Ok(())
}

/// A change of a Service's endpoints until the kernel has the rule, with few and with many Services.
pub async fn services(bench: &Bench, figures: &mut Figures) -> Result<()> {
    let cluster =
        Cluster::start(bench, &["--service-cidr", "10.64.0.0/16", "--cluster-dns", "10.64.0.10"]).await?;
    let connection = ready_node(&cluster, bench).await?;
    let mut monitor = Monitor::start(bench)?;
    let mut made = 0;
    for count in SERVICES {
        let (started, new) = (Instant::now(), count - made);
        while made < count {
            make_service(&connection, made).await?;
            made += 1;
        }
        monitor.until(&endpoint(count - 1, 99)).await?;
        let note = format!("{new} more, from the first create to the last rule, one create after the other");
        figures.add(format!("{count} Services to rules"), ms(started.elapsed()), "ms", None, note);
        // Each round uses a separate network, because the addresses of the previous round would be found at once.
        let times = change_endpoints(&connection, &mut monitor, 98 - (count.ilog10() as usize)).await?;
        let budget = Some(Budget::AtMost(100.0));
        let note = format!("from the request to the kernel's rule, {CHANGES} times");
        let name = |share: &str| format!("endpoint change to rules, {count} Services, {share}");
        figures.add(name("p50"), ms(percentile(&times, 0.5)), "ms", budget, note.clone());
        figures.add(name("p99"), ms(percentile(&times, 0.99)), "ms", budget, note);
    }
    let memory = mb(process::memory(cluster.pid())?.resident);
    figures.add(format!("server memory, {made} Services"), memory, "MB", None, "resident, all roles");
    Ok(())
}

async fn make_service(connection: &Connection, number: usize) -> Result<()> {
    let service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": format!("web-{number}")},
        "spec": {"ports": [{"port": 80}]}
    });
    let path = "/api/v1/namespaces/default/services";
    fetch_object(connection, post(path), Some(service.to_string().into())).await?;
    fetch_object(connection, post(SLICES), Some(slice(number, 99).to_string().into())).await?;
    Ok(())
}

/// The times from a change of one Service's endpoints to the kernel's rule, sorted.
async fn change_endpoints(
    connection: &Connection,
    monitor: &mut Monitor,
    network: usize,
) -> Result<Vec<Duration>> {
    let mut times = Vec::with_capacity(CHANGES);
    for number in 0..CHANGES {
        let path = format!("{SLICES}/web-{number}");
        let mut changed = fetch_object(connection, get(&path), None).await?;
        changed["endpoints"] = slice(number, network)["endpoints"].clone();
        let sent = Instant::now();
        connection.fetch(put(&path), Some(changed.to_string().into())).await?;
        monitor.until(&endpoint(number, network)).await?;
        times.push(sent.elapsed());
    }
    times.sort_unstable();
    Ok(times)
}

const SLICES: &str = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices";

/// The one endpoint of a Service, in `10.<network>.0.0/16`.
fn endpoint(number: usize, network: usize) -> String {
    format!("10.{network}.{}.{}", number / 250, 1 + number % 250)
}

fn slice(number: usize, network: usize) -> Value {
    let name = format!("web-{number}");
    json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": {"name": name, "labels": {"kubernetes.io/service-name": name}},
        "addressType": "IPv4",
        "ports": [{"port": 8080, "protocol": "TCP"}],
        "endpoints": [{"addresses": [endpoint(number, network)], "conditions": {"ready": true}}]
    })
}

fn is_running(pod: &Value) -> bool {
    let statuses = pod["status"]["containerStatuses"].as_array().map(Vec::as_slice).unwrap_or_default();
    pod["status"]["phase"] == "Running"
        && !statuses.is_empty()
        && statuses.iter().all(|status| status["state"]["running"].is_object())
}

/// Waits until the node is ready; returns a connection to its server.
///
/// # Errors
/// If it does not become so.
pub async fn ready_node(cluster: &Cluster<'_>, bench: &Bench) -> Result<Connection> {
    let connection = cluster.connect().await?;
    let path = format!("/api/v1/nodes/{}", bench.host.name());
    cluster.wait_for(&connection, &path, is_ready).await?;
    Ok(connection)
}

/// An open watch.
pub struct Watch {
    answer: Answer,
    read: Vec<u8>,
}

impl Watch {
    /// Starts a watch.
    ///
    /// # Errors
    /// The server's error.
    pub async fn open(connection: &Connection, path: &str) -> Result<Watch> {
        let answer = connection.send(get(path), None).await?;
        ensure!(answer.status == 200, "{path}: {}", answer.status);
        Ok(Watch { answer, read: Vec::new() })
    }

    /// Waits for an event whose object is as wanted.
    ///
    /// # Errors
    /// If none comes.
    pub async fn until(&mut self, wanted: impl Fn(&Value) -> bool) -> Result<()> {
        let limit = Instant::now() + PATIENCE;
        let mut last = Value::Null;
        loop {
            while let Some(end) = self.read.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.read.drain(..=end).collect();
                let event: Value = serde_json::from_slice(&line)?;
                if wanted(&event["object"]) {
                    return Ok(());
                }
                last = event;
            }
            let chunk = tokio::time::timeout_at(limit, self.answer.chunk()).await;
            let chunk =
                chunk.with_context(|| format!("nothing after {PATIENCE:?}; the last event: {last}"))??;
            self.read.extend_from_slice(&chunk.context("the watch ended")?);
        }
    }
}

/// `nft monitor` on the test host: every change of the rules, as the kernel reports it.
struct Monitor {
    _process: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Monitor {
    fn start(bench: &Bench) -> Result<Monitor> {
        let mut command = bench.host.command("stdbuf");
        command.args(["-oL", "nft", "monitor"]).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut process =
            Command::from(command).kill_on_drop(true).spawn().context("cannot run nft monitor")?;
        let stdout = process.stdout.take().context("nft monitor has no output")?;
        Ok(Monitor { _process: process, lines: BufReader::new(stdout).lines() })
    }

    /// Waits until a change names this address.
    async fn until(&mut self, address: &str) -> Result<()> {
        let names = |line: &str| {
            line.match_indices(address).any(|(at, _)| {
                let behind = line[at + address.len()..].chars().next();
                !behind.is_some_and(|next| next.is_ascii_digit())
            })
        };
        let found = async {
            while let Some(line) = self.lines.next_line().await? {
                if names(&line) {
                    return anyhow::Ok(());
                }
            }
            anyhow::bail!("nft monitor ended")
        };
        timeout(Duration::from_secs(120), found).await.with_context(|| format!("no rule names {address}"))?
    }
}
