//! From an HTTP request to its answer.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_TYPE, USER_AGENT};
use http::{HeaderMap, Method, Request, Response};
use object::{Status, Value};
use schema::{GroupResource, Verb};
use tokio::time::Instant;

use crate::ApiServer;
use crate::admission::Warnings;
use crate::body::{self, Body};
use crate::errors::not_served;
use crate::negotiate::{Encoding, Format, Offers, STREAMS, View, negotiate, takes_gzip};
use crate::options::{IncludeObject, Query, WriteOptions};
use crate::overload::{self, Counted};
use crate::registry::{Answer, At, Call, Endpoint, Expected, PatchKind, Reviewer, way};
use crate::request::RequestInfo;
use crate::respond::Writer;
use crate::user::User;

mod content;
mod custom;
mod health;
mod paths;
#[cfg(test)]
mod tests;
mod to_the_end;

pub use content::Content;
use to_the_end::ToTheEnd;

/// The connection's information about its peer.
#[derive(Clone, Debug, Default)]
pub struct Peer {
    /// The user that its client certificate names.
    pub user: Option<User>,
    /// When that certificate expires. The connection may outlive it, the identity does not.
    pub user_until: Option<jiff::Timestamp>,
    /// Its address.
    pub address: Option<std::net::SocketAddr>,
}

/// A request behind TLS and authentication, as [`ApiServer::operate`] takes it.
#[derive(Clone, Debug)]
pub struct Operation {
    /// The request parsed from method, path and query.
    pub info: Arc<RequestInfo>,
    /// The `Content-Type` of the body.
    pub content_type: Option<String>,
    /// The `User-Agent`, which names the manager of the fields that a write sets unless the query does.
    pub user_agent: Option<String>,
    /// The body.
    pub body: Content,
}

impl ApiServer {
    /// Answers a request from the registry.
    pub(crate) async fn resource<B>(
        self: &Arc<Self>,
        user: &User,
        uid: &str,
        info: Arc<RequestInfo>,
        request: Request<B>,
    ) -> Result<Response<Body>, Status>
    where
        B: http_body::Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<body::BodyError>,
    {
        self.authorize(user, &info).await?;
        let endpoint = self.endpoint(&info)?;
        // Objects that cannot be read back, such as reviews, have no rows.
        let is_kept = endpoint.def.supports(Verb::Get);
        let views = is_kept && matches!(info.subresource.as_str(), "" | "status");
        let (parts, incoming) = request.into_parts();
        let accept = text(&parts.headers, ACCEPT);
        let mut format =
            negotiate(accept, Offers { protobuf: !endpoint.is_custom(), views, discovery: false })?;
        let query = Query::read(&info)?;
        format.pretty |= query.pretty;
        if info.verb == "watch" && format.encoding == Encoding::Yaml {
            // YAML has no frames.
            let streams = if endpoint.is_custom() { &STREAMS[..1] } else { &STREAMS[..] };
            return Err(Status::not_acceptable(streams));
        }
        let include = match format.view {
            View::Table(_) => query.include_object()?,
            _ => IncludeObject::default(),
        };
        let writer = Writer {
            format,
            include,
            gzip: takes_gzip(text(&parts.headers, ACCEPT_ENCODING)),
            clock: self.clock.clone(),
            shared: Arc::clone(&self.answers),
        };
        let content_type = text(&parts.headers, CONTENT_TYPE).map(str::to_owned);
        let user_agent = text(&parts.headers, USER_AGENT).map(str::to_owned);
        let allowed = overload::allowed(&info)?;
        let deadline = Instant::now() + allowed.unwrap_or(overload::REQUEST_WITHIN);
        // In a box, as the clock that it runs against would otherwise take it in twice.
        let answer = Box::pin(async {
            let body = self.overload.read(incoming).await?;
            let content = Content::Text(body.bytes.clone());
            let operation = Operation { content_type, user_agent, body: content, info };
            let warnings = Arc::<Warnings>::default();
            endpoint.strategy.deprecation().into_iter().for_each(|warning| warnings.add(warning.to_owned()));
            let task = self.task(user, uid, operation, &warnings);
            let task = Task { deadline, ..task };
            let answer = match task.run(&endpoint, query, body).await {
                Ok(answer) => answer,
                Err(refusal) => Answer::refusal(refusal, warnings.take()),
            };
            let (size, as_kept) = (answer.body.size(), format == Format::default());
            Ok(self.overload.answer(size, as_kept, || writer.write(&endpoint, answer)).await)
        });
        let mut response = overload::within(allowed, answer).await?;
        if allowed.is_some() {
            // A list is sent while it is made, and holds its versions until then.
            response.extensions_mut().insert(serve::Until(deadline));
        }
        Ok(response)
    }

