//! The connection to a webhook: HTTP/1.1 over TLS, as upstream's client uses it.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, HOST, USER_AGENT};
use http::{HeaderValue, Method, Request, Response, Uri};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use object::{Status, Value};
use rustls::CertificateError;
use rustls::pki_types::ServerName;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;

use super::pool::{Connection, Pool};
use super::resolve::{self, Place};
use crate::admission::Reader;
use crate::dial::{Dial, Stream, cause};

/// How much of an answer that is not one is shown to the client.
const SHOWN_BYTES_MAX: usize = 2048;
/// How many endpoints of a Service are tried.
const DIALS_MAX: usize = 3;
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const AGENT: HeaderValue = HeaderValue::from_static("kube-apiserver-admission");

/// Where a webhook listens.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Target {
    Service { namespace: String, name: String, port: u16 },
    Host { host: String, port: u16 },
}

/// A way to a webhook, as its `clientConfig` describes it.
pub(crate) struct Client {
    target: Result<Target, String>,
    /// `https://` and what is called: host and port as the `Host` header has them.
    authority: String,
    path: String,
    /// The name that the webhook's certificate must have.
    server_name: String,
    authorities: Value,
    /// Made at the first call.
    tls: OnceLock<Result<Connector, String>>,
    pool: Pool,
}

#[derive(Clone)]
struct Connector {
    tls: TlsConnector,
    name: ServerName<'static>,
}

/// A question on its way.
pub(crate) struct Post<'a> {
    /// Its JSON.
    pub(crate) text: Bytes,
    /// When the answer must be there.
    pub(crate) deadline: Instant,
    /// How large the answer may be.
    pub(crate) answer_bytes_max: usize,
    /// Finds Services and their endpoints.
    pub(crate) reader: &'a dyn Reader,
    /// Dials what was found.
    pub(crate) dialer: &'a dyn Dial,
    /// Which endpoint of a Service is tried first.
    pub(crate) random: u64,
}

/// Why a webhook gave no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CallError {
    /// Why, in upstream's words.
    pub(crate) why: String,
    /// The status code that belongs to it, for metrics.
    pub(crate) code: u16,
    /// Whether the text contains parts of an answer, which may contain anything: it is not logged.
    pub(crate) is_quoted: bool,
    /// Whether it was called: not without a usable configuration.
    pub(crate) is_call: bool,
}

impl CallError {
    fn of_call(why: String) -> CallError {
        CallError { why, code: 503, is_quoted: false, is_call: true }
    }
}

impl Client {
    /// Reads a `clientConfig`. What is wrong with it shows at the first call.
    pub(crate) fn new(config: &Value) -> Client {
        let service = config.get("service");
        let mut client = Client {
            target: Err("webhook configuration must have either service or URL".to_owned()),
            authority: String::new(),
            path: String::new(),
            server_name: String::new(),
            authorities: config.get("caBundle").clone(),
            tls: OnceLock::new(),
            pool: Pool::default(),
        };
        if !service.is_null() {
            let (namespace, name) =
                (service.str_at("namespace").to_owned(), service.str_at("name").to_owned());
            let port = service.get("port").as_i64().and_then(|port| u16::try_from(port).ok()).unwrap_or(443);
            client.server_name = format!("{name}.{namespace}.svc");
            client.authority = format!("{}:{port}", client.server_name);
            client.path = path(service.str_at("path"));
            client.target = Ok(Target::Service { namespace, name, port });
        } else if let Some(url) = config.get("url").as_str() {
            match url.parse::<Uri>() {
                Ok(uri) if uri.host().is_some() && uri.scheme_str() == Some("https") => client.go_to(&uri),
                _ => client.target = Err("Unparsable URL".to_owned()),
            }
        }
        client
    }

    fn go_to(&mut self, uri: &Uri) {
        let host = uri.host().unwrap_or_default();
        self.authority = uri.authority().map(ToString::to_string).unwrap_or_default();
        self.path = path(uri.path());
        let host = host.trim_matches(['[', ']']).to_owned();
        self.server_name.clone_from(&host);
        self.target = Ok(Target::Host { host, port: uri.port_u16().unwrap_or(443) });
    }

    fn connector(&self) -> Result<&Connector, CallError> {
        let made = self.tls.get_or_init(|| {
            let bundle = STANDARD.decode(self.authorities.as_str().unwrap_or_default()).unwrap_or_default();
            let config = match bundle.is_empty() {
                true => tls::client_of_system().map_err(|error| error.to_string())?,
                false => tls::client_of_bundle(&String::from_utf8_lossy(&bundle)).map_err(|_| {
                    "unable to load root certificates: unable to parse bytes as PEM block".to_owned()
                })?,
            };
            let name = ServerName::try_from(self.server_name.clone())
                .map_err(|_| format!("{:?} is not the name of a server", self.server_name))?;
            Ok(Connector { tls: Arc::new(config).into(), name })
        });
        made.as_ref().map_err(|why| CallError {
            code: 500,
            is_call: false,
            ..CallError::of_call(format!("could not get REST client: {why}"))
        })
    }

