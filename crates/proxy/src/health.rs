//! The proxy's health checks, over HTTP (`pkg/proxy/healthcheck` upstream).
//!
//! - `:10256/healthz` says whether this node should get traffic: the rules are up to date and the node is not about to
//!   be removed. `/livez` ignores the node, for supervisors that restart a proxy that hangs.
//! - Each Service of type LoadBalancer with `externalTrafficPolicy: Local` has its own port, where load balancers learn
//!   whether this node has endpoints for it.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use client::{EventType, Recorder};
use clock::Clock;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use ipnet::IpNet;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, ObjectReference};
use parking_lot::Mutex;
use semantics::ServiceKey;
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::AbortHandle;
use tokio::time::Instant;

use crate::config::ProxyConfig;
use crate::rules::NodePorts;

/// How long a change may wait for its transaction until the proxy counts as sick; upstream's, twice its sync period.
const LATE_AFTER: Duration = Duration::from_secs(60);
/// How long a client may take to ask, and to read.
const CLIENT_WITHIN: Duration = Duration::from_secs(10);
/// The maximum number of clients at one port, and from one address: clients that keep connections open must not keep
/// load balancers out.
const CLIENTS_MAX: usize = 64;
const CLIENTS_OF_ADDRESS_MAX: usize = 8;
/// The taint that the cluster autoscaler sets before it removes a node.
const TO_BE_DELETED: &str = "ToBeDeletedByClusterAutoscaler";

/// The health of the proxy, written by its loop and read by servers.
#[derive(Debug)]
pub(crate) struct Health {
    clock: Clock,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    updated: Option<Timestamp>,
    /// Since when a change has been waiting.
    pending: Option<Instant>,
    node_eligible: bool,
}

impl Health {
    pub(crate) fn new(clock: Clock) -> Health {
        let state = State { updated: None, pending: None, node_eligible: true };
        Health { clock, state: Mutex::new(state) }
    }

    /// Records that there is something to write.
    pub(crate) fn queued(&self) {
        self.state.lock().pending.get_or_insert_with(Instant::now);
    }

    /// Records that everything recorded before is written.
    pub(crate) fn written(&self) {
        let mut state = self.state.lock();
        state.pending = None;
        state.updated = Some(self.clock.now());
    }

    /// Records the state of this node; `None` if there is none yet, or it is gone.
    pub(crate) fn node_changed(&self, node: Option<&Node>) {
        let leaves = node.is_some_and(|node| {
            let mut taints = node.spec.iter().flat_map(|spec| spec.taints.iter().flatten());
            node.metadata.deletion_timestamp.is_some() || taints.any(|taint| taint.key == TO_BE_DELETED)
        });
        self.state.lock().node_eligible = !leaves;
    }

    pub(crate) fn is_healthy(&self) -> bool {
        self.state.lock().pending.is_none_or(|since| since.elapsed() < LATE_AFTER)
    }

    /// The answer to a request for the proxy's health; `None` for a path that is not there.
    fn answer(&self, path: &str) -> Option<(StatusCode, String)> {
        let (now, is_healthy) = (self.clock.now(), self.is_healthy());
        let state = self.state.lock();
        let is_well = match path {
            "/healthz" => is_healthy && state.node_eligible,
            "/livez" => is_healthy,
            _ => return None,
        };
        // In good health the rules are as of now, also if nothing changed for long.
        let updated = if is_well { Some(now) } else { state.updated };
        let updated = updated.map(|time| time.to_string()).unwrap_or_default();
        let mut body = json!({"lastUpdated": updated, "currentTime": now.to_string()});
        if path == "/healthz" {
            body["nodeEligible"] = state.node_eligible.into();
        }
        Some((status(is_well), body.to_string()))
    }
}

fn status(is_well: bool) -> StatusCode {
    if is_well { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
}

/// Serves the proxy's health at `port` of all addresses until the handle is dropped.
///
/// # Errors
/// If the port is taken.
pub(crate) async fn serve_proxy_health(health: Arc<Health>, port: u16) -> io::Result<Serving> {
    serve(port, watch::Sender::new(Vec::new()).subscribe(), move |path| health.answer(path)).await
}

/// The data for the health check port of one Service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Check {
    pub(crate) port: u16,
    /// The ready endpoints on this node.
    pub(crate) endpoints: usize,
}

/// The health check ports of all Services that have one.
pub(crate) struct Checks {
    health: Arc<Health>,
    recorder: Recorder,
    node_name: String,
    /// The networks whose addresses of the node answer.
    addresses: watch::Receiver<Vec<IpNet>>,
    serving: HashMap<ServiceKey, (u16, Arc<AtomicUsize>, Serving)>,
    /// Checks whose port was taken by another program.
    failed: BTreeMap<ServiceKey, Check>,
}

impl Checks {
    pub(crate) fn new(health: Arc<Health>, recorder: Recorder, config: &ProxyConfig) -> Checks {
        Checks {
            health,
            recorder,
            node_name: config.node_name.clone(),
            addresses: config.node_port_addresses.clone(),
            serving: HashMap::new(),
            failed: BTreeMap::new(),
        }
    }

    /// Whether a port was taken, and [`Checks::change`] should be called again, also without changes.
    pub(crate) fn should_retry(&self) -> bool {
        !self.failed.is_empty()
    }

