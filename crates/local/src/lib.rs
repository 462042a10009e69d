//! A component's connection to the API server in the same process.
//!
//! Requests enter the server's path behind TLS, under the component's own identity: authorization and admission apply
//! as to any client. Writes pass trees, which are held to the limits of text. Lists, watches and the answers to writes
//! return the watch cache's shared objects. The code that wires both together (the program, and tests on the real
//! server) decides which component uses a connection and as whom it acts.

use std::sync::Arc;

use apiserver::ApiServer;
use apiserver::handler::{Operation, Peer};
use apiserver::registry::{Answer, AnswerBody, WatchItem, WatchReply};
use apiserver::request::RequestInfo;
use apiserver::user::User;
use async_trait::async_trait;
use bytes::Bytes;
use client::{
    ByteStream, ClientError, Connection, Content, ListPage, Request, RequestMetrics, Response, ServedStream,
    WatchEvent, WatchStream,
};
use futures::stream;
use http_body_util::{BodyExt, Full};
use object::Versioned;

/// The name of a component as manager of the fields that it writes: that of upstream's program, whatever runs it here.
fn program(user: &User) -> &'static str {
    match user.name.as_str() {
        "system:kube-scheduler" => "kube-scheduler",
        "system:kube-controller-manager" => "kube-controller-manager",
        // Each controller has an account of its own.
        name if name.starts_with("system:serviceaccount:kube-system:") => "kube-controller-manager",
        name if name.starts_with("system:node:") => "kubelet",
        _ => "ironhull",
    }
}

/// The connection of one component.
pub struct LocalConnection {
    server: Arc<ApiServer>,
    user: User,
    /// Where requests are counted, and by which name of the server.
    measured: Option<(RequestMetrics, Arc<str>)>,
}

impl LocalConnection {
    /// A connection of `user` to `server`.
    pub fn new(server: Arc<ApiServer>, user: User) -> LocalConnection {
        LocalConnection { server, user, measured: None }
    }

    /// The same connection, whose requests are counted there. `host` is the server's name in the metrics.
    #[must_use]
    pub fn measured_by(self, metrics: RequestMetrics, host: Arc<str>) -> LocalConnection {
        LocalConnection { measured: Some((metrics, host)), ..self }
    }

    fn requested(&self, method: &http::Method, code: u16) {
        if let Some((metrics, host)) = &self.measured {
            metrics.requested(method, host, Some(code));
        }
    }

    async fn perform(&self, request: Request) -> Result<Answer, ClientError> {
        let method = request.verb.method();
        let path_and_query = request.path_and_query();
        let (path, query) = match path_and_query.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (path_and_query.as_str(), None),
        };
        let operation = Operation {
            info: Arc::new(RequestInfo::parse(&method, path, query)),
            content_type: Some(request.content_type.as_str().to_owned()),
            user_agent: Some(program(&self.user).to_owned()),
            body: request.body.into(),
        };
        let answer = self.server.operate(&self.user, operation).await;
        self.requested(&method, answer.as_ref().map_or_else(|status| status.code, |answer| answer.code));
        answer.map_err(ClientError::from)
    }
}

#[async_trait]
impl Connection for LocalConnection {
    async fn call(&self, request: Request) -> Result<Response, ClientError> {
        let answer = self.perform(request).await?;
        let body = match answer.body {
            AnswerBody::Version(version) => Content::Version(version),
            AnswerBody::Value(value) => Content::Tree(value),
            AnswerBody::Status(status) => Content::Tree(status.to_value()),
            AnswerBody::List(listing) => Content::Text(list_json(&listing.items)),
            AnswerBody::Watch(_) => return Err(wrong_form("a single answer")),
        };
        Ok(Response { code: answer.code, body, warnings: answer.warnings })
    }

    async fn list(&self, request: Request) -> Result<ListPage, ClientError> {
        match self.perform(request).await?.body {
            AnswerBody::List(listing) => Ok(ListPage {
                items: listing.items,
                resource_version: listing.revision.to_string(),
                continue_token: listing.continue_token.unwrap_or_default(),
            }),
            _ => Err(wrong_form("a list")),
        }
    }

    async fn watch(&self, request: Request) -> Result<WatchStream, ClientError> {
        match self.perform(request).await?.body {
            AnswerBody::Watch(watch) => Ok(Box::pin(stream::unfold(Some(watch), next_event))),
            _ => Err(wrong_form("a watch")),
        }
    }

    async fn get_path(&self, path: &str, accept: &str) -> Result<Response, ClientError> {
        let request = http::Request::get(path)
            .header(http::header::ACCEPT, accept)
            .body(Full::new(Bytes::new()))
            .map_err(|error| ClientError::transport("make the request", error))?;
        let peer = Peer { user: Some(self.user.clone()), ..Peer::default() };
        let response = Arc::clone(&self.server).handle(request, peer).await;
        let code = response.status().as_u16();
        self.requested(&http::Method::GET, code);
        let collected = response.into_body().collect().await;
        let body = collected.map_err(|error| ClientError::transport("read the answer", error))?.to_bytes();
        if code >= 400 {
            let status = object::json::parse(&body).ok().and_then(|value| object::Status::from_value(&value));
            let status =
                status.unwrap_or_else(|| object::Status::internal_error(format!("{path}: HTTP {code}")));
            return Err(ClientError::from(status));
        }
        Ok(Response { code, body: Content::Text(body), warnings: Vec::new() })
    }

    async fn follow_served(&self) -> Result<ServedStream, ClientError> {
        let generations = self.server.catalogue().changed();
        Ok(Box::pin(stream::unfold(generations, |mut generations| async {
            generations.changed().await.ok()?;
            Some(((), generations))
        })))
    }

    async fn stream(&self, request: Request) -> Result<ByteStream, ClientError> {
        // Stored objects are never streams; logs are on the nodes, and components read them over the network.
        let body = self.call(request).await?.body;
        Ok(Box::pin(stream::iter([Ok(body.text())])))
    }
}

async fn next_event(
    watch: Option<WatchReply>,
) -> Option<(Result<WatchEvent, ClientError>, Option<WatchReply>)> {
    let mut watch = watch?;
    let event = match watch.next().await? {
        Ok(WatchItem::Added(version)) => WatchEvent::Added(version),
        Ok(WatchItem::Modified(version)) => WatchEvent::Modified(version),
        Ok(WatchItem::Deleted(version)) => WatchEvent::Deleted(version),
        Ok(WatchItem::Bookmark { revision, .. }) => {
            WatchEvent::Bookmark { resource_version: revision.to_string() }
        }
        Err(status) => return Some((Err(ClientError::from(status)), None)),
    };
    Some((Ok(event), Some(watch)))
}

/// A list as it is answered to the deletion of a collection.
fn list_json(items: &[Versioned]) -> Bytes {
    let mut json = Vec::from(br#"{"kind":"List","apiVersion":"v1","metadata":{},"items":["#);
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            json.push(b',');
        }
        item.write_json(&mut json);
    }
    json.extend_from_slice(b"]}");
    json.into()
}

fn wrong_form(expected: &str) -> ClientError {
    ClientError::from(object::Status::internal_error(format!("the server did not answer with {expected}")))
}
