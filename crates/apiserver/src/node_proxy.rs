//! The way to nodes and pods: logs, exec, attach, port-forward and plain proxying.
//!
//! The server resolves whom a request is for, dials it and then passes bytes on; upgraded connections
//! (WebSocket, SPDY) are spoken end to end by the client and the node.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONNECTION, HOST, HeaderName, HeaderValue, UPGRADE};
use http::{Method, Request, Response, StatusCode, Uri};
use http_body_util::BodyExt;
use hyper_util::rt::TokioIo;
use object::Status;
use rustls::pki_types::ServerName;
use tls::Identity;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::ApiServer;
use crate::authz::{Attributes, Target as AuthTarget};
use crate::body::{self, Body, BodyError};
use crate::pki::{KeyedCertificate, Pki, Subject, Usage, Wanted};
use crate::request::RequestInfo;
use crate::user::{GROUP_MASTERS, User};

mod resolve;

use resolve::{Scheme, Target};

/// How long dialing a node or a pod may take.
const DIAL_WITHIN: std::time::Duration = std::time::Duration::from_secs(10);
/// Headers that end at each hop, or that carry the client's own credentials.
const NOT_PASSED_ON: [HeaderName; 2] = [AUTHORIZATION, HOST];

/// Dials nodes with the server's own client certificate, and pods without one.
pub struct NodeProxy {
    /// What nodes are shown.
    pub identity: Arc<Identity>,
    nodes: TlsConnector,
    anything: TlsConnector,
}

/// The certificate that a server shows nodes.
pub fn client_certificate() -> Wanted {
    let subject = Subject {
        common_name: "kube-apiserver-kubelet-client".into(),
        organizations: vec![GROUP_MASTERS.into()],
        ..Subject::default()
    };
    Wanted::new("client-kube-apiserver", Usage::Client, subject)
}

/// Whether a request is for a node or a pod and not for the store.
pub fn is_streaming(info: &RequestInfo) -> bool {
    info.group.is_empty()
        && match info.resource.as_str() {
            "pods" => {
                matches!(info.subresource.as_str(), "log" | "exec" | "attach" | "portforward" | "proxy")
            }
            "services" | "nodes" => info.subresource == "proxy",
            _ => false,
        }
}

impl NodeProxy {
    /// A proxy that shows nodes this certificate and trusts those with a certificate of the nodes' authority.
    ///
    /// # Errors
    /// [`rustls::Error`] where the certificates cannot be used.
    pub fn new(pki: &Pki, identity: &KeyedCertificate) -> Result<NodeProxy, rustls::Error> {
        let identity = Identity::from_pem(&identity.certificate, &identity.key)?;
        let nodes = tls::client(pki.kubelet_serving.certificate(), Some(Arc::clone(&identity)))?;
        // Pods' and services' own certificates are nobody's here: upstream's proxy does not verify them either.
        let anything = tls::unverified_client();
        Ok(NodeProxy { identity, nodes: Arc::new(nodes).into(), anything: Arc::new(anything).into() })
    }

    /// Sends a request to a target and passes the answer back; an upgrade joins the two connections.
    async fn pass<B>(&self, target: &Target, mut request: Request<B>) -> Result<Response<Body>, Status>
    where
        B: http_body::Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<BodyError>,
    {
        let unreachable = |error: &dyn std::fmt::Display| {
            Status::failure(
                object::Reason::ServiceUnavailable,
                format!("error trying to reach service: dial tcp {}: {error}", target.address),
            )
        };
        let dialed = tokio::time::timeout(DIAL_WITHIN, TcpStream::connect(target.address)).await;
        let stream = dialed.map_err(|_| unreachable(&"i/o timeout"))?.map_err(|error| unreachable(&error))?;
        let _ = stream.set_nodelay(true);
        let connector = match target.scheme {
            Scheme::Http => None,
            Scheme::Https => Some(&self.anything),
            Scheme::Node => Some(&self.nodes),
        };
        let client_side = request.headers().contains_key(UPGRADE).then(|| hyper::upgrade::on(&mut request));
        let outgoing = rewrite(target, request)?;
        let response = match connector {
            None => send(stream, outgoing).await,
            Some(connector) => {
                let name = ServerName::from(target.address.ip());
                let stream = connector.connect(name, stream).await.map_err(|error| unreachable(&error))?;
                send(stream, outgoing).await
            }
        };
        let mut response = response.map_err(|error| unreachable(&error))?;
        if response.status() == StatusCode::SWITCHING_PROTOCOLS
            && let Some(client_side) = client_side
        {
            let node_side = hyper::upgrade::on(&mut response);
            tokio::spawn(join(client_side, node_side));
            let (parts, _) = response.into_parts();
            return Ok(Response::from_parts(parts, body::empty()));
        }
        Ok(response.map(|incoming| incoming.map_err(BodyError::from).boxed_unsync()))
    }
}

