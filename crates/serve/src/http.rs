//! One connection, from handshake to close.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::header::CONTENT_LENGTH;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use hyper::body::{Body as _, Incoming};
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::connections::{Busy, Connections, Entry};
use crate::flow::{Flow, Outgoing, Streams};
use crate::inbound::{Inbound, Rest, is_awaited};
use crate::socket::Socket;
use crate::{Connection, Limits, Service, Streaming, Until};

/// Requests that one connection may have open at once, as upstream allows.
const STREAMS_MAX: u32 = 250;
/// Bytes of a request's headers: tokens and long selectors are in them.
const HEADER_BYTES_MAX: u32 = 64 << 10;
/// Streams that a client has reset before they were looked at: with more of them it is cut off.
const RESET_STREAMS_MAX: usize = 64;
/// Bytes that HTTP/1 keeps in each direction; a request's headers must fit.
const BUFFER_BYTES_MAX: usize = 64 << 10;
/// Bytes of an answer that a stream of HTTP/2 keeps.
const STREAM_BUFFER_BYTES_MAX: usize = 64 << 10;
/// Bytes that TLS keeps.
const TLS_BUFFER_BYTES_MAX: usize = 32 << 10;
/// How often a silent HTTP/2 client is pinged, and how long it may take to answer.
const PING_EVERY: Duration = Duration::from_secs(60);
const PING_WITHIN: Duration = Duration::from_secs(30);
/// How long a client may take to close after it was asked to.
const FAREWELL_WITHIN: Duration = Duration::from_secs(5);

/// State shared by all connections of a port.
pub(crate) struct Shared<S> {
    pub(crate) service: Arc<S>,
    pub(crate) connections: Arc<Connections>,
    pub(crate) tls: Option<TlsAcceptor>,
    /// No more requests are taken.
    pub(crate) stop: CancellationToken,
    /// The server is stopping: all connections end.
    pub(crate) cut: CancellationToken,
}

impl<S: Service> Shared<S> {
    /// Serves a connection to its end.
    pub(crate) async fn attend(self: Arc<Self>, socket: Socket, entry: Arc<Entry>, address: SocketAddr) {
        let Some(tls) = &self.tls else {
            let (peer, rank) = self.service.peer(None, address);
            if self.connections.settle(&entry, rank) {
                self.speak(socket, false, entry, peer).await;
            }
            return;
        };
        let handshake = tokio::time::timeout(self.connections.limits.handshake_within, tls.accept(socket));
        let Ok(Ok(mut stream)) = handshake.await else { return };
        let session = &mut stream.get_mut().1;
        session.set_buffer_limit(Some(TLS_BUFFER_BYTES_MAX));
        let is_http2 = session.alpn_protocol() == Some(b"h2");
        let certificate = session.peer_certificates().and_then(|chain| chain.first());
        let (peer, rank) = self.service.peer(certificate, address);
        if self.connections.settle(&entry, rank) {
            self.speak(stream, is_http2, entry, peer).await;
        }
    }

