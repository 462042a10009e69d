//! The layers around the handler, the outermost first.
//!
//! | layer | what it does | where |
//! | --- | --- | --- |
//! | identity of the request | its UID, and the `Audit-Id` that its answer carries | [`ApiServer::handle`] |
//! | observation | reports every request and its result to each [`Observer`]: metrics, audit | [`observe`] |
//! | authentication | who is asking; then impersonation | [`ApiServer::identify`] |
//! | dispatch | other paths, streams to nodes and pods, resources; servers behind this one | [`Answers`] |
//! | authorization | whether the user may | [`ApiServer::authorize`] |
//! | WebSocket | sends a watch or a log in messages | `websocket` |
//! | overload and time | limits on bytes, processors and seconds that requests may use | `overload` |
//!
//! Components in the same process enter at [`ApiServer::operate`], under their own identity: they are observed and
//! authorized like all other clients.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{ACCEPT, HeaderValue};
use http::{HeaderMap, Request, Response};
use object::Status;

use crate::ApiServer;
use crate::authn::Impersonation;
use crate::authz::Attributes;
use crate::body::{self, Body};
use crate::handler::{Operation, Peer};
use crate::negotiate::{Format, Offers, negotiate};
use crate::registry::{Answer, AnswerBody};
use crate::request::RequestInfo;
use crate::respond::status_response;
use crate::user::User;
use crate::websocket::Asked;

pub mod observe;
#[cfg(test)]
mod tests;

pub use observe::{Observer, Outcome, Seen};

/// The header with a request's ID, in its response and in records of it.
const AUDIT_ID: &str = "audit-id";
/// The maximum length of an ID that a client gives its request, in bytes (upstream's).
const AUDIT_ID_BYTES_MAX: usize = 64;

/// The part of the server that answers a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answers {
    /// Health, discovery, metrics and other paths that are not resources.
    Paths,
    /// A node, or a pod on it.
    Node,
    /// The registry.
    Registry,
}

impl Answers {
    fn of(info: &RequestInfo) -> Answers {
        match info {
            info if !info.is_resource => Answers::Paths,
            info if crate::node_proxy::is_streaming(info) => Answers::Node,
            _ => Answers::Registry,
        }
    }
}

impl ApiServer {
    /// Answers a request from the network. Never fails: errors are responses too.
    pub async fn handle<B>(self: Arc<Self>, request: Request<B>, peer: Peer) -> Response<Body>
    where
        B: http_body::Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<body::BodyError>,
    {
        let info =
            Arc::new(RequestInfo::parse(request.method(), request.uri().path(), request.uri().query()));
        let uid = self.clock.uid();
        let observation = self.observers.received(Seen {
            id: given_id(request.headers()).unwrap_or_else(|| uid.to_string()),
            endpoint: self.placed(&info).ok(),
            info: Arc::clone(&info),
            since: tokio::time::Instant::now(),
            user: Default::default(),
        });
        let accept = request.headers().get(ACCEPT).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let answered = match self.known_user(request.headers(), &peer).await {
            Err(status) => Err(status),
            Ok(user) => {
                let user = observation.by(user);
                crate::server::known(&request, &user);
                tracing::debug!(user = user.name, verb = %info.verb, path = info.path, "request");
                self.route(&user, &uid, info, request, &peer).await
            }
        };
        let mut response = answered.unwrap_or_else(|status| {
            let offers = Offers { protobuf: true, views: true, discovery: true };
            let encoding = negotiate(accept.as_deref(), offers).map(|format| format.encoding);
            let plain = Format { encoding: encoding.unwrap_or_default(), ..Format::default() };
            status_response(&status, plain)
        });
        if let Ok(mut id) = HeaderValue::from_str(&observation.seen().id) {
            // Each answer has another: in the table of a connection's headers (RFC 7541) they would only displace those
            // that come again, and be compared with one another.
            id.set_sensitive(true);
            response.headers_mut().insert(AUDIT_ID, id);
        }
        observation.answered(response)
    }

