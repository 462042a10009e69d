//! The health of a component in a process of its own.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use futures::FutureExt;
use http::header::HOST;
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::dial::cause;

const PATH: &str = "/healthz";

/// Asks for the health of the component that listens there, in upstream's words. Its certificate is not verified, as
/// upstream does it: it may be self-signed, and the request has no secrets.
pub(super) async fn health(address: SocketAddr) -> Result<(), String> {
    let failed = |why: &dyn std::fmt::Display| format!("Get \"https://{address}{PATH}\": {why}");
    let stream = TcpStream::connect(address).await;
    let stream =
        stream.map_err(|error| failed(&format!("dial tcp {address}: connect: {}", cause(&error))))?;
    let connector = TlsConnector::from(Arc::new(tls::unverified_client()));
    let stream = connector.connect(ServerName::from(address.ip()), stream).await;
    let stream = TokioIo::new(stream.map_err(|error| failed(&error))?);
    let (mut sender, connection) = http1::handshake(stream).await.map_err(|error| failed(&error))?;
    let request = http::Request::get(PATH).header(HOST, address.to_string()).body(Empty::<Bytes>::new());
    let request = request.map_err(|error| failed(&error))?;
    let mut response = std::pin::pin!(sender.send_request(request));
    // The connection ends with the answer's head: the body is not read.
    let response = tokio::select! {
        response = &mut response => response,
        ended = connection => match (response.now_or_never(), ended) {
            (Some(Ok(response)), _) => Ok(response),
            (_, Err(error)) => Err(error),
            (_, Ok(())) => return Err(failed(&"EOF")),
        },
    };
    match response.map_err(|error| failed(&error))?.status() {
        status if status.is_success() || status.is_redirection() => Ok(()),
        status => Err(format!("HTTP probe failed with statuscode: {}", status.as_u16())),
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use clock::Clock;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;
    use crate::pki::{Pki, Subject, Usage, Wanted};

    /// Serves one request over TLS with this answer; empty for none.
    async fn serve_once(answer: &'static str) -> SocketAddr {
        let keys = tempfile::tempdir().unwrap();
        let pki = Pki::open(keys.path(), &Clock::system()).unwrap();
        let subject = Subject { common_name: "scheduler".into(), ..Subject::default() };
        let certificate = pki.kept(&Wanted::new("serving", Usage::Server, subject)).unwrap();
        let identity = tls::Identity::from_pem(&certificate.certificate, &certificate.key).unwrap();
        let acceptor = crate::server::acceptor(&pki, identity).unwrap();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let mut stream = acceptor.accept(stream).await.unwrap();
            let mut request = vec![0; 1024];
            let read = stream.read(&mut request).await.unwrap();
            assert!(request[..read].starts_with(b"GET /healthz HTTP/1.1\r\n"));
            stream.write_all(answer.as_bytes()).await.unwrap();
            stream.shutdown().await.unwrap();
        });
        address
    }

    #[tokio::test]
    async fn health_is_what_the_program_answers() {
        let healthy = serve_once("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
        assert_eq!(health(healthy).await, Ok(()));
        let ill = serve_once("HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n").await;
        assert_eq!(health(ill).await, Err("HTTP probe failed with statuscode: 500".into()));
        let silent = serve_once("").await;
        let why = health(silent).await.unwrap_err();
        assert!(why.starts_with(&format!("Get \"https://{silent}/healthz\": ")), "{why}");
    }

    #[tokio::test]
    async fn a_program_that_does_not_run_is_named() {
        // Nothing listens at a port that was free a moment ago, and is kept by a socket that does not listen.
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        let address = socket.local_addr().unwrap();
        let why = health(address).await.unwrap_err();
        let expected =
            format!("Get \"https://{address}/healthz\": dial tcp {address}: connect: connection refused");
        assert_eq!(why, expected);
    }
}
