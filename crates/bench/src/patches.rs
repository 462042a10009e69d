//! What the kinds of patches cost, compared with a merge patch of the same change in the same run.

use std::cell::Cell;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::Bench;
use crate::cluster::{Cluster, fetch_object, get, patch_as, post, put};
use crate::connection::Connection;
use crate::figures::{Budget, Figures};
use crate::load::{self, Outcome};
use crate::pods::deployment;

/// How long each load is measured.
const SPAN: Duration = Duration::from_secs(3);
/// How many clients patch at once, each its own Deployment.
const CLIENTS: usize = 16;
/// How much more processor time than a merge patch the others may take.
const COST_MAX: f64 = 2.0;

const MERGE: &str = "application/merge-patch+json";

/// Every kind of write of one field of a Deployment.
const KINDS: [(&str, Option<&str>); 5] = [
    ("merge", Some(MERGE)),
    ("strategic merge", Some("application/strategic-merge-patch+json")),
    ("JSON", Some("application/json-patch+json")),
    ("apply", Some("application/apply-patch+yaml")),
    ("update", None),
];

pub async fn measure(bench: &Bench, figures: &mut Figures) -> Result<()> {
    let cluster = Cluster::start_api(bench).await?;
    let connection = cluster.connect().await?;
    cluster.make_namespace(&connection, "bench").await?;
    let mut merge: Option<Outcome> = None;
    for (kind, media) in KINDS {
        let namespace = kind.split(' ').next().unwrap_or_default().to_ascii_lowercase();
        let patches = Patches::make(&cluster, &connection, &namespace, media).await?;
        let outcome = load::run(CLIENTS, SPAN, cluster.pid(), |client| patches.send(client))
            .await
            .with_context(|| format!("{kind} patches"))?;
        figures.add(format!("{kind}: writes of a Deployment"), outcome.rate, "/s", None, outcome.note());
        let Some(merge) = &merge else {
            merge = Some(outcome);
            continue;
        };
        let cost = outcome.server_cpu.as_secs_f64() / merge.server_cpu.as_secs_f64();
        let name = format!("{kind}: processor time, to a merge patch");
        figures.add(name, cost, "x", Some(Budget::AtMost(COST_MAX)), "");
    }
    Ok(())
}

/// Writes of one kind to Deployments in a namespace of their own.
struct Patches<'a> {
    connection: &'a Connection,
    path: String,
    media: Option<&'static str>,
    /// The Deployments as they were made, which are what an update or a configuration writes again.
    whole: Vec<Value>,
    count: Cell<u64>,
}

impl<'a> Patches<'a> {
    async fn make(
        cluster: &Cluster<'_>,
        connection: &'a Connection,
        namespace: &str,
        media: Option<&'static str>,
    ) -> Result<Patches<'a>> {
        cluster.make_namespace(connection, namespace).await?;
        let path = format!("/apis/apps/v1/namespaces/{namespace}/deployments");
        let mut whole = Vec::with_capacity(CLIENTS);
        for client in 0..CLIENTS {
            let mut object = deployment(namespace, 3);
            object["metadata"]["name"] = json!(format!("web-{client}"));
            connection.fetch(post(&path), Some(object.to_string().into())).await?;
            if media.is_none() {
                object = fetch_object(connection, get(&format!("{path}/web-{client}")), None).await?;
                // An update that names no version replaces whatever is there.
                if let Some(metadata) = object["metadata"].as_object_mut() {
                    metadata.remove("resourceVersion");
                }
            }
            whole.push(object);
        }
        Ok(Patches { connection, path, media, whole, count: Cell::new(0) })
    }

    /// Writes another number into an annotation of a client's own Deployment.
    async fn send(&self, client: usize) -> Result<()> {
        self.count.set(self.count.get() + 1);
        let number = self.count.get().to_string();
        let path = format!("{}/web-{client}", self.path);
        let (request, body) = match self.media {
            Some(media @ "application/json-patch+json") => {
                let change =
                    json!([{"op": "add", "path": "/metadata/annotations", "value": {"count": number}}]);
                (patch_as(&path, media), change)
            }
            Some(media @ "application/apply-patch+yaml") => (
                patch_as(&format!("{path}?fieldManager=bench&force=true"), media),
                self.with(client, &number),
            ),
            Some(media) => (patch_as(&path, media), json!({"metadata": {"annotations": {"count": number}}})),
            None => (put(&path), self.with(client, &number)),
        };
        self.connection.fetch(request, Some(body.to_string().into())).await.map(drop)
    }

    /// A whole Deployment with the number.
    fn with(&self, client: usize, number: &str) -> Value {
        let mut whole = self.whole[client].clone();
        whole["metadata"]["annotations"]["count"] = json!(number);
        whole
    }
}
