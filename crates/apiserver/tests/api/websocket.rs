//! Watches and logs over a WebSocket.

use std::sync::Arc;

use apiserver::testing::TestServer;
use futures::StreamExt;
use http::HeaderValue;
use object::value;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::network::{Stream, client_config, name_of};
use crate::support::*;

async fn open_socket(
    listening: &apiserver::testing::Listening,
    path: &str,
    headers: &[(&'static str, &'static str)],
) -> Result<WebSocketStream<Stream>, Error> {
    let stream = TcpStream::connect(listening.address).await.unwrap();
    let config = client_config(listening, "http/1.1", true);
    let stream = TlsConnector::from(Arc::new(config)).connect(name_of(listening), stream).await.unwrap();
    let mut request = format!("wss://{}{path}", listening.address).into_client_request().unwrap();
    for (name, value) in headers {
        request.headers_mut().insert(*name, HeaderValue::from_static(value));
    }
    Ok(tokio_tungstenite::client_async(request, stream).await?.0)
}

async fn next(socket: &mut WebSocketStream<Stream>) -> Message {
    let message = tokio::time::timeout(WITHIN, socket.next()).await.expect("a message comes in time");
    message.expect("a message").unwrap()
}

#[tokio::test]
async fn events_are_messages() {
    let server = TestServer::start().await;
    let listening = server.listen().await.unwrap();
    let path = "/api/v1/namespaces/default/configmaps";
    call(&server, "POST", path, &config_map("one", &[])).await.success();
    let watch = format!("{path}?watch=true&resourceVersion=0");
    let mut plain = open_socket(&listening, &watch, &[]).await.unwrap();
    let protobuf = [("accept", "application/vnd.kubernetes.protobuf")];
    let mut binary = open_socket(&listening, &watch, &protobuf).await.unwrap();
    for name in ["one", "two"] {
        if name == "two" {
            call(&server, "POST", path, &config_map("two", &[])).await.success();
        }
        let message = next(&mut plain).await;
        let event = object::json::parse(message.into_text().unwrap().as_bytes()).unwrap();
        assert_eq!((event.str_at("type"), event.str_at("object.metadata.name")), ("ADDED", name));
        let Message::Binary(event) = next(&mut binary).await else {
            panic!("an event of protobuf is binary")
        };
        // The first field is the type, without a length before the message.
        assert_eq!(&event[..7], b"\x0a\x05ADDED");
    }
    plain.close(None).await.unwrap();
    assert!(next(&mut plain).await.is_close());
    // A watch that ends says so.
    let mut short = open_socket(&listening, &format!("{watch}&timeoutSeconds=1"), &[]).await.unwrap();
    while !next(&mut short).await.is_close() {}
    // What cannot be watched is refused as without a WebSocket.
    let Err(Error::Http(refused)) =
        open_socket(&listening, &format!("{path}?watch=true&fieldSelector=x"), &[]).await
    else {
        panic!("a watch by a field that is none");
    };
    assert_eq!(refused.status(), 400);
}

#[tokio::test]
async fn logs_choose_their_protocol() {
    let server = TestServer::start().await;
    let listening = server.listen().await.unwrap();
    let account = value!({"metadata": {"name": "default"}});
    server.create("", "serviceaccounts", "default", account).await.unwrap();
    let path = "/api/v1/namespaces/default/pods";
    // It is on no node, so that its log is empty.
    call(&server, "POST", path, &pod("p")).await.success();
    let log = format!("{path}/p/log");
    let offers = [
        (None, Message::binary(Vec::new())),
        (Some("binary.k8s.io"), Message::binary(Vec::new())),
        (Some("x, base64.binary.k8s.io"), Message::text("")),
    ];
    for (offer, first) in offers {
        let headers: Vec<_> = offer.map(|offer| ("sec-websocket-protocol", offer)).into_iter().collect();
        let mut socket = open_socket(&listening, &log, &headers).await.unwrap();
        assert_eq!(next(&mut socket).await, first);
        assert!(next(&mut socket).await.is_close());
    }
    for (log, headers, code) in [
        (&log, &[("sec-websocket-protocol", "v4.channel.k8s.io")][..], 403),
        (&format!("{path}/none/log"), &[], 404),
    ] {
        let refused = open_socket(&listening, log, headers).await;
        assert!(matches!(refused, Err(Error::Http(response)) if response.status() == code));
    }
}
