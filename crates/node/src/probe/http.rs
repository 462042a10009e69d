//! HTTP requests of probes and hooks: certificates are not verified, and redirects and the size of answers are limited.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, CONNECTION, HOST, HeaderName, HeaderValue, LOCATION, USER_AGENT};
use http::{HeaderMap, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::outcome::Outcome;

/// How much of an answer is read; a longer one is not a failure.
const BODY_BYTES_MAX: usize = 10 << 10;
/// How many redirects are followed.
const REDIRECTS_MAX: usize = 10;

/// The target of an HTTP request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HttpTarget {
    pub(crate) tls: bool,
    pub(crate) host: String,
    pub(crate) port: u16,
    /// The path with its query.
    pub(crate) path: String,
    pub(crate) headers: Vec<(String, String)>,
}

impl HttpTarget {
    /// The URL, as messages show it.
    pub(crate) fn url(&self) -> String {
        let scheme = if self.tls { "https" } else { "http" };
        format!("{scheme}://{}{}", join_host_port(&self.host, self.port), self.rooted_path())
    }

    fn rooted_path(&self) -> String {
        if self.path.starts_with('/') { self.path.clone() } else { format!("/{}", self.path) }
    }
}

/// Why there was no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HttpError {
    #[error("dial tcp {address}: {why}")]
    Connect { address: String, why: String },
    #[error("{0}")]
    Exchange(String),
}

/// `host:port`, with brackets around IPv6 addresses.
pub(super) fn join_host_port(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// Why a connection failed, with Go's messages.
pub(super) fn connect_error(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "connect: connection refused".to_owned(),
        io::ErrorKind::HostUnreachable => "connect: no route to host".to_owned(),
        io::ErrorKind::NetworkUnreachable => "connect: network is unreachable".to_owned(),
        _ => error.to_string(),
    }
}

/// Probes by GET: any status from 200 to 399 is a success.
pub(super) async fn probe(target: &HttpTarget, timeout: Duration) -> Outcome {
    let url = target.url();
    match tokio::time::timeout(timeout, follow(target)).await {
        Err(_) => Outcome::Failure(format!(
            "Get {url:?}: context deadline exceeded (Client.Timeout exceeded while awaiting headers)"
        )),
        Ok(Err(error)) => Outcome::Failure(format!("Get {url:?}: {error}")),
        Ok(Ok(answer)) => match answer.status.as_u16() {
            200..=299 => Outcome::Success,
            300..=399 => {
                Outcome::Warning(format!("Probe terminated redirects, Response body: {}", answer.text()))
            }
            code => Outcome::Failure(format!("HTTP probe failed with statuscode: {code}")),
        },
    }
}

/// An answer, its body cut short.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl Answer {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// Follows redirects as long as they stay on the same host.
async fn follow(target: &HttpTarget) -> Result<Answer, HttpError> {
    let mut target = target.clone();
    for _ in 0..REDIRECTS_MAX {
        let answer = get(&target).await?;
        let location = answer.headers.get(LOCATION).and_then(|value| value.to_str().ok());
        match location.filter(|_| answer.status.is_redirection()).and_then(|to| redirected(&target, to)) {
            Some(next) => target = next,
            None => return Ok(answer),
        }
    }
    Err(HttpError::Exchange(format!("stopped after {REDIRECTS_MAX} redirects")))
}

fn redirected(from: &HttpTarget, location: &str) -> Option<HttpTarget> {
    if location.starts_with('/') && !location.starts_with("//") {
        return Some(HttpTarget { path: location.to_owned(), ..from.clone() });
    }
    let uri: Uri = location.parse().ok()?;
    let host = uri.host()?.trim_matches(['[', ']']);
    let tls = uri.scheme_str()? == "https";
    let port = uri.port_u16().unwrap_or(if tls { 443 } else { 80 });
    let path = uri.path_and_query().map_or_else(String::new, ToString::to_string);
    (host == from.host).then(|| HttpTarget { tls, port, path, ..from.clone() })
}

