//! Containers: creating, starting, stopping and removing them.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rustix::fs::OFlags;
use tokio::sync::watch;

use super::Engine;
use super::launch::{self, cgroup_path};
use super::record::{ContainerRecord, StartFailure};
use super::sandbox::{Sandbox, blocking, remove_directory};
use super::shim_client::ShimError;
use crate::shim::cgroup::Cgroup;
use crate::shim::protocol::{ContainerState, Exit, Reply, Request};
use crate::snapshot::{open_inside, open_root};
use cri::{ContainerConfig, ContainerEventType, CriError, LinuxContainerResources};

const SIGKILL: i32 = nix::libc::SIGKILL;

/// How long a container may take to exit after SIGKILL: a process in uninterruptible sleep may need it.
const KILL_TIMEOUT: Duration = Duration::from_secs(120);

/// How long the start of a container or of a process in it may take.
pub(super) const START_TIMEOUT: Duration = Duration::from_secs(120);

/// How often and how long to retry if the kernel sends no notification.
const RETRY_INTERVAL: Duration = Duration::from_millis(10);
const RETRIES_MAX: u32 = 1000;

/// The exit code of a container whose exit was not observed.
const UNKNOWN_EXIT_CODE: i32 = 255;

/// A container in memory.
pub(super) struct Container {
    pub(super) record: Mutex<ContainerRecord>,
    /// The state reported by the shim; `None` before the start.
    pub(super) state: watch::Sender<Option<ContainerState>>,
    /// Held while the container is started or removed.
    pub(super) operation: tokio::sync::Mutex<()>,
}

impl Container {
    pub(super) fn new(record: ContainerRecord, state: Option<ContainerState>) -> Container {
        Container {
            record: Mutex::new(record),
            state: watch::Sender::new(state),
            operation: tokio::sync::Mutex::new(()),
        }
    }

    pub(super) fn snapshot(&self) -> ContainerRecord {
        self.record.lock().clone()
    }

    pub(super) fn is_running(&self) -> bool {
        self.state.borrow().as_ref().is_some_and(|state| state.exit.is_none())
    }

    fn was_started(&self) -> bool {
        self.state.borrow().is_some() || self.record.lock().start_failure.is_some()
    }

    /// Records a report from the shim. An exit is final; it may arrive before the answer to the start.
    pub(super) fn take(&self, new: &ContainerState) -> bool {
        self.state.send_if_modified(|state| {
            let newer = match state {
                None => true,
                Some(old) => old.exit.is_none() && new.exit.is_some(),
            };
            if newer {
                *state = Some(new.clone());
            }
            newer
        })
    }
}

impl Engine {
    pub(super) fn container(&self, id: &str) -> Result<Arc<Container>, CriError> {
        self.0.containers.lock().get(id).cloned().ok_or_else(|| CriError::container_not_found(id))
    }

    pub(super) fn containers_of(&self, sandbox_id: &str) -> Vec<Arc<Container>> {
        let containers = self.0.containers.lock();
        containers.values().filter(|one| one.record.lock().sandbox_id == sandbox_id).cloned().collect()
    }

    pub(super) async fn create(
        &self,
        sandbox_id: &str,
        config: &ContainerConfig,
    ) -> Result<String, CriError> {
        let sandbox = self.sandbox(sandbox_id)?;
        require_ready(&sandbox, sandbox_id)?;
        let taken = |one: &Arc<Container>| one.record.lock().config.metadata == config.metadata;
        if self.containers_of(sandbox_id).iter().any(taken) {
            let name = format!("{}_{}_{sandbox_id}", config.metadata.name, config.metadata.attempt);
            return Err(CriError::AlreadyExists { kind: "container", name });
        }
        let mut record = ContainerRecord {
            id: self.new_id(),
            sandbox_id: sandbox_id.to_owned(),
            resources: config.linux.resources.clone(),
            config: config.clone(),
            image_id: String::new(),
            image_ref: String::new(),
            rootfs: PathBuf::new(),
            image: Default::default(),
            created_at: self.0.clock.now(),
            start_failure: None,
        };
        let id = record.id.clone();
        self.save(&record)?;
        let root = match self.prepare_root(&mut record).await {
            Ok(()) => self.save(&record),
            Err(error) => Err(error),
        };
        if let Err(error) = root {
            self.remove_files(&record).await?;
            return Err(error);
        }
        let container = Arc::new(Container::new(record, None));
        self.0.containers.lock().insert(id.clone(), container);
        self.emit(&id, ContainerEventType::Created, &sandbox);
        Ok(id)
    }

