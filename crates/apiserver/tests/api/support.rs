//! A client of a [`TestServer`] that speaks HTTP without a network.

use std::sync::Arc;
use std::time::Duration;

use apiserver::body::Body;
use apiserver::handler::Peer;
use apiserver::testing::{TestServer, admin};
use apiserver::user::User;
use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Full};
use object::Value;

/// How long a test waits for an expected event.
pub const WITHIN: Duration = Duration::from_secs(20);

/// An answer as a whole.
#[derive(Debug)]
pub struct Reply {
    pub code: u16,
    pub headers: HeaderMap,
    pub bytes: Bytes,
}

impl Reply {
    /// The body as JSON.
    pub fn json(&self) -> Value {
        object::json::parse(&self.bytes).unwrap_or_else(|error| panic!("{error}: {:?}", self.bytes))
    }

    /// The body of a success.
    pub fn success(self) -> Value {
        assert!((200..300).contains(&self.code), "{} {:?}", self.code, self.bytes);
        self.json()
    }

    /// Code, reason and message of a Status.
    pub fn status(&self) -> (u16, String, String) {
        let status = self.json();
        assert_eq!(status.str_at("kind"), "Status", "{:?}", self.bytes);
        assert_eq!(status.get("code").as_i64(), Some(i64::from(self.code)));
        (self.code, status.str_at("reason").to_owned(), status.str_at("message").to_owned())
    }

    /// The warnings.
    pub fn warnings(&self) -> Vec<String> {
        self.headers.get_all("warning").iter().map(|value| value.to_str().unwrap().to_owned()).collect()
    }
}

/// Sends a request; the answer's body is still to be read.
pub async fn open(
    server: &TestServer,
    user: Option<&User>,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: impl Into<Bytes>,
) -> Response<Body> {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Full::new(body.into())).unwrap();
    Arc::clone(server).handle(request, Peer { user: user.cloned(), ..Peer::default() }).await
}

/// Sends a request and reads the whole answer.
pub async fn send(
    server: &TestServer,
    user: Option<&User>,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: impl Into<Bytes>,
) -> Reply {
    let (parts, body) = open(server, user, method, path, headers, body).await.into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    Reply { code: parts.status.as_u16(), headers: parts.headers, bytes }
}

/// Sends a JSON body as the administrator.
pub async fn call(server: &TestServer, method: &str, path: &str, body: &Value) -> Reply {
    let content_type = match method {
        "PATCH" => "application/merge-patch+json",
        _ => "application/json",
    };
    let body = if body.is_null() { Vec::new() } else { object::json::to_vec(body) };
    send(server, Some(&admin()), method, path, &[("content-type", content_type)], body).await
}

/// Reads as the administrator.
pub async fn get(server: &TestServer, path: &str) -> Reply {
    call(server, "GET", path, &Value::Null).await
}

/// An open watch.
pub struct Watch {
    body: Body,
    buffer: Vec<u8>,
}

impl Watch {
    /// Opens a watch as the administrator.
    pub async fn open(server: &TestServer, path: &str) -> Watch {
        let response = open(server, Some(&admin()), "GET", path, &[], Bytes::new()).await;
        assert_eq!(response.status().as_u16(), 200, "{path}");
        Watch { body: response.into_body(), buffer: Vec::new() }
    }

    /// The next event; `None` when the watch has ended.
    pub async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                return Some(object::json::parse(&line).unwrap());
            }
            let frame =
                tokio::time::timeout(WITHIN, self.body.frame()).await.expect("an event comes in time")?;
            self.buffer.extend_from_slice(&frame.unwrap().into_data().unwrap());
        }
    }

    /// Type and name of the next event.
    pub async fn expect(&mut self, expected: &str) -> Value {
        let event = self.next().await.unwrap_or_else(|| panic!("the watch ended before {expected}"));
        let got = format!("{} {}", event.str_at("type"), event.str_at("object.metadata.name"));
        assert_eq!(got.trim_end(), expected);
        event.get("object").clone()
    }
}

/// A ConfigMap.
pub fn config_map(name: &str, labels: &[(&'static str, &str)]) -> Value {
    let mut object = object::value!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"key": "value"}
    });
    for (key, value) in labels {
        object.entry("metadata").entry("labels").set(*key, *value);
    }
    object
}

/// A pod.
pub fn pod(name: &str) -> Value {
    object::value!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"app": name}},
        "spec": {
            "containers": [{"name": "main", "image": "image"}],
            "automountServiceAccountToken": false
        }
    })
}

/// A deployment.
pub fn deployment(name: &str) -> Value {
    object::value!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name},
        "spec": {
            "replicas": 2i64,
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {"containers": [{"name": "main", "image": "image"}]}
            }
        }
    })
}

/// A server whose namespace `default` has its service account, without which no pod comes in.
pub async fn server_for_pods() -> TestServer {
    let server = TestServer::start().await;
    let account = object::value!({"metadata": {"name": "default"}});
    server.create("", "serviceaccounts", "default", account).await.unwrap();
    server
}

/// The collection of ConfigMaps that most tests use.
pub const CONFIG_MAPS: &str = "/api/v1/namespaces/default/configmaps";
/// The pods of the same namespace.
pub const PODS: &str = "/api/v1/namespaces/default/pods";
/// The deployments of the same namespace.
pub const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/default/deployments";

/// Waits until a custom resource is served, of which there is one definition.
pub async fn established(server: &TestServer) {
    let path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions?watch=1&resourceVersion=0";
    let mut watch = Watch::open(server, path).await;
    let is_established =
        |condition: &Value| condition.str_at("type") == "Established" && condition.str_at("status") == "True";
    loop {
        let event = watch.next().await.expect("the watch goes on");
        if event.at("object.status.conditions").items().any(is_established) {
            return;
        }
    }
}
