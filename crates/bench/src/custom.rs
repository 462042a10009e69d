//! What definitions of custom resources cost, and what their objects cost compared with as many ConfigMaps.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures::stream::{self, StreamExt, TryStreamExt};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::Bench;
use crate::cluster::{Cluster, PATIENCE, fetch_object, get, get_as, post};
use crate::connection::Connection;
use crate::figures::{Budget, Figures, mb, ms, percentile};
use crate::process;

/// How many definitions there are, and how many share a group.
const DEFINITIONS: usize = 500;
const DEFINITIONS_A_GROUP: usize = 10;
/// How many requests are open at once.
const CLIENTS: usize = 32;
/// What the definitions may take.
const DEFINITIONS_MB_MAX: f64 = 100.0;
const DISCOVERY_MS_MAX: f64 = 50.0;
/// How soon a new definition is in every document, in milliseconds.
const DOCUMENT_MS_MAX: f64 = 1000.0;
/// How often discovery is asked.
const ASKED: usize = 20;
/// Between two looks at something that cannot be watched.
const PAUSE: Duration = Duration::from_millis(5);
/// How many objects of each kind there are.
const OBJECTS: usize = 20_000;

const CRDS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
const V2: &str = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";

pub async fn measure(bench: &Bench, figures: &mut Figures) -> Result<()> {
    definitions(bench, figures).await?;
    objects(bench, figures).await
}

async fn definitions(bench: &Bench, figures: &mut Figures) -> Result<()> {
    let cluster = Cluster::start_api(bench).await?;
    let connection = cluster.connect().await?;
    let resident = || process::memory(cluster.pid()).map(|memory| memory.resident);
    // The documents of the built-in resources are made, and their memory is not counted.
    for (path, accept) in documents() {
        connection.fetch(get_as(path, accept), None).await?;
    }
    let (before, sent) = (resident()?, Instant::now());
    stream::iter(0..DEFINITIONS)
        .map(|number| create(&connection, CRDS, definition(number, "")))
        .buffer_unordered(CLIENTS)
        .try_collect::<()>()
        .await?;
    let last = format!("g{}.example.com", (DEFINITIONS - 1) / DEFINITIONS_A_GROUP);
    wait_for(&connection, "/apis", AGGREGATED, &last).await?;
    wait_until_established(&connection).await?;
    let took = format!("established within {:.0} ms", ms(sent.elapsed()));
    let grown = mb(resident()?.saturating_sub(before));
    let budget = Some(Budget::AtMost(DEFINITIONS_MB_MAX));
    figures.add(format!("memory of {DEFINITIONS} definitions"), grown, "MB", budget, took);
    let mut times = Vec::with_capacity(ASKED);
    let mut bytes = 0;
    for _ in 0..ASKED {
        let sent = Instant::now();
        bytes = connection.fetch(get_as("/apis", AGGREGATED), None).await?.len();
        times.push(sent.elapsed());
    }
    times.sort_unstable();
    let note = format!("median of {ASKED}; {:.1} MB", mb(bytes as u64));
    let budget = Some(Budget::AtMost(DISCOVERY_MS_MAX));
    figures.add("discovery", ms(percentile(&times, 0.5)), "ms", budget, note);
    // The documents of all definitions are made at the first request.
    for (at, (path, accept)) in documents().into_iter().enumerate() {
        let sent = Instant::now();
        let bytes = connection.fetch(get_as(path, accept), None).await?.len();
        let note = format!("{:.1} MB", mb(bytes as u64));
        figures.add(
            format!("first {path} ({at}) of {DEFINITIONS} definitions"),
            ms(sent.elapsed()),
            "ms",
            None,
            note,
        );
    }
    let grown = mb(resident()?.saturating_sub(before));
    let name = format!("memory of {DEFINITIONS} definitions with their documents");
    figures.add(name, grown, "MB", Some(Budget::AtMost(DEFINITIONS_MB_MAX)), "");
    for (at, (path, accept)) in documents().into_iter().enumerate() {
        let number = DEFINITIONS + DEFINITIONS_A_GROUP * (at + 1);
        let sent = Instant::now();
        create(&connection, CRDS, definition(number, "")).await?;
        wait_for(&connection, path, accept, &format!("g{}.example.com", number / DEFINITIONS_A_GROUP))
            .await?;
        let name = format!("one more definition, from its create to {path} ({at})");
        figures.add(name, ms(sent.elapsed()), "ms", Some(Budget::AtMost(DOCUMENT_MS_MAX)), "");
    }
    Ok(())
}

/// The documents that name every definition, and their forms.
fn documents() -> [(&'static str, &'static str); 4] {
    [
        ("/apis", AGGREGATED),
        ("/openapi/v3", "application/json"),
        ("/openapi/v2", "application/json"),
        ("/openapi/v2", V2),
    ]
}

