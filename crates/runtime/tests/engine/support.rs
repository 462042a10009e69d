//! An engine for one test, its containers' root filesystems, and the check that nothing is left.

use std::fs;
use std::future::Future;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use clock::Clock;
use cri::{
    ContainerConfig, ContainerMetadata, ContainerState, ContainerStatus, CriError, ImageSpec,
    LinuxPodSandboxConfig, NamespaceMode, PodSandboxConfig, PodSandboxMetadata, RuntimeService,
};
use futures::StreamExt;
use libtest_mimic::{Failed, Trial};
use runtime::engine::{Engine, EngineOptions, ImageDefaults, LoopbackOnly, RootFilesystem, RootFilesystems};
use runtime::snapshot::Usage;
use testbed::timed;

/// No step of a test takes longer unless it hangs.
pub const LIMIT: Duration = Duration::from_secs(30);

/// Root filesystems with busybox alone.
pub struct Busybox(pub PathBuf);

#[async_trait]
impl RootFilesystems for Busybox {
    async fn prepare(&self, id: &str, image: &ImageSpec) -> Result<RootFilesystem, CriError> {
        let path = self.0.join(id);
        let make = || -> std::io::Result<()> {
            for directory in ["bin", "etc", "tmp", "home/app"] {
                fs::create_dir_all(path.join(directory))?;
            }
            fs::copy("/bin/busybox", path.join("bin/busybox"))?;
            for applet in APPLETS {
                symlink("busybox", path.join("bin").join(applet))?;
            }
            fs::write(
                path.join("etc/passwd"),
                "root:x:0:0:root:/root:/bin/sh\napp:x:1000:1001::/home/app:/bin/sh\n",
            )?;
            fs::write(path.join("etc/group"), "root:x:0:\napp:x:1001:\nlogs:x:20:app\n")
        };
        make().map_err(|error| CriError::internal("make a root filesystem", error))?;
        let defaults = ImageDefaults {
            env: vec!["FROM_IMAGE=yes".to_owned(), "PATH=/bin".to_owned()],
            entrypoint: vec!["/bin/echo".to_owned()],
            cmd: vec!["default".to_owned()],
            ..Default::default()
        };
        Ok(RootFilesystem { path, image_id: image.image.clone(), image_ref: image.image.clone(), defaults })
    }

    async fn prepare_volume(&self, id: &str, _image: &ImageSpec) -> Result<PathBuf, CriError> {
        let path = self.0.join(id);
        fs::create_dir_all(&path).map_err(|error| CriError::internal("make a volume", error))?;
        fs::write(path.join("content"), "of the image")
            .map_err(|error| CriError::internal("fill a volume", error))?;
        // An image may hold any link.
        symlink("/", path.join("to-root")).map_err(|error| CriError::internal("fill a volume", error))?;
        Ok(path)
    }

    async fn remove(&self, id: &str) -> Result<(), CriError> {
        match fs::remove_dir_all(self.0.join(id)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(CriError::internal("remove a root filesystem", error))
            }
            _ => Ok(()),
        }
    }

    async fn usage(&self, _id: &str) -> Result<Usage, CriError> {
        Ok(Usage::default())
    }
}

const APPLETS: [&str; 30] = [
    "awk", "cat", "chmod", "chroot", "dd", "df", "echo", "env", "false", "grep", "head", "hostname", "id",
    "ip", "kill", "ls", "mkdir", "mount", "nc", "ps", "pwd", "readlink", "sh", "sleep", "stty", "sync",
    "tail", "touch", "true", "unshare",
];

/// One test's engine and its content.
#[derive(Clone)]
pub struct Host {
    pub engine: Engine,
    pub dir: PathBuf,
    pub cgroup: String,
}

/// Opens an engine in `dir`.
pub async fn open_engine(dir: &Path) -> Engine {
    let roots = Arc::new(Busybox(dir.join("roots")));
    let options = EngineOptions::new(dir.join("engine"));
    Engine::open(options, roots, Arc::new(LoopbackOnly), Clock::system()).await.expect("open the engine")
}

/// The cgroup of the sandboxes in `dir`.
pub fn cgroup_of(dir: &Path) -> String {
    format!("/ironhull-test-{}", dir.file_name().expect("a name").to_string_lossy().trim_start_matches('.'))
}

/// A test over a separate engine. Whether it fails or not, everything is removed, and nothing may be left.
pub fn trial<F: Future<Output = ()> + Send + 'static>(
    name: &str,
    test: impl FnOnce(Host) -> F + Send + 'static,
) -> Trial {
    let named = name.to_owned();
    Trial::test(name, move || {
        timed(&named, || {
            let dir = tempfile::tempdir()?;
            let path = dir.path().to_owned();
            let runtime =
                tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
            let outcome = runtime.block_on(async {
                let host =
                    Host { engine: open_engine(&path).await, cgroup: cgroup_of(&path), dir: path.clone() };
                let result = tokio::spawn(test(host)).await;
                // The test may have reopened the records, so the clean-up does too.
                let removed = open_engine(&path).await.destroy_all().await;
                result.map_err(|error| Failed::from(error.to_string()))?;
                removed.map_err(|error| Failed::from(causes::chain(&error)))
            });
            drop(runtime);
            outcome?;
            assert_nothing_left(&path);
            Ok(())
        })
    })
}

