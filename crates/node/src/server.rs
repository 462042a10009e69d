//! The node API, which the API server calls on behalf of users (`pkg/kubelet/server`).
//!
//! TLS with client certificates; clients without one are refused, and the API server authorizes the others (`auth`).
//! HTTP/1.1 only, because upgraded connections for exec, attach and port-forward need it.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use object::Status;
use rustls::pki_types::CertificateDer;
use serve::Inbound;
use serve::{Limits, Port, Rank};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::pods::Pods;
use crate::shared::Shared;

mod auth;
mod exec;
mod host_logs;
mod inventory;
mod logs;
mod metrics;
mod port_forward;
mod query;
mod stats;
mod upgrade;

use auth::{Authorizer, User};
use query::Query;
use stats::Rates;

/// The body of an answer.
pub(crate) type Body = UnsyncBoxBody<Bytes, Infallible>;

/// The share of the process's descriptors for connections of the node API, whose clients are the API servers and
/// scrapers of metrics.
const DESCRIPTORS_PART: usize = 8;

/// The node API.
pub(crate) struct Server {
    pub(crate) shared: Arc<Shared>,
    pub(crate) pods: Arc<Pods>,
    authorizer: Authorizer,
    rates: Rates,
}

impl Server {
    pub(crate) fn new(shared: Arc<Shared>, pods: Arc<Pods>) -> Server {
        let authorizer = Authorizer::new(shared.client.clone(), shared.config.node_name.clone());
        Server { shared, pods, authorizer, rates: Rates::default() }
    }

    /// Serves connections until it is dropped.
    pub(crate) async fn run(self, listener: TcpListener, tls: rustls::ServerConfig) {
        let mut limits = Limits::of_descriptors(DESCRIPTORS_PART);
        // Clients read the answers of nodes as they arrive: logs, terminals, ports.
        limits.stall_max = limits.stream_stall_max;
        let port = Port { listener, tls: Some(TlsAcceptor::from(Arc::new(tls))), limits };
        serve::run(port, Arc::new(self), CancellationToken::new()).await;
    }

    async fn respond(&self, user: Option<User>, request: Request<Inbound>) -> Response<Body> {
        let _answering =
            self.shared.metrics.requested(metrics::labels(request.method(), request.uri().path()));
        let result = match user {
            None => Err(Status::unauthorized("Unauthorized")),
            Some(user) => match self.authorizer.check(&user, request.method(), request.uri().path()).await {
                Ok(()) => self.route(request).await,
                Err(status) => Err(status),
            },
        };
        result.unwrap_or_else(|status| status_response(&status))
    }

    async fn route(&self, request: Request<Inbound>) -> Result<Response<Body>, Status> {
        let path = request.uri().path().to_owned();
        let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
        let query = Query::parse(request.uri().query().unwrap_or_default());
        let is_stream = matches!(*request.method(), Method::GET | Method::POST);
        match (request.method(), parts.as_slice()) {
            (&Method::GET, ["healthz"]) => Ok(text(StatusCode::OK, "ok")),
            (&Method::GET, ["pods"]) => Ok(json(self.pod_list())),
            (&Method::GET, ["stats", "summary"]) => self.stats_summary(&query).await.map(json),
            (&Method::GET, ["metrics"]) => self.own_metrics(request.headers()).await,
            (&Method::GET, ["metrics", "probes"]) => Ok(self.probe_metrics(request.headers())),
            (&Method::GET, ["metrics", "cadvisor"]) => {
                self.container_metrics().await.map(|metrics| full(StatusCode::OK, ::metrics::TEXT, metrics))
            }
            (&Method::GET, ["metrics", "resource"]) => {
                self.resource_metrics().await.map(|metrics| full(StatusCode::OK, ::metrics::TEXT, metrics))
            }
            (&Method::GET, ["logs", ..]) => self.host_logs(&path).await,
            (&Method::GET, ["configz"]) => Ok(json(self.configz())),
            (&Method::GET, ["runningpods"]) => self.running_pods().await.map(json),
            (&Method::GET, ["containerLogs", namespace, pod, container]) => {
                self.container_logs(namespace, pod, container, &query).await
            }
            (_, ["exec", namespace, pod, .., container]) if is_stream => {
                self.exec(request, namespace, pod, container, &query).await
            }
            (_, ["attach", namespace, pod, .., container]) if is_stream => {
                self.attach(request, namespace, pod, container, &query).await
            }
            (_, ["portForward", namespace, pod, ..]) if is_stream => {
                self.port_forward(request, namespace, pod, &query).await
            }
            _ => Ok(text(StatusCode::NOT_FOUND, "404 page not found\n")),
        }
    }

    fn pod_list(&self) -> Vec<u8> {
        let pods: Vec<_> =
            self.pods.list().iter().map(|pod| serde_json::to_value(&**pod).unwrap_or_default()).collect();
        serde_json::json!({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": pods})
            .to_string()
            .into_bytes()
    }
}

impl serve::Service for Server {
    type Peer = Option<User>;
    type Body = Body;

    fn peer(&self, certificate: Option<&CertificateDer<'_>>, _: SocketAddr) -> (Option<User>, Rank) {
        let user = certificate.and_then(User::of_certificate);
        let rank = match &user {
            None => Rank::Anonymous,
            Some(user) if user.is_master() => Rank::Administrator,
            Some(_) => Rank::Known,
        };
        (user, rank)
    }

    async fn answer(self: Arc<Self>, request: Request<Inbound>, user: Option<User>) -> Response<Body> {
        self.respond(user, request).await
    }
}

fn full(code: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(Full::new(body.into()).boxed_unsync());
    *response.status_mut() = code;
    response.headers_mut().insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static(content_type));
    response
}

fn text(code: StatusCode, body: impl Into<Bytes>) -> Response<Body> {
    full(code, "text/plain; charset=utf-8", body)
}

fn json(body: Vec<u8>) -> Response<Body> {
    full(StatusCode::OK, "application/json", body)
}

fn status_response(status: &Status) -> Response<Body> {
    let code = StatusCode::from_u16(status.code()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    full(code, "application/json", crate::streaming::status_json(status))
}
