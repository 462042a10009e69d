//! Pod sandboxes and containers.
//!
//! [`Engine`] is the embedded implementation of [`RuntimeService`](cri::RuntimeService). It keeps a record of
//! everything it creates (`record`), and containers belong to shims ([`shim`](crate::shim)) rather than to this
//! process: an engine that is opened over the records of an earlier one connects to their shims and continues, without
//! restarting anything. The end of containers that exited in between is read from the states that the shims have
//! written.
//!
//! A sandbox is a set of namespaces, each mounted on a file (`namespaces`), a few files that its containers share, and
//! one shim. A container's process is created when it is started; before that, the container is a record and a root
//! filesystem. Root filesystems come from [`RootFilesystems`], addresses from [`PodNetwork`].

mod capabilities;
mod container;
mod launch;
mod lifecycle;
mod namespaces;
mod record;
mod roots;
mod sandbox;
mod seccomp;
mod service;
mod shim_client;
mod status;
mod streams;
mod sysctl;
mod usage;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use clock::Clock;
use parking_lot::Mutex;
use tokio::sync::broadcast;

use crate::shim::protocol::LogLimits;
use crate::snapshot::Usage;
use container::Container;
use cri::{ContainerEvent, CriError, ImageSpec, NetworkRequest, PodNetwork};
pub use record::ImageDefaults;
use record::Store;
use sandbox::Sandbox;
use shim_client::ShimProgram;

/// How many events a subscriber may be behind before it loses some.
const EVENTS_MAX: usize = 4096;

/// A pod network without addresses: sandboxes have the loopback device only.
#[derive(Clone, Copy, Debug, Default)]
pub struct LoopbackOnly;

#[async_trait]
impl PodNetwork for LoopbackOnly {
    async fn setup(&self, _request: &NetworkRequest) -> Result<Vec<IpAddr>, CriError> {
        Ok(Vec::new())
    }

    async fn teardown(&self, _request: &NetworkRequest) -> Result<(), CriError> {
        Ok(())
    }
}

/// A mounted root filesystem and its image's settings.
#[derive(Clone, Debug)]
pub struct RootFilesystem {
    /// Its mount point.
    pub path: PathBuf,
    /// The image's id.
    pub image_id: String,
    /// A digest reference of the image, or its id.
    pub image_ref: String,
    /// The image's configuration.
    pub defaults: ImageDefaults,
}

/// Provides containers' root filesystems; [`ImageStore`](crate::images::ImageStore) does.
#[async_trait]
pub trait RootFilesystems: Send + Sync {
    /// Mounts a root filesystem for a container; `id` names it from then on.
    async fn prepare(&self, id: &str, image: &ImageSpec) -> Result<RootFilesystem, CriError>;

    /// Mounts an image read-only, for a volume; `id` names the mount.
    async fn prepare_volume(&self, id: &str, image: &ImageSpec) -> Result<PathBuf, CriError>;

    /// Unmounts and removes everything created under `id`. Idempotent.
    async fn remove(&self, id: &str) -> Result<(), CriError>;

    /// The disk usage of the writable part of a root filesystem.
    async fn usage(&self, id: &str) -> Result<Usage, CriError>;
}

/// How to open an engine.
#[derive(Clone, Debug)]
pub struct EngineOptions {
    /// The directory of the engine's records; created if missing, accessible only to root.
    pub root: PathBuf,
    /// The program that becomes a shim.
    pub shim_program: PathBuf,
    /// Its arguments. The sandbox's directory is appended.
    pub shim_arguments: Vec<OsString>,
    /// The size of a container's log file at which another one begins, in bytes.
    pub log_bytes_max: u64,
    /// The maximum number of log files per container.
    pub log_files_max: usize,
}

impl EngineOptions {
    /// Options for this process's own program, in which a first argument [`shim`](crate::shim::ARGUMENT) must
    /// lead to [`crate::shim::main`].
    pub fn new(root: impl Into<PathBuf>) -> EngineOptions {
        EngineOptions {
            root: root.into(),
            shim_program: "/proc/self/exe".into(),
            shim_arguments: vec![crate::shim::ARGUMENT.into()],
            log_bytes_max: LogLimits::default().bytes_max,
            log_files_max: LogLimits::default().files_max,
        }
    }
}

