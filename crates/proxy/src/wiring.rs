//! The proxy as a task: informers in, transactions out.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use client::{Informers, Recorder, Selection, Subscription};
use hostnet::nft;
use k8s_openapi::api::core::v1::{Node, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use parking_lot::Mutex;
use semantics::ServiceKey;
use tokio::sync::Notify;

use crate::config::ProxyConfig;
use crate::health::{self, Checks, Health, Serving};
use crate::proxier::Proxier;
use crate::release::Release;
use crate::settings;

/// How long to wait after a transaction failed; doubled for each further failure, up to the last value.
const RETRY_AFTER: Duration = Duration::from_secs(1);
const RETRY_AFTER_MAX: Duration = Duration::from_secs(32);

/// The changes since the proxy's last look: the newest state of each object, so there are never more entries than
/// objects in the cluster.
#[derive(Default)]
struct Inbox {
    services: HashMap<ServiceKey, Option<Arc<Service>>>,
    slices: HashMap<ServiceKey, Option<Arc<EndpointSlice>>>,
    node: Option<Option<Arc<Node>>>,
}

#[derive(Default)]
struct Mailbox {
    inbox: Mutex<Inbox>,
    changed: Notify,
}

impl Mailbox {
    fn put(&self, change: impl FnOnce(&mut Inbox)) {
        change(&mut self.inbox.lock());
        self.changed.notify_one();
    }
}

/// Runs a proxy until it is dropped. Nothing is written before all services and endpoints are known, so that a
/// restart does not take rules away; changes that come while a transaction runs make up the next one. When another
/// program touches the tables, they are written again. `release` gets its answers from it.
pub async fn run(config: ProxyConfig, informers: &Informers, release: &Release) {
    let mailbox = Arc::new(Mailbox::default());
    let health = Arc::new(Health::new(informers.client().clock().clone()));
    health.queued();
    let _serving = serve_health(&config, &health).await;
    let recorder = Recorder::start(informers.client().clone(), "kube-proxy", &config.node_name);
    let mut checks = Checks::new(Arc::clone(&health), recorder, &config);
    let _news = subscribe(&config, informers, &mailbox).await;
    let mut proxier = Proxier::new(&config);
    let mut node_ports = config.node_port_addresses.clone();
    let mut watch = open_watch(&proxier);
    let mut retry_after = RETRY_AFTER;
    let mut settings = config.settings_journal.as_deref();
    loop {
        let inbox = std::mem::take(&mut *mailbox.inbox.lock());
        health.queued();
        deliver(inbox, &mut proxier, &health);
        let synced = proxier.sync().await;
        checks.change(proxier.take_checks()).await;
        if let Err(error) = synced {
            tracing::error!(error = &error as &dyn std::error::Error, "cannot write the service rules");
            tokio::time::sleep(retry_after).await;
            retry_after = (retry_after * 2).min(RETRY_AFTER_MAX);
            continue;
        }
        retry_after = RETRY_AFTER;
        // Now the kernel has connection tracking, if it did not before.
        if let Some(Err(error)) = settings.take().map(settings::apply) {
            tracing::warn!(%error, "cannot change how the kernel keeps track of connections");
        }
        health.written();
        release.answer(|endpoints| proxier.leads_to(endpoints));
        tokio::select! {
            () = release.asked() => {}
            () = mailbox.changed.notified() => {}
            Ok(()) = node_ports.changed() => proxier.node_ports_changed(&node_ports.borrow_and_update()),
            () = tokio::time::sleep(RETRY_AFTER_MAX), if checks.should_retry() => {}
            change = tampered(&mut watch) => match change {
                Ok(change) => {
                    tracing::warn!("{change} changed the service rules; rewriting them");
                    proxier.invalidate();
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot watch the service rules; starting a new watch");
                    watch = open_watch(&proxier);
                    proxier.invalidate();
                }
            }
        }
    }
}

/// Serves the proxy's health while the handle lives. Without the port the proxy still works.
async fn serve_health(config: &ProxyConfig, health: &Arc<Health>) -> Option<Serving> {
    let port = config.health_port?;
    let serving = health::serve_proxy_health(Arc::clone(health), port).await;
    serving.inspect_err(|error| tracing::warn!(%error, port, "cannot serve the proxy's health; is the port already in use?")).ok()
}

/// A watch over the proxy's tables; `None`, with a log line, if the kernel does not grant one.
fn open_watch(proxier: &Proxier) -> Option<nft::Watch> {
    let watch = nft::Watch::open(&proxier.tables());
    watch
        .inspect_err(|error| {
            tracing::warn!(%error, "cannot watch the service rules; changes by other programs will not be repaired");
        })
        .ok()
}

async fn tampered(watch: &mut Option<nft::Watch>) -> std::io::Result<nft::Change> {
    match watch {
        Some(watch) => watch.changed().await,
        None => std::future::pending().await,
    }
}

async fn subscribe(config: &ProxyConfig, informers: &Informers, mailbox: &Arc<Mailbox>) -> [Subscription; 3] {
    let services = informers.get::<Service>();
    let slices = informers.get::<EndpointSlice>();
    let node = Selection::fields::<Node>(format!("metadata.name={}", config.node_name));
    let nodes = informers.select::<Node>(node);
    let inbox = Arc::clone(mailbox);
    let of_services = services.subscribe(move |change| {
        inbox.put(|inbox| {
            drop(inbox.services.insert(ServiceKey::of(&change.object().metadata), change.new.clone()))
        });
    });
    let inbox = Arc::clone(mailbox);
    let of_slices = slices.subscribe(move |change| {
        inbox.put(|inbox| {
            drop(inbox.slices.insert(ServiceKey::of(&change.object().metadata), change.new.clone()))
        });
    });
    let inbox = Arc::clone(mailbox);
    let of_nodes = nodes.subscribe(move |change| inbox.put(|inbox| inbox.node = Some(change.new.clone())));
    services.synced().await;
    slices.synced().await;
    nodes.synced().await;
    [of_services, of_slices, of_nodes]
}

fn deliver(inbox: Inbox, proxier: &mut Proxier, health: &Health) {
    if let Some(node) = inbox.node {
        health.node_changed(node.as_deref());
        proxier.node_changed(node.as_deref());
    }
    for (key, service) in inbox.services {
        proxier.service_changed(&key, service);
    }
    for (key, slice) in inbox.slices {
        proxier.endpoint_slice_changed(&key, slice);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use hostnet::{NetNs, nft};
    use serde_json::json;
    use simulation::Server;

    use super::*;

    /// Waits until the elements of a map contain `text`.
    async fn appears(map: &str, text: &str) {
        let wait = async {
            loop {
                let listed = nft::output(&["list", "map", "ip", "wired", map]).await.unwrap_or_default();
                if listed.contains(text) {
                    return;
                }
                tokio::task::yield_now().await;
            }
        };
        let limit = Duration::from_secs(90);
        tokio::time::timeout(limit, wait).await.unwrap_or_else(|_| panic!("{text} does not appear in {map}"));
    }

    #[test]
    fn objects_of_the_server_become_rules() {
        let run_all = || async {
            let server = Server::start_in_real_time().await;
            let service = |port: u16| -> Service {
                serde_json::from_value(json!({
                    "metadata": {"name": "web", "namespace": "default"},
                    "spec": {"clusterIP": "10.43.0.5", "clusterIPs": ["10.43.0.5"], "ports": [{"port": port}]},
                }))
                .unwrap()
            };
            let slice: EndpointSlice = serde_json::from_value(json!({
                "metadata": {"name": "w", "namespace": "default", "labels": {"kubernetes.io/service-name": "web"}},
                "addressType": "IPv4", "ports": [{"name": "", "port": 8080}],
                "endpoints": [{"addresses": ["10.42.0.9"], "conditions": {"ready": true}}],
            }))
            .unwrap();
            server.put(&service(80)).await;
            server.put(&slice).await;
            let informers = Informers::new(server.client(simulation::network("here")));
            let config = ProxyConfig { table: "wired".to_owned(), ..ProxyConfig::new("here", Vec::new()) };
            let release = Release::default();
            let asked = release.clone();
            let proxy = tokio::spawn(async move { run(config, &informers, &asked).await });
            appears("endpoints_tcp", "10.43.0.5 . 80 . 0 : 10.42.0.9 . 8080").await;
            server.put(&service(81)).await;
            appears("endpoints_tcp", "10.43.0.5 . 81 . 0 : 10.42.0.9 . 8080").await;
            nft::delete_tables(&[("ip", "wired")]).await.unwrap();
            server.put(&service(82)).await;
            appears("services", "10.43.0.5 . tcp . 82 : goto service_tcp_1").await;
            for damage in ["delete element ip wired services { 10.43.0.5 . tcp . 82 }", "flush ruleset"] {
                let status = std::process::Command::new("nft").args(damage.split(' ')).status().unwrap();
                assert!(status.success());
                appears("services", "10.43.0.5 . tcp . 82 : goto service_tcp_1").await;
            }
            // A server is notified when nothing leads to it any more; an unknown one is notified at once.
            let limit = Duration::from_secs(90);
            let endpoint = |text: &str| BTreeSet::from([text.parse().unwrap()]);
            tokio::time::timeout(limit, release.of(endpoint("10.42.0.9:9999"))).await.unwrap();
            let mut released = Box::pin(release.of(endpoint("10.42.0.9:8080")));
            assert!(futures::poll!(&mut released).is_pending());
            server.put(&service(83)).await;
            appears("services", "10.43.0.5 . tcp . 83 : goto service_tcp_1").await;
            assert!(futures::poll!(&mut released).is_pending());
            let mut gone = slice.clone();
            gone.endpoints = Some(Vec::new());
            server.put(&gone).await;
            tokio::time::timeout(limit, released).await.unwrap();
            let rules = nft::output(&["list", "table", "ip", "wired"]).await.unwrap();
            assert!(!rules.contains("10.42.0.9"), "{rules}");
            proxy.abort();
        };
        NetNs::create().unwrap().block_on(run_all).unwrap();
    }
}