    /// Sends a question; returns the text of the answer.
    ///
    /// # Errors
    /// In upstream's words, if there was no answer in time, or it was not a success.
    pub(crate) async fn post(&self, post: &Post<'_>) -> Result<Bytes, CallError> {
        let connector = self.connector()?;
        let seconds = (post.deadline - Instant::now()).as_millis().div_ceil(1000);
        let target = format!("{}?timeout={seconds}s", self.path);
        let failed = |why: &dyn std::fmt::Display| {
            CallError::of_call(format!("Post \"https://{}{target}\": {why}", self.authority))
        };
        match timeout_at(post.deadline, self.exchange(connector, &target, post)).await {
            Err(_) => Err(failed(&"context deadline exceeded")),
            Ok(Err(Broken::Way(why))) => Err(failed(&why)),
            Ok(Err(Broken::Answer(error))) => Err(error),
            Ok(Ok(text)) => Ok(text),
        }
    }

    async fn exchange(&self, connector: &Connector, target: &str, post: &Post<'_>) -> Result<Bytes, Broken> {
        let mut request = self.request(target, &post.text)?;
        let way = self.way(post).map_err(Broken::Way)?;
        // A connection that the webhook has closed meanwhile gives the request back unsent.
        while let Some(mut connection) = self.pool.take(way.first()).await {
            match connection.sender.try_send_request(request).await {
                Ok(response) => return self.receive(connection, response, post.answer_bytes_max).await,
                Err(mut error) => match error.take_message() {
                    Some(unsent) => request = unsent,
                    None => return Err(Broken::Way(lost(error.error()))),
                },
            }
        }
        let mut connection = connect(connector, &way, post.dialer).await.map_err(Broken::Way)?;
        let response =
            connection.sender.send_request(request).await.map_err(|error| Broken::Way(lost(&error)))?;
        self.receive(connection, response, post.answer_bytes_max).await
    }

    fn request(&self, target: &str, text: &Bytes) -> Result<Request<Full<Bytes>>, Broken> {
        let request = Request::builder()
            .method(Method::POST)
            .uri(target)
            .header(HOST, &self.authority)
            .header(CONTENT_TYPE, JSON)
            .header(ACCEPT, JSON)
            .header(USER_AGENT, AGENT)
            .body(Full::new(text.clone()));
        request.map_err(|error| Broken::Way(error.to_string()))
    }

    /// Where the webhook is now.
    fn way(&self, post: &Post<'_>) -> Result<Place, String> {
        match self.target.as_ref().map_err(Clone::clone)? {
            Target::Host { host, port } => Ok(Place::Host(host.clone(), *port)),
            Target::Service { namespace, name, port } => {
                let mut place = resolve::resolve(post.reader, namespace, name, *port)?;
                if let Place::Addresses(addresses) = &mut place {
                    let first = post.random.checked_rem(addresses.len() as u64).unwrap_or(0);
                    addresses.rotate_left(usize::try_from(first).unwrap_or(0));
                }
                Ok(place)
            }
        }
    }

    /// Reads an answer; the connection is kept for the next question.
    async fn receive(
        &self,
        connection: Connection,
        response: Response<Incoming>,
        bytes_max: usize,
    ) -> Result<Bytes, Broken> {
        let (parts, body) = response.into_parts();
        let body = Limited::new(body, bytes_max).collect().await.map_err(|error| {
            let why = match error.is::<LengthLimitError>() {
                true => format!("the answer is larger than {bytes_max} bytes"),
                false => lost(error.as_ref()),
            };
            Broken::Way(why)
        })?;
        let text = body.to_bytes();
        self.pool.give(connection);
        if (200..=206).contains(&parts.status.as_u16()) {
            return Ok(text);
        }
        Err(Broken::Answer(unsuccessful(parts.status.as_u16(), &text)))
    }
}

/// Why there is no answer.
enum Broken {
    /// The webhook was not reached, or fell silent.
    Way(String),
    /// It answered with an error.
    Answer(CallError),
}

/// An answer with an error, of which only the beginning is shown, as it would show in another client's hands.
fn unsuccessful(code: u16, text: &[u8]) -> CallError {
    let own = object::json::parse(text).ok().and_then(|value| Status::from_value(&value));
    let text = String::from_utf8_lossy(&text[..text.len().min(SHOWN_BYTES_MAX)]);
    let status = own.unwrap_or_else(|| {
        Status::generic_server_response(&object::Response {
            code,
            method: "POST",
            group: "",
            resource: "",
            name: "",
            body: text.trim(),
            retry_after_seconds: 0,
            unexpected: true,
        })
    });
    let message: String = status.message.chars().take(SHOWN_BYTES_MAX).collect();
    CallError { code, is_quoted: true, ..CallError::of_call(message) }
}