    /// Answers a component of this process.
    pub(crate) async fn local(
        self: &Arc<Self>,
        user: &User,
        uid: &str,
        operation: Operation,
    ) -> Result<Answer, Status> {
        self.authorize(user, &operation.info).await?;
        let endpoint = self.endpoint(&operation.info)?;
        operation.body.check()?;
        let query = Query::read(&operation.info)?;
        let task = self.task(user, uid, operation, &Arc::default());
        task.run(&endpoint, query, Counted::default()).await
    }

    fn task(
        self: &Arc<Self>,
        user: &User,
        uid: &str,
        operation: Operation,
        warnings: &Arc<Warnings>,
    ) -> Task {
        let (server, warnings) = (Arc::clone(self), Arc::clone(warnings));
        let deadline = Instant::now() + overload::REQUEST_WITHIN;
        Task { server, user: user.clone(), uid: uid.to_owned(), operation, deadline, warnings }
    }

    /// The endpoint of a path, for any verb.
    ///
    /// # Errors
    /// 404 if nothing is at such a path.
    pub(crate) fn placed(&self, info: &RequestInfo) -> Result<Arc<Endpoint>, Status> {
        let endpoint = self.registry.endpoint(&info.group, &info.version, &info.resource);
        let endpoint = endpoint.filter(|endpoint| {
            let known = info.subresource.is_empty() || endpoint.def.subresource(&info.subresource).is_some();
            known && !is_misplaced(endpoint, info)
        });
        endpoint.ok_or_else(not_served)
    }

    /// The endpoint of a request.
    pub(crate) fn endpoint(&self, info: &RequestInfo) -> Result<Arc<Endpoint>, Status> {
        let endpoint = self.placed(info)?;
        let verbs =
            endpoint.def.subresource(&info.subresource).map_or(&endpoint.def.verbs, |part| &part.verbs);
        // Requests over all namespaces can only read objects.
        let everywhere = endpoint.namespaced() && info.namespace.is_empty();
        let reads = matches!(&*info.verb, "list" | "watch");
        if info.verb.is_empty() {
            return Err(Status::method_not_allowed());
        }
        // Discovery does not show these while a definition is deleted, but objects with finalizers need them.
        let still = endpoint.terminating && matches!(&*info.verb, "create" | "patch" | "update");
        let has_verb = still || verbs.iter().any(|verb| verb.as_str() == info.verb);
        if !has_verb || (everywhere && !reads) {
            return Err(Status::method_not_supported(&info.group, &info.resource_path(), &info.verb));
        }
        Ok(endpoint)
    }

    async fn perform(
        &self,
        user: &User,
        uid: &str,
        endpoint: &Arc<Endpoint>,
        operation: Operation,
        query: &Query,
        (deadline, warnings): (Instant, &Warnings),
    ) -> Result<Answer, Status> {
        let info = &Arc::clone(&operation.info);
        custom::check_media(endpoint, &operation)?;
        let applies = match &*info.verb {
            "patch" => PatchKind::of(operation.content_type.as_deref())? == PatchKind::Apply,
            _ => false,
        };
        // The path of a namespace names it as the namespace of the request too, although it is in none.
        let namespace = if endpoint.namespaced() { info.namespace.as_str() } else { "" };
        let options = WriteOptions::read(info, query, operation.user_agent.as_deref(), applies)?;
        let call = Call {
            user,
            namespace,
            name: &info.name,
            subresource: &info.subresource,
            options: &options,
            uid,
            deadline,
            warnings: Some(warnings),
        };
        let registry = &self.registry;
        let reviewer = Reviewer { authorizer: &self.authorizer, authenticator: &self.authenticator };
        let at = At { registry, reviewer, endpoint, call: &call };
        match &*info.verb {
            "get" => match way(endpoint, call.subresource) {
                Some(way) => way.read(&at, query).await,
                None => registry.get(endpoint, &call, query).await,
            },
            "list" => match way(endpoint, call.subresource) {
                Some(way) => way.list(&at, query).await,
                None => registry.list(endpoint, &call, query).await,
            },
            "watch" => registry.watch(endpoint, &call, query).await,
            "create" => create(&at, operation).await,
            "update" => update(&at, operation).await,
            "patch" => patch(&at, operation).await,
            "delete" => {
                let options = operation.body.delete_options(operation.content_type.as_deref(), query)?;
                registry.delete(endpoint, &call, &options).await
            }
            "deletecollection" => {
                let options = operation.body.delete_options(operation.content_type.as_deref(), query)?;
                registry.delete_collection(endpoint, &call, query, &options).await
            }
            verb => Err(Status::method_not_supported(&info.group, &info.resource, verb)),
        }
    }
}

