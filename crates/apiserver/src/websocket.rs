//! Watches and logs over a WebSocket, for clients such as browsers that read messages and not streams.
//!
//! The request is answered as if it had not asked for one; the body of a success then goes out in messages. What the
//! client sends is dropped, and its end is the end of the answer. Exec, attach and port-forward are not spoken here: a
//! node speaks them (`node_proxy`).

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures::stream::{SplitSink, SplitStream};
use futures::{SinkExt, StreamExt};
use http::header::{
    ACCEPT_ENCODING, CONNECTION, CONTENT_TYPE, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_PROTOCOL, UPGRADE,
};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use object::Status;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};

use crate::authn::BEARER_PROTOCOL;
use crate::body::{self, Body};
use crate::node_proxy::has_token;
use crate::request::RequestInfo;

/// How long a client may leave a message unread.
const STALL_MAX: Duration = Duration::from_secs(60);
/// How long a client may take to say that it has seen the end.
const FAREWELL_WITHIN: Duration = Duration::from_secs(10);
/// Clients have nothing to say.
const MESSAGE_BYTES_MAX: usize = 64 << 10;
/// The length that stands before an event of protobuf where events have no messages of their own, in bytes.
const LENGTH_BYTES: usize = 4;

/// What the messages are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    /// One event each, as text unless it is protobuf.
    Events,
    /// Bytes as they come.
    Bytes,
    /// The same, as text.
    Base64,
}

impl Framing {
    fn message(self, piece: Bytes, is_text: bool) -> Message {
        match self {
            Framing::Base64 => Message::text(STANDARD.encode(&piece)),
            Framing::Events if is_text => match String::from_utf8(piece.into()) {
                Ok(text) => Message::text(text),
                Err(error) => Message::binary(error.into_bytes()),
            },
            Framing::Events => Message::binary(piece.slice(LENGTH_BYTES.min(piece.len())..)),
            Framing::Bytes => Message::binary(piece),
        }
    }
}

/// A request for a WebSocket.
pub(crate) struct Asked {
    is_watch: bool,
    key: Option<HeaderValue>,
    /// The protocols that the client offers.
    offered: Vec<String>,
    upgrade: OnUpgrade,
}

impl Asked {
    /// Takes the wish for a WebSocket out of the request for a watch or a log; `None` if there is none.
    pub(crate) fn take<B>(request: &mut Request<B>, info: &RequestInfo) -> Option<Asked> {
        let is_watch = info.verb == "watch";
        let is_log = info.group_resource() == schema::GroupResource::PODS && info.subresource == "log";
        if !(is_watch || is_log) || request.method() != Method::GET || !is_wanted(request.headers()) {
            return None;
        }
        let key = request.headers().get(SEC_WEBSOCKET_KEY).cloned();
        let offered = offered(request.headers());
        let upgrade = hyper::upgrade::on(&mut *request);
        // Messages are not compressed.
        for name in [CONNECTION, UPGRADE, ACCEPT_ENCODING] {
            request.headers_mut().remove(name);
        }
        Some(Asked { is_watch, key, offered, upgrade })
    }

