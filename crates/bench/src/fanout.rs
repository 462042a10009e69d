//! One object's changes to a thousand watchers, in every form.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures::future::try_join_all;
use serde_json::json;
use tokio::time::{Instant, timeout};

use crate::Bench;
use crate::cluster::{Cluster, PATIENCE, fetch_object, get_as, patch};
use crate::connection::{Answer, Connection};
use crate::figures::{Budget, Figures, ms};
use crate::process;
use crate::writes::Creator;

/// How many watchers there are, and how many of them share a connection.
const WATCHERS: usize = 1000;
const WATCHERS_A_CONNECTION: usize = 200;
/// How many changes they see.
const CHANGES: usize = 100;
/// What one delivery may take of a processor's time, in microseconds.
const DELIVERY_US_MAX: f64 = 4.0;

const POD: &str = "/api/v1/namespaces/bench/pods/pod-1";
const PROTOBUF: &str = "application/vnd.kubernetes.protobuf;stream=watch";
const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io";
const METADATA: &str = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io";

pub async fn measure(bench: &Bench, figures: &mut Figures) -> Result<()> {
    let cluster = Cluster::start_api(bench).await?;
    let connection = cluster.connect().await?;
    cluster.make_namespace(&connection, "bench").await?;
    Creator::new("bench").create(&connection).await?;
    let before = process::cpu(cluster.pid())?;
    change(&connection).await?;
    let writing = process::cpu(cluster.pid())? - before;
    let mut plain = None;
    let forms =
        [("JSON", "application/json"), ("protobuf", PROTOBUF), ("Table", TABLE), ("metadata", METADATA)];
    for (form, accept) in forms {
        let (took, cpu) = deliver(&cluster, &connection, accept).await.with_context(|| form.to_owned())?;
        let deliveries = (WATCHERS * CHANGES) as f64;
        let each = cpu.saturating_sub(writing).as_secs_f64() * 1e6 / deliveries;
        let note = format!(
            "{:.0} a second; {CHANGES} changes in {:.0} ms",
            deliveries / took.as_secs_f64(),
            ms(took)
        );
        let budget = (form == "JSON").then_some(Budget::AtMost(DELIVERY_US_MAX));
        let name = format!("{WATCHERS} watchers, {form}: processor time of a delivery");
        figures.add(name, each, "us", budget, note);
        let plain = *plain.get_or_insert(each);
        if form != "JSON" {
            figures.add(format!("{form} deliveries, to JSON"), each / plain, "x", None, "");
        }
    }
    Ok(())
}

/// Changes the pod again and again.
async fn change(connection: &Connection) -> Result<()> {
    for number in 0..CHANGES {
        let change = json!({"metadata": {"annotations": {"number": number.to_string()}}});
        connection.fetch(patch(POD), Some(change.to_string().into())).await?;
    }
    Ok(())
}

/// How long the changes take until every watcher has all of them, and what the server spends on them.
async fn deliver(
    cluster: &Cluster<'_>,
    writer: &Connection,
    accept: &'static str,
) -> Result<(Duration, Duration)> {
    let now = fetch_object(writer, get_as("/api/v1/namespaces/bench/pods?limit=1", "application/json"), None);
    let version =
        now.await?["metadata"]["resourceVersion"].as_str().context("a list has a version")?.to_owned();
    let path = format!("/api/v1/namespaces/bench/pods?watch=true&resourceVersion={version}");
    let connections = cluster.connect_many(WATCHERS / WATCHERS_A_CONNECTION).await?;
    let mut watches = Vec::with_capacity(WATCHERS);
    for number in 0..WATCHERS {
        let answer = connections[number % connections.len()].send(get_as(&path, accept), None).await?;
        ensure!(answer.status == 200, "{path}: {}", answer.status);
        watches.push(answer);
    }
    let (begun, before) = (Instant::now(), process::cpu(cluster.pid())?);
    let is_framed = accept == PROTOBUF;
    let reading = try_join_all(watches.into_iter().map(|answer| read(answer, is_framed)));
    let all = async { tokio::try_join!(change(writer), reading).map(drop) };
    timeout(PATIENCE, all).await.context("not all changes were delivered")??;
    Ok((begun.elapsed(), process::cpu(cluster.pid())? - before))
}

/// Reads a watch until it has told all changes.
async fn read(mut answer: Answer, is_framed: bool) -> Result<()> {
    let (mut told, mut frames) = (0, Frames::default());
    while told < CHANGES {
        let chunk = answer.chunk().await?.context("the watch ended")?;
        told += match is_framed {
            true => frames.ended(&chunk),
            false => chunk.iter().filter(|byte| **byte == b'\n').count(),
        };
    }
    Ok(())
}

/// Counts frames that begin with their length in four bytes.
#[derive(Default)]
struct Frames {
    /// The bytes of a length that have come.
    length: Vec<u8>,
    /// The bytes of the present frame that have not come.
    left: usize,
}

impl Frames {
    /// How many frames end with these bytes.
    fn ended(&mut self, mut bytes: &[u8]) -> usize {
        let mut ended = 0;
        while !bytes.is_empty() {
            if self.left == 0 {
                self.length.push(bytes[0]);
                bytes = &bytes[1..];
                if let Ok(length) = <[u8; 4]>::try_from(self.length.as_slice()) {
                    self.left = u32::from_be_bytes(length) as usize;
                    self.length.clear();
                }
                continue;
            }
            let taken = self.left.min(bytes.len());
            bytes = &bytes[taken..];
            self.left -= taken;
            ended += usize::from(self.left == 0);
        }
        ended
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_counted_however_they_are_cut() {
        let bytes = [0, 0, 0, 2, 7, 7, 0, 0, 0, 1, 9, 0, 0];
        for size in 1..bytes.len() {
            let mut frames = Frames::default();
            let ended: usize = bytes.chunks(size).map(|chunk| frames.ended(chunk)).sum();
            assert_eq!(ended, 2, "in chunks of {size}");
        }
    }
}