/// Sends one GET request.
pub(crate) async fn get(target: &HttpTarget) -> Result<Answer, HttpError> {
    let address = join_host_port(&target.host, target.port);
    let stream = TcpStream::connect((target.host.as_str(), target.port))
        .await
        .map_err(|error| HttpError::Connect { address: address.clone(), why: connect_error(&error) })?;
    let request = request(target)?;
    if !target.tls {
        return exchange(stream, request).await;
    }
    let name =
        ServerName::try_from(target.host.clone()).map_err(|error| HttpError::Exchange(error.to_string()))?;
    let connector = TlsConnector::from(Arc::new(tls::unverified_client()));
    let stream =
        connector.connect(name, stream).await.map_err(|error| HttpError::Exchange(error.to_string()))?;
    exchange(stream, request).await
}

fn request(target: &HttpTarget) -> Result<Request<Empty<Bytes>>, HttpError> {
    let uri: Uri = target.rooted_path().parse().map_err(|error| HttpError::Exchange(format!("{error}")))?;
    let mut request = Request::new(Empty::new());
    *request.uri_mut() = uri;
    let headers = request.headers_mut();
    let mut host = join_host_port(&target.host, target.port);
    for (name, value) in &target.headers {
        if name.eq_ignore_ascii_case("host") {
            host.clone_from(value);
            continue;
        }
        let name = HeaderName::from_bytes(name.as_bytes());
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_str(value)) {
            headers.append(name, value);
        }
    }
    let value = HeaderValue::from_str(&host).map_err(|error| HttpError::Exchange(error.to_string()))?;
    headers.insert(HOST, value);
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    // An empty value removes the header.
    for (name, value) in [(USER_AGENT, "kube-probe/1.37"), (ACCEPT, "*/*")] {
        let given = headers.get(&name).map(HeaderValue::is_empty);
        match given {
            None => drop(headers.insert(name, HeaderValue::from_static(value))),
            Some(true) => drop(headers.remove(name)),
            Some(false) => {}
        }
    }
    Ok(request)
}

async fn exchange<S>(stream: S, request: Request<Empty<Bytes>>) -> Result<Answer, HttpError>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let failed = |error: hyper::Error| HttpError::Exchange(error.to_string());
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(failed)?;
    let connection = tokio::spawn(connection);
    let result = async {
        let response = sender.send_request(request).await.map_err(failed)?;
        let (parts, body) = response.into_parts();
        // A body beyond the limit is cut off.
        let body = Limited::new(body, BODY_BYTES_MAX)
            .collect()
            .await
            .map(|body| body.to_bytes())
            .unwrap_or_default();
        Ok(Answer { status: parts.status, headers: parts.headers, body })
    };
    let answer = result.await;
    connection.abort();
    answer
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    /// Answers each connection with the next of these responses.
    async fn serve(responses: Vec<&'static str>) -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            for response in responses {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut buffer = [0; 2048];
                let _ = stream.read(&mut buffer).await;
                stream.write_all(response.as_bytes()).await.unwrap();
            }
        });
        port
    }

    fn target(port: u16) -> HttpTarget {
        HttpTarget { tls: false, host: "127.0.0.1".into(), port, path: "healthz".into(), headers: Vec::new() }
    }

    #[tokio::test]
    async fn statuses_decide() {
        let limit = Duration::from_secs(20);
        let cases = [
            (vec!["HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"], Outcome::Success),
            (
                vec!["HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n"],
                Outcome::Failure("HTTP probe failed with statuscode: 500".into()),
            ),
            (vec!["HTTP/1.1 302 F\r\nlocation: /x\r\n\r\n", "HTTP/1.1 204 OK\r\n\r\n"], Outcome::Success),
            (
                vec!["HTTP/1.1 302 F\r\nlocation: http://example.com/\r\ncontent-length: 2\r\n\r\nhi"],
                Outcome::Warning("Probe terminated redirects, Response body: hi".into()),
            ),
        ];
        for (responses, outcome) in cases {
            assert_eq!(probe(&target(serve(responses).await), limit).await, outcome);
        }
    }

    #[tokio::test]
    async fn a_closed_port_is_refused() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let url = format!("http://127.0.0.1:{port}/healthz");
        let message = format!("Get {url:?}: dial tcp 127.0.0.1:{port}: connect: connection refused");
        assert_eq!(probe(&target(port), Duration::from_secs(20)).await, Outcome::Failure(message));
    }
}
