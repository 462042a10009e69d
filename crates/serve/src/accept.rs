//! The accept loop.

use std::fs::File;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustix::net::sockopt;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::connections::Connections;
use crate::http::Shared;
use crate::socket::Socket;
use crate::{Port, Service};

/// The pause after a connection could not be accepted.
const PAUSE: Duration = Duration::from_millis(100);
/// The pause while the process is out of descriptors: each round closes one newcomer.
const PAUSE_EXHAUSTED: Duration = Duration::from_millis(5);
/// How often failures are logged.
const WARN_EVERY: Duration = Duration::from_secs(10);
/// How long a client may be silent before keepalive probes are sent, as upstream does.
const KEEP_ALIVE: Duration = Duration::from_secs(180);

/// Serves a port until `stop`; then open requests get a moment to end ([`Limits::drain_within`]). Stops at once when it
/// is dropped.
///
/// [`Limits::drain_within`]: crate::Limits::drain_within
pub async fn run<S: Service>(port: Port, service: Arc<S>, stop: CancellationToken) {
    let Port { listener, tls, limits } = port;
    run_in(Connections::new(limits), listener, tls, service, stop).await;
}

/// The same, with a table that others may look at.
pub(crate) async fn run_in<S: Service>(
    connections: Arc<Connections>,
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    service: Arc<S>,
    stop: CancellationToken,
) {
    let drain_within = connections.limits.drain_within;
    let shared = Arc::new(Shared {
        service,
        connections: Arc::clone(&connections),
        tls,
        stop: stop.clone(),
        cut: CancellationToken::new(),
    });
    let mut acceptor = Acceptor { listener, spare: spare(), warned: None };
    let mut tasks = JoinSet::new();
    loop {
        while tasks.try_join_next().is_some() {}
        let next = async {
            connections.room().await;
            acceptor.next(&connections).await
        };
        let Some((stream, address)) = stop.run_until_cancelled(next).await else { break };
        let Some(slot) = connections.enter(address.ip()) else { continue };
        let _ = stream.set_nodelay(true);
        let _ = sockopt::set_socket_keepalive(&stream, true);
        let _ = sockopt::set_tcp_keepidle(&stream, KEEP_ALIVE);
        let entry = Arc::clone(&slot.entry);
        tasks.spawn(Arc::clone(&shared).attend(Socket::new(stream, slot), entry, address));
    }
    drop(acceptor);
    let drained = async { while tasks.join_next().await.is_some() {} };
    let _ = tokio::time::timeout(drain_within, drained).await;
    // Requests that have not ended, mostly watches, are cut.
    shared.cut.cancel();
    while tasks.join_next().await.is_some() {}
}

struct Acceptor {
    listener: TcpListener,
    /// Closed for a moment when there are no descriptors left, so that new clients get an error instead of waiting.
    spare: Option<File>,
    warned: Option<Instant>,
}

fn spare() -> Option<File> {
    File::open("/dev/null").ok()
}

impl Acceptor {
    /// The next connection, however long it takes.
    async fn next(&mut self, connections: &Connections) -> (TcpStream, std::net::SocketAddr) {
        loop {
            let error = match self.listener.accept().await {
                Ok(accepted) => return accepted,
                Err(error) => error,
            };
            if error.kind() == io::ErrorKind::ConnectionAborted {
                continue;
            }
            self.warn(&error);
            let code = error.raw_os_error().map(rustix::io::Errno::from_raw_os_error);
            match code {
                Some(rustix::io::Errno::MFILE | rustix::io::Errno::NFILE) => self.relieve(connections).await,
                _ => tokio::time::sleep(PAUSE).await,
            }
        }
    }

    /// Closes the newcomer that waits, and connections that are worth least.
    async fn relieve(&mut self, connections: &Connections) {
        connections.relieve();
        self.spare = None;
        tokio::select! {
            biased;
            newcomer = self.listener.accept() => drop(newcomer),
            () = tokio::time::sleep(PAUSE_EXHAUSTED) => {}
        }
        self.spare = spare();
        tokio::time::sleep(PAUSE_EXHAUSTED).await;
    }

    fn warn(&mut self, error: &io::Error) {
        if self.warned.is_none_or(|warned| warned.elapsed() >= WARN_EVERY) {
            self.warned = Some(Instant::now());
            tracing::warn!(%error, "cannot accept a connection");
        }
    }
}
