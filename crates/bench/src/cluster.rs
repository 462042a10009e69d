//! The server under test.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{Method, Request};
use nix::sys::signal::Signal;
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::Value;
use testbed::{Process, output};
use tokio::time::Instant;

use crate::Bench;
use crate::connection::Connection;

/// Where the API listens, in the host's network.
const ADDRESS: &str = "127.0.0.1:6443";
/// The host that requests are addressed to.
const ORIGIN: &str = "https://localhost:6443";
/// How long anything may take before the measurement is given up.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// How long to wait between two polls of something that cannot be watched: short, because it adds to the measurement.
const PAUSE: Duration = Duration::from_millis(5);
/// How long the server may take to end.
const END_WITHIN: Duration = Duration::from_secs(20);

/// `ironhull server` on the test host, from an empty directory. All it has made is gone when this is dropped.
pub struct Cluster<'a> {
    bench: &'a Bench,
    process: Option<Process>,
    data_dir: PathBuf,
    /// When the process was started.
    pub started: Instant,
}

impl<'a> Cluster<'a> {
    /// Starts a server and waits until it answers.
    ///
    /// # Errors
    /// If it does not come up; the text holds the end of its log.
    pub async fn start(bench: &'a Bench, flags: &[&str]) -> Result<Cluster<'a>> {
        let data_dir = bench.host.directory().join("data");
        ensure!(!data_dir.exists(), "the server before has left {}", data_dir.display());
        let mut command = bench.host.command(&bench.program);
        command.arg("server").arg("--data-dir").arg(&data_dir);
        command.args(["--node-name", bench.host.name()]).args(testbed::SHARED_DISK).args(flags);
        command.env("IRONHULL_CONFIG", bench.host.directory().join("no-config"));
        let started = Instant::now();
        let process = Some(bench.host.start("server", command)?);
        let mut cluster = Cluster { bench, process, data_dir, started };
        cluster.wait_ready().await?;
        Ok(cluster)
    }

    /// A server with the control side's store and API alone, as upstream's figures are of the API server and etcd.
    ///
    /// # Errors
    /// As [`Cluster::start`].
    pub async fn start_api(bench: &'a Bench) -> Result<Cluster<'a>> {
        Cluster::start(bench, &["--disable-agent", "--disable", "controllers,scheduler,dns,proxy"]).await
    }

    async fn wait_ready(&mut self) -> Result<()> {
        loop {
            if let Some(process) = &mut self.process {
                process.check()?;
            }
            let connected = self.connect().await;
            if let Ok(connection) = &connected
                && connection.fetch(get("/readyz"), None).await.is_ok()
            {
                return Ok(());
            }
            ensure!(self.started.elapsed() < PATIENCE, "no answer after {PATIENCE:?}: {:?}", connected.err());
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// The server's process id.
    pub fn pid(&self) -> i32 {
        self.process.as_ref().map_or(0, Process::pid)
    }

    /// A new connection as the administrator.
    ///
    /// # Errors
    /// If the server does not answer.
    pub async fn connect(&self) -> Result<Connection> {
        let kubeconfig = std::fs::read_to_string(self.data_dir.join("kubeconfig"))?;
        Connection::tls(ADDRESS, Arc::new(tls(&kubeconfig)?)).await
    }

    /// Several connections.
    ///
    /// # Errors
    /// As [`Cluster::connect`].
    pub async fn connect_many(&self, count: usize) -> Result<Vec<Connection>> {
        let mut connections = Vec::with_capacity(count);
        for _ in 0..count {
            connections.push(self.connect().await?);
        }
        Ok(connections)
    }

    /// Makes a namespace that pods can be created in although no controller runs.
    ///
    /// # Errors
    /// The server's error.
    pub async fn make_namespace(&self, connection: &Connection, name: &str) -> Result<()> {
        let namespace =
            serde_json::json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        connection.fetch(post("/api/v1/namespaces"), Some(namespace.to_string().into())).await?;
        let account = serde_json::json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}});
        let path = format!("/api/v1/namespaces/{name}/serviceaccounts");
        // Controllers, if there are any, may have been faster.
        let made = connection.fetch(post(&path), Some(account.to_string().into())).await;
        let path = format!("{path}/default");
        self.wait_for(connection, &path, |account| account["kind"] == "ServiceAccount")
            .await
            .with_context(|| format!("making the account: {made:?}"))
    }

    /// Waits until something about an object holds.
    ///
    /// # Errors
    /// If it does not within [`PATIENCE`].
    pub async fn wait_for(
        &self,
        connection: &Connection,
        path: &str,
        holds: impl Fn(&Value) -> bool,
    ) -> Result<()> {
        let limit = Instant::now() + PATIENCE;
        loop {
            let found = connection.fetch(get(path), None).await;
            let found = found.and_then(|body| Ok(serde_json::from_slice::<Value>(&body)?));
            match found {
                Ok(value) if holds(&value) => return Ok(()),
                found => ensure!(Instant::now() < limit, "{path} after {PATIENCE:?}: {found:?}"),
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Waits until pods can be made in the namespace `default`.
    ///
    /// # Errors
    /// As [`Cluster::wait_for`].
    pub async fn wait_for_account(&self, connection: &Connection) -> Result<()> {
        let path = "/api/v1/namespaces/default/serviceaccounts/default";
        self.wait_for(connection, path, |account| account["kind"] == "ServiceAccount").await
    }

    /// Takes the sample image in.
    ///
    /// # Errors
    /// The program's output.
    pub fn import_image(&self) -> Result<()> {
        let mut command = self.bench.host.command(&self.bench.program);
        command.args(["image", "import", "--data-dir"]).arg(&self.data_dir).arg(&self.bench.image);
        output(&mut command)?;
        Ok(())
    }
}

impl Drop for Cluster<'_> {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.signal(Signal::SIGTERM);
            if let Err(error) = process.wait(END_WITHIN) {
                eprintln!("the server did not end by itself: {error}");
            }
        }
        let mut reset = self.bench.host.command(&self.bench.program);
        reset.args(["reset", "--data-dir"]).arg(&self.data_dir);
        if let Err(error) = output(&mut reset) {
            // The host goes away with whatever is left.
            eprintln!("reset: {error}");
        }
    }
}

/// A request that reads.
pub fn get(path: &str) -> Request<()> {
    request(Method::GET, path)
}

/// A request that makes something.
pub fn post(path: &str) -> Request<()> {
    request(Method::POST, path)
}

/// A request that replaces something.
pub fn put(path: &str) -> Request<()> {
    request(Method::PUT, path)
}

/// A request that reads something in another form than JSON.
pub fn get_as(path: &str, accept: &'static str) -> Request<()> {
    let mut request = get(path);
    request.headers_mut().insert("accept", http::HeaderValue::from_static(accept));
    request
}

/// A request that changes something by a strategic merge patch.
pub fn patch(path: &str) -> Request<()> {
    patch_as(path, "application/strategic-merge-patch+json")
}

/// A request that changes something by a patch of this media type.
pub fn patch_as(path: &str, media: &'static str) -> Request<()> {
    let mut request = request(Method::PATCH, path);
    request.headers_mut().insert("content-type", http::HeaderValue::from_static(media));
    request
}

fn request(method: Method, path: &str) -> Request<()> {
    let mut request = Request::new(());
    *request.method_mut() = method;
    *request.uri_mut() = format!("{ORIGIN}{path}").parse().expect("paths here are plain");
    let headers = request.headers_mut();
    headers.insert("accept", http::HeaderValue::from_static("application/json"));
    headers.insert("content-type", http::HeaderValue::from_static("application/json"));
    request
}

/// The answer to a request for one object, as a tree.
///
/// # Errors
/// The server's error.
pub async fn fetch_object(
    connection: &Connection,
    request: Request<()>,
    body: Option<Bytes>,
) -> Result<Value> {
    Ok(serde_json::from_slice(&connection.fetch(request, body).await?)?)
}

/// The TLS side of the administrator.
fn tls(kubeconfig: &str) -> Result<rustls::ClientConfig> {
    let field = |name: &str| {
        let line = kubeconfig.lines().find_map(|line| line.trim().strip_prefix(name)?.strip_prefix(": "));
        let text = line.with_context(|| format!("the kubeconfig has no {name}"))?;
        STANDARD.decode(text.trim().trim_matches('"')).with_context(|| name.to_owned())
    };
    let certificates = |pem: &[u8]| CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
    let mut roots = RootCertStore::empty();
    for certificate in certificates(&field("certificate-authority-data")?)? {
        roots.add(certificate)?;
    }
    let chain = certificates(&field("client-certificate-data")?)?;
    let key = PrivateKeyDer::from_pem_slice(&field("client-key-data")?)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, key)?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}