    /// Mounts the root filesystem, and images that are volumes.
    async fn prepare_root(&self, record: &mut ContainerRecord) -> Result<(), CriError> {
        let root = self.0.roots.prepare(&record.id, &record.config.image).await?;
        record.rootfs = root.path;
        record.image_id = root.image_id;
        record.image_ref = root.image_ref;
        record.image = root.defaults;
        for index in 0..record.config.mounts.len() {
            let Some(image) = record.config.mounts[index].image.clone() else { continue };
            let volume = self.0.roots.prepare_volume(&volume_id(&record.id, index), &image).await?;
            let mount = &mut record.config.mounts[index];
            let sub_path = mount.image_sub_path.clone();
            let found =
                blocking("find the sub path in the image", move || place_in(&volume, &sub_path)).await?;
            mount.host_path = found.to_string_lossy().into_owned();
            mount.readonly = true;
        }
        Ok(())
    }

    pub(super) fn save(&self, record: &ContainerRecord) -> Result<(), CriError> {
        self.0.store.save_container(record).map_err(|error| CriError::internal("save the container", error))
    }

    pub(super) async fn start(&self, id: &str) -> Result<(), CriError> {
        let container = self.container(id)?;
        let _operation = container.operation.lock().await;
        let record = container.snapshot();
        if container.was_started() {
            return Err(CriError::FailedPrecondition(format!("container {id} was already started")));
        }
        let sandbox = self.sandbox(&record.sandbox_id)?;
        require_ready(&sandbox, &record.sandbox_id)?;
        match self.launch(&sandbox, &record).await {
            Ok(state) => {
                container.take(&state);
                self.emit(id, ContainerEventType::Started, &sandbox);
                Ok(())
            }
            Err(error) => {
                let failed = {
                    let mut record = container.record.lock();
                    let failure = StartFailure { message: error.full_message(), at: self.0.clock.now() };
                    record.start_failure = Some(failure);
                    record.clone()
                };
                self.save(&failed)?;
                self.emit(id, ContainerEventType::Stopped, &sandbox);
                Err(error)
            }
        }
    }

    async fn launch(
        &self,
        sandbox: &Arc<Sandbox>,
        record: &ContainerRecord,
    ) -> Result<ContainerState, CriError> {
        let (directory, state_directory) = (sandbox.directory.clone(), self.0.store.container(&record.id));
        let (of_sandbox, of_container) = (sandbox.snapshot(), record.clone());
        let prepare = move || launch::launch(&of_sandbox, &directory, &of_container, state_directory);
        let mut launch = tokio::task::spawn_blocking(prepare)
            .await
            .map_err(|error| CriError::internal("prepare the container", error))??;
        launch.log_limits = self.0.log_limits;
        let request = Request::Start { launch: Box::new(launch) };
        let failed = |error| CriError::internal("failed to start container process", error);
        match tokio::time::timeout(START_TIMEOUT, sandbox.shim.call(request)).await {
            Ok(Ok(Reply::Started { pid, identity, started_at_nanos })) => {
                Ok(ContainerState { id: record.id.clone(), pid, identity, started_at_nanos, exit: None })
            }
            Ok(Ok(_)) => Err(failed(ShimError::Unexpected)),
            Ok(Err(error)) => Err(failed(error)),
            Err(_) => {
                // It probably hangs in a mount of storage that does not respond.
                self.remove_cgroup(record).await?;
                let seconds = START_TIMEOUT.as_secs();
                Err(CriError::DeadlineExceeded(format!("the container did not start within {seconds}s")))
            }
        }
    }

    pub(super) async fn stop(&self, id: &str, timeout: Duration) -> Result<(), CriError> {
        let Ok(container) = self.container(id) else { return Ok(()) };
        if !container.is_running() {
            return Ok(());
        }
        if !timeout.is_zero() {
            let signal = stop_signal(&container.record.lock());
            self.signal(&container, signal).await?;
            if ended(&container, timeout).await {
                return Ok(());
            }
        }
        self.signal(&container, SIGKILL).await?;
        match ended(&container, KILL_TIMEOUT).await {
            true => Ok(()),
            false => Err(CriError::DeadlineExceeded(format!("container {id} did not exit after SIGKILL"))),
        }
    }