/// A request that has been read and may be performed.
struct Task {
    server: Arc<ApiServer>,
    user: User,
    uid: String,
    operation: Operation,
    deadline: Instant,
    /// Those of a refusal stay here.
    warnings: Arc<Warnings>,
}

impl Task {
    /// Performs the request. A write runs to its end even if its client leaves or its time is over: dropped halfway, it would
    /// leave behind what its hooks had allocated.
    async fn run(self, endpoint: &Arc<Endpoint>, query: Query, body: Counted) -> Result<Answer, Status> {
        let reads = matches!(&*self.operation.info.verb, "get" | "list" | "watch");
        let endpoint = Arc::clone(endpoint);
        let work = async move {
            // In a box, because what waits for it would otherwise be as large, and is moved several times on its way.
            let work = Box::pin(self.server.perform(
                &self.user,
                &self.uid,
                &endpoint,
                self.operation,
                &query,
                (self.deadline, &self.warnings),
            ));
            // The body's bytes stay counted until the work is done.
            let mut answer = self.server.overload.work(body.bytes.len(), work).await?;
            answer.warnings = self.warnings.take();
            Ok(answer)
        };
        if reads {
            return work.await;
        }
        ToTheEnd::new(work).await
    }
}

async fn create(at: &At<'_>, operation: Operation) -> Result<Answer, Status> {
    if at.call.subresource.is_empty() && !at.call.name.is_empty() {
        return Err(at.not_allowed("create"));
    }
    let way = way(at.endpoint, at.call.subresource).ok_or_else(|| at.not_allowed("create"))?;
    way.create(at, decode(at, operation)?).await
}

async fn update(at: &At<'_>, operation: Operation) -> Result<Answer, Status> {
    let way = way(at.endpoint, at.call.subresource).ok_or_else(|| at.not_allowed("update"))?;
    way.replace(at, decode(at, operation)?).await
}

async fn patch(at: &At<'_>, operation: Operation) -> Result<Answer, Status> {
    let patch = operation.body.patch(operation.content_type.as_deref(), at.call.options.field_validation)?;
    let way = way(at.endpoint, at.call.subresource).ok_or_else(|| at.not_allowed("update"))?;
    at.patch(way, &patch, &taken(at, "patch")?).await
}

/// Decodes a body as the kind that the path accepts.
fn decode(at: &At<'_>, operation: Operation) -> Result<Value, Status> {
    let Operation { info, content_type, body, .. } = operation;
    let expected = taken(at, &info.verb)?;
    let body = body.object(&expected, content_type.as_deref(), at.call.options.field_validation)?;
    at.call.warn(body.warnings);
    Ok(body.value)
}

/// The kind that the path accepts.
fn taken<'a>(at: &At<'a>, verb: &str) -> Result<Expected<'a>, Status> {
    let def = &at.endpoint.def;
    if at.call.subresource.is_empty() {
        return Ok(Expected { api_version: at.endpoint.api_version().into(), kind: &def.kind, ty: &def.ty });
    }
    let part = def.subresource(at.call.subresource);
    let (part, ty) =
        part.and_then(|part| Some((part, part.ty.as_ref()?))).ok_or_else(|| at.not_allowed(verb))?;
    let api_version = crate::registry::api_version(&part.group, &part.version);
    Ok(Expected { api_version: api_version.into(), kind: &part.kind, ty })
}

/// Whether objects of this resource are never found at this path: cluster-scoped objects below a namespace (where the
/// rights in that namespace would count, as in CVE-2019-11247), namespaced objects by name without one.
fn is_misplaced(endpoint: &Endpoint, info: &RequestInfo) -> bool {
    if endpoint.def.group_resource() == GroupResource::NAMESPACES {
        // A namespace's own path names it twice: as the namespace and as the object.
        return !info.namespace.is_empty() && info.namespace != info.name;
    }
    if endpoint.namespaced() {
        let by_name = !info.name.is_empty() && !matches!(&*info.verb, "list" | "watch");
        return by_name && info.namespace.is_empty();
    }
    !info.namespace.is_empty()
}

fn text(headers: &HeaderMap, name: http::HeaderName) -> Option<&str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// Whether a method only reads.
pub fn is_safe(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}