    async fn speak<I>(&self, io: I, is_http2: bool, entry: Arc<Entry>, peer: S::Peer)
    where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let limits = &self.connections.limits;
        let (answerer, asked, stalls) = (Arc::clone(&self.service), Arc::clone(&entry), limits.clone());
        let service = service_fn(move |request: Request<Incoming>| {
            // HTTP/2 has a way to say that the rest of a body is not wanted.
            let rest = (!is_http2).then(Rest::default);
            let is_awaited = is_awaited(request.headers());
            let mut request = request.map(|body| Inbound::new(body, rest.clone()));
            let busy = asked.begin();
            request.extensions_mut().insert(Connection(Arc::clone(&asked)));
            let (answerer, peer, asked, stalls) =
                (Arc::clone(&answerer), peer.clone(), Arc::clone(&asked), stalls.clone());
            async move {
                let is_head = request.method() == Method::HEAD;
                let mut response = answerer.answer(request, peer).await;
                if let Some(rest) = rest {
                    rest.settle(is_awaited, response.headers_mut()).await;
                }
                let mut response = outgoing(response, busy, &asked, &stalls);
                if is_head {
                    without_body(&mut response);
                }
                Ok::<_, Infallible>(response)
            }
        });
        let io = TokioIo::new(io);
        if is_http2 {
            let connection = http2(limits).serve_connection(io, service);
            self.until_end(connection, &entry, |connection| connection.graceful_shutdown()).await;
        } else {
            let connection = http1().serve_connection(io, service).with_upgrades();
            self.until_end(connection, &entry, |connection| connection.graceful_shutdown()).await;
        }
    }

    /// Runs a connection until it is idle for too long or the server ends.
    async fn until_end<C>(&self, connection: C, entry: &Entry, farewell: impl Fn(std::pin::Pin<&mut C>))
    where
        C: Future<Output = Result<(), hyper::Error>>,
    {
        let mut connection = std::pin::pin!(connection);
        let is_quiet = tokio::select! {
            ended = connection.as_mut() => return log(ended),
            () = self.cut.cancelled() => return,
            () = self.stop.cancelled() => false,
            () = entry.quiet(&self.connections.limits) => true,
        };
        farewell(connection.as_mut());
        // A request may have come in the same moment.
        let patience = async {
            tokio::time::sleep(FAREWELL_WITHIN).await;
            while !is_quiet || entry.is_busy() {
                tokio::time::sleep(FAREWELL_WITHIN).await;
            }
        };
        tokio::select! {
            ended = connection => log(ended),
            () = self.cut.cancelled() => {}
            () = patience => {}
        }
    }
}

fn log(ended: Result<(), hyper::Error>) {
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection failed");
    }
}

fn http1() -> http1::Builder {
    let mut builder = http1::Builder::new();
    // The time for headers is that of the whole connection: `Entry::quiet`.
    builder.header_read_timeout(None).max_buf_size(BUFFER_BYTES_MAX);
    builder
}

fn http2(limits: &Limits) -> http2::Builder<Streams> {
    let mut builder = http2::Builder::new(Streams { stall_max: limits.stall_max });
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(HEADER_BYTES_MAX)
        .max_pending_accept_reset_streams(RESET_STREAMS_MAX)
        .max_local_error_reset_streams(RESET_STREAMS_MAX)
        .max_send_buf_size(STREAM_BUFFER_BYTES_MAX)
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_WITHIN);
    builder
}

/// Makes an answer one to `HEAD`, which says how long the body would be and has none. HTTP/2 takes one that has for a
/// broken message.
fn without_body<B: http_body::Body<Data = bytes::Bytes>>(response: &mut Response<Outgoing<B>>) {
    if let Some(length) = response.body().size_hint().exact() {
        response.headers_mut().entry(CONTENT_LENGTH).or_insert_with(|| HeaderValue::from(length));
    }
    response.body_mut().cut();
}

/// The answer as it is sent.
fn outgoing<B>(response: Response<B>, busy: Busy, entry: &Entry, limits: &Limits) -> Response<Outgoing<B>>
where
    B: http_body::Body<Data = bytes::Bytes>,
{
    let is_upgrade = response.status() == StatusCode::SWITCHING_PROTOCOLS;
    let is_stream = is_upgrade || response.extensions().get::<Streaming>().is_some();
    let stall = if is_stream { limits.stream_stall_max } else { limits.stall_max };
    let until = response.extensions().get::<Until>().map(|Until(until)| *until);
    let flow = Flow::current();
    match &flow {
        Some(flow) => {
            flow.set_stall_max(stall);
            until.into_iter().for_each(|until| flow.set_until(until));
        }
        None => {
            entry.set_stall_max(stall);
            entry.set_until(until);
        }
    }
    if is_upgrade {
        // hyper hands the socket over: it is busy until it closes.
        busy.keep();
    }
    response.map(|body| Outgoing::new(body, busy, flow))
}