fn assert_nothing_left(dir: &Path) {
    let text = dir.to_string_lossy().into_owned();
    let mounts = fs::read_to_string("/proc/self/mountinfo").expect("mounts");
    let left: Vec<_> = mounts.lines().filter(|line| line.contains(&text)).collect();
    assert!(left.is_empty(), "mounts are left: {left:?}");
    assert!(!dir.join("engine").exists(), "records are left");
    let roots: Vec<_> = fs::read_dir(dir.join("roots")).into_iter().flatten().collect();
    assert!(roots.is_empty(), "root filesystems are left: {roots:?}");
    let cgroup = cgroup_of(dir);
    for hierarchy in fs::read_dir("/sys/fs/cgroup").expect("cgroups").flatten() {
        let path = hierarchy.path().join(cgroup.trim_start_matches('/'));
        assert!(!path.exists(), "{} is left", path.display());
    }
    for process in fs::read_dir("/proc").expect("processes").flatten() {
        let command = fs::read(process.path().join("cmdline")).unwrap_or_default();
        let command = String::from_utf8_lossy(&command).replace('\0', " ");
        let ours = process.file_name().to_string_lossy() == std::process::id().to_string();
        assert!(ours || !command.contains(&text), "process {:?} is left: {command}", process.file_name());
    }
}

impl Host {
    /// The configuration of a sandbox for a pod of this name.
    pub fn pod(&self, name: &str) -> PodSandboxConfig {
        let logs = self.dir.join("logs").join(name);
        fs::create_dir_all(&logs).expect("a log directory");
        PodSandboxConfig {
            metadata: PodSandboxMetadata {
                name: name.to_owned(),
                uid: format!("uid-of-{name}"),
                namespace: "default".to_owned(),
                attempt: 0,
            },
            hostname: name.to_owned(),
            log_directory: logs.display().to_string(),
            linux: LinuxPodSandboxConfig {
                cgroup_parent: format!("{}/pod-{name}", self.cgroup),
                ..Default::default()
            },
            ..Default::default()
        }
    }

    /// Runs a sandbox.
    pub async fn sandbox(&self, config: &PodSandboxConfig) -> String {
        self.engine.run_pod_sandbox(config, "").await.expect("run the sandbox")
    }

    /// Creates a container.
    pub async fn create(&self, sandbox: &str, config: &ContainerConfig) -> String {
        let unused = PodSandboxConfig::default();
        self.engine.create_container(sandbox, config, &unused).await.expect("create the container")
    }

    /// Creates and starts a container.
    pub async fn start(&self, sandbox: &str, config: &ContainerConfig) -> String {
        let id = self.create(sandbox, config).await;
        self.engine
            .start_container(&id)
            .await
            .unwrap_or_else(|error| panic!("start: {}", error.full_message()));
        id
    }

    /// Runs a container in its own sandbox until it exits; returns its status and log.
    pub async fn run(&self, config: &ContainerConfig) -> (ContainerStatus, Vec<String>) {
        let name = format!("pod-of-{}", config.metadata.name);
        let sandbox = self.sandbox(&self.pod(&name)).await;
        let id = self.start(&sandbox, config).await;
        let status = self.exited(&id).await;
        let log = log_lines(&status);
        (status, log)
    }

    /// Waits for a container's end.
    pub async fn exited(&self, id: &str) -> ContainerStatus {
        self.reached(id, ContainerState::Exited).await
    }

    /// Waits for a container's state.
    pub async fn reached(&self, id: &str, wanted: ContainerState) -> ContainerStatus {
        let wait = async {
            let mut events = self.engine.events().await.expect("events");
            loop {
                let status = self.engine.container_status(id).await.expect("the container's status");
                if status.state == wanted {
                    return status;
                }
                events.next().await.expect("another event").expect("no lost event");
            }
        };
        tokio::time::timeout(LIMIT, wait).await.expect("the container reaches the state")
    }
}

/// Waits until something holds that gives no notice, such as the content of a file.
pub async fn until<T>(what: &str, mut check: impl FnMut() -> Option<T>) -> T {
    let wait = async {
        loop {
            match check() {
                Some(value) => return value,
                None => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        }
    };
    tokio::time::timeout(LIMIT, wait).await.unwrap_or_else(|_| panic!("waited in vain for {what}"))
}

/// A container that runs a shell script, in its own PID namespace.
pub fn shell(name: &str, script: &str) -> ContainerConfig {
    command(name, &["/bin/sh", "-c", script])
}

/// A container that runs a command.
pub fn command(name: &str, command: &[&str]) -> ContainerConfig {
    let mut config = ContainerConfig {
        metadata: ContainerMetadata { name: name.to_owned(), attempt: 0 },
        image: ImageSpec { image: "busybox".to_owned(), ..Default::default() },
        command: command.iter().map(|word| word.to_string()).collect(),
        log_path: format!("{name}.log"),
        ..Default::default()
    };
    config.linux.security_context.namespace_options.pid = NamespaceMode::Container;
    config
}

/// The lines of a container's log without their times: stream, tag and text.
pub fn log_lines(status: &ContainerStatus) -> Vec<String> {
    let text = fs::read_to_string(&status.log_path).expect("the log");
    text.lines().map(|line| line.split_once(' ').expect("a time").1.to_owned()).collect()
}
