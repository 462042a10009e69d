use std::convert::Infallible;
use std::net::Ipv4Addr;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use ::http::header::HOST;
use http_body::Frame;
use http_body_util::{BodyExt, Empty, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::*;
use crate::connections::Connections;

/// How long a test waits for an expected event.
const WITHIN: Duration = Duration::from_secs(60);
/// How long a bounded answer may be read.
const READ_WITHIN: Duration = Duration::from_millis(500);

/// Answers `/endless` with endless data, `/bounded` with such that must be read within [`READ_WITHIN`], `/silent` with a body that never sends anything, and all other paths with a
/// word.
#[derive(Default)]
struct Answers {
    /// Bodies that are held.
    bodies: Arc<AtomicUsize>,
}

/// Counts itself while it lives.
struct Held(Arc<AtomicUsize>);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

struct Reply {
    piece: Option<Bytes>,
    is_endless: bool,
    _held: Held,
}

impl http_body::Body for Reply {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match (&self.piece, self.is_endless) {
            (Some(piece), true) => Poll::Ready(Some(Ok(Frame::data(piece.clone())))),
            (Some(_), false) => Poll::Ready(self.piece.take().map(|piece| Ok(Frame::data(piece)))),
            (None, true) => Poll::Pending,
            (None, false) => Poll::Ready(None),
        }
    }
}

impl Service for Answers {
    type Peer = ();
    type Body = Reply;

    fn peer(&self, certificate: Option<&CertificateDer<'_>>, _: SocketAddr) -> ((), Rank) {
        ((), if certificate.is_some() { Rank::Administrator } else { Rank::Anonymous })
    }

    async fn answer(self: Arc<Self>, mut request: Request<Inbound>, (): ()) -> Response<Reply> {
        if request.uri().path() == "/upgrade" {
            return self.upgrade(&mut request);
        }
        self.bodies.fetch_add(1, Ordering::SeqCst);
        let held = Held(Arc::clone(&self.bodies));
        let path = request.uri().path();
        let mut response = Response::new(match path {
            "/endless" | "/bounded" => {
                Reply { piece: Some(vec![7; 100_000].into()), is_endless: true, _held: held }
            }
            "/silent" => Reply { piece: None, is_endless: true, _held: held },
            _ => Reply { piece: Some("answer".into()), is_endless: false, _held: held },
        });
        if path == "/bounded" {
            response.extensions_mut().insert(Until(tokio::time::Instant::now() + READ_WITHIN));
        }
        response
    }
}

impl Answers {
    /// Another protocol, in which the server sends without end.
    fn upgrade(&self, request: &mut Request<Inbound>) -> Response<Reply> {
        let held = |bodies: &Arc<AtomicUsize>| {
            bodies.fetch_add(1, Ordering::SeqCst);
            Held(Arc::clone(bodies))
        };
        let (upgrade, talking) = (hyper::upgrade::on(request), held(&self.bodies));
        tokio::spawn(async move {
            let mut stream = TokioIo::new(upgrade.await.unwrap());
            while stream.write_all(&[7; 10_000]).await.is_ok() {}
            drop(talking);
        });
        let reply = Reply { piece: None, is_endless: false, _held: held(&self.bodies) };
        Response::builder()
            .status(101)
            .header("connection", "upgrade")
            .header("upgrade", "talk")
            .body(reply)
            .unwrap()
    }
}

/// A port with TLS.
struct Server {
    address: SocketAddr,
    connections: Arc<Connections>,
    bodies: Arc<AtomicUsize>,
    authority: String,
    identity: Arc<tls::Identity>,
    _stop: DropGuard,
}

type Client = TlsStream<TcpStream>;

