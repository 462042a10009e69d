//! The API server: the one way to the cluster's state.
//!
//! A request goes through TLS ([`server`]), authentication ([`authn`]), authorization ([`authz`]), routing
//! ([`handler`]), decoding, admission ([`admission`]), the kind's strategy and the store ([`registry`]), and its answer
//! is encoded in the form that was negotiated ([`respond`]). Reads are answered from the watch cache ([`cache`]).
//! Components in the same process take the same path behind TLS ([`ApiServer::operate`]).
//!
//! This crate must not know controllers, the internals of nodes or the rules of any single kind (those are in `kinds`).

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clock::Clock;
use ipnet::IpNet;
use store::Store;
use tokio::sync::oneshot;

pub mod admission;
mod aside;
pub mod authn;
pub mod authz;
pub mod body;
pub mod bootstrap;
pub mod cache;
pub mod catalogue;
pub mod components;
mod custom_resources;
pub mod dial;
pub mod discovery;
mod errors;
pub mod handler;
pub mod layers;
mod measured_store;
mod metrics;
pub mod negotiate;
pub mod node_proxy;
pub mod openapi;
pub mod options;
mod overload;
pub mod pki;
mod plugins;
mod policy_types;
pub mod registry;
pub mod request;
pub mod respond;
pub mod server;
mod table;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod tokens;
pub mod usage;
pub mod user;
mod websocket;

use admission::configuration::Configuration;
use admission::{Gate, Judge, ManifestError, Plugin, Selection, WebhookMetrics, Webhooks};
use authn::Authenticator;
use authz::{Authorizer, Masters, NodeAuthorizer, NodeCollections, Rbac};
use cache::{CacheError, CacheMetrics, Hub};
use catalogue::LiveCatalogue;
use measured_store::{MeasuredStore, StoreMetrics, StoredResources};
use node_proxy::NodeProxy;
use pki::{Pki, PkiError};
use registry::{Guards, Registry, Secrets, StageObserver};
use tokens::{RsaKey, RsaKeyError, TokenError, TokenSigner};
use user::User;

/// The version of Kubernetes whose API this is.
pub const KUBERNETES_VERSION: &str = "v1.37.0";
/// The issuer and the audience of service account tokens.
pub const TOKEN_ISSUER: &str = "https://kubernetes.default.svc.cluster.local";

/// How long events are kept by default, as upstream.
pub const EVENT_TTL: Duration = Duration::from_secs(3600);
/// The lowest priority of a thread.
const LOWEST_PRIORITY: i32 = 19;
/// The status code for a full disk.
const FULL: u16 = 507;

/// The configuration of an API server.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where certificates and keys are kept.
    pub pki_directory: PathBuf,
    /// The addresses at which clients reach this server.
    pub addresses: Vec<IpAddr>,
    /// Additional names for which the server's certificate is valid.
    pub names: Vec<String>,
    /// The port.
    pub port: u16,
    /// The networks of Services, at most one of each family; the first is the primary one.
    pub service_cidrs: Vec<IpNet>,
    /// The cluster's DNS domain.
    pub cluster_domain: String,
    /// Tokens known from the start, with their users.
    pub tokens: Vec<(String, User)>,
    /// How long events are kept; 0 for an unlimited time.
    pub event_ttl: Duration,
    /// The metrics of this process.
    pub exposition: ::metrics::Exposition,
    /// What this program was built from.
    pub build: Build,
}

/// What a program was built from, as far as it knows.
#[derive(Clone, Copy, Debug)]
pub struct Build {
    /// The commit.
    pub commit: &'static str,
    /// `clean`, or `dirty` if files were changed since the commit.
    pub tree_state: &'static str,
    /// When, in RFC 3339.
    pub date: &'static str,
    /// The version of the compiler.
    pub toolchain: &'static str,
}

impl Default for Build {
    /// Nothing is known. The date is that of upstream's programs without one.
    fn default() -> Build {
        Build { commit: "", tree_state: "", date: "1970-01-01T00:00:00Z", toolchain: "" }
    }
}