    /// Makes a successful answer one in messages. Any other is passed on.
    ///
    /// # Errors
    /// 400 without a key, 403 if the client offers no protocol that is known.
    pub(crate) fn answer(self, response: Response<Body>) -> Result<Response<Body>, Status> {
        if response.status() != StatusCode::OK {
            return Ok(response);
        }
        let invalid = || Status::bad_request("missing or bad WebSocket-Key");
        let key = self.key.ok_or_else(invalid)?;
        let accept = HeaderValue::from_str(&derive_accept_key(key.as_bytes())).map_err(|_| invalid())?;
        let (framing, protocol) = match self.is_watch {
            // A watch knows no protocols: the client gets the one it wants.
            true => (Framing::Events, self.offered.into_iter().next()),
            false => log_protocol(self.offered)?,
        };
        let (parts, body) = response.into_parts();
        let media = parts.headers.get(CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
        let is_text = !media.starts_with(b"application/vnd.kubernetes.protobuf");
        let mut response = Response::new(body::empty());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers = response.headers_mut();
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
        if let Some(protocol) = protocol.and_then(|name| HeaderValue::from_str(&name).ok()) {
            headers.insert(SEC_WEBSOCKET_PROTOCOL, protocol);
        }
        let upgrade = self.upgrade;
        tokio::spawn(async move {
            match upgrade.await {
                Ok(upgraded) => send(upgraded, body, framing, is_text).await,
                Err(error) => tracing::debug!(%error, "a WebSocket came to nothing"),
            }
        });
        Ok(response)
    }
}

fn is_wanted(headers: &HeaderMap) -> bool {
    let upgrades = headers.get_all(CONNECTION).iter().any(|value| has_token(value, "upgrade"));
    upgrades && headers.get(UPGRADE).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"))
}

/// The protocols that the client offers, apart from that which carries its token.
fn offered(headers: &HeaderMap) -> Vec<String> {
    let values = headers.get_all(SEC_WEBSOCKET_PROTOCOL).into_iter().filter_map(|value| value.to_str().ok());
    let names = values.flat_map(|value| value.split(',')).map(str::trim);
    names.filter(|name| !name.is_empty() && !name.starts_with(BEARER_PROTOCOL)).map(str::to_owned).collect()
}

fn log_protocol(offered: Vec<String>) -> Result<(Framing, Option<String>), Status> {
    if offered.is_empty() {
        return Ok((Framing::Bytes, None));
    }
    let known = |name: &str| match name {
        "binary.k8s.io" => Some(Framing::Bytes),
        "base64.binary.k8s.io" => Some(Framing::Base64),
        _ => None,
    };
    let chosen = offered.iter().find_map(|name| Some((known(name)?, Some(name.clone()))));
    chosen.ok_or_else(|| {
        let message = format!("unable to negotiate protocol: client supports {offered:?}");
        Status::failure(object::Reason::Forbidden, message)
    })
}

type Socket = WebSocketStream<TokioIo<Upgraded>>;

async fn send(upgraded: Upgraded, body: Body, framing: Framing, is_text: bool) {
    let limits = WebSocketConfig::default()
        .max_message_size(Some(MESSAGE_BYTES_MAX))
        .max_frame_size(Some(MESSAGE_BYTES_MAX));
    let io = TokioIo::new(upgraded);
    let socket = WebSocketStream::from_raw_socket(io, Role::Server, Some(limits)).await;
    let (mut sink, mut stream) = socket.split();
    let is_over = tokio::select! {
        is_over = pour(body, &mut sink, framing, is_text) => is_over,
        () = until_gone(&mut stream) => false,
    };
    if is_over {
        // What the client still sends is read: closing over it would reset the connection.
        let _ = tokio::time::timeout(FAREWELL_WITHIN, until_gone(&mut stream)).await;
    }
}

/// Sends a body and the end of the connection; false if the client is gone or reads no more.
async fn pour(
    mut body: Body,
    sink: &mut SplitSink<Socket, Message>,
    framing: Framing,
    is_text: bool,
) -> bool {
    let mut sends =
        async |message| matches!(tokio::time::timeout(STALL_MAX, sink.send(message)).await, Ok(Ok(())));
    // A log begins with an empty message, which says that the connection stands.
    if framing != Framing::Events && !sends(framing.message(Bytes::new(), is_text)).await {
        return false;
    }
    while let Some(Ok(frame)) = body.frame().await {
        let Ok(piece) = frame.into_data() else { continue };
        if !piece.is_empty() && !sends(framing.message(piece, is_text)).await {
            return false;
        }
    }
    sends(Message::Close(Some(CloseFrame { code: CloseCode::Normal, reason: Default::default() }))).await
}

async fn until_gone(stream: &mut SplitStream<Socket>) {
    while let Some(Ok(_)) = stream.next().await {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_as_upstream_frames_them() {
        let piece = Bytes::from_static(b"{}\n");
        assert_eq!(Framing::Events.message(piece.clone(), true), Message::text("{}\n"));
        assert_eq!(Framing::Bytes.message(piece.clone(), true), Message::binary(piece.clone()));
        assert_eq!(Framing::Base64.message(piece, true), Message::text("e30K"));
        let protobuf = Bytes::from_static(b"\0\0\0\x02ab");
        assert_eq!(Framing::Events.message(protobuf, false), Message::binary(&b"ab"[..]));
    }
}