impl Server {
    async fn start(limits: Limits) -> Server {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let authority = params.self_signed(&key).unwrap().pem();
        let identity = tls::Identity::from_pem(&authority, &key.serialize_pem()).unwrap();
        let authorities = tls::certificates(&authority).unwrap();
        let config = tls::server(Arc::clone(&identity), &authorities, &[b"h2", b"http/1.1"]).unwrap();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (connections, answers) = (Connections::new(limits), Answers::default());
        let (bodies, stop) = (Arc::clone(&answers.bodies), CancellationToken::new());
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let run = accept::run_in(
            Arc::clone(&connections),
            listener,
            Some(acceptor),
            Arc::new(answers),
            stop.clone(),
        );
        tokio::spawn(run);
        Server { address, connections, bodies, authority, identity, _stop: stop.drop_guard() }
    }

    async fn tcp(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    async fn connect(&self, protocol: &[u8], is_administrator: bool) -> std::io::Result<Client> {
        let identity = is_administrator.then(|| Arc::clone(&self.identity));
        let mut config = tls::client(&self.authority, identity).unwrap();
        config.alpn_protocols = vec![protocol.to_vec()];
        let name = ServerName::try_from("localhost").unwrap();
        tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, self.tcp().await).await
    }

    /// The answer to the administrator.
    async fn ask(&self, protocol: &[u8]) -> Result<Bytes, Box<dyn std::error::Error + Send + Sync>> {
        let io = TokioIo::new(self.connect(protocol, true).await?);
        let request = Request::get("https://localhost/").header(HOST, "localhost");
        let request = request.body(Empty::<Bytes>::new())?;
        let response = if protocol == b"h2" {
            let (mut client, connection) =
                hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await?;
            tokio::spawn(connection);
            client.send_request(request).await?
        } else {
            let (mut client, connection) = hyper::client::conn::http1::handshake(io).await?;
            tokio::spawn(connection);
            client.send_request(request).await?
        };
        Ok(response.into_body().collect().await?.to_bytes())
    }

    /// Waits until the table is empty.
    async fn empty(&self) {
        until(|| self.connections.len() == 0).await;
    }
}

/// Waits for a condition.
async fn until(condition: impl Fn() -> bool) {
    let wait = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(WITHIN, wait).await.expect("it comes true in time");
}

/// The ways to hold a connection without sending a complete request.
#[derive(Clone, Copy, Debug)]
enum Hold {
    Tcp,
    HalfHello,
    Tls,
    HalfHeaders,
    HalfPreface,
    Settings,
    EndlessHeaders,
}

const HOLDS: [Hold; 7] = [
    Hold::Tcp,
    Hold::HalfHello,
    Hold::Tls,
    Hold::HalfHeaders,
    Hold::HalfPreface,
    Hold::Settings,
    Hold::EndlessHeaders,
];

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// An empty frame of settings.
const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];
/// Headers of stream 1 that continue in a CONTINUATION frame: `:method GET`.
const HEADERS: &[u8] = &[0, 0, 1, 1, 0, 0, 0, 0, 1, 0x82];

impl Server {
    /// Opens a connection, which lives as long as the returned value.
    async fn hold(&self, hold: Hold) -> Option<Box<dyn Send>> {
        let (protocol, bytes): (&[u8], Vec<u8>) = match hold {
            Hold::Tcp => return Some(Box::new(self.tcp().await)),
            Hold::HalfHello => {
                let mut stream = self.tcp().await;
                // A record of 512 bytes is promised.
                stream.write_all(&[0x16, 3, 1, 2, 0, 1]).await.ok()?;
                return Some(Box::new(stream));
            }
            Hold::Tls => (b"http/1.1", Vec::new()),
            Hold::HalfHeaders => (b"http/1.1", b"GET / HTTP/1.1\r\nhost: a\r\nx".to_vec()),
            Hold::HalfPreface => (b"h2", PREFACE[..10].to_vec()),
            Hold::Settings => (b"h2", [PREFACE, SETTINGS].concat()),
            Hold::EndlessHeaders => (b"h2", [PREFACE, SETTINGS, HEADERS].concat()),
        };
        let mut stream = self.connect(protocol, false).await.ok()?;
        stream.write_all(&bytes).await.ok()?;
        stream.flush().await.ok()?;
        Some(Box::new(stream))
    }
}

