//! Sandboxes: creating, stopping and removing them.

use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use rustix::mount::MountFlags;

use super::launch::{cgroup_parent, hostname};
use super::namespaces::{self, Wanted};
use super::record::SandboxRecord;
use super::shim_client::{ShimClient, ShimError};
use super::{Engine, sysctl};
use crate::shim::cgroup::Cgroup;
use crate::shim::protocol::Request;
use cri::{
    ContainerEventType, CriError, DnsConfig, NamespaceMode, NetworkRequest, PodSandboxConfig,
    PodSandboxState, UserNamespaceMode,
};

/// The size of a pod's `/dev/shm`.
const SHM_OPTIONS: &std::ffi::CStr = c"mode=1777,size=65536k";

/// A sandbox in memory.
pub(super) struct Sandbox {
    pub(super) record: Mutex<SandboxRecord>,
    pub(super) directory: PathBuf,
    pub(super) shim: ShimClient,
    /// Held while the sandbox is made, stopped or removed.
    pub(super) operation: tokio::sync::Mutex<()>,
}

impl Sandbox {
    pub(super) fn new(record: SandboxRecord, directory: PathBuf) -> Sandbox {
        Sandbox {
            record: Mutex::new(record),
            shim: ShimClient::new(directory.clone()),
            directory,
            operation: tokio::sync::Mutex::new(()),
        }
    }

    pub(super) fn snapshot(&self) -> SandboxRecord {
        self.record.lock().clone()
    }

    pub(super) fn is_ready(&self) -> bool {
        self.record.lock().state == PodSandboxState::Ready
    }
}

pub(super) fn has_own_network(config: &PodSandboxConfig) -> bool {
    config.linux.security_context.namespace_options.network != NamespaceMode::Node
}

fn network_request(record: &SandboxRecord, directory: &Path) -> NetworkRequest {
    NetworkRequest {
        sandbox_id: record.id.clone(),
        pod: record.config.metadata.clone(),
        namespace: namespaces::network_path(directory),
        annotations: record.config.annotations.clone(),
        port_mappings: record.config.port_mappings.clone(),
        dns: record.config.dns_config.clone(),
        cgroup: record.config.linux.cgroup_parent.clone(),
    }
}

impl Engine {
    pub(super) fn sandbox(&self, id: &str) -> Result<Arc<Sandbox>, CriError> {
        self.0.sandboxes.lock().get(id).cloned().ok_or_else(|| CriError::sandbox_not_found(id))
    }

    pub(super) async fn run_sandbox(
        &self,
        config: &PodSandboxConfig,
        runtime_handler: &str,
    ) -> Result<String, CriError> {
        if !runtime_handler.is_empty() {
            return Err(CriError::InvalidArgument(format!(
                "no runtime for {runtime_handler:?} is configured"
            )));
        }
        sysctl::check(config)?;
        let users = config.linux.security_context.namespace_options.userns.as_ref();
        if users.is_some_and(|users| users.mode == UserNamespaceMode::Pod) {
            return Err(CriError::InvalidArgument("user namespaces are not supported".to_owned()));
        }
        let record = SandboxRecord {
            id: self.new_id(),
            config: config.clone(),
            runtime_handler: runtime_handler.to_owned(),
            created_at: self.0.clock.now(),
            state: PodSandboxState::NotReady,
            ips: Vec::new(),
        };
        let id = record.id.clone();
        let sandbox = self.insert_sandbox(record)?;
        let _operation = sandbox.operation.lock().await;
        match self.make_sandbox(&sandbox).await {
            Ok(()) => {
                self.emit(&id, ContainerEventType::Created, &sandbox);
                self.emit(&id, ContainerEventType::Started, &sandbox);
                Ok(id)
            }
            Err(error) => {
                let cleanup = async {
                    self.stop_parts(&sandbox).await?;
                    self.forget_sandbox(&sandbox)
                };
                if let Err(second) = cleanup.await {
                    // Its record stays, so that it can be removed later.
                    tracing::warn!(
                        sandbox = id,
                        error = second.full_message(),
                        "cannot clean up a failed sandbox"
                    );
                }
                Err(error)
            }
        }
    }

