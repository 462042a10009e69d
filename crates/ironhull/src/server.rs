//! The control plane, with a node in the same process.

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use apiserver::pki::{Authority, Pki, Subject, Usage, Wanted};
use apiserver::user::{GROUP_MASTERS, GROUP_NODES, User};
use apiserver::{ApiServer, Build, Config, Extensions};
use clock::Clock;
use controllers::{Accounts, Signer, SignerError, Signers};
use jiff::SignedDuration;
use join::{JoinInfo, kubeconfig};
use metrics::Exposition;
use node::ServingTls;
use store::Store;
use tls::{Identity, certificates};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::access::NodeAccess;
use crate::config::{NodeSettings, ServerConfig};
use crate::control_plane::ControlPlane;
use crate::lifetime::{run_until_signal, until_stop};
use crate::own_certificates::OwnCertificates;
use crate::{health, history, identities, memory, node_role, own_node, state, tell};

/// What this program was built from; `build.rs` sets the variables.
const BUILD: Build = Build {
    commit: env!("IRONHULL_COMMIT"),
    tree_state: env!("IRONHULL_TREE_STATE"),
    date: env!("IRONHULL_BUILD_DATE"),
    toolchain: env!("IRONHULL_TOOLCHAIN"),
};
/// The pause after an attempt that failed.
const RETRY_AFTER: std::time::Duration = std::time::Duration::from_secs(1);

/// Runs a server until it is stopped. Containers keep running.
///
/// # Errors
/// Why it cannot run.
pub async fn run(config: ServerConfig) -> anyhow::Result<()> {
    let clock = Clock::system();
    let stop = CancellationToken::new();
    let listener = TcpListener::bind(config.listen)
        .await
        .with_context(|| format!("cannot listen at {}: is another server running?", config.listen))?;
    let data_dir = &config.node.data_dir;
    let exposition = Exposition::default();
    exposition.with(|registry| registry.register_collector(Box::new(metrics::Process)));
    let measured = exposition.with(store::Metrics::register);
    let store = state::open(data_dir, config.accept_loss.as_deref(), clock.clone(), measured).await?;
    let api = Config { exposition: exposition.clone(), ..api_config(&config) };
    let extensions = Extensions {
        admission: config.admission.clone(),
        selection: config.plugins.clone(),
        ..Extensions::default()
    };
    let server = ApiServer::start_with(&api, Arc::clone(&store), clock.clone(), extensions).await?;
    state::note_keys(store.as_ref(), data_dir).await?;
    let plane = ControlPlane::new(server, config.listen.port(), clock, exposition);
    let mut tasks = JoinSet::new();
    let mut certificates = OwnCertificates {
        pki: &plane.server.pki,
        addresses: &config.node.addresses,
        clock: &plane.clock,
        stop: &stop,
        tasks: &mut tasks,
    };
    let own = config.clone();
    let identity = certificates.show(move || apiserver::server::serving_certificate(&api_config(&own)))?;
    let tls = apiserver::server::acceptor(&plane.server.pki, identity)?;
    let proxy_identity = Arc::clone(&plane.server.nodes.identity);
    let proxy = apiserver::node_proxy::client_certificate();
    let kept = plane.server.pki.kept(&proxy)?;
    certificates.keep(proxy, kept, proxy_identity, |_| ())?;
    let kubeconfig = keep_kubeconfig(&config, &mut certificates)?;
    let own = config.clone();
    let node_identity = certificates.show(move || node_certificate(&own))?;
    follow_addresses(&config, &plane, &stop, &mut tasks);
    match publish_join_info(&config, &plane).await {
        Err(error) if store.is_full() => {
            tracing::warn!(
                error = causes::chain(error.as_ref()),
                "cannot publish what other machines join by"
            );
        }
        published => published.context("cannot publish the information for joining machines")?,
    }

    let limits = apiserver::server::limits();
    tasks.spawn(apiserver::server::serve(Arc::clone(&plane.server), listener, tls, limits, stop.clone()));
    tasks.spawn(history::limit(Arc::clone(&plane.server.registry.hub), stop.clone()));
    tasks.spawn(memory::give_back(stop.clone()));
    let (measured, resolution) = (Arc::clone(&plane.server), config.metric_resolution);
    until_stop(&stop, &mut tasks, async move { measured.measure_nodes(resolution).await });
    start_controllers(&config, &plane, &stop, &mut tasks)?;
    start_scheduler(&config, &plane, &stop, &mut tasks);
    if config.agent {
        start_label(&config, &plane, &stop, &mut tasks);
        node_role::start(&config.node, node_access(&config.node, &plane, node_identity)?, &stop, &mut tasks)
            .await?;
    }
    // Now nothing is left that could end it, such as another server that has this host's network.
    greet(&config, &kubeconfig);
    let made = plane.server.generate_rsa_key();
    let data_dir = config.node.data_dir.clone();
    until_stop(&stop, &mut tasks, note_rsa_key(made, store, data_dir));
    run_until_signal(&stop, tasks).await
}

