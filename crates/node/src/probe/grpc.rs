//! gRPC probes: one call of `grpc.health.v1.Health/Check`, its two small messages written by hand.

use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use http::{Request, Version};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;

use super::http::{connect_error, join_host_port};
use super::outcome::Outcome;

/// `HealthCheckResponse.ServingStatus`.
const STATUSES: [&str; 4] = ["UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"];
/// How much of an answer is read: the status is a message of a few bytes.
const BODY_BYTES_MAX: usize = 10 << 10;
const HEADER_BYTES_MAX: u32 = 16 << 10;
/// gRPC's code for methods that do not exist.
const UNIMPLEMENTED: &str = "12";

pub(super) async fn probe(host: &str, port: u16, service: &str, timeout: Duration) -> Outcome {
    let address = join_host_port(host, port);
    match tokio::time::timeout(timeout, call(host, port, service)).await {
        Ok(Ok(1)) => Outcome::Success,
        Ok(Ok(status)) => {
            let name = STATUSES.get(status).copied().unwrap_or("UNKNOWN");
            Outcome::Failure(format!("service unhealthy (responded with {name:?})"))
        }
        Ok(Err(message)) => Outcome::Failure(message),
        Err(_) => {
            let limit = crate::text::go_duration(timeout);
            Outcome::Failure(format!(
                "timeout: failed to connect service {address:?} within {limit}: context deadline exceeded"
            ))
        }
    }
}

/// Calls the service; returns the serving status.
async fn call(host: &str, port: u16, service: &str) -> Result<usize, String> {
    let address = join_host_port(host, port);
    let stream = TcpStream::connect((host, port)).await.map_err(|error| {
        format!("error: failed to connect service {address:?}: {}", connect_error(&error))
    })?;
    let failed = |error: hyper::Error| format!("error: health rpc probe failed: {error}");
    let (mut sender, connection) = hyper::client::conn::http2::Builder::new(TokioExecutor::new())
        .max_header_list_size(HEADER_BYTES_MAX)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(failed)?;
    let connection = tokio::spawn(connection);
    let request = Request::post(format!("http://{address}/grpc.health.v1.Health/Check"))
        .version(Version::HTTP_2)
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("user-agent", "kube-probe/1.37")
        .body(Full::new(message(service)))
        .map_err(|error| error.to_string())?;
    let result = async {
        let response = sender.send_request(request).await.map_err(failed)?;
        let early = response.headers().clone();
        // A server that never ends its answer is not healthy.
        let body = Limited::new(response.into_body(), BODY_BYTES_MAX).collect().await;
        let collected = body.map_err(|error| format!("error: health rpc probe failed: {error}"))?;
        let code = collected.trailers().and_then(|trailers| trailers.get("grpc-status"));
        let code = code
            .or_else(|| early.get("grpc-status"))
            .and_then(|code| code.to_str().ok())
            .unwrap_or("0")
            .to_owned();
        match code.as_str() {
            "0" => Ok(serving_status(&collected.to_bytes())),
            UNIMPLEMENTED => Err("error: this server does not implement the grpc health protocol \
                                  (grpc.health.v1.Health)"
                .to_owned()),
            code => Err(format!("error: health rpc probe failed: rpc error: code = {code}")),
        }
    };
    let status = result.await;
    connection.abort();
    status
}

/// A gRPC frame with a `HealthCheckRequest`: field 1 is the service.
fn message(service: &str) -> Bytes {
    let mut body = BytesMut::new();
    if !service.is_empty() {
        body.put_u8(0x0a);
        let mut length = service.len();
        while length >= 0x80 {
            body.put_u8((length & 0x7f) as u8 | 0x80);
            length >>= 7;
        }
        body.put_u8(length as u8);
        body.put_slice(service.as_bytes());
    }
    let mut frame = BytesMut::new();
    frame.put_u8(0);
    frame.put_u32(u32::try_from(body.len()).unwrap_or(u32::MAX));
    frame.put(body);
    frame.freeze()
}

/// The status in a frame with a `HealthCheckResponse`: field 1, a number below 128.
fn serving_status(frame: &[u8]) -> usize {
    match frame.get(5..) {
        Some([0x08, status, ..]) => usize::from(*status),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An endless answer used to take memory until the probe's time limit.
    #[tokio::test]
    async fn an_endless_answer_fails() {
        use futures::StreamExt;
        use http_body::Frame;
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let service = hyper::service::service_fn(|_| async {
                let chunks = futures::stream::repeat(Bytes::from_static(&[0; 4096]));
                let frames = chunks.map(|chunk| Ok::<_, std::convert::Infallible>(Frame::data(chunk)));
                Ok::<_, std::convert::Infallible>(http::Response::new(http_body_util::StreamBody::new(
                    frames,
                )))
            });
            let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            let _ = server.serve_connection(TokioIo::new(stream), service).await;
        });
        let outcome = probe("127.0.0.1", port, "", Duration::from_secs(600)).await;
        assert_eq!(outcome, Outcome::Failure("error: health rpc probe failed: length limit exceeded".into()));
    }

    #[test]
    fn messages_have_their_wire_form() {
        assert_eq!(message("")[..], [0, 0, 0, 0, 0]);
        assert_eq!(message("ab")[..], [0, 0, 0, 0, 4, 0x0a, 2, b'a', b'b']);
        assert_eq!(message(&"x".repeat(200))[5..8], [0x0a, 0xc8, 1]);
        assert_eq!(serving_status(&[0, 0, 0, 0, 2, 8, 1]), 1);
        assert_eq!(serving_status(&[0, 0, 0, 0, 0]), 0);
    }
}
