//! What nodes and pods use at present, for `metrics.k8s.io`.
//!
//! Every server asks all nodes from time to time ([`ApiServer::measure_nodes`]), over the connection to nodes that logs and
//! commands use, and keeps the last two answers of each. So every server can tell what is used, and nothing of it is stored.
//!
//! A node is believed only what it says of itself and of pods that are on it: figures are kept by node, and looked up by
//! the node of the pod.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt};
use jiff::Timestamp;
use measures::{Batch, PodUsage, Samples, Usage};
use object::{Status, Versioned};
use parking_lot::RwLock;
use tokio::time::MissedTickBehavior;

use crate::ApiServer;

#[cfg(test)]
mod tests;

/// How often nodes are asked by default; upstream's `--metric-resolution` of metrics-server in its manifests.
pub const RESOLUTION: Duration = Duration::from_secs(15);
/// The path that nodes are asked for.
const PATH: &str = "/metrics/resource";
/// How many nodes are asked at once.
const NODES_AT_ONCE: usize = 16;
/// How long a node may take to answer; upstream's.
const ANSWERS_WITHIN: Duration = Duration::from_secs(10);
/// The largest answer of a node, in bytes: some 10,000 containers.
const ANSWER_BYTES_MAX: usize = 8 << 20;

/// The last figures of all nodes.
#[derive(Debug, Default)]
pub struct Measures(RwLock<HashMap<Arc<str>, Samples>>);

impl Measures {
    /// Takes what a node measured after `period_seconds`.
    pub fn take(&self, node: &str, batch: Batch, period_seconds: u32) {
        self.0.write().entry(node.into()).or_default().take(batch, period_seconds);
    }

    /// Takes the text that a node gave at its `/metrics/resource`.
    ///
    /// # Errors
    /// If it is not such a text; then the earlier figures stay.
    pub fn read(
        &self,
        node: &str,
        text: &str,
        now: Timestamp,
        period_seconds: u32,
    ) -> Result<(), measures::ParseError> {
        self.take(node, Batch::parse(text, now)?, period_seconds);
        Ok(())
    }

    /// Forgets the figures of nodes: of one that did not answer, the last ones are not true any more.
    fn forget(&self, keep: impl Fn(&str) -> bool) {
        self.0.write().retain(|node, _| keep(node));
    }

    /// What a node uses; `None` if that is not known.
    pub(crate) fn node(&self, name: &str) -> Option<Usage> {
        self.0.read().get(name)?.node()
    }

    /// What a pod on a node uses; `None` if that is not known.
    pub(crate) fn pod(&self, node: &str, namespace: &str, name: &str) -> Option<PodUsage> {
        self.0.read().get(node)?.pod(namespace, name)
    }
}

/// Why a node's figures cannot be had.
#[derive(Debug, thiserror::Error)]
enum ScrapeError {
    #[error("the node refused: {0}")]
    Refused(Status),
    #[error("no answer within {} s", ANSWERS_WITHIN.as_secs())]
    Silent,
    #[error("the answer is not text")]
    Text(#[source] std::str::Utf8Error),
    #[error("cannot read the figures")]
    Figures(#[source] measures::ParseError),
}

impl ApiServer {
    /// Asks all nodes what they use, once in each `period`, for as long as the future is polled. A round that takes longer
    /// delays the next one.
    pub async fn measure_nodes(&self, period: Duration) {
        let mut rounds = tokio::time::interval(period);
        rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            rounds.tick().await;
            self.measure_round(period).await;
        }
    }

    async fn measure_round(&self, period: Duration) {
        let nodes = self.registry.collection("minions").map(|nodes| nodes.objects()).unwrap_or_default();
        let asked = nodes.values().filter(|node| !is_lost(node)).map(|node| node.name().to_owned());
        let period_seconds = u32::try_from(period.as_secs()).unwrap_or(u32::MAX);
        let asked: Vec<BoxFuture<'_, Option<String>>> =
            asked.map(|name| self.measure_node(name, period_seconds).boxed()).collect();
        let answers = futures::stream::iter(asked);
        let answered: HashSet<String> =
            answers.buffer_unordered(NODES_AT_ONCE).filter_map(std::future::ready).collect().await;
        self.registry.measures.forget(|node| answered.contains(node));
    }

    /// Asks a node, and returns its name if it answered.
    async fn measure_node(&self, name: String, period_seconds: u32) -> Option<String> {
        match self.scrape(&name).await {
            Ok(batch) => {
                self.registry.measures.take(&name, batch, period_seconds);
                Some(name)
            }
            Err(error) => {
                tracing::debug!(node = name, error = causes::chain(&error), "cannot measure a node");
                None
            }
        }
    }

    async fn scrape(&self, node: &str) -> Result<Batch, ScrapeError> {
        let asked = self.ask_node(node, PATH, ANSWER_BYTES_MAX);
        let answer = tokio::time::timeout(ANSWERS_WITHIN, asked).await.map_err(|_| ScrapeError::Silent)?;
        let bytes = answer.map_err(ScrapeError::Refused)?;
        let text = std::str::from_utf8(&bytes).map_err(ScrapeError::Text)?;
        Batch::parse(text, self.clock.now()).map_err(ScrapeError::Figures)
    }
}

/// Whether a node has been silent for so long that asking it would only cost time.
fn is_lost(node: &Versioned) -> bool {
    let node = node.value();
    let ready = node.at("status.conditions").items().find(|condition| condition.str_at("type") == "Ready");
    ready.is_some_and(|ready| ready.str_at("status") == "Unknown")
}
