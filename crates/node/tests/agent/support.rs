//! A node for one test.

use std::fs;
use std::future::Future;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use client::{DeleteOptions, Informers};
use clock::Clock;
use cri::{
    AuthConfig, CriError, Image, ImageFilter, ImageFsInfo, ImageService, ImageSpec, PodSandboxConfig,
    PullErrorKind,
};
use k8s_openapi::api::core::v1::{Event, Pod};
use libtest_mimic::{Failed, Trial};
use node::{Agent, EvictionConfig, EvictionFlags, NodeConfig};
use object::ObjectKey;
use runtime::engine::{Engine, EngineOptions, ImageDefaults, LoopbackOnly, RootFilesystem, RootFilesystems};
use runtime::snapshot::Usage;
use serde_json::{Value, json};
use simulation::Server;
use testbed::timed;

use crate::api::Authority;

/// No step of a test takes longer unless it hangs.
pub const LIMIT: Duration = Duration::from_secs(90);

const APPLETS: [&str; 13] =
    ["cat", "echo", "env", "false", "hostname", "id", "ls", "mkdir", "nc", "sh", "sleep", "test", "touch"];

/// Root filesystems with busybox alone, and an image store that has `busybox` and nothing else.
pub struct Busybox(PathBuf);

#[async_trait]
impl RootFilesystems for Busybox {
    async fn prepare(&self, id: &str, image: &ImageSpec) -> Result<RootFilesystem, CriError> {
        let path = self.0.join(id);
        let make = || -> std::io::Result<()> {
            for directory in ["bin", "etc", "tmp"] {
                fs::create_dir_all(path.join(directory))?;
            }
            fs::copy("/bin/busybox", path.join("bin/busybox"))?;
            APPLETS.iter().try_for_each(|applet| symlink("busybox", path.join("bin").join(applet)))
        };
        make().map_err(|error| CriError::internal("make a root filesystem", error))?;
        let defaults = ImageDefaults { env: vec!["PATH=/bin".to_owned()], ..Default::default() };
        Ok(RootFilesystem { path, image_id: image.image.clone(), image_ref: image.image.clone(), defaults })
    }

    async fn prepare_volume(&self, _id: &str, _image: &ImageSpec) -> Result<PathBuf, CriError> {
        Err(CriError::Unavailable("no image volumes in these tests".to_owned()))
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

fn is_busybox(image: &str) -> bool {
    image == "busybox" || image == "sha256:busybox"
}

#[async_trait]
impl ImageService for Busybox {
    async fn list_images(&self, _filter: &ImageFilter) -> Result<Vec<Image>, CriError> {
        Ok(self.image_status(&ImageSpec::from("busybox")).await?.into_iter().collect())
    }

    async fn image_status(&self, image: &ImageSpec) -> Result<Option<Image>, CriError> {
        let found =
            Image { id: "sha256:busybox".into(), repo_tags: vec!["busybox".into()], ..Image::default() };
        Ok(is_busybox(&image.image).then_some(found))
    }

    async fn pull_image(
        &self,
        image: &ImageSpec,
        _auth: Option<&AuthConfig>,
        _sandbox_config: Option<&PodSandboxConfig>,
    ) -> Result<String, CriError> {
        let message = format!("{}: not found", image.image);
        Err(CriError::ImagePull { kind: PullErrorKind::NotFound, message })
    }

    async fn remove_image(&self, _image: &ImageSpec) -> Result<(), CriError> {
        Ok(())
    }

    async fn image_fs_info(&self) -> Result<ImageFsInfo, CriError> {
        Ok(ImageFsInfo::default())
    }
}

/// One test's node.
pub struct Host {
    pub server: Server,
    pub engine: Engine,
    pub dir: PathBuf,
    pub agent: Option<Agent>,
    pub authority: Authority,
    /// When the next agent evicts pods. This machine's disk may be full.
    pub eviction: EvictionConfig,
}

async fn open_engine(dir: &Path) -> Engine {
    let roots = Arc::new(Busybox(dir.join("roots")));
    let options = EngineOptions::new(dir.join("engine"));
    Engine::open(options, roots, Arc::new(LoopbackOnly), Clock::system()).await.expect("open the engine")
}

fn cgroup_of(dir: &Path) -> String {
    format!("/ironhull-node-{}", dir.file_name().unwrap().to_string_lossy().trim_start_matches('.'))
}

/// A test over a separate node. Whether it fails or not, everything is removed, and nothing may be left.
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
                let server = Server::start_in_real_time().await;
                server.open("default").await;
                let engine = open_engine(&path).await;
                let authority = Authority::new();
                let mut host = Host {
                    server,
                    engine: engine.clone(),
                    dir: path.clone(),
                    agent: None,
                    authority,
                    eviction: eviction(&["memory.available<1Mi"]),
                };
                host.start_agent().await;
                let result = tokio::spawn(test(host)).await;
                // The same engine: actions that the agent began may still be in progress in it.
                let removed = engine.destroy_all().await;
                result.map_err(|error| Failed::from(error.to_string()))?;
                removed.map_err(|error| Failed::from(causes::chain(&error)))
            });
            drop(runtime);
            let text = path.to_string_lossy().into_owned();
            let mounts = fs::read_to_string("/proc/self/mountinfo")?;
            let left: Vec<_> = mounts
                .lines()
                .filter(|line| line.contains(&text))
                .filter_map(|line| line.split(' ').nth(4))
                .collect();
            for mount in &left {
                rustix::mount::unmount(*mount, rustix::mount::UnmountFlags::DETACH)?;
            }
            outcome?;
            if left.is_empty() { Ok(()) } else { Err(Failed::from(format!("mounts are left: {left:?}"))) }
        })
    })
}

