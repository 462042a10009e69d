//! The connection across a network: HTTP/2 (or 1.1) over TLS, with kube-rs' authentication.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER, USER_AGENT, WARNING};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use http_body_util::BodyExt;
use hyper_util::client::legacy::Client as Transport;
use hyper_util::client::legacy::connect::{Connect, HttpConnector};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use kube::client::{Body, ConfigExt};
use kube::config::{KubeConfigOptions, Kubeconfig};
use object::Status;
use tower::{BoxError, ServiceBuilder};

use crate::{
    ByteStream, ClientError, Connection, Content, ListPage, Request, RequestMetrics, Response, ServedStream,
    Verb, WatchStream,
};

mod decode;
mod lines;
mod served;
mod servers;

pub use servers::{SERVER_NAME, Servers};

/// A ping is sent when nothing was received for this long ...
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(30);
/// ... and the connection counts as broken if the answer takes longer than this.
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(15);
/// The same if there are other servers to fail over to, and a node that must not appear dead in the meantime.
const SERVERS_KEEP_ALIVE: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(10));
/// How long a TCP connection may take to be established.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
/// The largest answer that is read into memory for an error's text.
const ERROR_BODY_BYTES_MAX: usize = 1 << 20;

/// A [`Connection`] across a network. All requests share one HTTP/2 connection if the server supports it.
///
/// A dead server is noticed within 45 seconds by pings. Requests are not retried here: their callers know
/// whether that is safe.
#[derive(Clone)]
pub struct HttpConnection {
    client: kube::Client,
    host: Host,
    metrics: RequestMetrics,
}

/// The server of a connection, for its metrics.
#[derive(Clone)]
enum Host {
    /// A single one.
    One(Arc<str>),
    /// The one of these that is in use.
    InUse(Arc<Servers>),
}

impl HttpConnection {
    /// Connects according to the configuration; `user_agent` names the component to the server, which derives the
    /// default field manager from it.
    pub fn new(config: kube::Config, user_agent: &str) -> Result<HttpConnection, ClientError> {
        let mut config = config;
        let agent = HeaderValue::from_str(user_agent).map_err(|error| ClientError::Config(error.into()))?;
        config.headers.push((USER_AGENT, agent));
        let client = build(&config).map_err(|error| ClientError::Config(error.into()))?;
        let host = config.cluster_url.authority().map_or("", |authority| authority.as_str());
        Ok(HttpConnection { client, host: Host::One(host.into()), metrics: RequestMetrics::default() })
    }

    /// The same connection, whose requests are counted there.
    #[must_use]
    pub fn measured_by(self, metrics: RequestMetrics) -> HttpConnection {
        HttpConnection { metrics, ..self }
    }

    /// Connects with the current context of a kubeconfig file.
    pub async fn from_kubeconfig(path: &Path, user_agent: &str) -> Result<HttpConnection, ClientError> {
        let config = async {
            let kubeconfig = Kubeconfig::read_from(path)?;
            kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await
        };
        HttpConnection::new(config.await.map_err(|error| ClientError::Config(error.into()))?, user_agent)
    }

    /// Connects to any live server, over this TLS and with this bearer token, if any. A dead server is noticed within
    /// 20 seconds.
    ///
    /// # Errors
    /// [`ClientError::Config`] where token or user agent cannot stand in a header.
    pub fn to_servers(
        servers: Arc<Servers>,
        mut tls: rustls::ClientConfig,
        token: Option<&str>,
        user_agent: &str,
    ) -> Result<HttpConnection, ClientError> {
        let header =
            |text: &str| HeaderValue::from_str(text).map_err(|error| ClientError::Config(error.into()));
        let mut config = kube::Config::new(Uri::from_static("https://kubernetes"));
        config.headers.push((USER_AGENT, header(user_agent)?));
        if let Some(token) = token {
            let mut value = header(&format!("Bearer {token}"))?;
            value.set_sensitive(true);
            config.headers.push((AUTHORIZATION, value));
        }
        tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let host = Host::InUse(Arc::clone(&servers));
        let dialer = servers::Dialer { servers, tls: Arc::new(tls) };
        let client = stack(&config, dialer, SERVERS_KEEP_ALIVE);
        let client = client.map_err(|error| ClientError::Config(error.into()))?;
        Ok(HttpConnection { client, host, metrics: RequestMetrics::default() })
    }

