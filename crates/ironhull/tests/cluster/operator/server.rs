//! The webhooks over TLS, and the probes without.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::program::{Failure, TLS};
use super::webhooks;

const WEBHOOKS: &str = "[::]:8443";
const PROBES: &str = "[::]:8081";

/// Whether the operator is ready.
#[derive(Clone, Default)]
pub struct Health(Arc<AtomicBool>);

impl Health {
    /// From now on it is.
    pub fn set_ready(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Serves for ever.
pub fn serve(health: Health) -> Result<impl Future<Output = Result<(), Failure>>, Failure> {
    let certificates: Vec<CertificateDer> =
        CertificateDer::pem_file_iter(format!("{TLS}/tls.crt"))?.collect::<Result<_, _>>()?;
    let key = PrivateKeyDer::from_pem_file(format!("{TLS}/tls.key"))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let mut config = builder.with_no_client_auth().with_single_cert(certificates, key)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let tls = TlsAcceptor::from(Arc::new(config));
    Ok(async move {
        tokio::select! {
            done = webhooks(tls) => done,
            done = probes(health) => done,
        }
    })
}

async fn webhooks(tls: TlsAcceptor) -> Result<(), Failure> {
    let listener = TcpListener::bind(WEBHOOKS).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        let tls = tls.clone();
        tokio::spawn(async move {
            let Ok(stream) = tls.accept(stream).await else { return };
            speak(stream, |path, body| match serde_json::from_slice::<Value>(body) {
                Ok(review) => webhooks::answer(path, &review),
                Err(error) => Err(error.into()),
            })
            .await;
        });
    }
}

async fn probes(health: Health) -> Result<(), Failure> {
    let listener = TcpListener::bind(PROBES).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        let health = health.clone();
        tokio::spawn(speak(stream, move |path, _| match path {
            "/healthz" => Ok(Value::from("alive")),
            "/readyz" if health.0.load(Ordering::Relaxed) => Ok(Value::from("ready")),
            path => Err(format!("{path}: not now").into()),
        }));
    }
}

async fn speak<I>(stream: I, answer: impl Fn(&str, &[u8]) -> Result<Value, Failure> + Send + Sync + 'static)
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let answer = Arc::new(answer);
    let service = service_fn(move |request: Request<Incoming>| {
        let answer = Arc::clone(&answer);
        async move {
            let (parts, body) = request.into_parts();
            let answered = match body.collect().await {
                Ok(body) => answer(parts.uri.path(), &body.to_bytes()),
                Err(error) => Err(error.into()),
            };
            let (code, body) = match answered {
                Ok(answer) => (StatusCode::OK, answer.to_string()),
                Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
            };
            let mut response = Response::new(Full::new(Bytes::from(body)));
            *response.status_mut() = code;
            response.headers_mut().insert("content-type", http::HeaderValue::from_static("application/json"));
            Ok::<_, Infallible>(response)
        }
    });
    let builder = auto::Builder::new(TokioExecutor::new());
    if let Err(error) = builder.serve_connection(TokioIo::new(stream), service).await {
        eprintln!("a connection failed: {error}");
    }
}
