//! The agent: gives each pod a worker and forwards events to it.

use std::collections::BTreeSet;
use std::io;
use std::sync::{Arc, Weak};

use client::{Client, Informer, Informers, Recorder, Selection};
use clock::Clock;
use cri::{ImageService, PodSandboxFilter, RuntimeService};
use hostfs::Lane;
use k8s_openapi::api::core::v1::{Node, Pod};
use tokio::net::TcpListener;
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinSet;
use volumes::{ObjectCache, VolumeError, Volumes};

use crate::config::NodeConfig;
use crate::engine::{Engine, MeasuredImages, MeasuredRuntime};
use crate::eviction;
use crate::host::{self, Facts};
use crate::images::Images;
use crate::label;
use crate::metrics::Metrics;
use crate::pods::Pods;
use crate::probe::Prober;
use crate::registration::{Registration, has_new_resources};
use crate::server::Server;
use crate::shared::Shared;
use crate::worker::remove_orphan;

/// The number of container files that are read at once, and of file trees that are processed. An operation that hangs
/// keeps its place.
const FILES_WIDTH: usize = 16;
const TREES_WIDTH: usize = 8;

/// Why an agent could not be started.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// The machine cannot be examined, or a directory cannot be created.
    #[error("prepare the node agent's directories")]
    Directories(#[source] io::Error),
    /// The node API's TLS cannot be set up.
    #[error("the certificates of the node API, or the authorities of its clients")]
    Tls(#[from] rustls::Error),
    /// The node API cannot listen.
    #[error("listen for the node API on {address}")]
    Listen {
        /// The address.
        address: std::net::SocketAddr,
        /// The system's error.
        source: io::Error,
    },
}

/// A running node agent.
///
/// Dropping it is like [`Agent::shutdown`]: its tasks end, and the containers keep running.
pub struct Agent {
    pods: Arc<Pods>,
    shared: Arc<Shared>,
    ready: watch::Receiver<bool>,
    tasks: JoinSet<()>,
}

impl Agent {
    /// Starts an agent over an engine. It registers the node, adopts running containers, and follows the pods of its
    /// node. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// [`AgentError`] if the machine or the configuration do not allow it. It is not an error if the API server does
    /// not answer: the agent retries.
    pub async fn start(
        config: NodeConfig,
        client: Client,
        informers: &Informers,
        runtime: Arc<dyn RuntimeService>,
        images: Arc<dyn ImageService>,
        clock: Clock,
    ) -> Result<Agent, AgentError> {
        host::make_private(&config.root_dir).map_err(AgentError::Directories)?;
        std::fs::create_dir_all(&config.log_dir).map_err(AgentError::Directories)?;
        let facts = Facts::gather(&config.root_dir).map_err(AgentError::Directories)?;
        let pods = Arc::<Pods>::default();
        let changed: Weak<Pods> = Arc::downgrade(&pods);
        let objects = Arc::new(ObjectCache::new(client.clone(), move |id| {
            if let Some(pods) = changed.upgrade() {
                pods.object_changed(id);
            }
        }));
        let metrics = Arc::new(Metrics::new(&config.node_name, config.exposition.clone()));
        let operations = &metrics.operations;
        let runtime: Arc<dyn RuntimeService> =
            Arc::new(MeasuredRuntime { inner: runtime, operations: operations.clone() });
        let images = Arc::new(MeasuredImages { inner: images, operations: operations.clone() });
        let recorder = Recorder::start(client.clone(), "kubelet", &config.node_name);
        let of_node = |field: &str| format!("{field}={}", config.node_name);
        let shared = Arc::new(Shared {
            volumes: Volumes::new(&config.root_dir, client.clone(), Arc::clone(&objects)),
            images: Images::new(images, Arc::clone(&objects), recorder.clone(), clock.clone()),
            prober: Prober::new(
                Arc::clone(&runtime),
                recorder.clone(),
                clock.clone(),
                metrics.probes.clone(),
            ),
            files: Lane::new(FILES_WIDTH),
            trees: Lane::new(TREES_WIDTH),
            admitted: Default::default(),
            pressures: watch::Sender::default(),
            usages: Default::default(),
            nodes: informers.select::<Node>(Selection::fields::<Node>(of_node("metadata.name"))),
            services: informers.get(),
            port: parking_lot::RwLock::new(config.port),
            metrics,
            engine: Engine::new(Arc::clone(&runtime)),
            facts,
            client,
            clock,
            runtime,
            objects,
            recorder,
            config,
        });
        let informer = informers
            .select::<Pod>(Selection::fields::<Pod>(format!("spec.nodeName={}", shared.config.node_name)));
        let (ready_sender, ready) = watch::channel(false);
        let mut agent = Agent { pods, shared, ready, tasks: JoinSet::new() };
        agent.listen().await?;
        agent.keep_registered(ready_sender);
        agent.follow_pods(informer);
        agent.follow_engine();
        agent.follow_addresses();
        agent.follow_mounts();
        agent.tasks.spawn(crate::log_rotation::run(Arc::clone(&agent.shared)));
        agent.tasks.spawn(eviction::Manager::new(Arc::clone(&agent.shared), Arc::clone(&agent.pods)).run());
        Ok(agent)
    }

    /// Starts the node API, if there are certificates for it.
    async fn listen(&mut self) -> Result<(), AgentError> {
        let Some(tls) = &self.shared.config.tls else { return Ok(()) };
        let tls = tls::server(Arc::clone(&tls.identity), &tls.client_authorities, &[b"http/1.1"])?;
        let address = self.shared.config.listen_address();
        let failed = |source| AgentError::Listen { address, source };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        *self.shared.port.write() = listener.local_addr().map_err(failed)?.port();
        let server = Server::new(Arc::clone(&self.shared), Arc::clone(&self.pods));
        self.tasks.spawn(server.run(listener, tls));
        Ok(())
    }

    /// Waits until the node is Ready at the API server.
    pub async fn ready(&self) {
        // The sender lives as long as the agent's tasks; without them the node does not become ready.
        if self.ready.clone().wait_for(|ready| *ready).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// The port that the node API listens on.
    pub fn port(&self) -> u16 {
        *self.shared.port.read()
    }

    /// Stops the agent. The containers keep running; the next agent adopts them.
    pub async fn shutdown(mut self) {
        self.tasks.shutdown().await;
    }

    fn keep_registered(&mut self, ready: watch::Sender<bool>) {
        let node_changed = Arc::new(Notify::new());
        let notify = Arc::clone(&node_changed);
        let subscription = self.shared.nodes.subscribe(move |change| {
            let cidr = |node: Option<&Arc<Node>>| {
                node.and_then(|node| node.spec.clone()).and_then(|spec| spec.pod_cidr)
            };
            let status = change.new.as_ref().and_then(|node| node.status.as_ref());
            let has_resources = status.is_some_and(has_new_resources);
            if has_resources || cidr(change.old.as_ref()) != cidr(change.new.as_ref()) {
                notify.notify_one();
            }
        });
        subscription.forever();
        let registration = Registration { shared: Arc::clone(&self.shared), node_changed, ready };
        self.tasks.spawn(registration.run());
    }

    fn follow_pods(&mut self, informer: Arc<Informer<Pod>>) {
        let (finished, mut gone) = mpsc::unbounded_channel();
        let (shared, pods) = (Arc::clone(&self.shared), Arc::downgrade(&self.pods));
        let subscription = informer.subscribe(move |change| {
            if let Some(pods) = pods.upgrade() {
                pods.dispatch(&shared, change, &finished);
            }
        });
        subscription.forever();
        let (pods, shared) = (Arc::clone(&self.pods), Arc::clone(&self.shared));
        self.tasks.spawn(async move {
            informer.synced().await;
            let orphans = remove_orphans(&shared, &pods);
            let reap = async {
                while let Some(uid) = gone.recv().await {
                    pods.forget(&uid);
                }
            };
            tokio::join!(orphans, reap);
        });
    }

    /// Pods report the addresses of their node.
    fn follow_addresses(&mut self) {
        let mut node_ips = self.shared.config.node_ips.clone();
        let pods = Arc::clone(&self.pods);
        self.tasks.spawn(async move {
            while node_ips.changed().await.is_ok() {
                pods.wake_all();
            }
        });
    }

    /// Volumes that are unmounted by accident are mounted again.
    fn follow_mounts(&mut self) {
        let (shared, pods) = (Arc::clone(&self.shared), Arc::clone(&self.pods));
        self.tasks.spawn(async move {
            if let Err(error) = shared.volumes.watch_mounts(|uid| pods.volume_lost(uid)).await {
                tracing::warn!(%error, "cannot watch the mount table; unmounted volumes will not be noticed");
            }
        });
    }

    fn follow_engine(&mut self) {
        let (shared, pods) = (Arc::clone(&self.shared), Arc::clone(&self.pods));
        self.tasks.spawn(async move { shared.engine.follow(|uid| pods.wake(uid)).await });
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.pods.abandon();
    }
}

impl std::fmt::Debug for Agent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Agent").field("node", &self.shared.config.node_name).finish_non_exhaustive()
    }
}

/// Stops and removes the pods that ran here but that the API server no longer knows.
async fn remove_orphans(shared: &Arc<Shared>, pods: &Pods) {
    let found = match orphans(shared).await {
        Ok(found) => found,
        Err(message) => {
            tracing::warn!(message, "cannot look for orphaned pods");
            return;
        }
    };
    let known = pods.uids();
    let orphans = found.difference(&known).map(|uid| remove_orphan(Arc::clone(shared), uid.clone()));
    futures::future::join_all(orphans).await;
    // Those of pods that ended while no agent was running.
    shared.volumes.unstage_idle().await;
}

/// The UIDs of all pods that left something on this node.
async fn orphans(shared: &Shared) -> Result<BTreeSet<String>, String> {
    let sandboxes = shared.runtime.list_pod_sandbox(&PodSandboxFilter::default()).await;
    let sandboxes = sandboxes.map_err(|error| error.full_message())?;
    let with_volumes = shared.volumes.pods().map_err(|error: VolumeError| error.full_message())?;
    let labelled = sandboxes.iter().filter_map(|sandbox| sandbox.labels.get(label::POD_UID).cloned());
    Ok(labelled.chain(with_volumes).collect())
}