/// Records the RSA key once it was made, so that a later start without it is noticed.
async fn note_rsa_key(made: oneshot::Receiver<()>, store: Arc<dyn Store>, data_dir: PathBuf) {
    if made.await.is_ok()
        && let Err(error) = state::note_keys(store.as_ref(), &data_dir).await
    {
        // The next start tries again.
        tracing::warn!(error = causes::chain(error.as_ref()), "cannot record the RSA key");
    }
}

/// Prints the server's address, and what to do next.
fn greet(config: &ServerConfig, kubeconfig: &std::path::Path) {
    tell(format_args!(
        "Ironhull serves the Kubernetes API at https://{}\n  export KUBECONFIG={}\n  kubectl get nodes\n\
         To join another machine, use the token in {}:\n  ironhull agent --server {} --token TOKEN",
        config.listen,
        kubeconfig.display(),
        join::info::token_file(&config.node.data_dir).display(),
        url(config)
    ));
}

/// This machine's connections to the API server in this process.
fn node_access(
    settings: &NodeSettings,
    plane: &ControlPlane,
    identity: Arc<Identity>,
) -> anyhow::Result<NodeAccess> {
    let exposition = Exposition::default();
    let requests = exposition.with(client::RequestMetrics::register);
    Ok(NodeAccess {
        node: plane.client_measured_by(identities::node(&settings.node_name), &requests),
        network: plane.client(identities::network(&settings.node_name)),
        informers: plane.informers.clone(),
        serving: ServingTls {
            identity,
            client_authorities: certificates(plane.server.pki.client.certificate())?,
        },
        key_digest: None,
        exposition,
        clock: plane.clock.clone(),
    })
}

/// The certificate of this machine's own node API, with the same lifetime as those of other nodes.
fn node_certificate(config: &ServerConfig) -> Wanted {
    let subject = Subject {
        common_name: identities::node_name(&config.node.node_name),
        organizations: vec![GROUP_NODES.into()],
        names: vec![config.node.node_name.clone()],
        addresses: config.node.addresses.get(),
    };
    let wanted = Wanted::new("serving-kubelet", Usage::NodeServer, subject);
    Wanted { lifetime: config.signing_duration, ..wanted }
}

fn api_config(config: &ServerConfig) -> Config {
    let admin = || User::new("kubernetes-admin", &[GROUP_MASTERS]);
    Config {
        pki_directory: state::keys_directory(&config.node.data_dir),
        addresses: config.node.addresses.get(),
        names: config.tls_sans.clone(),
        port: config.listen.port(),
        service_cidrs: config.node.cluster.service_cidrs.clone(),
        cluster_domain: config.node.cluster.cluster_domain.clone(),
        tokens: config.token.iter().map(|token| (token.clone(), admin())).collect(),
        event_ttl: config.event_ttl,
        exposition: Exposition::default(),
        build: BUILD,
    }
}