/// Why an engine could not be opened or emptied.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The records cannot be read or written.
    #[error("the engine's records in {path}")]
    Records {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The program for shims cannot be opened.
    #[error("prepare the shim's program")]
    ShimProgram(#[source] io::Error),
    /// The machine's cgroup hierarchies are not mounted and cannot be.
    #[error("find the machine's cgroups")]
    Cgroups(#[source] io::Error),
    /// Something could not be removed.
    #[error("remove {what}: {message}")]
    Remove {
        /// A sandbox or a path.
        what: String,
        /// Why.
        message: String,
    },
}

/// Where hierarchies are mounted, below the engine's root, if the machine shows none.
const CGROUPS: &str = "cgroups";

/// The embedded container engine; cheap to clone.
#[derive(Clone)]
pub struct Engine(Arc<Inner>);

struct Inner {
    store: Store,
    clock: Clock,
    roots: Arc<dyn RootFilesystems>,
    network: Arc<dyn PodNetwork>,
    shim_program: ShimProgram,
    log_limits: LogLimits,
    sandboxes: Mutex<BTreeMap<String, Arc<Sandbox>>>,
    containers: Mutex<BTreeMap<String, Arc<Container>>>,
    /// Guards the record of parent cgroups.
    cgroups: Mutex<()>,
    events: broadcast::Sender<ContainerEvent>,
}

impl Engine {
    /// Opens the engine over its records, and adopts running containers. Must be called within a tokio runtime; one
    /// engine at a time may be open over the same records.
    pub async fn open(
        options: EngineOptions,
        roots: Arc<dyn RootFilesystems>,
        network: Arc<dyn PodNetwork>,
        clock: Clock,
    ) -> Result<Engine, EngineError> {
        let records = |source| EngineError::Records { path: options.root.clone(), source };
        let store = Store::open(&options.root).map_err(records)?;
        crate::shim::cgroup::mount_missing(&options.root.join(CGROUPS)).map_err(EngineError::Cgroups)?;
        let shim_program = ShimProgram::open(&options.shim_program, options.shim_arguments)
            .map_err(EngineError::ShimProgram)?;
        let engine = Engine(Arc::new(Inner {
            store,
            clock,
            roots,
            network,
            shim_program,
            log_limits: LogLimits { bytes_max: options.log_bytes_max, files_max: options.log_files_max },
            sandboxes: Mutex::default(),
            containers: Mutex::default(),
            cgroups: Mutex::new(()),
            events: broadcast::Sender::new(EVENTS_MAX),
        }));
        engine.adopt().await.map_err(records)?;
        Ok(engine)
    }

    /// Stops every container and removes everything that the engine has created on this host, its records last.
    pub async fn destroy_all(&self) -> Result<(), EngineError> {
        let ids: Vec<_> = self.0.sandboxes.lock().keys().cloned().collect();
        for id in ids {
            self.remove_sandbox(&id).await.map_err(|error| EngineError::Remove {
                what: format!("sandbox {id}"),
                message: error.full_message(),
            })?;
        }
        self.remove_parent_cgroups();
        let root = self.0.store.root();
        crate::shim::cgroup::unmount(&root.join(CGROUPS)).map_err(EngineError::Cgroups)?;
        match std::fs::remove_dir_all(root) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(EngineError::Records { path: root.to_owned(), source: error })
            }
            _ => Ok(()),
        }
    }
}

/// Removes everything that an engine with these records has made on this host, including running containers; it is not
/// an error if there is nothing. No engine may be open over them.
pub async fn reset(
    root: &Path,
    roots: Arc<dyn RootFilesystems>,
    network: Arc<dyn PodNetwork>,
    clock: Clock,
) -> Result<(), EngineError> {
    if !root.exists() {
        return Ok(());
    }
    Engine::open(EngineOptions::new(root), roots, network, clock).await?.destroy_all().await
}
