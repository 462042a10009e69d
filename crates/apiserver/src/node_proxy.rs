//! Requests to nodes and pods: logs, exec, attach, port-forward and plain proxying.
//!
//! The server resolves the target of a request, dials it and then forwards bytes; upgraded connections (WebSocket,
//! SPDY) run end to end between the client and the node.

use std::net::IpAddr;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http::header::{ACCEPT, ACCEPT_ENCODING, HOST, HeaderValue, LOCATION};
use http::{Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::TokioIo;
use object::{Status, Value};
use rustls::pki_types::ServerName;
use schema::GroupResource;
use tls::Identity;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;

use crate::ApiServer;
use crate::body::{self, Body, BodyError};
use crate::dial::{Dial, Tcp};
use crate::options::WriteOptions;
use crate::pki::{KeyedCertificate, Pki, Subject, Usage, Wanted};
use crate::registry::{Call, Endpoint};
use crate::request::RequestInfo;
use crate::user::User;

mod headers;
mod hosts;
mod join;
mod links;
mod options;
mod resolve;
mod service;
mod target;

pub(crate) use headers::has_token;
use target::{Scheme, Target};

/// How long dialing a node or a pod may take.
const DIAL_WITHIN: std::time::Duration = std::time::Duration::from_secs(10);
/// Dials nodes with the server's own client certificate, and pods without one.
pub struct NodeProxy {
    /// The certificate presented to nodes.
    pub identity: Arc<Identity>,
    nodes: TlsConnector,
    anything: TlsConnector,
    dialer: Box<dyn Dial>,
    /// Kept between requests.
    addresses: hosts::NodeAddresses,
}

/// The certificate that a server presents to nodes.
pub fn client_certificate() -> Wanted {
    let subject = Subject {
        // Its role is `system:kubelet-api-admin`.
        common_name: "kube-apiserver-kubelet-client".into(),
        ..Subject::default()
    };
    Wanted::new("client-kube-apiserver", Usage::Client, subject)
}

/// Whether a request is for a node or a pod and not for the store.
pub fn is_streaming(info: &RequestInfo) -> bool {
    match info.group_resource() {
        GroupResource::PODS => {
            matches!(info.subresource.as_str(), "log" | "exec" | "attach" | "portforward" | "proxy")
        }
        GroupResource::SERVICES | GroupResource::NODES => info.subresource == "proxy",
        _ => false,
    }
}

impl NodeProxy {
    /// A proxy that presents this certificate to nodes and trusts those with a certificate of the nodes' authority.
    ///
    /// # Errors
    /// [`rustls::Error`] if the certificates cannot be used.
    pub fn new(pki: &Pki, identity: &KeyedCertificate) -> Result<NodeProxy, rustls::Error> {
        let identity = Identity::from_pem(&identity.certificate, &identity.key)?;
        let nodes = tls::client(pki.kubelet_serving.certificate(), Some(Arc::clone(&identity)))?;
        // The certificates of pods and Services are not verified, as in upstream's proxy.
        let anything = tls::unverified_client();
        let (nodes, anything) = (Arc::new(nodes).into(), Arc::new(anything).into());
        let addresses = hosts::NodeAddresses::default();
        Ok(NodeProxy { identity, nodes, anything, dialer: Box::new(Tcp), addresses })
    }

    /// Sets the way in which targets are dialed from now on.
    pub fn dial_by(&mut self, dialer: impl Dial) {
        self.dialer = Box::new(dialer);
    }

    /// Sends a request to a target and passes the answer back; an upgrade joins the two connections.
    async fn pass<B>(
        &self,
        target: &Target,
        mut request: Request<B>,
        client: Option<IpAddr>,
    ) -> Result<Response<Body>, Status>
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
        let dialed = tokio::time::timeout(DIAL_WITHIN, self.dialer.dial(target.address)).await;
        let stream = dialed.map_err(|_| unreachable(&"i/o timeout"))?.map_err(|error| unreachable(&error))?;
        let connector = match target.scheme {
            Scheme::Http => None,
            Scheme::Https => Some(&self.anything),
            Scheme::Node => Some(&self.nodes),
        };
        let upgrades = headers::upgrade_of(request.headers()).is_some();
        let client_side = upgrades.then(|| hyper::upgrade::on(&mut request));
        let source = target.may_redirect.then(|| {
            let address = target.address.to_string();
            links::Source::new(request.uri(), &target.path_and_query, address, request.headers().get(HOST))
        });
        let outgoing = rewrite(target, request, client)?;
        let response = match connector {
            None => send(stream, outgoing).await,
            Some(connector) => {
                let name = ServerName::from(target.address.ip());
                let stream = connector.connect(name, stream).await.map_err(|error| unreachable(&error))?;
                send(stream, outgoing).await
            }
        };
        let mut response = response.map_err(|error| unreachable(&error))?;
        let status = response.status();
        headers::of_response(response.headers_mut(), status);
        check_answer(target, &response, upgrades)?;
        if let (StatusCode::SWITCHING_PROTOCOLS, Some(client_side)) = (status, client_side) {
            let node_side = hyper::upgrade::on(&mut response);
            tokio::spawn(join::upgraded(client_side, node_side));
            let (parts, _) = response.into_parts();
            return Ok(Response::from_parts(parts, body::empty()));
        }
        let response = response.map(|incoming| incoming.map_err(BodyError::from).boxed_unsync());
        Ok(match source {
            Some(source) => source.lead_back(response),
            None => response,
        })
    }
}

