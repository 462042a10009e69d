//! Who may connect to a port of this program, for how long, and how many at once.
//!
//! [`run`] is the accept loop of every TLS and HTTP port. Each connection has a place in one table, and every phase of
//! it ends in time:
//!
//! | phase | ends |
//! | --- | --- |
//! | TLS handshake | after [`Limits::handshake_within`] |
//! | until the first request's headers are there | after [`Limits::first_request_within`] |
//! | no request in progress | after [`Limits::idle_max`] |
//! | an answer that the client does not read | after [`Limits::stall_max`] without progress, see [`Streaming`] |
//!
//! When the table is full, newcomers are let in and others go: first those that have shown no certificate and ask
//! nothing, the client with the most of them first and its quietest connection first. Some places are kept for
//! administrators ([`Rank::Administrator`]), which are never closed for others. A connection that carries a request (a
//! watch, a log that is followed, an exec session) is not idle.
//!
//! Both versions of HTTP have bounds for what a client can make the server keep: headers, streams, streams that were
//! reset (CVE-2023-44487), continuations (CVE-2023-45288), unsent bytes.
//!
//! This crate must not know what is asked and answered, nor who stands behind a certificate: [`Service`] does.

mod accept;
mod connections;
mod flow;
mod http;
mod limits;
mod socket;

use std::net::SocketAddr;
use std::sync::Arc;

use ::http::{Request, Response};
use bytes::Bytes;
use hyper::body::Incoming;
use rustls::pki_types::CertificateDer;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

pub use accept::run;
pub use connections::Rank;
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
    /// What a client may take.
    pub limits: Limits,
}

/// What answers the requests of a port.
pub trait Service: Send + Sync + 'static {
    /// What is known of a connection's other end.
    type Peer: Clone + Send + Sync + 'static;
    /// The body of answers.
    type Body: http_body::Body<Data = Bytes, Error: Into<BodyError>> + Send + 'static;

    /// Who is at the other end: the certificate was verified, if there is one.
    fn peer(&self, certificate: Option<&CertificateDer<'_>>, address: SocketAddr) -> (Self::Peer, Rank);

    /// Answers a request. Its extensions hold the [`Connection`].
    fn answer(
        self: Arc<Self>,
        request: Request<Incoming>,
        peer: Self::Peer,
    ) -> impl Future<Output = Response<Self::Body>> + Send;
}

/// The connection by which a request came, among its extensions.
#[derive(Clone, Debug)]
pub struct Connection(pub(crate) Arc<Entry>);

impl Connection {
    /// Tells what a request's credentials have shown: who is behind the connection. It never falls.
    pub fn raise(&self, rank: Rank) {
        self.0.raise(rank);
    }
}

/// An extension of an answer that somebody reads at leisure, such as a log in a pager: it may stand still for
/// [`Limits::stream_stall_max`]. Upgraded connections may in any case.
#[derive(Clone, Copy, Debug)]
pub struct Streaming;

#[cfg(test)]
mod tests;