    /// Adds the sandbox, unless its pod has one with the same attempt number.
    fn insert_sandbox(&self, record: SandboxRecord) -> Result<Arc<Sandbox>, CriError> {
        let mut sandboxes = self.0.sandboxes.lock();
        let metadata = &record.config.metadata;
        if sandboxes.values().any(|other| other.record.lock().config.metadata == *metadata) {
            let name =
                format!("{}_{}_{}_{}", metadata.name, metadata.namespace, metadata.uid, metadata.attempt);
            return Err(CriError::AlreadyExists { kind: "sandbox", name });
        }
        self.0.store.save_sandbox(&record).map_err(|error| CriError::internal("save the sandbox", error))?;
        let directory = self.0.store.sandbox(&record.id);
        let sandbox = Arc::new(Sandbox::new(record, directory));
        let id = sandbox.record.lock().id.clone();
        sandboxes.insert(id, sandbox.clone());
        Ok(sandbox)
    }

    async fn make_sandbox(&self, sandbox: &Arc<Sandbox>) -> Result<(), CriError> {
        let record = sandbox.snapshot();
        self.note_cgroup_parent(cgroup_parent(&record))?;
        let (shim, network) =
            tokio::join!(self.start_shim(sandbox), self.make_network(&record, &sandbox.directory));
        shim?;
        let ips = network?;
        self.follow_shim(sandbox).await?;
        let record = {
            let mut record = sandbox.record.lock();
            record.ips = ips;
            record.state = PodSandboxState::Ready;
            record.clone()
        };
        self.0.store.save_sandbox(&record).map_err(|error| CriError::internal("save the sandbox", error))
    }

    async fn start_shim(&self, sandbox: &Arc<Sandbox>) -> Result<(), CriError> {
        let (engine, directory) = (self.clone(), sandbox.directory.clone());
        blocking("start the pod's shim", move || engine.0.shim_program.start(&directory)).await
    }

    async fn make_network(
        &self,
        record: &SandboxRecord,
        directory: &Path,
    ) -> Result<Vec<std::net::IpAddr>, CriError> {
        let options = &record.config.linux.security_context.namespace_options;
        let own_network = has_own_network(&record.config);
        let wanted = Wanted {
            network: own_network,
            ipc: options.ipc != NamespaceMode::Node,
            hostname: own_network.then(|| hostname(record)),
        };
        let (shared, path) = (record.clone(), directory.to_owned());
        let make = move || {
            namespaces::create(&path, &wanted)?;
            make_shared_files(&path, &shared, wanted.ipc)
        };
        blocking("create the pod's namespaces", make).await?;
        let ips = match own_network {
            true => self.0.network.setup(&network_request(record, directory)).await?,
            false => Vec::new(),
        };
        // Parameters may belong to a device that the network has just added.
        let (config, path) = (record.config.clone(), directory.to_owned());
        blocking("set the pod's kernel parameters", move || sysctl::apply(&path, &config)).await?;
        Ok(ips)
    }

    /// Stops everything in the sandbox. Shared files stay until it is removed.
    pub(super) async fn stop_sandbox(&self, id: &str) -> Result<(), CriError> {
        let Ok(sandbox) = self.sandbox(id) else { return Ok(()) };
        let _operation = sandbox.operation.lock().await;
        // Another caller may have removed it in the meantime.
        if self.sandbox(id).is_err() {
            return Ok(());
        }
        let was_ready = sandbox.is_ready();
        self.stop_parts(&sandbox).await?;
        let record = {
            let mut record = sandbox.record.lock();
            record.ips.clear();
            record.clone()
        };
        self.0.store.save_sandbox(&record).map_err(|error| CriError::internal("save the sandbox", error))?;
        if was_ready {
            self.emit(id, ContainerEventType::Stopped, &sandbox);
        }
        Ok(())
    }

    async fn stop_parts(&self, sandbox: &Arc<Sandbox>) -> Result<(), CriError> {
        // No container can be started from here on.
        sandbox.record.lock().state = PodSandboxState::NotReady;
        match sandbox.shim.call(Request::Shutdown).await {
            Ok(_) => {}
            // It has exited: its remaining processes are killed through the cgroups below.
            Err(ShimError::Unreachable(_)) => {}
            Err(error) => return Err(CriError::internal("stop the pod's shim", error)),
        }
        let record = sandbox.snapshot();
        for container in self.containers_of(&record.id) {
            self.settle(&container, sandbox).await?;
        }
        if has_own_network(&record.config) {
            self.0.network.teardown(&network_request(&record, &sandbox.directory)).await?;
        }
        let directory = sandbox.directory.clone();
        let unmount = move || {
            namespaces::remove(&directory)?;
            namespaces::unmount(&directory.join("shm"))
        };
        blocking("remove the pod's namespaces", unmount).await
    }

