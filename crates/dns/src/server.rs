//! The sockets.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::forward::Transport;
use crate::resolver::{Reply, Resolver};

/// Requests by UDP that wait for upstream servers at once; more are answered with a failure.
const WAITING_MAX: usize = 1000;

/// Connections by TCP at once; more wait to be accepted.
const CONNECTIONS_MAX: usize = 250;

/// Connections of one client at once; further ones are closed, so that one client cannot keep all others out.
const CONNECTIONS_OF_CLIENT_MAX: usize = 50;

/// Requests of one connection that wait for upstream servers at once; further ones are read later.
const PIPELINED_MAX: usize = 32;

/// How long a connection may say nothing (RFC 7766 asks for some seconds).
const CONNECTION_IDLE_MAX: Duration = Duration::from_secs(10);

/// How long to wait after a socket failed, as when the process is out of file descriptors.
const PAUSE_AFTER_ERROR: Duration = Duration::from_millis(100);

/// A name server on one or more addresses, by UDP and TCP.
pub struct Server {
    udp: Vec<UdpSocket>,
    tcp: Vec<TcpListener>,
}

impl Server {
    /// Binds the addresses. For port 0, UDP and TCP get the same free port.
    pub async fn bind(addresses: &[SocketAddr]) -> io::Result<Server> {
        let mut server = Server { udp: Vec::new(), tcp: Vec::new() };
        for address in addresses {
            let tcp = TcpListener::bind(address).await?;
            server.udp.push(UdpSocket::bind(tcp.local_addr()?).await?);
            server.tcp.push(tcp);
        }
        Ok(server)
    }

    /// The addresses that are bound.
    pub fn addresses(&self) -> io::Result<Vec<SocketAddr>> {
        self.tcp.iter().map(TcpListener::local_addr).collect()
    }

    /// Serves until it is dropped.
    pub async fn run(self, resolver: Arc<Resolver>) {
        self.run_until(resolver, CancellationToken::new()).await;
    }

    /// Serves until `stop` is cancelled, and then finishes the requests received so far: clients that wait for upstream
    /// servers have their answers when this returns.
    pub async fn run_until(self, resolver: Arc<Resolver>, stop: CancellationToken) {
        let waiting = Arc::new(Semaphore::new(WAITING_MAX));
        let connections = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let clients = Arc::new(Clients::default());
        let (mut following, mut tasks) = (JoinSet::new(), JoinSet::new());
        let host = Arc::clone(&resolver);
        following.spawn(async move { host.follow_host().await });
        for socket in self.udp {
            let socket = Arc::new(socket);
            tasks.spawn(serve_udp(socket, Arc::clone(&resolver), Arc::clone(&waiting), stop.clone()));
        }
        for listener in self.tcp {
            tasks.spawn(serve_tcp(
                listener,
                Arc::clone(&resolver),
                Arc::clone(&connections),
                Arc::clone(&clients),
                stop.clone(),
            ));
        }
        while tasks.join_next().await.is_some() {}
    }
}

async fn serve_udp(
    socket: Arc<UdpSocket>,
    resolver: Arc<Resolver>,
    waiting: Arc<Semaphore>,
    stop: CancellationToken,
) {
    let mut buffer = vec![0; usize::from(u16::MAX)];
    // Ends the tasks with the server.
    let mut tasks = JoinSet::new();
    loop {
        while tasks.try_join_next().is_some() {}
        let received = match stop.run_until_cancelled(socket.readable()).await {
            Some(Err(error)) => Err(error),
            Some(Ok(())) | None => socket.try_recv_from(&mut buffer),
        };
        let (length, client) = match received {
            Ok(received) => received,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => match stop.is_cancelled() {
                true => break,
                false => continue,
            },
            Err(error) => {
                tracing::debug!(%error, "cannot receive a request");
                tokio::time::sleep(PAUSE_AFTER_ERROR).await;
                continue;
            }
        };
        let response = match resolver.begin(&buffer[..length], Transport::Udp) {
            Reply::Now(response) => response,
            Reply::Nothing => continue,
            Reply::Later(unfinished) => match Arc::clone(&waiting).try_acquire_owned() {
                Err(_) => Resolver::overloaded(*unfinished),
                Ok(permit) => {
                    let (socket, resolver) = (Arc::clone(&socket), Arc::clone(&resolver));
                    tasks.spawn(async move {
                        let response = resolver.finish(*unfinished).await;
                        send(&socket, &response, client).await;
                        drop(permit);
                    });
                    continue;
                }
            },
        };
        send(&socket, &response, client).await;
    }
    while tasks.join_next().await.is_some() {}
}

