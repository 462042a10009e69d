//! Webhooks of admission and of conversion: configurations are written as any client writes them, and the webhooks listen behind TLS on the
//! loopback.

use std::sync::Arc;

use apiserver::testing::{TestServer, admin};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use object::patch::merge_patch;
use object::{Value, json, value};
use parking_lot::Mutex;
use rcgen::{CertificateParams, KeyPair};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::support::*;

mod answers;
mod calls;
mod conformance;
mod conversion;
mod custom;
mod failures;
mod manifests;
mod matching;
mod mutation;

const MUTATING: &str = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations";
const VALIDATING: &str = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations";

/// What a webhook does with a request.
enum Answer {
    /// It sends this response; the UID is filled in.
    Response(Value),
    /// It sends a code and a body that need not be a review.
    Raw(u16, Vec<u8>),
    /// It sends a response later.
    Later(BoxFuture<'static, Value>),
}

/// A review's request, and the path that it came to.
#[derive(Clone, Debug)]
struct Seen {
    path: String,
    query: String,
    request: Value,
}

/// A server of webhooks, until this is dropped.
struct Webhook {
    port: u16,
    /// Its certificate in base64, which is its own authority.
    bundle: String,
    seen: Arc<Mutex<Vec<Seen>>>,
    _stop: DropGuard,
}

type Answers = dyn Fn(&str, &Value) -> Answer + Send + Sync;

impl Webhook {
    /// Starts one whose answers depend on the path and the request.
    async fn start(answer: impl Fn(&str, &Value) -> Answer + Send + Sync + 'static) -> Webhook {
        let params = CertificateParams::new(vec!["localhost".to_owned(), "hook.default.svc".to_owned()]);
        Webhook::with(params.unwrap(), answer).await
    }

    /// Starts one with such a certificate.
    async fn with(
        params: CertificateParams,
        answer: impl Fn(&str, &Value) -> Answer + Send + Sync + 'static,
    ) -> Webhook {
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap().pem();
        let identity = tls::Identity::from_pem(&certificate, &key.serialize_pem()).unwrap();
        let config = tls::server(identity, &tls::certificates(&certificate).unwrap(), &[]).unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (seen, answer): (Arc<Mutex<Vec<Seen>>>, Arc<Answers>) = (Arc::default(), Arc::new(answer));
        let stop = CancellationToken::new();
        let serving = serve(listener, acceptor, Arc::clone(&seen), answer);
        tokio::spawn(stop.clone().run_until_cancelled_owned(serving));
        Webhook { port, bundle: STANDARD.encode(certificate), seen, _stop: stop.drop_guard() }
    }

    /// A webhook with this path for creations of ConfigMaps, changed by a merge patch.
    fn hook(&self, path: &str, patch: Value) -> Value {
        let hook = value!({
            "name": "hook.example.com",
            "clientConfig": {"url": format!("https://localhost:{}{path}", self.port), "caBundle": self.bundle.clone()},
            "rules": [(rule("CREATE", "", "v1", "configmaps"))],
            "sideEffects": "None", "admissionReviewVersions": ["v1"]
        });
        merge_patch(hook, patch).unwrap()
    }

    /// What has come since the last call.
    fn take(&self) -> Vec<Seen> {
        std::mem::take(&mut self.seen.lock())
    }
}

async fn serve(
    listener: TcpListener,
    acceptor: TlsAcceptor,
    seen: Arc<Mutex<Vec<Seen>>>,
    answer: Arc<Answers>,
) {
    while let Ok((stream, _)) = listener.accept().await {
        let (acceptor, seen, answer) = (acceptor.clone(), Arc::clone(&seen), Arc::clone(&answer));
        tokio::spawn(async move {
            let Ok(stream) = acceptor.accept(stream).await else { return };
            let service = service_fn(move |request| reply(request, Arc::clone(&seen), Arc::clone(&answer)));
            let connection = hyper::server::conn::http1::Builder::new();
            // The client may end it at any time.
            let _ = connection.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn reply(
    request: Request<Incoming>,
    seen: Arc<Mutex<Vec<Seen>>>,
    answer: Arc<Answers>,
) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let (path, query) =
        (request.uri().path().to_owned(), request.uri().query().unwrap_or_default().to_owned());
    let review = json::parse(&request.into_body().collect().await?.to_bytes()).unwrap();
    let request = review.get("request").clone();
    let given = answer(&path, &request);
    seen.lock().push(Seen { path, query, request: request.clone() });
    let mut response = match given {
        Answer::Raw(code, body) => {
            return Ok(Response::builder().status(code).body(Full::from(body)).unwrap());
        }
        Answer::Response(response) => response,
        Answer::Later(response) => response.await,
    };
    if response.get("uid").is_null() {
        response.set("uid", request.str_at("uid"));
    }
    let review = value!({
        "kind": review.str_at("kind"), "apiVersion": review.str_at("apiVersion"), "response": response
    });
    Ok(Response::new(Full::from(json::to_vec(&review))))
}

/// A rule for operations, separated by spaces, on one resource.
fn rule(operations: &str, group: &str, version: &str, resource: &str) -> Value {
    let operations: Vec<Value> = operations.split(' ').map(Value::from).collect();
    value!({
        "operations": operations, "apiGroups": [group], "apiVersions": [version], "resources": [resource]
    })
}

fn allow() -> Answer {
    Answer::Response(value!({"allowed": true}))
}

fn deny(why: &str) -> Answer {
    Answer::Response(value!({"allowed": false, "status": {"message": why}}))
}

/// Allows with a JSON patch.
fn patch(operations: Value) -> Answer {
    Answer::Response(value!({
        "allowed": true, "patchType": "JSONPatch", "patch": STANDARD.encode(json::to_vec(&operations))
    }))
}

/// Adds a member to the data of a ConfigMap.
fn add_data(key: &str) -> Answer {
    patch(value!([{"op": "add", "path": format!("/data/{key}"), "value": "yes"}]))
}

/// Never answers.
fn hang() -> Answer {
    Answer::Later(std::future::pending().boxed())
}

/// Writes a configuration, and waits until it is in force.
async fn configure(server: &TestServer, collection: &str, name: &str, hooks: Vec<Value>) {
    let configuration = value!({"metadata": {"name": name, "labels": {"test": "yes"}}, "webhooks": hooks});
    call(server, "POST", collection, &configuration).await.success();
    server.registry.hub.catch_up().await.unwrap();
}

/// Removes a configuration, and waits until it is no longer in force.
async fn remove(server: &TestServer, collection: &str, name: &str) {
    call(server, "DELETE", &format!("{collection}/{name}"), &Value::Null).await.success();
    server.registry.hub.catch_up().await.unwrap();
}

/// Creates a namespace with labels.
async fn namespace(server: &TestServer, name: &str, labels: Value) {
    let namespace = value!({"metadata": {"name": name, "labels": labels}});
    call(server, "POST", "/api/v1/namespaces", &namespace).await.success();
    server.registry.hub.catch_up().await.unwrap();
}

/// Creates a ConfigMap with a new name.
async fn create_map(server: &TestServer) -> Reply {
    let map = value!({"metadata": {"generateName": "m-"}, "data": {"key": "value"}});
    call(server, "POST", CONFIG_MAPS, &map).await
}

/// Opens a connection as the administrator.
async fn connect(server: &TestServer, path: &str) -> Reply {
    let upgrade = [("connection", "Upgrade"), ("upgrade", "SPDY/3.1")];
    send(server, Some(&admin()), "POST", path, &upgrade, "").await
}
