//! What one admission webhook adds to a create. It listens in this program and agrees to everything at once.

use std::cell::Cell;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::Bench;
use crate::cluster::{Cluster, PATIENCE, post};
use crate::connection::Connection;
use crate::figures::{Figures, ms};
use crate::load::{self, Outcome};

/// How long each load is measured.
const SPAN: Duration = Duration::from_secs(3);
/// How many clients create at once.
const CLIENTS: [usize; 2] = [1, 16];

const PATH: &str = "/api/v1/namespaces/bench/configmaps";
const CONFIGURATIONS: &str = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations";

pub async fn measure(bench: &Bench, figures: &mut Figures) -> Result<()> {
    let cluster = Cluster::start_api(bench).await?;
    let connection = cluster.connect().await?;
    cluster.make_namespace(&connection, "bench").await?;
    let made = Cell::new(0_u64);
    let mut without = Vec::new();
    for clients in CLIENTS {
        without.push(creates(&cluster, &connection, &made, clients).await?);
    }
    let hook = Webhook::start().await?;
    connection.fetch(post(CONFIGURATIONS), Some(hook.configuration().to_string().into())).await?;
    hook.wait_until_asked(&connection, &made).await?;
    for (clients, without) in CLIENTS.into_iter().zip(without) {
        let with = creates(&cluster, &connection, &made, clients).await.context("with a webhook")?;
        figures.add(format!("creates, {clients} at once"), without.rate, "/s", None, without.note());
        figures.add(format!("creates with a webhook, {clients} at once"), with.rate, "/s", None, with.note());
        let cpu = with.server_cpu.as_secs_f64() / without.server_cpu.as_secs_f64();
        let note = "the webhook's own time is not in it";
        figures.add(format!("a webhook's processor time, {clients} at once"), cpu, "x", None, note);
        let longer = ms(with.p50) - ms(without.p50);
        figures.add(
            format!("a webhook's time, p50, {clients} at once"),
            longer,
            "ms",
            None,
            "more than without",
        );
    }
    Ok(())
}

async fn create(connection: &Connection, made: &Cell<u64>) -> Result<()> {
    made.set(made.get() + 1);
    let map = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": format!("m-{}", made.get())},
        "data": {"level": "info", "number": made.get().to_string()}
    });
    connection.fetch(post(PATH), Some(map.to_string().into())).await.map(drop)
}

async fn creates(
    cluster: &Cluster<'_>,
    connection: &Connection,
    made: &Cell<u64>,
    clients: usize,
) -> Result<Outcome> {
    load::run(clients, SPAN, cluster.pid(), |_| create(connection, made)).await
}

/// A webhook on the loopback.
struct Webhook {
    port: u16,
    /// Its certificate, which is its own authority.
    certificate: String,
    asked: Arc<AtomicU64>,
}

impl Webhook {
    async fn start() -> Result<Webhook> {
        let key = rcgen::KeyPair::generate()?;
        let certificate = rcgen::CertificateParams::new(vec!["localhost".to_owned()])?.self_signed(&key)?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let private = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], private)?;
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let (port, asked) = (listener.local_addr()?.port(), Arc::default());
        tokio::spawn(serve(listener, acceptor, Arc::clone(&asked)));
        Ok(Webhook { port, certificate: certificate.pem(), asked })
    }

    fn configuration(&self) -> Value {
        json!({
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
            "metadata": {"name": "bench"},
            "webhooks": [{
                "name": "hook.example.com", "sideEffects": "None", "admissionReviewVersions": ["v1"],
                "clientConfig": {
                    "url": format!("https://localhost:{}/", self.port), "caBundle": STANDARD.encode(&self.certificate)
                },
                "rules": [{
                    "operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"]
                }]
            }]
        })
    }

    /// Creates objects until the webhook is asked about one.
    async fn wait_until_asked(&self, connection: &Connection, made: &Cell<u64>) -> Result<()> {
        let asking = async {
            while self.asked.load(Ordering::Relaxed) == 0 {
                create(connection, made).await?;
            }
            anyhow::Ok(())
        };
        tokio::time::timeout(PATIENCE, asking).await.context("the webhook is not asked")?
    }
}

async fn serve(listener: TcpListener, acceptor: TlsAcceptor, asked: Arc<AtomicU64>) {
    while let Ok((stream, _)) = listener.accept().await {
        let (acceptor, asked) = (acceptor.clone(), Arc::clone(&asked));
        tokio::spawn(async move {
            let _ = stream.set_nodelay(true);
            let Ok(stream) = acceptor.accept(stream).await else { return };
            let service = service_fn(move |request| {
                asked.fetch_add(1, Ordering::Relaxed);
                agree(request)
            });
            // The server closes connections that it does not need any more.
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

/// Agrees to the request of a review.
async fn agree(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let body =
        request.into_body().collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let review: Value = serde_json::from_slice(&body).unwrap_or_default();
    let answer = json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "response": {"uid": review["request"]["uid"], "allowed": true}
    });
    let mut response = Response::new(Full::from(answer.to_string()));
    response.headers_mut().insert("content-type", http::HeaderValue::from_static("application/json"));
    Ok(response)
}
