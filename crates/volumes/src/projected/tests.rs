use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use k8s_openapi::api::core::v1::{ConfigMap, Node, Pod, Secret};
use serde_json::json;
use simulation::Server;

use super::*;
use crate::{Volumes, references};

/// No step takes longer unless it hangs.
const LIMIT: Duration = Duration::from_secs(90);

/// A node that may read what its pods need and nothing else.
struct Host {
    server: Server,
    volumes: Volumes,
    changed: Arc<tokio::sync::Notify>,
    objects: Arc<ObjectCache>,
    dir: tempfile::TempDir,
}

impl Host {
    async fn new() -> Host {
        let server = Server::start_in_real_time().await;
        server.open("default").await;
        let client = server.client(simulation::node("n1"));
        let changed = Arc::new(tokio::sync::Notify::new());
        let wake = Arc::clone(&changed);
        let objects = Arc::new(ObjectCache::new(client.clone(), move |_| wake.notify_one()));
        let dir = tempfile::tempdir().unwrap();
        let volumes = Volumes::new(dir.path(), client, Arc::clone(&objects));
        Host { server, volumes, changed, objects, dir }
    }

    /// Creates a pod with these volumes on the node.
    async fn pod(&self, volumes: serde_json::Value) -> Pod {
        let pod = json!({
            "metadata": {"name": "web", "namespace": "default", "labels": {"app": "web"}},
            "spec": {"nodeName": "n1", "containers": [{"name": "c", "image": "app:1"}], "volumes": volumes},
        });
        self.server.create(&serde_json::from_value(pod).unwrap()).await
    }

    async fn set_up(&self, pod: &Pod) -> Result<PathBuf, VolumeError> {
        let mut results = self.volumes.set_up(pod, &Node::default()).await;
        let (_, mounted) = results.remove(0);
        Ok(mounted?.expect("not an image").path)
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // Also after a failed assertion nothing may stay mounted.
        let entries = |directory: PathBuf| fs::read_dir(directory).into_iter().flatten().flatten();
        for pod in entries(self.dir.path().join("pods")) {
            for plugin in entries(pod.path().join("volumes")) {
                for volume in entries(plugin.path()) {
                    let _ = mount::unmount(&volume.path());
                }
            }
        }
    }
}

fn uid(pod: &Pod) -> &str {
    pod.metadata.uid.as_deref().unwrap()
}

fn config_map(value: &str) -> ConfigMap {
    serde_json::from_value(json!({"metadata": {"name": "m", "namespace": "default"}, "data": {"key": value}}))
        .unwrap()
}

#[tokio::test]
async fn a_config_map_appears_and_follows_its_changes() {
    let host = Host::new().await;
    let pod = host.pod(json!([{"name": "v", "configMap": {"name": "m"}}])).await;
    let ids = references(&pod);
    let _handles: Vec<_> = ids.iter().map(|id| host.objects.follow(id)).collect();
    let error = host.set_up(&pod).await.unwrap_err();
    assert_eq!(error.to_string(), "configmap \"m\" not found");
    host.server.put(&config_map("1")).await;
    tokio::time::timeout(LIMIT, host.changed.notified()).await.unwrap();
    let path = host.set_up(&pod).await.unwrap();
    assert!(path.ends_with(format!("pods/{}/volumes/kubernetes.io~configmap/v", uid(&pod))));
    assert_eq!(fs::read_to_string(path.join("key")).unwrap(), "1");
    host.server.put(&config_map("2")).await;
    tokio::time::timeout(LIMIT, host.changed.notified()).await.unwrap();
    host.set_up(&pod).await.unwrap();
    assert_eq!(fs::read_to_string(path.join("key")).unwrap(), "2");
    host.volumes.tear_down_all(uid(&pod)).await.unwrap();
    host.volumes.remove_pod_directory(uid(&pod)).await.unwrap();
    assert!(!host.dir.path().join("pods").join(uid(&pod)).exists());
}