/// Refuses responses that would make the client, or this server, mistake the connection's protocol.
fn check_answer<B>(target: &Target, response: &Response<B>, upgrades: bool) -> Result<(), Status> {
    let status = response.status();
    let is_switch = status == StatusCode::SWITCHING_PROTOCOLS;
    if is_switch != upgrades && (is_switch || status.as_u16() < 400) {
        return Err(Status::internal_error(format!(
            "invalid upgrade response: status code {}",
            status.as_u16()
        )));
    }
    if status.is_redirection() && !target.may_redirect && response.headers().contains_key(LOCATION) {
        return Err(Status::internal_error(
            "the backend attempted to redirect this request, which is not permitted",
        ));
    }
    Ok(())
}

impl ApiServer {
    /// Answers a request for a node or a pod.
    pub(crate) async fn stream<B>(
        &self,
        user: &User,
        uid: &str,
        info: &RequestInfo,
        request: Request<B>,
        client: Option<IpAddr>,
    ) -> Result<Response<Body>, Status>
    where
        B: http_body::Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<BodyError>,
    {
        self.authorize(user, info).await?;
        let endpoint = self.placed(info)?;
        // A proxy accepts every HTTP method, the others only those listed in discovery.
        if info.subresource != "proxy" {
            self.endpoint(info)?;
        }
        // A WebSocket is opened with GET, but still counts as a creation, whatever the method.
        let opens = matches!(info.subresource.as_str(), "exec" | "attach" | "portforward");
        let upgrades = headers::upgrade_of(request.headers()).is_some();
        // So does one to a node's own server, which runs commands in every pod there. Upstream accepts `get` for it.
        let opens_on_node = upgrades && info.group_resource() == GroupResource::NODES;
        if (opens || opens_on_node) && request.method() != Method::POST {
            let create = RequestInfo { verb: "create".into(), ..info.clone() };
            self.authorize(user, &create).await?;
        }
        if opens && !upgrades {
            return Err(Status::bad_request("Upgrade request required"));
        }
        let options = self.admit_connection(user, uid, &endpoint, info).await?;
        match resolve::resolve(self, info, &options)? {
            Some(_) if !upgrades && is_without_path(info, request.method()) => Ok(to_root(request.uri())),
            Some(target) => self.nodes.pass(&target, request, client).await,
            // A pod that is not on a node yet has no log.
            None => Ok(Response::new(body::empty())),
        }
    }
}

