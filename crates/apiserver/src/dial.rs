//! Connections to nodes, pods and endpoints of Services, and how they are dialed.

use std::net::SocketAddr;

use async_trait::async_trait;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

/// A connection.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin + 'static {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin + 'static> Stream for S {}

/// Dials addresses.
#[async_trait]
pub trait Dial: Send + Sync + 'static {
    /// Connects to an address.
    ///
    /// # Errors
    /// Why it cannot be reached.
    async fn dial(&self, address: SocketAddr) -> std::io::Result<Box<dyn Stream>>;
}

/// The network of this host.
pub(crate) struct Tcp;

#[async_trait]
impl Dial for Tcp {
    async fn dial(&self, address: SocketAddr) -> std::io::Result<Box<dyn Stream>> {
        let stream = TcpStream::connect(address).await?;
        // Without this, a stream is only slower.
        let _ = stream.set_nodelay(true);
        Ok(Box::new(stream))
    }
}

/// The system's words for a failure, as Go writes them.
pub(crate) fn cause(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::ConnectionRefused => "connection refused".to_owned(),
        _ => error.to_string(),
    }
}