async fn send(socket: &UdpSocket, response: &[u8], client: SocketAddr) {
    if let Err(error) = socket.send_to(response, client).await {
        tracing::debug!(%client, %error, "cannot send a response");
    }
}

async fn serve_tcp(
    listener: TcpListener,
    resolver: Arc<Resolver>,
    connections: Arc<Semaphore>,
    clients: Arc<Clients>,
    stop: CancellationToken,
) {
    let mut tasks = JoinSet::new();
    loop {
        while tasks.try_join_next().is_some() {}
        let next = async {
            // The semaphore is never closed.
            let permit = Arc::clone(&connections).acquire_owned().await.map_err(io::Error::other)?;
            Ok::<_, io::Error>((permit, listener.accept().await?))
        };
        let Some(next) = stop.run_until_cancelled(next).await else { break };
        match next {
            Ok((permit, (stream, client))) => {
                let Some(place) = Clients::enter(&clients, client.ip()) else { continue };
                let (resolver, stop) = (Arc::clone(&resolver), stop.clone());
                tasks.spawn(async move {
                    if let Err(error) = converse(stream, &resolver, &stop).await {
                        tracing::debug!(%client, %error, "a connection ended");
                    }
                    drop((place, permit));
                });
            }
            Err(error) => {
                tracing::debug!(%error, "cannot accept a connection");
                tokio::time::sleep(PAUSE_AFTER_ERROR).await;
            }
        }
    }
    while tasks.join_next().await.is_some() {}
}

/// How many connections each client has.
#[derive(Default)]
struct Clients(Mutex<HashMap<IpAddr, usize>>);

/// One of a client's connections.
struct Place {
    clients: Arc<Clients>,
    client: IpAddr,
}

impl Clients {
    /// Counts one more connection; `None` if the client has enough.
    fn enter(clients: &Arc<Clients>, client: IpAddr) -> Option<Place> {
        let mut counts = clients.0.lock();
        let count = counts.entry(client).or_default();
        if *count >= CONNECTIONS_OF_CLIENT_MAX {
            return None;
        }
        *count += 1;
        Some(Place { clients: Arc::clone(clients), client })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.clients.0.lock();
        if let Some(count) = counts.get_mut(&self.client) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.client);
            }
        }
    }
}

/// Answers the requests of one connection. One that waits for an upstream server does not hold up those behind it (RFC
/// 7766): answers may be sent in a different order. After `stop` no more requests are read.
async fn converse(stream: TcpStream, resolver: &Arc<Resolver>, stop: &CancellationToken) -> io::Result<()> {
    let (mut reader, mut writer) = stream.into_split();
    let mut waiting: JoinSet<Vec<u8>> = JoinSet::new();
    let mut ended = false;
    // After an answer was written, the rest of a partially read request is still read.
    let mut reading = Box::pin(read_request(&mut reader));
    loop {
        let answer = tokio::select! {
            request = timeout(CONNECTION_IDLE_MAX, reading.as_mut()), if !ended && waiting.len() < PIPELINED_MAX => {
                drop(reading);
                let request = match request {
                    // No more requests; the answers to those that wait are still due.
                    Err(_) => None,
                    Ok(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => None,
                    Ok(request) => Some(request?),
                };
                reading = Box::pin(read_request(&mut reader));
                match request.map(|request| resolver.begin(&request, Transport::Tcp)) {
                    Some(Reply::Now(response)) => response,
                    Some(Reply::Later(unfinished)) => {
                        let resolver = Arc::clone(resolver);
                        waiting.spawn(async move { resolver.finish(*unfinished).await });
                        continue;
                    }
                    Some(Reply::Nothing) => return Ok(()),
                    None => {
                        ended = true;
                        continue;
                    }
                }
            }
            () = stop.cancelled(), if !ended => {
                ended = true;
                continue;
            }
            Some(response) = waiting.join_next(), if !waiting.is_empty() => response.map_err(io::Error::other)?,
            else => return Ok(()),
        };
        let length = u16::try_from(answer.len()).map_err(io::Error::other)?;
        let framed = [&length.to_be_bytes(), answer.as_slice()].concat();
        timeout(CONNECTION_IDLE_MAX, writer.write_all(&framed)).await.map_err(io::Error::other)??;
    }
}

async fn read_request(stream: &mut (impl AsyncReadExt + Unpin)) -> io::Result<Vec<u8>> {
    let length = stream.read_u16().await?;
    let mut request = vec![0; usize::from(length)];
    stream.read_exact(&mut request).await?;
    Ok(request)
}

#[cfg(test)]
mod tests;
