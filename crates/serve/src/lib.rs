//! Limits on connections to the program's ports: their number, and the duration of each phase.
//!
//! [`run`] is the accept loop of every TLS and HTTP port. Each connection has a place in one table, and each of its
//! phases has a time limit:
//!
//! | phase | ends |
//! | --- | --- |
//! | TLS handshake | after [`Limits::handshake_within`] |
//! | until the first request's headers have arrived | after [`Limits::first_request_within`] |
//! | no request in progress | after [`Limits::idle_max`] |
//! | an answer that the client does not read | after [`Limits::stall_max`] without progress, see [`Streaming`] |
//! | an answer that the client reads slowly | at the time of the answer, see [`Until`] |
//!
//! When the table is full, new connections are accepted and others are closed: first those without a certificate and
//! without a request, starting with the client that has the most of them and with its longest idle connection. Some
//! places are reserved for administrators ([`Rank::Administrator`]), whose connections are never closed to make room
//! for others. A connection that carries a request (a watch, a log that is followed, an exec session) is not idle.
//!
//! For both versions of HTTP there are limits on everything that a client can make the server keep: headers, streams,
//! streams that were reset (CVE-2023-44487), continuations (CVE-2023-45288), unsent bytes.
//!
//! This crate must not know the content of requests and answers, nor whom a certificate identifies: [`Service`] does.

mod accept;
mod connections;
mod flow;
mod http;
mod inbound;
mod limits;
mod socket;

use std::net::SocketAddr;
use std::sync::Arc;

use ::http::{Request, Response};
use bytes::Bytes;
use rustls::pki_types::CertificateDer;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

pub use accept::run;
pub use connections::Rank;
pub use inbound::Inbound;
pub use limits::{Limits, raise_descriptors};

use connections::Entry;

/// The error of a body that breaks off.
pub type BodyError = Box<dyn std::error::Error + Send + Sync>;

/// A port to serve.
pub struct Port {
    /// The socket.
    pub listener: TcpListener,
    /// The server's side of TLS; a port without it speaks HTTP/1.1 in plain text.
    pub tls: Option<TlsAcceptor>,
    /// The limits for a client.
    pub limits: Limits,
}

/// The service behind a port.
pub trait Service: Send + Sync + 'static {
    /// The known facts about a connection's peer.
    type Peer: Clone + Send + Sync + 'static;
    /// The body of answers.
    type Body: http_body::Body<Data = Bytes, Error: Into<BodyError>> + Send + 'static;

    /// Identifies the peer: the certificate was verified, if there is one.
    fn peer(&self, certificate: Option<&CertificateDer<'_>>, address: SocketAddr) -> (Self::Peer, Rank);

    /// Answers a request. Its extensions hold the [`Connection`].
    fn answer(
        self: Arc<Self>,
        request: Request<Inbound>,
        peer: Self::Peer,
    ) -> impl Future<Output = Response<Self::Body>> + Send;
}

/// The connection by which a request came, among its extensions.
#[derive(Clone, Debug)]
pub struct Connection(pub(crate) Arc<Entry>);

impl Connection {
    /// Raises the connection's rank to what a request's credentials have shown. It is never lowered.
    pub fn raise(&self, rank: Rank) {
        self.0.raise(rank);
    }
}

/// An extension of an answer that is read slowly, such as a log in a pager: it may stall for
/// [`Limits::stream_stall_max`]. Upgraded connections may in any case.
#[derive(Clone, Copy, Debug)]
pub struct Streaming;

/// An extension of an answer that must have been read by then, however steadily its client reads: what it is made of is
/// kept until then.
#[derive(Clone, Copy, Debug)]
pub struct Until(pub tokio::time::Instant);

#[cfg(test)]
mod tests;