async fn connect(connector: &Connector, place: &Place, dialer: &dyn Dial) -> Result<Connection, String> {
    let (stream, to) = match place {
        Place::Addresses(addresses) => {
            let (stream, address) = dial(dialer, addresses.iter().copied()).await?;
            (stream, Some(address))
        }
        Place::Host(host, port) => {
            let found = tokio::net::lookup_host((host.as_str(), *port)).await;
            let found = found.map_err(|error| format!("dial tcp: lookup {host}: {error}"))?;
            (dial(dialer, found).await?.0, None)
        }
    };
    let stream =
        connector.tls.connect(connector.name.clone(), stream).await.map_err(|error| untrusted(&error))?;
    let (sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|error| lost(&error))?;
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "a connection to a webhook failed");
        }
    });
    Ok(Connection { sender, to })
}

async fn dial(
    dialer: &dyn Dial,
    addresses: impl Iterator<Item = SocketAddr>,
) -> Result<(Box<dyn Stream>, SocketAddr), String> {
    let mut why = "no addresses".to_owned();
    for address in addresses.take(DIALS_MAX) {
        match dialer.dial(address).await {
            Ok(stream) => return Ok((stream, address)),
            Err(error) => why = format!("dial tcp {address}: connect: {}", cause(&error)),
        }
    }
    Err(why)
}

/// Why an exchange has ended; one that the webhook has ended too early as Go's client says it.
fn lost(error: &(dyn std::error::Error + 'static)) -> String {
    let is_end = |error: &(dyn std::error::Error + 'static)| {
        let by_http = error.downcast_ref().is_some_and(hyper::Error::is_incomplete_message);
        let by_tls = error.downcast_ref::<std::io::Error>();
        by_http || by_tls.is_some_and(|error| error.kind() == std::io::ErrorKind::UnexpectedEof)
    };
    match std::iter::successors(Some(error), |error| error.source()).any(is_end) {
        true => "EOF".to_owned(),
        false => causes::chain(error),
    }
}

/// Why there is no TLS with a server, in Go's words for what people meet.
fn untrusted(error: &std::io::Error) -> String {
    let cause = error.get_ref().and_then(|error| error.downcast_ref::<rustls::Error>());
    let of_certificate = |why: &str| format!("tls: failed to verify certificate: x509: {why}");
    match cause {
        Some(rustls::Error::InvalidCertificate(why)) => match why {
            CertificateError::UnknownIssuer | CertificateError::BadSignature => {
                of_certificate("certificate signed by unknown authority")
            }
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. } => {
                of_certificate("certificate has expired or is not yet valid")
            }
            other => of_certificate(&other.to_string()),
        },
        Some(other) => format!("tls: {other}"),
        None => error.to_string(),
    }
}

/// A path as Go's `path.Join("/", path)` cleans it, except for dots, which are not valid in one.
fn path(text: &str) -> String {
    let steps: Vec<&str> = text.split('/').filter(|step| !step.is_empty()).collect();
    format!("/{}", steps.join("/"))
}

#[cfg(test)]
mod tests {
    use object::value;

    use super::*;

    #[test]
    fn a_client_config_says_whom_to_call() {
        let service = |patch: Value| {
            let service = value!({"name": "s", "namespace": "n", "port": 443});
            value!({"service": object::patch::merge_patch(service, patch).unwrap()})
        };
        let table = [
            (service(value!({})), "s.n.svc:443", "/", "s.n.svc"),
            (service(value!({"port": 8443, "path": "/a//b/"})), "s.n.svc:8443", "/a/b", "s.n.svc"),
            (value!({"url": "https://example.com"}), "example.com", "/", "example.com"),
            (value!({"url": "https://[::1]:8443/a"}), "[::1]:8443", "/a", "::1"),
        ];
        for (config, authority, path, name) in table {
            let client = Client::new(&config);
            assert!(client.target.is_ok(), "{authority}");
            assert_eq!((&*client.authority, &*client.path, &*client.server_name), (authority, path, name));
        }
        for config in [value!({}), value!({"url": "http://example.com"}), value!({"url": "https://"})] {
            assert!(Client::new(&config).target.is_err());
        }
    }

    #[test]
    fn authorities_that_cannot_be_read_are_not_replaced_by_others() {
        let client = Client::new(&value!({"url": "https://example.com", "caBundle": STANDARD.encode("\n")}));
        let failure = client.connector().err().unwrap();
        let why =
            "could not get REST client: unable to load root certificates: unable to parse bytes as PEM block";
        assert_eq!(failure.why, why);
    }
}