    /// Sends a message, and counts it.
    async fn transmit(&self, message: http::Request<Body>) -> Result<http::Response<Body>, kube::Error> {
        let method = message.method().clone();
        let result = self.client.send(message).await;
        // The server that answered: the connection may have moved to another one meanwhile.
        let host = match &self.host {
            Host::One(host) => Arc::clone(host),
            Host::InUse(servers) => servers.in_use(),
        };
        let code = result.as_ref().ok().map(|response| response.status().as_u16());
        self.metrics.requested(&method, &host, code);
        result
    }

    /// Sends a request; an unsuccessful answer becomes its status.
    async fn send(&self, request: &Request) -> Result<http::Response<Body>, ClientError> {
        let message = http::Request::builder()
            .method(request.verb.method())
            .uri(request.path_and_query())
            .header(ACCEPT, accept(request));
        let message = if request.body.is_null() {
            message.body(Body::empty())
        } else {
            message
                .header(CONTENT_TYPE, request.content_type.as_str())
                .body(Body::from(object::json::to_vec(&request.body)))
        };
        self.exchange(message, Some(request)).await
    }

    /// Sends a message about `request`, or about no resource.
    async fn exchange(
        &self,
        message: http::Result<http::Request<Body>>,
        request: Option<&Request>,
    ) -> Result<http::Response<Body>, ClientError> {
        let message = message.map_err(|error| ClientError::decode("the request", error))?;
        let method = message.method().clone();
        let sent = self.transmit(message).await;
        let response = sent.map_err(|error| ClientError::transport("send the request", error))?;
        if response.status().is_success() {
            return Ok(response);
        }
        let (head, body) = response.into_parts();
        // A body that breaks off leaves the code, which is enough for a status.
        let body = http_body_util::Limited::new(body, ERROR_BODY_BYTES_MAX);
        let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
        Err(status_of(&method, request, head.status, &head.headers, &body).into())
    }

    async fn read_whole(&self, response: http::Response<Body>) -> Result<Response, ClientError> {
        let (head, body) = response.into_parts();
        let body = body.collect().await.map_err(|error| ClientError::transport("read the answer", error))?;
        let warnings = head.headers.get_all(WARNING).iter().filter_map(warning_text).collect();
        Ok(Response { code: head.status.as_u16(), body: Content::Text(body.to_bytes()), warnings })
    }

    async fn send_streaming(&self, request: &Request) -> Result<ByteStream, ClientError> {
        let body = self.send(request).await?.into_body();
        Ok(body.into_data_stream().map_err(|error| ClientError::transport("read the stream", error)).boxed())
    }
}

#[async_trait]
impl Connection for HttpConnection {
    async fn call(&self, request: Request) -> Result<Response, ClientError> {
        self.read_whole(self.send(&request).await?).await
    }

    async fn list(&self, request: Request) -> Result<ListPage, ClientError> {
        let response = self.read_whole(self.send(&request).await?).await?;
        decode::list(&request.target.resource, &response.body.text())
    }

    async fn watch(&self, request: Request) -> Result<WatchStream, ClientError> {
        let bytes = self.send_streaming(&request).await?;
        let mut decoder = decode::WatchDecoder::new(&request.target.resource);
        let events = lines::lines(bytes).map(move |line| line.and_then(|line| decoder.event(&line)));
        Ok(end_after_error(events).boxed())
    }

    async fn get_path(&self, path: &str, accept: &str) -> Result<Response, ClientError> {
        let message = http::Request::get(path).header(ACCEPT, accept).body(Body::empty());
        self.read_whole(self.exchange(message, None).await?).await
    }

    async fn follow_served(&self) -> Result<ServedStream, ClientError> {
        self.ask_for_changes(served::INTERVAL).await
    }

    async fn stream(&self, request: Request) -> Result<ByteStream, ClientError> {
        self.send_streaming(&request).await
    }
}