/// Waits until a document contains a text.
async fn wait_for(connection: &Connection, path: &str, accept: &'static str, text: &str) -> Result<()> {
    let limit = Instant::now() + PATIENCE;
    loop {
        let document = connection.fetch(get_as(path, accept), None).await?;
        if document.windows(text.len()).any(|window| window == text.as_bytes()) {
            return Ok(());
        }
        ensure!(Instant::now() < limit, "{path} does not name {text} after {PATIENCE:?}");
        sleep(PAUSE).await;
    }
}

async fn wait_until_established(connection: &Connection) -> Result<()> {
    let limit = Instant::now() + PATIENCE;
    loop {
        let all = fetch_object(connection, get(CRDS), None).await?;
        let is_established = |definition: &Value| {
            let conditions = definition["status"]["conditions"].as_array().map(Vec::as_slice);
            let mut conditions = conditions.unwrap_or_default().iter();
            conditions.any(|one| one["type"] == "Established" && one["status"] == "True")
        };
        if all["items"].as_array().is_some_and(|items| items.iter().all(is_established)) {
            return Ok(());
        }
        ensure!(Instant::now() < limit, "not all definitions are established after {PATIENCE:?}");
        sleep(PAUSE).await;
    }
}

async fn create(connection: &Connection, path: &str, object: Value) -> Result<()> {
    connection.fetch(post(path), Some(object.to_string().into())).await.map(drop)
}

/// A definition as operators bring it: a specification with some depth, a status, columns. `rule` is a rule in CEL over
/// the specification.
fn definition(number: usize, rule: &str) -> Value {
    let (group, kind) = (format!("g{}.example.com", number / DEFINITIONS_A_GROUP), format!("Thing{number}"));
    let plural = format!("thing{number}s");
    let text = |about: &str| json!({"type": "string", "maxLength": 256, "description": about});
    let mut spec = json!({
        "type": "object", "required": ["image", "replicas"], "description": "What is wanted of the application.",
        "properties": {
            "image": text("The image that the application's containers run, with its registry and its tag."),
            "replicas": {"type": "integer", "minimum": 0, "maximum": 1000, "description": "How many there are."},
            "selector": {"type": "object", "additionalProperties": {"type": "string", "maxLength": 63}},
            "ports": {"type": "array", "maxItems": 16, "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["name"],
                "items": {"type": "object", "required": ["name", "port"], "properties": {
                    "name": text("The name of the port, by which others refer to it."),
                    "port": {"type": "integer", "minimum": 1, "maximum": 65535},
                    "protocol": {"type": "string", "enum": ["TCP", "UDP", "SCTP"], "default": "TCP"}}}},
            "storage": {"type": "object", "properties": {
                "className": text("The class of the volumes that are claimed for the application."),
                "size": {"x-kubernetes-int-or-string": true},
                "retain": {"type": "boolean", "default": true}}},
            "settings": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}
        }
    });
    if !rule.is_empty() {
        spec["x-kubernetes-validations"] = json!([{"rule": rule, "message": "the rule is broken"}]);
    }
    let condition = json!({"type": "object", "required": ["type", "status"], "properties": {
        "type": text("The condition."), "status": text("Whether it holds."), "reason": text("Why, in a word."),
        "message": text("Why, for people."), "lastTransitionTime": {"type": "string", "format": "date-time"}}});
    let schema = json!({"type": "object", "description": format!("{kind} is an application."), "properties": {
        "apiVersion": {"type": "string"}, "kind": {"type": "string"}, "metadata": {"type": "object"}, "spec": spec,
        "status": {"type": "object", "properties": {
            "ready": {"type": "integer"}, "conditions": {"type": "array", "maxItems": 16, "items": condition}}}}});
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("{plural}.{group}")},
        "spec": {
            "group": group, "scope": "Namespaced", "names": {"plural": plural, "kind": kind},
            "versions": [{
                "name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema},
                "subresources": {"status": {}},
                "additionalPrinterColumns": [{"name": "Ready", "type": "integer", "jsonPath": ".status.ready"}]
            }]
        }
    })
}

/// What many objects of one kind cost.
struct Costs {
    /// The processor time of a create, in seconds.
    create: f64,
    /// The memory of an object, in bytes.
    memory: f64,
    /// The processor time of a list, in seconds.
    list: f64,
    /// The JSON of an object, in bytes.
    json: f64,
}

/// Rules of the kinds that are compared: with none, and with some as operators write them.
const RULES: &str = "self.replicas <= 100 && self.image.startsWith('registry.example.com/') && \
    (!has(self.ports) || self.ports.all(p, p.port > 1023 || p.protocol == 'TCP'))";