/// Settings with these hard thresholds.
pub fn eviction(hard: &[&str]) -> EvictionConfig {
    let hard: Vec<String> = hard.iter().map(|text| (*text).to_owned()).collect();
    let flags = EvictionFlags { hard: Some(&hard), pressure_transition: "5m", ..EvictionFlags::default() };
    EvictionConfig::parse(&flags).unwrap()
}

impl Host {
    pub async fn start_agent(&mut self) {
        let mut config = NodeConfig::new("n1", "127.0.0.1".parse().unwrap(), self.dir.join("node"));
        config.log_dir = self.dir.join("logs");
        config.host_log_dir = self.dir.join("host-logs");
        config.cgroup_root = cgroup_of(&self.dir);
        config.bind_address = "127.0.0.1".parse().unwrap();
        config.port = 0;
        config.eviction = self.eviction.clone();
        config.image_gc_high_percent = 100;
        config.tls = Some(self.authority.serving());
        config.cluster_dns = vec!["10.43.0.10".parse().unwrap()];
        let client = self.server.client(simulation::node("n1"));
        let images = Arc::new(Busybox(self.dir.join("roots")));
        let informers = Informers::new(client.clone());
        let engine = Arc::new(self.engine.clone());
        let agent = Agent::start(config, client, &informers, engine, images, Clock::system()).await.unwrap();
        self.agent = Some(agent);
    }

    /// Creates a pod of this specification on the node.
    pub async fn create(&self, name: &str, spec: Value) {
        let mut spec = spec;
        spec["nodeName"] = json!("n1");
        let pod = json!({"metadata": {"name": name, "namespace": "default"}, "spec": spec});
        self.server.create(&serde_json::from_value::<Pod>(pod).unwrap()).await;
    }

    pub async fn pod(&self, name: &str) -> Option<Pod> {
        self.server.find::<Pod>(&ObjectKey::namespaced("default", name)).await
    }

    /// Asks for a pod's deletion: the node stops it first.
    pub async fn delete(&self, name: &str, grace_seconds: i64) {
        let options = DeleteOptions { grace_period_seconds: Some(grace_seconds), ..DeleteOptions::default() };
        self.server.admin().delete::<Pod>(&ObjectKey::namespaced("default", name), &options).await.unwrap();
    }

    /// Deletes a pod by force: it is gone at once, and the node is not asked.
    pub async fn delete_by_force(&self, name: &str) {
        self.server.remove::<Pod>(&ObjectKey::namespaced("default", name)).await;
    }

    /// Waits until a pod (as JSON) satisfies the check.
    pub async fn until(&self, name: &str, what: &str, check: impl Fn(&Value) -> bool) -> Value {
        let see = async || serde_json::to_value(self.pod(name).await).unwrap();
        let wait = async {
            loop {
                let pod = see().await;
                if check(&pod) {
                    return pod;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        match tokio::time::timeout(LIMIT, wait).await {
            Ok(pod) => pod,
            Err(_) => {
                panic!("waited in vain for {what}: {:#}; events: {:?}", see().await, self.events(name).await)
            }
        }
    }

    pub async fn until_phase(&self, name: &str, phase: &str) -> Value {
        self.until(name, phase, |pod| pod["status"]["phase"] == phase).await
    }

    pub async fn until_ready(&self, name: &str) -> Value {
        self.until(name, "Ready", |pod| condition(pod, "Ready") == "True").await
    }

    pub async fn until_gone(&self, name: &str) {
        self.until(name, "the end", Value::is_null).await;
    }

    /// Reasons and messages of a pod's events.
    pub async fn events(&self, pod: &str) -> Vec<String> {
        let events = self.server.list::<Event>().await;
        let about = events.iter().filter(|event| event.involved_object.name.as_deref() == Some(pod));
        about
            .map(|event| {
                format!(
                    "{}: {}",
                    event.reason.as_deref().unwrap(),
                    event.message.as_deref().unwrap_or_default()
                )
            })
            .collect()
    }

    /// Waits for an event of a pod with this reason.
    pub async fn until_event(&self, pod: &str, reason: &str) {
        let told = async {
            while !self.events(pod).await.iter().any(|event| event.starts_with(reason)) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let in_time = tokio::time::timeout(LIMIT, told).await;
        assert!(in_time.is_ok(), "no {reason} of {pod}: {:?}", self.events(pod).await);
    }

    pub fn log(&self, pod: &Value, container: &str, number: u32) -> String {
        let meta = &pod["metadata"];
        let directory =
            format!("default_{}_{}", meta["name"].as_str().unwrap(), meta["uid"].as_str().unwrap());
        let path = self.dir.join("logs").join(directory).join(container).join(format!("{number}.log"));
        let text = fs::read_to_string(path).unwrap();
        text.lines().map(|line| line.splitn(4, ' ').nth(3).unwrap().to_owned() + "\n").collect()
    }
}

/// The status of a condition; empty if there is none.
pub fn condition<'p>(pod: &'p Value, kind: &str) -> &'p str {
    let conditions = pod["status"]["conditions"].as_array().map(Vec::as_slice).unwrap_or_default();
    let found = conditions.iter().find(|condition| condition["type"] == kind);
    found.and_then(|condition| condition["status"].as_str()).unwrap_or_default()
}