    /// Stops and removes the sandbox with its containers.
    pub(super) async fn remove_sandbox(&self, id: &str) -> Result<(), CriError> {
        self.stop_sandbox(id).await?;
        let Ok(sandbox) = self.sandbox(id) else { return Ok(()) };
        for container in self.containers_of(id) {
            let container_id = container.record.lock().id.clone();
            self.remove(&container_id).await?;
        }
        let _operation = sandbox.operation.lock().await;
        if self.sandbox(id).is_ok() {
            self.forget_sandbox(&sandbox)?;
            self.emit_removed(id);
        }
        Ok(())
    }

    fn forget_sandbox(&self, sandbox: &Sandbox) -> Result<(), CriError> {
        remove_directory(&sandbox.directory)?;
        let id = sandbox.record.lock().id.clone();
        self.0.sandboxes.lock().remove(&id);
        self.remove_parent_cgroups();
        Ok(())
    }

    /// Records those parents of a cgroup that do not exist yet: the engine creates them, and removes them.
    fn note_cgroup_parent(&self, parent: &str) -> Result<(), CriError> {
        let note = || -> io::Result<()> {
            let _guard = self.0.cgroups.lock();
            let mut known = self.0.store.cgroups()?;
            let count = known.len();
            let mut path = String::new();
            for part in parent.split('/').filter(|part| !part.is_empty()) {
                path = format!("{path}/{part}");
                if !known.contains(&path) && !Cgroup::new(&path)?.exists() {
                    known.push(path.clone());
                }
            }
            if known.len() == count { Ok(()) } else { self.0.store.save_cgroups(&known) }
        };
        note().map_err(|error| CriError::internal("note the cgroup's parents", error))
    }

    /// Removes the parent cgroups that are empty by now.
    pub(super) fn remove_parent_cgroups(&self) {
        let remove = || -> io::Result<()> {
            let _guard = self.0.cgroups.lock();
            let mut known = self.0.store.cgroups()?;
            let count = known.len();
            let mut kept = Vec::new();
            let sandboxes = self.0.sandboxes.lock();
            let used = |path: &str| {
                sandboxes.values().any(|sandbox| {
                    let parent = format!("{}/", cgroup_parent(&sandbox.record.lock()));
                    parent.starts_with(&format!("{path}/"))
                })
            };
            // The innermost first.
            while let Some(path) = known.pop() {
                if used(&path) || Cgroup::new(&path)?.remove().is_err() {
                    kept.insert(0, path);
                }
            }
            if kept.len() == count { Ok(()) } else { self.0.store.save_cgroups(&kept) }
        };
        if let Err(error) = remove() {
            tracing::warn!(%error, "cannot remove parent cgroups");
        }
    }
}

/// Creates the files that the pod's containers share.
fn make_shared_files(directory: &Path, record: &SandboxRecord, own_ipc: bool) -> io::Result<()> {
    std::fs::write(directory.join("hostname"), format!("{}\n", hostname(record)))?;
    let resolv_conf = match &record.config.dns_config {
        Some(dns) => resolv_conf(dns),
        None => std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default(),
    };
    std::fs::write(directory.join("resolv.conf"), resolv_conf)?;
    for name in ["hostname", "resolv.conf"] {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
        std::fs::set_permissions(directory.join(name), mode)?;
    }
    if own_ipc {
        let shm = directory.join("shm");
        std::fs::DirBuilder::new().mode(0o700).create(&shm)?;
        let flags = MountFlags::NOEXEC | MountFlags::NOSUID | MountFlags::NODEV;
        rustix::mount::mount("shm", &shm, "tmpfs", flags, SHM_OPTIONS)?;
    }
    Ok(())
}

fn resolv_conf(dns: &DnsConfig) -> String {
    let mut text = String::new();
    if !dns.searches.is_empty() {
        text.push_str(&format!("search {}\n", dns.searches.join(" ")));
    }
    for server in &dns.servers {
        text.push_str(&format!("nameserver {server}\n"));
    }
    if !dns.options.is_empty() {
        text.push_str(&format!("options {}\n", dns.options.join(" ")));
    }
    text
}

/// Removes a directory of records; it is not an error if it is gone already.
pub(super) fn remove_directory(path: &Path) -> Result<(), CriError> {
    match std::fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(CriError::internal(format!("remove {}", path.display()), error))
        }
        _ => Ok(()),
    }
}

/// Runs blocking work.
pub(super) async fn blocking<T: Send + 'static>(
    context: &str,
    run: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, CriError> {
    match tokio::task::spawn_blocking(run).await {
        Ok(result) => result.map_err(|error| CriError::internal(context, error)),
        Err(error) => Err(CriError::internal(context, error)),
    }
}
