//! What takes a node: pods that start, Services that lead somewhere.

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
use crate::startup::is_ready;

/// How many pods are started, one after the other.
const STARTS: usize = 20;
/// How many Services there are.
const SERVICES: usize = 1000;
/// How many of them change, one after the other.
const CHANGES: usize = 20;

/// Pods from the request that creates them to the news that they run.
pub async fn pods(bench: &Bench, figures: &mut Figures) -> Result<()> {
    let cluster = Cluster::start(bench, &[]).await?;
    let connection = ready_node(&cluster, bench).await?;
    cluster.import_image()?;
    cluster
        .wait_for(&connection, "/api/v1/namespaces/default/serviceaccounts/default", |account| {
            account["kind"] == "ServiceAccount"
        })
        .await?;
    let mut watch = Watch::open(&connection, "/api/v1/namespaces/default/pods?watch=1").await?;
    let mut times = Vec::with_capacity(STARTS);
    for number in 0..STARTS {
        let name = format!("start-{number}");
        let sent = Instant::now();
        let body = sample_pod(&name).to_string().into();
        fetch_object(&connection, post("/api/v1/namespaces/default/pods"), Some(body)).await?;
        watch.until(|pod| pod["metadata"]["name"] == *name && is_running(pod)).await?;
        times.push(sent.elapsed());
    }
    times.sort_unstable();
    let budget = Some(Budget::AtMost(250.0));
    let note = format!("image present, {STARTS} in a row, from create to Running");
    figures.add("pod start, p50", ms(percentile(&times, 0.5)), "ms", budget, note.clone());
    figures.add("pod start, p99", ms(percentile(&times, 0.99)), "ms", budget, note);
    let shims = process::running(cluster.pid(), "shim");
    let memory: Vec<_> = shims.iter().filter_map(|pid| process::memory(*pid).ok()).collect();
    let proportional: u64 = memory.iter().map(|memory| memory.proportional).sum();
    let each = mb(proportional) / memory.len().max(1) as f64;
    let note = format!("proportional; {} shims for {STARTS} pods", memory.len());
    figures.add("memory of a shim", each, "MB", None, note);
    let server = process::memory(cluster.pid())?;
    figures.add("server memory with these pods", mb(server.resident), "MB", None, "resident, all roles");
    Ok(())
}

/// A change of a Service's endpoints until the kernel has the rule.
pub async fn services(bench: &Bench, figures: &mut Figures) -> Result<()> {
    let cluster = Cluster::start(bench, &[]).await?;
    let connection = ready_node(&cluster, bench).await?;
    let mut monitor = Monitor::start(bench)?;
    let started = Instant::now();
    for number in 0..SERVICES {
        let service = json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": format!("web-{number}")},
            "spec": {"ports": [{"port": 80}]}
        });
        let path = "/api/v1/namespaces/default/services";
        fetch_object(&connection, post(path), Some(service.to_string().into())).await?;
        let slice = slice(number, "10.99");
        fetch_object(&connection, post(SLICES), Some(slice.to_string().into())).await?;
    }
    monitor.until(&endpoint(SERVICES - 1, "10.99")).await?;
    let note = "from the first create to the last rule, one create after the other";
    figures.add(format!("{SERVICES} Services to rules"), ms(started.elapsed()), "ms", None, note);
    let mut times = Vec::with_capacity(CHANGES);
    for number in 0..CHANGES {
        let path = format!("{SLICES}/web-{number}");
        let mut changed = fetch_object(&connection, get(&path), None).await?;
        changed["endpoints"] = slice(number, "10.98")["endpoints"].clone();
        let sent = Instant::now();
        connection.fetch(put(&path), Some(changed.to_string().into())).await?;
        monitor.until(&endpoint(number, "10.98")).await?;
        times.push(sent.elapsed());
    }
    times.sort_unstable();
    let budget = Some(Budget::AtMost(100.0));
    let note = format!("with {SERVICES} Services, from the request to the kernel's rule, {CHANGES} times");
    figures.add("endpoint change to rules, p50", ms(percentile(&times, 0.5)), "ms", budget, note.clone());
    figures.add("endpoint change to rules, p99", ms(percentile(&times, 0.99)), "ms", budget, note);
    Ok(())
}

const SLICES: &str = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices";

/// The one endpoint of a Service, in the network that starts so.
fn endpoint(number: usize, network: &str) -> String {
    format!("{network}.{}.{}", number / 250, 1 + number % 250)
}

fn slice(number: usize, network: &str) -> Value {
    let name = format!("web-{number}");
    json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": {"name": name, "labels": {"kubernetes.io/service-name": name}},
        "addressType": "IPv4",
        "ports": [{"port": 8080, "protocol": "TCP"}],
        "endpoints": [{"addresses": [endpoint(number, network)], "conditions": {"ready": true}}]
    })
}

fn sample_pod(name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
        "spec": {"terminationGracePeriodSeconds": 0, "containers": [{
            "name": "web", "image": "docker.io/ironhull/sample-web:1", "imagePullPolicy": "Never"
        }]}
    })
}

fn is_running(pod: &Value) -> bool {
    let statuses = pod["status"]["containerStatuses"].as_array().map(Vec::as_slice).unwrap_or_default();
    pod["status"]["phase"] == "Running"
        && !statuses.is_empty()
        && statuses.iter().all(|status| status["state"]["running"].is_object())
}

async fn ready_node(cluster: &Cluster<'_>, bench: &Bench) -> Result<Connection> {
    let connection = cluster.connect().await?;
    let path = format!("/api/v1/nodes/{}", bench.host.name());
    cluster.wait_for(&connection, &path, is_ready).await?;
    Ok(connection)
}

/// An open watch.
struct Watch {
    answer: Answer,
    read: Vec<u8>,
}

impl Watch {
    async fn open(connection: &Connection, path: &str) -> Result<Watch> {
        let answer = connection.send(get(path), None).await?;
        ensure!(answer.status == 200, "{path}: {}", answer.status);
        Ok(Watch { answer, read: Vec::new() })
    }

    /// Waits for an event whose object is as wanted.
    async fn until(&mut self, wanted: impl Fn(&Value) -> bool) -> Result<()> {
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

/// `nft monitor` on the test host: every change of the rules, as the kernel tells it.
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
