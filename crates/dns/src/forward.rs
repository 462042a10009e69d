//! Forwarding of names outside the cluster to other servers: those of stub domains, of the cluster's configuration, or
//! the host's own.
//!
//! Concurrent equal questions share one exchange. This also prevents loops: a question that comes back to us from an
//! upstream server waits for itself and ends with the first one's time limit, instead of looping.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use clock::Clock;
use hickory_proto::op::{Message, Query, ResponseCode};
use hickory_proto::rr::{Name, RecordType};
use parking_lot::Mutex;
use tokio::sync::{OnceCell, Semaphore};
use tokio::time::timeout;

mod cache;
mod exchange;
mod routes;

use cache::Cache;
use routes::Routes;

use crate::custom::CustomServers;
use crate::host_file;

/// Upstream servers that are asked for one question, at most.
const SERVERS_MAX: usize = 3;

/// The transport of a question, used for forwarding it too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Transport {
    Udp,
    Tcp,
}

/// Where the upstream servers are known from.
#[derive(Debug, Clone)]
pub enum Upstreams {
    /// These.
    Servers(Vec<SocketAddr>),
    /// The `nameserver` lines of a file such as `/etc/resolv.conf`, which is followed.
    File(PathBuf),
}

/// How questions are forwarded.
#[derive(Debug, Clone)]
pub struct ForwardConfig {
    /// The servers, in the order in which they are asked.
    pub upstreams: Upstreams,
    /// Our own addresses: they are never upstream servers.
    pub own_addresses: Vec<IpAddr>,
    /// How long to wait for one server.
    pub server_timeout: Duration,
    /// Exchanges in progress at once; more are refused.
    pub exchanges_max: usize,
    /// Answers that are kept.
    pub cache_entries_max: usize,
}

impl ForwardConfig {
    /// Forwards to the host's servers with the limits that `ironhull` uses.
    pub fn new(own_addresses: Vec<IpAddr>) -> ForwardConfig {
        ForwardConfig {
            upstreams: Upstreams::File(PathBuf::from("/etc/resolv.conf")),
            own_addresses,
            server_timeout: Duration::from_secs(2),
            exchanges_max: 1000,
            cache_entries_max: 10_000,
        }
    }
}

/// Why a question has no answer.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum ForwardError {
    #[error("there is no upstream server")]
    NoServers,
    #[error("no upstream server answered: {0}")]
    NoAnswer(String),
    #[error("too many queries are waiting for upstream servers")]
    Overloaded,
}

impl ForwardError {
    pub(crate) fn response_code(&self) -> ResponseCode {
        match self {
            ForwardError::NoServers => ResponseCode::Refused,
            ForwardError::NoAnswer(_) | ForwardError::Overloaded => ResponseCode::ServFail,
        }
    }
}

/// The identity of a question.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Question {
    /// In lower case.
    name: Name,
    kind: RecordType,
    dnssec_ok: bool,
    transport: Transport,
}

type Answer = Result<Arc<Message>, ForwardError>;

/// Asks upstream servers.
pub(crate) struct Forwarder {
    config: ForwardConfig,
    clock: Clock,
    /// The inputs of the routes.
    known: Mutex<Known>,
    routes: ArcSwap<Routes>,
    cache: Mutex<Cache<Question>>,
    under_way: Mutex<HashMap<Question, Arc<OnceCell<Answer>>>>,
    exchanges: Semaphore,
}

/// The servers that are known.
#[derive(Debug, Default)]
struct Known {
    /// The host's own.
    host: Vec<SocketAddr>,
    /// Those of the cluster's configuration.
    custom: CustomServers,
}

impl Forwarder {
    pub(crate) fn new(config: ForwardConfig, clock: Clock) -> Forwarder {
        let host = match &config.upstreams {
            Upstreams::Servers(servers) => servers.clone(),
            Upstreams::File(path) => host_file::servers(path),
        };
        let cache = Mutex::new(Cache::new(config.cache_entries_max));
        let exchanges = Semaphore::new(config.exchanges_max);
        let known = Mutex::new(Known { host, custom: CustomServers::default() });
        let forwarder = Forwarder {
            config,
            clock,
            known,
            routes: ArcSwap::default(),
            cache,
            under_way: Mutex::default(),
            exchanges,
        };
        forwarder.reroute(&forwarder.known.lock());
        forwarder
    }

    /// Takes other servers of the cluster's configuration from now on.
    pub(crate) fn set_custom(&self, custom: CustomServers) {
        let mut known = self.known.lock();
        if known.custom != custom {
            known.custom = custom;
            self.reroute(&known);
        }
    }

