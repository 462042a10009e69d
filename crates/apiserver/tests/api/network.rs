//! Through TLS, by HTTP/1.1 and HTTP/2.

use std::sync::Arc;

use apiserver::testing::{Listening, TestServer};
use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::support::*;

pub type Stream = tokio_rustls::client::TlsStream<TcpStream>;

/// A client that speaks a protocol, and shows the administrator's certificate or none.
pub fn client_config(listening: &Listening, protocol: &str, with_certificate: bool) -> rustls::ClientConfig {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = rustls::RootCertStore::empty();
    for certificate in tls::certificates(&listening.authority).unwrap() {
        roots.add(certificate).unwrap();
    }
    let config = rustls::ClientConfig::builder_with_provider(provider);
    let config = config.with_safe_default_protocol_versions().unwrap().with_root_certificates(roots);
    let mut config = if with_certificate {
        let chain = tls::certificates(&listening.admin.certificate).unwrap();
        let key = tls::private_key(&listening.admin.key).unwrap();
        config.with_client_auth_cert(chain, key).unwrap()
    } else {
        config.with_no_client_auth()
    };
    config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
    config
}

/// The name by which the server's certificate is checked.
pub fn name_of(listening: &Listening) -> ServerName<'static> {
    ServerName::IpAddress(listening.address.ip().into())
}

/// Connects with a protocol, and with the administrator's certificate or none.
async fn connect(listening: &Listening, protocol: &str, with_certificate: bool) -> std::io::Result<Stream> {
    let config = client_config(listening, protocol, with_certificate);
    let stream = TcpStream::connect(listening.address).await?;
    TlsConnector::from(Arc::new(config)).connect(name_of(listening), stream).await
}

fn request(path: &str, host: &str) -> Request<Empty<Bytes>> {
    Request::get(format!("https://{host}{path}")).header("host", host).body(Empty::new()).unwrap()
}

#[tokio::test]
async fn both_versions_of_http_are_served() {
    let server = TestServer::start().await;
    let listening = server.listen().await.unwrap();
    let host = listening.address.to_string();
    for (with_certificate, expected) in [(true, StatusCode::OK), (false, StatusCode::FORBIDDEN)] {
        let stream = connect(&listening, "h2", with_certificate).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
        let (mut client, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
        let running = tokio::spawn(connection);
        let answer = client.send_request(request("/api/v1/namespaces", &host)).await.unwrap();
        assert_eq!(answer.status(), expected);
        drop((client, answer));
        running.abort();

        let stream = connect(&listening, "http/1.1", with_certificate).await.unwrap();
        let (mut client, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        let running = tokio::spawn(connection);
        let answer = client.send_request(request("/api/v1/namespaces", &host)).await.unwrap();
        assert_eq!(answer.status(), expected);
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        let kind = object::json::parse(&body).unwrap().str_at("kind").to_owned();
        assert_eq!(kind, if with_certificate { "NamespaceList" } else { "Status" });
        running.abort();
    }
}

#[tokio::test]
async fn many_watches_share_a_connection_with_requests() {
    let server = TestServer::start().await;
    let listening = server.listen().await.unwrap();
    let host = listening.address.to_string();
    let stream = connect(&listening, "h2", true).await.unwrap();
    let (client, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    let running = tokio::spawn(connection);
    let mut watches = Vec::new();
    for _ in 0..50 {
        let path = format!("{CONFIG_MAPS}?watch=true");
        let answer = client.clone().send_request(request(&path, &host)).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        watches.push(answer.into_body());
    }
    call(&server, "POST", CONFIG_MAPS, &config_map("a", &[])).await.success();
    for watch in &mut watches {
        let frame = tokio::time::timeout(WITHIN, watch.frame()).await.unwrap().unwrap().unwrap();
        let event = object::json::parse(frame.data_ref().unwrap()).unwrap();
        assert_eq!(event.str_at("object.metadata.name"), "a");
    }
    running.abort();
}

#[tokio::test]
async fn an_ended_client_leaves_no_watch_behind_and_the_server_stops() {
    let server = TestServer::start().await;
    let listening = server.listen().await.unwrap();
    let address = listening.address;
    let host = address.to_string();
    let stream = connect(&listening, "http/1.1", true).await.unwrap();
    let (mut client, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    let running = tokio::spawn(connection);
    let answer = client.send_request(request(&format!("{CONFIG_MAPS}?watch=true"), &host)).await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    drop(listening);
    // The watch is cut and the port is closed.
    let ended = tokio::time::timeout(WITHIN, answer.into_body().collect()).await;
    assert!(ended.is_ok(), "the watch goes on");
    let refused = async {
        while TcpStream::connect(address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(WITHIN, refused).await.unwrap();
    running.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_connections_keeps_no_administrator_out() {
    let server = TestServer::start().await;
    let listening = server.listen_within(serve::Limits::new(16)).await.unwrap();
    let host = listening.address.to_string();
    // Each is let in, also after the table is full.
    let mut flood = Vec::new();
    for _ in 0..50 {
        flood.push(connect(&listening, "h2", false).await.unwrap());
    }
    let stream = connect(&listening, "h2", true).await.unwrap();
    let (mut client, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    let running = tokio::spawn(connection);
    let watch = client.send_request(request(&format!("{CONFIG_MAPS}?watch=true"), &host)).await.unwrap();
    assert_eq!(watch.status(), StatusCode::OK);
    for _ in 0..50 {
        flood.push(connect(&listening, "h2", false).await.unwrap());
    }
    let answer = client.send_request(request("/api/v1/namespaces", &host)).await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    running.abort();
}
