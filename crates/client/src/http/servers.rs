//! The API servers of a cluster, and connections to one that answers.
//!
//! All clients of a process share one [`Servers`]. A connection goes to the server in use; when that one can no longer
//! be reached, the next connection tries the others in turn, and the first that answers is used from then on. A server
//! is authenticated by its certificate, which must be signed by the cluster's CA and valid for the name
//! [`SERVER_NAME`]: addresses prove nothing.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use http::Uri;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// The name that the certificates of all API servers carry.
pub const SERVER_NAME: &str = "kubernetes";
/// How long a server may take to accept a connection, and as long again to prove who it is.
const STEP_TIMEOUT: Duration = Duration::from_secs(5);

/// The addresses of a cluster's API servers, and which of them is in use.
#[derive(Debug)]
pub struct Servers {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// `host:port`, never empty.
    addresses: Vec<String>,
    in_use: usize,
    /// Closes existing connections.
    cut: CancellationToken,
}

impl Servers {
    /// Servers at these addresses (`host:port`), the first of which is tried first.
    ///
    /// # Panics
    /// If there are none.
    pub fn new(addresses: Vec<String>) -> Arc<Servers> {
        assert!(!addresses.is_empty(), "a cluster has a server");
        Arc::new(Servers { state: Mutex::new(State { addresses, in_use: 0, cut: CancellationToken::new() }) })
    }

    /// The addresses, that of the server in use first.
    pub fn addresses(&self) -> Vec<String> {
        let state = self.state.lock();
        let (before, from) = state.addresses.split_at(state.in_use);
        from.iter().chain(before).cloned().collect()
    }

    /// The address of the server in use.
    pub(super) fn in_use(&self) -> Arc<str> {
        let state = self.state.lock();
        state.addresses[state.in_use].as_str().into()
    }

    /// Sets the addresses; an empty list changes nothing. The server in use stays in use if it is among them; otherwise
    /// its connections are closed.
    pub fn replace(&self, addresses: Vec<String>) {
        let mut state = self.state.lock();
        if addresses.is_empty() || addresses == state.addresses {
            return;
        }
        let in_use = &state.addresses[state.in_use];
        match addresses.iter().position(|address| address == in_use) {
            Some(position) => state.in_use = position,
            None => {
                state.in_use = 0;
                std::mem::take(&mut state.cut).cancel();
            }
        }
        state.addresses = addresses;
    }

    /// Closes all existing connections; requests on them fail. New ones use the current identity.
    pub fn cut(&self) {
        std::mem::take(&mut self.state.lock().cut).cancel();
    }

    /// Connects to the server in use, otherwise to the next that answers.
    async fn dial(&self, tls: &Arc<ClientConfig>) -> io::Result<ServerStream> {
        // What is cut from here on includes the connection that is being made: its address may be gone already.
        let (addresses, cut) = (self.addresses(), self.state.lock().cut.clone());
        let mut failures = Vec::new();
        for address in addresses {
            match dial_one(&address, tls).await {
                Ok(stream) => {
                    self.chosen(&address, !failures.is_empty());
                    let (stream, cut) = (Box::new(stream), Box::pin(cut.cancelled_owned()));
                    return Ok(ServerStream { stream, cut });
                }
                Err(error) => failures.push((address, error)),
            }
        }
        let kind = failures.last().map_or(io::ErrorKind::NotConnected, |(_, error)| error.kind());
        // A single failure keeps its source, from which callers learn about certificate problems.
        if let [(address, _)] = failures.as_slice() {
            let address = address.clone();
            let source = failures.remove(0).1;
            return Err(io::Error::new(kind, DialError { address, source }));
        }
        let texts: Vec<String> =
            failures.iter().map(|(address, error)| format!("{address}: {error}")).collect();
        Err(io::Error::new(kind, format!("no API server can be reached: {}", texts.join("; "))))
    }

    /// Takes that server into use.
    fn chosen(&self, address: &str, moved: bool) {
        let mut state = self.state.lock();
        if let Some(position) = state.addresses.iter().position(|known| known == address) {
            state.in_use = position;
        }
        if moved {
            tracing::warn!(server = address, "switched to another API server");
        }
    }
}

/// Why one server cannot be reached.
#[derive(Debug, thiserror::Error)]
#[error("{address}")]
struct DialError {
    address: String,
    source: io::Error,
}

async fn dial_one(address: &str, tls: &Arc<ClientConfig>) -> io::Result<TlsStream<TcpStream>> {
    let stream = within(TcpStream::connect(address)).await?;
    stream.set_nodelay(true)?;
    let name = ServerName::try_from(SERVER_NAME).expect("the name is a DNS name");
    within(TlsConnector::from(Arc::clone(tls)).connect(name, stream)).await
}

async fn within<T>(step: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    let late = |_| io::Error::new(io::ErrorKind::TimedOut, "no answer within 5 s");
    tokio::time::timeout(STEP_TIMEOUT, step).await.map_err(late)?
}

/// Connects to [`Servers`], whatever host the URI names.
#[derive(Clone)]
pub(super) struct Dialer {
    pub(super) servers: Arc<Servers>,
    pub(super) tls: Arc<ClientConfig>,
}

impl tower::Service<Uri> for Dialer {
    type Response = TokioIo<ServerStream>;
    type Error = io::Error;
    type Future = BoxFuture<'static, io::Result<TokioIo<ServerStream>>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _uri: Uri) -> Self::Future {
        let dialer = self.clone();
        async move { dialer.servers.dial(&dialer.tls).await.map(TokioIo::new) }.boxed()
    }
}