    async fn signal(&self, container: &Container, signal: i32) -> Result<(), CriError> {
        let record = container.snapshot();
        // A sandbox that is gone has taken its containers along.
        let Ok(sandbox) = self.sandbox(&record.sandbox_id) else { return Ok(()) };
        match sandbox.shim.call(Request::Signal { container: record.id, signal }).await {
            Ok(_) => Ok(()),
            // It has just ended, or will be found lost.
            Err(ShimError::Refused { .. }) | Err(ShimError::Unreachable(_)) => Ok(()),
            Err(error) => Err(CriError::internal("signal the container", error)),
        }
    }

    pub(super) async fn remove(&self, id: &str) -> Result<(), CriError> {
        let Ok(container) = self.container(id) else { return Ok(()) };
        self.stop(id, Duration::ZERO).await?;
        let _operation = container.operation.lock().await;
        // Another caller may have removed it in the meantime.
        if self.container(id).is_err() {
            return Ok(());
        }
        let record = container.snapshot();
        self.remove_cgroup(&record).await?;
        self.remove_files(&record).await?;
        self.0.containers.lock().remove(id);
        if let Ok(sandbox) = self.sandbox(&record.sandbox_id) {
            self.emit(id, ContainerEventType::Deleted, &sandbox);
        }
        Ok(())
    }

    async fn remove_files(&self, record: &ContainerRecord) -> Result<(), CriError> {
        for index in
            (0..record.config.mounts.len()).filter(|index| record.config.mounts[*index].image.is_some())
        {
            self.0.roots.remove(&volume_id(&record.id, index)).await?;
        }
        self.0.roots.remove(&record.id).await?;
        remove_directory(&self.0.store.container(&record.id))
    }

    /// Kills the remaining processes in the container's cgroup and removes it.
    async fn remove_cgroup(&self, record: &ContainerRecord) -> Result<(), CriError> {
        let Ok(sandbox) = self.sandbox(&record.sandbox_id) else { return Ok(()) };
        let failed = |error| CriError::internal("remove the container's cgroup", error);
        let cgroup = Cgroup::new(&cgroup_path(&sandbox.record.lock(), &record.id)).map_err(failed)?;
        let mut retries = 0;
        while let Err(error) = cgroup.remove() {
            if retries == RETRIES_MAX {
                return Err(failed(error));
            }
            cgroup.kill();
            // The kernel does not report (cgroup v1) when the last process has left.
            tokio::time::sleep(RETRY_INTERVAL).await;
            retries += 1;
        }
        Ok(())
    }

    /// After its shim has exited, makes sure that a container has exited too, and that its exit is recorded.
    pub(super) async fn settle(&self, container: &Container, sandbox: &Sandbox) -> Result<(), CriError> {
        let record = container.snapshot();
        let failed = |error| CriError::internal("read the container's state", error);
        let noted = self.0.store.state(&record.id).map_err(failed)?;
        self.remove_cgroup(&record).await?;
        let Some(mut state) = noted else { return Ok(()) };
        if state.exit.is_none() {
            // The shim was killed, so it is unknown how the container exited.
            let finished_at_nanos = i64::try_from(self.0.clock.now().as_nanosecond()).unwrap_or(i64::MAX);
            state.exit = Some(Exit { code: UNKNOWN_EXIT_CODE, finished_at_nanos, oom_killed: false });
            self.0.store.save_state(&state).map_err(failed)?;
        }
        if container.take(&state) {
            self.emit(&record.id, ContainerEventType::Stopped, sandbox);
        }
        Ok(())
    }

    pub(super) async fn update_resources(
        &self,
        id: &str,
        resources: &LinuxContainerResources,
    ) -> Result<(), CriError> {
        let container = self.container(id)?;
        let _operation = container.operation.lock().await;
        let mut record = container.snapshot();
        let sandbox = self.sandbox(&record.sandbox_id)?;
        if container.is_running() {
            let path = cgroup_path(&sandbox.record.lock(), id);
            let limits = launch::resources(resources);
            blocking("update the container's resources", move || Cgroup::new(&path)?.apply(&limits)).await?;
        }
        merge(&mut record.resources, resources);
        self.save(&record)?;
        container.record.lock().resources = record.resources;
        Ok(())
    }
}