async fn objects(bench: &Bench, figures: &mut Figures) -> Result<()> {
    let cluster = Cluster::start_api(bench).await?;
    let connection = cluster.connect().await?;
    cluster.make_namespace(&connection, "bench").await?;
    for (number, rule) in [(0, ""), (DEFINITIONS_A_GROUP, RULES)] {
        create(&connection, CRDS, definition(number, rule)).await?;
        let group = format!("g{}.example.com", number / DEFINITIONS_A_GROUP);
        wait_for(&connection, "/apis", AGGREGATED, &group).await?;
    }
    let maps = costs(&cluster, &connection, "/api/v1/namespaces/bench/configmaps", config_map).await?;
    let path = |number: usize| {
        let group = number / DEFINITIONS_A_GROUP;
        format!("/apis/g{group}.example.com/v1/namespaces/bench/thing{number}s")
    };
    let things = costs(&cluster, &connection, &path(0), |at| thing(0, at)).await?;
    let ruled = DEFINITIONS_A_GROUP;
    let with_rules = costs(&cluster, &connection, &path(ruled), |at| thing(ruled, at)).await?;
    let note = |unit: &str, one: f64, other: f64| format!("{one:.0} {unit} to {other:.0} {unit}");
    let budget = Some(Budget::AtMost(1.0));
    let (create, other) = (things.create, maps.create);
    let text = note("us", create * 1e6, other * 1e6);
    figures.add("processor time of a create, custom to ConfigMap", create / other, "x", budget, text);
    let text = note("B", things.memory, maps.memory);
    figures.add("memory of an object, custom to ConfigMap", things.memory / maps.memory, "x", budget, text);
    let sizes = note("B of JSON each", things.json, maps.json);
    let text = format!("{}, {sizes}", note("ms", things.list * 1e3, maps.list * 1e3));
    figures.add(
        format!("list of {OBJECTS}, custom to ConfigMaps"),
        things.list / maps.list,
        "x",
        budget,
        text,
    );
    let (create, other) = (with_rules.create, things.create);
    let text = note("us", create * 1e6, other * 1e6);
    figures.add("create with a rule in CEL, to one without", create / other, "x", None, text);
    Ok(())
}

fn config_map(number: usize) -> Value {
    json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": format!("c-{number}"), "labels": {"app": "shop"}},
        "data": {
            "image": format!("registry.example.com/shop/storefront:{number}"), "replicas": "3", "app": "shop",
            "http": "8080 TCP", "metrics": "9090 TCP", "className": "fast", "size": "10Gi", "level": "info"
        }
    })
}

/// An object of about the same size.
fn thing(kind: usize, number: usize) -> Value {
    json!({
        "apiVersion": format!("g{}.example.com/v1", kind / DEFINITIONS_A_GROUP), "kind": format!("Thing{kind}"),
        "metadata": {"name": format!("c-{number}"), "labels": {"app": "shop"}},
        "spec": {
            "image": format!("registry.example.com/shop/storefront:{number}"), "replicas": 3,
            "selector": {"app": "shop"},
            "ports": [{"name": "http", "port": 8080}, {"name": "metrics", "port": 9090, "protocol": "TCP"}],
            "storage": {"className": "fast", "size": "10Gi"}, "settings": {"level": "info"}
        }
    })
}

async fn costs(
    cluster: &Cluster<'_>,
    connection: &Connection,
    path: &str,
    object: impl Fn(usize) -> Value,
) -> Result<Costs> {
    const LISTS: u32 = 10;
    let object = &object;
    let create_all = async |range: std::ops::Range<usize>| {
        let creates = stream::iter(range).map(|number| create(connection, path, object(number)));
        creates.buffer_unordered(CLIENTS).try_collect::<()>().await.with_context(|| path.to_owned())
    };
    // What a kind needs once, such as compiled rules, is there.
    create_all(0..CLIENTS).await?;
    let (memory, cpu) = (process::memory(cluster.pid())?.resident, process::cpu(cluster.pid())?);
    create_all(CLIENTS..OBJECTS).await?;
    let count = (OBJECTS - CLIENTS) as f64;
    let grown = process::memory(cluster.pid())?.resident.saturating_sub(memory) as f64 / count;
    let create = (process::cpu(cluster.pid())? - cpu).as_secs_f64() / count;
    let before = process::cpu(cluster.pid())?;
    let mut bytes = 0;
    for _ in 0..LISTS {
        bytes = connection.send(get(path), None).await?.drain().await?.0;
    }
    let list = (process::cpu(cluster.pid())? - before) / LISTS;
    Ok(Costs { create, memory: grown, list: list.as_secs_f64(), json: bytes as f64 / OBJECTS as f64 })
}
