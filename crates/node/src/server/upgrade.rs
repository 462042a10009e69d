//! Upgraded connections: WebSocket and SPDY.

use http::header::{CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, UPGRADE};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use object::Status;
use serve::Inbound;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

use super::Body;

/// The longest message of a client, as upstream's. A message is passed on before the next one is read.
const MESSAGE_BYTES_MAX: usize = 32 << 20;

/// The header of SPDY's stream protocols.
const STREAM_PROTOCOL: HeaderName = HeaderName::from_static("x-stream-protocol-version");
const SPDY: &str = "SPDY/3.1";

/// A connection after its upgrade.
pub(super) type Io = TokioIo<Upgraded>;

/// The protocol that a client wants to continue with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    WebSocket,
    Spdy,
}

/// The protocol that the client wants to upgrade to.
///
/// # Errors
/// 400 if it is nothing that is known.
pub(super) fn kind(headers: &HeaderMap) -> Result<Kind, Status> {
    let upgrade = headers.get(UPGRADE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if upgrade.eq_ignore_ascii_case("websocket") {
        Ok(Kind::WebSocket)
    } else if upgrade.eq_ignore_ascii_case(SPDY) {
        Ok(Kind::Spdy)
    } else {
        Err(Status::bad_request("Upgrade request required"))
    }
}

fn listed(headers: &HeaderMap, name: HeaderName) -> Vec<String> {
    let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    values
        .flat_map(|value| value.split(','))
        .map(|item| item.trim().to_owned())
        .filter(|item| !item.is_empty())
        .collect()
}

/// The protocols that the client offers for use inside the upgraded connection.
pub(super) fn offered(headers: &HeaderMap, kind: Kind) -> Vec<String> {
    match kind {
        Kind::WebSocket => listed(headers, SEC_WEBSOCKET_PROTOCOL),
        Kind::Spdy => listed(headers, STREAM_PROTOCOL),
    }
}

/// No protocol that the client offers is known.
pub(super) fn no_common_protocol(offered: &[String]) -> Status {
    let message = format!("unable to upgrade: unable to negotiate protocol: client supports {offered:?}");
    Status::failure(object::Reason::Forbidden, message)
}

/// The response that switches protocols, and the connection afterwards.
///
/// # Errors
/// 400 if a WebSocket's key is missing.
pub(super) fn switch(
    request: &mut Request<Inbound>,
    kind: Kind,
    protocol: &str,
) -> Result<(Response<Body>, impl Future<Output = Option<Io>> + Send + use<>), Status> {
    let mut response = Response::new(Empty::new().boxed_unsync());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    let value =
        |text: &str| HeaderValue::from_str(text).map_err(|error| Status::bad_request(error.to_string()));
    match kind {
        Kind::WebSocket => {
            let key = request.headers().get(SEC_WEBSOCKET_KEY);
            let key = key.ok_or_else(|| Status::bad_request("missing or bad WebSocket-Key"))?;
            headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
            headers.insert(SEC_WEBSOCKET_ACCEPT, value(&derive_accept_key(key.as_bytes()))?);
            if !protocol.is_empty() {
                headers.insert(SEC_WEBSOCKET_PROTOCOL, value(protocol)?);
            }
        }
        Kind::Spdy => {
            headers.insert(UPGRADE, HeaderValue::from_static(SPDY));
            if !protocol.is_empty() {
                headers.insert(STREAM_PROTOCOL, value(protocol)?);
            }
        }
    }
    let upgrade = hyper::upgrade::on(request);
    let connection = async move {
        match upgrade.await {
            Ok(upgraded) => Some(TokioIo::new(upgraded)),
            Err(error) => {
                tracing::debug!(%error, "an upgrade failed");
                None
            }
        }
    };
    Ok((response, connection))
}

/// The WebSocket on an upgraded connection.
pub(super) async fn web_socket(io: Io) -> WebSocketStream<Io> {
    let limits = WebSocketConfig::default()
        .max_message_size(Some(MESSAGE_BYTES_MAX))
        .max_frame_size(Some(MESSAGE_BYTES_MAX));
    WebSocketStream::from_raw_socket(io, Role::Server, Some(limits)).await
}