/// kube-rs' stack of layers over a connector that also offers HTTP/2 and pings.
fn build(config: &kube::Config) -> Result<kube::Client, kube::Error> {
    let mut connector = HttpConnector::new();
    connector.enforce_http(false);
    connector.set_nodelay(true);
    connector.set_connect_timeout(Some(config.connect_timeout.unwrap_or(CONNECT_TIMEOUT)));
    let mut tls = hyper_rustls::HttpsConnectorBuilder::new()
        .with_tls_config(config.rustls_client_config()?)
        .https_or_http();
    if let Some(name) = &config.tls_server_name {
        let name = name.clone().try_into().map_err(|error| kube::Error::Service(BoxError::from(error)))?;
        tls = tls.with_server_name_resolver(hyper_rustls::FixedServerNameResolver::new(name));
    }
    let connector = tls.enable_http1().enable_http2().wrap_connector(connector);
    stack(config, connector, (KEEP_ALIVE_INTERVAL, KEEP_ALIVE_TIMEOUT))
}

/// kube-rs' layers over a transport with this connector, which pings at this interval and waits this long for answers.
fn stack<C: Connect + Clone + Send + Sync + 'static>(
    config: &kube::Config,
    connector: C,
    (interval, timeout): (Duration, Duration),
) -> Result<kube::Client, kube::Error> {
    let transport = Transport::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .timer(TokioTimer::new())
        .http2_keep_alive_interval(interval)
        .http2_keep_alive_timeout(timeout)
        // What counts as idle includes the last stream of a connection that the pool no longer holds, such as a watch.
        .http2_keep_alive_while_idle(true)
        .http2_adaptive_window(true)
        .build(connector);
    let service = ServiceBuilder::new()
        .layer(config.base_uri_layer())
        .option_layer(config.auth_layer()?)
        .layer(config.extra_headers_layer()?)
        .map_err(BoxError::from)
        .service(transport);
    Ok(kube::Client::new(service, config.default_namespace.clone()))
}

/// The media types of the answer. Without its metadata form, a resource is served whole.
fn accept(request: &Request) -> &'static str {
    match (request.metadata_only, request.verb) {
        (false, _) => "application/json",
        (true, Verb::List) => {
            "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json"
        }
        (true, _) => "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json",
    }
}

/// The status in an answer's body, or one derived from its code if there is none (a proxy answered).
fn status_of(
    method: &Method,
    request: Option<&Request>,
    code: StatusCode,
    headers: &HeaderMap,
    body: &Bytes,
) -> Status {
    let target = request.map(|request| &request.target);
    let carried = object::json::parse(body).ok().and_then(|value| Status::from_value(&value));
    carried.unwrap_or_else(|| {
        let retry_after = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        Status::generic_server_response(&object::Response {
            code: code.as_u16(),
            method: method.as_str(),
            group: target.map_or("", |target| &target.resource.group),
            resource: target.map_or("", |target| &target.resource.plural),
            name: target.map_or("", |target| &target.name),
            body: &String::from_utf8_lossy(body),
            retry_after_seconds: retry_after.unwrap_or(0),
            unexpected: true,
        })
    })
}

/// The text of a `Warning` header of the form `299 - "text"`, without its quotes.
fn warning_text(value: &HeaderValue) -> Option<String> {
    let rest = value.to_str().ok()?.strip_prefix("299 ")?;
    let quoted = &rest[rest.find('"')?..];
    // The header's quoted string has JSON's escapes for quotes and backslashes.
    let mut texts = serde_json::Deserializer::from_str(quoted).into_iter::<String>();
    texts.next()?.ok()
}

/// Passes items on up to and including the first error.
fn end_after_error<T: Send>(
    items: impl futures::Stream<Item = Result<T, ClientError>> + Send,
) -> impl futures::Stream<Item = Result<T, ClientError>> + Send {
    items.scan(false, |ended, item| {
        let pass = if *ended { None } else { Some(item) };
        *ended = matches!(pass, Some(Err(_)));
        futures::future::ready(pass)
    })
}

#[cfg(test)]
mod tests;