impl ApiServer {
    /// Answers a request for a node or a pod.
    pub(crate) async fn stream<B>(
        &self,
        user: &User,
        info: &RequestInfo,
        request: Request<B>,
    ) -> Result<Response<Body>, Status>
    where
        B: http_body::Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<BodyError>,
    {
        self.authorize(user, info)?;
        self.placed(info)?;
        // A WebSocket opens with GET; what it does is a creation all the same.
        let opens = matches!(info.subresource.as_str(), "exec" | "attach" | "portforward");
        if opens && request.method() == Method::GET {
            let target = AuthTarget::Resource {
                group: "",
                resource: &info.resource,
                subresource: &info.subresource,
                namespace: &info.namespace,
                name: &info.name,
            };
            if !self.authorizer.authorize(user, &Attributes::new("create", target)).is_allowed() {
                return Err(self
                    .authorize(user, &RequestInfo { verb: "create".into(), ..info.clone() })
                    .err()
                    .unwrap_or_else(|| {
                        Status::forbidden("", &info.resource_path(), &info.name, "create is not allowed")
                    }));
            }
        }
        if opens && !request.headers().contains_key(UPGRADE) {
            return Err(Status::bad_request("Upgrade request required"));
        }
        match resolve::resolve(self, info, request.uri().query()).await? {
            Some(target) => self.nodes.pass(&target, request).await,
            // A pod that is on no node yet has said nothing.
            None => Ok(Response::new(body::empty())),
        }
    }
}

/// The request as the target sees it.
fn rewrite<B>(target: &Target, request: Request<B>) -> Result<Request<Body>, Status>
where
    B: http_body::Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BodyError>,
{
    let (mut parts, incoming) = request.into_parts();
    parts.uri = target
        .path_and_query
        .parse::<Uri>()
        .map_err(|error| Status::bad_request(format!("the path cannot be passed on: {error}")))?;
    parts.version = http::Version::HTTP_11;
    for name in NOT_PASSED_ON {
        parts.headers.remove(name);
    }
    if !parts.headers.contains_key(UPGRADE) {
        parts.headers.remove(CONNECTION);
    }
    let host = HeaderValue::from_str(&target.address.to_string())
        .map_err(|error| Status::internal_error(format!("host header: {error}")))?;
    parts.headers.insert(HOST, host);
    Ok(Request::from_parts(parts, incoming.map_err(Into::into).boxed_unsync()))
}

async fn send<S>(stream: S, request: Request<Body>) -> Result<Response<hyper::body::Incoming>, hyper::Error>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(async move {
        if let Err(error) = connection.with_upgrades().await {
            tracing::debug!(%error, "a proxied connection ended badly");
        }
    });
    sender.send_request(request).await
}

async fn join(client_side: hyper::upgrade::OnUpgrade, node_side: hyper::upgrade::OnUpgrade) {
    let (Ok(client), Ok(node)) = tokio::join!(client_side, node_side) else { return };
    let (mut client, mut node) = (TokioIo::new(client), TokioIo::new(node));
    // Either side's end, good or bad, is the end of both.
    let _ = tokio::io::copy_bidirectional(&mut client, &mut node).await;
}