    /// Follows the host's file for as long as it can be followed; returns at once where the servers are fixed.
    pub(crate) async fn follow_host(&self) {
        let Upstreams::File(path) = &self.config.upstreams else { return };
        let watch = match host_file::Watch::new(path) {
            Ok(watch) => watch,
            Err(error) => {
                return tracing::warn!(path = %path.display(), %error, "cannot follow the host's DNS servers");
            }
        };
        loop {
            // It may have changed before the watch was there.
            self.read_host(path);
            if let Err(error) = watch.changed().await {
                return tracing::warn!(path = %path.display(), %error, "cannot follow the host's DNS servers");
            }
        }
    }

    fn read_host(&self, path: &Path) {
        let servers = host_file::servers(path);
        let mut known = self.known.lock();
        if known.host != servers {
            tracing::info!(?servers, "the host's DNS servers changed");
            known.host = servers;
            self.reroute(&known);
        }
    }

    /// Cached answers of other servers are dropped, because these may answer differently.
    fn reroute(&self, known: &Known) {
        let others = if known.custom.upstreams.is_empty() { &known.host } else { &known.custom.upstreams };
        let routes = Routes::new(&known.custom.stubs, others, &self.config.own_addresses);
        self.routes.store(Arc::new(routes));
        *self.cache.lock() = Cache::new(self.config.cache_entries_max);
    }

    /// Asks for `query`, of the cache or of the servers one after the other.
    pub(crate) async fn ask(&self, query: &Query, dnssec_ok: bool, transport: Transport) -> Answer {
        let question =
            Question { name: query.name().to_lowercase(), kind: query.query_type(), dnssec_ok, transport };
        if let Some(known) = self.cache.lock().get(&question) {
            return Ok(Arc::new(known));
        }
        let cell = Arc::clone(self.under_way.lock().entry(question.clone()).or_default());
        let exchange = Shared { forwarder: self, question: &question, cell };
        exchange.cell.get_or_init(|| self.exchange(&question)).await.clone()
    }

    async fn exchange(&self, question: &Question) -> Answer {
        let Ok(_permit) = self.exchanges.try_acquire() else { return Err(ForwardError::Overloaded) };
        let routes = self.routes.load_full();
        let group = routes.of(&question.name);
        let mut failure = ForwardError::NoServers;
        for server in group.in_order().into_iter().take(SERVERS_MAX) {
            let mut id = [0; 2];
            self.clock.fill_random(&mut id);
            let exchange = exchange::ask(server.address, u16::from_be_bytes(id), question);
            let why = match timeout(self.config.server_timeout, exchange).await {
                Ok(Ok(answer)) => match answer.metadata.response_code {
                    // Another server may do better.
                    code @ (ResponseCode::ServFail | ResponseCode::Refused | ResponseCode::NotImp) => {
                        format!("answered {code}")
                    }
                    _ => {
                        server.succeeded();
                        self.keep(question, &answer, &routes);
                        return Ok(Arc::new(answer));
                    }
                },
                Ok(Err(error)) => {
                    server.failed();
                    error.to_string()
                }
                Err(_) => {
                    server.failed();
                    "no answer in time".to_owned()
                }
            };
            failure = ForwardError::NoAnswer(format!("{}: {why}", server.address));
        }
        // Should the file be one that cannot be watched.
        if let (Upstreams::File(path), ForwardError::NoAnswer(_)) = (&self.config.upstreams, &failure) {
            self.read_host(path);
        }
        Err(failure)
    }

    /// Keeps an answer, unless other servers are asked by now.
    fn keep(&self, question: &Question, answer: &Message, routes: &Arc<Routes>) {
        let mut cache = self.cache.lock();
        if Arc::ptr_eq(&self.routes.load(), routes) {
            cache.put(question.clone(), answer);
        }
    }
}

/// A share in a running exchange. It may be dropped, for example when a client is gone; the exchange is removed when it
/// has its answer, or when nothing waits for it any more.
struct Shared<'a> {
    forwarder: &'a Forwarder,
    question: &'a Question,
    cell: Arc<OnceCell<Answer>>,
}

impl Drop for Shared<'_> {
    fn drop(&mut self) {
        let mut under_way = self.forwarder.under_way.lock();
        let is_current = under_way.get(self.question).is_some_and(|current| Arc::ptr_eq(current, &self.cell));
        // One reference is the map's and one is ours; new ones come only under the lock.
        let is_last = Arc::strong_count(&self.cell) <= 2;
        if is_current && (is_last || self.cell.initialized()) {
            under_way.remove(self.question);
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