    /// Follows changes, with `None` for Services without a check. Ports are released before others are taken, because a
    /// port may move from one Service to another.
    pub(crate) async fn change(&mut self, changes: Vec<(ServiceKey, Option<Check>)>) {
        let failed = std::mem::take(&mut self.failed).into_iter().map(|(key, check)| (key, Some(check)));
        // The newest state of a Service counts.
        let changes: BTreeMap<ServiceKey, Option<Check>> = failed.chain(changes).collect();
        for (key, check) in &changes {
            let port = check.map(|check| check.port);
            if self.serving.get(key).is_some_and(|(present, ..)| Some(*present) != port) {
                self.serving.remove(key);
            }
        }
        for (key, check) in changes {
            let Some(Check { port, endpoints }) = check else { continue };
            if let Some((_, count, _)) = self.serving.get(&key) {
                count.store(endpoints, Ordering::Relaxed);
                continue;
            }
            let count = Arc::new(AtomicUsize::new(endpoints));
            let (health, asked, service) = (Arc::clone(&self.health), Arc::clone(&count), key.clone());
            let tell = move |_: &str| Some(answer(&service, asked.load(Ordering::Relaxed), &health));
            match serve(port, self.addresses.clone(), tell).await {
                Ok(serving) => drop(self.serving.insert(key, (port, count, serving))),
                Err(error) => {
                    self.tell(&key, port, &error);
                    self.failed.insert(key, Check { port, endpoints });
                }
            }
        }
    }

    fn tell(&self, key: &ServiceKey, port: u16, error: &io::Error) {
        let (node, ServiceKey { namespace, name }) = (&self.node_name, key);
        let message =
            format!("node {node} failed to start healthcheck \"{namespace}/{name}\" on port {port}: {error}");
        tracing::warn!("{message}");
        let about = ObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some("Service".to_owned()),
            namespace: Some(namespace.to_string()),
            name: Some(name.to_string()),
            ..ObjectReference::default()
        };
        self.recorder.record(&about, EventType::Warning, "FailedToStartServiceHealthcheck", message);
    }
}

fn answer(service: &ServiceKey, endpoints: usize, health: &Health) -> (StatusCode, String) {
    let is_healthy = health.is_healthy();
    let body = json!({
        "service": {"namespace": *service.namespace, "name": *service.name},
        "localEndpoints": endpoints, "serviceProxyHealthy": is_healthy,
    });
    (status(endpoints > 0 && is_healthy), body.to_string())
}

/// A server that ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Serving(AbortHandle);

impl Drop for Serving {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Listens on `port` of the node's current addresses in the networks `at`.
async fn serve<F>(port: u16, at: watch::Receiver<Vec<IpNet>>, answer: F) -> io::Result<Serving>
where
    F: Fn(&str) -> Option<(StatusCode, String)> + Send + Sync + 'static,
{
    let listener = match TcpListener::bind((Ipv6Addr::UNSPECIFIED, port)).await {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => return Err(error),
        // A host without IPv6.
        Err(_) => TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).await?,
        Ok(listener) => listener,
    };
    let answer = Arc::new(answer);
    let places = Arc::new(Semaphore::new(CLIENTS_MAX));
    let seats = Seats::default();
    let accept = async move {
        loop {
            let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
            let Ok((stream, client)) = listener.accept().await else {
                // Mostly out of descriptors: others may free some.
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            };
            // Addresses come and go, so the server listens on all of them.
            let own = stream.local_addr().map(|address| address.ip().to_canonical());
            if !own.is_ok_and(|address| NodePorts::new(&at.borrow()).contains(address)) {
                continue;
            }
            let Some(seat) = seats.take(client.ip()) else { continue };
            let answer = Arc::clone(&answer);
            tokio::spawn(async move {
                // Errors of single clients are ignored.
                let _ = tokio::time::timeout(CLIENT_WITHIN, attend(stream, &*answer)).await;
                drop((place, seat));
            });
        }
    };
    Ok(Serving(tokio::spawn(accept).abort_handle()))
}

/// How many clients there are of each address.
#[derive(Clone, Default)]
struct Seats(Arc<Mutex<HashMap<IpAddr, usize>>>);

/// Given back when it is dropped.
struct Seat(Seats, IpAddr);

impl Seats {
    fn take(&self, address: IpAddr) -> Option<Seat> {
        let mut taken = self.0.lock();
        let count = taken.entry(address).or_default();
        if *count >= CLIENTS_OF_ADDRESS_MAX {
            return None;
        }
        *count += 1;
        Some(Seat(self.clone(), address))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.0.0.lock();
        if let Some(count) = taken.get_mut(&self.1) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.1);
            }
        }
    }
}

/// Answers the requests of one client.
async fn attend<F>(stream: TcpStream, answer: &F) -> hyper::Result<()>
where
    F: Fn(&str) -> Option<(StatusCode, String)>,
{
    let respond = service_fn(|request: Request<Incoming>| {
        let (status, body) = answer(request.uri().path())
            .unwrap_or((StatusCode::NOT_FOUND, "404 page not found\n".to_owned()));
        let mut response = Response::new(Full::new(Bytes::from(body)));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        std::future::ready(Ok::<_, std::convert::Infallible>(response))
    });
    let mut server = http1::Builder::new();
    server
        .timer(TokioTimer::new())
        .header_read_timeout(CLIENT_WITHIN)
        .serve_connection(TokioIo::new(stream), respond)
        .await
}

#[cfg(test)]
mod tests;
