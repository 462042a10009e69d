//! The node API: what the API server asks a node for on behalf of users (`pkg/kubelet/server`).
//!
//! TLS with client certificates; whoever shows none is refused, and what others may do is asked of the API server
//! (`auth`). HTTP/1.1 only: connections that are upgraded for exec, attach and port-forward need it.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use object::Status;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::agent::Pods;
use crate::shared::Shared;

mod auth;
mod exec;
mod logs;
mod port_forward;
mod query;
mod stats;
mod upgrade;

use auth::{Authorizer, User};
use query::Query;

/// The body of an answer.
pub(crate) type Body = UnsyncBoxBody<Bytes, Infallible>;

/// The pause after a connection could not be accepted: the process may be out of descriptors.
const ACCEPT_RETRY: std::time::Duration = std::time::Duration::from_millis(100);

/// The node API.
pub(crate) struct Server {
    pub(crate) shared: Arc<Shared>,
    pub(crate) pods: Arc<Pods>,
    authorizer: Authorizer,
}

impl Server {
    pub(crate) fn new(shared: Arc<Shared>, pods: Arc<Pods>) -> Server {
        let authorizer = Authorizer::new(shared.client.clone(), shared.config.node_name.clone());
        Server { shared, pods, authorizer }
    }

    /// Serves connections until it is dropped.
    pub(crate) async fn run(self, listener: TcpListener, tls: rustls::ServerConfig) {
        let acceptor = TlsAcceptor::from(Arc::new(tls));
        let server = Arc::new(self);
        let mut connections = JoinSet::new();
        loop {
            while connections.try_join_next().is_some() {}
            match listener.accept().await {
                Ok((stream, peer)) => {
                    let (server, acceptor) = (Arc::clone(&server), acceptor.clone());
                    connections.spawn(async move {
                        if let Err(error) = server.connection(stream, acceptor).await {
                            tracing::debug!(%peer, %error, "a connection to the node API ended badly");
                        }
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection to the node API");
                    tokio::time::sleep(ACCEPT_RETRY).await;
                }
            }
        }
    }

    async fn connection(
        self: Arc<Self>,
        stream: TcpStream,
        acceptor: TlsAcceptor,
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        stream.set_nodelay(true)?;
        let stream = acceptor.accept(stream).await?;
        let certificates = stream.get_ref().1.peer_certificates();
        let user = certificates.and_then(|certificates| User::of_certificate(certificates.first()?));
        let service = service_fn(move |request| {
            let (server, user) = (Arc::clone(&self), user.clone());
            async move { Ok::<_, Infallible>(server.answer(user, request).await) }
        });
        hyper::server::conn::http1::Builder::new()
            .serve_connection(TokioIo::new(stream), service)
            .with_upgrades()
            .await?;
        Ok(())
    }

    async fn answer(&self, user: Option<User>, request: Request<Incoming>) -> Response<Body> {
        let result = match user {
            None => Err(Status::unauthorized("Unauthorized")),
            Some(user) => match self.authorizer.check(&user, request.method(), request.uri().path()).await {
                Ok(()) => self.route(request).await,
                Err(status) => Err(status),
            },
        };
        result.unwrap_or_else(|status| status_response(&status))
    }

    async fn route(&self, request: Request<Incoming>) -> Result<Response<Body>, Status> {
        let path = request.uri().path().to_owned();
        let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
        let query = Query::parse(request.uri().query().unwrap_or_default());
        let is_stream = matches!(*request.method(), Method::GET | Method::POST);
        match (request.method(), parts.as_slice()) {
            (&Method::GET, ["healthz"]) => Ok(text(StatusCode::OK, "ok")),
            (&Method::GET, ["pods"]) => Ok(json(self.pod_list())),
            (&Method::GET, ["stats", "summary"]) => self.stats_summary().await.map(json),
            (&Method::GET, ["metrics", "resource"]) => {
                self.resource_metrics().await.map(|metrics| text(StatusCode::OK, metrics))
            }
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