/// Zero and empty fields of an update keep the current value.
fn merge(old: &mut LinuxContainerResources, new: &LinuxContainerResources) {
    let numbers = [
        (&mut old.cpu_period, new.cpu_period),
        (&mut old.cpu_quota, new.cpu_quota),
        (&mut old.cpu_shares, new.cpu_shares),
        (&mut old.memory_limit_in_bytes, new.memory_limit_in_bytes),
        (&mut old.memory_swap_limit_in_bytes, new.memory_swap_limit_in_bytes),
        (&mut old.oom_score_adj, new.oom_score_adj),
    ];
    for (old, new) in numbers.into_iter().filter(|(_, new)| *new != 0) {
        *old = new;
    }
    let texts = [(&mut old.cpuset_cpus, &new.cpuset_cpus), (&mut old.cpuset_mems, &new.cpuset_mems)];
    for (old, new) in texts.into_iter().filter(|(_, new)| !new.is_empty()) {
        old.clone_from(new);
    }
    if !new.hugepage_limits.is_empty() {
        old.hugepage_limits.clone_from(&new.hugepage_limits);
    }
    old.unified.extend(new.unified.clone());
}

/// Waits for the exit.
async fn ended(container: &Container, timeout: Duration) -> bool {
    let mut state = container.state.subscribe();
    let end = state.wait_for(|state| state.as_ref().is_none_or(|state| state.exit.is_some()));
    matches!(tokio::time::timeout(timeout, end).await, Ok(Ok(_)))
}

fn require_ready(sandbox: &Sandbox, id: &str) -> Result<(), CriError> {
    match sandbox.is_ready() {
        true => Ok(()),
        false => Err(CriError::FailedPrecondition(format!("sandbox {id} is not ready"))),
    }
}

/// A path in a mounted image, which may contain links, but not out of the image. The image is read-only, so the path
/// cannot change.
fn place_in(image: &Path, sub_path: &str) -> io::Result<PathBuf> {
    if Path::new(sub_path).components().any(|part| part == std::path::Component::ParentDir) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "the sub path leaves the image"));
    }
    let root = open_root(image)?;
    let place = open_inside(&root, sub_path.trim_start_matches('/').as_bytes(), OFlags::PATH)?;
    let path_of = |file: &OwnedFd| std::fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd()));
    let (root, place) = (path_of(&root)?, path_of(&place)?);
    match place.starts_with(&root) {
        true => Ok(place),
        false => Err(io::Error::new(io::ErrorKind::InvalidInput, "the sub path leaves the image")),
    }
}

fn volume_id(container_id: &str, index: usize) -> String {
    format!("{container_id}-volume-{index}")
}

/// The signal that asks a container to stop: its own, or its image's, or SIGTERM.
fn stop_signal(record: &ContainerRecord) -> i32 {
    signal_number(&stop_signal_name(record)).unwrap_or(nix::libc::SIGTERM)
}

/// The name of that signal.
pub(super) fn stop_signal_name(record: &ContainerRecord) -> String {
    let names = [&record.config.stop_signal, &record.image.stop_signal];
    names.into_iter().find(|name| !name.is_empty()).map_or("SIGTERM".to_owned(), |name| name.clone())
}

/// A signal by its name, with or without `SIG`, or by its number.
fn signal_number(name: &str) -> Option<i32> {
    if let Ok(number) = name.parse() {
        return Some(number);
    }
    let upper = name.to_ascii_uppercase();
    let plain = upper.strip_prefix("SIG").unwrap_or(&upper);
    let real_time = |prefix: &str, base: i32| {
        let rest = plain.strip_prefix(prefix)?;
        if rest.is_empty() { Some(base) } else { rest.parse::<i32>().ok().map(|offset| base + offset) }
    };
    real_time("RTMIN", nix::libc::SIGRTMIN()).or_else(|| real_time("RTMAX", nix::libc::SIGRTMAX())).or_else(
        || format!("SIG{plain}").parse::<nix::sys::signal::Signal>().ok().map(|signal| signal as i32),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_are_known_by_name_and_number() {
        let cases =
            [("SIGTERM", 15), ("term", 15), ("9", 9), ("SIGRTMIN+3", 37), ("RTMAX-1", 63), ("SIGUSR1", 10)];
        for (name, number) in cases {
            assert_eq!(signal_number(name), Some(number), "{name}");
        }
        assert_eq!(signal_number("SIGNONSENSE"), None);
    }

    #[test]
    fn an_update_keeps_what_it_does_not_name() {
        let mut old =
            LinuxContainerResources { cpu_shares: 2, memory_limit_in_bytes: 7, ..Default::default() };
        let new =
            LinuxContainerResources { cpu_shares: 4, cpuset_cpus: "0".to_owned(), ..Default::default() };
        merge(&mut old, &new);
        assert_eq!((old.cpu_shares, old.memory_limit_in_bytes, old.cpuset_cpus.as_str()), (4, 7, "0"));
    }
}
