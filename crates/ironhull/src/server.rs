//! The control side, and the node beside it.

use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use apiserver::pki::{Authority, KeyedCertificate, Pki, Subject};
use apiserver::user::{GROUP_MASTERS, GROUP_NODES, User};
use apiserver::{ApiServer, Config};
use client::{Client, Informers};
use clock::Clock;
use controllers::{Signer, SignerError, Signers};
use node::ServingTls;
use store::{Embedded, Options, Store};
use tls::{Identity, certificates};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::config::{NodeSettings, ServerConfig};
use crate::local::LocalConnection;
use crate::node_role::NodeAccess;
use crate::{join_info, kubeconfig, node_role};

/// How often old history of the store is dropped, as upstream does.
const COMPACT_EVERY: std::time::Duration = std::time::Duration::from_secs(300);

/// A control side that runs.
pub struct ControlPlane {
    /// The API server.
    pub server: Arc<ApiServer>,
    /// Time and randomness.
    pub clock: Clock,
    /// What all components of this process watch, each kind once, under the controllers' identity, which may read
    /// everything. Each component writes under its own.
    pub informers: Informers,
}

impl ControlPlane {
    fn new(server: Arc<ApiServer>, clock: Clock) -> ControlPlane {
        let user = User::new("system:kube-controller-manager", &[]);
        let connection = LocalConnection::new(Arc::clone(&server), user);
        let informers = Informers::new(Client::new(Arc::new(connection), clock.clone()));
        ControlPlane { server, clock, informers }
    }

    /// A client of the server in this process, under an identity of its own.
    pub fn client(&self, user: User) -> Client {
        Client::new(Arc::new(LocalConnection::new(Arc::clone(&self.server), user)), self.clock.clone())
    }
}

/// Runs a server until it is told to stop. Containers live on.
///
/// # Errors
/// Why it cannot run.
pub async fn run(config: ServerConfig) -> anyhow::Result<()> {
    let clock = Clock::system();
    let stop = CancellationToken::new();
    let listener = TcpListener::bind(config.listen)
        .await
        .with_context(|| format!("cannot listen at {}: is another server running?", config.listen))?;
    let store = open_store(&config.node.data_dir, clock.clone()).await?;
    let api = api_config(&config);
    let server = ApiServer::start(&api, Arc::clone(&store), clock.clone()).await?;
    let certificate = server.serving_certificate(&api)?;
    let identity = Identity::from_pem(&certificate.certificate, &certificate.key)?;
    let tls = apiserver::server::acceptor(&server.pki, identity)?;
    let plane = ControlPlane::new(server, clock);
    let kubeconfig = write_kubeconfig(&config, &plane)?;
    join_info::publish(&config, &plane).await.context("cannot publish what other machines join by")?;

    let mut tasks = JoinSet::new();
    tasks.spawn(apiserver::server::serve(Arc::clone(&plane.server), listener, tls, stop.clone()));
    tasks.spawn(compact(Arc::clone(&store), stop.clone()));
    start_controllers(&config, &plane, &stop, &mut tasks)?;
    start_scheduler(&config, &plane, &stop, &mut tasks);
    eprintln!("Ironhull serves the Kubernetes API at https://{}", config.listen);
    eprintln!("  export KUBECONFIG={}", kubeconfig.display());
    eprintln!("  kubectl get nodes");
    let token_file = join_info::token_file(&config.node.data_dir);
    eprintln!("Another machine joins with the token in {}:", token_file.display());
    eprintln!("  ironhull agent --server {} --token TOKEN", join_info::url(&config));
    if config.agent {
        node_role::start(&config.node, node_access(&config.node, &plane)?, &stop, &mut tasks).await?;
    }
    run_until_signal(&stop, tasks).await
}

/// Waits for the signal to stop, and for the tasks' end after it.
///
/// # Errors
/// Where signals cannot be listened for.
pub async fn run_until_signal(stop: &CancellationToken, mut tasks: JoinSet<()>) -> anyhow::Result<()> {
    wait_for_signal().await?;
    tracing::info!("stopping; containers live on");
    stop.cancel();
    let _ = tokio::time::timeout(std::time::Duration::from_secs(10), async {
        while tasks.join_next().await.is_some() {}
    })
    .await;
    Ok(())
}