/// Limits of a port that closes nothing in time.
fn patient(connections_max: usize) -> Limits {
    let hour = Duration::from_secs(3600);
    Limits {
        handshake_within: hour,
        first_request_within: hour,
        idle_max: hour,
        ..Limits::new(connections_max)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_administrator_comes_in_during_every_flood() {
    for hold in HOLDS {
        let server = Server::start(patient(24)).await;
        let mut flood = Vec::new();
        for _ in 0..60 {
            flood.push(server.hold(hold).await);
        }
        for protocol in [&b"http/1.1"[..], b"h2"] {
            let answer = tokio::time::timeout(WITHIN, server.ask(protocol)).await.unwrap();
            assert_eq!(answer.unwrap(), "answer", "{hold:?}");
        }
        assert!(server.connections.len() <= 32, "{hold:?}: {}", server.connections.len());
        drop(flood);
        server.empty().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_asks_nothing_is_closed_in_time() {
    let short = Duration::from_millis(200);
    let limits =
        Limits { handshake_within: short, first_request_within: short, idle_max: short, ..Limits::new(100) };
    let server = Server::start(limits).await;
    let mut held = Vec::new();
    for hold in HOLDS {
        held.push(server.hold(hold).await.unwrap());
    }
    // One that has asked before, and one whose request is in progress.
    assert_eq!(server.ask(b"http/1.1").await.unwrap(), "answer");
    let mut silent = server.connect(b"http/1.1", false).await.unwrap();
    silent.write_all(b"GET /silent HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    until(|| server.bodies.load(Ordering::SeqCst) == 1).await;
    until(|| server.connections.len() == 1).await;
    // The silent one outlives connections that came after it.
    held.push(server.hold(Hold::Tls).await.unwrap());
    until(|| server.connections.len() == 1).await;
    assert_eq!(server.bodies.load(Ordering::SeqCst), 1);
    drop(silent);
    server.empty().await;
}

/// An answer to `HEAD` says how long it would be; a client of HTTP/2 takes a body for a broken message.
#[tokio::test]
async fn answers_to_head_have_no_body() {
    let server = Server::start(patient(24)).await;
    let request =
        || Request::head("https://localhost/").header(HOST, "localhost").body(Empty::<Bytes>::new());
    let io = TokioIo::new(server.connect(b"h2", true).await.unwrap());
    let (mut client, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.unwrap();
    tokio::spawn(connection);
    for _ in 0..2 {
        let response = client.send_request(request().unwrap()).await.unwrap();
        assert!(response.into_body().collect().await.unwrap().to_bytes().is_empty());
    }
    let io = TokioIo::new(server.connect(b"http/1.1", true).await.unwrap());
    let (mut client, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
    tokio::spawn(connection);
    for _ in 0..2 {
        let response = client.send_request(request().unwrap()).await.unwrap();
        assert!(response.into_body().collect().await.unwrap().to_bytes().is_empty());
    }
}

/// A service that answers before it has read the body must not break the client's next request, nor lose the answer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_that_nobody_reads_are_in_nobodys_way() {
    let server = Server::start(patient(24)).await;
    let post = |length: usize, more: &str| {
        format!("POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: {length}\r\n{more}\r\n")
    };
    // A short one, twice on one connection.
    let mut client = server.connect(b"http/1.1", true).await.unwrap();
    for _ in 0..2 {
        client.write_all(post(100_000, "").as_bytes()).await.unwrap();
        client.write_all(&vec![b'x'; 100_000]).await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"answer\r\n0\r\n\r\n") {
            assert_ne!(
                client.read_buf(&mut answer).await.unwrap(),
                0,
                "{}",
                String::from_utf8_lossy(&answer)
            );
        }
        assert!(!String::from_utf8_lossy(&answer).contains("connection: close"));
    }
    // A long one is the connection's last, and all of it can be sent before the answer is read.
    client.write_all(post(8 << 20, "").as_bytes()).await.unwrap();
    client.write_all(&vec![b'x'; 8 << 20]).await.unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.contains("connection: close"), "{answer}");
    // One that the client would only send if it was asked to is not asked for.
    let mut client = server.connect(b"http/1.1", true).await.unwrap();
    client.write_all(post(10, "expect: 100-continue\r\n").as_bytes()).await.unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.contains("connection: close"), "{answer}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_nobody_reads_ends() {
    let limits = Limits { stall_max: Duration::from_millis(300), ..patient(100) };
    let server = Server::start(limits).await;
    let mut stalled = server.connect(b"http/1.1", true).await.unwrap();
    stalled.write_all(b"GET /endless HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    // The same over an HTTP/2 connection that is read all the time, except for one stream.
    let io = TokioIo::new(server.connect(b"h2", true).await.unwrap());
    let (mut client, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.unwrap();
    tokio::spawn(connection);
    let request =
        |path: &str| Request::get(format!("https://localhost{path}")).body(Empty::<Bytes>::new()).unwrap();
    let unread = client.send_request(request("/endless")).await.unwrap();
    let silent = client.send_request(request("/silent")).await.unwrap();
    until(|| server.bodies.load(Ordering::SeqCst) == 3).await;
    // Both end, and their resources are released; the stream that waits for the server continues, as does its
    // connection.
    until(|| server.bodies.load(Ordering::SeqCst) == 1).await;
    let reset = unread.into_body().collect().await.unwrap_err();
    let reset = std::error::Error::source(&reset).and_then(|error| error.downcast_ref::<h2::Error>());
    assert_eq!(reset.and_then(h2::Error::reason), Some(h2::Reason::CANCEL));
    let answer = client.send_request(request("/")).await.unwrap().into_body().collect().await.unwrap();
    assert_eq!(answer.to_bytes(), "answer");
    assert_eq!(server.connections.len(), 1);
    drop((silent, client));
    server.empty().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn upgraded_connections_and_streams_have_their_own_time() {
    let limits = Limits {
        stall_max: Duration::from_millis(100),
        stream_stall_max: Duration::from_millis(500),
        idle_max: Duration::from_millis(100),
        ..patient(100)
    };
    let server = Server::start(limits).await;
    let mut upgraded = server.connect(b"http/1.1", true).await.unwrap();
    let request = b"GET /upgrade HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: talk\r\n\r\n";
    upgraded.write_all(request).await.unwrap();
    // It is read for longer than a quiet connection may live, and then not any more.
    let mut pauses = tokio::time::interval(Duration::from_millis(30));
    for _ in 0..10 {
        pauses.tick().await;
        upgraded.read_exact(&mut [0; 50_000]).await.unwrap();
    }
    assert_eq!(server.connections.len(), 1);
    server.empty().await;
    until(|| server.bodies.load(Ordering::SeqCst) == 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_reader_is_served() {
    let stall_max = Duration::from_millis(400);
    let server = Server::start(Limits { stall_max, ..patient(100) }).await;
    let io = TokioIo::new(server.connect(b"h2", true).await.unwrap());
    let (mut client, connection) = hyper::client::conn::http2::Builder::new(TokioExecutor::new())
        .initial_stream_window_size(1 << 16)
        .handshake(io)
        .await
        .unwrap();
    tokio::spawn(connection);
    let request = Request::get("https://localhost/endless").body(Empty::<Bytes>::new()).unwrap();
    let mut body = client.send_request(request).await.unwrap().into_body();
    // A piece at a time, over more than twice the time that nothing may move.
    let mut pauses = tokio::time::interval(stall_max / 10);
    for _ in 0..25 {
        pauses.tick().await;
        let mut piece = 0;
        while piece < 1 << 16 {
            piece += body.frame().await.unwrap().unwrap().into_data().unwrap().len();
        }
    }
}

/// However steadily it is read, and in whatever protocol.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_with_an_end_is_not_read_for_longer() {
    let server = Server::start(patient(100)).await;
    let io = TokioIo::new(server.connect(b"h2", true).await.unwrap());
    let (mut client, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.unwrap();
    tokio::spawn(connection);
    let mut get = async |path: &str| {
        let request = Request::get(format!("https://localhost{path}")).body(Empty::<Bytes>::new()).unwrap();
        client.send_request(request).await.unwrap().into_body()
    };
    let mut bounded = get("/bounded").await;
    let read = async { while bounded.frame().await.is_some_and(|frame| frame.is_ok()) {} };
    tokio::time::timeout(WITHIN, read).await.expect("the server resets it");
    // The connection goes on, and so do answers without an end.
    let mut endless = get("/endless").await;
    let begun = tokio::time::Instant::now();
    while begun.elapsed() < 2 * READ_WITHIN {
        endless.frame().await.unwrap().unwrap();
    }
    let mut stream = server.connect(b"http/1.1", true).await.unwrap();
    stream.write_all(b"GET /bounded HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    let mut piece = vec![0; 1 << 14];
    let mut pauses = tokio::time::interval(Duration::from_millis(20));
    let read = async {
        while let Ok(1..) = stream.read(&mut piece).await {
            pauses.tick().await;
        }
    };
    tokio::time::timeout(WITHIN, read).await.expect("the server closes the connection");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_continuations_ends_its_connection() {
    let server = Server::start(patient(100)).await;
    let mut stream = server.connect(b"h2", false).await.unwrap();
    stream.write_all(&[PREFACE, SETTINGS, HEADERS].concat()).await.unwrap();
    // `x: y` as a literal that enters no table, and no end.
    let field = [&[0, 0, 5, 9, 0, 0, 0, 0, 1][..], &[0, 1, b'x', 1, b'y']].concat();
    let flood = async { while stream.write_all(&field.repeat(1000)).await.is_ok() {} };
    tokio::time::timeout(WITHIN, flood).await.expect("the server ends it");
    server.empty().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rapid_resets_end_their_connection() {
    let server = Server::start(patient(100)).await;
    let mut stream = server.connect(b"h2", false).await.unwrap();
    stream.write_all(&[PREFACE, SETTINGS].concat()).await.unwrap();
    let (mut reader, mut writer) = tokio::io::split(stream);
    tokio::spawn(async move { while reader.read(&mut [0; 4096]).await.is_ok_and(|read| read > 0) {} });
    let flood = async {
        for round in 0u32.. {
            let mut frames = Vec::new();
            for id in (0..1000).map(|number| 2 * (1000 * round + number) + 1) {
                // GET https://localhost/ by the static table, with an end; then RST_STREAM.
                frames.extend([0, 0, 3, 1, 5]);
                frames.extend(id.to_be_bytes());
                frames.extend([0x82, 0x84, 0x87]);
                frames.extend([0, 0, 4, 3, 0]);
                frames.extend(id.to_be_bytes());
                frames.extend([0, 0, 0, 8]);
            }
            if writer.write_all(&frames).await.is_err() {
                return;
            }
        }
    };
    tokio::time::timeout(WITHIN, flood).await.expect("the server ends it");
    server.empty().await;
    assert_eq!(server.bodies.load(Ordering::SeqCst), 0);
}

/// A port without TLS has the same limits.
#[tokio::test]
async fn plain_ports_are_served_too() {
    struct Plain;
    impl Service for Plain {
        type Peer = ();
        type Body = Full<Bytes>;
        fn peer(&self, certificate: Option<&CertificateDer<'_>>, _: SocketAddr) -> ((), Rank) {
            assert!(certificate.is_none());
            ((), Rank::Anonymous)
        }
        async fn answer(self: Arc<Self>, _: Request<Inbound>, (): ()) -> Response<Full<Bytes>> {
            Response::new("plain".into())
        }
    }
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let limits = Limits { first_request_within: Duration::from_millis(50), ..patient(10) };
    let stop = CancellationToken::new();
    let running = tokio::spawn(run(Port { listener, tls: None, limits }, Arc::new(Plain), stop.clone()));
    let mut idle = TcpStream::connect(address).await.unwrap();
    assert_eq!(tokio::time::timeout(WITHIN, idle.read(&mut [0])).await.unwrap().unwrap(), 0);
    let mut client = TcpStream::connect(address).await.unwrap();
    client.write_all(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("plain"), "{answer}");
    stop.cancel();
    tokio::time::timeout(WITHIN, running).await.unwrap().unwrap();
}
