use async_trait::async_trait;
use serde_json::json;
use simulation::Server;
use tokio::sync::Notify;

use super::*;

/// Longer than any step takes unless it hangs.
const LIMIT: Duration = Duration::from_secs(90);

/// Volumes with devices behind them, through claims; calls are recorded.
#[derive(Default)]
struct Disks {
    log: Mutex<Vec<String>>,
    is_attachable: bool,
    /// Stages are cut off after their work.
    breaks: bool,
}

impl Disks {
    fn note(&self, what: &str, name: &str) {
        self.log.lock().push(format!("{what} {name}"));
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.log.lock())
    }
}

/// The pod of a volume's directory.
fn pod_of(directory: &Path) -> String {
    directory.ancestors().nth(3).and_then(Path::file_name).unwrap().to_string_lossy().into_owned()
}

#[async_trait]
impl VolumePlugin for Disks {
    fn directory(&self) -> &'static str {
        "test~disk"
    }

    fn supports(&self, volume: &Volume) -> bool {
        volume.persistent_volume_claim.is_some()
    }

    fn device(&self, _pod: &Pod, volume: &Volume) -> Option<DeviceId> {
        volume.persistent_volume_claim.as_ref().map(|claim| DeviceId(format!("disk/{}", claim.claim_name)))
    }

    fn is_attachable(&self) -> bool {
        self.is_attachable
    }

    async fn stage(&self, request: Stage<'_>) -> Result<(), VolumeError> {
        self.note("stage", &request.device.0);
        fs::write(request.directory.join("content"), &request.device.0).unwrap();
        if self.breaks { Err(VolumeError::Invalid("cut off".to_owned())) } else { Ok(()) }
    }

    async fn unstage(&self, device: &DeviceId, directory: &Path) -> Result<(), VolumeError> {
        self.note("unstage", &device.0);
        remove_mounted(directory).await
    }

    async fn publish(&self, request: Publish<'_>) -> Result<Mounted, VolumeError> {
        self.note("publish", &pod_of(request.directory));
        fs::create_dir_all(request.directory).unwrap();
        let content = fs::read(request.staged.unwrap().join("content")).unwrap();
        fs::write(request.directory.join("content"), content).unwrap();
        Ok(Mounted::at(request.directory))
    }

    async fn unpublish(&self, directory: &Path) -> Result<(), VolumeError> {
        self.note("unpublish", &pod_of(directory));
        remove_mounted(directory).await
    }

    async fn is_published(&self, directory: &Path) -> Result<bool, VolumeError> {
        Ok(directory.join("content").exists())
    }
}

struct Host {
    disks: Arc<Disks>,
    volumes: Volumes,
    dir: tempfile::TempDir,
}

impl Host {
    fn new(disks: Disks) -> Host {
        let (disks, dir) = (Arc::new(disks), tempfile::tempdir().unwrap());
        let volumes = Volumes::with_plugins(dir.path(), vec![Arc::clone(&disks) as _]);
        Host { disks, volumes, dir }
    }

    /// The agent ends, and the next one starts.
    fn restart(self) -> Host {
        let volumes = Volumes::with_plugins(self.dir.path(), vec![Arc::clone(&self.disks) as _]);
        Host { volumes, ..self }
    }

    async fn set_up(&self, uid: &str, claims: &[&str]) -> Vec<Result<Option<Mounted>, VolumeError>> {
        let results = self.volumes.set_up(&pod(uid, claims), &Node::default()).await;
        results.into_iter().map(|(_, result)| result).collect()
    }

    fn entries(&self, directory: &str) -> usize {
        entries(&self.dir.path().join(directory)).unwrap().len()
    }
}