/// Why an API server cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Certificates or keys.
    #[error(transparent)]
    Pki(#[from] PkiError),
    /// The key of service account tokens.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The RSA key of service account tokens.
    #[error(transparent)]
    RsaKey(#[from] RsaKeyError),
    /// The manifests of admission cannot be used.
    #[error("cannot load the manifests of admission")]
    Manifests(#[from] ManifestError),
    /// The store cannot be read.
    #[error("cannot read the cluster's state")]
    Cache(#[from] CacheError),
    /// TLS cannot be set up.
    #[error("cannot set up TLS")]
    Tls(#[from] rustls::Error),
    /// A network of Services is too large or too small.
    #[error("--service-cidr {0}: the prefix must be between /12 and /28 (IPv6: between /64 and /124)")]
    ServiceCidr(IpNet),
    /// The initial objects cannot be created.
    #[error("cannot create the cluster's initial objects: {0}")]
    Bootstrap(object::Status),
    /// The built-in table lacks something that the server needs.
    #[error("the table of API facts lacks {0}")]
    Table(&'static str),
}

/// Additions to the built-in parts of a server.
#[derive(Default)]
pub struct Extensions {
    /// The configuration of the built-in admission plugins.
    pub admission: Configuration,
    /// Which of them are on.
    pub selection: Selection,
    /// Admission plugins, which run after the built-in ones and before webhooks and quotas.
    pub plugins: Vec<Arc<dyn Plugin>>,
    /// How webhooks of admission and of conversion are reached; over the network of this host by default.
    pub webhook_dialer: Option<Arc<dyn dial::Dial>>,
    /// Authorizers, which are asked before those of nodes and roles.
    pub authorizers: Vec<Arc<dyn Authorizer>>,
    /// Observes which stage each write has reached.
    pub observer: Option<Arc<dyn StageObserver>>,
    /// Hooks, which run after the built-in ones.
    #[cfg(test)]
    pub(crate) hooks: Vec<Arc<dyn registry::Hook>>,
}

/// A running API server; cheap to share.
pub struct ApiServer {
    /// The generic path.
    pub registry: Arc<Registry>,
    /// The authenticator.
    pub authenticator: Authenticator,
    /// The authorizer.
    pub authorizer: Arc<authz::Chain>,
    /// The certificate authorities.
    pub pki: Arc<Pki>,
    /// The connection to nodes and pods.
    pub nodes: NodeProxy,
    discovery: catalogue::Derived<discovery::Documents>,
    openapi: openapi::Documents,
    overload: overload::Overload,
    answers: Arc<respond::Shared>,
    metrics: Arc<metrics::Metrics>,
    observers: layers::observe::Observers,
    exposition: ::metrics::Exposition,
    build: Build,
    clock: Clock,
}

impl ApiServer {
    /// Opens the keys, loads the state and creates the initial objects of a cluster. [`server::serve`] serves requests.
    ///
    /// # Errors
    /// Why the server cannot start.
    pub async fn start(
        config: &Config,
        store: Arc<dyn Store>,
        clock: Clock,
    ) -> Result<Arc<ApiServer>, StartError> {
        ApiServer::start_with(config, store, clock, Extensions::default()).await
    }

    /// Like [`ApiServer::start`], with additional parts.
    ///
    /// # Errors
    /// Why the server cannot start.
    pub async fn start_with(
        config: &Config,
        store: Arc<dyn Store>,
        clock: Clock,
        extensions: Extensions,
    ) -> Result<Arc<ApiServer>, StartError> {
        let pki = Arc::new(Pki::open(&config.pki_directory, &clock)?);
        let tokens = TokenSigner::new(TOKEN_ISSUER, TOKEN_ISSUER, &pki.service_account)?;
        if let Some(key) = RsaKey::open(&pki.rsa_key_file())? {
            tokens.sign_with(key);
        }
        check_service_cidrs(&config.service_cidrs)?;
        let store = config.exposition.with(|shown| MeasuredStore::new(store, StoreMetrics::register(shown)));
        let cache = config.exposition.with(CacheMetrics::register);
        let stored = store.resources();
        let hub = Arc::new(Hub::measured(Arc::new(store), cache));
        let (networks, tokens) = (config.service_cidrs.clone(), Arc::new(tokens));
        let secrets = Secrets { tokens: Arc::clone(&tokens) };
        let mut registry = Registry::new(hub.clone(), clock.clone(), secrets, networks, config.event_ttl);
        let (authorizer, rbac) = authorizers(&registry, extensions.authorizers)?;
        registry.guards = Guards::new(Arc::clone(&authorizer), rbac, Arc::clone(&hub));
        let dialer = extensions.webhook_dialer.unwrap_or_else(|| Arc::new(dial::Tcp));
        let (metrics, configuration) = (WebhookMetrics::new(&config.exposition), extensions.admission);
        let judge = Judge { authorizer: Arc::clone(&authorizer), aside: Arc::clone(&registry.aside) };
        let webhooks = Webhooks::new(clock.clone(), Arc::clone(&dialer), metrics, judge.clone());
        let parts = plugins::Parts::new(clock.clone(), judge, webhooks, configuration, &config.exposition);
        registry.admission = plugins::chain(&parts, &extensions.selection, extensions.plugins)?;
        registry.observer = extensions.observer;
        #[cfg(test)]
        extensions.hooks.into_iter().for_each(|hook| registry.hooks.add(hook));
        let registry = Arc::new(registry);
        hub.start().await?;
        registry.repair().await;
        let mut publisher = custom_resources::Publisher::new(&registry, dialer)
            .ok_or(StartError::Table("customresourcedefinitions"))?;
        publisher.load().await;
        let measures = Arc::new(metrics::Metrics::new(&config.exposition, &authorizer));
        measure_served(&registry.catalogue, stored, &measures);
        let objects = metrics::Objects(Arc::downgrade(&registry));
        config.exposition.with(|shown| shown.register_collector(Box::new(objects)));
        let nodes = NodeProxy::new(&pki, &pki.kept(&node_proxy::client_certificate())?)?;
        let server = Arc::new(ApiServer {
            authenticator: Authenticator::new(
                Arc::clone(&registry.catalogue),
                tokens,
                clock.clone(),
                config.tokens.clone(),
            ),
            authorizer,
            pki,
            nodes,
            discovery: catalogue::Derived::default(),
            openapi: openapi::Documents::default(),
            overload: overload::Overload::new(),
            answers: Arc::default(),
            observers: layers::observe::Observers::new(vec![Arc::clone(&measures) as _]),
            metrics: measures,
            exposition: config.exposition.clone(),
            build: config.build,
            registry,
            clock,
        });
        match bootstrap::run(&server, config).await {
            Err(status) if status.code == FULL => bootstrap::run_later(&server, config, &status),
            done => done.map_err(StartError::Bootstrap)?,
        }
        server.go_on(publisher, parts.webhooks.gate());
        Ok(server)
    }
}

impl ApiServer {
    /// Starts what goes on beside requests, once there is everything that the server itself needs.
    fn go_on(&self, publisher: custom_resources::Publisher, gate: &Gate) {
        publisher.run();
        gate.open();
        self.give_old_events_leases();
    }

    /// Checks the types of admission policies as they change, beside the controllers of the cluster, until the registry ends.
    pub fn check_policies(&self) {
        policy_types::run(&self.registry);
    }

    /// The served resources, which can be added and removed.
    pub fn catalogue(&self) -> &Arc<LiveCatalogue> {
        &self.registry.catalogue
    }

    /// The control plane's other components, whose health is shown.
    pub fn components(&self) -> &components::Components {
        &self.registry.components
    }

    /// What nodes and pods use, as far as this server has measured it.
    pub fn measures(&self) -> &usage::Measures {
        &self.registry.measures
    }

    /// Generates the RSA key of service account tokens if the cluster has none, on a thread of the lowest priority.
    /// Tokens are signed with the EC key until it is there. After a failure, the next start tries again. The result is
    /// told once a new key is there and on disk, and ends without that if there is none to wait for.
    pub fn generate_rsa_key(&self) -> oneshot::Receiver<()> {
        let (made, is_made) = oneshot::channel();
        if self.registry.secrets.tokens.has_rsa_key() {
            return is_made;
        }
        let (path, clock) = (self.pki.rsa_key_file(), self.clock.clone());
        let tokens = Arc::clone(&self.registry.secrets.tokens);
        // Not one of the runtime's threads, whose end would have to be waited for at the end of the process.
        let started = std::thread::Builder::new().name("rsa-key".into()).spawn(move || {
            // Without it, the key is generated all the same.
            let _ = rustix::process::setpriority_process(None, LOWEST_PRIORITY);
            match RsaKey::generate(&path, &clock) {
                Ok(key) => {
                    tracing::info!(key = key.id, "service account tokens are signed with RS256 from now on");
                    tokens.sign_with(key);
                    // Nobody needs to know.
                    let _ = made.send(());
                }
                Err(error) => {
                    let error = causes::chain(&error);
                    tracing::warn!(error, "service account tokens are still signed with ES256");
                }
            }
        });
        if let Err(error) = started {
            tracing::warn!(%error, "cannot start a thread; service account tokens are still signed with ES256");
        }
        is_made
    }

    /// Gives leases to events that were written before events had leases, in a separate task.
    fn give_old_events_leases(&self) {
        let Some(collection) = self.registry.collection(registry::EVENTS).cloned() else { return };
        let (store, clock) = (Arc::clone(self.registry.hub.store()), self.clock.clone());
        tokio::spawn(async move {
            let Some(leases) = collection.leases() else { return };
            match cache::adopt(leases, collection.prefix(), store.as_ref(), &clock).await {
                Ok(0) => {}
                Ok(adopted) => tracing::info!(adopted, "events from before the upgrade now expire too"),
                // The next start continues.
                Err(error) => tracing::warn!(%error, "events from before the upgrade may be kept for ever"),
            }
        });
    }
}

/// Shows the metrics of custom resources as long as they are served.
fn measure_served(catalogue: &Arc<LiveCatalogue>, stored: StoredResources, measures: &Arc<metrics::Metrics>) {
    let asked = Arc::downgrade(catalogue);
    stored.ask(Box::new(move |group, plural| {
        asked.upgrade().is_some_and(|catalogue| catalogue.serves(group, plural))
    }));
    let measures = Arc::clone(measures);
    catalogue.on_removal(move |group, plural| {
        stored.forget(group, plural);
        measures.forget(group, plural);
    });
}

/// The authorizers over the registry's collections, in upstream's order; and the role authorizer separately, whose
/// rules are compared when a user grants rights.
fn authorizers(
    registry: &Registry,
    more: Vec<Arc<dyn Authorizer>>,
) -> Result<(Arc<authz::Chain>, Arc<Rbac>), StartError> {
    let collection = |path| registry.collection(path).cloned().ok_or(StartError::Table(path));
    let rbac = Arc::new(Rbac::new(
        collection("roles")?,
        collection("clusterroles")?,
        collection("rolebindings")?,
        collection("clusterrolebindings")?,
    ));
    let of_nodes = NodeCollections {
        pods: collection("pods")?,
        volumes: collection("persistentvolumes")?,
        attachments: collection("volumeattachments")?,
        slices: collection("resourceslices")?,
        requests: collection("podcertificaterequests")?,
    };
    let node = NodeAuthorizer::new(of_nodes, bootstrap::node_rules());
    let mut members: Vec<Arc<dyn Authorizer>> = vec![Arc::new(Masters)];
    members.extend(more);
    members.extend([Arc::new(node) as _, Arc::clone(&rbac) as _]);
    Ok((Arc::new(authz::Chain::new(members)), rbac))
}

fn check_service_cidrs(networks: &[IpNet]) -> Result<(), StartError> {
    let wrong = networks.iter().find(|network| {
        let lengths = if network.addr().is_ipv4() { 12..=28 } else { 64..=124 };
        !lengths.contains(&network.prefix_len())
    });
    wrong.map_or(Ok(()), |network| Err(StartError::ServiceCidr(*network)))
}