    /// Dispatches the request.
    async fn route<B>(
        self: &Arc<Self>,
        user: &User,
        uid: &str,
        info: Arc<RequestInfo>,
        mut request: Request<B>,
        peer: &Peer,
    ) -> Result<Response<Body>, Status>
    where
        B: http_body::Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<body::BodyError>,
    {
        let socket = Asked::take(&mut request, &info);
        let response = match Answers::of(&info) {
            // The future of a request is moved and kept as a whole: what is large and rare in it is in a box.
            Answers::Paths => Box::pin(self.path(user, &info, &request)).await,
            Answers::Node => {
                let client = peer.address.map(|address| address.ip());
                Box::pin(self.stream(user, uid, &info, request, client)).await.map(at_leisure)
            }
            Answers::Registry => self.resource(user, uid, info, request).await,
        }?;
        match socket {
            Some(asked) => asked.answer(response),
            None => Ok(response),
        }
    }

    /// Answers a component in the same process, under its own identity: authorization and admission apply.
    ///
    /// # Errors
    /// What the network would answer.
    pub async fn operate(self: &Arc<Self>, user: &User, operation: Operation) -> Result<Answer, Status> {
        let uid = self.clock.uid();
        let observation = self.observers.received(Seen {
            id: uid.to_string(),
            endpoint: self.placed(&operation.info).ok(),
            info: Arc::clone(&operation.info),
            since: tokio::time::Instant::now(),
            user: Default::default(),
        });
        observation.by(user.clone());
        let mut result = self.local(user, &uid, operation).await;
        match &mut result {
            Ok(answer) => {
                let watch = match &mut answer.body {
                    AnswerBody::Watch(watch) => Some(watch),
                    _ => None,
                };
                observation.given(answer.code, watch);
            }
            Err(status) => observation.given(status.code, None),
        }
        result
    }

    /// The user. A token may belong to an account that the cache has not seen yet.
    async fn known_user(&self, headers: &HeaderMap, peer: &Peer) -> Result<User, Status> {
        let identity = match self.identify(headers, peer).await {
            Err(status) if status.code == 401 && self.registry.hub.catch_up().await.is_ok() => {
                self.identify(headers, peer).await
            }
            identity => identity,
        };
        self.metrics.authenticated(identity.is_ok());
        identity
    }

    /// The user after impersonation.
    async fn identify(&self, headers: &HeaderMap, peer: &Peer) -> Result<User, Status> {
        if peer.user_until.is_some_and(|end| end < self.clock.now()) {
            return Err(Status::unauthorized("Unauthorized"));
        }
        let user = self.authenticator.authenticate(headers, peer.user.as_ref())?;
        match Impersonation::read(headers)? {
            None => Ok(user),
            Some(wanted) => Box::pin(wanted.grant(&user, &self.authorizer)).await,
        }
    }

    /// Refuses requests that no authorizer allows.
    ///
    /// # Errors
    /// 403 in upstream's words; 500 if an authorizer failed that might have allowed it.
    pub async fn authorize(&self, user: &User, info: &RequestInfo) -> Result<(), Status> {
        let (what, since) = (Attributes::of(user, info), tokio::time::Instant::now());
        let ruling = self.authorizer.authorize(&what).await;
        self.metrics.authorized(&ruling, since.elapsed());
        ruling.demand(&what)
    }
}

/// The ID that a client gave its request.
fn given_id(headers: &HeaderMap) -> Option<String> {
    let id = headers.get(AUDIT_ID)?.to_str().ok()?;
    (!id.is_empty() && id.len() <= AUDIT_ID_BYTES_MAX).then(|| id.to_owned())
}

/// A response that is read while it is written, such as a log.
fn at_leisure(mut response: Response<Body>) -> Response<Body> {
    response.extensions_mut().insert(serve::Streaming);
    response
}
