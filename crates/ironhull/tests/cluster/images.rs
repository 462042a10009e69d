//! Images of Debian's programs on this machine, in a registry on the test's host.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use hostnet::NetNs;
use runtime::images::build::{BuiltImage, Compression, ImageBuilder};
use testbed::{Host, Process, output, until};

/// Busybox with all its programs.
pub const BUSYBOX: &str = "127.0.0.1:5000/busybox:1";
/// A web server whose page shows the pod's name and `version 1`.
pub const NGINX_1: &str = "127.0.0.1:5000/nginx:1";
/// Like [`NGINX_1`], with `version 2`.
pub const NGINX_2: &str = "127.0.0.1:5000/nginx:2";
/// The database, with its command line client.
pub const REDIS: &str = "127.0.0.1:5000/redis:7";

const PASSWD: &str =
    "root:x:0:0:root:/root:/bin/sh\nwww-data:x:33:33::/var/www:/bin/sh\napp:x:1000:1000::/:/bin/sh\n";
const GROUP: &str = "root:x:0:\nwww-data:x:33:\napp:x:1000:\n";

/// Starts a registry on the host and fills it. It runs until it is dropped.
pub fn start_registry(host: &Host) -> Process {
    let registry = serve(host, host.directory());
    let images = [(BUSYBOX, busybox().build()), (NGINX_1, nginx(1)), (NGINX_2, nginx(2)), (REDIS, redis())];
    push(host, &images);
    registry
}

/// Puts images into the registry of a host.
pub fn push(host: &Host, images: &[(&str, BuiltImage)]) {
    let namespace = NetNs::open(&host.network_namespace()).unwrap();
    let push = || async {
        for (name, image) in images {
            // Compression costs time, and saves none on the loopback interface.
            image.push(name, None, &[], Compression::None, false).await.unwrap();
        }
    };
    namespace.block_on(push).unwrap();
}

/// An image of this test program, without what is for debuggers, by another name. It needs `directory` for a while.
pub fn of_this_program(name: &str, directory: &Path) -> BuiltImage {
    let (this, stripped) = (std::env::current_exe().unwrap(), directory.join(name));
    output(Command::new("strip").arg("-o").arg(&stripped).arg(&this)).unwrap();
    let mut image = ImageBuilder::new();
    let place = format!("/bin/{name}");
    image.add_host_file(&place, &stripped, 0o755).unwrap();
    for library in libraries(&stripped) {
        image.add_host_file(library.to_str().unwrap(), &library, 0o755).unwrap();
    }
    image.add_file("/etc/passwd", PASSWD, 0o644);
    image.config().entrypoint = vec![place];
    std::fs::remove_file(&stripped).unwrap();
    image.build()
}

/// Starts a registry on the host, with the images that one in `directory` has or will have.
pub fn serve(host: &Host, directory: &Path) -> Process {
    let config = format!(
        "version: 0.1\nlog: {{level: error, accesslog: {{disabled: true}}}}\n\
         storage: {{filesystem: {{rootdirectory: {}}}}}\nhttp: {{addr: \"127.0.0.1:5000\"}}\n",
        directory.join("registry").display(),
    );
    let path = host.directory().join("registry.yml");
    std::fs::write(&path, config).unwrap();
    let mut command = host.command("docker-registry");
    command.arg("serve").arg(path);
    let registry = host.start("registry", command).unwrap();
    until("the registry", Duration::from_secs(60), || {
        output(host.command("curl").args(["-sSf", "http://127.0.0.1:5000/v2/"]))
            .map_err(|error| error.to_string())
    })
    .unwrap_or_else(|error| panic!("{error:?}\n{}", registry.log()));
    registry
}

fn busybox() -> ImageBuilder {
    let mut image = ImageBuilder::new();
    image.add_host_file("/bin/busybox", "/bin/busybox", 0o755).expect("busybox-static is installed");
    let programs = output(Command::new("/bin/busybox").arg("--list")).unwrap();
    for program in programs.lines().filter(|program| *program != "busybox") {
        image.symlink(&format!("/bin/{program}"), "busybox");
    }
    image
        .add_file("/etc/passwd", PASSWD, 0o644)
        .add_file("/etc/group", GROUP, 0o644)
        .add_dir("/tmp", 0o1777)
        .add_dir("/root", 0o700)
        .add_dir("/run", 0o755);
    let config = image.config();
    config.cmd = vec!["sh".to_owned()];
    config.env = vec!["PATH=/usr/sbin:/usr/bin:/sbin:/bin".to_owned()];
    image
}

fn nginx(version: u32) -> BuiltImage {
    let configuration = format!(
        "user www-data;\nworker_processes 1;\ndaemon off;\npid /run/nginx.pid;\nerror_log /dev/stderr notice;\n\
         events {{ worker_connections 256; }}\n\
         http {{\n  access_log /dev/stdout;\n  default_type text/plain;\n  server {{\n    listen 80;\n    \
         location / {{ return 200 \"$hostname version {version}\\n\"; }}\n    \
         location /files/ {{ alias /usr/share/nginx/html/; }}\n  }}\n}}\n"
    );
    let mut image = busybox();
    image.next_layer();
    add_program(&mut image, "/usr/sbin/nginx");
    // For data that a shell cannot send; every Debian has it.
    add_program(&mut image, "/usr/bin/perl");
    image
        .add_host_dir("/usr/share/nginx/html", "/usr/share/nginx/html")
        .expect("nginx-light is installed")
        .add_file("/etc/nginx/nginx.conf", configuration, 0o644)
        .add_dir("/var/lib/nginx", 0o755)
        .add_dir("/var/log/nginx", 0o755);
    let config = image.config();
    config.cmd = vec!["nginx".to_owned()];
    // Finish the current requests, then exit.
    config.stop_signal = "SIGQUIT".to_owned();
    image.build()
}

fn redis() -> BuiltImage {
    let mut image = busybox();
    image.next_layer();
    add_program(&mut image, "/usr/bin/redis-server");
    add_program(&mut image, "/usr/bin/redis-cli");
    image.config().cmd = vec!["redis-server".to_owned()];
    image.build()
}

/// Adds a program with the libraries that it is linked to.
fn add_program(image: &mut ImageBuilder, program: &str) {
    image.add_host_file(program, program, 0o755).unwrap_or_else(|error| panic!("{program}: {error}"));
    for library in libraries(Path::new(program)) {
        let place = library.to_str().unwrap();
        image.add_host_file(place, &library, 0o755).unwrap();
    }
}

fn libraries(program: &Path) -> Vec<PathBuf> {
    let linked = output(Command::new("ldd").arg(program)).unwrap();
    let paths = linked.lines().flat_map(|line| line.split_whitespace().find(|word| word.starts_with('/')));
    paths.map(PathBuf::from).collect()
}