fn pod(uid: &str, claims: &[&str]) -> Pod {
    let volume =
        |claim: &&str| json!({"name": format!("v-{claim}"), "persistentVolumeClaim": {"claimName": claim}});
    let volumes: Vec<_> = claims.iter().map(volume).collect();
    let meta = json!({"name": uid, "namespace": "default", "uid": uid});
    serde_json::from_value(json!({"metadata": meta, "spec": {"containers": [], "volumes": volumes}})).unwrap()
}

#[tokio::test]
async fn pods_share_a_device_and_the_last_one_takes_it_back() {
    let host = Host::new(Disks::default());
    for uid in ["a", "b", "a"] {
        let results = host.set_up(uid, &["one"]).await;
        assert!(results.iter().all(Result::is_ok), "{results:?}");
    }
    assert_eq!(host.disks.take(), ["stage disk/one", "publish a", "publish b", "publish a"]);
    let content = host.volumes.pod_directory("b").join("volumes/test~disk/v-one/content");
    assert_eq!(fs::read_to_string(content).unwrap(), "disk/one");
    let published = host.volumes.published("b");
    assert_eq!(published.keys().collect::<Vec<_>>(), ["v-one"]);
    assert!(published["v-one"].ends_with("volumes/test~disk/v-one"), "{published:?}");
    host.volumes.tear_down_all("a").await.unwrap();
    assert_eq!(host.disks.take(), ["unpublish a"]);
    host.volumes.tear_down_all("b").await.unwrap();
    assert_eq!(host.disks.take(), ["unpublish b", "unstage disk/one"]);
    assert!(host.volumes.published("b").is_empty());
    assert_eq!(host.entries("devices"), 0);
}

#[tokio::test]
async fn what_is_wanted_otherwise_is_replaced() {
    let host = Host::new(Disks::default());
    host.set_up("a", &["one", "two"]).await;
    host.disks.take();
    host.set_up("a", &["two", "three"]).await;
    let expected =
        ["unpublish a", "stage disk/three", "publish a", "publish a", "unstage disk/one"].map(str::to_owned);
    assert_eq!(host.disks.take(), expected);
}

/// Mounts of pods that ended while no agent was running used to stay forever if the directory alone did not show what
/// they were.
#[tokio::test]
async fn a_new_agent_takes_back_what_the_last_one_left() {
    let host = Host::new(Disks::default());
    host.set_up("a", &["one", "two"]).await;
    host.set_up("b", &["two"]).await;
    let host = host.restart();
    host.disks.take();
    assert_eq!(host.volumes.pods().unwrap(), BTreeSet::from(["a".to_owned(), "b".to_owned()]));
    // b runs on, a is gone.
    host.set_up("b", &["two"]).await;
    assert_eq!(host.disks.take(), ["publish b"], "its device is staged");
    host.volumes.tear_down_all("a").await.unwrap();
    assert_eq!(host.disks.take(), ["unpublish a", "unpublish a", "unstage disk/one"]);
    assert_eq!(host.entries("devices"), 1);
    let host = host.restart();
    host.disks.take();
    host.volumes.tear_down_all("b").await.unwrap();
    assert_eq!(host.disks.take(), ["unpublish b", "unstage disk/two"]);
    assert_eq!((host.entries("devices"), host.entries("pods/b")), (0, 1));
}

#[tokio::test]
async fn a_device_that_is_not_staged_any_more_is_staged_again() {
    let host = Host::new(Disks::default());
    host.set_up("a", &["one"]).await;
    fs::remove_file(host.volumes.stage_directory(&DeviceId("disk/one".into())).join("content")).unwrap();
    host.disks.take();
    host.set_up("a", &["one"]).await;
    assert_eq!(host.disks.take(), ["stage disk/one", "publish a"]);
}

