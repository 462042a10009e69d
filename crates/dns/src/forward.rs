//! Names that are none of the cluster's, asked of the host's own servers.
//!
//! Equal questions that are under way share one exchange. This is also the guard against loops: a question that comes
//! back to us from an upstream server waits for itself and ends with the first one's time limit, instead of going round.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clock::Clock;
use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{Name, RecordType};
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::sync::{OnceCell, Semaphore};
use tokio::time::timeout;

mod cache;

use cache::Cache;

/// Upstream servers that are asked for one question, at most.
const SERVERS_MAX: usize = 3;

/// The payload that upstream servers may send by UDP, in bytes.
const PAYLOAD: u16 = 1232;

/// By what a question came, and goes on.
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
    /// The `nameserver` lines of a file such as `/etc/resolv.conf`. It is read again after all its servers failed.
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
    /// Exchanges under way at once; more are refused.
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
    #[error("too many questions wait for upstream servers")]
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

/// What makes two questions equal.
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
    servers: Mutex<Arc<[SocketAddr]>>,
    cache: Mutex<Cache<Question>>,
    under_way: Mutex<HashMap<Question, Arc<OnceCell<Answer>>>>,
    exchanges: Semaphore,
}

impl Forwarder {
    pub(crate) fn new(config: ForwardConfig, clock: Clock) -> Forwarder {
        let servers = Mutex::new(servers(&config));
        let cache = Mutex::new(Cache::new(config.cache_entries_max));
        let exchanges = Semaphore::new(config.exchanges_max);
        Forwarder { config, clock, servers, cache, under_way: Mutex::default(), exchanges }
    }

    /// Asks for `query`, of the cache or of the servers one after the other.
    pub(crate) async fn ask(&self, query: &Query, dnssec_ok: bool, transport: Transport) -> Answer {
        let question =
            Question { name: query.name().to_lowercase(), kind: query.query_type(), dnssec_ok, transport };
        if let Some(known) = self.cache.lock().get(&question) {
            return Ok(Arc::new(known));
        }
        let cell = Arc::clone(self.under_way.lock().entry(question.clone()).or_default());
        let answer = cell.get_or_init(|| self.exchange(&question)).await.clone();
        let mut under_way = self.under_way.lock();
        if under_way.get(&question).is_some_and(|current| Arc::ptr_eq(current, &cell)) {
            under_way.remove(&question);
        }
        answer
    }

    async fn exchange(&self, question: &Question) -> Answer {
        let Ok(_permit) = self.exchanges.try_acquire() else { return Err(ForwardError::Overloaded) };
        let servers = Arc::clone(&self.servers.lock());
        let mut failure = ForwardError::NoServers;
        for server in servers.iter().take(SERVERS_MAX) {
            match timeout(self.config.server_timeout, self.ask_server(*server, question)).await {
                Ok(Ok(answer)) => {
                    self.cache.lock().put(question.clone(), &answer);
                    return Ok(Arc::new(answer));
                }
                Ok(Err(error)) => failure = ForwardError::NoAnswer(format!("{server}: {error}")),
                Err(_) => failure = ForwardError::NoAnswer(format!("{server}: no answer in time")),
            }
        }
        *self.servers.lock() = self::servers(&self.config);
        Err(failure)
    }

    async fn ask_server(&self, server: SocketAddr, question: &Question) -> std::io::Result<Message> {
        let mut id = [0; 2];
        self.clock.fill_random(&mut id);
        let request = request(u16::from_be_bytes(id), question);
        let bytes = request.to_vec().map_err(std::io::Error::other)?;
        let answer = match question.transport {
            Transport::Udp => ask_by_udp(server, &bytes, &request).await?,
            Transport::Tcp => ask_by_tcp(server, &bytes, &request).await?,
        };
        match answer.metadata.response_code {
            // Another server may do better.
            ResponseCode::ServFail | ResponseCode::Refused | ResponseCode::NotImp => {
                Err(std::io::Error::other(format!("answered {}", answer.metadata.response_code)))
            }
            _ => Ok(answer),
        }
    }
}

fn request(id: u16, question: &Question) -> Message {
    let mut request = Message::new(id, MessageType::Query, OpCode::Query);
    request.metadata.recursion_desired = true;
    request.add_query(Query::query(question.name.clone(), question.kind));
    let mut edns = Edns::new();
    edns.set_max_payload(PAYLOAD).set_dnssec_ok(question.dnssec_ok);
    request.set_edns(edns);
    request
}

/// Each question has a socket of its own: the random port makes forged answers unlikely (RFC 5452).
async fn ask_by_udp(server: SocketAddr, bytes: &[u8], request: &Message) -> std::io::Result<Message> {
    let any: IpAddr =
        if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.connect(server).await?;
    socket.send(bytes).await?;
    let mut buffer = vec![0; usize::from(u16::MAX)];
    loop {
        let length = socket.recv(&mut buffer).await?;
        match Message::from_vec(&buffer[..length]) {
            Ok(answer) if answers(&answer, request) => return Ok(answer),
            // Not what was asked: the answer may still come.
            _ => {}
        }
    }
}

async fn ask_by_tcp(server: SocketAddr, bytes: &[u8], request: &Message) -> std::io::Result<Message> {
    let mut stream = TcpStream::connect(server).await?;
    let length = u16::try_from(bytes.len()).map_err(std::io::Error::other)?;
    stream.write_all(&[&length.to_be_bytes(), bytes].concat()).await?;
    let length = stream.read_u16().await?;
    let mut buffer = vec![0; usize::from(length)];
    stream.read_exact(&mut buffer).await?;
    let answer = Message::from_vec(&buffer).map_err(std::io::Error::other)?;
    if answers(&answer, request) {
        return Ok(answer);
    }
    Err(std::io::Error::other("the answer is for another question"))
}

fn answers(answer: &Message, request: &Message) -> bool {
    answer.metadata.message_type == MessageType::Response
        && answer.metadata.id == request.metadata.id
        && answer.queries.first().map(|q| (&q.name, q.query_type))
            == request.queries.first().map(|q| (&q.name, q.query_type))
}

/// The servers of the configuration, without ourselves.
fn servers(config: &ForwardConfig) -> Arc<[SocketAddr]> {
    let all = match &config.upstreams {
        Upstreams::Servers(servers) => servers.clone(),
        Upstreams::File(path) => match std::fs::read_to_string(path) {
            Ok(text) => name_servers(&text).map(|address| SocketAddr::new(address, 53)).collect(),
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "cannot read the upstream servers");
                Vec::new()
            }
        },
    };
    all.into_iter().filter(|server| !config.own_addresses.contains(&server.ip())).collect()
}

/// The addresses of the `nameserver` lines of a resolv.conf(5).
fn name_servers(text: &str) -> impl Iterator<Item = IpAddr> {
    text.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        let address = words.next().filter(|word| *word == "nameserver").and(words.next())?;
        // A zone index (`fe80::1%eth0`) is for link-local addresses, which a plain socket address cannot say.
        address.parse().ok()
    })
}

#[cfg(test)]
pub(crate) mod tests;