/// This machine's ways to the API server in this process.
fn node_access(settings: &NodeSettings, plane: &ControlPlane) -> anyhow::Result<NodeAccess> {
    let pki = &plane.server.pki;
    let name = format!("system:node:{}", settings.node_name);
    let subject = Subject {
        common_name: name.clone(),
        organizations: vec![GROUP_NODES.into()],
        names: vec![settings.node_name.clone()],
        addresses: settings.node_ips.clone(),
    };
    let serving = pki.kubelet_certificate("serving-kubelet", &subject)?;
    Ok(NodeAccess {
        node: plane.client(User::new(name, &[GROUP_NODES])),
        network: plane.client(User::new("system:dns-publisher", &[GROUP_MASTERS])),
        informers: plane.informers.clone(),
        serving: ServingTls {
            identity: Identity::from_pem(&serving.certificate, &serving.key)?,
            client_authorities: certificates(pki.client.certificate())?,
        },
        key_digest: None,
        clock: plane.clock.clone(),
    })
}

async fn open_store(data_dir: &Path, clock: Clock) -> anyhow::Result<Arc<dyn Store>> {
    let directory = data_dir.join("db");
    let store = Embedded::open(Options::new(&directory, clock)).await;
    Ok(Arc::new(
        store.with_context(|| format!("cannot open the cluster's state in {}", directory.display()))?,
    ))
}

fn api_config(config: &ServerConfig) -> Config {
    let admin = || User::new("kubernetes-admin", &[GROUP_MASTERS]);
    Config {
        pki_directory: config.node.data_dir.join("tls"),
        addresses: config.node.node_ips.clone(),
        names: config.tls_sans.clone(),
        port: config.listen.port(),
        service_cidrs: config.node.cluster.service_cidrs.clone(),
        cluster_domain: config.node.cluster.cluster_domain.clone(),
        tokens: config.token.iter().map(|token| (token.clone(), admin())).collect(),
    }
}

/// Writes the administrator's kubeconfig; the path to show comes back.
fn write_kubeconfig(config: &ServerConfig, plane: &ControlPlane) -> anyhow::Result<std::path::PathBuf> {
    let subject = Subject {
        common_name: "kubernetes-admin".into(),
        organizations: vec![GROUP_MASTERS.into()],
        ..Subject::default()
    };
    let admin: KeyedCertificate = plane.server.pki.client_certificate("client-admin", &subject)?;
    let host = match config.listen.ip() {
        ip if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        ip => ip,
    };
    let url = format!("https://{}", std::net::SocketAddr::new(host, config.listen.port()));
    let text = kubeconfig::text(&url, plane.server.pki.server.certificate(), &admin);
    let own = config.node.data_dir.join("kubeconfig");
    kubeconfig::write(&own, &text)?;
    match &config.kubeconfig {
        Some(path) => kubeconfig::write(path, &text).map(|()| path.clone()),
        None => Ok(own),
    }
}

fn start_controllers(
    config: &ServerConfig,
    plane: &ControlPlane,
    stop: &CancellationToken,
    tasks: &mut JoinSet<()>,
) -> anyhow::Result<()> {
    if !config.node.runs("controllers") {
        return Ok(());
    }
    let options = controllers::Config {
        cluster_cidrs: config.node.cluster.cluster_cidrs.clone(),
        cluster_dns: if config.node.runs("dns") {
            config.node.cluster.cluster_dns.clone()
        } else {
            Vec::new()
        },
        service_lb: config.node.runs("servicelb"),
        root_ca: Some(plane.server.pki.server.certificate().to_owned()),
        signers: Some(signers(&plane.server.pki)?),
        ..controllers::Config::default()
    };
    tasks.spawn(controllers::run(plane.informers.clone(), options, stop.clone()));
    Ok(())
}

/// The authorities that sign for nodes and other clients.
fn signers(pki: &Pki) -> Result<Signers, SignerError> {
    let signer = |authority: &Authority| Signer::new(authority.certificate(), authority.key()).map(Arc::new);
    Ok(Signers { client: signer(&pki.client)?, kubelet_serving: signer(&pki.kubelet_serving)? })
}

fn start_scheduler(
    config: &ServerConfig,
    plane: &ControlPlane,
    stop: &CancellationToken,
    tasks: &mut JoinSet<()>,
) {
    if !config.node.runs("scheduler") {
        return;
    }
    let client = plane.client(User::new("system:kube-scheduler", &[]));
    let (informers, stop) = (plane.informers.clone(), stop.clone());
    tasks.spawn(async move {
        scheduler::run(client, informers, scheduler::Config::default(), stop).await;
    });
}

/// Drops the store's old history: each time what was current the time before.
async fn compact(store: Arc<dyn Store>, stop: CancellationToken) {
    let mut last = None;
    loop {
        tokio::select! {
            () = tokio::time::sleep(COMPACT_EVERY) => {}
            () = stop.cancelled() => return,
        }
        let Ok(now) = store.current_revision().await else { return };
        if let Some(revision) = last.filter(|revision| *revision < now)
            && let Err(error) = store.compact(revision).await
        {
            tracing::warn!(%error, "cannot drop old history");
        }
        last = Some(now);
    }
}

async fn wait_for_signal() -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for signals")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for signals")?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}