#[tokio::test]
async fn a_device_waits_until_it_is_attached() {
    let host = Host::new(Disks { is_attachable: true, ..Disks::default() });
    let results = host.set_up("a", &["one"]).await;
    let text = results[0].as_ref().unwrap_err().to_string();
    assert_eq!(text, "volume disk/one is not attached to this node yet");
    assert!(host.disks.take().is_empty());
    let status = json!({"volumesAttached": [{"name": "disk/one", "devicePath": ""}]});
    let node: Node = serde_json::from_value(json!({"metadata": {}, "status": status})).unwrap();
    host.volumes.set_up(&pod("a", &["one"]), &node).await;
    assert_eq!(host.disks.take(), ["stage disk/one", "publish a"]);
}

#[tokio::test]
async fn a_stage_that_was_cut_off_is_taken_back() {
    let host = Host::new(Disks { breaks: true, ..Disks::default() });
    assert!(host.set_up("a", &["one"]).await[0].is_err());
    let host = host.restart();
    assert_eq!(host.disks.take(), ["stage disk/one"]);
    host.volumes.tear_down_all("a").await.unwrap();
    assert_eq!(host.disks.take(), ["unpublish a", "unstage disk/one"]);
    assert_eq!(host.entries("devices"), 0);
}

#[tokio::test]
async fn a_record_that_cannot_be_read_is_looked_around() {
    let host = Host::new(Disks::default());
    host.set_up("a", &["one"]).await;
    let record = host.volumes.pod_directory("a").join(POD_FILE);
    for text in [
        "",
        "{\"version\":9}",
        "{\"version\":1,\"volumes\":[{\"name\":\"x\",\"plugin\":\"test~disk\",\"directory\":\"/etc\"}]}",
    ] {
        fs::write(&record, text).unwrap();
        let volumes = Volumes::with_plugins(host.dir.path(), vec![Arc::clone(&host.disks) as _]);
        let known = volumes.state.lock().actual.of("a");
        assert_eq!(known.keys().collect::<Vec<_>>(), ["v-one"], "{text}");
    }
    let host = host.restart();
    host.disks.take();
    host.volumes.tear_down_all("a").await.unwrap();
    assert_eq!(host.disks.take()[0], "unpublish a");
    assert!(!record.exists());
}

#[tokio::test]
async fn a_volume_that_somebody_unmounted_is_mounted_again() {
    let server = Server::start_in_real_time().await;
    server.open("default").await;
    let client = server.client(simulation::node("n1"));
    let objects = Arc::new(ObjectCache::new(client.clone(), |_| ()));
    let dir = tempfile::tempdir().unwrap();
    let volumes = Arc::new(Volumes::new(dir.path(), client, objects));
    let spec = json!({"nodeName": "n1", "containers": [{"name": "c", "image": "app:1"}],
        "volumes": [{"name": "m", "emptyDir": {"medium": "Memory"}}]});
    let pod = json!({"metadata": {"name": "p", "namespace": "default"}, "spec": spec});
    let pod: Pod = server.create(&serde_json::from_value(pod).unwrap()).await;
    let uid = pod.metadata.uid.as_deref().unwrap();
    let lost = Arc::new(Notify::new());
    let watching = {
        let (volumes, lost) = (Arc::clone(&volumes), Arc::clone(&lost));
        tokio::spawn(async move { volumes.watch_mounts(|_| lost.notify_one()).await })
    };
    let set_up = async || {
        let results = volumes.set_up(&pod, &Node::default()).await;
        results.into_iter().next().unwrap().1.unwrap().unwrap()
    };
    let mounted = set_up().await;
    assert!(mounted.is_mount && mount::is_mount_point(&mounted.path).unwrap());
    let unmounted = async {
        mount::unmount(&mounted.path)?;
        lost.notified().await;
        Ok::<_, VolumeError>(())
    };
    let noticed = tokio::time::timeout(LIMIT, unmounted).await;
    let again = set_up().await;
    let is_mounted = mount::is_mount_point(&again.path).unwrap();
    watching.abort();
    volumes.tear_down_all(uid).await.unwrap();
    noticed.expect("the kernel tells of it").unwrap();
    assert!(is_mounted);
}