/// Writes the administrator's kubeconfig, and again whenever its certificate is renewed; returns the path to show.
fn keep_kubeconfig(
    config: &ServerConfig,
    certificates: &mut OwnCertificates<'_>,
) -> anyhow::Result<std::path::PathBuf> {
    let subject = Subject {
        common_name: "kubernetes-admin".into(),
        organizations: vec![GROUP_MASTERS.into()],
        ..Subject::default()
    };
    let wanted = Wanted::new("client-admin", Usage::Client, subject);
    let admin = certificates.pki.kept(&wanted)?;
    let host = match config.listen.ip() {
        ip if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        ip => ip,
    };
    let url = format!("https://{}", std::net::SocketAddr::new(host, config.listen.port()));
    let authority = certificates.pki.server.certificate().to_owned();
    let own = config.node.data_dir.join("kubeconfig");
    let paths: Vec<_> = std::iter::once(own.clone()).chain(config.kubeconfig.clone()).collect();
    let write = move |certificate: &str, key: &str| {
        let text = kubeconfig::text(&url, &authority, certificate, key);
        paths.iter().try_for_each(|path| kubeconfig::write(path, &text))
    };
    write(&admin.certificate, &admin.key)?;
    let identity = Identity::from_pem(&admin.certificate, &admin.key)?;
    certificates.keep(wanted, admin, identity, move |renewed| {
        if let Err(error) = write(&renewed.certificate, &renewed.key) {
            tracing::warn!(error = causes::chain(&error), "cannot write the administrator's kubeconfig");
        }
    })?;
    Ok(config.kubeconfig.clone().unwrap_or(own))
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
        signers: Some(signers(&plane.server.pki, config.signing_duration)?),
        time_zone: jiff::tz::TimeZone::system(),
        autoscaling: config.autoscaling,
        ..controllers::Config::default()
    };
    plane.server.components().set_controllers(health::Controllers(options.health.clone()));
    let accounts = plane.clone();
    let context = controllers::Context {
        informers: plane.informers.clone(),
        accounts: Accounts::new(move |account| accounts.client(identities::controller(account))),
        metrics: plane.exposition.with(controllers::Metrics::register),
        config: Arc::new(options),
    };
    tasks.spawn(controllers::run(context, stop.clone()));
    plane.server.check_policies();
    Ok(())
}

/// The authorities that sign for nodes and other clients.
fn signers(pki: &Pki, lifetime: SignedDuration) -> Result<Signers, SignerError> {
    let signer =
        |authority: &Authority| Signer::new(authority.certificate(), authority.key(), lifetime).map(Arc::new);
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
    let client = plane.client(identities::scheduler());
    let (informers, stop) = (plane.informers.clone(), stop.clone());
    let metrics = Arc::new(plane.exposition.with(scheduler::Metrics::register));
    let mut options = scheduler::Config { metrics, ..scheduler::Config::default() };
    if let Some(configuration) = config.scheduler.clone() {
        options.apply(configuration);
    }
    plane.server.components().set_scheduler(health::Scheduler(Arc::clone(&options.mailbox)));
    tasks.spawn(async move { scheduler::run(client, informers, options, stop).await });
}

/// Publishes the server's address whenever its machine's address changes.
fn follow_addresses(
    config: &ServerConfig,
    plane: &ControlPlane,
    stop: &CancellationToken,
    tasks: &mut JoinSet<()>,
) {
    let (config, plane) = (config.clone(), plane.clone());
    let mut changes = config.node.addresses.subscribe();
    until_stop(stop, tasks, async move {
        while changes.changed().await.is_ok() {
            while let Err(error) = publish_addresses(&config, &plane).await {
                let error = causes::chain(error.as_ref());
                tracing::warn!(error, "cannot publish the server's address yet");
                tokio::time::sleep(RETRY_AFTER).await;
            }
        }
    });
}

async fn publish_addresses(config: &ServerConfig, plane: &ControlPlane) -> anyhow::Result<()> {
    apiserver::bootstrap::publish_addresses(&plane.server, &api_config(config)).await?;
    publish_join_info(config, plane).await
}

/// Publishes the data with which other machines join.
async fn publish_join_info(config: &ServerConfig, plane: &ControlPlane) -> anyhow::Result<()> {
    let pki = &plane.server.pki;
    let info = JoinInfo {
        url: url(config),
        authority: pki.server.certificate().to_owned(),
        settings: join::info::Settings {
            json: serde_json::to_string(&config.node.cluster)?,
            client_authority: pki.client.certificate().to_owned(),
        },
        token_file: join::info::token_file(&config.node.data_dir),
    };
    Ok(join::publish(&plane.client(identities::join_info()), &info).await?)
}

/// The address at which other machines reach the server.
fn url(config: &ServerConfig) -> String {
    format!("https://{}", std::net::SocketAddr::new(config.node.addresses.primary(), config.listen.port()))
}

/// Labels the node with the control plane.
fn start_label(
    config: &ServerConfig,
    plane: &ControlPlane,
    stop: &CancellationToken,
    tasks: &mut JoinSet<()>,
) {
    let (plane, name) = (plane.clone(), config.node.node_name.clone());
    until_stop(stop, tasks, async move { own_node::label(&plane, &name).await });
}
