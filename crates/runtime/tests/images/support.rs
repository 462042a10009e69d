//! A registry, a store and images for the tests.

use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use clock::Clock;
use runtime::images::build::{BuiltImage, ImageBuilder};
use runtime::images::{ImageStore, ImageStoreConfig};

/// The user of a registry with a password.
pub const USER: &str = "tester";
pub const PASSWORD: &str = "U*U";
/// bcrypt of the password, a published test vector.
const PASSWORD_HASH: &str = "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW";

/// A registry process on a port of the loopback interface, ended with the value.
pub struct TestRegistry {
    process: Child,
    pub address: String,
    pub directory: tempfile::TempDir,
}

impl TestRegistry {
    pub async fn start() -> TestRegistry {
        Self::start_with("").await
    }

    pub async fn start_with_password() -> TestRegistry {
        Self::start_with("auth: {htpasswd: {realm: test, path: HTPASSWD}}\n").await
    }

    async fn start_with(auth: &str) -> TestRegistry {
        // Another process may take the free port before the registry does: then the next one.
        for _ in 0..5 {
            let directory = tempfile::tempdir().unwrap();
            let address = free_address();
            let htpasswd = directory.path().join("htpasswd");
            std::fs::write(&htpasswd, format!("{USER}:{PASSWORD_HASH}\n")).unwrap();
            let config = format!(
                "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {}}}}}\n\
                 http: {{addr: \"{address}\"}}\n{}",
                directory.path().join("storage").display(),
                auth.replace("HTPASSWD", htpasswd.to_str().unwrap()),
            );
            let config_path = directory.path().join("config.yml");
            std::fs::write(&config_path, config).unwrap();
            let process = Command::new("docker-registry")
                .arg("serve")
                .arg(&config_path)
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .expect("docker-registry is installed");
            let mut registry = TestRegistry { process, address, directory };
            if registry.answers().await {
                return registry;
            }
        }
        panic!("the registry does not start");
    }

    async fn answers(&mut self) -> bool {
        for _ in 0..600 {
            if self.process.try_wait().unwrap().is_some() {
                return false;
            }
            if TcpStream::connect(&self.address).is_ok() {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        false
    }

    /// The full name of an image in it.
    pub fn name(&self, rest: &str) -> String {
        format!("{}/{rest}", self.address)
    }

    /// The file that holds a blob.
    pub fn blob_path(&self, hex: &str) -> PathBuf {
        let blobs = self.directory.path().join("storage/docker/registry/v2/blobs/sha256");
        blobs.join(&hex[..2]).join(hex).join("data")
    }
}

impl Drop for TestRegistry {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// An address without a listener.
pub fn free_address() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

/// A store in its own directory; its mounts are removed with it.
pub struct TestStore {
    pub store: ImageStore,
    pub data_dir: tempfile::TempDir,
}

impl TestStore {
    pub fn new() -> TestStore {
        let data_dir = tempfile::tempdir().unwrap();
        TestStore { store: open(data_dir.path()), data_dir }
    }

    /// Another process on the same data, as far as the store can tell.
    pub fn open_again(&self) -> ImageStore {
        open(self.data_dir.path())
    }

    /// Lets go of the data and opens it again.
    pub fn restart(&mut self) {
        let elsewhere = TestStore::new();
        self.store = elsewhere.store.clone();
        self.store = self.open_again();
    }

    /// How many layers are on disk.
    pub fn layers(&self) -> usize {
        let names = std::fs::read_dir(self.data_dir.path().join("layers")).unwrap();
        names.filter(|entry| entry.as_ref().unwrap().file_name() != "empty").count()
    }

    /// How many downloads are on disk.
    pub fn downloads(&self) -> usize {
        std::fs::read_dir(self.data_dir.path().join("images/ingest")).unwrap().count()
    }
}

impl Drop for TestStore {
    fn drop(&mut self) {
        for id in self.store.rootfs_ids().unwrap_or_default() {
            let merged = self.data_dir.path().join("rootfs").join(id).join("merged");
            let _ = rustix::mount::unmount(&merged, rustix::mount::UnmountFlags::DETACH);
        }
    }
}

fn open(data_dir: &std::path::Path) -> ImageStore {
    let config = ImageStoreConfig { data_dir: data_dir.to_owned(), ..ImageStoreConfig::default() };
    ImageStore::open(&config, Clock::system()).unwrap()
}

/// Busybox with a second layer that changes the first.
pub fn busybox() -> BuiltImage {
    let mut builder = busybox_base();
    builder.next_layer().whiteout("/etc/removed").add_file("/etc/added", "second", 0o600);
    builder.build()
}

/// Only the first layer of [`busybox`], with a separate configuration.
pub fn busybox_without_changes() -> BuiltImage {
    let mut builder = busybox_base();
    builder.config().cmd = vec!["true".to_owned()];
    builder.build()
}

fn busybox_base() -> ImageBuilder {
    let mut builder = ImageBuilder::new();
    builder.add_host_file("/bin/busybox", "/bin/busybox", 0o755).expect("busybox-static is installed");
    builder
        .symlink("/bin/sh", "busybox")
        .add_dir("/tmp", 0o1777)
        .add_file("/etc/passwd", "root:x:0:0::/root:/bin/sh\napp:x:1000:1001::/home:/bin/sh\n", 0o644)
        .add_file("/etc/group", "staff:x:50:app\n", 0o644)
        .add_file("/etc/removed", "first", 0o644);
    let config = builder.config();
    config.entrypoint = vec!["/bin/sh".to_owned(), "-c".to_owned()];
    config.user = "app".to_owned();
    config.working_dir = "/tmp".to_owned();
    builder
}