#[tokio::test]
async fn several_sources_share_a_volume_and_optional_ones_may_miss() {
    let host = Host::new().await;
    let secret =
        json!({"metadata": {"name": "s", "namespace": "default"}, "data": {"password": "aHVudGVyMg=="}});
    host.server.put(&serde_json::from_value::<Secret>(secret).unwrap()).await;
    let sources = json!([
        {"secret": {"name": "s", "items": [{"key": "password", "path": "a/b"}]}},
        {"configMap": {"name": "none", "optional": true}},
        {"downwardAPI": {"items": [{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]}},
    ]);
    let pod = host.pod(json!([{"name": "v", "projected": {"defaultMode": 256, "sources": sources}}])).await;
    let path = host.set_up(&pod).await.unwrap();
    assert_eq!(fs::read_to_string(path.join("a/b")).unwrap(), "hunter2");
    assert_eq!(fs::read_to_string(path.join("labels")).unwrap(), "app=\"web\"");
    assert_eq!(fs::metadata(path.join("labels")).unwrap().permissions().mode() & 0o777, 0o400);
    host.volumes.tear_down_all(uid(&pod)).await.unwrap();
}

/// Upstream's table: the owner is the one user of all containers, and the group comes on top.
#[test]
fn a_token_belongs_to_those_who_must_read_it() {
    use std::os::unix::fs::MetadataExt;
    let dir = tempfile::tempdir().unwrap();
    let user = |user: i64| json!({"name": "c", "securityContext": {"runAsUser": user}});
    let cases = [
        (json!({}), vec![json!({"name": "c"})], (0, 0, 0o644)),
        (json!({"runAsUser": 1000}), vec![json!({"name": "c"})], (1000, 0, 0o600)),
        (json!({"fsGroup": 2000}), vec![json!({"name": "c"})], (0, 2000, 0o640)),
        (json!({"runAsUser": 1000, "fsGroup": 2000}), vec![json!({"name": "c"})], (1000, 2000, 0o640)),
        (json!({"fsGroup": 2000}), vec![user(1), user(1)], (1, 2000, 0o640)),
        (json!({"fsGroup": 2000}), vec![user(1), user(2)], (0, 2000, 0o640)),
        (json!({"runAsUser": 1}), vec![user(1), user(2)], (0, 0, 0o644)),
    ];
    for (number, (context, containers, expected)) in cases.into_iter().enumerate() {
        let pod: Pod = serde_json::from_value(json!({
            "spec": {"securityContext": context, "containers": containers},
        }))
        .unwrap();
        let group = FsGroup::of(&pod);
        let file = token_file("token".to_owned(), &pod, group, 0o644);
        let volume = dir.path().join(number.to_string());
        fs::create_dir(&volume).unwrap();
        let files = Payload::from([("token".to_owned(), file)]);
        atomic_writer::write(&volume, &files, Timestamp::UNIX_EPOCH, |fresh| {
            group.map_or(Ok(()), |group| ownership::give_to(fresh, group, true))
        })
        .unwrap();
        let found = fs::metadata(volume.join("token")).unwrap();
        assert_eq!((found.uid(), found.gid(), found.mode() & 0o777), expected, "{pod:?}");
    }
}

#[tokio::test]
async fn an_empty_dir_keeps_its_content_until_it_is_torn_down() {
    let host = Host::new().await;
    let pod = host.pod(json!([{"name": "v", "emptyDir": {}}])).await;
    let path = host.set_up(&pod).await.unwrap();
    fs::write(path.join("file"), "x").unwrap();
    assert_eq!(host.set_up(&pod).await.unwrap(), path);
    assert!(path.join("file").exists());
    assert_eq!(host.volumes.pods().unwrap().into_iter().collect::<Vec<_>>(), [uid(&pod)]);
    host.volumes.tear_down_all(uid(&pod)).await.unwrap();
    assert!(!path.exists());
}

#[tokio::test]
async fn a_reset_leaves_nothing() {
    let host = Host::new().await;
    let volumes =
        json!([{"name": "a", "emptyDir": {"medium": "Memory"}}, {"name": "d", "downwardAPI": {"items": []}}]);
    let pod = host.pod(volumes).await;
    let memory = host.set_up(&pod).await.unwrap();
    fs::write(memory.join("file"), "x").unwrap();
    crate::reset(host.dir.path()).unwrap();
    assert!(!host.dir.path().join("pods").exists());
    crate::reset(host.dir.path()).unwrap();
}

#[tokio::test]
async fn unsupported_volumes_are_refused() {
    let host = Host::new().await;
    let claim = host.pod(json!([{"name": "v", "persistentVolumeClaim": {"claimName": "c"}}])).await;
    assert_eq!(host.set_up(&claim).await.unwrap_err().to_string(), "no volume plugin matched");
}