impl ApiServer {
    /// Asks a node's own server for what is at a path, on behalf of this server itself.
    ///
    /// # Errors
    /// 404 for an unknown node, 503 for one that cannot be reached, 500 for an answer that is not 200 or is larger than
    /// `bytes_max`.
    pub(crate) async fn ask_node(&self, name: &str, path: &str, bytes_max: usize) -> Result<Bytes, Status> {
        let target = resolve::own_server(self, name, path)?;
        let request = Request::get(path).body(Empty::<Bytes>::new().map_err(|never| match never {}));
        let request = request.map_err(|error| crate::errors::internal(&error))?;
        let response = self.nodes.pass(&target, request, None).await?;
        if response.status() != StatusCode::OK {
            return Err(Status::internal_error(format!("HTTP status {}", response.status().as_u16())));
        }
        let (mut body, mut bytes) = (response.into_body(), BytesMut::new());
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| Status::internal_error(error.to_string()))?;
            let Ok(data) = frame.into_data() else { continue };
            if data.len() > bytes_max - bytes.len() {
                return Err(Status::internal_error(format!("an answer of more than {bytes_max} bytes")));
            }
            bytes.extend_from_slice(&data);
        }
        Ok(bytes.freeze())
    }

    /// Asks the admission plugins about a connection; returns its options as the plugins have changed them, null for a
    /// log, which is read like an object.
    async fn admit_connection(
        &self,
        user: &User,
        uid: &str,
        endpoint: &Endpoint,
        info: &RequestInfo,
    ) -> Result<Value, Status> {
        let part = endpoint.def.subresource(&info.subresource).filter(|part| part.name != "log");
        let Some(part) = part else { return Ok(Value::Null) };
        let namespace = if endpoint.namespaced() { info.namespace.as_str() } else { "" };
        let options = WriteOptions::default();
        let call = Call {
            user,
            namespace,
            name: &info.name,
            subresource: &info.subresource,
            options: &options,
            uid,
            deadline: tokio::time::Instant::now() + crate::overload::REQUEST_WITHIN,
            warnings: None,
        };
        self.registry.connect(endpoint, &call, options::read(part, info)?).await
    }
}

/// Whether a proxy is asked for nothing, not even for the root of its target.
fn is_without_path(info: &RequestInfo, method: &Method) -> bool {
    let reads = *method == Method::GET || *method == Method::HEAD;
    info.subresource == "proxy" && info.rest.is_empty() && !info.path.ends_with('/') && reads
}

/// Leads a client to the root of a proxy's target, so that links relative to a page lead to where they should.
fn to_root(asked: &Uri) -> Response<Body> {
    let query = asked.query().map(|query| format!("?{query}")).unwrap_or_default();
    let mut response = Response::new(body::empty());
    *response.status_mut() = StatusCode::MOVED_PERMANENTLY;
    if let Ok(location) = HeaderValue::from_str(&format!("{}/{query}", asked.path())) {
        response.headers_mut().insert(LOCATION, location);
    }
    response
}

/// The request as the target sees it.
fn rewrite<B>(target: &Target, request: Request<B>, client: Option<IpAddr>) -> Result<Request<Body>, Status>
where
    B: http_body::Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BodyError>,
{
    let (mut parts, incoming) = request.into_parts();
    parts.uri = target
        .path_and_query
        .parse::<Uri>()
        .map_err(|error| Status::bad_request(format!("cannot forward the path: {error}")))?;
    parts.version = http::Version::HTTP_11;
    let host = HeaderValue::from_str(&target.address.to_string())
        .map_err(|error| Status::internal_error(format!("host header: {error}")))?;
    headers::of_request(&mut parts.headers, host, client);
    let is_for_pages =
        |accept: &HeaderValue| accept.to_str().is_ok_and(|accept| accept.contains("text/html"));
    if target.may_redirect && parts.headers.get(ACCEPT).is_some_and(is_for_pages) {
        // The links of a compressed page could not be rewritten.
        parts.headers.remove(ACCEPT_ENCODING);
    }
    Ok(Request::from_parts(parts, incoming.map_err(Into::into).boxed_unsync()))
}

async fn send<S>(stream: S, request: Request<Body>) -> Result<Response<hyper::body::Incoming>, hyper::Error>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(async move {
        if let Err(error) = connection.with_upgrades().await {
            tracing::debug!(%error, "a proxied connection failed");
        }
    });
    sender.send_request(request).await
}