/// A connection to a server, until it is cut.
pub(super) struct ServerStream {
    stream: Box<TlsStream<TcpStream>>,
    cut: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl ServerStream {
    /// Fails once the connection is cut; until then the task is woken when it is.
    fn poll_cut(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        match self.cut.poll_unpin(cx) {
            Poll::Ready(()) => {
                Err(io::Error::new(io::ErrorKind::ConnectionAborted, "the connection was cut"))
            }
            Poll::Pending => Ok(()),
        }
    }
}

impl Connection for ServerStream {
    fn connected(&self) -> Connected {
        let connected = Connected::new();
        if self.stream.get_ref().1.alpn_protocol() == Some(b"h2") {
            connected.negotiated_h2()
        } else {
            connected
        }
    }
}

impl AsyncRead for ServerStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.poll_cut(cx)?;
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for ServerStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio::task::JoinHandle;
    use tokio_rustls::TlsAcceptor;

    use super::*;
    use crate::{Connection as _, HttpConnection};

    /// The certificate of all servers of a cluster, and its key.
    fn certificate() -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let certificate =
            CertificateParams::new(vec![SERVER_NAME.to_owned()]).unwrap().self_signed(&key).unwrap();
        (certificate.pem(), key.serialize_pem())
    }

    /// A server that answers everything with its name; its connections end with it.
    async fn server(name: &'static str, (certificate, key): &(String, String)) -> (String, JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let config =
            rustls::ServerConfig::builder_with_provider(rustls::crypto::ring::default_provider().into())
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_no_client_auth()
                .with_cert_resolver(tls::Identity::from_pem(certificate, key).unwrap());
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let serving = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let acceptor = acceptor.clone();
                connections.spawn(async move {
                    let Ok(mut stream) = acceptor.accept(stream).await else { return };
                    let mut request = Vec::new();
                    while let Ok(byte) = stream.read_u8().await {
                        request.push(byte);
                        if request.ends_with(b"\r\n\r\n") {
                            request.clear();
                            let answer =
                                format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{name}", name.len());
                            if stream.write_all(answer.as_bytes()).await.is_err() {
                                return;
                            }
                        }
                    }
                });
            }
        });
        (address, serving)
    }

    /// Who answers; the first request after a server's death may fail, as whether it took effect is unknown.
    async fn who(connection: &HttpConnection) -> String {
        for _ in 0..2 {
            if let Ok(answer) = connection.get_path("/version", "*/*").await {
                return String::from_utf8(answer.body.text().to_vec()).unwrap();
            }
        }
        panic!("nobody answers");
    }

    #[tokio::test]
    async fn clients_move_to_a_server_that_lives_and_is_the_clusters() {
        let (ours, foreign) = (certificate(), certificate());
        let ((one, first), (two, _second), (liar, _third)) =
            (server("one", &ours).await, server("two", &ours).await, server("liar", &foreign).await);
        let servers = Servers::new(vec![one.clone(), liar, two.clone()]);
        let tls = tls::client(&ours.0, None).unwrap();
        let connect = || HttpConnection::to_servers(Arc::clone(&servers), tls.clone(), None, "test").unwrap();
        let (node, network) = (connect(), connect());
        assert_eq!(who(&node).await, "one");
        first.abort();
        let _ = first.await;
        // Not to the one in between, which presents another cluster's certificate.
        assert_eq!(who(&node).await, "two");
        assert_eq!(servers.addresses()[0], two);
        // All clients of the process move.
        assert_eq!(who(&network).await, "two");
        // A cut connection is re-established to the same server.
        servers.cut();
        assert_eq!(who(&node).await, "two");
    }

    #[tokio::test]
    async fn a_connection_that_is_being_made_is_cut_too() {
        let ours = certificate();
        let (address, _serving) = server("one", &ours).await;
        let servers = Servers::new(vec![address]);
        let tls = Arc::new(tls::client(&ours.0, None).unwrap());
        let mut dial = Box::pin(servers.dial(&tls));
        assert!(futures::poll!(&mut dial).is_pending());
        servers.cut();
        let mut stream = dial.await.unwrap();
        assert_eq!(stream.read_u8().await.unwrap_err().kind(), io::ErrorKind::ConnectionAborted);
        let mut later = servers.dial(&tls).await.unwrap();
        later.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
        assert_eq!(later.read_u8().await.unwrap(), b'H');
    }

    #[tokio::test]
    async fn the_server_in_use_stays_in_use_while_it_is_known() {
        let servers = Servers::new(vec!["a:1".into(), "b:1".into(), "c:1".into()]);
        servers.state.lock().in_use = 1;
        assert_eq!(servers.addresses(), ["b:1", "c:1", "a:1"]);
        let cut = servers.state.lock().cut.clone();
        servers.replace(vec!["d:1".into(), "b:1".into()]);
        assert_eq!(servers.addresses(), ["b:1", "d:1"]);
        servers.replace(Vec::new());
        assert_eq!(servers.addresses(), ["b:1", "d:1"]);
        assert!(!cut.is_cancelled());
        servers.replace(vec!["e:1".into()]);
        assert!(cut.is_cancelled());
        assert_eq!(servers.addresses(), ["e:1"]);
    }
}
