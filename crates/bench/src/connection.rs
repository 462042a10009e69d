//! A cheap HTTP/2 client: one connection, many requests at once, bodies that are counted instead of kept.

use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use futures::future::poll_fn;
use h2::client::{Builder, SendRequest};
use h2::{RecvStream, client};
use http::{Request, StatusCode};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// How much a server may send on a stream before this client has read it: what Go's client grants.
const STREAM_WINDOW: u32 = 4 << 20;
/// The same for a whole connection.
const CONNECTION_WINDOW: u32 = 1 << 30;

/// A connection; clones share it.
#[derive(Clone)]
pub struct Connection {
    requests: SendRequest<Bytes>,
}

/// The response to a request, as soon as its head has arrived.
pub struct Answer {
    /// The HTTP status.
    pub status: StatusCode,
    body: RecvStream,
}

impl Connection {
    /// Connects without TLS.
    ///
    /// # Errors
    /// Where nobody answers.
    pub async fn plain(address: &str) -> Result<Connection> {
        Connection::over(tcp(address).await?).await
    }

    /// Connects with TLS.
    ///
    /// # Errors
    /// If there is no answer, or not with HTTP/2.
    pub async fn tls(address: &str, config: Arc<rustls::ClientConfig>) -> Result<Connection> {
        let name = ServerName::try_from("localhost").context("localhost")?;
        let stream = TlsConnector::from(config).connect(name, tcp(address).await?).await?;
        ensure!(stream.get_ref().1.alpn_protocol() == Some(b"h2"), "{address} does not speak HTTP/2");
        Connection::over(stream).await
    }

    async fn over(stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> Result<Connection> {
        let mut builder: Builder = client::Builder::new();
        builder.initial_window_size(STREAM_WINDOW).initial_connection_window_size(CONNECTION_WINDOW);
        let (requests, connection) = builder.handshake(stream).await?;
        tokio::spawn(async move {
            // A connection that breaks shows in its requests.
            let _ = connection.await;
        });
        Ok(Connection { requests })
    }

    /// Sends a request.
    ///
    /// # Errors
    /// If the connection breaks.
    pub async fn send(&self, request: Request<()>, body: Option<Bytes>) -> Result<Answer> {
        let mut requests = self.requests.clone().ready().await?;
        let (response, mut stream) = requests.send_request(request, body.is_none())?;
        if let Some(body) = body {
            stream.send_data(body, true)?;
        }
        let (head, body) = response.await?.into_parts();
        Ok(Answer { status: head.status, body })
    }

    /// Sends a request and returns the whole body of the response.
    ///
    /// # Errors
    /// If the connection breaks, or the answer is not a success.
    pub async fn fetch(&self, request: Request<()>, body: Option<Bytes>) -> Result<Vec<u8>> {
        let what = format!("{} {}", request.method(), request.uri());
        let mut answer = self.send(request, body).await?;
        let mut whole = Vec::new();
        while let Some(chunk) = answer.chunk().await? {
            whole.extend_from_slice(&chunk);
        }
        if !answer.status.is_success() {
            bail!("{what}: {} {}", answer.status, String::from_utf8_lossy(&whole));
        }
        Ok(whole)
    }
}

impl Answer {
    /// The next piece of the body; none at its end.
    ///
    /// # Errors
    /// If the connection breaks.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>> {
        let Some(chunk) = self.body.data().await else { return Ok(None) };
        let chunk = chunk?;
        self.body.flow_control().release_capacity(chunk.len())?;
        Ok(Some(chunk))
    }

    /// Reads the body to its end without keeping it; how many bytes it had, and the trailer `grpc-status`.
    ///
    /// # Errors
    /// If the connection breaks.
    pub async fn drain(mut self) -> Result<(u64, Option<Bytes>)> {
        let mut bytes = 0;
        while let Some(chunk) = self.chunk().await? {
            bytes += chunk.len() as u64;
        }
        let trailers = poll_fn(|context| self.body.poll_trailers(context)).await?;
        let status = trailers.and_then(|mut trailers| trailers.remove("grpc-status"));
        Ok((bytes, status.map(|status| Bytes::copy_from_slice(status.as_bytes()))))
    }
}

async fn tcp(address: &str) -> Result<TcpStream> {
    let stream = TcpStream::connect(address).await.with_context(|| format!("cannot reach {address}"))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}
